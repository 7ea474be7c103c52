"""Plain NumPy beside the kernels that count and add: what :mod:`s2kernels.reference` compares them with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from ._types import Numbers, Results


def row_moments(values: Numbers, valid: Numbers) -> Results:
    """Count, least and greatest value, sum and sum of squares, added from left to right."""
    known = (valid > 0) & ~np.isnan(values)
    inside = np.where(known, values, 0).astype(np.float64)
    nothing = np.zeros((*inside.shape[:2], 1))
    parts = (
        known.sum(axis=-1),
        np.where(known, values, np.inf).min(axis=-1, initial=np.inf),
        np.where(known, values, -np.inf).max(axis=-1, initial=-np.inf),
        np.cumsum(np.concatenate((nothing, inside), axis=-1), axis=-1)[..., -1],
        np.cumsum(np.concatenate((nothing, inside**2), axis=-1), axis=-1)[..., -1],
    )
    return (np.stack(parts, axis=-1).astype(np.float64),)


def map_labels(labels: Numbers, lut: Numbers, out: Any, counts: Numbers) -> Results:
    """Labels through a lookup table, and their counts added up."""
    return lut[labels], counts + np.bincount(lut[labels].ravel(), minlength=counts.size)
