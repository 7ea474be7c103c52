"""Masks of ground: statistics see training ground alone."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from s2pipe.dataset.scene_key import SceneKey
from s2pipe.ground.mask import GroundMask
from s2pipe.ground.projection import utm_to_lonlat
from s2pipe.ground.split import SplitPlan
from s2pipe.raster.grid import Window
from tests.patches.patchdata import Scene


@settings(max_examples=15, deadline=None)
@given(
    st.sampled_from(
        [(32633, 499_980.0, 5_500_020.0), (32660, 700_000.0, 7_200_000.0), (32701, 300_000.0, 2_000_000.0)]
    ),
    st.integers(0, 4),
    st.tuples(st.integers(0, 90), st.integers(0, 90), st.integers(1, 150), st.integers(1, 170)),
)
def test_statistics_see_only_pixels_wholly_on_training_ground(place: str, seed: int, box: Any) -> None:
    epsg, ulx, uly = place
    plan = SplitPlan("cell", (0.5, 0.3, 0.2), seed, 1500, buffer_m=5000.0)  # the buffer is for patches alone
    grid = Scene(epsg=epsg, ulx=ulx, uly=uly, shape_yx=(240, 260)).grid
    window = Window(*box)
    dn = np.ones((2, *window.shape_yx), np.float32)
    GroundMask(plan, SceneKey("T33UWQ", "2025-07-01T10:00:00Z"), grid).apply(window, dn)
    np.testing.assert_array_equal(dn[0], dn[1])
    row, col = np.meshgrid(
        np.arange(window.row, window.row_end), np.arange(window.col, window.col_end), indexing="ij"
    )

    def split_at(down: float, right: float) -> np.ndarray:
        x, y = ulx + 20.0 * (col + right), uly - 20.0 * (row + down)
        return plan.cell_codes(plan.grid.cells(*utm_to_lonlat(x, y, epsg)))

    corners = np.stack([split_at(d, r) for d in (0, 0.5, 1) for r in (0, 0.5, 1)])
    counted = dn[0] == 1
    assert (corners[:, counted] == 0).all()
    around = np.stack([split_at(d, r) for d in (-1, 0.5, 2) for r in (-1, 0.5, 2)])
    assert counted[(around == 0).all(axis=0)].all()
