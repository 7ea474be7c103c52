"""What the NBAR kernel computes, in plain NumPy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import s2kernels as k

    from ._types import Numbers, Pixels, Results


def nbar(
    dn: Pixels,
    radiometry: k.Radiometry,
    model: k.BrdfModel,
    geometry: k.ViewGeometry,
    detectors: Numbers,
    out: Any,
) -> Results:
    """Factors of every slot on a lattice of knots; each pixel takes those of its detector, bilinear."""
    adjusted = np.empty(dn.shape, np.float32)
    lost = np.zeros(len(dn), np.int64)
    rows, cols = (
        first + np.arange(size) for first, size in zip(geometry.place.origin_yx, dn.shape[1:], strict=True)
    )
    for band, (values, plane) in enumerate(zip(dn, np.asarray(geometry.planes), strict=True)):
        has_data = (values != 0) & (values == values)
        factor: Numbers = np.ones(values.shape)
        scaled = values.astype(np.float32)
        if plane >= 0 and values.size:
            weights = [float(np.asarray(column)[band]) for column in model[:3]]
            slots = geometry.view.slots[plane, detectors[plane]]
            factor = _factors(geometry, weights, model.sun_zenith_deg, rows, cols, slots)
            lost[band] = np.count_nonzero(has_data & np.isnan(factor))
            offset = np.float64(np.float32(np.asarray(radiometry.offset)[band]))
            with np.errstate(over="ignore", invalid="ignore"):
                scaled = (factor * (values.astype(np.float64) + offset) - offset).astype(np.float32)
            scaled[scaled == 0] = 1e-30
        adjusted[band] = np.where(has_data & ~np.isnan(factor), scaled, np.float32(0))
    return adjusted, lost


def _factors(
    geometry: k.ViewGeometry,
    weights: list[float],
    sun_zenith_deg: float,
    rows: Numbers,
    cols: Numbers,
    slots: Numbers,
) -> Numbers:
    """Factor of every pixel, NaN where it is unknown."""
    step = geometry.knot_px
    knot_rows = np.arange(rows[0] // step, rows[-1] // step + 2)
    knot_cols = np.arange(cols[0] // step, cols[-1] // step + 2)
    col, row = (
        _bilinear(
            part, knot_rows * step / geometry.place.step_yx[0], knot_cols * step / geometry.place.step_yx[1]
        )
        for part in geometry.place.nodes
    )
    height, width = geometry.sun.shape[:2]
    inside = (col >= -1) & (col <= width) & (row >= -1) & (row <= height)
    sun = _vectors(geometry.sun, row, col)
    lit = kernels(np.tan(np.radians(sun_zenith_deg)), 0.0, 0.0, 0.0)
    nadir = weights[0] + weights[1] * lit[0] + weights[2] * lit[1]
    knots = np.full((len(geometry.view.vectors), *row.shape), np.nan)
    with np.errstate(all="ignore"):
        for slot, vectors in enumerate(geometry.view.vectors):
            view = _vectors(vectors, row, col)
            thick, sparse = kernels(*(sun[..., :2] / sun[..., 2:]).T, *(view[..., :2] / view[..., 2:]).T)
            seen = (weights[0] + weights[1] * thick + weights[2] * sparse).T
            usable = inside & (sun[..., 2] > 0) & (view[..., 2] > 0) & (seen > 0)
            knots[slot] = np.where(usable, np.rint(nadir / seen * 2.0**26) / 2.0**26, np.nan)
        i, j = (rows // step - knot_rows[0])[:, None], (cols // step - knot_cols[0])[None, :]
        down = ((rows - rows // step * step) / step)[:, None]
        near, far = ((knots[slots, i, j + right], knots[slots, i + 1, j + right]) for right in (0, 1))
        left = near[0] + (near[1] - near[0]) * down
        slope = (far[0] + (far[1] - far[0]) * down - left) / step
        factor = left + slope * (cols - cols // step * step)[None, :]
    result: Numbers = np.where((slots >= 0) & np.isfinite(left + slope), factor, np.nan)
    return result


def kernels(sun_x: Any, sun_y: Any, view_x: Any, view_y: Any) -> tuple[Any, Any]:
    """Ross-Thick and Li-Sparse-Reciprocal, of horizontal parts of directions whose vertical part is 1."""
    sun_cos = 1 / np.sqrt(1 + sun_x**2 + sun_y**2)
    view_cos = 1 / np.sqrt(1 + view_x**2 + view_y**2)
    cos_phase = np.clip((1 + sun_x * view_x + sun_y * view_y) * sun_cos * view_cos, -1, 1)
    phase = np.arccos(cos_phase)
    thick = ((np.pi / 2 - phase) * cos_phase + np.sin(phase)) / (sun_cos + view_cos) - np.pi / 4
    secs = 1 / sun_cos + 1 / view_cos
    apart = np.hypot(sun_x - view_x, sun_y - view_y)
    t = np.arccos(np.minimum(2 * np.hypot(apart, sun_x * view_y - sun_y * view_x) / secs, 1))
    overlap = (t - np.sin(t) * np.cos(t)) * secs / np.pi
    return thick, overlap - secs + (1 + cos_phase) / 2 / sun_cos / view_cos


def _vectors(grid: Numbers, row: Numbers, col: Numbers) -> Numbers:
    finite = np.where(np.isfinite(row + col), 0, np.nan)
    row, col = np.nan_to_num(row), np.nan_to_num(col)
    i = np.clip(np.floor(row).astype(np.intp), 0, grid.shape[0] - 2)
    j = np.clip(np.floor(col).astype(np.intp), 0, grid.shape[1] - 2)
    down, right = (row - i)[..., None], (col - j)[..., None]
    upper = grid[i, j] + (grid[i, j + 1] - grid[i, j]) * right
    lower = grid[i + 1, j] + (grid[i + 1, j + 1] - grid[i + 1, j]) * right
    result: Numbers = upper + (lower - upper) * down + finite[..., None]
    return result


def _bilinear(grid: Numbers, row: Numbers, col: Numbers) -> Numbers:
    i = np.minimum(row.astype(np.intp), grid.shape[0] - 2)[:, None]
    j = np.minimum(col.astype(np.intp), grid.shape[1] - 2)[None, :]
    down, right = row[:, None] - i, col[None, :] - j
    upper = grid[i, j] + (grid[i, j + 1] - grid[i, j]) * right
    lower = grid[i + 1, j] + (grid[i + 1, j + 1] - grid[i + 1, j]) * right
    result: Numbers = upper + (lower - upper) * down
    return result
