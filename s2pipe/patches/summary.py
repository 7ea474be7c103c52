"""``summary.json``: what was kept and what was dropped, so that the bias of a filter can be seen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from s2pipe.config.schema import STEP3_SUMMARY
from s2pipe.dataset.label_meaning import CONDITIONS
from s2pipe.ground.split import SPLITS, SplitPlan
from s2pipe.patches.candidates.windows import REASONS, PatchTable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_BINS = 10


def summary_document(
    table: PatchTable,
    tiles: Sequence[str],
    months: Sequence[str],
    plan: SplitPlan,
    failed: Sequence[str],
    counts: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Count candidates, kept and dropped.

    Parameters
    ----------
    table : PatchTable
        All candidates.
    tiles, months : sequence of str
        Tile and calendar month of each sample.
    plan : SplitPlan
        The split.
    failed : sequence of str
        Samples that could not be read.
    counts : mapping, optional
        Scenes, cells, candidates and ground by split, before anything was dropped.
    """
    kept = table.kept
    reasons = np.bincount(table.reason, minlength=len(REASONS)).tolist()
    return {
        "schema": STEP3_SUMMARY,
        "candidates": len(table),
        "kept": int(kept.sum()),
        "dropped": int((~kept).sum()),
        "dropped_by_reason": {
            str(name): count for name, count in zip(REASONS, reasons, strict=True) if name and count
        },
        "by_split": _by_name([*SPLITS, "none"], table.split % (len(SPLITS) + 1), kept),
        "by_tile": _by_sample(tiles, table, kept),
        "by_month": _by_sample(months, table, kept),
        "by_class": _by_class(table, kept),
        **{f"by_{name}_cover": _by_share(table.share(name), kept) for name in CONDITIONS},
        "split": {
            "by": plan.by,
            "fingerprint": plan.rule_fingerprint,
            "separates_ground": not plan.same_ground,
            **({} if counts is None else {"counts": dict(counts)}),
        },
        "unreadable": list(failed),
    }


def _by_name(names: Sequence[str], codes: np.ndarray, kept: np.ndarray) -> dict[str, dict[str, int]]:
    """Kept and dropped by code; a code of -1 modulo the number of names is the last name."""
    counts = np.bincount(codes.astype(np.int64) * 2 + kept, minlength=2 * len(names)).reshape(-1, 2).tolist()
    return {
        name: {"kept": yes, "dropped": no} for name, (no, yes) in zip(names, counts, strict=True) if no or yes
    }


def _by_sample(of_sample: Sequence[str], table: PatchTable, kept: np.ndarray) -> dict[str, dict[str, int]]:
    names, codes = np.unique(np.array(of_sample, str), return_inverse=True)
    return _by_name(names.tolist(), codes[table.scene], kept)


def _by_class(table: PatchTable, kept: np.ndarray) -> dict[str, dict[str, int]]:
    result = {}
    for column, label in enumerate(table.labels):
        counts = table.counts[:, column]
        result[str(label)] = {
            "kept_patches": int(np.count_nonzero(counts[kept])),
            "dropped_patches": int(np.count_nonzero(counts[~kept])),
            "kept_pixels": int(counts[kept].sum(dtype=np.int64)),
            "dropped_pixels": int(counts[~kept].sum(dtype=np.int64)),
        }
    return result


def _by_share(share: np.ndarray, kept: np.ndarray) -> dict[str, dict[str, int]]:
    """By tenths of the valid pixels with a condition; patches of which it is not known are in none."""
    known = ~np.isnan(share)
    tenth = np.minimum((share[known] * _BINS).astype(np.int64), _BINS - 1)
    names = [f"{i / _BINS:g}-{(i + 1) / _BINS:g}" for i in range(_BINS)]
    return _by_name(names, tenth, kept[known])
