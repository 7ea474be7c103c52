"""Halves of an acquisition against versions of one product."""

from __future__ import annotations

from typing import Any

import pytest

from s2pipe.indexing.halves import are_halves, cover, strip_start
from s2pipe.sentinel2.safe import ProductInfo


def _info(strip: str | None, west: float, east: float) -> ProductInfo:
    ring = [[west, 50.0], [east, 50.0], [east, 51.0], [west, 51.0], [west, 50.0]]
    footprint: dict[str, Any] = {"type": "Polygon", "coordinates": [ring]}
    identifier = None if strip is None else f"S2A_OPER_MSI_L1C_DS_2APS_20251210T130336_{strip}_N05.11"
    return ProductInfo(
        source="MTD_MSIL1C.xml",
        level="L1C",
        product_uri=None,
        baseline=None,
        generation_time=None,
        sensing_start=None,
        rel_orbit=None,
        datastrip_id=identifier,
        cloud_cover=None,
        geofootprint=footprint,
        scl_percentages=None,
    )


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (_info("S20251210T100334", 15.45, 16.4), True),
        (_info("S20251210T100334", 15.0, 15.5), False),  # another version of the same ground
        (_info("S20251210T100334", 15.05, 16.4), False),
        (_info("S20251210T100316", 15.45, 16.4), False),
        (_info(None, 15.45, 16.4), False),
        (None, False),
    ],
)
def test_halves_are_of_other_datastrips_and_other_ground(other: ProductInfo | None, expected: bool) -> None:
    first = _info("S20251210T100316", 15.0, 15.5)
    assert are_halves(first, other) is expected
    assert are_halves(other, first) is expected


def test_what_is_no_start_names_no_directory() -> None:
    assert strip_start(_info("S20251210T100316", 0, 1)) == "S20251210T100316"
    assert strip_start(_info("S/../../../../../", 0, 1)) is None
    assert strip_start(_info("S2025121/../../x", 0, 1)) is None
    assert cover(_info(None, 0, 2)) == pytest.approx(2.0)
    assert cover(None) == 0.0
