"""What a split gives to each of its parts, known before any pixel is read: scenes, cells, candidates, ground."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from s2pipe.ground.split import SPLITS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from s2pipe.ground.split import SplitPlan
    from s2pipe.patches.candidates.assign import Placed
    from s2pipe.patches.candidates.windows import PatchTable
    from s2pipe.patches.cfg import PatchConfig
    from s2pipe.raster.grid import Grid

NO_SPLIT = "none"
"""Name of the candidates that are in no split: they show ground of several, or their time is another split's."""
_FAR_POINTS = 0.05
_FAR_SHARE = 0.5


def split_counts(
    table: PatchTable, scenes: Sequence[Placed], config: PatchConfig
) -> dict[str, dict[str, Any]]:
    """Count what lies in each split, and in none.

    Parameters
    ----------
    table : PatchTable
        All candidates of the scenes.
    scenes : sequence of Placed
        The scenes, in the table's order.
    config : PatchConfig
        Size of patches.

    Returns
    -------
    dict
        By name of the split, and ``none``: ``scenes`` and ground ``cells`` (by centre) with a candidate,
        ``candidates``, and ``km2`` of ground that candidates show: once for all dates and overlapping windows of a
        tile, in each tile where tiles overlap.
    """
    code = np.where(table.ground >= 0, table.ground, len(SPLITS))
    result = {}
    for number, name in enumerate((*SPLITS, NO_SPLIT)):
        chosen = np.flatnonzero(code == number)
        result[name] = {
            "scenes": len(np.unique(table.scene[chosen])),
            "cells": len(np.unique(table.cell[chosen])),
            "candidates": len(chosen),
            "km2": round(_ground_km2(table.take(chosen), scenes, config), 3),
        }
    return result


def _ground_km2(table: PatchTable, scenes: Sequence[Placed], config: PatchConfig) -> float:
    """Area of the union of windows, tile by tile."""
    windows: dict[tuple[str, Grid], set[tuple[int, int]]] = {}
    for number in np.unique(table.scene).tolist():
        there = table.scene == number
        pairs = zip(table.row[there].tolist(), table.col[there].tolist(), strict=True)
        windows.setdefault((scenes[number].key.tile_id, scenes[number].grid), set()).update(pairs)
    return sum(
        _covered_pixels(grid, found, config) * math.prod(grid.pixel_size) / 1e6
        for (_, grid), found in windows.items()
    )


def _covered_pixels(grid: Grid, windows: Iterable[tuple[int, int]], config: PatchConfig) -> int:
    """Pixels of a grid that any of the windows shows."""
    # Windows start at multiples of the stride: all their borders lie on blocks of this side.
    side = math.gcd(config.patch_size, config.step_px)
    seen = np.zeros((-(-grid.height // side), -(-grid.width // side)), bool)
    step = config.patch_size // side
    for row, col in windows:
        seen[row // side : row // side + step, col // side : col // side + step] = True
    heights, widths = (
        np.minimum(np.arange(side, n * side + 1, side), length) - np.arange(0, n * side, side)
        for n, length in zip(seen.shape, grid.shape_yx, strict=True)
    )
    return int(heights @ seen.astype(np.int64) @ widths)


def describe_counts(counts: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Counts in words, one line per split."""
    total = sum(counts[name]["candidates"] for name in SPLITS)
    lines = []
    for name, found in counts.items():
        share = f" ({found['candidates'] / total:.1%})" if total and name in SPLITS else ""
        lines.append(
            f"{name}: {found['scenes']} scene(s), {found['cells']} cell(s), {found['candidates']} candidate(s)"
            f"{share}, {found['km2']:.1f} km2"
        )
    return lines


def split_warnings(counts: Mapping[str, Mapping[str, Any]], plan: SplitPlan) -> list[str]:
    """Say which splits are empty, or far from what was asked for: by 5 points, or by half of it.

    Parameters
    ----------
    counts : mapping
        From :func:`split_counts`.
    plan : SplitPlan
        The split. One that lists names (``by: file``) does not ask for shares, but for splits that are not empty.
    """
    total = sum(counts[name]["candidates"] for name in SPLITS)
    cure = _cure(plan)
    lines = []
    for name, asked in zip(SPLITS, plan.fractions, strict=True):
        found = counts[name]["candidates"]
        if asked > 0 and not found:
            lines.append(f"split {name} is empty, and {asked:.1%} of the candidates were asked for; {cure}")
        elif (
            asked > 0
            and plan.by != "file"
            and abs(found / total - asked) > min(_FAR_POINTS, _FAR_SHARE * asked)
        ):
            lines.append(
                f"split {name} has {found} of {total} candidates ({found / total:.1%}), and {asked:.1%} were asked "
                f"for; {cure}"
            )
    return lines


def _cure(plan: SplitPlan) -> str:
    if plan.by == "file":
        return "list cells or tiles of the scenes for it in split.file, or set its share to 0"
    if plan.by == "tile":
        return "more tiles, another split.seed, or split.by: cell come closer"
    if plan.by == "random":
        return "more scenes or another split.seed come closer"
    if plan.by == "time" and not plan.same_ground:
        return (
            "a patch needs a cell and a day of the same split, so that few remain; split.by: cell, or "
            "split.same_ground: true, come closer"
        )
    if plan.by == "time":
        return "more days come closer"
    return f"a smaller split.cell_m (now {plan.cell_m}), more scenes or another split.seed come closer"
