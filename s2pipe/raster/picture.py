"""Pictures for people: 8-bit pixels to the bytes of a JPEG or PNG file, by GDAL."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np

from s2pipe.errors import RasterError
from s2pipe.raster._gdal import gdal_module, quiet_errors, standing_alone

if TYPE_CHECKING:
    from collections.abc import Sequence

_NUMBERS = itertools.count()
"""Numbers for files in memory, which threads must not share."""


def encode_jpeg(rgb: np.ndarray, quality: int) -> bytes:
    """Encode (y, x, 3) uint8 as JPEG; as PNG where this GDAL has no JPEG.

    Raises
    ------
    RasterError
        GDAL cannot encode it.
    """
    bands = [np.ascontiguousarray(rgb[..., band]) for band in range(3)]
    if gdal_module().GetDriverByName("JPEG") is None:
        return _encode(bands, "PNG", ["ZLEVEL=9"])
    return _encode(bands, "JPEG", [f"QUALITY={quality}"])


def encode_png(indices: np.ndarray, palette: Sequence[str]) -> bytes:
    """Encode (y, x) uint8 as PNG whose values are places in a palette of colours, ``#rrggbb``.

    Raises
    ------
    RasterError
        GDAL cannot encode it.
    """
    return _encode([np.ascontiguousarray(indices)], "PNG", ["ZLEVEL=9"], palette)


def media_type(data: bytes) -> str:
    """Media type of what was encoded."""
    return "image/jpeg" if data[:2] == b"\xff\xd8" else "image/png"


def _encode(
    bands: Sequence[np.ndarray], driver_name: str, options: list[str], palette: Sequence[str] = ()
) -> bytes:
    gdal = gdal_module()
    path = f"/vsimem/s2pipe-picture-{next(_NUMBERS)}"
    # GDAL writes what it knows of a picture to .aux.xml beside it, which nobody asked for.
    with quiet_errors(), standing_alone(alone=True):
        try:
            driver = gdal.GetDriverByName(driver_name)
            if driver is None:
                msg = (
                    f"this GDAL has no {driver_name} driver, which pictures need; `s2pipe doctor` tells more"
                )
                raise RasterError(msg)
            source = gdal.GetDriverByName("MEM").Create("", bands[0].shape[1], bands[0].shape[0], len(bands))
            for number, pixels in enumerate(bands, 1):
                source.GetRasterBand(number).WriteRaster(
                    0, 0, pixels.shape[1], pixels.shape[0], pixels.tobytes()
                )
            if palette:
                source.GetRasterBand(1).SetColorTable(_color_table(gdal, palette))
            written = driver.CreateCopy(path, source, options=options)
            if written is None:
                msg = f"GDAL cannot encode a picture: {gdal.GetLastErrorMsg()}"
                raise RasterError(msg)
            del written
            return _contents(gdal, path)
        except RuntimeError as error:
            msg = f"GDAL cannot encode a picture: {error}"
            raise RasterError(msg) from error
        finally:
            if gdal.VSIStatL(path) is not None:
                gdal.Unlink(path)


def _contents(gdal: Any, path: str) -> bytes:
    file = gdal.VSIFOpenL(path, "rb")
    try:
        return bytes(gdal.VSIFReadL(1, gdal.VSIStatL(path).size, file))
    finally:
        gdal.VSIFCloseL(file)


def _color_table(gdal: Any, palette: Sequence[str]) -> Any:
    table = gdal.ColorTable()
    for place, color in enumerate(palette):
        table.SetColorEntry(place, (*bytes.fromhex(color[1:]), 255))
    return table
