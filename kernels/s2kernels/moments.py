"""Sums over the valid pixels of rows, from which mean and standard deviation of any number of windows follow."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from . import _check
from ._compile import kernel, prange

if TYPE_CHECKING:
    from ._types import Float32, Float64

MOMENTS = 5
"""Numbers of a row: count, least and greatest value, sum, sum of squares."""


def row_moments(values: Float32, valid: Float32) -> Float64:
    """Return count, minimum, maximum, sum and sum of squares of the valid pixels of every row.

    Parameters
    ----------
    values : float32 array (band, y, x)
        Values; NaN counts as invalid.
    valid : float32 array (y, x)
        Validity of all bands: above 0 where valid.

    Returns
    -------
    float64 array (band, y, 5)
        A row without a valid pixel has 0, infinity, -infinity, 0, 0.

    Raises
    ------
    TypeError, ValueError
        If an array has another dtype, shape or layout.
    """
    values = _check.array("values", values, np.float32, 3)
    valid = _check.array("valid", valid, np.float32, 2)
    _check.same_shape("valid", valid, "values", values.shape[1:])
    out = np.empty((*values.shape[:2], MOMENTS))
    out[:] = (0.0, np.inf, -np.inf, 0.0, 0.0)
    if values.size:
        _row_moments(values, valid, out)
    return out


@kernel("row_moments", "void(f4[:,:,::1], f4[:,::1], f8[:,:,::1])", inputs=2)
def _row_moments(values: Float32, valid: Float32, out: Float64) -> None:
    bands, rows, columns = values.shape
    for row in prange(rows):
        for band in range(bands):
            count, total, squares = 0, 0.0, 0.0
            least, greatest = np.inf, -np.inf
            for x in range(columns):
                value = np.float64(values[band, row, x])
                if valid[row, x] > 0 and value == value:
                    count += 1
                    total += value
                    squares += value * value
                    least = min(least, value)
                    greatest = max(greatest, value)
            out[band, row, 0] = count
            out[band, row, 1] = least
            out[band, row, 2] = greatest
            out[band, row, 3] = total
            out[band, row, 4] = squares
