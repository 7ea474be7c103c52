"""Limits keep the right number of every group, by a draw that depends on seed, sample and window alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s2pipe.ground.split import SPLITS
from s2pipe.patches.candidates.balance import balance, patch_numbers, patch_weights
from s2pipe.patches.candidates.windows import PatchTable, make_table
from s2pipe.patches.cfg import BalanceConfig

NAMES, MONTHS, TILES = ["a", "b", "c"], ["2025-07", "2025-07", "2025-08"], ["T1", "T2", "T2"]


def table_of(side: int = 6, cells: int = 4) -> PatchTable:
    """Three scenes of windows, half of them in train and half in val."""
    row, col = (part.ravel() * 32 for part in np.indices((side, side)))
    table = make_table([(row, col)] * 3, [np.arange(len(row)) % cells] * 3, [4, 5])
    table.split[:] = np.arange(len(table)) % 2
    return table


def balanced(config: BalanceConfig, table: PatchTable, names: list[str] = NAMES) -> PatchTable:
    balance(table, names, MONTHS, TILES, config)
    return table


@settings(max_examples=30)
@given(st.integers(1, 40), st.sampled_from(["max_per_cell", "max_per_tile", "max_per_month", "max_patches"]))
def test_every_group_keeps_up_to_its_limit(limit: int, name: str) -> None:
    whole, table = table_of(), balanced(BalanceConfig(**{name: limit}), table_of())
    of_scene = {
        "max_per_tile": np.array([0, 1, 1]),
        "max_per_month": np.array([0, 0, 1]),
        "max_patches": np.zeros(3),
    }
    groups = whole.cell if name == "max_per_cell" else of_scene[name][whole.scene]
    for split in map(SPLITS.index, BalanceConfig().splits):
        for group in np.unique(groups):
            members = (groups == group) & (whole.split == split)
            assert np.count_nonzero(table.kept & members) == min(limit, np.count_nonzero(members))
    others = ~np.isin(whole.split, [SPLITS.index(name) for name in BalanceConfig().splits])
    assert table.kept[others].all()


def test_the_draw_is_the_same_for_a_part_of_the_samples() -> None:
    numbers = patch_numbers(table_of(), NAMES, 3)
    assert len(np.unique(numbers)) == len(numbers)
    one = table_of()
    np.testing.assert_array_equal(patch_numbers(one.take(one.scene == 0), ["a"], 3), numbers[one.scene == 0])
    assert (patch_numbers(table_of(), NAMES, 4) != numbers).all()


def test_weights_are_means_over_labelled_pixels_and_zero_is_never_kept() -> None:
    table = table_of()
    table.counts[:, 0], table.counts[:, 1] = 30, 10
    table.counts[0] = 0
    weights = patch_weights(table, {4: 2.0, 5: 0.0})
    assert weights[0] == 1.0
    assert weights[1:] == pytest.approx(1.5)
    table.counts[1] = (0, 8)
    table.split[:] = 0
    balanced(BalanceConfig(class_weights={4: 2.0, 5: 0.0}, splits=("train",)), table)
    assert np.flatnonzero(~table.kept).tolist() == [1]


def test_heavier_patches_are_kept_more_often() -> None:
    table = table_of(side=40)
    table.split[:] = 0
    table.counts[::2, 0] = table.counts[1::2, 1] = 100
    balanced(BalanceConfig(class_weights={4: 3.0, 5: 1.0}, max_patches=600), table)
    heavy = np.count_nonzero(table.kept[::2])
    assert 0.66 < heavy / 600 < 0.8
