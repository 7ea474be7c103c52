"""Products of one tile and datatake: versions of the same ground, and halves of an acquisition that was cut in two."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from s2pipe.ground.area_files import geojson_parts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from s2pipe.sentinel2.safe import ProductInfo

_APART = 0.5
"""Products of two datastrips that share less than this of the smaller one are halves of one acquisition."""
_KINDS = ("Polygon", "MultiPolygon")
_START = re.compile(r"S\d{8}T\d{6}", re.ASCII)


def strip_start(info: ProductInfo | None) -> str | None:
    """``S20251210T100316`` of a datastrip's identifier; None where the metadata state none."""
    parts = (info.datastrip_id or "").split("_") if info else []
    return next((part for part in parts if _START.fullmatch(part)), None)


def are_halves(one: ProductInfo | None, other: ProductInfo | None) -> bool:
    """Tell whether two products of one tile, time and level complement each other instead of being two versions.

    Those of one datastrip, and those without footprints, are versions.
    """
    if one is None or other is None or None in (strip_start(one), strip_start(other)):
        return False
    if strip_start(one) == strip_start(other):
        return False
    first, second = (_shape(info.geofootprint) for info in (one, other))
    if first is None or second is None:
        return False
    return bool(first.intersection(second).area < _APART * min(first.area, second.area))


def cover(info: ProductInfo | None) -> float:
    """Return how much ground a product covers, in an arbitrary unit; 0 where that is unknown."""
    shape = None if info is None else _shape(info.geofootprint)
    return 0.0 if shape is None else float(shape.area)


def _shape(footprint: Any) -> Any:
    """Return a footprint as one valid geometry; None where it is none."""
    import shapely

    parts: Sequence[Any] = geojson_parts(footprint, _KINDS)
    if not parts:
        return None
    union = shapely.union_all([shapely.make_valid(part) for part in parts])
    return union if union.area > 0 else None
