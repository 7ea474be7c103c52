"""Areas as users write them: WKT, bounds, GeoJSON, GeoPackage, in any reference system. One reader for every step."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import numpy as np

from s2pipe.config.documents import read_json
from s2pipe.ground.geopackage import read_geopackage
from s2pipe.runtime.limits import MAX_CONFIG_BYTES, read_limited
from s2pipe.runtime.paths import seen_from, user_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from pyproj import CRS

LONLAT = "EPSG:4326"
"""Reference system of coordinates of which nothing is said: longitude and latitude on WGS 84."""
_WKT = re.compile(
    r"\s*(?:SRID=(?P<srid>\d{1,6});)?\s*"
    r"(?P<wkt>(?:POINT|LINESTRING|LINEARRING|POLYGON|MULTIPOINT|MULTILINESTRING|MULTIPOLYGON|GEOMETRYCOLLECTION)\b.*)",
    re.IGNORECASE | re.DOTALL,
)
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_BOUNDS = re.compile(
    rf"\s*({_NUMBER})\s*[,\s]\s*({_NUMBER})\s*[,\s]\s*({_NUMBER})\s*[,\s]\s*({_NUMBER})\s*", re.ASCII
)
_KINDS = ("Point", "MultiPoint", "LineString", "MultiLineString", "Polygon", "MultiPolygon")
_LAYER = re.compile(r"(?P<file>.*\.gpkg)\|layername=(?P<layer>.+)", re.IGNORECASE | re.DOTALL)
_MAX_DEPTH = 10
"""Levels of parentheses in WKT; a collection of polygons has four."""
MAX_VERTICES = 2_000_000
"""Most vertices of an area; outlines of countries have up to 100,000."""


@dataclass(frozen=True, eq=False)
class Shapes:
    """Geometries as they were written."""

    parts: tuple[Any, ...]
    """Points, lines and polygons, two-dimensional, finite, one at least."""
    crs: Any
    """Their reference system; coordinates are x and y, or longitude and latitude, whatever order it defines."""


def read_shapes(text: str, crs: str | None = None) -> Shapes:
    """Read an area.

    Parameters
    ----------
    text : str
        WKT (``SRID=32633;`` may lead), bounds ``left,bottom,right,top``, or the name of a ``.geojson``, ``.json``,
        ``.gpkg`` or ``.wkt`` file; ``file.gpkg|layername=fields`` names one of several layers.
    crs : str, optional
        Reference system of the coordinates: ``EPSG:32633``, WKT or PROJ text. None takes what is stated with them,
        else longitude and latitude.

    Raises
    ------
    ValueError
        It is none of these, is empty, or holds what is no coordinate.
    """
    stated: str | None = None
    if match := _WKT.fullmatch(text):
        parts, stated = _from_wkt(match["wkt"]), match["srid"] and f"EPSG:{match['srid']}"
    elif match := _BOUNDS.fullmatch(text):
        parts = [float_bounds(*map(float, match.groups()), is_lonlat=crs_of(crs or LONLAT).is_geographic)]
    else:
        parts, stated = _from_file(text)
    parts = [part for part in parts if not part.is_empty]
    system = _agreed(stated, crs)
    _check(parts, system)
    return Shapes(tuple(parts), system)


def _agreed(stated: str | None, given: str | None) -> CRS:
    """The one reference system of what comes with the coordinates and what the user says."""
    if stated is None or given is None:
        return crs_of(stated or given or LONLAT)
    own, said = crs_of(stated), crs_of(given)
    if not own.equals(said, ignore_axis_order=True):
        msg = f"is in {own.name}, and its reference system is given as {said.name}; leave the latter out"
        raise ValueError(msg)
    return own


def crs_of(text: str) -> CRS:
    """Return a reference system of places on a map: ``EPSG:32633``, WKT or PROJ text.

    Raises
    ------
    ValueError
        It is none that PROJ knows, or does not give places on a map.
    """
    from pyproj import CRS
    from pyproj.exceptions import CRSError

    try:
        system = CRS.from_user_input(text)
    except CRSError:
        shown = text if len(text) <= 60 else f"{text[:57]}..."
        msg = f"{shown!r} is not a reference system that PROJ knows; expected such as EPSG:32633"
        raise ValueError(msg) from None
    if not (system.is_geographic or system.is_projected):
        msg = f"{system.name} does not give places on a map; expected a geographic or projected reference system"
        raise ValueError(msg)
    return system


def float_bounds(left: float, bottom: float, right: float, top: float, *, is_lonlat: bool) -> Any:
    """Return a box; in longitudes, ``left`` above ``right`` crosses the antimeridian, as in GeoJSON.

    Raises
    ------
    ValueError
        It has no inside that way.
    """
    import shapely

    if (left > right and not is_lonlat) or bottom > top:
        msg = f"expected left, bottom, right, top, got {left:g}, {bottom:g}, {right:g}, {top:g}"
        raise ValueError(msg)
    if left > right:
        right += 360.0
    if left == right and bottom == top:
        return shapely.Point(left, bottom)
    if left == right or bottom == top:  # no ring has such sides
        return shapely.linestrings([(left, bottom), (right, top)])
    box = shapely.box(left, bottom, right, top)
    # No side of more than half the globe: such would be taken for one across the antimeridian.
    return shapely.segmentize(box, 90.0) if is_lonlat else box


def _from_wkt(text: str) -> list[Any]:
    import shapely

    depths = accumulate({"(": 1, ")": -1}.get(sign, 0) for sign in text)
    if max(depths, default=0) > _MAX_DEPTH:  # GEOS follows as deep as it goes
        msg = "is nested too deeply"
        raise ValueError(msg)
    with np.errstate(all="ignore"):  # numbers too large for a float are refused with their value
        try:
            geometry = shapely.from_wkt(text, on_invalid="fix")  # closes rings
            if geometry is None:
                shapely.from_wkt(text)
        except shapely.errors.ShapelyError as error:
            msg = f"is not valid WKT: {str(error) or 'it does not parse'}"
            raise ValueError(msg) from None
    return list(_simple(shapely.force_2d(geometry)))


def _simple(geometry: Any) -> Iterator[Any]:
    """Single geometries of a collection, however nested."""
    import shapely

    for part in shapely.get_parts(geometry):
        if part.geom_type == "GeometryCollection" or part.geom_type.startswith("Multi"):
            yield from _simple(part)
        else:
            yield part


def _from_file(text: str) -> tuple[list[Any], str | None]:
    """Geometries of a file, and the reference system that it states."""
    named = _LAYER.fullmatch(text)
    path = user_path(named["file"] if named else text)
    suffix = path.suffix.lower()
    try:
        if suffix in (".json", ".geojson"):
            return _from_geojson(path)
        if suffix == ".gpkg":
            geometries, stated = read_geopackage(path, named["layer"] if named else None)
            return [part for geometry in geometries for part in _simple(geometry)], stated
        if suffix == ".wkt":
            match = _WKT.fullmatch(read_limited(path, MAX_CONFIG_BYTES).decode("utf-8-sig"))
            if match is None:
                msg = "holds no WKT geometry"
                raise ValueError(msg)
            return _from_wkt(match["wkt"]), match["srid"] and f"EPSG:{match['srid']}"
    except OSError as error:
        where = seen_from(path) if isinstance(error, FileNotFoundError) else ""
        msg = f"cannot be read: {error.strerror}{where}"
        raise ValueError(msg) from None
    msg = (
        "expected WKT (POLYGON, MULTIPOLYGON or POINT), bounds (left,bottom,right,top), or a .geojson, .json, .gpkg or "
        ".wkt file"
    )
    raise ValueError(msg)


def _from_geojson(path: Path) -> tuple[list[Any], str | None]:
    try:
        document = read_json(path)
        known = list(_geometries(document))
    except ValueError:
        msg = "is not GeoJSON"
        raise ValueError(msg) from None
    parts = []
    for geometry in known:
        found = geojson_parts(geometry)
        if not found and geometry is not None:
            kind = geometry.get("type") if isinstance(geometry, dict) else None
            shown = (
                f"a {kind} that is not valid"
                if kind in _KINDS
                else f"{str(kind)[:40]!r}, which is no geometry"
            )
            msg = f"contains no valid GeoJSON geometry, but {shown}; expected Polygon, MultiPolygon or Point"
            raise ValueError(msg)
        parts += found
    if not parts:
        msg = "contains no valid Polygon, MultiPolygon or Point"
        raise ValueError(msg)
    return parts, _stated_crs(document)


def _stated_crs(document: Any) -> str | None:
    """Name of the reference system that GeoJSON states in the form of 2008, which GIS tools go on writing."""
    stated = document.get("crs") if isinstance(document, dict) else None
    if stated is None:
        return None
    properties = stated.get("properties") if isinstance(stated, dict) else None
    name = properties.get("name") if isinstance(properties, dict) else None
    if isinstance(name, str):
        return name
    msg = "has a crs that names none; expected {'type': 'name', 'properties': {'name': 'EPSG:32633'}}"
    raise ValueError(msg)


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


def geojson_parts(geometry: Any, kinds: Sequence[str] = _KINDS) -> list[Any]:
    """Return the single geometries of a GeoJSON geometry of one of these kinds; none for anything else."""
    import shapely
    from shapely.geometry import shape

    if not isinstance(geometry, dict) or geometry.get("type") not in kinds:
        return []
    try:
        with np.errstate(all="ignore"):  # what is not finite is refused below
            parts = list(shapely.get_parts(shapely.force_2d(shape(geometry))))
    except (ArithmeticError, LookupError, TypeError, ValueError, AttributeError, shapely.errors.ShapelyError):
        return []
    vertices = shapely.get_coordinates(parts)
    return parts if len(vertices) and np.isfinite(vertices).all() else []


def _check(parts: Sequence[Any], crs: CRS) -> None:
    import shapely

    vertices = shapely.get_coordinates(parts)
    if not len(vertices):
        msg = "is empty"
        raise ValueError(msg)
    if len(vertices) > MAX_VERTICES:
        msg = f"has {len(vertices)} vertices; simplify it to {MAX_VERTICES} or fewer"
        raise ValueError(msg)
    if any(len(ring.coords) < 4 for part in parts for ring in rings_of(part)):
        msg = "has a ring of fewer than 3 vertices"
        raise ValueError(msg)
    if not crs.is_geographic:
        if not np.isfinite(vertices).all():
            msg = "has coordinates that are not finite"
            raise ValueError(msg)
        return
    wrong = vertices[~((np.abs(vertices[:, 0]) <= 360.0) & (np.abs(vertices[:, 1]) <= 90.0))]
    if len(wrong):
        x, y = wrong[0].tolist()
        hint = "give longitude before latitude" if abs(y) <= 360.0 and abs(x) <= 90.0 else "state its CRS"
        msg = f"({x}, {y}) is not a longitude and latitude in degrees; {hint}"
        raise ValueError(msg)


def rings_of(part: Any) -> list[Any]:
    """Rings of a polygon; none of anything else."""
    return [part.exterior, *part.interiors] if part.geom_type == "Polygon" else []
