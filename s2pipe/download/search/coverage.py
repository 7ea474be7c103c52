"""Areas on the globe: what a query asks for, and how much of a tile a footprint covers. Standard library only."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from s2pipe.errors import ConfigError, Fault
from s2pipe.sentinel2.bands import TILE_SIDE_M

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Point = tuple[float, float]
Ring = tuple[Point, ...]
Polygon = tuple[Ring, ...]
"""Outer ring, then holes; longitude and latitude in degrees."""

_AXIS_M, _E2 = 6_378_137.0, 0.006_694_379_990_14  # WGS 84
_UTM_SCALE = 0.9996
_FULL = 0.997
"""Footprints are simplified outlines: from here on a tile counts as covered whole."""
_MAX_VERTICES = 500
_WKT = re.compile(
    r"\s*(?:SRID=4326;)?\s*(POINT|POLYGON|MULTIPOLYGON)\s*(\(.*\))\s*", re.IGNORECASE | re.DOTALL
)
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?", re.ASCII)


def query_areas(text: str) -> tuple[str, ...]:
    """Return the WKT of each part of a query's geometry, rings closed.

    Parameters
    ----------
    text : str
        WKT, or the name of a GeoJSON file.

    Raises
    ------
    ConfigError
        It is neither, or its coordinates are no longitudes and latitudes.
    """
    match = _WKT.fullmatch(text)
    try:
        areas = _from_wkt(match[1].upper(), match[2]) if match else _from_file(Path(text))
        return tuple(_to_wkt(area) for area in _checked(areas))
    except ValueError as error:
        shown = text if len(text) <= 80 else f"{text[:77]}..."
        msg = "download.query.geometry"
        raise ConfigError(msg, [Fault("", f"{shown!r}: {error}")]) from None


def _from_file(path: Path) -> list[Polygon]:
    if path.suffix.lower() not in (".json", ".geojson"):
        msg = "expected WKT (POLYGON, MULTIPOLYGON or POINT), or a .geojson or .json file"
        raise ValueError(msg)
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        msg = f"cannot be read: {error.strerror}"
        raise ValueError(msg) from None
    except (ValueError, RecursionError):
        msg = "is not JSON"
        raise ValueError(msg) from None
    areas = [area for geometry in _geometries(document) for area in polygons(geometry)]
    if not areas:
        msg = "holds no Polygon, MultiPolygon or Point"
        raise ValueError(msg)
    return areas


def _geometries(document: Any) -> Iterator[Any]:
    if not isinstance(document, dict):
        return
    if document.get("type") == "FeatureCollection":
        for feature in document.get("features") or []:
            yield from _geometries(feature)
    elif document.get("type") == "Feature":
        yield from _geometries(document.get("geometry"))
    elif document.get("type") == "GeometryCollection":
        for geometry in document.get("geometries") or []:
            yield from _geometries(geometry)
    else:
        yield document


def polygons(geometry: Any) -> list[Polygon]:
    """Return the polygons of a GeoJSON geometry; none for anything else. A point is a polygon of one vertex."""
    if not isinstance(geometry, dict):
        return []
    kind = geometry.get("type")
    coordinates: Any = geometry.get("coordinates")
    try:
        if kind == "Point":
            return [((_point(coordinates),),)]
        if kind == "Polygon":
            return [_polygon(coordinates)]
        if kind == "MultiPolygon":
            return [_polygon(part) for part in coordinates]
    except (TypeError, ValueError, IndexError, KeyError):
        return []
    return []


def _polygon(rings: Any) -> Polygon:
    found = tuple(tuple(_point(vertex) for vertex in ring) for ring in rings)
    if not found or min(map(len, found)) < 3:
        msg = "a ring has fewer than 3 vertices"
        raise ValueError(msg)
    return found


def _point(vertex: Any) -> Point:
    x, y = float(vertex[0]), float(vertex[1])
    if not (math.isfinite(x) and math.isfinite(y)):
        msg = "a coordinate is not finite"
        raise ValueError(msg)
    return x, y


def _from_wkt(kind: str, text: str) -> list[Polygon]:
    # Brackets become those of JSON: POLYGON((1 2, 3 4)) -> [[[1, 2], [3, 4]]]
    pairs = re.sub(r"[^(),]+", lambda m: _pair(m[0]) if m[0].strip() else "", text)
    try:
        nested = json.loads(pairs.replace("(", "[").replace(")", "]"))
    except ValueError:
        msg = "its brackets do not fit together"
        raise ValueError(msg) from None
    if kind == "POINT":
        return polygons({"type": "Point", "coordinates": nested[0]})
    found = polygons({"type": {"POLYGON": "Polygon"}.get(kind, "MultiPolygon"), "coordinates": nested})
    if not found:
        msg = f"is no {kind} with rings of 3 vertices or more"
        raise ValueError(msg)
    return found


def _pair(text: str) -> str:
    numbers = text.split()
    if len(numbers) != 2 or not all(_NUMBER.fullmatch(number) for number in numbers):
        msg = f"expected 'longitude latitude', got {text.strip()[:40]!r}"
        raise ValueError(msg)
    return f"[{float(numbers[0])!r},{float(numbers[1])!r}]"


def _checked(areas: Sequence[Polygon]) -> Sequence[Polygon]:
    vertices = [vertex for area in areas for ring in area for vertex in ring]
    if not vertices:
        msg = "is empty"
        raise ValueError(msg)
    if len(vertices) > _MAX_VERTICES:
        msg = f"has {len(vertices)} vertices; simplify it to {_MAX_VERTICES} or fewer"
        raise ValueError(msg)
    wrong = [v for v in vertices if not (-180.0 <= v[0] <= 180.0 and -90.0 <= v[1] <= 90.0)]
    if wrong:
        msg = f"{wrong[0]} is no longitude and latitude in degrees"
        raise ValueError(msg)
    return areas


def _to_wkt(area: Polygon) -> str:
    def vertex(point: Point) -> str:
        return " ".join(f"{value:.10f}".rstrip("0").rstrip(".") for value in point)

    if len(area[0]) == 1:
        return f"POINT({vertex(area[0][0])})"
    rings = [ring if ring[0] == ring[-1] else (*ring, ring[0]) for ring in area]
    return f"POLYGON({','.join('(' + ','.join(map(vertex, ring)) + ')' for ring in rings)})"


def coverage_ratio(footprint: Any, tile_id: str) -> float | None:
    """Part of a tile that a footprint covers.

    Parameters
    ----------
    footprint : dict or None
        GeoJSON geometry; it may cross the antimeridian.
    tile_id : str
        MGRS tile with its ``T``; its zone's scale decides how much ground the tile's square is.

    Returns
    -------
    float or None
        0 to 1; None without a footprint.
    """
    areas = polygons(footprint)
    if not areas:
        return None
    size = sum(_area(area) for area in areas)
    longitude, latitude = areas[0][0][0]
    meridian = 6 * int(tile_id[1:3]) - 183
    away = math.radians((longitude - meridian + 180.0) % 360.0 - 180.0) * math.cos(math.radians(latitude))
    scale = _UTM_SCALE * (1.0 + away * away / 2.0)
    ratio = size * scale * scale / TILE_SIDE_M**2
    return 1.0 if ratio >= _FULL else round(ratio, 4)


def _area(area: Polygon) -> float:
    outer, *holes = (abs(_ring_area(_unwrapped(ring))) for ring in area)
    return max(0.0, outer - sum(holes))


def _ring_area(ring: Sequence[Point]) -> float:
    """Signed area in square metres, by the cylindrical equal-area projection of the ellipsoid."""
    flat = [(_AXIS_M * math.radians(x), _AXIS_M * _authalic(y) / 2.0) for x, y in ring]
    pairs = zip(flat, [*flat[1:], flat[0]], strict=True)
    return sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in pairs) / 2.0


def _authalic(latitude: float) -> float:
    sine, e = math.sin(math.radians(latitude)), math.sqrt(_E2)
    return (1.0 - _E2) * (sine / (1.0 - _E2 * sine * sine) + math.atanh(e * sine) / e)


def _unwrapped(ring: Sequence[Point]) -> list[Point]:
    """Longitudes without jumps at the antimeridian."""
    start = ring[0][0]
    return [((x - start + 180.0) % 360.0 - 180.0 + start, y) for x, y in ring]


def overlap_ratio(first: Any, second: Any) -> float | None:
    """Shared part of two footprints relative to the smaller one, estimated on a grid; None without both."""
    here, there = polygons(first), polygons(second)
    if not here or not there:
        return None
    start = here[0][0][0][0]

    def near(areas: list[Polygon]) -> list[list[Point]]:
        rings = [[(start, area[0][0][1]), *area[0]] for area in areas]
        return [_unwrapped(ring)[1:] for ring in rings]

    here_rings, there_rings = near(here), near(there)
    points = [point for ring in (*here_rings, *there_rings) for point in ring]
    xs, ys = [x for x, _ in points], [y for _, y in points]
    steps, both, inside_here, inside_there = 64, 0, 0, 0
    for row in range(steps):
        y = min(ys) + (row + 0.5) * (max(ys) - min(ys)) / steps
        for column in range(steps):
            x = min(xs) + (column + 0.5) * (max(xs) - min(xs)) / steps
            in_here = any(_contains(ring, x, y) for ring in here_rings)
            in_there = any(_contains(ring, x, y) for ring in there_rings)
            inside_here, inside_there = inside_here + in_here, inside_there + in_there
            both += in_here and in_there
    smaller = min(inside_here, inside_there)
    return both / smaller if smaller else None


def _contains(ring: Sequence[Point], x: float, y: float) -> bool:
    inside = False
    for (x0, y0), (x1, y1) in zip(ring, [*ring[1:], ring[0]], strict=True):
        if (y0 > y) != (y1 > y) and x < (x1 - x0) * (y - y0) / (y1 - y0) + x0:
            inside = not inside
    return inside
