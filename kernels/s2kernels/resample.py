"""Resampling between grids whose pixels nest: the mean of blocks, and bilinear doubling.

Both equal GDAL's warper (`average` and `bilinear`, nodata 0, no overviews) to the last bit where the grids share
their upper-left corner and one pixel size is a whole multiple of the other; a test in s2pipe holds them to it.

These kernels use one core each: they run in the threads that decode, one per band, where more threads would only wait
for each other.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from . import _check
from ._compile import kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ._types import Numbers, Pixels


def block_mean(dn: NDArray[np.uint16], factor: int, minimum_valid: int, out: NDArray[np.float32]) -> None:
    """Write the mean of the valid pixels (DN not 0) of each block of `factor` x `factor` pixels.

    Parameters
    ----------
    dn : uint16 array (y * factor, x * factor)
        Stored numbers, nodata 0.
    factor : int
        Pixels along a block's side, 1 to 16.
    minimum_valid : int
        Blocks with fewer valid pixels become 0; 1 keeps every block that has one.
    out : float32 array (y, x)
        Overwritten.

    Raises
    ------
    TypeError, ValueError
        If an array has another dtype, shape or layout, or a number is out of range.
    """
    dn = _check.array("dn", dn, np.uint16, 2)
    out = _check.array("out", out, np.float32, 2, written=True)
    if not 1 <= factor <= 16:
        msg = f"factor: expected 1 to 16, got {factor}; warp such a raster instead"
        raise ValueError(msg)
    if not 1 <= minimum_valid <= factor * factor:
        msg = f"minimum_valid: expected 1 to {factor * factor}, got {minimum_valid}"
        raise ValueError(msg)
    _check.same_shape("dn", dn, "out", (out.shape[0] * factor, out.shape[1] * factor))
    if out.size == 0:
        return
    if factor == 2:
        _mean_of_4(dn, minimum_valid, out)
    else:
        _block_mean(dn, factor, minimum_valid, out)


@kernel("block_mean", "void(u2[:, ::1], i8, f4[:, ::1])", inputs=1, parallel=False)
def _mean_of_4(dn: Pixels, minimum_valid: int, out: Numbers) -> None:
    # Sums of four DN are exact in float32, and the one division is rounded once, as GDAL's double is when it becomes
    # float32. Written out for 2 x 2 it is vectorised; the loop over blocks below is 5 times slower.
    height, width = out.shape
    for y in range(height):
        upper = dn[2 * y]
        lower = dn[2 * y + 1]
        row = out[y]
        for x in range(width):
            a = np.int32(upper[2 * x])
            b = np.int32(upper[2 * x + 1])
            c = np.int32(lower[2 * x])
            d = np.int32(lower[2 * x + 1])
            count = np.int32(a != 0) + np.int32(b != 0) + np.int32(c != 0) + np.int32(d != 0)
            mean = np.float32(a + b + c + d) / np.float32(max(count, np.int32(1)))
            row[x] = mean if count >= minimum_valid else np.float32(0)


@kernel("block_mean:any", "void(u2[:, ::1], i8, i8, f4[:, ::1])", inputs=1, parallel=False)
def _block_mean(dn: Pixels, factor: int, minimum_valid: int, out: Numbers) -> None:
    height, width = out.shape
    for y in range(height):
        for x in range(width):
            total = np.int64(0)
            count = np.int64(0)
            for row in range(y * factor, (y + 1) * factor):
                for column in range(x * factor, (x + 1) * factor):
                    value = dn[row, column]
                    total += value
                    count += value != 0
            out[y, x] = np.float32(total) / np.float32(count) if count >= minimum_valid else np.float32(0)


def double_bilinear(dn: NDArray[np.uint16], first_row: int, out: NDArray[np.float32]) -> None:
    """Write rows of a raster of half the pixel size, bilinearly interpolated between valid pixels (DN not 0).

    The four nearest source pixels have the weights 9/16, 3/16, 3/16 and 1/16; those that are not valid, or outside,
    do not take part. Output pixels whose own source pixel is not valid are 0.

    Parameters
    ----------
    dn : uint16 array (rows, x)
        Stored numbers of the source rows that the output needs, nodata 0: one row above and one below what the output
        covers, where the raster has them.
    first_row : int
        How many rows of output, counted from the upper edge of the first row of `dn`, come before the first row of
        `out`: 0 at the upper end of the raster, 2 where `dn` starts one source row earlier.
    out : float32 array (y, 2 * x)
        Overwritten.

    Raises
    ------
    TypeError, ValueError
        If an array has another dtype, shape or layout, or `dn` has too few rows.
    """
    dn = _check.array("dn", dn, np.uint16, 2)
    out = _check.array("out", out, np.float32, 2, written=True)
    if out.shape[1] != 2 * dn.shape[1]:
        msg = f"out: expected {2 * dn.shape[1]} columns to go with dn, got {out.shape[1]}"
        raise ValueError(msg)
    if first_row < 0 or first_row + out.shape[0] > 2 * dn.shape[0]:
        msg = f"out: rows {first_row} to {first_row + out.shape[0]} are not among the {2 * dn.shape[0]} of dn"
        raise ValueError(msg)
    if out.size:
        _double_bilinear(dn, first_row, out)


@kernel("double_bilinear", "void(u2[:, ::1], i8, f4[:, ::1])", inputs=1, parallel=False)
def _double_bilinear(dn: Pixels, first_row: int, out: Numbers) -> None:
    # Weights are sixteenths and DN have 16 bits: every product and sum is exact in float32, whatever its order.
    rows, width = dn.shape
    quarter = np.float32(0.25)
    for y in range(out.shape[0]):
        row = first_row + y
        near = dn[row // 2]
        other = row // 2 - 1 if row % 2 == 0 else row // 2 + 1
        outside = other < 0 or other >= rows
        far = near if outside else dn[other]
        far_weight = np.float32(0) if outside else quarter
        target = out[y]
        for x in range(width):
            left = max(x - 1, 0)
            right = min(x + 1, width - 1)
            side_left = quarter if x > 0 else np.float32(0)
            side_right = quarter if x < width - 1 else np.float32(0)
            # Each column's two pixels first, weighted down the column: 0.75 near, 0.25 far.
            near_weight = np.float32(0.75)
            own_sum = near_weight * np.float32(near[x]) + far_weight * np.float32(far[x])
            own_part = near_weight * np.float32(near[x] != 0) + far_weight * np.float32(far[x] != 0)
            left_sum = near_weight * np.float32(near[left]) + far_weight * np.float32(far[left])
            left_part = near_weight * np.float32(near[left] != 0) + far_weight * np.float32(far[left] != 0)
            right_sum = near_weight * np.float32(near[right]) + far_weight * np.float32(far[right])
            right_part = near_weight * np.float32(near[right] != 0) + far_weight * np.float32(far[right] != 0)
            keep = near[x] != 0
            part = near_weight * own_part + side_left * left_part
            total = near_weight * own_sum + side_left * left_sum
            target[2 * x] = total / part if keep else np.float32(0)
            part = near_weight * own_part + side_right * right_part
            total = near_weight * own_sum + side_right * right_sum
            target[2 * x + 1] = total / part if keep else np.float32(0)
