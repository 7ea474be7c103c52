"""UTM and geographic coordinates on WGS 84, in plain NumPy.

Formulas: Krueger's series as given in Karney (2011), "Transverse Mercator with an accuracy of a few
nanometers", Journal of Geodesy 85, 475-485, to third order (below a millimetre inside a zone).
"""

from __future__ import annotations

import re

import numpy as np

from s2pipe.errors import RasterError

_A = 6378137.0
_F = 1.0 / 298.257223563
_K0 = 0.9996
_N = _F / (2.0 - _F)
_RECTIFYING_RADIUS = _A / (1.0 + _N) * (1.0 + _N**2 / 4.0 + _N**4 / 64.0)
_BETA = (
    _N / 2.0 - 2.0 * _N**2 / 3.0 + 37.0 * _N**3 / 96.0,
    _N**2 / 48.0 + _N**3 / 15.0,
    17.0 * _N**3 / 480.0,
)
_ALPHA = (
    _N / 2.0 - 2.0 * _N**2 / 3.0 + 5.0 * _N**3 / 16.0,
    13.0 * _N**2 / 48.0 - 3.0 * _N**3 / 5.0,
    61.0 * _N**3 / 240.0,
)
_E = np.sqrt(_F * (2.0 - _F))
_UTM_NAME = re.compile(r'"WGS 84 / UTM zone (\d{1,2})([NS])"')


def utm_epsg(crs_wkt: str) -> int:
    """Return the EPSG code of a WGS 84 / UTM zone, the CRS of every Sentinel-2 raster.

    Raises
    ------
    RasterError
        The CRS is another one.
    """
    match = _UTM_NAME.search(crs_wkt)
    if match is None:
        msg = (
            f"expected a CRS called 'WGS 84 / UTM zone ..', as Sentinel-2 has, got {crs_wkt[:80]!r}; "
            "ground cells and splits need it"
        )
        raise RasterError(msg)
    return (32600 if match[2] == "N" else 32700) + int(match[1])


def central_meridian_deg(epsg: int) -> float:
    """Central meridian of a WGS 84 / UTM zone in degrees."""
    return (epsg % 100) * 6.0 - 183.0


def utm_to_lonlat(x: np.ndarray, y: np.ndarray, epsg: int) -> tuple[np.ndarray, np.ndarray]:
    """Convert UTM coordinates to longitude and latitude.

    Parameters
    ----------
    x, y : numpy.ndarray
        Easting and northing in metres, any shape.
    epsg : int
        326xx (north) or 327xx (south).

    Returns
    -------
    tuple of numpy.ndarray
        Longitude (beyond +-180 where the zone crosses the antimeridian) and latitude in degrees, float64.
    """
    northing = np.asarray(y, np.float64) - (10_000_000.0 if epsg // 100 == 327 else 0.0)
    xi = northing / (_K0 * _RECTIFYING_RADIUS)
    eta = (np.asarray(x, np.float64) - 500_000.0) / (_K0 * _RECTIFYING_RADIUS)
    xi_p, eta_p = xi.copy(), eta.copy()
    for order, beta in enumerate(_BETA, start=1):
        xi_p -= beta * np.sin(2 * order * xi) * np.cosh(2 * order * eta)
        eta_p -= beta * np.cos(2 * order * xi) * np.sinh(2 * order * eta)
    conformal = np.sin(xi_p) / np.hypot(np.sinh(eta_p), np.cos(xi_p))
    longitude = central_meridian_deg(epsg) + np.degrees(np.arctan2(np.sinh(eta_p), np.cos(xi_p)))
    return longitude, np.degrees(np.arctan(_geodetic_tangent(conformal)))


def lonlat_to_utm(lon: np.ndarray, lat: np.ndarray, epsg: int) -> tuple[np.ndarray, np.ndarray]:
    """Convert longitude and latitude to UTM coordinates: the inverse of :func:`utm_to_lonlat`.

    Parameters
    ----------
    lon, lat : numpy.ndarray
        Degrees, any shape; longitudes beyond +-180 are fine.
    epsg : int
        326xx (north) or 327xx (south).

    Returns
    -------
    tuple of numpy.ndarray
        Easting and northing in metres, float64.
    """
    delta = np.asarray(lon, np.float64) - central_meridian_deg(epsg)
    delta = np.radians((delta + 180.0) % 360.0 - 180.0)
    tau = np.tan(np.radians(np.asarray(lat, np.float64)))
    root = np.hypot(1.0, tau)
    sigma = np.sinh(_E * np.arctanh(_E * tau / root))
    conformal = tau * np.hypot(1.0, sigma) - sigma * root
    xi_p = np.arctan2(conformal, np.cos(delta))
    eta_p = np.arcsinh(np.sin(delta) / np.hypot(conformal, np.cos(delta)))
    xi, eta = xi_p.copy(), eta_p.copy()
    for order, alpha in enumerate(_ALPHA, start=1):
        xi += alpha * np.sin(2 * order * xi_p) * np.cosh(2 * order * eta_p)
        eta += alpha * np.cos(2 * order * xi_p) * np.sinh(2 * order * eta_p)
    scale = _K0 * _RECTIFYING_RADIUS
    south = 10_000_000.0 if epsg // 100 == 327 else 0.0
    return 500_000.0 + scale * eta, south + scale * xi


def convergence_deg(x: np.ndarray, y: np.ndarray, epsg: int) -> np.ndarray:
    """Angle from true north to grid north, clockwise positive, in degrees."""
    longitude, latitude = utm_to_lonlat(x, y, epsg)
    delta = np.radians(longitude - central_meridian_deg(epsg))
    return np.degrees(np.arctan(np.tan(delta) * np.sin(np.radians(latitude))))


def _geodetic_tangent(conformal: np.ndarray) -> np.ndarray:
    """Tangent of the geodetic latitude from that of the conformal one, by Newton's iteration."""
    tau = conformal.copy()
    for _ in range(4):
        root = np.hypot(1.0, tau)
        sigma = np.sinh(_E * np.arctanh(_E * tau / root))
        guess = tau * np.hypot(1.0, sigma) - sigma * root
        slope = (1.0 + (1.0 - _E**2) * tau**2) / ((1.0 - _E**2) * np.hypot(1.0, guess) * root)
        tau = tau + (conformal - guess) * slope
    return tau
