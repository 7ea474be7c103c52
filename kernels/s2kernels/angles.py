"""Directions between the nodes of angle grids: unit vectors interpolated and encoded in one pass."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from . import _check
from ._compile import kernel, prange

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ._types import Float64, Numbers

_ROUNDER = 1.5 * 2.0**52  # x + r - r rounds x to a whole number (half to even), and vectorises; rint does not


class DirectionField(NamedTuple):
    """Directions at the nodes of a regular grid, for as many detectors as there are.

    Nodes that a pixel needs should be finite: one that is NaN makes the pixels of its four cells NaN.
    """

    vectors: NDArray[np.float64]
    """Unit vectors east, north, up; (slot, node row, node column, 3)."""
    slots: NDArray[np.int16]
    """Slot of each detector id, (band, 256); -1 where a band has no such detector."""

    def checked(self) -> DirectionField:
        """Return contiguous arrays of the right type and shape, else raise."""
        vectors = np.ascontiguousarray(self.vectors, dtype=np.float64)
        slots = np.ascontiguousarray(self.slots, dtype=np.int16)
        if vectors.ndim != 4 or vectors.shape[3] != 3 or min(vectors.shape[1:3]) < 2:
            msg = f"field.vectors: expected shape (slot, 2 or more, 2 or more, 3), got {vectors.shape}"
            raise ValueError(msg)
        if slots.ndim != 2 or slots.shape[1] != 256:
            msg = f"field.slots: expected shape (band, 256), got {slots.shape}"
            raise ValueError(msg)
        if slots.size and int(slots.max()) >= len(vectors):
            msg = f"field.slots: expected slots below {len(vectors)}, got {int(slots.max())}"
            raise ValueError(msg)
        return DirectionField(vectors, slots)


class Placement(NamedTuple):
    """Where the pixels of a window lie between the nodes.

    Node coordinates of pixel centres are given at every `step_yx`-th pixel of a raster, and are bilinear
    between: two by two points are exact for a raster in the nodes' own projection.
    """

    nodes: NDArray[np.float64]
    """Node column and node row at the lattice's points, (2, lattice row, lattice column)."""
    step_yx: tuple[int, int]
    """Rows and columns from one point of the lattice to the next."""
    origin_yx: tuple[int, int]
    """Row and column of the window's first pixel in the raster; the lattice starts at (0, 0)."""

    def checked(self, shape_yx: tuple[int, ...]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Return the lattice and its four integers for a window, else raise."""
        nodes = np.ascontiguousarray(self.nodes, dtype=np.float64)
        if nodes.ndim != 3 or nodes.shape[0] != 2 or min(nodes.shape[1:]) < 2:
            msg = f"place.nodes: expected shape (2, 2 or more, 2 or more), got {nodes.shape}"
            raise ValueError(msg)
        for axis, (points, step, first, size) in enumerate(
            zip(nodes.shape[1:], self.step_yx, self.origin_yx, shape_yx, strict=True)
        ):
            if step < 1 or first < 0 or (points - 1) * step < first + size - 1:
                msg = (
                    f"place: {points} points every {step} pixels do not cover pixels {first} to "
                    f"{first + size - 1} of axis {axis} (0 is rows)"
                )
                raise ValueError(msg)
        return nodes, np.array([*self.step_yx, *self.origin_yx], dtype=np.int64)


class AngleEncoding(NamedTuple):
    """How directions are stored: stored = round((value - offset) / scale), value = stored * scale + offset.

    float32 holds the values themselves, rounded to multiples of `scale`: far below the angles' own accuracy,
    and files shrink, because the last bits would be noise.
    """

    degrees: bool
    """Zenith and azimuth in degrees, else sine and cosine of each."""
    dtype: str
    """``float32`` or ``int16``."""
    scale: float
    """Step of the stored values."""
    azimuth_offset: float
    """Value that is stored as 0, for the azimuth in degrees."""

    @classmethod
    def of(cls, encode: str, dtype: str = "float32") -> AngleEncoding:
        """Return the encoding called ``sin_cos`` or ``deg``, as ``float32`` or ``int16``."""
        known = {
            ("sin_cos", "float32"): cls(False, "float32", 2.0**-20, 0.0),
            ("deg", "float32"): cls(True, "float32", 2.0**-15, 0.0),
            ("sin_cos", "int16"): cls(False, "int16", 2.0**-14, 0.0),
            ("deg", "int16"): cls(True, "int16", 0.01, 180.0),
        }
        if (encode, dtype) not in known:
            msg = f"angle encoding: expected one of {', '.join(' '.join(k) for k in known)}, got {encode} {dtype}"
            raise ValueError(msg)
        return known[encode, dtype]

    @property
    def channels(self) -> int:
        """Channels of one direction."""
        return 2 if self.degrees else 4

    @property
    def missing(self) -> float:
        """Stored value of a pixel without direction."""
        return -32768.0 if self.dtype == "int16" else math.nan

    def numbers(self) -> NDArray[np.float64]:
        """Per angle: factor, offset, factor back, base, and what is stored for 360 and for 0 degrees."""
        factor, whole = 1.0 / self.scale, self.dtype == "int16"
        back = 1.0 if whole else self.scale
        rows = []
        for offset in (0.0, self.azimuth_offset):
            base = 0.0 if whole else offset
            rows.append(
                (factor, offset, back, base, *((v - offset) * factor * back + base for v in (360.0, 0.0)))
            )
        return np.array(rows)


def interpolate_directions(
    field: DirectionField,
    place: Placement,
    detectors: NDArray[np.uint8] | None,
    encoding: AngleEncoding,
    out: NDArray[Any],
) -> None:
    """Interpolate directions to the pixels of a window and encode them.

    Each band's vectors are bilinear between the nodes of the pixel's own detector; with several bands, the
    direction is that of the vectors' sum over the bands that have a detector there.

    Parameters
    ----------
    field : DirectionField
        Directions at nodes.
    place : Placement
        Where the window's pixels lie.
    detectors : uint8 array (band, y, x), or None
        Detector id of each pixel; None stands for 0 everywhere.
    encoding : AngleEncoding
        What is stored.
    out : array (channel, y, x) of the encoding's dtype
        Overwritten: sine and cosine of zenith and azimuth, or zenith and azimuth in degrees, azimuth from 0
        to below 360. Missing where no band has a detector, or outside the nodes.

    Raises
    ------
    TypeError, ValueError
        If an array has another dtype, shape or layout, or the lattice does not cover the window.
    """
    out = _check.array("out", out, np.dtype(encoding.dtype), 3, written=True)
    if out.shape[0] != encoding.channels:
        msg = f"out: expected shape ({encoding.channels}, y, x), got {out.shape}"
        raise ValueError(msg)
    vectors, slots = field.checked()
    everywhere = detectors is None
    if detectors is None:
        ids = np.zeros((len(slots), 1, 1), np.uint8)
    else:
        ids = _check.array("detectors", detectors, np.uint8, 3)
        _check.same_shape("detectors", ids, "field and out", (len(slots), *out.shape[1:]))
    if not (ids.size and out.size):
        return
    lattice, geometry = place.checked(out.shape[1:])
    flags = np.array([encoding.degrees, everywhere])
    run = _VARIANTS[encoding.dtype]
    run(vectors, slots, lattice, geometry, ids, encoding.numbers(), flags, encoding.missing, out)


def _interpolate_directions(
    vectors: Float64,
    slots: Numbers,
    lattice: Float64,
    geometry: Numbers,
    ids: Numbers,
    numbers: Numbers,
    flags: Numbers,
    missing: float,
    out: Numbers,
) -> None:
    # Along a row, a pixel's place between the nodes is linear from one point of the lattice to the next, so
    # that its cell and its detectors change only now and then: the row is cut there, the corners of a piece
    # are summed over the bands once, and the loop over pixels is arithmetic that vectorises. Gathering four
    # nodes a band for every pixel instead was 20 times slower with six bands. float64: near nadir, float32
    # vectors would turn the azimuth by 1e-4 degrees.
    bands = ids.shape[0]
    height, width = out.shape[1:]
    rows, cols = vectors.shape[1:3]
    step_y, step_x, first_row, first_col = geometry[0], geometry[1], geometry[2], geometry[3]
    degrees, everywhere = flags[0], flags[1]
    zen_factor, zen_offset, zen_back, zen_base = numbers[0, :4]
    azi_factor, azi_offset, azi_back, azi_base, full_turn, no_turn = numbers[1]
    channels = out.shape[0]
    for y in prange(height):
        corners = np.empty((4, 3))
        i = min((y + first_row) // step_y, lattice.shape[1] - 2)
        down = (y + first_row) / step_y - i
        end = 0
        while end < width:
            begin = end
            j = min((begin + first_col) // step_x, lattice.shape[2] - 2)
            start = j * step_x - first_col  # window column of the lattice point on the left
            end = width if j == lattice.shape[2] - 2 else min(width, start + step_x)
            col = lattice[0, i, j] + down * (lattice[0, i + 1, j] - lattice[0, i, j])
            row = lattice[1, i, j] + down * (lattice[1, i + 1, j] - lattice[1, i, j])
            right_col = lattice[0, i, j + 1] + down * (lattice[0, i + 1, j + 1] - lattice[0, i, j + 1])
            right_row = lattice[1, i, j + 1] + down * (lattice[1, i + 1, j + 1] - lattice[1, i, j + 1])
            col_step = (right_col - col) / step_x
            row_step = (right_row - row) / step_x
            t = begin
            while t < end:
                c = col + col_step * (t - start)
                r = row + row_step * (t - start)
                if not (-1e-9 <= c <= cols - 1 + 1e-9 and -1e-9 <= r <= rows - 1 + 1e-9):
                    for channel in range(channels):
                        out[channel, y, t] = missing
                    t += 1
                    continue
                cell_col = min(max(int(c), 0), cols - 2)
                cell_row = min(max(int(r), 0), rows - 2)
                # Neighbouring cells agree on their common side: a pixel too many changes nothing.
                stop = end
                if col_step > 0:
                    stop = min(stop, start + math.ceil(min((cell_col + 1 - col) / col_step, 1e9)))
                elif col_step < 0:
                    stop = min(stop, start + math.ceil(min((cell_col - col) / col_step, 1e9)))
                if row_step > 0:
                    stop = min(stop, start + math.ceil(min((cell_row + 1 - row) / row_step, 1e9)))
                elif row_step < 0:
                    stop = min(stop, start + math.ceil(min((cell_row - row) / row_step, 1e9)))
                stop = max(stop, t + 1)
                if not everywhere:
                    for band in range(bands):
                        line = ids[band, y]
                        detector = line[t]
                        same = t + 1
                        while same < stop and line[same] == detector:
                            same += 1
                        stop = same
                seen = 0
                corners[:] = 0.0
                for band in range(bands):
                    slot = slots[band, 0] if everywhere else slots[band, ids[band, y, t]]
                    if slot >= 0:
                        seen += 1
                        for k in range(3):
                            corners[0, k] += vectors[slot, cell_row, cell_col, k]
                            corners[1, k] += vectors[slot, cell_row, cell_col + 1, k]
                            corners[2, k] += vectors[slot, cell_row + 1, cell_col, k]
                            corners[3, k] += vectors[slot, cell_row + 1, cell_col + 1, k]
                if seen == 0:
                    for channel in range(channels):
                        target = out[channel, y]
                        for x in range(t, stop):
                            target[x] = missing
                    t = stop
                    continue
                east, north, up = corners[0]
                east_c, north_c, up_c = corners[1] - corners[0]
                east_r, north_r, up_r = corners[2] - corners[0]
                east_cr, north_cr, up_cr = corners[3] - corners[2] - corners[1] + corners[0]
                c_start = col - cell_col
                r_start = row - cell_row
                if not degrees:
                    zen_sin, zen_cos, azi_sin, azi_cos = out[0, y], out[1, y], out[2, y], out[3, y]
                    for x in range(t, stop):
                        fc = c_start + col_step * (x - start)
                        fr = r_start + row_step * (x - start)
                        e = east + east_c * fc + (east_r + east_cr * fc) * fr
                        n = north + north_c * fc + (north_r + north_cr * fc) * fr
                        u = up + up_c * fc + (up_r + up_cr * fc) * fr
                        flat2 = e * e + n * n
                        flat = math.sqrt(flat2)
                        inverse = 1.0 / math.sqrt(flat2 + u * u)
                        turn = 1.0 / flat if flat > 0 else 0.0
                        a = flat * inverse * zen_factor + _ROUNDER - _ROUNDER
                        b = u * inverse * zen_factor + _ROUNDER - _ROUNDER
                        p = e * turn * azi_factor + _ROUNDER - _ROUNDER
                        q = (n * turn if flat != 0 else 1.0) * azi_factor + _ROUNDER - _ROUNDER
                        good = inverse == inverse
                        zen_sin[x] = a * zen_back if good else missing
                        zen_cos[x] = b * zen_back if good else missing
                        azi_sin[x] = p * azi_back if good else missing
                        azi_cos[x] = q * azi_back if good else missing
                else:
                    zenith, azimuth = out[0, y], out[1, y]
                    for x in range(t, stop):
                        fc = c_start + col_step * (x - start)
                        fr = r_start + row_step * (x - start)
                        e = east + east_c * fc + (east_r + east_cr * fc) * fr
                        n = north + north_c * fc + (north_r + north_cr * fc) * fr
                        u = up + up_c * fc + (up_r + up_cr * fc) * fr
                        flat = math.sqrt(e * e + n * n)
                        # Arcus tangent by hand, twice: calls of atan2 keep the loop from being vectorised, 6
                        # times slower. Reduced to |s| <= tan(22.5 degrees), where the polynomial (fitted at
                        # Chebyshev points) is off by 3e-13.
                        low = min(flat, u)
                        high = max(flat, u)
                        ratio = low / high if high > 0 else 0.0
                        big = ratio > 0.41421356237309503
                        s = (ratio - 1.0) / (ratio + 1.0) if big else ratio
                        w = s * s
                        poly = 0.06977007251959402 - 0.037701774302345746 * w
                        poly = 0.11103534961961065 + w * (-0.08993217715106384 + w * poly)
                        poly = 0.19999993188943355 + w * (-0.14285391261828229 + w * poly)
                        poly = 0.9999999999992705 + w * (-0.3333333327838488 + w * poly)
                        angle = s * poly + (0.7853981633974483 if big else 0.0)
                        angle = 1.5707963267948966 - angle if flat > u else angle
                        a = (angle * 57.29577951308232 - zen_offset) * zen_factor + _ROUNDER - _ROUNDER
                        good = flat + u == flat + u
                        zenith[x] = a * zen_back + zen_base if good else missing
                        low = min(abs(e), abs(n))
                        high = max(abs(e), abs(n))
                        ratio = low / high if high > 0 else 0.0
                        big = ratio > 0.41421356237309503
                        s = (ratio - 1.0) / (ratio + 1.0) if big else ratio
                        w = s * s
                        poly = 0.06977007251959402 - 0.037701774302345746 * w
                        poly = 0.11103534961961065 + w * (-0.08993217715106384 + w * poly)
                        poly = 0.19999993188943355 + w * (-0.14285391261828229 + w * poly)
                        poly = 0.9999999999992705 + w * (-0.3333333327838488 + w * poly)
                        angle = s * poly + (0.7853981633974483 if big else 0.0)
                        angle = 1.5707963267948966 - angle if abs(e) > abs(n) else angle
                        angle = 3.141592653589793 - angle if n < 0 else angle
                        angle = 6.283185307179586 - angle if e < 0 else angle
                        p = (angle * 57.29577951308232 - azi_offset) * azi_factor + _ROUNDER - _ROUNDER
                        p = p * azi_back + azi_base
                        p = no_turn if p >= full_turn else p
                        azimuth[x] = p if good else missing
                t = stop


_VARIANTS = {
    dtype: kernel(
        name,
        f"void(f8[:,:,:,::1], i2[:,::1], f8[:,:,::1], i8[::1], u1[:,:,::1], f8[:,::1], b1[::1], f8, {code}[:,:,::1])",
        inputs=7,
    )(_interpolate_directions)
    for dtype, name, code in (
        ("float32", "interpolate_directions", "f4"),
        ("int16", "interpolate_directions:int16", "i2"),
    )
}
