"""Reading rasters window by window."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from s2pipe.errors import RasterError
from s2pipe.raster._gdal import (
    decoding_threads,
    gdal_module,
    open_dataset,
    quiet_errors,
    raised_errors,
    standing_alone,
    type_code,
)
from s2pipe.raster.codestream import end_fault, is_reversible, read_head
from s2pipe.raster.formats import GEOTIFF, JPEG2000, JPEG2000_DRIVERS, SELF_CONTAINED, Formats
from s2pipe.raster.grid import Grid, RasterInfo, Window
from s2pipe.raster.network import tried
from s2pipe.raster.relay import is_network
from s2pipe.raster.stored_vrt import load_stored_vrt

if TYPE_CHECKING:
    from collections.abc import Sequence


def inspect_raster(
    path: str, formats: Formats = SELF_CONTAINED, *, with_files_beside: bool = False
) -> RasterInfo:
    """Read the header of a raster; of its bands, the first one counts.

    Parameters
    ----------
    path : str
        Path as GDAL opens it.
    formats : Formats
        What the file may be.
    with_files_beside : bool
        Let a world file or ``.aux.xml`` beside it say where it lies and which value is nodata.

    Returns
    -------
    RasterInfo
        Grid, data type, block size and nodata value.

    Raises
    ------
    RasterError
        It is of another format, or GDAL cannot open it; or its code stream ends early.
    """
    return tried(path, lambda opened: _inspected(path, opened, formats, with_files_beside))


def _inspected(path: str, opened: str, formats: Formats, with_files_beside: bool) -> RasterInfo:
    opened_as = replace(formats, alone=False) if with_files_beside else formats
    dataset = open_dataset(opened, path, opened_as)
    if formats == JPEG2000 and not path.startswith("/vsi") and (fault := end_fault(Path(path))) is not None:
        msg = f"{path}: is damaged: {fault}; {formats.cure}"
        raise RasterError(msg)
    with raised_errors():
        return _described(dataset, path, opened, formats)


def _described(dataset: Any, path: str, opened: str, formats: Formats) -> RasterInfo:
    band = dataset.GetRasterBand(1)
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
        gdal_module().GetDataTypeName(band.DataType),
        (height, width),
        band.GetNoDataValue(),
        formats,
        dataset.GetDriver().ShortName not in JPEG2000_DRIVERS or is_reversible(read_head(opened)),
    )


def band_count(path: str) -> int:
    """Return the number of bands of a raster that s2pipe wrote.

    Raises
    ------
    RasterError
        GDAL cannot open it as GeoTIFF.
    """
    return int(open_dataset(path, path, GEOTIFF).RasterCount)


def _fill(source: Any, window: Window, out: np.ndarray, label: str, cure: str, **options: Any) -> None:
    """Read a window of a GDAL band or dataset into ``out``; raise RasterError when that fails."""
    with quiet_errors():
        try:
            # The bindings report a failed read into a buffer by returning None, without an exception.
            done = source.ReadRaster(
                window.col,
                window.row,
                window.width,
                window.height,
                buf_obj=out,
                buf_type=type_code(out.dtype),
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
    """One band of one raster, read window by window. Use each reader from one thread at a time.

    Parameters
    ----------
    source : str
        Path or VRT text.
    label : str
        What error messages call it: the file behind VRT text. By default the source.
    threads : int
        Threads that GDAL may use within one read.
    band : int
        Number of the band, counted from 1.
    formats : Formats
        What the file may be; of VRT text, whether the files that it names count alone.
    """

    cost = 1
    """Relative cost of reading a window, by which readers that run side by side are ordered."""

    def __init__(
        self,
        source: str,
        label: str | None = None,
        threads: int = 1,
        band: int = 1,
        formats: Formats = SELF_CONTAINED,
    ) -> None:
        self._source = source
        self._label = label or source
        self._threads = threads
        self._number = band
        self._formats = formats
        self._is_broken = False
        # The band dies with its dataset, so both are kept. Blocks are cached per dataset: opening the file again for
        # each window would decode its JPEG 2000 tiles again.
        self._dataset: Any = None
        self._band: Any = None
        tried(source, self._open)

    def _open(self, source: str) -> None:
        self._dataset = open_dataset(source, self._label, self._formats)
        with raised_errors():
            self._band = self._dataset.GetRasterBand(self._number)

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
            The file cannot be read there: it is cut short or damaged.
        """
        if out.shape != window.shape_yx or not out.flags.c_contiguous:
            msg = f"out must be C-contiguous of shape {window.shape_yx}, got {out.shape}"
            raise ValueError(msg)
        tried(self._source, lambda source: self._read(source, window, out))

    def _read(self, source: str, window: Window, out: np.ndarray) -> None:
        if self._is_broken:  # its blocks may hold what did not arrive
            self._open(source)
        self._is_broken = is_network(self._source)
        threads = 1 if self._is_broken else self._threads
        with decoding_threads(threads), standing_alone(self._formats.alone):
            _fill(self._band, window, out, self._label, "fetch it again")
        self._is_broken = False

    def close(self) -> None:
        """Release the dataset and its cached blocks."""
        self._band = None
        self._dataset = None


def _scaling(band: Any) -> tuple[float, float, float] | None:
    """Scale, offset and nodata value of a band that declares a scale or an offset, else None."""
    scale, offset, nodata = band.GetScale(), band.GetOffset(), band.GetNoDataValue()
    if scale in (None, 1.0) and offset in (None, 0.0):
        return None
    return (
        1.0 if scale is None else scale,
        0.0 if offset is None else offset,
        float("nan") if nodata is None else nodata,
    )


def _unscale(values: np.ndarray, scale: float, offset: float, nodata: float) -> None:
    """Turn stored numbers into values in place, nodata into NaN."""
    missing = values == nodata
    values *= np.float32(scale)
    values += np.float32(offset)
    values[missing] = np.nan


def _open_own(path: str) -> Any:
    """Open a raster that s2pipe wrote: a GeoTIFF, or a VRT of one beside it."""
    if not path.endswith(".vrt"):
        return open_dataset(path, path, GEOTIFF)
    text, raster = load_stored_vrt(Path(path))
    open_dataset(str(raster), str(raster), GEOTIFF)
    return open_dataset(text, path, GEOTIFF)


class StackReader:
    """Several bands of one raster that s2pipe wrote, window by window. Use each reader from one thread at a time.

    Parameters
    ----------
    path : str
        GeoTIFF, or a stored VRT of one beside it.
    bands : sequence of int, optional
        Positions of the bands, from 0; None takes all, in order.
    """

    def __init__(self, path: str, bands: Sequence[int] | None = None) -> None:
        self._path = path
        self._dataset = _open_own(path)
        self.shape_yx: tuple[int, int] = (self._dataset.RasterYSize, self._dataset.RasterXSize)
        """Rows and columns of the raster."""
        chosen = range(self._dataset.RasterCount) if bands is None else bands
        self._bands = [band + 1 for band in chosen]
        with raised_errors():
            self._scaled = [_scaling(self._dataset.GetRasterBand(number)) for number in self._bands]

    def read(self, window: Window, out: np.ndarray) -> None:
        """Fill ``out`` with the pixels of ``window``.

        Where the file declares a scale or an offset, a floating-point ``out`` gets the unscaled values, and NaN for
        nodata.

        Parameters
        ----------
        window : Window
            Rectangle inside the raster.
        out : ndarray, (band, window.height, window.width)
            C-contiguous, uint8, uint16, uint32, int16 or float32; GDAL converts.

        Raises
        ------
        RasterError
            The file cannot be read there: it is cut short or damaged.
        """
        if out.shape != (len(self._bands), *window.shape_yx) or not out.flags.c_contiguous:
            expected = (len(self._bands), *window.shape_yx)
            msg = f"out must be C-contiguous of shape {expected}, got {out.shape}"
            raise ValueError(msg)
        self._read(window, out)

    def read_nearest(self, window: Window, out: np.ndarray) -> None:
        """Fill a smaller ``out`` with every n-th pixel of ``window``; of an overview where the file has a fitting one.

        Parameters and errors are those of :meth:`read`, but for the rows and columns of ``out``.
        """
        self._read(window, out, buf_xsize=out.shape[2], buf_ysize=out.shape[1])

    def _read(self, window: Window, out: np.ndarray, **options: int) -> None:
        cure = "run the step that wrote it again"
        with decoding_threads(1), standing_alone(GEOTIFF.alone):
            _fill(self._dataset, window, out, self._path, cure, band_list=self._bands, **options)
        if out.dtype.kind == "f":
            for values, scaling in zip(out, self._scaled, strict=True):
                if scaling is not None:
                    _unscale(values, *scaling)

    @property
    def block_yx(self) -> tuple[int, int]:
        """Rows and columns of the file's own tiles."""
        width, height = self._dataset.GetRasterBand(self._bands[0]).GetBlockSize()
        return height, width

    def overview_shapes(self) -> list[tuple[int, int]]:
        """Rows and columns of the overviews that the file has."""
        band = self._dataset.GetRasterBand(self._bands[0])
        overviews = [band.GetOverview(place) for place in range(band.GetOverviewCount())]
        return [(overview.YSize, overview.XSize) for overview in overviews]

    def close(self) -> None:
        """Release the dataset and its cached blocks."""
        self._dataset = None
