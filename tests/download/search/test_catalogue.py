"""Search: whole lists, right filters, nothing dropped without a word."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from s2pipe.download.search.catalogue import Catalogue, Search
from s2pipe.errors import ServiceError
from s2pipe.testing import Fault, Service, catalogue_only
from tests.download.search_support import DATA, DECEMBER, get_json, needs_data, product_name


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
