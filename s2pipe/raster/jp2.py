"""Writing lossless JPEG 2000 the way Sentinel-2 products hold it: tiled, georeferenced, 15 bits a sample."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from s2pipe.errors import DependencyError, RasterError
from s2pipe.raster.gdalenv import gdal_module
from s2pipe.runtime.files import atomic_path

if TYPE_CHECKING:
    from types import ModuleType

    from s2pipe.raster.grid import Grid

_DRIVER = "JP2OpenJPEG"
_GDAL_TYPES = {"uint8": "GDT_Byte", "uint16": "GDT_UInt16"}
_CODEBLOCK_PX = {192: 4}
"""Code-block side by tile side where it is not OpenJPEG's 64: the 60 m bands of real products use 4."""
_RESOLUTIONS = {1024: 6}
"""Resolution levels (full size included) by tile side where they are not 5."""
_PRECINCT_PX = {1024: 256, 640: 128, 192: 64}
"""Precinct side by tile side."""
_SMALL_IMAGE_PX = 64


def write_jp2(path: Path, grid: Grid, array_yx: np.ndarray, tile_px: int, nbits: int | None = None) -> None:
    """Write one band as lossless, georeferenced JPEG 2000, atomically.

    Parameters
    ----------
    path : Path
        File to write; missing directories are made.
    grid : Grid
        Where the pixels lie; its shape must be the array's.
    array_yx : numpy.ndarray
        ``(y, x)``, uint8 or uint16. A memory map is read block by block.
    tile_px : int
        Side of the square JPEG 2000 tiles in pixels (see ``s2pipe.sentinel2.bands.JP2_TILE_PX``).
    nbits : int, optional
        Significant bits a sample, 15 for Sentinel-2 bands; None for all bits of the type.

    Raises
    ------
    DependencyError
        GDAL has no JPEG 2000 driver that writes.
    RasterError
        The array does not fit the grid, or its type or values do not fit the format.
    """
    if array_yx.ndim != 2:
        msg = f"{path}: expected an array (y, x), got {array_yx.ndim} dimensions"
        raise RasterError(msg)
    write_jp2_bands(path, grid, array_yx[np.newaxis], tile_px, nbits)


def write_jp2_bands(
    path: Path, grid: Grid, array_byx: np.ndarray, tile_px: int, nbits: int | None = None
) -> None:
    """Write several bands into one lossless JPEG 2000 file; as :func:`write_jp2` otherwise.

    Parameters
    ----------
    array_byx : numpy.ndarray
        ``(band, y, x)``, uint8 or uint16.
    """
    _check(path, grid, array_byx, nbits)
    gdal = gdal_module()
    driver = jp2_writer(gdal)
    array_byx = np.ascontiguousarray(array_byx)
    source = _memory_dataset(gdal, array_byx)
    source.SetGeoTransform(grid.geotransform)
    source.SetProjection(grid.crs_wkt)
    try:
        with atomic_path(path) as temporary:
            target = driver.CreateCopy(str(temporary), source, 0, _options(grid, tile_px, nbits))
            target = None  # noqa: F841 - closing the dataset writes the file's end
            # Everything that GDAL puts beside the file would stay under the temporary name.
            with suppress(FileNotFoundError):
                Path(f"{temporary}.aux.xml").unlink()
    except RuntimeError as error:
        msg = f"{path}: GDAL cannot write this JPEG 2000 file: {error}; check free disk space and permissions"
        raise RasterError(msg) from error


def jp2_writer(gdal: ModuleType) -> Any:
    """Return GDAL's JPEG 2000 driver that writes lossless files.

    Raises
    ------
    DependencyError
        This GDAL was built without it.
    """
    driver = gdal.GetDriverByName(_DRIVER)
    if driver is None or driver.GetMetadataItem("DCAP_CREATECOPY") != "YES":
        msg = (
            f"GDAL {gdal.__version__} cannot write JPEG 2000: its {_DRIVER} driver is missing.\n"
            "Install a GDAL with OpenJPEG: `pip install 's2pipe[gdal-wheel]'`, "
            "`conda install -c conda-forge libgdal-jp2openjpeg`, or Debian's libgdal; then run `s2pipe doctor`."
        )
        raise DependencyError(msg)
    return driver


def _check(path: Path, grid: Grid, array_byx: np.ndarray, nbits: int | None) -> None:
    if array_byx.ndim != 3 or array_byx.shape[1:] != grid.shape_yx:
        msg = f"{path}: expected (band, y, x) with {grid.shape_yx} pixels, got {array_byx.shape}"
        raise RasterError(msg)
    if array_byx.dtype.name not in _GDAL_TYPES:
        msg = f"{path}: JPEG 2000 holds uint8 or uint16 here, got {array_byx.dtype}"
        raise RasterError(msg)
    if nbits is not None and (highest := int(array_byx.max(initial=0))) >> nbits:
        msg = f"{path}: values need more than {nbits} bits: the highest is {highest}"
        raise RasterError(msg)


def _memory_dataset(gdal: ModuleType, array_byx: np.ndarray) -> Any:
    """Present an array to GDAL without copying it; the array must outlive the dataset."""
    bands, height, width = array_byx.shape
    address = array_byx.__array_interface__["data"][0]
    name = (
        f"MEM:::DATAPOINTER={address},PIXELS={width},LINES={height},BANDS={bands},"
        f"DATATYPE={_GDAL_TYPES[array_byx.dtype.name].removeprefix('GDT_')}"
    )
    # GDAL 3.10 and later open a memory address only where this option says so.
    previous = gdal.GetThreadLocalConfigOption("GDAL_MEM_ENABLE_OPEN", None)
    gdal.SetThreadLocalConfigOption("GDAL_MEM_ENABLE_OPEN", "YES")
    try:
        return gdal.Open(name)
    finally:
        gdal.SetThreadLocalConfigOption("GDAL_MEM_ENABLE_OPEN", previous)


def _options(grid: Grid, tile_px: int, nbits: int | None) -> list[str]:
    """Creation options: reversible, progression LRCP, code-block and precinct sizes of real products."""
    options: dict[str, object] = {
        "QUALITY": 100,
        "REVERSIBLE": "YES",
        "YCBCR420": "NO",
        "BLOCKXSIZE": tile_px,
        "BLOCKYSIZE": tile_px,
        "PROGRESSION": "LRCP",
    }
    if min(grid.shape_yx) >= _SMALL_IMAGE_PX:
        options["RESOLUTIONS"] = _RESOLUTIONS.get(tile_px, 5)
    if tile_px in _PRECINCT_PX:
        side = _PRECINCT_PX[tile_px]
        options["PRECINCTS"] = ",".join([f"{{{side},{side}}}"] * 5)
    if tile_px in _CODEBLOCK_PX:
        options["CODEBLOCK_WIDTH"] = options["CODEBLOCK_HEIGHT"] = _CODEBLOCK_PX[tile_px]
    if nbits is not None:
        options["NBITS"] = nbits
    return [f"{key}={value}" for key, value in options.items()]
