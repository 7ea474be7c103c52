"""Product footprints as GeoJSON, cut at the antimeridian."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shapely import Polygon


def footprint_geojson(values: Sequence[float]) -> dict[str, Any] | None:
    """Turn an ``EXT_POS_LIST`` into a GeoJSON geometry.

    Parameters
    ----------
    values : sequence of float
        Latitude and longitude in turn, degrees.

    Returns
    -------
    dict or None
        Polygon; MultiPolygon where the footprint crosses the antimeridian (RFC 7946, section 3.1.9);
        None when the list is not a ring of at least three points.
    """
    ring = list(zip(values[1::2], values[0::2], strict=False))
    if len(values) % 2 or len(ring) < 3:
        return None
    if ring[0] != ring[-1]:
        ring.append(ring[0])
    longitudes = [x for x, _ in ring]
    if max(longitudes) - min(longitudes) <= 180.0:
        return {"type": "Polygon", "coordinates": [_as_lists(ring)]}
    import shapely

    eastward = shapely.Polygon([(x + 360.0 if x < 0.0 else x, y) for x, y in ring])
    parts = [[_as_lists(part.exterior.coords)] for part in cut_at_antimeridian(eastward)]
    return {"type": "MultiPolygon", "coordinates": parts}


def cut_at_antimeridian(polygon: Polygon) -> list[Polygon]:
    """Cut a polygon whose longitudes run on beyond 180 degrees into parts within [-180, 180].

    Parts are counter-clockwise; one that only touches the antimeridian has no area and is left out.
    """
    import shapely
    from shapely import affinity

    whole = shapely.make_valid(polygon)
    parts: list[Polygon] = []
    for turn in (0.0, 360.0):
        side = shapely.intersection(whole, shapely.box(turn - 180.0, -90.0, turn + 180.0, 90.0))
        moved = affinity.translate(side, -turn)
        parts += [part for part in shapely.get_parts(moved) if isinstance(part, shapely.Polygon)]
    return [shapely.orient_polygons(part) for part in parts if part.area > 0.0]


def _as_lists(ring: Any) -> list[list[float]]:
    return [[x, y] for x, y in ring]
