"""What the angle kernel computes, in plain NumPy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import s2kernels as k

    from ._types import Numbers, Results


def interpolate_directions(
    field: k.DirectionField,
    place: k.Placement,
    detectors: Numbers | None,
    encoding: k.AngleEncoding,
    out: Any,
) -> Results:
    """Pixel by pixel: four corners per band, their sum, and its angles by arctangent."""
    shape_yx = out.shape[1:]
    y, x = (
        first + np.arange(size, dtype=np.float64)
        for first, size in zip(place.origin_yx, shape_yx, strict=True)
    )
    col, row = (_bilinear(part, y / place.step_yx[0], x / place.step_yx[1]) for part in place.nodes)
    node_rows, node_cols = field.vectors.shape[1:3]
    rim = 1e-9  # a pixel on the outermost nodes must not depend on rounding
    inside = (col >= -rim) & (col <= node_cols - 1 + rim) & (row >= -rim) & (row <= node_rows - 1 + rim)
    col, row = np.where(inside, np.maximum(col, 0), 0), np.where(inside, np.maximum(row, 0), 0)
    cell_col = np.minimum(col.astype(np.intp), field.vectors.shape[2] - 2)
    cell_row = np.minimum(row.astype(np.intp), field.vectors.shape[1] - 2)
    fc, fr = (col - cell_col)[..., None], (row - cell_row)[..., None]
    total = np.zeros((*shape_yx, 3))
    for band, slots in enumerate(field.slots):
        ids = np.zeros(shape_yx, np.uint8) if detectors is None else detectors[band]
        slot = slots[ids]
        inside_band = inside & (slot >= 0)
        a, b, c, d = (
            field.vectors[np.maximum(slot, 0), cell_row + down, cell_col + right]
            for down in (0, 1)
            for right in (0, 1)
        )
        vector = (a * (1 - fc) + b * fc) * (1 - fr) + (c * (1 - fc) + d * fc) * fr
        total += np.where(inside_band[..., None], vector, 0)
    total[(total == 0).all(axis=-1)] = np.nan
    east, north, up = np.moveaxis(total, -1, 0)
    zenith = np.arctan2(np.hypot(east, north), up)
    azimuth = np.arctan2(east, north)
    if encoding.degrees:
        return (_stored((np.degrees(zenith), np.degrees(azimuth) % 360.0), encoding),)
    return (_stored((np.sin(zenith), np.cos(zenith), np.sin(azimuth), np.cos(azimuth)), encoding),)


def _stored(channels: Sequence[Numbers], encoding: k.AngleEncoding) -> Numbers:
    stored = []
    for number, values in enumerate(channels):
        offset = encoding.azimuth_offset if number >= len(channels) // 2 else 0.0
        steps = np.rint((values - offset) / encoding.scale)
        if encoding.degrees and number == 1:
            steps = np.where(steps * encoding.scale + offset >= 360.0, -offset / encoding.scale, steps)
        back = steps if encoding.dtype == "int16" else steps * encoding.scale + offset
        stored.append(np.where(np.isnan(back), encoding.missing, back).astype(encoding.dtype))
    return np.stack(stored)


def _bilinear(grid: Numbers, row: Numbers, col: Numbers) -> Numbers:
    i = np.minimum(row.astype(np.intp), grid.shape[0] - 2)[:, None]
    j = np.minimum(col.astype(np.intp), grid.shape[1] - 2)[None, :]
    fr, fc = row[:, None] - i, col[None, :] - j
    upper = grid[i, j] * (1 - fc) + grid[i, j + 1] * fc
    lower = grid[i + 1, j] * (1 - fc) + grid[i + 1, j + 1] * fc
    result: Numbers = upper * (1 - fr) + lower * fr
    return result
