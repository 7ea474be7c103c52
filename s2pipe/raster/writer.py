"""Writing GeoTIFF by windows. Same windows in the same order give the same bytes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from s2pipe.errors import RasterError
from s2pipe.raster.gdalenv import gdal_module
from s2pipe.raster.grid import Grid, Window
from s2pipe.raster.reader import gdal_type, quiet_gdal

TILE_PX = 256
"""Side of the square tiles of every GeoTIFF that s2pipe writes."""


@dataclass(frozen=True)
class TiffSpec:
    """What a GeoTIFF holds and how it is stored."""

    grid: Grid
    """Grid of all bands."""
    band_names: tuple[str, ...]
    """Band descriptions, in order."""
    dtype: str
    """NumPy name of the pixel type: uint8, uint16, uint32 or float32."""
    nodata: float | None = None
    """Nodata value to declare."""


class TiffWriter:
    """A tiled, compressed GeoTIFF that is filled window by window.

    Parameters
    ----------
    path : Path
        File to make. The caller renames it into place when it is complete.
    spec : TiffSpec
        Grid, bands, type.
    threads : int
        Compression threads; the bytes do not depend on it.
    """

    def __init__(self, path: Path, spec: TiffSpec, threads: int = 1) -> None:
        gdal = gdal_module()
        self._path = path
        self._spec = spec
        predictor = 3 if np.dtype(spec.dtype).kind == "f" else 2
        options = [
            "TILED=YES",
            f"BLOCKXSIZE={TILE_PX}",
            f"BLOCKYSIZE={TILE_PX}",
            "COMPRESS=ZSTD",
            "ZSTD_LEVEL=1",
            f"PREDICTOR={predictor}",
            "INTERLEAVE=BAND",
            "BIGTIFF=IF_SAFER",
            f"NUM_THREADS={threads}",
        ]
        height, width = spec.grid.shape_yx
        with quiet_gdal():
            try:
                self._dataset: Any = gdal.GetDriverByName("GTiff").Create(
                    str(path), width, height, len(spec.band_names), gdal_type(spec.dtype), options=options
                )
            except RuntimeError as error:
                raise RasterError(
                    f"{path}: cannot be made ({error}); check the directory and free space"
                ) from error
        if spec.grid.crs_wkt:
            self._dataset.SetProjection(spec.grid.crs_wkt)
        self._dataset.SetGeoTransform(spec.grid.geotransform)
        for number, name in enumerate(spec.band_names, 1):
            band = self._dataset.GetRasterBand(number)
            band.SetDescription(name)
            if spec.nodata is not None:
                band.SetNoDataValue(spec.nodata)

    def write(self, window: Window, data: np.ndarray) -> None:
        """Write one window of all bands; windows come in order and start on tile boundaries.

        Parameters
        ----------
        window : Window
            Where the data lies.
        data : ndarray, (band, window.height, window.width)
            C-contiguous, of the file's pixel type.
        """
        if window.row % TILE_PX or window.col % TILE_PX:
            raise ValueError(f"window {window} must start on a multiple of {TILE_PX} pixels")
        if data.shape != (len(self._spec.band_names), *window.shape_yx) or data.dtype != self._spec.dtype:
            raise ValueError(f"expected {self._spec.dtype} data for {window}, got {data.dtype} {data.shape}")
        with quiet_gdal():
            try:
                status = self._dataset.WriteRaster(
                    window.col, window.row, window.width, window.height, data, buf_type=gdal_type(data.dtype)
                )
                # Flushed now, band by band and window by window: tiles then lie in the file in one order,
                # whatever pressure the readers put on the shared block cache. The dataset's own FlushCache
                # would also wait for the compression threads and rewrite the directory.
                for number in range(1, len(self._spec.band_names) + 1):
                    self._dataset.GetRasterBand(number).FlushCache()
            except RuntimeError as error:
                raise RasterError(self._failed(str(error))) from error
        if status not in (None, 0):
            raise RasterError(self._failed(gdal_module().GetLastErrorMsg()))

    def close(self) -> None:
        """Finish the file.

        Raises
        ------
        RasterError
            The last bytes could not be written (a full disk, mostly).
        """
        dataset, self._dataset = self._dataset, None
        if dataset is None:
            return
        gdal = gdal_module()
        with quiet_gdal():
            try:
                dataset.FlushCache()
                del dataset
            except RuntimeError as error:
                raise RasterError(self._failed(str(error))) from error
            if gdal.GetLastErrorType() >= gdal.CE_Failure:
                raise RasterError(self._failed(gdal.GetLastErrorMsg()))

    def __enter__(self) -> TiffWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self._dataset = None  # the caller drops the unfinished file

    def _failed(self, reason: str) -> str:
        return f"{self._path}: writing failed ({reason}); check free disk space, then run again"
