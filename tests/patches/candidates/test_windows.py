"""Candidate patches: windows of a grid, the table of all of them, and why patches are dropped."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from s2pipe.patches.candidates.windows import footprints, make_table, reason_code, window_starts
from tests.patches.patchdata import Scene


@given(st.integers(1, 700), st.integers(1, 300), st.integers(1, 400), st.sampled_from(["drop", "pad"]))
def test_windows_cover_what_they_should(length: int, size: int, stride: int, edges: str) -> None:
    starts = window_starts(length, size, stride, edges)
    assert (starts % stride == 0).all()
    assert (starts < length).all()
    covered = np.zeros(length + size, bool)
    for start in starts.tolist():
        covered[start : start + size] = True
    if edges == "drop":
        assert (starts + size <= length).all()
        assert len(starts) == sum(1 for s in range(0, length, stride) if s + size <= length)
    elif stride <= size:
        assert covered[:length].all()
        assert len(starts) == 1 or starts[-2] + size < length  # none too many


def test_a_padded_windows_ground_ends_where_the_raster_does() -> None:
    grid = Scene(shape_yx=(100, 70)).grid
    ground = footprints(grid, np.array([0, 64]), np.array([0, 64]), 64)
    left, bottom, right, top = grid.bounds
    assert ground.epsg == 32633
    assert (ground.left[0], ground.top[0]) == (left, top)
    assert (ground.right[0] - ground.left[0], ground.top[0] - ground.bottom[0]) == (1280.0, 1280.0)
    assert (ground.right[1], ground.bottom[1]) == (right, bottom)


def test_the_first_reason_for_dropping_a_patch_stands() -> None:
    scenes = [(np.array([0, 0, 32]), np.array([0, 32, 0])), (np.array([], int), np.array([], int))]
    table = make_table(scenes, [np.array([7, 7, 8]), np.array([], np.int64)], [4, 5])
    assert (len(table), table.kept.tolist()) == (3, [True] * 3)
    table.drop(np.array([False, True, False]), "min_valid")
    table.drop(np.array([1, 2]), "balance")
    assert table.reason.tolist() == [0, reason_code("min_valid"), reason_code("balance")]
    part = table.take(table.kept)
    assert (part.row.tolist(), part.cell.tolist(), part.counts.shape, part.labels) == (
        [0],
        [7],
        (1, 2),
        (4, 5),
    )


def test_no_scenes_are_an_empty_table() -> None:
    table = make_table([], [], [1])
    assert len(table) == 0
    assert table.counts.shape == (0, 1)
