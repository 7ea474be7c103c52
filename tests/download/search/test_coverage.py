"""Areas of queries, and how much of a tile footprints cover."""

from __future__ import annotations

from typing import Any

import pytest

from s2pipe.download.search.coverage import coverage_ratio, overlap_ratio, query_areas
from s2pipe.errors import ConfigError
from tests.download.search_support import square


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
