"""Limits and weights: which patches stay when there are too many of a kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from s2pipe.ground.split import SPLITS
from s2pipe.runtime.draws import mix, text_seed, unit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from s2pipe.patches.candidates.windows import PatchTable
    from s2pipe.patches.cfg import BalanceConfig


def patch_numbers(table: PatchTable, names: Sequence[str], seed: int) -> np.ndarray:
    """A scrambled number of every patch, uint64, from seed, name of its sample and window alone."""
    seeds = np.array([text_seed(f"{seed}/{name}") for name in names], np.uint64)
    window = (table.row.astype(np.uint64) << np.uint64(32)) | table.col.astype(np.uint64)
    return mix(window ^ seeds[table.scene]) if len(names) else window


def balance(
    table: PatchTable,
    names: Sequence[str],
    months: Sequence[str],
    tiles: Sequence[str],
    config: BalanceConfig,
) -> None:
    """Drop patches above the limits, by a weighted draw.

    Parameters
    ----------
    table : PatchTable
        Patches; those dropped get the reason ``balance``.
    names, months, tiles : sequence of str
        Of each sample: name (with the seed in it), calendar month, tile.
    config : BalanceConfig
        Limits and weights.
    """
    # Efraimidis and Spirakis (2006): the greatest of u^(1/w) are a weighted draw without replacement.
    drawn = unit(patch_numbers(table, names, 0)) + 2.0**-54
    weight = patch_weights(table, config.class_weights)
    with np.errstate(divide="ignore", invalid="ignore"):
        priority = np.where(weight > 0, np.log(drawn) / weight, -np.inf)
    groups = {
        "cell": (table.cell, config.max_per_cell),
        "tile": (_codes(tiles)[table.scene], config.max_per_tile),
        "month": (_codes(months)[table.scene], config.max_per_month),
        "all": (np.zeros(len(table), np.int64), config.max_patches),
    }
    for name in config.splits:
        chosen = table.kept & (table.split == SPLITS.index(name))
        table.drop(chosen & (weight <= 0), "balance")
        for group, limit in groups.values():
            if limit is not None:
                part = np.flatnonzero(table.kept & (table.split == SPLITS.index(name)))
                table.drop(part[_beyond(group[part], priority[part], limit)], "balance")


def patch_weights(table: PatchTable, class_weights: dict[int, float] | None) -> np.ndarray:
    """Mean weight of the labelled pixels of each patch; 1 without weights or labels."""
    if class_weights is None:
        return np.ones(len(table))
    weights = np.array([class_weights.get(label, 1.0) for label in table.labels])
    total = table.counts.sum(axis=1)
    return np.where(total > 0, table.counts @ weights / np.maximum(total, 1), 1.0)


def _codes(names: Sequence[str]) -> np.ndarray:
    return np.unique(np.array(names, str), return_inverse=True)[1].astype(np.int64)


def _beyond(group: np.ndarray, priority: np.ndarray, limit: int) -> np.ndarray:
    """Which members come after the first ``limit`` of their group, by falling priority: bool."""
    order = np.lexsort((-priority, group))
    ordered = group[order]
    starts = np.flatnonzero(np.diff(ordered, prepend=ordered[:1] - 1))
    rank = np.arange(len(order)) - np.repeat(starts, np.diff(np.append(starts, len(order))))
    result = np.zeros(len(group), bool)
    result[order[rank >= limit]] = True
    return result
