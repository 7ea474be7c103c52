"""Directions between the nodes of angle grids: unit vectors interpolated and encoded in one pass."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from . import _check
from ._angle_pixels import write_degrees, write_sines
from ._compile import device, kernel, prange

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ._types import Float64, Numbers


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
        """Factor, offset, factor back and base of zenith and of azimuth; what 360 and 0 degrees become; `missing`."""
        factor, whole = 1.0 / self.scale, self.dtype == "int16"
        back = 1.0 if whole else self.scale
        bases = [0.0 if whole else offset for offset in (0.0, self.azimuth_offset)]
        turns = [(angle - self.azimuth_offset) * factor * back + bases[1] for angle in (360.0, 0.0)]
        zenith, azimuth = (factor, 0.0, back, bases[0]), (factor, self.azimuth_offset, back, bases[1])
        return np.array([*zenith, *azimuth, *turns, self.missing])


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
    if detectors is None:
        ids = np.zeros((len(slots), 1, 1), np.uint8)  # one for all pixels
    else:
        ids = _check.array("detectors", detectors, np.uint8, 3)
        _check.same_shape("detectors", ids, "field and out", (len(slots), *out.shape[1:]))
    if not (ids.size and out.size):
        return
    lattice, geometry = place.checked(out.shape[1:])
    run = _VARIANTS[encoding.dtype]
    run(vectors, slots, lattice, geometry, ids, encoding.numbers(), out)


def _interpolate_directions(
    vectors: Float64,
    slots: Numbers,
    lattice: Float64,
    geometry: Numbers,
    ids: Numbers,
    numbers: Float64,
    out: Numbers,
) -> None:
    # Along a row, a pixel's place between the nodes is linear from one point of the lattice to the next, so
    # that its cell and its detectors change only now and then: the row is cut there, the corners of a piece
    # are summed over the bands once, and the loop over pixels is arithmetic that vectorises. Gathering four
    # nodes per band for every pixel instead was 20 times slower with six bands. float64: near nadir, float32
    # vectors would turn the azimuth by 1e-4 degrees.
    width = out.shape[2]
    step_y, step_x, first_row, first_col = geometry[0], geometry[1], geometry[2], geometry[3]
    for y in prange(out.shape[1]):
        corners = np.empty((4, 3))
        i = min((y + first_row) // step_y, lattice.shape[1] - 2)
        down = (y + first_row) / step_y - i
        end = 0
        while end < width:
            t = end
            j = min((t + first_col) // step_x, lattice.shape[2] - 2)
            start = j * step_x - first_col  # window column of the lattice point on the left
            end = width if j == lattice.shape[2] - 2 else min(width, start + step_x)
            col, col_step = _along(lattice[0], i, j, down, step_x)
            row, row_step = _along(lattice[1], i, j, down, step_x)
            line = (col, col_step, row, row_step, start)
            while t < end:
                t = _write_piece(vectors, slots, ids, line, numbers, corners, out, y, t, end)


@device
def _along(grid: Any, i: Any, j: Any, down: Any, step: Any) -> Any:
    """Node coordinate at the lattice point on the left, between two rows of the lattice, and its step per pixel."""
    left = grid[i, j] + down * (grid[i + 1, j] - grid[i, j])
    right = grid[i, j + 1] + down * (grid[i + 1, j + 1] - grid[i, j + 1])
    return left, (right - left) / step


@device
def _write_piece(
    vectors: Any,
    slots: Any,
    ids: Any,
    line: Any,
    numbers: Any,
    corners: Any,
    out: Any,
    y: Any,
    t: Any,
    end: Any,
) -> Any:
    """Write pixels from t on that share a cell and detectors; return the first that does not."""
    rows, cols = vectors.shape[1:3]
    col, col_step, row, row_step, start = line
    c = col + col_step * (t - start)
    r = row + row_step * (t - start)
    if not (-1e-9 <= c <= cols - 1 + 1e-9 and -1e-9 <= r <= rows - 1 + 1e-9):
        _fill(out, y, t, t + 1, numbers[10])
        return t + 1
    cell_col = min(max(int(c), 0), cols - 2)
    cell_row = min(max(int(r), 0), rows - 2)
    # Neighbouring cells agree on their common side: a pixel too many changes nothing.
    stop = _end_of_cell(col, col_step, cell_col, start, end)
    stop = _end_of_cell(row, row_step, cell_row, start, stop)
    stop = _end_of_detectors(ids, out, y, t, max(stop, t + 1))
    if _sum_corners(vectors, slots, ids, out, y, t, cell_row, cell_col, corners) == 0:
        _fill(out, y, t, stop, numbers[10])
        return stop
    inside = (col - cell_col, col_step, row - cell_row, row_step, start)
    if out.shape[0] == 4:
        write_sines(corners, inside, numbers, out, y, t, stop)
    else:
        write_degrees(corners, inside, numbers, out, y, t, stop)
    return stop


@device
def _fill(out: Any, y: Any, t: Any, stop: Any, missing: Any) -> None:
    for channel in range(out.shape[0]):
        target = out[channel, y]
        for x in range(t, stop):
            target[x] = missing


@device
def _end_of_cell(position: Any, step: Any, cell: Any, start: Any, stop: Any) -> Any:
    """First pixel at or behind the far side of a cell along one axis, at most `stop`."""
    if step > 0:
        return min(stop, start + math.ceil(min((cell + 1 - position) / step, 1e9)))
    if step < 0:
        return min(stop, start + math.ceil(min((cell - position) / step, 1e9)))
    return stop


@device
def _one_for_all(ids: Any, out: Any) -> Any:
    return ids.shape[1] != out.shape[1] or ids.shape[2] != out.shape[2]


@device
def _end_of_detectors(ids: Any, out: Any, y: Any, t: Any, stop: Any) -> Any:
    """First pixel after t where the detector of any band is another, at most `stop`."""
    if not _one_for_all(ids, out):
        for band in range(ids.shape[0]):
            line = ids[band, y]
            detector = line[t]
            same = t + 1
            while same < stop and line[same] == detector:
                same += 1
            stop = same
    return stop


@device
def _sum_corners(
    vectors: Any,
    slots: Any,
    ids: Any,
    out: Any,
    y: Any,
    t: Any,
    cell_row: Any,
    cell_col: Any,
    corners: Any,
) -> Any:
    """Sum the vectors at a cell's corners over the bands that have a detector there; return how many have."""
    seen = 0
    corners[:] = 0.0
    everywhere = _one_for_all(ids, out)
    for band in range(ids.shape[0]):
        slot = slots[band, ids[band, 0, 0] if everywhere else ids[band, y, t]]
        if slot >= 0:
            seen += 1
            for k in range(3):
                corners[0, k] += vectors[slot, cell_row, cell_col, k]
                corners[1, k] += vectors[slot, cell_row, cell_col + 1, k]
                corners[2, k] += vectors[slot, cell_row + 1, cell_col, k]
                corners[3, k] += vectors[slot, cell_row + 1, cell_col + 1, k]
    return seen


_VARIANTS = {
    dtype: kernel(
        name,
        f"void(f8[:,:,:,::1], i2[:,::1], f8[:,:,::1], i8[::1], u1[:,:,::1], f8[::1], {code}[:,:,::1])",
        inputs=6,
    )(_interpolate_directions)
    for dtype, name, code in (
        ("float32", "interpolate_directions", "f4"),
        ("int16", "interpolate_directions:int16", "i2"),
    )
}
