"""Areas on the globe: what a query asks for, and how much of a tile a footprint covers."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from s2pipe.config.documents import read_json
from s2pipe.errors import ConfigError, Fault
from s2pipe.ground.projection import lonlat_to_utm, tile_epsg
from s2pipe.sentinel2.bands import TILE_SIDE_M

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from shapely import Geometry
    from shapely.geometry.base import BaseGeometry

_FULL = 0.997
"""Footprints are simplified outlines: from here on a tile counts as fully covered."""
_MAX_VERTICES = 500
_KINDS = ("Point", "Polygon", "MultiPolygon")
_WKT = re.compile(r"\s*(?:SRID=4326;)?\s*((?:POINT|POLYGON|MULTIPOLYGON)\b.*)", re.IGNORECASE | re.DOTALL)
_TINY = re.compile(r"-?[\d.]+e-\d+")


def query_areas(text: str) -> tuple[str, ...]:
    """Return the WKT of each part of a query's geometry, rings closed.

    Parameters
    ----------
    text : str
        WKT, or the name of a GeoJSON file.

    Raises
    ------
    ConfigError
        It is neither, or its coordinates are not longitudes and latitudes.
    """
    match = _WKT.fullmatch(text)
    try:
        areas = _from_wkt(match[1]) if match else _from_file(Path(text))
        _check(areas)
    except ValueError as error:
        shown = text if len(text) <= 80 else f"{text[:77]}..."
        msg = "download.query.geometry"
        raise ConfigError(msg, [Fault("", f"{shown!r}: {error}")]) from None
    return tuple(_to_wkt(area) for area in areas)


def _from_wkt(text: str) -> list[Geometry]:
    import shapely

    with np.errstate(all="ignore"):  # numbers too large for a float are refused with their value
        try:
            geometry = shapely.from_wkt(text, on_invalid="fix")  # closes rings
            if geometry is None:
                shapely.from_wkt(text)
        except shapely.errors.ShapelyError as error:
            msg = f"is not valid WKT: {str(error) or 'it does not parse'}"
            raise ValueError(msg) from None
    return list(shapely.get_parts(geometry))


def _from_file(path: Path) -> list[Geometry]:
    if path.suffix.lower() not in (".json", ".geojson"):
        msg = "expected WKT (POLYGON, MULTIPOLYGON or POINT), or a .geojson or .json file"
        raise ValueError(msg)
    try:
        document = read_json(path)
        areas = [area for geometry in _geometries(document) for area in polygons(geometry)]
    except OSError as error:
        msg = f"cannot be read: {error.strerror}"
        raise ValueError(msg) from None
    except ValueError:
        msg = "is not GeoJSON"
        raise ValueError(msg) from None
    if not areas:
        msg = "contains no valid Polygon, MultiPolygon or Point"
        raise ValueError(msg)
    return areas


def _geometries(document: Any) -> Iterator[Any]:
    if not isinstance(document, dict):
        return
    if document.get("type") == "FeatureCollection":
        for feature in _listed(document.get("features")):
            yield from _geometries(feature)
    elif document.get("type") == "Feature":
        yield from _geometries(document.get("geometry"))
    elif document.get("type") == "GeometryCollection":
        for geometry in _listed(document.get("geometries")):
            yield from _geometries(geometry)
    else:
        yield document


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def polygons(geometry: Any) -> list[Geometry]:
    """Return the polygons, or the point, of a GeoJSON geometry; none for anything else."""
    import shapely
    from shapely.geometry import shape

    if not isinstance(geometry, dict) or geometry.get("type") not in _KINDS:
        return []
    try:
        with np.errstate(all="ignore"):  # what is not finite is refused below
            parts = list(shapely.get_parts(shapely.force_2d(shape(geometry))))
    except (ArithmeticError, LookupError, TypeError, ValueError, AttributeError, shapely.errors.ShapelyError):
        return []
    vertices = shapely.get_coordinates(parts)
    return parts if len(vertices) and np.isfinite(vertices).all() else []


def _check(areas: Sequence[Geometry]) -> None:
    import shapely

    vertices = shapely.get_coordinates(areas)
    if not len(vertices):
        msg = "is empty"
        raise ValueError(msg)
    if len(vertices) > _MAX_VERTICES:
        msg = f"has {len(vertices)} vertices; simplify it to {_MAX_VERTICES} or fewer"
        raise ValueError(msg)
    if any(ring is not None and len(ring.coords) < 4 for area in areas for ring in _rings(area)):
        msg = "has a ring of fewer than 3 vertices"
        raise ValueError(msg)
    wrong = vertices[~((np.abs(vertices[:, 0]) <= 180.0) & (np.abs(vertices[:, 1]) <= 90.0))]
    if len(wrong):
        msg = f"({wrong[0][0]}, {wrong[0][1]}) is not a longitude and latitude in degrees"
        raise ValueError(msg)


def _rings(area: Any) -> list[Any]:
    return [area.exterior, *area.interiors] if area.geom_type == "Polygon" else []


def _to_wkt(area: Geometry) -> str:
    import shapely

    text = shapely.to_wkt(shapely.force_2d(area), rounding_precision=10)
    return _TINY.sub(lambda number: f"{float(number[0]):.10f}", text)


def coverage_ratio(footprint: Any, tile_id: str) -> float | None:
    """Part of a tile that a footprint covers.

    Parameters
    ----------
    footprint : dict or None
        GeoJSON geometry; it may cross the antimeridian.
    tile_id : str
        MGRS tile with its ``T``; areas are compared in its UTM zone.

    Returns
    -------
    float or None
        0 to 1; None without a footprint.
    """
    outline = _on_tile_grid(footprint, tile_id)
    if outline is None:
        return None
    ratio = outline.area / TILE_SIDE_M**2
    return 1.0 if ratio >= _FULL else round(ratio, 4)


def overlap_ratio(first: Any, second: Any, tile_id: str) -> float | None:
    """Shared part of two footprints (GeoJSON) of one tile relative to the smaller one; None without both."""
    here, there = _on_tile_grid(first, tile_id), _on_tile_grid(second, tile_id)
    if here is None or there is None:
        return None
    smaller = min(here.area, there.area)
    return float(here.intersection(there).area / smaller) if smaller > 0 else None


def _on_tile_grid(footprint: Any, tile_id: str) -> BaseGeometry | None:
    """Footprint in the tile's UTM zone, where the antimeridian is a line like any other."""
    import shapely

    areas, epsg = polygons(footprint), tile_epsg(tile_id)
    if not areas or epsg is None:
        return None

    def project(lonlat: np.ndarray) -> np.ndarray:
        return np.stack(lonlat_to_utm(lonlat[:, 0], lonlat[:, 1], epsg), axis=-1)

    placed = [shapely.transform(area, project) for area in areas]
    # Whatever lies out of reach of the zone's projection does not cover the tile.
    near = [area for area in placed if np.isfinite(shapely.get_coordinates(area)).all()]
    return shapely.union_all(shapely.make_valid(near))
