"""Where a grid lies: its outline in longitude and latitude, and the fields of STAC's projection extension."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from s2pipe.errors import RasterError
from s2pipe.sentinel2.safe.footprint import cut_at_antimeridian

if TYPE_CHECKING:
    from s2pipe.raster.grid import Grid

STEPS = 8
"""Points along each edge: straight lines between them are within some metres of the edge of a whole tile."""
_DEGREE_M = 111_195.0
"""A degree of latitude on a sphere of the Earth's mean radius."""
DIGITS = 7
"""Decimals of longitudes and latitudes: a centimetre."""


@dataclass(frozen=True)
class Footprint:
    """The outline of a grid on the ground."""

    geometry: dict[str, Any]
    """GeoJSON: a Polygon, or a MultiPolygon where the antimeridian cuts it (RFC 7946, section 3.1.9)."""
    bbox: tuple[float, float, float, float]
    """West, south, east, north in degrees; west is greater than east where the antimeridian cuts it."""


def footprint(grid: Grid) -> Footprint:
    """Return the outline of a grid, with points along its edges.

    Raises
    ------
    RasterError
        The grid has no CRS that leads to longitude and latitude.
    """
    import shapely

    lon, lat = _outline(grid)
    lon = lon[0] + (lon - lon[0] + 180.0) % 360.0 - 180.0  # neighbours stay neighbours
    if lon.min() < -180.0:
        lon = lon + 360.0
    whole = shapely.orient_polygons(shapely.Polygon(np.round(np.column_stack([lon, lat]), DIGITS)))
    west, south, east, north = whole.bounds
    if east <= 180.0:
        return Footprint({"type": "Polygon", "coordinates": [_ring(whole)]}, (west, south, east, north))
    parts = [[_ring(part)] for part in cut_at_antimeridian(whole)]
    geometry: dict[str, Any] = {"type": "MultiPolygon", "coordinates": parts}
    if len(parts) == 1:
        geometry = {"type": "Polygon", "coordinates": parts[0]}
    east = round(east - 360.0, DIGITS)
    return Footprint(geometry, (west if west < 180.0 else round(west - 360.0, DIGITS), south, east, north))


def _ring(polygon: Any) -> list[list[float]]:
    return [[round(x, DIGITS), round(y, DIGITS)] for x, y in polygon.exterior.coords]


def _outline(grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """Longitude and latitude of points along the edges."""
    side = np.arange(STEPS) / STEPS
    zero, one = np.zeros(STEPS), np.ones(STEPS)
    rows = np.concatenate([side, one, 1.0 - side, zero]) * grid.height
    cols = np.concatenate([zero, side, one, 1.0 - side]) * grid.width
    x0, dx, rx, y0, ry, dy = grid.geotransform
    lon, lat = _to_lonlat(grid.crs_wkt).transform(x0 + dx * cols + rx * rows, y0 + ry * cols + dy * rows)
    if not (np.isfinite(lon).all() and np.isfinite(lat).all()):
        msg = (
            f"a grid at {x0:g}, {y0:g} in {grid.crs_wkt[:80]!r} has no longitude and latitude; expected one on the "
            "Earth; run `s2pipe preprocess` again"
        )
        raise RasterError(msg)
    return np.asarray(lon, np.float64), np.asarray(lat, np.float64)


@functools.cache
def _crs(wkt: str) -> Any:
    from pyproj import CRS
    from pyproj.exceptions import CRSError

    try:
        return CRS.from_wkt(wkt)
    except CRSError as error:
        msg = f"a raster has no CRS that can be read ({error}); expected WKT, got {wkt[:80]!r}"
        raise RasterError(msg) from error


@functools.cache
def _to_lonlat(wkt: str) -> Any:
    from pyproj import Transformer

    return Transformer.from_crs(_crs(wkt), 4326, always_xy=True)


def pixel_metres(grid: Grid) -> tuple[float, float]:
    """Return width and height of a pixel in metres; of a grid in degrees, that of the pixel in the middle."""
    crs, (width, height) = _crs(grid.crs_wkt), grid.pixel_size
    if not crs.is_geographic:
        factor = crs.axis_info[0].unit_conversion_factor if crs.axis_info else 1.0
        return width * factor, height * factor
    _, south, _, north = grid.bounds
    along = math.cos(math.radians((south + north) / 2.0))
    return round(width * _DEGREE_M * along, 3), round(height * _DEGREE_M, 3)


@functools.cache
def projection_code(wkt: str) -> str | None:
    """Return the code of a CRS, ``EPSG:32633``; None where it has none."""
    code = _crs(wkt).to_epsg()
    return None if code is None else f"EPSG:{code}"


def projection_fields(grid: Grid) -> dict[str, Any]:
    """Return the fields of the projection extension (version 2.0) for a grid."""
    x0, dx, rx, y0, ry, dy = grid.geotransform
    fields: dict[str, Any] = {"proj:code": projection_code(grid.crs_wkt)}
    if fields["proj:code"] is None:
        fields["proj:wkt2"] = _crs(grid.crs_wkt).to_wkt()
    if grid.is_north_up:
        fields["proj:bbox"] = list(grid.bounds)
    return {
        **fields,
        "proj:shape": list(grid.shape_yx),
        "proj:transform": [dx, rx, x0, ry, dy, y0],
    }
