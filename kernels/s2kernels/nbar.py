"""Nadir BRDF-adjusted reflectance: the c-factor of every pixel's own view direction, applied in one pass.

Kernels, c-factor and their sources are explained in docs/nbar.md of s2pipe.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from . import _check
from ._compile import device, dn_kernel, prange
from ._pixels import has_data

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from ._types import Float32, Float64, Numbers, Pixels
    from .angles import DirectionField, Placement
    from .reflectance import Radiometry

_ROUNDER = 1.5 * 2.0**52
_FACTOR_STEPS = 2.0**26
_ALMOST_ZERO = np.float32(1e-30)


class BrdfModel(NamedTuple):
    """Weights of the Ross-Thick/Li-Sparse-Reciprocal model, one per band, and the sun that values are brought to."""

    isotropic: ArrayLike
    """Weight of 1."""
    volumetric: ArrayLike
    """Weight of the Ross-Thick kernel."""
    geometric: ArrayLike
    """Weight of the Li-Sparse-Reciprocal kernel (height over radius of the crown 2, radii 1)."""
    sun_zenith_deg: float
    """Zenith of the sun after the adjustment, 0 to below 90 degrees; the view is from nadir."""

    def checked(self, bands: int) -> Float64:
        """Weights and reflectance under the sun of the adjustment, (band, 4), float64."""
        weights = [np.asarray(column, dtype=np.float64) for column in self[:3]]
        for name, column in zip(self._fields, weights, strict=False):
            if column.shape != (bands,) or not np.isfinite(column).all():
                msg = f"model.{name}: expected {bands} finite numbers, one per band, got {column.tolist()}"
                raise ValueError(msg)
        if not 0 <= self.sun_zenith_deg < 90:
            msg = f"model.sun_zenith_deg: expected 0 to below 90, got {self.sun_zenith_deg}"
            raise ValueError(msg)
        thick, sparse = brdf_kernels(self.sun_zenith_deg, 0.0, 0.0)
        nadir = weights[0] + weights[1] * thick + weights[2] * sparse
        if not (nadir > 0).all():
            msg = f"model: expected reflectance above 0 at nadir, got {nadir.tolist()}; check the weights"
            raise ValueError(msg)
        return np.ascontiguousarray(np.stack([*weights, nadir], axis=-1))


class ViewGeometry(NamedTuple):
    """From where the pixels of a window are lit and seen."""

    view: DirectionField
    """Directions to the satellite at the nodes, with the slots of each plane of detector ids."""
    sun: NDArray[np.float64]
    """Unit vectors to the sun at the nodes, (node row, node column, 3)."""
    place: Placement
    """Where the window's pixels lie between the nodes."""
    planes: ArrayLike
    """Plane of detector ids that each band goes by; -1 leaves the band as it is."""
    knot_px: int = 16
    """The factor is computed at every so many rows and columns of the raster, and is bilinear between. 320 m keep the
    error below 1e-5."""

    def checked(self, bands: int, nodes: tuple[int, ...], planes: int) -> tuple[Float64, NDArray[np.int64]]:
        """Sun vectors and planes of the right type and shape, else raise."""
        sun = np.ascontiguousarray(self.sun, dtype=np.float64)
        if sun.shape != (*nodes, 3):
            msg = f"geometry.sun: expected shape {(*nodes, 3)}, got {sun.shape}"
            raise ValueError(msg)
        of_band = np.ascontiguousarray(self.planes, dtype=np.int64)
        if of_band.shape != (bands,) or not ((of_band >= -1) & (of_band < planes)).all():
            msg = f"geometry.planes: expected {bands} numbers from -1 to {planes - 1}, got {of_band.tolist()}"
            raise ValueError(msg)
        if self.knot_px < 1:
            msg = f"geometry.knot_px: expected at least 1, got {self.knot_px}"
            raise ValueError(msg)
        return sun, of_band


def brdf_kernels(
    sun_zenith_deg: float, view_zenith_deg: float, relative_azimuth_deg: float
) -> tuple[float, float]:
    """Ross-Thick and Li-Sparse-Reciprocal kernel of one geometry.

    Parameters
    ----------
    sun_zenith_deg, view_zenith_deg : float
        From 0 to below 90.
    relative_azimuth_deg : float
        Azimuth of the sun less that of the satellite, both seen from the ground; 0 is backscatter.

    Returns
    -------
    (float, float)
        Both 0 for sun and view from nadir.
    """
    sun, view, azimuth = map(math.radians, (sun_zenith_deg, view_zenith_deg, relative_azimuth_deg))
    values: tuple[float, float] = _ross_li(
        math.tan(sun),
        0.0,
        math.tan(view) * math.cos(azimuth),
        math.tan(view) * math.sin(azimuth),
    )
    return values


def nbar(
    dn: Pixels,
    radiometry: Radiometry,
    model: BrdfModel,
    geometry: ViewGeometry,
    detectors: NDArray[np.uint8],
    out: Float32,
) -> NDArray[np.int64]:
    """Write the DN whose reflectance is the c-factor times that of the pixel: c * (DN + offset) - offset.

    The result goes on as DN, through every other kernel: values, validity and histograms are then all of the
    adjusted reflectance. The c-factor is the model's reflectance at nadir under `model.sun_zenith_deg` over its
    reflectance in the pixel's own geometry. Factors are rounded to 2**-26 where they are computed; they do not depend
    on the window that a pixel is in.

    Parameters
    ----------
    dn : float32 or uint16 array (band, y, x)
        Stored numbers, nodata 0 or NaN.
    radiometry : Radiometry
        Offset of each band.
    model : BrdfModel
        What the ground reflects into which direction.
    geometry : ViewGeometry
        Directions of sun and satellite.
    detectors : uint8 array (plane, y, x)
        Detector id of each pixel.
    out : float32 array (band, y, x)
        Overwritten; may be `dn` itself. 0 where a band is invalid, or has no direction.

    Returns
    -------
    int64 array (band)
        Pixels that have data, and no direction.

    Raises
    ------
    TypeError, ValueError
        If an array has another dtype, shape or layout, or the numbers do not fit the bands.
    """
    dn = _check.array("dn", dn, _check.DN, 3)
    out = _check.array("out", out, np.float32, 3, written=True)
    ids = _check.array("detectors", detectors, np.uint8, 3)
    _check.same_shape("out", out, "dn", dn.shape)
    bands, height, width = dn.shape
    vectors, slots = geometry.view.checked()
    _check.same_shape("detectors", ids, "dn and geometry.view", (len(slots), height, width))
    sun, planes = geometry.checked(bands, vectors.shape[1:3], len(slots))
    offset = radiometry.checked(bands)[0].astype(np.float64)
    numbers = model.checked(bands)
    if not dn.size:
        return np.zeros(bands, np.int64)
    lattice, where = geometry.place.checked(dn.shape[1:])
    knot_px, top = int(geometry.knot_px), int(where[2])
    strips = (top + height - 1) // knot_px - top // knot_px + 1
    lost = np.zeros((strips, bands), np.int64)
    nodes = (vectors, slots, sun, lattice, np.array([*where, knot_px], np.int64))
    _nbar[dn.dtype.char](dn, offset, numbers, *nodes, planes, ids, out, lost)
    total: NDArray[np.int64] = lost.sum(axis=0)
    return total


@device
def _ross_li(sun_x: Any, sun_y: Any, view_x: Any, view_y: Any) -> Any:
    """Both kernels, from the horizontal parts of directions to sun and satellite whose vertical part is 1."""
    sun_tan2 = sun_x * sun_x + sun_y * sun_y
    view_tan2 = view_x * view_x + view_y * view_y
    sun_sec = math.sqrt(1.0 + sun_tan2)
    view_sec = math.sqrt(1.0 + view_tan2)
    secs = sun_sec + view_sec
    product = sun_sec * view_sec
    cos_phase = min(max((1.0 + sun_x * view_x + sun_y * view_y) / product, -1.0), 1.0)
    phase = math.acos(cos_phase)
    quarter = 0.25 * math.pi
    around = (2.0 * quarter - phase) * cos_phase + math.sin(phase)
    thick = around / (1.0 / sun_sec + 1.0 / view_sec) - quarter
    apart = (sun_x - view_x) * (sun_x - view_x) + (sun_y - view_y) * (sun_y - view_y)
    cross = sun_x * view_y - sun_y * view_x
    cos_t = min(2.0 * math.sqrt(apart + cross * cross) / secs, 1.0)
    t = math.acos(cos_t)
    overlap = (t - math.sin(t) * cos_t) * secs / math.pi
    sparse = overlap - secs + 0.5 * (1.0 + cos_phase) * product
    return thick, sparse


@device
def _at(grid: Any, row: Any, col: Any, i: Any, j: Any) -> Any:
    """Bilinear value of a grid (y, x) in the cell (i, j), or beyond its sides."""
    down, right = row - i, col - j
    upper = grid[i, j] + (grid[i, j + 1] - grid[i, j]) * right
    lower = grid[i + 1, j] + (grid[i + 1, j + 1] - grid[i + 1, j]) * right
    return upper + (lower - upper) * down


@device
def _factor(
    vectors: Any, slot: Any, sun: Any, lattice: Any, where: Any, numbers: Any, band: Any, row: Any, col: Any
) -> Any:
    """The c-factor at a row and column of the raster; NaN where it cannot be known."""
    i = min(row // where[0], lattice.shape[1] - 2)
    j = min(col // where[1], lattice.shape[2] - 2)
    c = _at(lattice[0], row / where[0], col / where[1], i, j)
    r = _at(lattice[1], row / where[0], col / where[1], i, j)
    rows, cols = sun.shape[:2]
    if not (-1.0 <= c <= cols and -1.0 <= r <= rows):
        return np.nan
    i = min(max(math.floor(r), 0), rows - 2)
    j = min(max(math.floor(c), 0), cols - 2)
    sun_up = _at(sun[:, :, 2], r, c, i, j)
    up = _at(vectors[slot, :, :, 2], r, c, i, j)
    if not (sun_up > 0.0 and up > 0.0):
        return np.nan
    thick, sparse = _ross_li(
        _at(sun[:, :, 0], r, c, i, j) / sun_up,
        _at(sun[:, :, 1], r, c, i, j) / sun_up,
        _at(vectors[slot, :, :, 0], r, c, i, j) / up,
        _at(vectors[slot, :, :, 1], r, c, i, j) / up,
    )
    seen = numbers[band, 0] + numbers[band, 1] * thick + numbers[band, 2] * sparse
    if not seen > 0.0:
        return np.nan
    # Rounded, so that the last bit of an arccosine, which differs between libraries, is not seen in any pixel.
    return (numbers[band, 3] / seen * _FACTOR_STEPS + _ROUNDER - _ROUNDER) / _FACTOR_STEPS


@device
def _copy(row: Any, target: Any) -> None:
    for x in range(row.size):
        value = np.float32(row[x])
        target[x] = value if has_data(value) else np.float32(0)


@device
def _drop(row: Any, target: Any) -> Any:
    lost = 0
    for x in range(row.size):
        lost += 1 if has_data(np.float32(row[x])) else 0
        target[x] = np.float32(0)
    return lost


@device
def _scale(row: Any, target: Any, left: Any, step: Any, place: Any, offset: Any) -> None:
    """Multiply reflectance by a factor that is `left` at a knot and linear along the row, from `place` on."""
    for x in range(row.size):
        value = np.float32(row[x])
        # Not FMA: Numba contracts nothing without fastmath, so that every window gives the same bits.
        adjusted = np.float32((left + step * (place + x)) * (np.float64(value) + offset) - offset)
        adjusted = adjusted if adjusted != 0 else _ALMOST_ZERO  # 0 would be nodata
        target[x] = adjusted if has_data(value) else np.float32(0)


@device
def _run_end(ids: Any, start: Any, limit: Any) -> Any:
    """End of the pixels from `start` on that one detector saw, at most `limit`."""
    stop = start + 1
    while stop < limit and ids[stop] == ids[start]:
        stop += 1
    return stop


# A strip of knot_px rows of one band is one task. Its factors at the knots above and below are computed when a
# pixel of their detector first needs them: two arccosines each, 1/256 of the pixels. The loop over pixels waits
# for memory.
@dn_kernel(
    "nbar",
    "void({dn}[:,:,::1], f8[::1], f8[:,::1], f8[:,:,:,::1], i2[:,::1], f8[:,:,::1], f8[:,:,::1], i8[::1], "
    "i8[::1], u1[:,:,::1], f4[:,:,::1], i8[:,::1])",
    inputs=10,
)
def _nbar(
    dn: Pixels,
    offset: Float64,
    numbers: Float64,
    vectors: Float64,
    slots: Numbers,
    sun: Float64,
    lattice: Float64,
    where: Numbers,
    planes: Numbers,
    ids: Numbers,
    out: Numbers,
    lost: Numbers,
) -> None:
    bands, height, width = dn.shape
    first_row, first_col, knot_px = where[2], where[3], where[4]
    first_strip, first_block = first_row // knot_px, first_col // knot_px
    blocks = (first_col + width - 1) // knot_px - first_block + 1
    for item in prange(bands * lost.shape[0]):
        band, strip = item // lost.shape[0], item % lost.shape[0]
        plane, add = planes[band], offset[band]
        top = (first_strip + strip) * knot_px
        low = top + knot_px
        begin, end = max(top - first_row, 0), min(low - first_row, height)
        knots = np.empty((vectors.shape[0], blocks + 1, 2))
        made = np.zeros((vectors.shape[0], blocks + 1), np.uint8)
        count = 0
        for y in range(begin, end):
            row, target = dn[band, y], out[band, y]
            if plane < 0:
                _copy(row, target)
                continue
            down = (y + first_row - top) / knot_px
            own = ids[plane, y]
            t = 0
            while t < width:
                block = (t + first_col) // knot_px
                left_px = block * knot_px - first_col
                stop = _run_end(own, t, min(left_px + knot_px, width))
                slot = slots[plane, own[t]]
                left, step = np.nan, 0.0
                if slot >= 0:
                    first = block - first_block
                    for side in range(2):
                        if made[slot, first + side] == 0:
                            col = (block + side) * knot_px
                            knot = knots[slot, first + side]
                            knot[0] = _factor(vectors, slot, sun, lattice, where, numbers, band, top, col)
                            knot[1] = _factor(vectors, slot, sun, lattice, where, numbers, band, low, col)
                            made[slot, first + side] = 1
                    here, there = knots[slot, first], knots[slot, first + 1]
                    left = here[0] + (here[1] - here[0]) * down
                    step = (there[0] + (there[1] - there[0]) * down - left) / knot_px
                if left + step == left + step:
                    _scale(row[t:stop], target[t:stop], left, step, t - left_px, add)
                else:
                    count += _drop(row[t:stop], target[t:stop])
                t = stop
        lost[strip, band] = count
