"""What several kernels do with a run of pixels of one band; compiled into each of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ._compile import device

if TYPE_CHECKING:
    from ._types import Float32, Numbers, Pixels


@device
def has_data(value: Any) -> Any:
    """Tell whether a DN is neither 0 (nodata) nor NaN."""
    return (value != 0) & (value == value)


@device
def write_mask(row: Pixels, mask: Float32) -> None:
    """Write 1.0 where a DN is valid, else 0.0."""
    for x in range(mask.size):
        mask[x] = np.float32(1) if has_data(row[x]) else np.float32(0)


@device
def narrow_mask(row: Pixels, mask: Float32) -> None:
    """Write 0.0 where a DN is not valid, and leave the rest."""
    for x in range(mask.size):
        mask[x] = mask[x] if has_data(row[x]) else np.float32(0)


@device
def write_band_mask(row: Pixels, masks: Numbers, band: int, begin: int, end: int) -> None:
    """Write a band's own mask, or AND it into the single one, whose first band starts it."""
    count = masks.shape[0]
    mask = masks[min(band, count - 1), begin:end]
    if band < count:
        write_mask(row, mask)
    else:
        narrow_mask(row, mask)
