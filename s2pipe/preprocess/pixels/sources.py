"""Bands as windows of the target grid: read as they are, averaged, doubled, or warped by GDAL.

The warped VRT of a band (``raster.vrt``) defines its pixels. Where the grids nest, as those of all bands of a
Sentinel-2 tile do, kernels compute the same numbers to the last bit in a twentieth of the time;
``tests/preprocess/pixels/test_sources.py`` compares them.
"""

from __future__ import annotations

import math
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

import numpy as np

from s2pipe.raster.grid import Grid, Window
from s2pipe.raster.reader import RasterReader
from s2pipe.raster.vrt import validity_vrt, warped_vrt

if TYPE_CHECKING:
    from s2pipe.preprocess.inputs import BandInput

_MAX_FACTOR = 16
_local = threading.local()


class BandSource(Protocol):
    """One band on the target grid."""

    cost: int
    """Source pixels per target pixel, times 1000; bands that cost more are read first."""

    def read(self, window: Window, out: np.ndarray) -> None:
        """Fill ``out``, float32 of the window's shape, with DN; 0 where the band is not valid."""

    def close(self) -> None:
        """Release the datasets."""


def open_band(band: BandInput, target: Grid, valid_min_fraction: float, threads: int) -> BandSource:
    """Open a band as windows of the target grid.

    Parameters
    ----------
    band : BandInput
        The raster and its resampling method.
    target : Grid
        Target grid.
    valid_min_fraction : float
        Least valid share of a target pixel's source area; 0 keeps every pixel that has a value.
    threads : int
        Threads that GDAL may use within one read.
    """
    path, formats = band.raster.path, band.raster.formats

    def reader(source: str) -> RasterReader:
        return RasterReader(source, path, threads, formats=formats)

    if band.method is None:
        return _Direct(reader(path))
    if _is_averaged(band, target):
        factor = nesting_factor(band.raster.grid, target)
        minimum = max(1, math.ceil(valid_min_fraction * factor * factor - 1e-9))
        return _Averaged(reader(path), factor, minimum)
    if _is_doubled(band, target):
        # The source area of a target pixel is one source pixel; where that is not valid, the value is 0 anyway.
        return _Doubled(reader(path), band.raster.grid)
    values = reader(warped_vrt(band.raster, target, band.warp))
    if valid_min_fraction == 0.0:
        return _Warped(values, None, 0.0)
    # The average of 0 and 1 over a pixel's source area is the valid share of that area, for any method.
    averaged = replace(band.warp, method="average", source_nodata=None)
    share = warped_vrt(validity_vrt(band.raster), target, averaged)
    return _Warped(values, reader(share), valid_min_fraction)


def is_warped(band: BandInput, target: Grid) -> bool:
    """Tell whether GDAL's warper makes the pixels of a band, and not kernels."""
    return not (band.method is None or _is_averaged(band, target) or _is_doubled(band, target))


def _is_averaged(band: BandInput, target: Grid) -> bool:
    is_mean = band.raster.dtype == "UInt16" and band.method == "average"
    return is_mean and 2 <= nesting_factor(band.raster.grid, target) <= _MAX_FACTOR


def _is_doubled(band: BandInput, target: Grid) -> bool:
    is_bilinear = band.raster.dtype == "UInt16" and band.method == "bilinear"
    return is_bilinear and nesting_factor(target, band.raster.grid) == 2


def nesting_factor(fine: Grid, coarse: Grid) -> int:
    """Return how many fine pixels fit into a coarse one along a side if the grids nest exactly, else 0."""
    x0, dx, _, y0, _, dy = fine.geotransform
    factor = round(coarse.geotransform[1] / dx)
    nested = (
        fine.crs_wkt == coarse.crs_wkt
        and fine.is_north_up
        and coarse.geotransform == (x0, dx * factor, 0.0, y0, 0.0, dy * factor)
        and fine.shape_yx == (coarse.height * factor, coarse.width * factor)
    )
    return factor if nested else 0


def _scratch(shape_yx: tuple[int, int]) -> np.ndarray:
    """Return this thread's uint16 buffer, grown when needed: strips of full-size bands are 22 MB."""
    size = shape_yx[0] * shape_yx[1]
    buffer: np.ndarray | None = getattr(_local, "buffer", None)
    if buffer is None or buffer.size < size:
        buffer = _local.buffer = np.empty(size, np.uint16)
    return buffer[:size].reshape(shape_yx)


class _Direct:
    """A band that is on the target grid already."""

    def __init__(self, reader: RasterReader) -> None:
        self._reader = reader
        self.cost = 1000

    def read(self, window: Window, out: np.ndarray) -> None:
        self._reader.read(window, out)

    def close(self) -> None:
        self._reader.close()


class _Averaged:
    """A finer band: the mean over the valid pixels of each block."""

    def __init__(self, reader: RasterReader, factor: int, minimum_valid: int) -> None:
        self._reader = reader
        self._factor = factor
        self._minimum_valid = minimum_valid
        self.cost = 1000 * factor * factor

    def read(self, window: Window, out: np.ndarray) -> None:
        from s2kernels import block_mean

        factor = self._factor
        source = Window(*(factor * value for value in window))
        dn = _scratch(source.shape_yx)
        self._reader.read(source, dn)
        block_mean(dn, factor, self._minimum_valid, out)

    def close(self) -> None:
        self._reader.close()


class _Doubled:
    """A band of twice the pixel size, interpolated bilinearly."""

    def __init__(self, reader: RasterReader, grid: Grid) -> None:
        self._reader = reader
        self._grid = grid
        self.cost = 250

    def read(self, window: Window, out: np.ndarray) -> None:
        from s2kernels import double_bilinear

        top, bottom = _with_neighbours(window.row, window.row_end, self._grid.height)
        left, right = _with_neighbours(window.col, window.col_end, self._grid.width)
        source = Window(top, left, bottom - top, right - left)
        dn = _scratch(source.shape_yx)
        self._reader.read(source, dn)
        if 2 * source.width == window.width:
            double_bilinear(dn, window.row - 2 * top, out)
            return
        wide = np.empty((window.height, 2 * source.width), np.float32)
        double_bilinear(dn, window.row - 2 * top, wide)
        out[...] = wide[:, window.col - 2 * left :][:, : window.width]

    def close(self) -> None:
        self._reader.close()


def _with_neighbours(start: int, end: int, size: int) -> tuple[int, int]:
    """Range of source rows (or columns) behind a range of doubled ones, with one more on each side."""
    return max(0, start // 2 - 1), min(size, -(-end // 2) + 1)


class _Warped:
    """A band that GDAL warps; pixels whose source area is not valid enough are dropped."""

    def __init__(self, values: RasterReader, share: RasterReader | None, minimum: float) -> None:
        self._values = values
        self._share = share
        self._minimum = minimum
        self.cost = 2000

    def read(self, window: Window, out: np.ndarray) -> None:
        self._values.read(window, out)
        if self._share is not None:
            from s2kernels import drop_below_fraction

            share = np.empty_like(out)
            self._share.read(window, share)
            drop_below_fraction(out[np.newaxis], share[np.newaxis], self._minimum)

    def close(self) -> None:
        self._values.close()
        if self._share is not None:
            self._share.close()
