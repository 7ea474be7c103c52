"""Grids and their windows."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from s2pipe.preprocess.pixels.blocks import scene_windows
from s2pipe.raster.grid import Grid, Window
from s2pipe.raster.writer import TILE_PX


def _grid(height: int, width: int) -> Grid:
    return Grid("", (500000.0, 10.0, 0.0, 5400000.0, 0.0, -10.0), (height, width))


@given(st.integers(1, 70), st.integers(1, 70), st.integers(1, 30), st.integers(1, 30))
def test_block_windows_cover_every_pixel_once(height: int, width: int, rows: int, cols: int) -> None:
    hits = np.zeros((height, width), int)
    for window in _grid(height, width).block_windows(rows, cols):
        hits[window.row : window.row_end, window.col : window.col_end] += 1
    assert (hits == 1).all()


@given(st.integers(1, 20000), st.integers(1, 20000))
def test_scene_windows_start_on_tiles_and_use_full_rows(height: int, width: int) -> None:
    windows = scene_windows(_grid(height, width))
    assert all(window.row % TILE_PX == 0 and window.shape_yx[1] == width for window in windows)
    assert sum(window.height for window in windows) == height


def test_window_geotransform_moves_the_corner() -> None:
    grid = _grid(100, 100)
    assert grid.window_geotransform(Window(3, 7, 5, 5)) == (500070.0, 10.0, 0.0, 5399970.0, 0.0, -10.0)


def test_bounds_and_pixel_size_follow_from_the_geotransform() -> None:
    grid = _grid(20, 30)
    assert grid.bounds == (500000.0, 5399800.0, 500300.0, 5400000.0)
    assert grid.pixel_size == (10.0, 10.0)
    assert grid.is_north_up
    assert not Grid("", (0.0, 1.0, 0.1, 0.0, 0.0, -1.0), (2, 2)).is_north_up
