"""Areas on the globe: what a query asks for, and how much of a tile a footprint covers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from s2pipe.errors import ConfigError, Fault
from s2pipe.ground.area import lonlat_parts
from s2pipe.ground.area_files import geojson_parts, read_shapes
from s2pipe.ground.projection import lonlat_to_utm, tile_epsg
from s2pipe.sentinel2.bands import TILE_SIDE_M

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shapely.geometry.base import BaseGeometry

_FULL = 0.997
"""Footprints are simplified outlines: from here on a tile counts as fully covered."""
_MAX_VERTICES = 500
_KINDS = ("Point", "Polygon", "MultiPolygon")
_LINE_DEG = 1e-6
"""Half the width of a line: a decimetre."""
_TINY = re.compile(r"-?[\d.]+e-\d+")


def query_areas(text: str, crs: str | None = None) -> tuple[str, ...]:
    """Return the WKT of each part of a query's geometry in longitude and latitude, rings closed.

    Parameters
    ----------
    text : str
        WKT, bounds, or the name of a file, as :func:`s2pipe.ground.area_files.read_shapes` takes them.
    crs : str, optional
        Reference system of its coordinates; None takes what they state, else longitude and latitude.

    Raises
    ------
    ConfigError
        It is no such area, or has parts that the catalogue cannot search by.
    """
    try:
        areas = [_with_inside(area) for area in lonlat_parts(read_shapes(text, crs))]
        _check(areas)
    except ValueError as error:
        shown = text if len(text) <= 80 else f"{text[:77]}..."
        msg = "download.query.geometry"
        raise ConfigError(msg, [Fault("", f"{shown!r}: {error}")]) from None
    return tuple(_to_wkt(area) for area in areas)


def polygons(geometry: Any) -> list[Any]:
    """Return the polygons, or the point, of a GeoJSON geometry; none for anything else."""
    return geojson_parts(geometry, _KINDS)


def _with_inside(area: Any) -> Any:
    """The polygon around a line, which the catalogue does not search by; anything else as it is."""
    import shapely

    if "Line" not in area.geom_type:
        return area
    return shapely.intersection(area.buffer(_LINE_DEG, quad_segs=1), shapely.box(-180, -90, 180, 90))


def _check(areas: Sequence[Any]) -> None:
    import shapely

    vertices = len(shapely.get_coordinates(areas))
    if vertices > _MAX_VERTICES:
        msg = f"has {vertices} vertices; simplify it to {_MAX_VERTICES} or fewer"
        raise ValueError(msg)
    strange = [area.geom_type for area in areas if area.geom_type not in ("Polygon", "Point")]
    if strange:
        msg = f"contains a {strange[0]}; the catalogue is searched by polygons or points"
        raise ValueError(msg)


def _to_wkt(area: Any) -> str:
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
