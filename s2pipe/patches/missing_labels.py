"""Where labels that are quantities have no value: beyond their source, and where it has nodata."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping


def no_values(labels: Mapping[str, Any]) -> float | np.ndarray:
    """Return the value of pixels that have none: one number, or of named channels (channel, 1, 1).

    Parameters
    ----------
    labels : mapping
        Labels as ``shards.json`` describes them.
    """
    channels = labels.get("channels")
    marks = [np.nan if (mark := band.get("ignore_index")) is None else mark for band in channels or [labels]]
    return np.array(marks, np.float64).reshape(-1, 1, 1) if channels else float(marks[0])


def settle_labels(y: np.ndarray, no_value: float | np.ndarray, *, keep_nan: bool) -> np.ndarray:
    """Fill NaN with 0 in place unless it is to be kept; return where there is a value, bool of the same shape.

    Parameters
    ----------
    y : ndarray, (y, x), (channel, y, x), or either after an axis of time
        Labels, floating point.
    no_value : float or ndarray
        Value of pixels that have none, of each channel: NaN for quantities, the ignore index for classes.
    keep_nan : bool
        Leave NaN where it is. Ignore indices stay in any case.
    """
    missing = np.isnan(y)
    known: np.ndarray = ~missing & (y != no_value)
    if not keep_nan:
        y[missing] = 0
    return known
