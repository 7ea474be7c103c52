"""What a split gives to each of its parts, known before any pixel is read: scenes, cells, candidates, ground."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from s2pipe.ground.split import SPLITS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from s2pipe.ground.split import SplitPlan
    from s2pipe.patches.candidates.laid import LaidWindows
    from s2pipe.raster.grid import Grid

NO_SPLIT = "none"
"""Name of the candidates that are in no split: they show ground of several, or their time is another split's."""
_FAR_POINTS = 0.05
_FAR_SHARE = 0.5


def split_counts(laid: Sequence[LaidWindows], patch_size: int) -> dict[str, dict[str, Any]]:
    """Count what lies in each split, and in none.

    Parameters
    ----------
    laid : sequence of LaidWindows
        The windows of each scene.
    patch_size : int
        Side of a patch in pixels.

    Returns
    -------
    dict
        By name of the split, and ``none``: ``scenes`` and ground ``cells`` (by centre) with a candidate,
        ``candidates``, and ``km2`` of ground that candidates show: once for all dates and overlapping windows of a
        tile, in each tile where tiles overlap.
    """
    scenes = Counter(map(id, laid))
    distinct = list({id(windows): windows for windows in laid}.values())
    result = {}
    for number, name in enumerate((*SPLITS, NO_SPLIT)):
        chosen = [(w, w.code == number if number < len(SPLITS) else w.code < 0) for w in distinct]
        chosen = [(windows, which) for windows, which in chosen if which.any()]
        cells = [np.empty(0, np.int64), *(windows.cell[which] for windows, which in chosen)]
        result[name] = {
            "scenes": sum(scenes[id(windows)] for windows, _ in chosen),
            "cells": len(np.unique(np.concatenate(cells))),
            "candidates": sum(scenes[id(w)] * int(np.count_nonzero(which)) for w, which in chosen),
            "km2": round(_ground_km2(chosen, patch_size), 3),
        }
    return result


def _ground_km2(chosen: Iterable[tuple[LaidWindows, np.ndarray]], patch_size: int) -> float:
    """Area of the union of windows, tile by tile."""
    windows: dict[tuple[str, Grid], list[np.ndarray]] = {}
    for laid, which in chosen:
        starts = np.stack([laid.row[which], laid.col[which]])
        windows.setdefault((laid.tile_id, laid.grid), []).append(starts)
    return sum(
        _covered_pixels(grid, np.concatenate(found, axis=1), patch_size) * math.prod(grid.pixel_size) / 1e6
        for (_, grid), found in windows.items()
    )


def _covered_pixels(grid: Grid, starts: np.ndarray, size: int) -> int:
    """Pixels of a grid that any of the windows shows; their first pixels are (row or column, window)."""
    ends = np.minimum(starts + size, np.array(grid.shape_yx)[:, np.newaxis])
    # Between neighbouring borders, all pixels are seen or none.
    rows, cols = (np.unique(np.concatenate(both)) for both in zip(starts, ends, strict=True))
    (top, left), (bottom, right) = (
        (np.searchsorted(rows, row), np.searchsorted(cols, col)) for row, col in (starts, ends)
    )
    edges = np.zeros((len(rows), len(cols)), np.int64)
    for row, col, step in ((top, left, 1), (bottom, right, 1), (top, right, -1), (bottom, left, -1)):
        np.add.at(edges, (row, col), step)
    seen = edges.cumsum(axis=0).cumsum(axis=1) > 0
    return int(np.diff(rows) @ seen[:-1, :-1].astype(np.int64) @ np.diff(cols))


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
