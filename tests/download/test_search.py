"""Search and choice: whole lists, right filters, the newest pair, nothing dropped without a word."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import requests

from s2pipe.download.cfg import PipelineConfig, QueryConfig
from s2pipe.download.pipeline import run_download
from s2pipe.download.search.catalogue import Catalogue, Search
from s2pipe.download.search.coverage import coverage_ratio, overlap_ratio, query_areas
from s2pipe.download.search.select import choose
from s2pipe.errors import ConfigError, ServiceError
from s2pipe.testing import Fault, Service, StoredProduct, catalogue_only
from s2pipe.testing.fake import SQUARE
from tests.paths import SHARED_DATA

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from s2pipe.download.auth import Auth

DATA = SHARED_DATA / "cdse"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"the real responses are not in {DATA}")
DECEMBER = (datetime(2025, 12, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC))


def product_name(
    day: int,
    level: str = "L1C",
    *,
    baseline: str = "0511",
    made: str = "20251220T120000",
    tile: str = "33UWQ",
    hour: int = 10,
    minute: int = 3,
    satellite: str = "S2A",
) -> str:
    time = f"202512{day:02d}T{hour:02d}{minute:02d}19"
    return f"{satellite}_MSI{level}_{time}_N{baseline}_R122_T{tile}_{made}.SAFE"


def get_json(url: str, _what: str) -> Any:
    answer = requests.get(url, timeout=10)
    if answer.status_code != 200:
        raise ServiceError(answer.text, answer.status_code)
    return answer.json()


def find(service: Service, search: Search, page: int = 20) -> list[str]:
    return [str(hit.name) for hit in Catalogue(get_json, service.url("catalogue"), page).search(search)]


def test_all_pages_are_read_and_filters_hold() -> None:
    wanted = [product_name(day, minute=minute) for day in range(1, 31) for minute in (3, 13)]
    others = [
        product_name(3, "L2A"),
        product_name(3, tile="33UWP"),
        product_name(3).replace("202512", "202511", 1),
    ]
    with Service([catalogue_only(name) for name in wanted + others]) as service:
        assert find(service, Search("L1C", *DECEMBER, "T33UWQ"), page=7) == sorted(
            wanted, key=lambda n: n[11:26]
        )
        assert len(service.requests("Products?")) == 9
        assert find(service, Search("L2A", *DECEMBER, "T33UWQ")) == [product_name(3, "L2A")]


def test_every_satellite_and_baseline_parses_and_an_unknown_name_is_skipped_aloud(
    caplog: pytest.LogCaptureFixture,
) -> None:
    names = [
        product_name(3, satellite=f"S2{letter}", baseline=b, hour=h)
        for h, (letter, b) in enumerate(
            [("A", "0204"), ("B", "0301"), ("C", "0511"), ("D", "0512"), ("A", "9999")]
        )
    ]
    products = [catalogue_only(name) for name in names]
    odd = catalogue_only(product_name(4))
    odd.row["Name"] = "S2A_OPER_PRD_MSIL1C_PDMC_20160101T000000_R122_V20160101T000000_20160101T000000.SAFE"
    with Service([*products, odd]) as service:
        assert find(service, Search("L1C", *DECEMBER, "T33UWQ")) == names
    assert "S2A_OPER_PRD" in caplog.text


def test_a_list_beyond_the_limit_is_asked_for_in_parts() -> None:
    start = datetime(2025, 12, 1, tzinfo=UTC)
    names = [
        f"S2A_MSIL1C_{start + timedelta(minutes=7 * n):%Y%m%dT%H%M%S}_N0511_R122_T33UWQ_20251220T120000.SAFE"
        for n in range(500)
    ]
    with Service([catalogue_only(name) for name in names]) as service:
        service.max_results = 60
        assert find(service, Search("L1C", *DECEMBER, "T33UWQ"), page=20) == names


def test_a_count_that_is_never_reached_is_an_error() -> None:
    row = catalogue_only(product_name(3)).row
    with Service() as service:
        body = json.dumps({"value": [row], "@odata.count": 2}).encode()
        service.faults.add(Fault("body", "Products?", None, body=body))
        with pytest.raises(ServiceError, match="counts 2 product"):
            find(service, Search("L1C", *DECEMBER, "T33UWQ"))


def test_clouds_are_filtered_on_l1c_and_pairs_survive_other_l2a_estimates(
    service: Service, auth: Auth, configure: Callable[..., PipelineConfig]
) -> None:
    l1c, l2a = sorted(service.products.values(), key=lambda product: product.name)
    for product, clouds in ((l1c, 30.0), (l2a, 99.0)):
        next(a for a in product.row["Attributes"] if a["Name"] == "cloudCover")["Value"] = clouds
    found = run_download(configure(query={"cloud_max": 40.0}, dry_run=True), auth)
    assert len(found.pairs) == 1
    assert run_download(configure(query={"cloud_max": 20.0}, dry_run=True), auth).pairs == []
    assert run_download(configure(query={"cloud_min": 31.0}, dry_run=True), auth).pairs == []


def test_an_old_version_within_the_cloud_range_does_not_win_over_the_newest(
    service: Service, auth: Auth, configure: Callable[..., PipelineConfig]
) -> None:
    service.products.clear()
    service.add(
        catalogue_only(product_name(3, baseline="0509"), cloud=30.0),
        catalogue_only(product_name(3, baseline="0511"), cloud=50.0),
        catalogue_only(product_name(3, "L2A")),
    )
    result = run_download(configure(query={"cloud_max": 40.0}, dry_run=True), auth)
    assert result.pairs == []
    assert any("50.00 % clouds" in reason for _, reason in result.passed_over)


def test_tiles_and_areas(
    service: Service, auth: Auth, configure: Callable[..., PipelineConfig], tmp_path: Path
) -> None:
    service.add(
        catalogue_only(product_name(3, tile="33UWP")), catalogue_only(product_name(3, "L2A", tile="33UWP"))
    )
    both = run_download(
        configure(query={"tile_id": None, "tile_ids": ("33UWQ", "T33UWP")}, dry_run=True), auth
    )
    assert [scene.key.tile_id for scene in both.pairs] == ["T33UWP", "T33UWQ"] or len(both.pairs) == 2
    area = tmp_path / "area.geojson"
    area.write_text(
        json.dumps({"type": "Feature", "geometry": {"type": "Point", "coordinates": [15.5, 48.2]}})
    )
    for geometry in (str(area), "POLYGON((15.4 48.1,15.6 48.1,15.5 48.3))", "POINT (15.5 48.2)"):
        found = run_download(configure(query={"tile_id": None, "geometry": geometry}, dry_run=True), auth)
        assert [scene.key.tile_id for scene in found.pairs] == ["T33UWQ"]
    nothing = run_download(configure(query={"tile_id": None, "geometry": "POINT (3 3)"}, dry_run=True), auth)
    assert nothing.pairs == []
    assert nothing.exit_code == 0


@pytest.mark.parametrize(
    "text",
    [
        "POLYGON((1 2, 3 4))",
        "POLYGON((1 2,3 4,5 200))",
        "CIRCLE(1 2)",
        "absent.geojson",
        "POLYGON((1 2,3 x,5 6))",
        "POLYGON((1 2,3 4,5 6)",
        "POLYGON EMPTY",
        "POINT (1e400 2)",
        "POINT (nan 2)",
    ],
)
def test_a_bad_area_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"download\.query\.geometry"):
        query_areas(text)


def test_areas_are_written_as_plain_decimals_with_closed_rings() -> None:
    assert query_areas(" SRID=4326; polygon z((1 2 9, 3 4 9, 5 0.00001 9))") == (
        "POLYGON ((1 2, 3 4, 5 0.0000100000, 1 2))",
    )
    assert query_areas("MULTIPOLYGON(((1 2,3 4,5 6)),((7 8,9 10,11 7)))") == (
        "POLYGON ((1 2, 3 4, 5 6, 1 2))",
        "POLYGON ((7 8, 9 10, 11 7, 7 8))",
    )


@pytest.mark.parametrize(
    "footprint",
    [
        {"type": "Polygon", "coordinates": None},
        {"type": "Polygon", "coordinates": [[[1, 2], [3, "x"], [5, 6]]]},
        {"type": "Polygon", "coordinates": [[[10**400, 2], [3, 4], [5, 6]]]},
        {"type": "MultiPolygon", "coordinates": [[[[0, 0], [1, None], [2, 3]]]]},
        {"type": "LineString", "coordinates": [[0, 0], [1, 1]]},
        [],
    ],
)
def test_a_footprint_that_is_not_an_area_counts_as_none(footprint: Any) -> None:
    assert coverage_ratio(footprint, "T33UWP") is None
    assert overlap_ratio(footprint, square(0, 1), "T31TCJ") is None


def test_a_crossed_or_distant_outline_is_measured_without_error() -> None:
    crossed = [[15.0, 47.7], [16.4, 48.6], [16.4, 47.7], [15.0, 48.6], [15.0, 47.7]]
    assert 0.4 < coverage_ratio({"type": "Polygon", "coordinates": [crossed]}, "T33UWP") < 0.6
    distant = [[104.9, 0.0], [105.1, 0.0], [105.0, 0.1], [104.9, 0.0]]
    assert coverage_ratio({"type": "Polygon", "coordinates": [distant]}, "T33UWP") == 0.0


def hits(service: Service, level: str) -> list:
    return Catalogue(get_json, service.url("catalogue"), 100).search(Search(level, *DECEMBER))


def chosen(products: list[StoredProduct], *, with_l2a: bool = True, **query: Any) -> Any:
    asked = {"date_from_utc": "2025-12-01", "date_to_utc": "2025-12-31", "tile_id": "33UWQ", **query}
    with Service(products) as service:
        return choose(hits(service, "L1C"), hits(service, "L2A"), QueryConfig(**asked), with_l2a=with_l2a)


def test_the_newest_baseline_then_the_newest_time_stamp_wins() -> None:
    names = [
        product_name(3, baseline="0510", made="20260101T000000"),
        product_name(3, baseline="0511", made="20251204T000000"),
        product_name(3, baseline="0511", made="20251205T000000"),
        product_name(3, baseline="9999", made="20260202T000000"),
        product_name(3, "L2A", baseline="9999"),
        product_name(3, "L2A", baseline="0511"),
    ]
    choice = chosen([catalogue_only(name) for name in names])
    (pair,) = choice.pairs
    assert (str(pair.l1c.name), str(pair.l2a.name)) == (names[2], names[5])
    assert {item.name for item in choice.rejected} == {names[0], names[1], names[3], names[4]}
    assert all(item.reason for item in choice.rejected)


def test_an_l1c_product_without_a_twin_is_passed_over_unless_l2a_is_not_wanted() -> None:
    products = [
        catalogue_only(product_name(3)),
        catalogue_only(product_name(4)),
        catalogue_only(product_name(4, "L2A")),
    ]
    choice = chosen(products)
    assert len(choice.pairs) == 1
    assert choice.rejected[0].is_notable
    assert len(chosen(products, with_l2a=False).pairs) == 2


def test_offline_products_are_reported() -> None:
    choice = chosen([catalogue_only(product_name(3), online=False), catalogue_only(product_name(3, "L2A"))])
    assert choice.pairs == ()
    assert "offline" in choice.rejected[0].reason


def square(west: float, east: float) -> dict:
    ring = [[west, 47.65], [east, 47.65], [east, 48.65], [west, 48.65], [west, 47.65]]
    return {"type": "Polygon", "coordinates": [ring]}


def test_halves_of_one_acquisition_are_told_and_matched() -> None:
    def half(level: str, made: str, strip: str, footprint: dict[str, Any]) -> StoredProduct:
        name = product_name(3, level, made=made)
        return catalogue_only(
            name, footprint=footprint, datastrip=f"S2A_OPER_MSI_{level}_DS_2APS_{made}_S{strip}_N05.11"
        )

    west, east = ("20251203T100400", square(15.0, 15.5)), ("20251203T100700", square(15.48, 16.46))
    products = [
        half(level, f"20251203T1{n}0000", *part)
        for level in ("L1C", "L2A")
        for n, part in enumerate((east, west))
    ]
    choice = chosen(products)
    (pair,) = choice.pairs
    assert pair.l1c.strip_start == pair.l2a.strip_start == east[0]  # the larger half, though not the newest
    assert len(pair.halves) == 1
    assert [item.is_notable for item in choice.rejected] == [True, True]
    # A reprocessed product has another datastrip as well, but covers the same ground: it is a newer version.
    again = [half("L1C", "20251203T100000", *west), half("L1C", "20251203T110000", east[0], west[1])]
    choice = chosen(again, with_l2a=False)
    assert len(choice.pairs) == 1
    assert "is superseded" in choice.rejected[0].reason


def test_coverage_of_full_part_and_unknown() -> None:
    corners = [[15.0, 48.6453], [16.4904, 48.6392], [16.4646, 47.6518], [15.0, 47.6577], [15.0, 48.6453]]
    full = {"type": "Polygon", "coordinates": [corners]}
    assert coverage_ratio(full, "T33UWP") == 1.0
    narrow = {
        "type": "Polygon",
        "coordinates": [[[15.0, 48.64], [15.3, 48.64], [15.3, 47.65], [15.0, 47.65], [15.0, 48.64]]],
    }
    assert 0.19 < coverage_ratio(narrow, "T33UWP") < 0.22
    assert coverage_ratio(None, "T33UWP") is None
    across = {
        "type": "Polygon",
        "coordinates": [[[179.5, 10.0], [-179.5, 10.0], [-179.5, 9.0], [179.5, 9.0], [179.5, 10.0]]],
    }
    assert 0.95 < coverage_ratio(across, "T01PAM") <= 1.0
    assert overlap_ratio(square(0, 1), square(2, 3), "T31TCJ") == 0.0
    assert overlap_ratio(square(0, 1), square(0, 1), "T31TCJ") == 1.0


def test_coverage_filters(service: Service, auth: Auth, configure: Callable[..., PipelineConfig]) -> None:
    assert len(run_download(configure(query={"min_coverage_ratio": 0.9}, dry_run=True), auth).pairs) == 1
    for product in service.products.values():
        product.row["GeoFootprint"] = square(15.0, 15.3)
    result = run_download(configure(query={"min_coverage_ratio": 0.9}, dry_run=True), auth)
    assert result.pairs == []
    assert "of the tile, less than 0.9" in result.passed_over[0][1]


@needs_data
def test_real_rows_are_understood() -> None:
    document = json.loads((DATA / "odata_products_search.json").read_text())
    with Service() as service:
        document.pop("@odata.nextLink")
        service.faults.add(Fault("body", "Products?", None, body=json.dumps(document).encode()))
        found = Catalogue(get_json, service.url("catalogue"), 20).search(Search("L1C", *DECEMBER))
    assert len(found) == len(document["value"]) == 2
    first = next(hit for hit in found if hit.name.tile_id == "T54PXA")
    assert (first.size, first.online, first.strip_start) == (224105657, True, "20200808T010314")
    assert round(first.cloud_cover, 2) == 95.14
    assert 0.3 < first.coverage < 0.7


@needs_data
@pytest.mark.parametrize(
    "file", ["odata_paged_response_1.json", "odata_paged_response_2.json", "odata_products_search.json"]
)
def test_the_services_rows_have_the_real_shape(file: str) -> None:
    real = json.loads((DATA / file).read_text())["value"][0]
    ours = catalogue_only(product_name(3), footprint=SQUARE).row
    assert set(real) <= set(ours) | {"Assets"}
    assert {key for key in ours if key != "Assets"} <= set(real)
    assert set(ours["Attributes"][0]) == set(real["Attributes"][0])


@needs_data
def test_the_services_next_page_has_the_real_form() -> None:
    real = json.loads((DATA / "odata_paged_response_1.json").read_text())["@odata.nextLink"]
    query = (
        real.split("?", 1)[1]
        .replace("SENTINEL-1", "SENTINEL-2")
        .replace("2014", "2025")
        .replace("-04-", "-12-")
    )
    names = [product_name(day, minute=minute) for day in (6, 7, 8) for minute in range(0, 40, 2)]
    with Service([catalogue_only(name) for name in names]) as service:
        page = get_json(f"{service.url('catalogue')}/odata/v1/Products?{query}", "")
        assert page["@odata.count"] == 60
        assert len(page["value"]) == 10
        ours = page["@odata.nextLink"].split("?", 1)[1]
    assert ours == query.replace("%24skip=10", "%24skip=20")


CLOUD = "Attributes/OData.CSC.DoubleAttribute/any(att:att/Name eq 'cloudCover' and "
VALUE = "att/OData.CSC.DoubleAttribute/Value"
QUERIES = {
    "contains(Name,'_T33UWQ_')": 200,
    "ContentDate/Start ge 2025-12-01T00:00:00.000Z and not (Online eq false)": 200,
    f"{CLOUD}{VALUE} le 40.00)": 200,
    f"{CLOUD}{VALUE} le 40.00 and {VALUE} ge 1)": 400,
    "Name eqq 'x'": 400,
    "OData.CSC.Intersects(area=geography'SRID=4326;POLYGON((1 2,3 4,5 6,7 8))')": 400,
}


@pytest.mark.parametrize(("text", "status"), QUERIES.items())
def test_the_service_answers_as_the_real_one(text: str, status: int) -> None:
    with Service([catalogue_only(product_name(3))]) as service:
        url = f"{service.url('catalogue')}/odata/v1/Products"
        answer = requests.get(url, params={"$filter": text}, timeout=5)
        assert answer.status_code == status
        assert len(answer.json().get("value", [])) == (1 if status == 200 else 0)
        assert requests.get(url, params={"$skip": 10_001}, timeout=5).status_code == 422
        assert (
            requests.get(url, params={"$filter": "contains(Name,'_TT33')"}, timeout=5).json()["value"] == []
        )
        value = f"{url}({next(iter(service.products))})/$value"
        moved = requests.get(value, timeout=5, allow_redirects=False)
        assert (moved.status_code, moved.headers["Location"].split("/")[2]) == (
            301,
            service.url("download")[7:],
        )
        refused = requests.get(moved.headers["Location"], timeout=5)
        assert (refused.status_code, refused.json()["code"]) == (401, "DAT-ZIP-604")
