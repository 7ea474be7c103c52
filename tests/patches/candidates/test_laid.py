"""Windows are laid once for all dates of a ground, and counted as if every one was looked at."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2pipe.dataset.scene_key import SceneKey
from s2pipe.ground.split import SPLITS
from s2pipe.patches.candidates.assign import PlannedScene, candidates, grounds_of_samples, plan_split
from s2pipe.patches.candidates.counts import split_counts
from s2pipe.patches.candidates.laid import LaidWindows, lay_windows
from s2pipe.patches.cfg import PatchConfig, SplitConfig
from s2pipe.raster.grid import Grid, TargetGrid
from tests.patches import patchdata

WKT = patchdata.Scene().grid.crs_wkt


def scenes_of(tiles: int, dates: int, shape_yx: tuple[int, int] = (300, 410)) -> list[PlannedScene]:
    def grid(tile: int) -> TargetGrid:
        transform = (300_000.0 + 5_000.0 * tile, 20.0, 0.0, 5_500_000.0, 0.0, -20.0)
        return TargetGrid.whole(Grid(WKT, transform, shape_yx))

    return [
        PlannedScene(SceneKey(f"T33U{'ABCDEFGH'[tile]}A", f"2025-{1 + date:02d}-01T10:00:00Z"), grid(tile))
        for tile in range(tiles)
        for date in range(dates)
    ]


def config_of(split: SplitConfig, stride: int = 48) -> PatchConfig:
    return PatchConfig(Path("x"), Path("x"), patch_size=64, stride=stride, edges="pad", split=split)


@pytest.mark.parametrize(
    "split",
    [
        SplitConfig(cell_m=2_000),
        SplitConfig(by="time", train=0.4, val=0.3, test=0.3, cell_m=2_000),
        SplitConfig(by="time", train=0.4, val=0.3, test=0.3, same_ground=True),
        SplitConfig(by="tile", train=0.4, val=0.3, test=0.3),
    ],
    ids=["cell", "time", "same_ground", "tile"],
)
def test_counts_are_those_of_the_table(split: SplitConfig) -> None:
    scenes, config = scenes_of(tiles=3, dates=5), config_of(split)
    plan = plan_split(split, grounds_of_samples(scenes))
    table = candidates(scenes, config, plan)
    counts = split_counts(lay_windows(scenes, config, plan), config.patch_size)
    for number, name in enumerate((*SPLITS, "none")):
        where = table.ground == number if number < len(SPLITS) else table.ground < 0
        shown = {tile: np.zeros((300, 410), bool) for tile in "ABC"}
        for scene, row, col in zip(table.scene[where], table.row[where], table.col[where], strict=True):
            shown["ABC"[scene // 5]][row : row + 64, col : col + 64] = True
        pixels = sum(int(seen.sum()) for seen in shown.values())
        assert counts[name] == {
            "scenes": len(set(table.scene[where].tolist())),
            "cells": len(set(table.cell[where].tolist())),
            "candidates": int(where.sum()),
            "km2": round(pixels * 400 / 1e6, 3),
        }


def test_dates_of_a_tile_share_their_windows() -> None:
    config = config_of(SplitConfig())
    scenes = scenes_of(tiles=2, dates=12, shape_yx=(5490, 5490))
    plan = plan_split(config.split, grounds_of_samples(scenes))
    tracemalloc.start()
    laid = lay_windows(scenes, config, plan)
    counts = split_counts(laid, config.patch_size)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len({id(windows) for windows in laid}) == 2
    total = sum(found["candidates"] for found in counts.values())
    assert total == sum(map(len, laid)) == 24 * 115**2
    assert peak < total * 25  # bytes; a table of all candidates takes four times as much


@given(
    starts=st.lists(st.tuples(st.integers(0, 29), st.integers(0, 19)), min_size=1, max_size=30, unique=True),
    size=st.integers(1, 12),
)
def test_the_ground_that_windows_show_is_counted_once(starts: list[tuple[int, int]], size: int) -> None:
    grid = Grid(WKT, (300_000.0, 1000.0, 0.0, 5_500_000.0, 0.0, -1000.0), (30, 20))
    shown = np.zeros(grid.shape_yx, bool)
    for row, col in starts:
        shown[row : row + size, col : col + size] = True
    row, col = np.array(starts).T
    laid = LaidWindows("T33UAA", grid, row, col, np.zeros(len(row), np.int64), np.zeros(len(row), np.int8))
    assert split_counts([laid], size)["train"]["km2"] == shown.sum()
