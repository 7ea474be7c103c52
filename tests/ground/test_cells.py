"""The global grid of ground cells: every point has one, whatever the zone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s2pipe.errors import S2PipeError
from s2pipe.ground.cells import Boxes, CellGrid
from tests.ground.ground_support import eastings, epsgs, inner_points, northings, rectangle

EARTH_M2 = 4 * np.pi * 6371007.181**2


@pytest.mark.parametrize("cell_m", [10_000, 20_000, 250_000])
def test_cells_cover_the_earth_once_and_are_almost_equal_in_area(cell_m: int) -> None:
    grid = CellGrid(cell_m)
    assert int(grid.columns.sum()) == pytest.approx(EARTH_M2 / cell_m**2, rel=0.01)
    edges = np.radians(np.linspace(-90, 90, grid.rows + 1))
    areas = 2 * np.pi * 6371007.181**2 * np.diff(np.sin(edges)) / grid.columns
    away = np.abs(np.degrees(edges[:-1])) < 84
    assert areas[away].max() / areas[away].min() < (1.02 if cell_m < 100_000 else 1.35)


@given(st.floats(-180.0, 180.0), st.floats(-90.0, 90.0), st.sampled_from([1000, 10_000, 333_333]))
def test_a_point_has_one_cell_on_any_turn_of_the_earth(lon: float, lat: float, cell_m: int) -> None:
    grid = CellGrid(cell_m)
    points = (
        np.array([lon, lon + 360.0, lon - 360.0]) if abs(lon) < 179.9 else np.array([-180.0, 180.0, 540.0])
    )
    cells = grid.cells(points, np.full(3, lat))
    assert cells.min() >= 0
    assert cells.max() < grid.columns.sum()
    if abs(lon) >= 179.9:
        assert len(set(cells.tolist())) == 1
    (cell_id,) = grid.ids(cells[:1])
    assert grid.number(cell_id) == cells[0]


def test_an_id_of_another_size_or_place_is_refused() -> None:
    grid = CellGrid(10_000)
    for wrong in ("20000m_0001_00001", "10000m_9999_00001", "10000m_0001_99999", "x"):
        with pytest.raises(S2PipeError, match="not a ground cell"):
            grid.number(wrong)


@settings(max_examples=60)
@given(epsgs, eastings, northings, st.floats(10.0, 60_000.0), st.floats(10.0, 60_000.0))
def test_every_cell_under_a_rectangle_is_named(
    epsg: int, x: float, y: float, width: float, height: float
) -> None:
    ground, grid = rectangle(epsg, x, y, width, height), CellGrid(7_000)
    named = {int(cell) for _, cells in grid.touched(ground.boxes()) for cell in cells}
    under = grid.cells(*inner_points(ground, 15))
    assert set(under.ravel().tolist()) <= named


def test_boxes_around_a_pole_take_in_all_meridians() -> None:
    boxes = Boxes.around(np.array([[10.0], [11.0]]), np.array([[89.9], [89.95]]), 1000.0)
    assert (boxes.west[0], boxes.east[0], boxes.north[0]) == (-180.0, 180.0, 90.0)
    grid = CellGrid(10_000)
    named = {int(cell) for _, cells in grid.touched(boxes) for cell in cells}
    assert set(grid.cells(np.linspace(-180, 180, 50), np.full(50, 89.97)).tolist()) <= named
