"""Coordinate reference systems, and coordinates from one of them to another."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from s2pipe.errors import RasterError
from s2pipe.raster._gdal import raised_errors

if TYPE_CHECKING:
    from s2pipe.raster.grid import Grid

_WIDENED = 1.95
"""Source pixels along a target pixel from which kernels widen, as GDAL has it since 3.13."""
_WHOLE = 0.05
"""So close to a whole number of pixels counts as one, as GDAL has it."""


def _reference(text: str) -> Any:
    from osgeo import osr

    reference = osr.SpatialReference()
    reference.SetFromUserInput(text)
    reference.SetAxisMappingStrategy(osr.OAMS_TRADITIONAL_GIS_ORDER)
    return reference


def crs_wkt(epsg: int) -> str:
    """Return a coordinate reference system as WKT, from its EPSG code."""
    with raised_errors():
        from osgeo import osr

        reference = osr.SpatialReference()
        reference.ImportFromEPSG(epsg)
        return str(reference.ExportToWkt())


def wkt_of(text: str) -> str:
    """Return a coordinate reference system, as WKT of any version, in the WKT that rasters have.

    Raises
    ------
    RasterError
        GDAL cannot read it.
    """
    with raised_errors():
        try:
            return str(_reference(text).ExportToWkt())
        except RuntimeError as error:
            msg = f"{text[:60]!r} is a reference system that GDAL cannot use ({error}); give its EPSG code"
            raise RasterError(msg) from error


@functools.cache
def epsg_of(wkt: str) -> int | None:
    """Return the EPSG code that a reference system names itself by; None where it names none."""
    with raised_errors():
        try:
            reference = _reference(wkt)
        except RuntimeError:
            return None
        code = reference.GetAuthorityCode(None) if reference.GetAuthorityName(None) == "EPSG" else None
    return int(code) if code and code.isdecimal() else None


@functools.cache
def same_crs(one: str, other: str) -> bool:
    """Tell whether two reference systems (WKT) are the same, however they are written."""
    with raised_errors():
        return one == other or bool(_reference(one).IsSame(_reference(other)))


def transform_points(source: str, target: str, points: np.ndarray) -> np.ndarray:
    """Transform coordinates.

    Parameters
    ----------
    source, target : str
        Reference systems as WKT.
    points : ndarray (point, 2)
        x and y, float64.

    Returns
    -------
    ndarray (point, 2)
        x and y in the target system; infinite where there is no such place in it.

    Raises
    ------
    RasterError
        There is no way from one system to the other.
    """
    with raised_errors():
        from osgeo import osr

        try:
            transform = osr.CoordinateTransformation(_reference(source), _reference(target))
            return np.array(transform.TransformPoints(np.ascontiguousarray(points).tolist()))[:, :2]
        except RuntimeError as error:
            msg = f"coordinates cannot be transformed ({error}); check the target grid's CRS"
            raise RasterError(msg) from error


def kernel_scale(source: Grid, target: Grid, place: np.ndarray | None = None) -> tuple[float, float]:
    """Return how many target pixels lie along a source pixel, along both axes, as kernels of GDAL's warper take it.

    GDAL before 3.13 widens kernels of pixels of about the same size, too, by what it finds for each piece of its work.

    Parameters
    ----------
    source, target : Grid
        The grids, in any reference systems.
    place : ndarray, (2,), optional
        Coordinates in the target's system where pixels are compared; by default the middle of the source.
    """
    is_same = source.crs_wkt == target.crs_wkt or same_crs(source.crs_wkt, target.crs_wkt)
    if place is None:
        left, bottom, right, top = source.bounds
        place = np.array([(left + right) / 2, (bottom + top) / 2])
        place = place if is_same else transform_points(source.crs_wkt, target.crs_wkt, place[np.newaxis])[0]
    width, height = target.pixel_size
    corners = place + np.array([[0.0, 0.0], [width, 0.0], [0.0, height]])
    if not is_same:
        corners = transform_points(target.crs_wkt, source.crs_wkt, corners)
    if not np.isfinite(corners).all():
        return 1.0, 1.0
    across, down = (corners[1:] - corners[0]) / np.array(source.pixel_size)
    lengths = [math.hypot(*across), math.hypot(*down)]
    if abs(across[0]) < abs(across[1]) or abs(down[1]) < abs(down[0]):  # its axes are not those of the source
        lengths = [math.sqrt(math.prod(lengths))] * 2
    if max(lengths) < _WIDENED:
        return 1.0, 1.0
    x, y = (
        1.0 / max(1.0, round(length) if abs(length - round(length)) < _WHOLE else round(length, 3))
        for length in lengths
    )
    return x, y
