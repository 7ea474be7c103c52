"""Search from a query to what would be fetched, and the test service against real answers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import requests

from s2pipe.download.pipeline import run_download
from s2pipe.testing import Service, catalogue_only
from s2pipe.testing.fake import SQUARE
from tests.download.search_support import DATA, get_json, needs_data, product_name, square

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from s2pipe.download.auth import Auth
    from s2pipe.download.cfg import PipelineConfig


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


def test_coverage_filters(service: Service, auth: Auth, configure: Callable[..., PipelineConfig]) -> None:
    assert len(run_download(configure(query={"min_coverage_ratio": 0.9}, dry_run=True), auth).pairs) == 1
    for product in service.products.values():
        product.row["GeoFootprint"] = square(15.0, 15.3)
    result = run_download(configure(query={"min_coverage_ratio": 0.9}, dry_run=True), auth)
    assert result.pairs == []
    assert "of the tile, less than 0.9" in result.passed_over[0][1]


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
