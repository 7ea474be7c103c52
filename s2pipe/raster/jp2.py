"""Writing lossless JPEG 2000 as Sentinel-2 products contain it: tiled, georeferenced, 15 bits per pixel."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from s2pipe.errors import RasterError
from s2pipe.raster._gdal import TYPE_NAMES, decoding_threads, gdal_module, raised_errors, thread_option
from s2pipe.raster.capabilities import JPEG2000_WRITER, require_jpeg2000_writer
from s2pipe.runtime.files import atomic_path

if TYPE_CHECKING:
    from s2pipe.raster.grid import Grid

_DTYPES = ("uint8", "uint16")
_CODEBLOCK_PX = {192: 4}
"""Side of code blocks by side of tiles, where it is not OpenJPEG's 64: the 60 m bands of real products use 4."""
_RESOLUTIONS = {1024: 6}
"""Number of resolutions, full size included, by side of tiles, where it is not 5."""
_PRECINCT_PX = {1024: 256, 640: 128, 192: 64}
"""Side of precincts by side of tiles."""
_SMALL_IMAGE_PX = 64
"""Images with a shorter side than this get as many resolutions as OpenJPEG thinks fit."""


def write_jp2(
    path: Path, grid: Grid, array_yx: np.ndarray, tile_px: int, nbits: int | None = None, threads: int = 1
) -> None:
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
        Significant bits per pixel, 15 for Sentinel-2 bands; None for all bits of the type.
    threads : int
        Encoding threads; the bytes do not depend on their number.

    Raises
    ------
    DependencyError
        GDAL cannot write JPEG 2000.
    RasterError
        The array does not fit the grid, its type or values do not fit the format, or the file cannot be written.
    """
    if array_yx.ndim != 2:
        msg = f"{path}: expected an array (y, x), got {array_yx.ndim} dimensions"
        raise RasterError(msg)
    write_jp2_bands(path, grid, array_yx[np.newaxis], tile_px, nbits, threads)


def write_jp2_bands(
    path: Path, grid: Grid, array_byx: np.ndarray, tile_px: int, nbits: int | None = None, threads: int = 1
) -> None:
    """Write several bands into one lossless JPEG 2000 file; otherwise as :func:`write_jp2`.

    Parameters
    ----------
    array_byx : numpy.ndarray
        ``(band, y, x)``, uint8 or uint16.
    """
    _check(path, grid, array_byx, nbits)
    require_jpeg2000_writer()
    driver = gdal_module().GetDriverByName(JPEG2000_WRITER)
    array_byx = np.ascontiguousarray(array_byx)
    source = _memory_dataset(array_byx)
    source.SetGeoTransform(grid.geotransform)
    source.SetProjection(grid.crs_wkt)
    try:
        with raised_errors(), atomic_path(path) as temporary, decoding_threads(threads):
            target = driver.CreateCopy(str(temporary), source, 0, _options(grid, tile_px, nbits))
            del target  # closing the dataset writes the end of the file
            # Files that GDAL writes beside this one would keep its temporary name.
            with suppress(FileNotFoundError):
                Path(f"{temporary}.aux.xml").unlink()
    except RuntimeError as error:
        msg = f"{path}: GDAL cannot write this JPEG 2000 file: {error}; check free disk space and permissions"
        raise RasterError(msg) from error


def _check(path: Path, grid: Grid, array_byx: np.ndarray, nbits: int | None) -> None:
    if array_byx.ndim != 3 or array_byx.shape[1:] != grid.shape_yx:
        msg = f"{path}: expected (band, y, x) with {grid.shape_yx} pixels, got {array_byx.shape}"
        raise RasterError(msg)
    if array_byx.dtype.name not in _DTYPES:
        msg = f"{path}: JPEG 2000 is written from uint8 or uint16, got {array_byx.dtype}"
        raise RasterError(msg)
    if nbits is not None and (highest := int(array_byx.max(initial=0))) >> nbits:
        msg = f"{path}: values need more than {nbits} bits: the highest is {highest}"
        raise RasterError(msg)


def _memory_dataset(array_byx: np.ndarray) -> Any:
    """Present an array to GDAL without copying it; the array must outlive the dataset."""
    bands, height, width = array_byx.shape
    address = array_byx.__array_interface__["data"][0]
    name = (
        f"MEM:::DATAPOINTER={address},PIXELS={width},LINES={height},BANDS={bands},"
        f"DATATYPE={TYPE_NAMES[array_byx.dtype.name]}"
    )
    # GDAL 3.10 and later open a memory address only where this option says so.
    with raised_errors(), thread_option("GDAL_MEM_ENABLE_OPEN", "YES"):
        return gdal_module().Open(name)


def _options(grid: Grid, tile_px: int, nbits: int | None) -> list[str]:
    """Creation options: reversible, in progression LRCP, with the code blocks and precincts of real products."""
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
