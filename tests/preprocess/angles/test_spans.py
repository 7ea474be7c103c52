"""Pixels of overlapping, nested and holed footprints, held against shapely's point-in-polygon."""

from __future__ import annotations

import numpy as np
import shapely
import shapely.affinity
from hypothesis import given, settings
from hypothesis import strategies as st

from s2pipe.preprocess.angles.spans import detector_spans

SIDE = 24

numbers = st.floats(-4, SIDE + 4, allow_nan=False).map(lambda value: round(value, 3))
points = st.tuples(numbers, numbers)


@st.composite
def footprints(draw: st.DrawFn) -> list[tuple[int, shapely.Polygon]]:
    """Detectors' polygons: convex hulls and boxes of any size, some of them with a hole, some inside another."""
    found = []
    for _ in range(draw(st.integers(1, 5))):
        detector = draw(st.integers(1, 4))
        outer = shapely.MultiPoint(draw(st.lists(points, min_size=3, max_size=7))).convex_hull
        if outer.geom_type != "Polygon":
            continue
        kind = draw(st.sampled_from(("whole", "holed", "nested")))
        inner = shapely.affinity.scale(outer, 0.5, 0.5)
        if kind == "holed" and inner.area > 0:
            outer = shapely.Polygon(outer.exterior, [inner.exterior])
        found.append((detector, outer))
        if kind == "nested":
            found.append((draw(st.integers(1, 4)), inner))
    return found


def painted(polygons: list[tuple[int, shapely.Polygon]]) -> np.ndarray:
    """Detector of every pixel; each pixel may be given once only."""
    rings = [
        (detector, [shapely.get_coordinates(ring) for ring in (polygon.exterior, *polygon.interiors)])
        for detector, polygon in polygons
    ]
    ids = np.zeros((SIDE, SIDE), int)
    times = np.zeros((SIDE, SIDE), int)
    for row, first, last, detector in detector_spans(rings, SIDE).tolist():
        ids[row, max(first, 0) : max(last, 0)] = detector
        times[row, max(first, 0) : max(last, 0)] += 1
    assert times.max(initial=0) <= 1
    return ids


@settings(max_examples=300, deadline=None)
@given(footprints())
def test_every_pixel_is_one_of_the_detectors_whose_polygon_it_lies_in(
    polygons: list[tuple[int, shapely.Polygon]],
) -> None:
    ids = painted(polygons)
    x, y = np.meshgrid(np.arange(SIDE) + 0.5, np.arange(SIDE) + 0.5)
    centres = shapely.points(x, y)
    inside = np.zeros((5, SIDE, SIDE), bool)
    clear = np.ones((SIDE, SIDE), bool)  # not on a border, where the direction of rounding decides
    for detector, polygon in polygons:
        inside[detector] |= shapely.contains_xy(polygon, x, y)
        clear &= shapely.distance(polygon.boundary, centres) > 1e-6
    seen = inside.any(axis=0)
    np.testing.assert_array_equal((ids > 0)[clear], seen[clear])
    own = np.take_along_axis(inside, ids[np.newaxis], axis=0)[0]
    assert own[clear & seen].all()


def box(left: float, top: float, right: float, bottom: float) -> shapely.Polygon:
    return shapely.box(left, top, right, bottom)


def test_a_centre_on_a_border_lies_right_of_it_or_below() -> None:
    ids = painted([(1, box(2.5, 3.5, 6.5, 5.5))])
    rows, cols = np.nonzero(ids)
    assert (rows.min(), rows.max(), cols.min(), cols.max()) == (3, 4, 2, 5)


def test_neighbours_share_no_pixel_and_leave_none_out() -> None:
    ids = painted([(1, box(0, 0, 7.5, SIDE)), (2, box(7.5, 0, SIDE, SIDE))])
    np.testing.assert_array_equal(ids, np.where(np.arange(SIDE) < 7, 1, 2)[np.newaxis].repeat(SIDE, axis=0))


def test_a_detector_nested_in_another_one() -> None:
    """The seam is the middle of what they share; right of the inner one the outer one goes on."""
    ids = painted([(1, box(0, 0, 20, SIDE)), (2, box(10, 0, 14, SIDE))])
    expected = [1] * 12 + [2] * 2 + [1] * 6 + [0] * 4
    assert (ids == expected).all()


def test_polygons_of_one_detector_add_up() -> None:
    ids = painted([(3, box(0, 0, 20, SIDE)), (3, box(10, 0, 14, SIDE)), (3, box(18, 0, 22, SIDE))])
    assert (ids == [3] * 22 + [0] * 2).all()


def test_three_at_once() -> None:
    ids = painted([(1, box(0, 0, 12, SIDE)), (2, box(4, 0, 16, SIDE)), (3, box(8, 0, 20, SIDE))])
    assert (ids == [1] * 8 + [2] * 4 + [3] * 8 + [0] * 4).all()
