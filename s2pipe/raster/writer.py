"""Writing GeoTIFF window by window. The same windows in the same order give the same bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from s2pipe.errors import RasterError, S2PipeError
from s2pipe.raster._gdal import (
    close_dataset,
    gdal_module,
    open_dataset,
    quiet_errors,
    raised_errors,
    thread_option,
    type_code,
)
from s2pipe.raster.formats import GEOTIFF
from s2pipe.raster.grid import Grid, Window
from s2pipe.raster.tags import NO_TAGS, BandStatistics, RasterTags, name_domains, write_statistics, write_tags
from s2pipe.raster.tiff_layout import layout_fault
from s2pipe.runtime.disk import disk_full, lack_of_room

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

TILE_PX = 256
"""Default side of the square tiles of GeoTIFF files."""
_OVERVIEWS_FROM = 512
"""A Cloud Optimized GeoTIFF of more pixels a side has overviews."""


@dataclass(frozen=True)
class TiffStorage:
    """How a GeoTIFF is stored. The defaults are measured: see docs/performance.md."""

    compression: str = "zstd"
    """zstd, deflate, lzw or none."""
    level: int | None = None
    """Compression level; None means 1 for zstd and 6 for deflate."""
    predictor: int = 2
    """1 none, 2 horizontal differences, 3 differences of floating-point bytes (float32 only)."""
    tile_px: int = TILE_PX
    """Side of the square tiles."""
    cog: bool = False
    """Make a Cloud Optimized GeoTIFF with overviews of it."""

    def options(self, threads: int) -> list[str]:
        """GDAL creation options of a tiled GeoTIFF."""
        return [
            "TILED=YES",
            f"BLOCKXSIZE={self.tile_px}",
            f"BLOCKYSIZE={self.tile_px}",
            "INTERLEAVE=BAND",
            "BIGTIFF=IF_SAFER",
            f"NUM_THREADS={threads}",
            *self._compression("ZSTD_LEVEL", "ZLEVEL"),
        ]

    def cog_options(self, threads: int, side_px: int) -> list[str]:
        """GDAL creation options of a Cloud Optimized GeoTIFF whose longer side has so many pixels."""
        names = {1: "NO", 2: "STANDARD", 3: "FLOATING_POINT"}
        options = [
            option for option in self._compression("LEVEL", "LEVEL") if not option.startswith("PREDICTOR")
        ]
        if self.compression != "none":
            options.append(f"PREDICTOR={names[self.predictor]}")
        if _OVERVIEWS_FROM < side_px <= self.tile_px:  # GDAL makes none of what fits into a tile
            options.append("OVERVIEW_COUNT=1")
        return [
            f"BLOCKSIZE={self.tile_px}",
            "OVERVIEWS=IGNORE_EXISTING",
            "OVERVIEW_RESAMPLING=NEAREST",  # a mean of 0 and 1 would not be a mask
            "BIGTIFF=IF_SAFER",
            f"NUM_THREADS={threads}",
            *options,
        ]

    def _compression(self, zstd_level: str, deflate_level: str) -> list[str]:
        if self.compression == "none":
            return ["COMPRESS=NONE"]
        options = [f"COMPRESS={self.compression.upper()}", f"PREDICTOR={self.predictor}"]
        if self.compression == "zstd":
            options.append(f"{zstd_level}={self.level or 1}")
        if self.compression == "deflate":
            options.append(f"{deflate_level}={self.level or 6}")
        return options


@dataclass(frozen=True)
class TiffSpec:
    """What a GeoTIFF holds and how it is stored."""

    grid: Grid
    """Grid of all bands."""
    band_names: tuple[str, ...]
    """Band descriptions, in order."""
    dtype: str
    """NumPy's name of the pixel type: uint8, uint16, uint32, int16 or float32."""
    nodata: float | None = None
    """Nodata value to declare."""
    storage: TiffStorage = TiffStorage()
    """Compression and tiles."""
    scale_offset: tuple[tuple[float, float], ...] | None = None
    """Scale and offset of each band, value = stored * scale + offset; None when values are stored as they are."""
    palette: Mapping[int, str] | None = None
    """Colours of values, ``#rrggbb``, in which viewers draw the first of one or two bands of uint8; None states none.
    A Cloud Optimized GeoTIFF has them for a single band only, as its second would become an alpha channel."""
    mask: bool = False
    """Give the file a mask of all bands, which ``TiffWriter.mask`` fills."""
    tags: RasterTags = NO_TAGS
    """What the file says of itself."""


class TiffWriter:
    """A tiled, compressed GeoTIFF, written window by window.

    Parameters
    ----------
    path : Path
        File to make. The caller renames it into place when it is complete.
    spec : TiffSpec
        Grid, bands, pixel type.
    threads : int
        Compression threads; the bytes do not depend on their number.

    Raises
    ------
    RasterError
        The file cannot be made.
    """

    def __init__(self, path: Path, spec: TiffSpec, threads: int = 1) -> None:
        self._path = path
        self._spec = spec
        self._threads = threads
        storage = spec.storage
        # A COG is a copy of a finished raster; what is copied is not worth compressing.
        self._made = path.with_name(f"plain-{path.name}") if storage.cog else path
        self._dataset: Any = self._create(
            TiffStorage("none", tile_px=storage.tile_px) if storage.cog else storage
        )
        height, width = spec.grid.shape_yx
        self._inside = np.zeros((height, -(-width // 8)), np.uint8) if spec.mask else None
        self._statistics: Sequence[BandStatistics] = ()
        with raised_errors():
            self._describe()

    @property
    def has_palette(self) -> bool:
        """Whether the file itself has the colours of ``TiffSpec.palette``."""
        return bool(self._spec.palette) and len(self._spec.band_names) <= (1 if self._spec.storage.cog else 2)

    def _create(self, storage: TiffStorage) -> Any:
        gdal, spec = gdal_module(), self._spec
        height, width = spec.grid.shape_yx
        bands, options = len(spec.band_names), storage.options(self._threads)
        with quiet_errors():
            try:
                return gdal.GetDriverByName("GTiff").Create(
                    str(self._made), width, height, bands, type_code(spec.dtype), options=options
                )
            except RuntimeError as error:
                msg = f"{self._path}: cannot be made ({error}); check the directory and free space"
                raise RasterError(msg) from error

    def _describe(self) -> None:
        """Say where the raster lies and what its bands are, before there is a pixel in the file."""
        spec = self._spec
        if spec.grid.crs_wkt:
            self._dataset.SetProjection(spec.grid.crs_wkt)
        self._dataset.SetGeoTransform(spec.grid.geotransform)
        for number, name in enumerate(spec.band_names, 1):
            band = self._dataset.GetRasterBand(number)
            band.SetDescription(name)
            if spec.nodata is not None:
                band.SetNoDataValue(spec.nodata)
            if spec.scale_offset is not None:
                band.SetScale(spec.scale_offset[number - 1][0])
                band.SetOffset(spec.scale_offset[number - 1][1])
        write_tags(self._dataset, spec.tags.to_be_copied() if spec.storage.cog else spec.tags)
        if self.has_palette and spec.palette is not None:
            table = gdal_module().ColorTable()
            for value, color in spec.palette.items():
                table.SetColorEntry(value, (*bytes.fromhex(color[1:]), 255))
            self._dataset.GetRasterBand(1).SetColorTable(table)

    def write(self, window: Window, data: np.ndarray) -> None:
        """Write one window of all bands; windows come in order and start on tile boundaries.

        Parameters
        ----------
        window : Window
            Where the data lies.
        data : ndarray, (band, window.height, window.width)
            C-contiguous, of the file's pixel type.

        Raises
        ------
        RasterError
            The window cannot be written.
        DiskFullError
            The disk is full.
        ValueError
            The window starts inside a tile, or the data does not fit it.
        """
        tile = self._spec.storage.tile_px
        if window.row % tile or window.col % tile:
            msg = f"window {window} must start on a multiple of {tile} pixels"
            raise ValueError(msg)
        if data.shape != (len(self._spec.band_names), *window.shape_yx) or data.dtype != self._spec.dtype:
            msg = f"expected {self._spec.dtype} data for {window}, got {data.dtype} {data.shape}"
            raise ValueError(msg)
        with quiet_errors():
            try:
                status = self._dataset.WriteRaster(
                    window.col, window.row, window.width, window.height, data, buf_type=type_code(data.dtype)
                )
                # Flushed now, band by band and window by window, so that the order of tiles in the file does not
                # depend on what the readers do to the shared block cache. The dataset's own FlushCache would also
                # wait for the compression threads and rewrite the directory.
                for number in range(1, len(self._spec.band_names) + 1):
                    self._dataset.GetRasterBand(number).FlushCache()
            except RuntimeError as error:
                raise self._failed(str(error)) from error
        if status not in (None, 0):
            raise self._failed(gdal_module().GetLastErrorMsg())

    def mask(self, window: Window, inside: np.ndarray) -> None:
        """Say which pixels of a window the mask of all bands keeps; the others are masked.

        Parameters
        ----------
        window : Window
            Where they lie; it starts on a tile boundary.
        inside : ndarray of bool, (window.height, window.width)
            True where the mask keeps the pixel.
        """
        if self._inside is not None:
            bits = np.packbits(inside, axis=1)
            self._inside[window.row : window.row_end, window.col // 8 :][:, : bits.shape[1]] = bits

    def state(self, statistics: Sequence[BandStatistics]) -> None:
        """Give the file statistics of its bands, in order."""
        self._statistics = statistics

    def close(self) -> None:
        """Finish the file.

        Raises
        ------
        RasterError
            The last bytes cannot be written, mostly because the disk is full.
        """
        if self._dataset is None:
            return
        with quiet_errors():
            try:
                self._write_what_came_late()
            except RuntimeError as error:
                dataset, self._dataset = self._dataset, None
                _abandon(dataset)
                raise self._failed(str(error)) from error
        dataset, self._dataset = self._dataset, None
        _finish(dataset, self._made, "writing failed")
        if self._made != self._path:
            copy_as_cog(self._made, self._path, self._spec.storage, self._threads)
            name_domains(self._path, self._spec.tags)
            self._made.unlink()

    def _write_what_came_late(self) -> None:
        """Write statistics and mask behind the pixels."""
        dataset = self._dataset
        for number, found in enumerate(self._statistics, 1):
            write_statistics(dataset.GetRasterBand(number), found)
        if self._inside is None:
            return
        # Behind the last compressed tile: where a tile of the mask lands must not depend on the number of threads.
        dataset.FlushCache()
        with thread_option("GDAL_TIFF_INTERNAL_MASK", "YES"):
            dataset.CreateMaskBand(gdal_module().GMF_PER_DATASET)
        band, width = dataset.GetRasterBand(1).GetMaskBand(), self._spec.grid.width
        rows = self._spec.storage.tile_px
        for row in range(0, len(self._inside), rows):
            part = np.unpackbits(self._inside[row : row + rows], axis=1, count=width) * np.uint8(255)
            band.WriteRaster(0, row, width, len(part), part, buf_type=type_code(part.dtype))

    def __enter__(self) -> TiffWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            dataset, self._dataset = self._dataset, None
            _abandon(dataset)  # the caller drops the unfinished file
            if self._made != self._path:
                self._made.unlink(missing_ok=True)

    def _failed(self, reason: str) -> S2PipeError:
        return _write_error(self._path, f"writing failed ({reason})")


def _finish(dataset: Any, path: Path, what: str) -> None:
    """Close a dataset that was written, and check that all of it is in the file."""
    gdal = gdal_module()
    with quiet_errors():
        try:
            dataset.FlushCache()
            close_dataset(dataset)
        except RuntimeError as error:
            _abandon(dataset)
            raise _write_error(path, f"{what} ({error})") from error
        if gdal.GetLastErrorType() >= gdal.CE_Failure:
            raise _write_error(path, f"{what} ({gdal.GetLastErrorMsg()})")
    fault = layout_fault(path)
    if fault is not None:
        raise _write_error(path, f"{what} ({fault})")


def _abandon(dataset: Any) -> None:
    """Close a dataset whose file is of no use any more."""
    with quiet_errors(), suppress(RuntimeError, ValueError):  # ValueError: it was closed before
        close_dataset(dataset)


def _write_error(path: Path, what: str) -> S2PipeError:
    """Say why a raster cannot be written; GDAL's own messages do not tell a full disk from other faults."""
    full = lack_of_room(path)
    return RasterError(f"{path}: {what}; run again") if full is None else disk_full(path, full)


def copy_as_cog(source: Path, target: Path, storage: TiffStorage, threads: int = 1) -> None:
    """Write a Cloud Optimized GeoTIFF with overviews from a finished GeoTIFF.

    Parameters
    ----------
    source : Path
        GeoTIFF to copy.
    target : Path
        File to make.
    storage : TiffStorage
        Compression and tiles.
    threads : int
        Compression threads.

    Raises
    ------
    RasterError
        The source cannot be read, or the copy cannot be written.
    """
    data = open_dataset(str(source), str(source), GEOTIFF)
    with quiet_errors():
        try:
            driver = gdal_module().GetDriverByName("COG")
            options = storage.cog_options(threads, max(data.RasterXSize, data.RasterYSize))
            copy = driver.CreateCopy(str(target), data, options=options)
        except RuntimeError as error:
            raise _write_error(target, f"cannot be written as COG ({error})") from error
    _finish(copy, target, "cannot be written as COG")
