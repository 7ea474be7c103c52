"""Areas of queries, and how much of a tile footprints cover."""

from __future__ import annotations

from typing import Any

import pytest
import shapely
from pyproj import Transformer

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


def test_areas_of_other_systems_are_searched_in_degrees() -> None:
    (text,) = query_areas("420000,5250000,430000,5260000", "EPSG:32633")
    found = shapely.from_wkt(text)
    assert found.is_valid
    to = Transformer.from_crs(32633, 4326, always_xy=True)
    corners = shapely.points([to.transform(x, y) for x in (420_000, 430_000) for y in (5_250_000, 5_260_000)])
    assert (shapely.distance(corners, found.exterior) < 1e-9).all()
    # Ten kilometres along a parallel bend by less than two metres, which the vertices follow.
    middle = shapely.Point(to.transform(425_000, 5_260_000))
    assert shapely.distance(middle, found.exterior) < 2e-7


def test_areas_across_the_antimeridian_are_searched_on_both_sides() -> None:
    ways = ["179,-17,-179,-16", "POLYGON((179 -17,181 -17,181 -16,179 -16,179 -17))"]
    ways.append("POLYGON((179 -17,-179 -17,-179 -16,179 -16,179 -17))")
    for way in ways:
        east, west = sorted(
            map(shapely.from_wkt, query_areas(way)), key=lambda part: part.bounds[0], reverse=True
        )
        assert (east.bounds, west.bounds) == ((179, -17, 180, -16), (-180, -17, -179, -16))


def test_lines_are_searched_by_what_is_close_to_them() -> None:
    line = shapely.from_wkt("LINESTRING(12 52,13 53,13.5 52)")
    (text,) = query_areas(line.wkt)
    found = shapely.from_wkt(text)
    assert (found.geom_type, found.is_valid) == ("Polygon", True)
    assert found.contains(line)
    assert found.area < 1e-5
    across = [shapely.from_wkt(part).bounds for part in query_areas("LINESTRING(179 1,-179 1)")]
    assert [(bounds[0], bounds[2]) for bounds in sorted(across)] == [
        (-180, pytest.approx(-179)),
        (pytest.approx(179), 180),
    ]


@pytest.mark.parametrize("text", ["LINESTRING(1 2,1 95)", "SRID=32633;POINT(1e30 1e30)", "1,2,3,95"])
def test_what_the_catalogue_cannot_be_asked_for_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"download\.query\.geometry"):
        query_areas(text)


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
