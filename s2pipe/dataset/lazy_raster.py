"""Rasters of samples as arrays that are read when and where they are indexed; imported by what needs xarray."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from xarray import Variable
from xarray.backends import BackendArray
from xarray.core import indexing

from s2pipe.raster.grid import Window
from s2pipe.raster.reader import StackReader

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class RasterSeries:
    """The same bands of several rasters of one shape, one raster for each time."""

    paths: tuple[str | None, ...]
    """GeoTIFF or stored VRT of each time; None where there is none."""
    bands: tuple[int, ...]
    """Positions of the bands in their files, from 0."""
    shape_yx: tuple[int, int]
    """Rows and columns."""
    dtype: str
    """NumPy name of the type of values."""
    fill: float = 0
    """Value of times without a raster."""

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Length of the axes time, band, y, x."""
        return len(self.paths), len(self.bands), *self.shape_yx

    def read(self, time: int, bands: Sequence[int], window: Window) -> np.ndarray:
        """Read a window of some of the bands, given by their positions in the series: (band, y, x)."""
        is_mask = self.dtype == "bool"  # stored as 1.0 and 0.0
        out = np.empty((len(bands), *window.shape_yx), np.float32 if is_mask else self.dtype)
        path = self.paths[time]
        if path is None:
            out[:] = self.fill
        elif out.size:
            reader = StackReader(path, [self.bands[band] for band in bands])
            try:
                reader.read(window, out)
            finally:
                reader.close()
        return out > 0 if is_mask else out


class _LazyArray(BackendArray):
    """What xarray indexes: each access opens the files that it needs, so that threads and processes may share it."""

    def __init__(self, series: RasterSeries) -> None:
        self._series = series
        self.shape = series.shape
        self.dtype = np.dtype(series.dtype)

    def __dask_tokenize__(self) -> tuple[Any, ...]:
        series = self._series
        return ("s2pipe", series.paths, series.bands, series.shape_yx, series.dtype, series.fill)

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.OUTER, self._outer
        )

    def _outer(self, key: tuple[int | slice | np.ndarray, ...]) -> np.ndarray:
        """Read what an index of integers, slices and arrays, each along its own axis, asks for."""
        wanted = [np.atleast_1d(np.arange(size)[part]) for part, size in zip(key, self.shape, strict=True)]
        times, bands, rows, cols = wanted
        out = np.empty([len(part) for part in wanted], self.dtype)
        if out.size:
            window = Window(int(rows.min()), int(cols.min()), int(np.ptp(rows)) + 1, int(np.ptp(cols)) + 1)
            inside = (slice(None), (rows - window.row)[:, None], cols - window.col)
            for place, time in enumerate(times):
                out[place] = self._series.read(int(time), [int(band) for band in bands], window)[inside]
        return out[tuple(0 if isinstance(part, (int, np.integer)) else slice(None) for part in key)]


def lazy_variable(dims: tuple[str, ...], series: RasterSeries, attributes: dict[str, Any]) -> Variable:
    """Make a variable of the axes time, band (of that name only if ``dims`` has four), y and x."""
    data = indexing.LazilyIndexedArray(_LazyArray(series))
    if len(dims) == 4:
        return Variable(dims, data, attributes, fastpath=True)
    named = (dims[0], "one_band", *dims[1:])
    return Variable(named, data, attributes, fastpath=True).isel(one_band=0)
