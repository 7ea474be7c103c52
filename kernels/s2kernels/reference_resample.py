"""The part of the comparison table that is about resampling: kernels beside plain NumPy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

import s2kernels as k

from .reference import Arguments, Comparison

if TYPE_CHECKING:
    from ._types import Numbers, Pixels, Results


def block_mean(dn: Pixels, factor: int, minimum_valid: int, out: Any) -> Results:
    """Sum over count of the valid pixels of each block."""
    height, width = out.shape
    blocks = dn.astype(np.float64).reshape(height, factor, width, factor)
    count = (blocks != 0).sum(axis=(1, 3))
    mean = blocks.sum(axis=(1, 3)) / np.maximum(count, 1)
    return (np.where(count >= minimum_valid, mean, 0).astype(np.float32),)


def double_bilinear(dn: Pixels, first_row: int, out: Any) -> Results:
    """Four neighbours of every output pixel, those that are invalid or outside left out of sum and weight."""
    rows, columns = (np.arange(size) for size in out.shape)
    total, weight = np.zeros(out.shape), np.zeros(out.shape)
    for row, row_weight in _neighbours(rows + first_row):
        for column, column_weight in _neighbours(columns):
            inside = np.logical_and.outer(
                (row >= 0) & (row < dn.shape[0]), (column >= 0) & (column < dn.shape[1])
            )
            value = dn[np.clip(row, 0, dn.shape[0] - 1)][:, np.clip(column, 0, dn.shape[1] - 1)]
            part = np.where(inside & (value != 0), row_weight * column_weight, 0.0)
            total += part * value
            weight += part
    own = dn[(rows + first_row) // 2][:, columns // 2]
    with np.errstate(invalid="ignore"):
        return (np.where(own != 0, total / weight, 0).astype(np.float32),)


def _neighbours(position: Numbers) -> tuple[tuple[Numbers, float], tuple[Numbers, float]]:
    """The source pixel that holds an output pixel, and the next one on the side where it lies."""
    own = position // 2
    return (own, 0.75), (own + np.where(position % 2 == 0, -1, 1), 0.25)


def _stored(dn: Pixels) -> Numbers:
    return np.ascontiguousarray(np.nan_to_num(dn[0], posinf=65535).clip(0, 65535).astype(np.uint16))


def _meaning(factor: int, minimum_valid: int) -> Comparison:
    def inputs(dn: Pixels, rng: np.random.Generator) -> Arguments:
        height, width = (size // factor * factor for size in dn.shape[1:])
        stored = np.ascontiguousarray(_stored(dn)[:height, :width])
        return {"dn": stored, "factor": factor, "minimum_valid": minimum_valid}

    def outputs(inputs: Arguments) -> Arguments:
        return {"out": np.full([size // factor for size in inputs["dn"].shape], 77, np.float32)}

    return Comparison(
        f"block_mean[{factor}, {minimum_valid}]",
        k.block_mean,
        block_mean,
        inputs,
        outputs,
        _nbytes,
        copy_share=0.0,
    )


def _nbytes(inputs: Arguments, outputs: Arguments) -> int:
    result: int = inputs["dn"].nbytes + outputs["out"].nbytes
    return result


RESAMPLING = (
    _meaning(2, 1),
    _meaning(2, 3),
    _meaning(3, 1),
    _meaning(6, 18),
    Comparison(
        "double_bilinear",
        k.double_bilinear,
        double_bilinear,
        lambda dn, rng: {"dn": _stored(dn), "first_row": 0},
        lambda inputs: {"out": np.full([2 * size for size in inputs["dn"].shape], 77, np.float32)},
        _nbytes,
        copy_share=0.0,
    ),
)
"""Kernels that run in many threads at once, a core each: no share of a parallel copy is aimed at."""
