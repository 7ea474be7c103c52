"""UTM and geographic coordinates on WGS 84 by PROJ, and the Earth's measures that other modules share."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np

from s2pipe.errors import RasterError

if TYPE_CHECKING:
    from pyproj import Proj, Transformer

EARTH_RADIUS_M = 6_371_007.181
"""Radius of the sphere with the area of WGS 84."""
LEAST_RADIUS_M = 6_335_000.0
"""Just below the least radius of curvature of WGS 84: angles computed with it from distances are never too small."""
_ZONES = range(1, 61)


def utm_epsg(crs_wkt: str) -> int:
    """Return the EPSG code of a WGS 84 / UTM zone, the CRS of every Sentinel-2 raster.

    The authority code of the CRS decides; a CRS without one is identified by its definition. Its name is ignored.

    Raises
    ------
    RasterError
        The CRS is another one.
    """
    code = _epsg_code(crs_wkt)
    if code is None or not is_utm(code):
        msg = (
            "expected a WGS 84 / UTM zone (EPSG 32601-32660 or 32701-32760), as Sentinel-2 has, got "
            f"{'no EPSG code' if code is None else f'EPSG:{code}'} in {crs_wkt[:80]!r}; "
            "ground cells and splits need it"
        )
        raise RasterError(msg)
    return code


def ground_epsg(crs_wkt: str) -> int:
    """Return the EPSG code of the reference system of a grid: a UTM zone, or another projection in metres.

    Raises
    ------
    RasterError
        It has no EPSG code, or its coordinates are not metres on a map.
    """
    code = _epsg_code(crs_wkt)
    if code is None or not (is_utm(code) or _is_metric(code)):
        msg = (
            "expected a projected reference system in metres that has an EPSG code, got "
            f"{'no EPSG code' if code is None else f'EPSG:{code}'} in {crs_wkt[:80]!r}; ground cells, splits and "
            "patches need it: choose another target_grid.crs"
        )
        raise RasterError(msg)
    return code


def is_utm(epsg: int) -> bool:
    """Tell whether a code is that of a WGS 84 / UTM zone."""
    return epsg // 100 in (326, 327) and epsg % 100 in _ZONES


@functools.cache
def _is_metric(epsg: int) -> bool:
    from pyproj import CRS

    system = CRS.from_epsg(epsg)
    return system.is_projected and all(axis.unit_conversion_factor == 1.0 for axis in system.axis_info)


def ground_scale(lon: np.ndarray, lat: np.ndarray, epsg: int) -> np.ndarray:
    """Return how many metres on the map a metre on the ground is at most; 1 in UTM, whose tiles differ by 0.1 %."""
    if is_utm(epsg):
        return np.ones(np.shape(lon))
    from pyproj import Proj

    factors = Proj(epsg).get_factors(lon, lat)
    return np.asarray(factors.tissot_semimajor, np.float64)


@functools.cache
def _epsg_code(crs_wkt: str) -> int | None:
    from pyproj import CRS
    from pyproj.exceptions import CRSError

    try:
        crs = CRS.from_wkt(crs_wkt)
    except CRSError:
        return None
    if crs.is_bound and crs.source_crs is not None:
        crs = crs.source_crs
    stated = crs.to_json_dict().get("id", {})
    if stated.get("authority") == "EPSG":
        return int(stated["code"])
    return crs.to_epsg()


def tile_epsg(tile_id: str) -> int | None:
    """Return the EPSG code of an MGRS tile's UTM zone; None where there is no such zone."""
    zone = int(tile_id[1:3])
    return (32600 if tile_id[3] >= "N" else 32700) + zone if zone in _ZONES else None


def central_meridian_deg(epsg: int) -> float:
    """Central meridian of a WGS 84 / UTM zone, or of the area that another reference system is for, in degrees."""
    if is_utm(epsg):
        return (epsg % 100) * 6.0 - 183.0
    return _middle_deg(epsg)


@functools.cache
def _middle_deg(epsg: int) -> float:
    from pyproj import CRS

    area = CRS.from_epsg(epsg).area_of_use
    if area is None:
        return 0.0
    east = area.east + 360.0 if area.east < area.west else area.east
    return float((area.west + east) / 2)


@functools.cache
def _from_lonlat(epsg: int) -> Transformer:
    # Transformers may be shared by threads (pyproj documentation, "Advanced Examples").
    from pyproj import Transformer

    return Transformer.from_crs(4326, epsg, always_xy=True)


def utm_to_lonlat(x: np.ndarray, y: np.ndarray, epsg: int) -> tuple[np.ndarray, np.ndarray]:
    """Convert UTM coordinates to longitude and latitude.

    Parameters
    ----------
    x, y : numpy.ndarray
        Easting and northing in metres, any shape.
    epsg : int
        326xx (north) or 327xx (south), or another reference system that :func:`ground_epsg` takes.

    Returns
    -------
    tuple of numpy.ndarray
        Longitude (beyond +-180 where the zone crosses the antimeridian) and latitude in degrees, float64; infinite
        where the projection is not defined.
    """
    found = _from_lonlat(epsg).transform(
        np.asarray(x, np.float64), np.asarray(y, np.float64), direction="INVERSE"
    )
    lon, lat = (np.asarray(values, np.float64) for values in found)
    return _near(lon, epsg), lat


def lonlat_to_utm(lon: np.ndarray, lat: np.ndarray, epsg: int) -> tuple[np.ndarray, np.ndarray]:
    """Convert longitude and latitude to UTM coordinates: the inverse of :func:`utm_to_lonlat`.

    Parameters
    ----------
    lon, lat : numpy.ndarray
        Degrees, any shape; longitudes beyond +-180 are fine.
    epsg : int
        326xx (north) or 327xx (south), or another reference system that :func:`ground_epsg` takes.

    Returns
    -------
    tuple of numpy.ndarray
        Easting and northing in metres, float64; infinite where the projection is not defined.
    """
    near = _near(np.asarray(lon, np.float64), epsg)  # PROJ refuses longitudes that are several turns away
    found = _from_lonlat(epsg).transform(near, np.asarray(lat, np.float64))
    x, y = (np.asarray(values, np.float64) for values in found)
    return x, y


def _near(lon: np.ndarray, epsg: int) -> np.ndarray:
    """Longitudes turned by whole circles to within 180 degrees of a zone's central meridian."""
    with np.errstate(invalid="ignore"):  # infinity stays NaN or infinity
        turns = np.rint((lon - central_meridian_deg(epsg)) / 360.0)
        return np.where(np.isfinite(lon), lon - 360.0 * turns, lon)


def convergence_deg(x: np.ndarray, y: np.ndarray, epsg: int) -> np.ndarray:
    """Angle from true north to grid north, clockwise positive, in degrees."""
    from pyproj import Proj

    lon, lat = utm_to_lonlat(x, y, epsg)
    # A Proj of its own: unlike a Transformer, it must not be shared by threads.
    projection: Proj = Proj(epsg)
    return np.asarray(projection.get_factors(lon, lat).meridian_convergence, np.float64)
