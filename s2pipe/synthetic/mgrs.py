"""Where MGRS tiles lie: zone, band and square letters to the UTM corner that Sentinel-2 rasters start at.

The lettering is that of the Military Grid Reference System (NGA.STND.0037); the rounding of corners to
multiples of 60 m, the common multiple of the pixel sizes, is read off real products.
"""

from __future__ import annotations

import math
import re

from s2pipe.errors import ProductError

_TILE = re.compile(r"T(\d{2})([C-HJ-NP-X])([A-HJ-NP-Z])([A-HJ-NP-V])")
_COLUMNS = ("ABCDEFGH", "JKLMNPQR", "STUVWXYZ")
_ROWS = "ABCDEFGHJKLMNPQRSTUV"
_LATITUDE_BANDS = "CDEFGHJKLMNPQRSTUVWX"
_EVEN_ZONE_ROW_SHIFT = 5
_SQUARE_M = 100_000
_CYCLE_M = 2_000_000
_SOUTHERN_FALSE_NORTHING_M = 10_000_000
_METRES_PER_DEGREE = 110_950.0
_COMMON_PIXEL_M = 60


def tile_origin(tile_id: str) -> tuple[int, int, int]:
    """Compute where a tile's rasters start.

    Parameters
    ----------
    tile_id : str
        Tile with its leading T, e.g. ``T33UWQ``.

    Returns
    -------
    tuple of int
        EPSG code of the WGS 84 / UTM zone; x and y of the upper-left corner in metres.

    Raises
    ------
    ProductError
        There is no such tile.
    """
    match = _TILE.fullmatch(tile_id)
    zone = int(match[1]) if match else 0
    if match is None or not 1 <= zone <= 60 or match[3] not in _COLUMNS[(zone - 1) % 3]:
        msg = f"{tile_id!r} is no MGRS tile: expected T, zone 01-60 and three letters (T33UWQ)"
        raise ProductError(msg)
    west = (_COLUMNS[(zone - 1) % 3].index(match[3]) + 1) * _SQUARE_M
    band = _LATITUDE_BANDS.index(match[2])
    middle = (-76.0 + 8.0 * band) * _METRES_PER_DEGREE
    south = match[2] < "N"
    row = _ROWS.index(match[4]) - (_EVEN_ZONE_ROW_SHIFT if zone % 2 == 0 else 0)
    bottom = row % len(_ROWS) * _SQUARE_M
    centre = middle + (_SOUTHERN_FALSE_NORTHING_M if south else 0)
    # Row letters repeat every 2000 km; the latitude band says which repetition is meant.
    bottom += round((centre - bottom - _SQUARE_M / 2) / _CYCLE_M) * _CYCLE_M
    ulx = west // _COMMON_PIXEL_M * _COMMON_PIXEL_M
    uly = math.ceil((bottom + _SQUARE_M) / _COMMON_PIXEL_M) * _COMMON_PIXEL_M
    return (32700 if south else 32600) + zone, ulx, uly
