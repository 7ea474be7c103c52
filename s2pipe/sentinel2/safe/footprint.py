"""Product footprints as GeoJSON, cut at the antimeridian."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

Point = tuple[float, float]


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
        None when the list is no ring of at least three points.
    """
    ring = list(zip(values[1::2], values[0::2], strict=False))
    if len(values) % 2 or len(ring) < 3:
        return None
    if ring[0] != ring[-1]:
        ring.append(ring[0])
    longitudes = [x for x, _ in ring]
    if max(longitudes) - min(longitudes) <= 180.0:
        return {"type": "Polygon", "coordinates": [_as_lists(ring)]}
    eastward = [(x + 360.0 if x < 0.0 else x, y) for x, y in ring[:-1]]
    west = _clip(eastward, 180.0, keep_below=True)
    east = [(x - 360.0, y) for x, y in _clip(eastward, 180.0, keep_below=False)]
    parts = [part for part in (west, east) if len(part) >= 3]
    return {"type": "MultiPolygon", "coordinates": [[_as_lists([*part, part[0]])] for part in parts]}


def _clip(ring: list[Point], limit: float, *, keep_below: bool) -> list[Point]:
    """Keep the part of an open ring on one side of a meridian (Sutherland-Hodgman)."""
    kept: list[Point] = []
    for (x0, y0), (x1, y1) in zip([ring[-1], *ring[:-1]], ring, strict=True):
        inside0, inside1 = ((x <= limit) if keep_below else (x >= limit) for x in (x0, x1))
        if inside0 != inside1:
            crossing = (limit, y0 + (y1 - y0) * (limit - x0) / (x1 - x0))
            if not kept or kept[-1] != crossing:
                kept.append(crossing)
        if inside1 and (not kept or kept[-1] != (x1, y1)):
            kept.append((x1, y1))
    if len(kept) > 1 and kept[0] == kept[-1]:
        kept.pop()
    # A part that only touches the meridian has no area.
    return kept if any(x != limit for x, _ in kept) else []


def _as_lists(ring: list[Point]) -> list[list[float]]:
    return [[x, y] for x, y in ring]
