"""Rectangles of ground that overlap, in one UTM zone or across zones; and which of many may, without a look at all."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from s2pipe.ground.cells import Boxes, Rectangles, bulge_m
from s2pipe.ground.projection import lonlat_to_utm

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_BUCKET_M = 200_000
_BUCKET_DEG = 2
_TURN = 360 // _BUCKET_DEG
_MOST_BUCKETS = 64
"""What spans more is compared with everything: grounds at the poles, and bounds that are no tile's."""
_SLACK_DEG = 1e-6
_Bucket = tuple[int, int, int]


def overlaps(rectangles: Rectangles, epsg: int, bounds: Sequence[float]) -> np.ndarray:
    """Tell which rectangles overlap one of another zone, or may do so by a hair: bool (n)."""
    left, bottom, right, top = bounds
    if not len(rectangles):
        return np.zeros(0, bool)
    if rectangles.epsg == epsg:
        return (
            (rectangles.left < right)
            & (rectangles.right > left)
            & (rectangles.bottom < top)
            & (rectangles.top > bottom)
        )
    other = Rectangles(epsg, *(np.array([float(value)]) for value in bounds))
    if not _boxes_meet(_hull(rectangles).boxes(), other.boxes()):
        return np.zeros(len(rectangles), bool)
    lon, lat = rectangles.boundary()
    x, y = lonlat_to_utm(lon, lat, epsg)
    # Sides may bend in both zones.
    margin = 2 * bulge_m(rectangles.right - rectangles.left, rectangles.top - rectangles.bottom, lat)
    met: np.ndarray = (
        (x.min(axis=0) - margin < right)
        & (x.max(axis=0) + margin > left)
        & (y.min(axis=0) - margin < top)
        & (y.max(axis=0) + margin > bottom)
    )
    return met


def _boxes_meet(one: Boxes, other: Boxes) -> bool:
    """Whether two boxes touch, on whichever turn their longitudes were counted."""
    if one.south[0] > other.north[0] or other.south[0] > one.north[0]:
        return False
    turns = (-360.0, 0.0, 360.0)
    return any(one.west[0] <= other.east[0] + turn and other.west[0] + turn <= one.east[0] for turn in turns)


class NearGround:
    """Grounds by where they are, so that the few which others may overlap are found without comparing them with all.

    Parameters
    ----------
    grounds : sequence of (int, sequence of float)
        EPSG code of the UTM zone, and left, bottom, right and top in metres, of each.
    """

    def __init__(self, grounds: Sequence[tuple[int, Sequence[float]]]) -> None:
        self._buckets: dict[_Bucket, list[int]] = {}
        self._everywhere: list[int] = []
        self._boxes = np.zeros((len(grounds), 4))
        zones: dict[int, list[int]] = {}
        for place, (epsg, _) in enumerate(grounds):
            zones.setdefault(epsg, []).append(place)
        for epsg, places in zones.items():
            bounds = np.array([grounds[place][1] for place in places], np.float64)
            rectangles = Rectangles(epsg, *bounds.T)
            self._boxes[places] = boxes = _degrees(rectangles)
            for place, buckets in zip(places, _buckets(rectangles, boxes), strict=True):
                if buckets is None:
                    self._everywhere.append(place)
                for bucket in buckets or ():
                    self._buckets.setdefault(bucket, []).append(place)

    def near(self, rectangles: Rectangles) -> list[int]:
        """Return the places, ascending, of all grounds that :func:`overlaps` may be true of."""
        if not len(rectangles):
            return []
        hull = _hull(rectangles)
        boxes = _degrees(hull)
        (buckets,) = _buckets(hull, boxes)
        if buckets is None:
            return list(range(len(self._boxes)))
        places = np.array(sorted({place for b in buckets for place in self._buckets.get(b, ())}), np.int64)
        (west, south, east, north), found = boxes[0], self._boxes[places]
        # On whichever turn the longitudes were counted, their middles lie less than half of both widths apart.
        apart = np.remainder((found[:, 0] + found[:, 2] - west - east) / 2 + 180.0, 360.0) - 180.0
        meet = np.abs(apart) <= (found[:, 2] - found[:, 0] + east - west) / 2
        meet &= (found[:, 1] <= north) & (found[:, 3] >= south)
        return sorted({*self._everywhere, *places[meet].tolist()})


def _hull(rectangles: Rectangles) -> Rectangles:
    """Return the rectangle around all."""
    return Rectangles(
        rectangles.epsg,
        rectangles.left.min(keepdims=True),
        rectangles.bottom.min(keepdims=True),
        rectangles.right.max(keepdims=True),
        rectangles.top.max(keepdims=True),
    )


def _degrees(rectangles: Rectangles) -> np.ndarray:
    """Return west, south, east and north of boxes that hold the rectangles: float64 (n, 4)."""
    with np.errstate(all="ignore"):  # bounds may be any numbers
        boxes = rectangles.boxes()
    sides = [
        boxes.west - _SLACK_DEG,
        boxes.south - _SLACK_DEG,
        boxes.east + _SLACK_DEG,
        boxes.north + _SLACK_DEG,
    ]
    return np.stack(sides, axis=1)


def _buckets(rectangles: Rectangles, boxes: np.ndarray) -> Iterator[list[_Bucket] | None]:
    """Yield the buckets of each rectangle: in metres of its zone, and in degrees for other zones; None for too many."""
    sides = np.stack([rectangles.left, rectangles.bottom, rectangles.right, rectangles.top], axis=1)
    for metres, box in zip(sides.tolist(), boxes.tolist(), strict=True):
        own, others = _spanned(metres, _BUCKET_M), _spanned(box, _BUCKET_DEG)
        if own is None or others is None:
            yield None
        else:
            yield [
                *((rectangles.epsg, x, y) for x, y in own),
                *((0, x, y) for x, y in {(x % _TURN, y) for x, y in others}),
            ]


def _spanned(bounds: Sequence[float], size: float) -> list[tuple[int, int]] | None:
    """Return columns and rows of the squares of a size that a rectangle touches; None for too many."""
    if not all(map(math.isfinite, bounds)):
        return None
    left, bottom, right, top = (math.floor(value / size) for value in bounds)
    if right < left or top < bottom or (right - left + 1) * (top - bottom + 1) > _MOST_BUCKETS:
        return None
    return [(x, y) for x in range(left, right + 1) for y in range(bottom, top + 1)]
