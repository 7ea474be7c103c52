"""Resampling kernels against NumPy, and what they refuse."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from s2kernels import block_mean, double_bilinear
from s2kernels.reference_resample import RESAMPLING
from tests.kernels.test_s2kernels_table import WINDOWS, compared

if TYPE_CHECKING:
    from s2kernels.reference import Comparison


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("comparison", RESAMPLING, ids=lambda comparison: comparison.name)
@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")
def test_kernel_equals_reference(comparison: Comparison, window: tuple[int, int]) -> None:
    inputs = comparison.inputs(WINDOWS[window](), np.random.default_rng(7))
    expected, got = compared(comparison, inputs)
    np.testing.assert_array_equal(got[0], expected[0])


@pytest.mark.parametrize(("top", "first", "height"), [(0, 0, 20), (4, 2, 11), (9, 3, 30), (19, 2, 42)])
def test_part_of_the_rows_equals_the_whole(top: Any, first: str, height: int) -> None:
    dn = np.random.default_rng(0).integers(0, 4000, (41, 30)).astype(np.uint16)
    dn[dn < 300] = 0
    whole, part = np.empty((82, 60), np.float32), np.empty((height, 60), np.float32)
    double_bilinear(dn, 0, whole)
    start = 2 * top + first
    bottom = min(41, (start + height + 1) // 2 + 1)
    double_bilinear(dn[top:bottom].copy(), first, part)
    np.testing.assert_array_equal(part, whole[start : start + height])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.zeros((4, 4), np.float32), 2, 1, np.zeros((2, 2), np.float32)), "dn: expected .* uint16"),
        ((np.zeros((4, 5), np.uint16), 2, 1, np.zeros((2, 2), np.float32)), "dn: expected shape"),
        ((np.zeros((4, 4), np.uint16), 17, 1, np.zeros((2, 2), np.float32)), "factor: expected 1 to 16"),
        ((np.zeros((4, 4), np.uint16), 2, 5, np.zeros((2, 2), np.float32)), "minimum_valid: expected 1 to 4"),
        ((np.zeros((4, 8), np.uint16)[:, ::2], 2, 1, np.zeros((2, 2), np.float32)), "C-contiguous"),
    ],
)
def test_block_mean_refuses_what_it_cannot_use(arguments: list[str], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        block_mean(*arguments)


@pytest.mark.parametrize(("first", "shape"), [(0, (9, 8)), (0, (8, 7)), (-1, (4, 8)), (5, (4, 8))])
def test_double_bilinear_refuses_rows_that_are_not_there(first: str, shape: Any) -> None:
    with pytest.raises(ValueError, match="out:"):
        double_bilinear(np.zeros((4, 4), np.uint16), first, np.zeros(shape, np.float32))
