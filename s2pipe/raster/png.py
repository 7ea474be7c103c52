"""Small PNG pictures for people, through GDAL, so that a demonstration needs no plotting library."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from s2pipe.errors import RasterError
from s2pipe.raster.gdalenv import gdal_module
from s2pipe.raster.reader import quiet_gdal
from s2pipe.runtime.files import atomic_path

if TYPE_CHECKING:
    from pathlib import Path

# 5 x 7 capitals, a row a number of five bits, drawn for this module.
_GLYPHS = {
    "A": (14, 17, 17, 31, 17, 17, 17), "B": (30, 17, 17, 30, 17, 17, 30), "C": (14, 17, 16, 16, 16, 17, 14),
    "D": (30, 17, 17, 17, 17, 17, 30), "E": (31, 16, 16, 30, 16, 16, 31), "F": (31, 16, 16, 30, 16, 16, 16),
    "G": (14, 17, 16, 23, 17, 17, 14), "H": (17, 17, 17, 31, 17, 17, 17), "I": (14, 4, 4, 4, 4, 4, 14),
    "L": (16, 16, 16, 16, 16, 16, 31), "M": (17, 27, 21, 21, 17, 17, 17), "N": (17, 25, 21, 19, 17, 17, 17),
    "O": (14, 17, 17, 17, 17, 17, 14), "P": (30, 17, 17, 30, 16, 16, 16), "R": (30, 17, 17, 30, 20, 18, 17),
    "S": (15, 16, 16, 14, 1, 1, 30), "T": (31, 4, 4, 4, 4, 4, 4), "U": (17, 17, 17, 17, 17, 17, 14),
    "V": (17, 17, 17, 17, 17, 10, 4), "Y": (17, 17, 10, 4, 4, 4, 4), "Z": (31, 1, 2, 4, 8, 16, 31),
    " ": (0, 0, 0, 0, 0, 0, 0),
}  # fmt: skip


def text_mask(text: str, scale: int) -> np.ndarray:
    """Return capitals as a boolean picture (7 * scale rows); letters that are not drawn here are blank."""
    columns = []
    for letter in text.upper():
        rows = _GLYPHS.get(letter, _GLYPHS[" "])
        bits = np.array([[row >> (4 - x) & 1 for x in range(5)] for row in rows], bool)
        columns += [bits, np.zeros((7, 1), bool)]
    return np.kron(np.hstack(columns), np.ones((scale, scale), bool))


def write_png(path: Path, rgb: np.ndarray) -> None:
    """Write a picture.

    Parameters
    ----------
    path : Path
        File to make or replace.
    rgb : ndarray, uint8 (3, y, x)
        Red, green and blue.

    Raises
    ------
    RasterError
        GDAL cannot write it.
    """
    gdal = gdal_module()
    _, height, width = rgb.shape
    memory = gdal.GetDriverByName("MEM").Create("", width, height, 3, gdal.GDT_Byte)
    memory.WriteRaster(0, 0, width, height, np.ascontiguousarray(rgb).tobytes())
    with quiet_gdal(), atomic_path(path) as temporary:
        try:
            gdal.GetDriverByName("PNG").CreateCopy(str(temporary), memory, options=["WORLDFILE=NO"])
        except (AttributeError, RuntimeError) as error:
            msg = f"{path}: cannot be written as PNG ({error}); check free space and GDAL's drivers"
            raise RasterError(msg) from error
        temporary.with_name(temporary.name + ".aux.xml").unlink(missing_ok=True)
