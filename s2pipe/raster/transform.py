"""Coordinate reference systems, and coordinates from one of them to another."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from s2pipe.errors import RasterError
from s2pipe.raster._gdal import raised_errors


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
