"""Exact histograms: private counts for each thread, summed once at the end."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from . import _check
from ._compile import device, dn_kernel, flat, kernel, numba_module, prange
from ._pixels import has_data

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ._types import Float32, Numbers, Pixels
    from .reflectance import Radiometry

# Pixels binned before they are counted. Binning vectorises, counting does not, hence two loops; 64 is short
# enough for the processor to fetch the next pixels from memory while it still counts these: 64 -> 2.9 ms, 32
# -> 3.7, 256 -> 4.9, 1024 -> 4.4 for 16.7 million pixels on two cores, and 4.5 with 64 but a length unknown
# to the compiler.
_CHUNK = 64

# Behind the bins of a table: underflow in front, overflow and invalid after them.
_EXTRA = 3

# The table at DN resolution is indexed with uint16, and its float32 arithmetic is exact up to 2**24.
_MAX_DN_BINS = 2**16 - _EXTRA
_MAX_DN_EDGE = 2**22

_MAX_PIXELS = 2**32 - 1


@dataclass(frozen=True)
class HistogramSpec:
    """Bins [lower + i * width, lower + (i + 1) * width) for i in 0 .. n_bins - 1.

    Numbers are taken for the decimals they are written as: 1e-4 is one ten-thousandth, not the nearest
    double.
    """

    lower: float
    """Lower edge of the first bin, in the unit of the values."""
    width: float
    """Width of a bin, above 0, in the unit of the values."""
    n_bins: int
    """Number of bins, 1 or more."""

    def __post_init__(self) -> None:
        if not (np.isfinite([self.lower, self.width]).all() and self.width > 0 and 1 <= self.n_bins < 2**30):
            msg = (
                "HistogramSpec: expected a finite lower edge, a width above 0 and 1 to 2**30 bins, got "
                f"lower {self.lower}, width {self.width}, n_bins {self.n_bins}"
            )
            raise ValueError(msg)

    @classmethod
    def from_range(cls, low: float, high: float, width: float) -> HistogramSpec:
        """Split a range that is a whole number of bins.

        Raises
        ------
        ValueError
            If it is not.
        """
        bins = (_decimal(high) - _decimal(low)) / _decimal(width) if width else Fraction(0)
        if bins < 1 or bins.denominator != 1:
            msg = (
                f"histogram range [{low}, {high}] with bin width {width}: expected a whole number of bins, "
                f"got {float(bins)}; change the width or an end"
            )
            raise ValueError(msg)
        return cls(low, width, int(bins))

    @property
    def edges(self) -> NDArray[np.float64]:
        """The n_bins + 1 edges, each the double nearest to its exact value."""
        lower, width = _decimal(self.lower), _decimal(self.width)
        return np.array([float(lower + i * width) for i in range(self.n_bins + 1)])

    @property
    def centres(self) -> NDArray[np.float64]:
        """The n_bins centres, each the double nearest to its exact value."""
        lower, width = _decimal(self.lower), _decimal(self.width)
        return np.array([float(lower + (2 * i + 1) * width / 2) for i in range(self.n_bins)])

    def in_dn(self, offset: float, quantification: float) -> tuple[Fraction, Fraction]:
        """Lower edge and width in DN, exactly: -0.2, offset -1000, quantification 10000 give DN -1000."""
        scale = _decimal(quantification)
        return _decimal(self.lower) * scale - _decimal(offset), _decimal(self.width) * scale


class Histogram(NamedTuple):
    """Counts of the valid pixels of each band."""

    counts: NDArray[np.int64]
    """(band, bin); values beyond the range are in the end bins."""
    underflow: NDArray[np.int64]
    """(band,): how many of them lay below the range."""
    overflow: NDArray[np.int64]
    """(band,): how many of them lay above the range."""

    def merged(self, other: Histogram) -> Histogram:
        """Sum of two histograms of the same bands and bins."""
        return Histogram(
            self.counts + other.counts, self.underflow + other.underflow, self.overflow + other.overflow
        )


class HistogramAccumulator:
    """Histogram of the reflectance of many windows, straight from their DN.

    Bins are found in DN space: rounding to float32 reflectance first would move pixels that lie on an edge,
    and comb a histogram whose bins are one DN wide. Where edges are whole DN (the usual case) pixels are
    counted per DN and the DN summed into bins at the end.
    `add` may be called from several threads; the result depends neither on order nor on threads.

    Parameters
    ----------
    spec : HistogramSpec
        Bins, in reflectance.
    radiometry : Radiometry
        Offset and quantification of each band; `Radiometry.identity(bands)` to count DN.
    """

    def __init__(self, spec: HistogramSpec, radiometry: Radiometry) -> None:
        bands = len(np.atleast_1d(np.asarray(radiometry.offset)))
        radiometry.checked(bands)
        self.spec = spec
        offsets, scales = np.atleast_1d(radiometry.offset), np.atleast_1d(radiometry.quantification)
        placed = [spec.in_dn(float(a), float(b)) for a, b in zip(offsets, scales, strict=True)]
        self._lower = np.array([float(lower) for lower, _ in placed])
        self._step = np.array([float(step) for _, step in placed])
        self._dn_per_bin = _whole_dn_per_bin(spec, placed)
        slots, bins = numba_module().get_num_threads(), spec.n_bins * (self._dn_per_bin or 1)
        # uint32, because half the bytes stay in the second-level cache: 2.9 ms where int64 takes 4.1 (see
        # _CHUNK).
        self._private = np.zeros((slots, bands, bins + _EXTRA), np.uint32)
        self._total = np.zeros((bands, bins + _EXTRA), np.int64)
        self._scratch = np.zeros((slots, _CHUNK), np.uint16 if self._dn_per_bin else np.int32)
        self._unfolded = 0
        # Folding in one thread while another counts would lose counts.
        self._lock = threading.Lock()

    def add(self, dn: Pixels, first_band: int = 0) -> None:
        """Count the valid pixels of a window.

        Parameters
        ----------
        dn : float32 or uint16 array (band, y, x)
            Stored numbers, nodata 0 or NaN.
        first_band : int
            Which band of the accumulator the first band of `dn` is.

        Raises
        ------
        TypeError, ValueError
            If the array has another dtype, shape or layout, or more bands than the accumulator.
        """
        dn = _check.array("dn", dn, _check.DN, 3)
        bands = self._total.shape[0]
        if not 0 <= first_band <= bands - dn.shape[0]:
            msg = (
                f"dn: expected bands {first_band} to {first_band + dn.shape[0] - 1} among the {bands} of "
                f"this accumulator, got shape {dn.shape}"
            )
            raise ValueError(msg)
        if dn.size == 0:
            return
        with self._lock:
            self._make_room(dn.shape[1] * dn.shape[2])
            if self._dn_per_bin:
                count = _count_whole_dn[dn.dtype.char]
                count(flat(dn), first_band, self._lower, self._scratch, self._private)
            else:
                count = _count_dn[dn.dtype.char]
                count(flat(dn), first_band, self._lower, self._step, self._scratch, self._private)

    def result(self) -> Histogram:
        """Counts of everything added so far."""
        with self._lock:
            self._fold()
            return _histogram(self._total, self._dn_per_bin or 1)

    def _make_room(self, pixels: int) -> None:
        if pixels > _MAX_PIXELS:
            msg = f"dn: expected at most {_MAX_PIXELS} pixels per band in one call, got {pixels}; split it"
            raise ValueError(msg)
        if self._unfolded + pixels > _MAX_PIXELS:
            self._fold()
        self._unfolded += pixels

    def _fold(self) -> None:
        """Sum the private counts before any of them can exceed 32 bits."""
        self._total += self._private.sum(axis=0, dtype=np.int64)
        self._private[:] = 0
        self._unfolded = 0


def reflectance_histogram(dn: Pixels, radiometry: Radiometry, spec: HistogramSpec) -> Histogram:
    """Histogram of the reflectance of one window, straight from its DN; see `HistogramAccumulator`.

    Parameters
    ----------
    dn : float32 or uint16 array (band, y, x)
        Stored numbers, nodata 0 or NaN.
    radiometry : Radiometry
        Offset and quantification of each band.
    spec : HistogramSpec
        Bins, in reflectance.

    Returns
    -------
    Histogram
        Counts of the valid pixels of each band.

    Raises
    ------
    TypeError, ValueError
        If the array has another dtype, shape or layout, or the radiometry does not fit the bands.
    """
    dn = _check.array("dn", dn, _check.DN, 3)
    radiometry.checked(dn.shape[0])
    accumulator = HistogramAccumulator(spec, radiometry)
    accumulator.add(dn)
    return accumulator.result()


def histogram(values: Float32, valid: Float32, spec: HistogramSpec) -> Histogram:
    """Histogram of values as they are, e.g. of any float raster; bins floor((value - lower) / width).

    For reflectance use `reflectance_histogram`: float32 reflectance has lost the DN that tell the edges
    apart.

    Parameters
    ----------
    values : float32 array (band, y, x)
        Values to count; NaN never counts.
    valid : float32 array (1, y, x) or (band, y, x)
        Validity channel(s), valid where not 0.
    spec : HistogramSpec
        Bins, in the unit of the values.

    Returns
    -------
    Histogram
        Counts of the valid pixels of each band.

    Raises
    ------
    TypeError, ValueError
        If an array has another dtype, shape or layout.
    """
    values = _check.array("values", values, np.float32, 3)
    valid = _check.array("valid", valid, np.float32, 3)
    _check.mask_like("valid", valid, values.shape)
    slots = numba_module().get_num_threads()
    private = np.zeros((slots, values.shape[0], spec.n_bins + _EXTRA), np.int64)
    if values.size:
        scratch = np.zeros((slots, _CHUNK), np.int32)
        _count_values(flat(values), flat(valid), spec.lower, spec.width, scratch, private)
    return _histogram(private.sum(axis=0), 1)


@device
def _cell_of_dn(value: Any, before: Any, overflow: Any, invalid: Any) -> Any:
    """Cell of a DN where edges are whole DN; exact in float32."""
    cell = min(max(np.floor(value) - before, np.float32(0)), overflow)
    return np.int32(cell if has_data(value) else invalid)


@device
def _cell_of(value: Any, lower: Any, width: Any, bins: Any) -> Any:
    """Cell of a value: 0 below the range, bins + 1 above."""
    # A true division: times 1/width would put values on an edge into the bin below it.
    place = (np.float64(value) - lower) / width
    return np.int32(0) if place < 0 else np.int32(min(place, bins)) + np.int32(1)


@dn_kernel(
    "reflectance_histogram", "void({dn}[:,::1], int64, f8[::1], uint16[:,::1], uint32[:,:,::1])", inputs=3
)
def _count_whole_dn(dn: Pixels, first_band: int, lower: Any, scratch: Numbers, private: Numbers) -> None:
    # Bins one DN wide with whole edges: floor(dn) - lower is exact in float32 and vectorises 16 wide, 0.04 ns
    # per pixel where the float64 division of _count_dn takes 0.16. Counting then costs 0.26 ns per pixel and
    # core, one store per cycle, and is the limit. Cells of a table: underflow, bins, overflow, invalid.
    # Rejected: unrolling the increments by hand (0.5 ns), binning two chunks ahead (20 % slower). A constant image
    # counts as fast as a mixed one, so a second table for every other pixel would gain nothing.
    bands, pixels = dn.shape
    slots = private.shape[0]
    overflow = np.float32(private.shape[2] - 2)
    invalid = np.float32(private.shape[2] - 1)
    for slot in prange(slots):
        cells = scratch[slot]
        start = slot * pixels // slots
        stop = (slot + 1) * pixels // slots
        for source in range(bands):
            band = first_band + source
            row = dn[source, start:stop]
            counts = private[slot, band]
            before = np.float32(lower[band] - 1)
            full = row.size // _CHUNK * _CHUNK
            for begin in range(0, full, _CHUNK):
                chunk = row[begin : begin + _CHUNK]
                for x in range(_CHUNK):
                    cells[x] = _cell_of_dn(np.float32(chunk[x]), before, overflow, invalid)
                for x in range(_CHUNK):
                    counts[cells[x]] += 1
            for x in range(full, row.size):
                counts[_cell_of_dn(np.float32(row[x]), before, overflow, invalid)] += 1


@dn_kernel(
    "reflectance_histogram:fractional-edges",
    "void({dn}[:,::1], int64, f8[::1], f8[::1], int32[:,::1], uint32[:,:,::1])",
    inputs=4,
)
def _count_dn(dn: Pixels, first_band: int, lower: Any, step: Any, scratch: Numbers, private: Numbers) -> None:
    bands, pixels = dn.shape
    slots = private.shape[0]
    bins = np.float64(private.shape[2] - 3)
    invalid = np.int32(private.shape[2] - 1)
    for slot in prange(slots):
        start = slot * pixels // slots
        stop = (slot + 1) * pixels // slots
        for source in range(bands):
            band = first_band + source
            row = dn[source, start:stop]
            counts = private[slot, band]
            low = lower[band]
            wide = step[band]
            for begin in range(0, row.size, _CHUNK):
                chunk = row[begin : min(begin + _CHUNK, row.size)]
                cells = scratch[slot, : chunk.size]
                for x in range(chunk.size):
                    cell = _cell_of(chunk[x], low, wide, bins)
                    cells[x] = cell if has_data(chunk[x]) else invalid
                for x in range(chunk.size):
                    counts[np.uint32(cells[x])] += 1


@kernel("histogram", "void(f4[:,::1], f4[:,::1], f8, f8, int32[:,::1], int64[:,:,::1])", inputs=4)
def _count_values(
    values: Float32, valid: Float32, lower: Any, width: float, scratch: Numbers, private: Numbers
) -> None:
    # As _count_dn, with the mask in an array of its own.
    bands, pixels = values.shape
    masks = valid.shape[0]
    slots = private.shape[0]
    bins = np.float64(private.shape[2] - 3)
    invalid = np.int32(private.shape[2] - 1)
    for slot in prange(slots):
        start = slot * pixels // slots
        stop = (slot + 1) * pixels // slots
        for source in range(bands):
            row = values[source, start:stop]
            mask = valid[min(source, masks - 1), start:stop]
            counts = private[slot, source]
            for begin in range(0, row.size, _CHUNK):
                chunk = row[begin : min(begin + _CHUNK, row.size)]
                valid_chunk = mask[begin : min(begin + _CHUNK, row.size)]
                cells = scratch[slot, : chunk.size]
                for x in range(chunk.size):
                    cell = _cell_of(chunk[x], lower, width, bins)
                    cells[x] = cell if (valid_chunk[x] != 0) & (chunk[x] == chunk[x]) else invalid
                for x in range(chunk.size):
                    counts[np.uint32(cells[x])] += 1


def _histogram(cells: NDArray[np.int64], cells_per_bin: int) -> Histogram:
    """Table of cells (underflow, bins, overflow, invalid) -> counts, with the ends added to the end bins."""
    bands = cells.shape[0]
    bins = (cells.shape[1] - _EXTRA) // cells_per_bin
    counts = cells[:, 1:-2].reshape(bands, bins, cells_per_bin).sum(axis=2)
    underflow, overflow = cells[:, 0].copy(), cells[:, -2].copy()
    counts[:, 0] += underflow
    counts[:, -1] += overflow
    return Histogram(counts, underflow, overflow)


def _whole_dn_per_bin(spec: HistogramSpec, placed: list[tuple[Fraction, Fraction]]) -> int | None:
    """DN in a bin if all edges of all bands are whole DN and a table of them is small enough, else None."""
    steps = {step for _, step in placed}
    whole = all(lower.denominator == 1 and abs(lower) < _MAX_DN_EDGE for lower, _ in placed)
    if len(steps) != 1 or not whole:
        return None
    step = steps.pop()
    return int(step) if step.denominator == 1 and spec.n_bins * step <= _MAX_DN_BINS else None


def _decimal(number: float) -> Fraction:
    """The decimal that a number is written as."""
    return Fraction(repr(float(number)))
