"""Reading rasters through GDAL. Only this module and the writers beside it open GDAL datasets."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Any

import numpy as np

from s2pipe.errors import RasterError
from s2pipe.raster.gdalenv import gdal_module
from s2pipe.raster.grid import Grid, RasterInfo, Window

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_GDAL_TYPES = {
    "uint8": "GDT_Byte",
    "uint16": "GDT_UInt16",
    "uint32": "GDT_UInt32",
    "int16": "GDT_Int16",
    "float32": "GDT_Float32",
}


def gdal_type(dtype: Any) -> int:
    """GDAL's constant for a NumPy data type."""
    return getattr(gdal_module(), _GDAL_TYPES[np.dtype(dtype).name])


@contextlib.contextmanager
def quiet_gdal() -> Iterator[None]:
    """Keep GDAL from printing errors of this thread on stderr; they are raised instead."""
    gdal = gdal_module()
    gdal.PushErrorHandler("CPLQuietErrorHandler")
    try:
        gdal.ErrorReset()
        yield
    finally:
        gdal.PopErrorHandler()


def inspect_raster(path: str) -> RasterInfo:
    """Open a single-band raster's header.

    Parameters
    ----------
    path : str
        Path as GDAL opens it.

    Returns
    -------
    RasterInfo
        Grid, data type and block size.

    Raises
    ------
    RasterError
        GDAL cannot open it.
    """
    dataset = _open(path, path)
    band = dataset.GetRasterBand(1)
    gdal = gdal_module()
    width, height = band.GetBlockSize()
    transform = dataset.GetGeoTransform(can_return_null=True)
    crs = dataset.GetProjection() or ""
    return RasterInfo(
        path,
        Grid(
            crs if transform else "",
            tuple(transform) if transform else (0.0, 1.0, 0.0, 0.0, 0.0, -1.0),
            (dataset.RasterYSize, dataset.RasterXSize),
        ),
        gdal.GetDataTypeName(band.DataType),
        (height, width),
        band.GetNoDataValue(),
    )


def band_count(path: str) -> int:
    """Number of bands of a raster."""
    return int(_open(path, path).RasterCount)


def _open(source: str, label: str) -> Any:
    gdal = gdal_module()
    with quiet_gdal():
        try:
            dataset = gdal.OpenEx(source, gdal.OF_RASTER | gdal.OF_READONLY)
        except RuntimeError as error:
            raise RasterError(_unreadable(label, str(error))) from error
        if dataset is None or dataset.RasterCount < 1:
            raise RasterError(_unreadable(label, gdal.GetLastErrorMsg() or "it has no bands"))
    return dataset


def _unreadable(label: str, reason: str) -> str:
    if label.startswith("/vsi") or os.path.exists(label):
        return f"{label}: GDAL cannot open it as a raster ({reason}); is the file complete? Fetch it again."
    return f"{label}: no such file ({reason})"


def _fill(source: Any, window: Window, out: np.ndarray, label: str, cure: str, **options: Any) -> None:
    """Read a window of a GDAL band or dataset into ``out``, raising RasterError when it cannot be read."""
    with quiet_gdal():
        try:
            # The bindings report a failed read into a buffer by returning None, without an exception.
            done = source.ReadRaster(
                window.col,
                window.row,
                window.width,
                window.height,
                buf_obj=out,
                buf_type=gdal_type(out.dtype),
                **options,
            )
            reason = "" if done is not None else gdal_module().GetLastErrorMsg()
        except RuntimeError as error:
            done, reason = None, str(error)
    if done is None:
        msg = (
            f"{label}: cannot read rows {window.row}..{window.row_end - 1}, columns "
            f"{window.col}..{window.col_end - 1} ({' '.join(reason.split()) or 'no reason given'}); "
            f"the file is damaged or incomplete, {cure}"
        )
        raise RasterError(msg)


class RasterReader:
    """One band of one raster, read by windows. Use each reader from one thread at a time.

    Parameters
    ----------
    source : str
        Path or VRT text.
    label : str
        What error messages call it (the file behind VRT text).
    threads : int
        Threads that GDAL may use within one read. Its own default is all cores, for each reader at once.
    band : int
        Number of the band, from 1.
    """

    cost = 1
    """Relative cost of reading, for those that read several at once."""

    def __init__(self, source: str, label: str | None = None, threads: int = 1, band: int = 1) -> None:
        self._label = label or source
        self._threads = str(threads)
        # The band object dies with its dataset, so both are kept; the dataset's block cache is what keeps
        # JPEG 2000 tiles from being decoded once per window.
        self._dataset = _open(source, self._label)
        self._band = self._dataset.GetRasterBand(band)

    def read(self, window: Window, out: np.ndarray) -> None:
        """Fill ``out`` with the pixels of ``window``.

        Parameters
        ----------
        window : Window
            Rectangle inside the raster.
        out : ndarray, (window.height, window.width)
            C-contiguous, uint8, uint16, uint32 or float32; GDAL converts.

        Raises
        ------
        RasterError
            The file cannot be read there: cut short or damaged.
        """
        if out.shape != window.shape_yx or not out.flags.c_contiguous:
            msg = f"out must be C-contiguous of shape {window.shape_yx}, got {out.shape}"
            raise ValueError(msg)
        gdal_module().SetThreadLocalConfigOption("GDAL_NUM_THREADS", self._threads)
        _fill(self._band, window, out, self._label, "fetch it again")

    def close(self) -> None:
        """Release the dataset and its cached blocks."""
        self._band = None
        self._dataset = None


def _scaling(band: Any) -> tuple[float, float, float] | None:
    """Scale, offset and nodata of a band that stores scaled numbers, else None."""
    scale, offset, nodata = band.GetScale(), band.GetOffset(), band.GetNoDataValue()
    if scale in (None, 1.0) and offset in (None, 0.0):
        return None
    return (
        1.0 if scale is None else scale,
        0.0 if offset is None else offset,
        float("nan") if nodata is None else nodata,
    )


class StackReader:
    """Several bands of one raster, read together by windows. Use each reader from one thread at a time.

    Parameters
    ----------
    path : str
        Path as GDAL opens it.
    bands : sequence of int, optional
        Positions of the bands, from 0; None takes all, in order.
    """

    def __init__(self, path: str, bands: Sequence[int] | None = None) -> None:
        self._path = path
        self._dataset = _open(path, path)
        self.shape_yx: tuple[int, int] = (self._dataset.RasterYSize, self._dataset.RasterXSize)
        """Rows and columns of the raster."""
        chosen = range(self._dataset.RasterCount) if bands is None else bands
        self._bands = [band + 1 for band in chosen]
        self._scaled = [_scaling(self._dataset.GetRasterBand(number)) for number in self._bands]

    def read(self, window: Window, out: np.ndarray) -> None:
        """Fill ``out``, (band, window.height, window.width), with the pixels of a window inside the raster.

        Where the file declares a scale, floating-point ``out`` gets the values that are meant, NaN for nodata.

        Raises
        ------
        RasterError
            The file cannot be read there: cut short or damaged.
        """
        if out.shape != (len(self._bands), *window.shape_yx) or not out.flags.c_contiguous:
            msg = f"out must be C-contiguous, {len(self._bands)} bands of {window.shape_yx}, got {out.shape}"
            raise ValueError(msg)
        gdal_module().SetThreadLocalConfigOption("GDAL_NUM_THREADS", "1")
        _fill(
            self._dataset, window, out, self._path, "run the step that wrote it again", band_list=self._bands
        )
        for values, scaling in zip(out, self._scaled, strict=True):
            if scaling is not None and values.dtype.kind == "f":
                scale, offset, nodata = scaling
                missing = values == nodata
                values *= np.float32(scale)
                values += np.float32(offset)
                values[missing] = np.nan

    def close(self) -> None:
        """Release the dataset and its cached blocks."""
        self._dataset = None
