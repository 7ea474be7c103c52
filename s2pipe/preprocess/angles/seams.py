"""Footprints of detectors estimated from the nodes that each detector has, for bands without a mask.

A detector sees a strip along the track. Its edges are straight and parallel for all detectors and bands of a tile;
it ends where the datastrip begins or ends inside the tile. A row of nodes shows an edge to 5 km only. All nodes of
all detectors and bands together show it to a few hundred metres, because one direction must fit them all.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from s2pipe.sentinel2.safe.detectors import DetectorOutline
from s2pipe.sentinel2.safe.tile import ANGLE_STEP_M

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from s2pipe.preprocess.angles.planes import TilePlanes
    from s2pipe.sentinel2.safe.tile import TileMetadata

_OVERLAP = 0.1, 0.2
"""Least and greatest half width of the ground that two neighbours share, in node steps: 1 to 2 km in all."""
_FAR = 60.0
"""A border this many node steps away does not cross the tile."""
_NEAR = 1.5
"""Nodes farther than this many steps inside a detector's own nodes are holes, not its end."""
_TRACK_REACH_DEG = 1.5
"""How far the track may be from the direction in which view angles stay the same; 0.3 degrees in real products."""
_EDGE_REACH_DEG = 0.3
"""How much the edges of the swath may turn the direction that the seams gave."""
_END_REACH_DEG = 8.0
"""How far ends of detectors may be from the perpendicular of the track; 3 degrees in real products."""
_SINGLE_REACH_DEG = 0.75
"""How far one border may be turned against the common direction so that it passes between all its nodes."""
_GROSS = 1.0
"""Nodes farther than this on the wrong side of a border do not affect its direction."""
_LAP = 2e-4
"""Half width, in node steps, by which neighbours overlap so that projecting them tears no gap between them: 1 m."""

Nodes = np.ndarray
"""Which nodes, (row, column)."""
BandDetector = tuple[str, int]


@dataclass(frozen=True, eq=False)
class SeamFit:
    """What a band's nodes say about its detectors' footprints."""

    outlines: tuple[DetectorOutline, ...]
    """Footprints that do not overlap; NaN is due outside them."""
    nodes: int
    """Nodes at which the band has a view direction."""
    unheld: int
    """Nodes at which the fit gives another direction than the metadata; the footprints leave out their surroundings."""

    def to_document(self) -> dict[str, float]:
        """Return the record for ``meta.json``."""
        share = round(self.unheld / self.nodes, 6) if self.nodes else 0.0
        return {"nodes": self.nodes, "nodes_not_held": self.unheld, "share_not_held": share}


@dataclass(frozen=True, eq=False)
class _Border:
    """Nodes on both sides of a straight border, as points (column, row, least distance from the border)."""

    below: np.ndarray
    above: np.ndarray

    def limits(self, degrees: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Least and greatest offset of the border, by direction of its normal."""
        normals = _normal(degrees)
        low = (self.below[:, :2] @ normals + self.below[:, 2:]).max(axis=0, initial=-np.inf)
        high = (self.above[:, :2] @ normals - self.above[:, 2:]).min(axis=0, initial=np.inf)
        return low, high

    @property
    def is_inside(self) -> bool:
        """Whether the tile shows both sides."""
        return bool(len(self.below) and len(self.above))

    def bare(self) -> _Border:
        """Return the nodes that must lie on one side, without distances; nodes of both sides may lie on either."""
        sides = (side[side[:, 2] >= 0] * (1.0, 1.0, 0.0) for side in (self.below, self.above))
        return _Border(*sides)


@dataclass(frozen=True)
class _Line:
    """Points (column, row) whose product with the normal is the offset."""

    degrees: float
    offset: float

    def beyond(self, points: np.ndarray) -> np.ndarray:
        """Distance in node steps, positive on the upper side."""
        distance: np.ndarray = points @ _normal(self.degrees) - self.offset
        return distance


Pair = tuple[_Line, _Line]


def fit_seams(planes: TilePlanes, bands: Sequence[str]) -> dict[str, SeamFit]:
    """Estimate detector footprints; all bands of the tile take part, whichever are asked for.

    Parameters
    ----------
    planes : TilePlanes
        Nodes of the tile's detectors, and the planes through their directions.
    bands : sequence of str
        Bands whose footprints are wanted.

    Returns
    -------
    dict
        By band.
    """
    seen = {key: nodes for key, nodes in planes.seen.items() if nodes.any()}
    across = _oriented(planes.across_deg(), seen)
    order: dict[str, list[int]] = {}
    for band, detector in sorted(seen):
        order.setdefault(band, []).append(detector)
    seams = {  # by the place in the viewing order before which they lie
        (band, index): _seam([seen[band, detector] for detector in detectors], index)
        for band, detectors in order.items()
        for index in range(1, len(detectors))
    }
    across = _direction(seams.values(), across, _TRACK_REACH_DEG)
    borders = {key: _line(border, across) for key, border in seams.items()}
    sides = {
        (band, detector): (borders.get((band, index)), borders.get((band, index + 1)))
        for band, detectors in order.items()
        for index, detector in enumerate(detectors)
    }
    ends = _fit_ends(seen, sides, across)
    edges = {
        (band, index): _edge(
            seen[band, detectors[max(index - 1, 0)]], ends[band, detectors[max(index - 1, 0)]], index
        )
        for band, detectors in order.items()
        for index in (0, len(detectors))
    }
    across = _direction([*seams.values(), *edges.values()], across, _EDGE_REACH_DEG)
    borders = {key: _line(border, across) for key, border in (seams | edges).items()}
    fits = dict.fromkeys(bands, SeamFit((), 0, 0))
    for band in fits.keys() & order.keys():
        strips = {
            d: ((borders[band, i], borders[band, i + 1]), ends[band, d]) for i, d in enumerate(order[band])
        }
        fits[band] = _checked(planes.angles.tile, strips, {d: seen[band, d] for d in order[band]})
    return fits


def _normal(degrees: np.ndarray | float) -> np.ndarray:
    turned = np.radians(degrees)
    return np.stack((np.cos(turned), np.sin(turned)))


def _points(nodes: Nodes, away: float = 0.0) -> np.ndarray:
    rows, cols = np.nonzero(nodes)
    return np.stack((cols, rows, np.full(len(rows), away)), axis=-1).astype(float)


def _oriented(across: float, seen: Mapping[BandDetector, Nodes]) -> float:
    """Turn the normal so that detector numbers rise along it: they do on either way, up or down the orbit."""
    places = [(detector, _points(nodes)[:, :2] @ _normal(across)) for (_, detector), nodes in seen.items()]
    if not places:
        return across
    numbers = np.concatenate([np.full(len(along), detector) for detector, along in places]).astype(float)
    along = np.concatenate([along for _, along in places])
    return across + 180.0 if (numbers - numbers.mean()) @ along < 0 else across


def _direction(borders: Iterable[_Border], start: float, reach: float) -> float:
    """Direction of a normal, near a first guess, that leaves the nodes least on the wrong sides of all borders."""
    usable = [border for border in borders if border.is_inside]
    if not usable:
        return start
    for step in (reach / 16, reach / 16**2, reach / 16**3):
        tried = start + step * np.arange(-16, 17)
        limits = [border.limits(tried) for border in usable]
        wrong = np.sum([np.clip(low - high, 0.0, _GROSS) for low, high in limits], axis=0)
        start = float(tried[wrong <= wrong.min() + 1e-9].mean())
    return start


def _line(border: _Border, degrees: float, common: float | None = None) -> _Line:
    """Line of a border, turned as little against the common direction as its nodes require.

    It keeps to the middle between the nodes, or as near to a common offset as they allow.
    """
    turns = np.array(sorted(np.linspace(-_SINGLE_REACH_DEG, _SINGLE_REACH_DEG, 61), key=abs))
    for nodes in (border, border.bare()):
        lows, highs = nodes.limits(degrees + turns)
        fitting = np.flatnonzero(lows < highs)
        if len(fitting):
            break
    else:
        return _fewest_wrong(border.bare(), degrees + turns)
    low, high, turned = float(lows[fitting[0]]), float(highs[fitting[0]]), degrees + float(turns[fitting[0]])
    if np.isinf(low) or np.isinf(high):
        return _Line(degrees, _FAR if np.isinf(high) else -_FAR)
    if common is None:
        return _Line(turned, (low + high) / 2)
    slack = (high - low) / 10
    return _Line(turned, min(max(common, low + slack), high - slack))


def _fewest_wrong(border: _Border, degrees: np.ndarray) -> _Line:
    """Line with the fewest nodes on its wrong side, where none has all of them on the right one."""
    normals = _normal(degrees)
    below = border.below[:, :2] @ normals + border.below[:, 2:]
    above = border.above[:, :2] @ normals - border.above[:, 2:]
    places = np.concatenate((below, above))
    order = np.argsort(places, axis=0, kind="stable")
    # Passing a lower node puts it right, passing an upper one puts it wrong.
    steps = np.where(order < len(below), -1, 1).cumsum(axis=0)[:-1]
    passed, turn = np.unravel_index(int(np.argmin(steps)), steps.shape)
    ends = places[order[passed : passed + 2, turn], turn]
    return _Line(float(degrees[turn]), float(ends.mean()))


def _seam(seen: Sequence[Nodes], index: int) -> _Border:
    """Seam between the detectors before a place in the viewing order, and those from it on."""
    before, after = (np.logical_or.reduce(part) for part in (seen[:index], seen[index:]))
    both = before & after
    least, most = _OVERLAP
    return _Border(
        np.concatenate((_points(before & ~both, least), _points(both, -most))),
        np.concatenate((_points(after & ~both, least), _points(both, -most))),
    )


def _fit_ends(
    seen: Mapping[BandDetector, Nodes],
    sides: Mapping[BandDetector, tuple[_Line | None, _Line | None]],
    across: float,
) -> dict[BandDetector, Pair]:
    """Lines at which detectors begin and end along the track: one direction, and one place as far as nodes allow."""
    borders = {key: _ends(seen[key], sides[key], across) for key in seen}
    along = _direction(itertools.chain.from_iterable(borders.values()), across + 90.0, _END_REACH_DEG)
    commons: list[float | None] = []
    for which in (0, 1):
        inside = [pair[which].limits(np.array([along])) for pair in borders.values() if pair[which].is_inside]
        commons.append(float(np.median(np.mean(inside, axis=1))) if inside else None)
    return {
        key: (_line(first, along, commons[0]), _line(last, along, commons[1]))
        for key, (first, last) in borders.items()
    }


def _ends(nodes: Nodes, sides: tuple[_Line | None, _Line | None], across: float) -> tuple[_Border, _Border]:
    """Borders towards the nodes that lie in a detector's strip, before its first and after its last own node."""
    own, others = _points(nodes), _points(~nodes)
    start, end = sides
    u, other_u = (points[:, :2] @ _normal(across) for points in (own, others))
    v, other_v = (points[:, :2] @ _normal(across + 90.0) for points in (own, others))
    inside = start.beyond(others[:, :2]) >= 0 if start else other_u >= u.min()
    inside &= end.beyond(others[:, :2]) < 0 if end else other_u <= u.max()
    middle = (v.min() + v.max()) / 2
    early = inside & (other_v < min(middle, v.min() + _NEAR))
    late = inside & (other_v > max(middle, v.max() - _NEAR))
    return _Border(others[early], own), _Border(own, others[late])


def _edge(nodes: Nodes, ends: Pair, is_upper: int) -> _Border:
    """Border of the swath beside its outermost detector, from the nodes between the detector's ends."""
    own, others = _points(nodes), _points(~nodes)
    others = others[(ends[0].beyond(others[:, :2]) >= 0) & (ends[1].beyond(others[:, :2]) < 0)]
    across = _normal(ends[0].degrees - 90.0)
    u, other_u = own[:, :2] @ across, others[:, :2] @ across
    middle = (u.min() + u.max()) / 2
    if is_upper:
        return _Border(own, others[other_u > max(middle, u.max() - _NEAR)])
    return _Border(others[other_u < min(middle, u.min() + _NEAR)], own)


def _checked(
    tile: TileMetadata, strips: Mapping[int, tuple[Pair, Pair]], seen: Mapping[int, Nodes]
) -> SeamFit:
    """Hold strips against every node, and leave out the surroundings of those where they are wrong."""
    shape = next(iter(seen.values())).shape
    rows, cols = np.indices(shape)
    places = np.stack((cols, rows), axis=-1).astype(float)
    right, wrong = np.zeros(shape, bool), np.zeros(shape, bool)
    for detector, ((start, end), (first, last)) in strips.items():
        sides = (start.beyond(places), -end.beyond(places), first.beyond(places), -last.beyond(places))
        deep = np.min(sides, axis=0)
        right |= (deep >= 0) & seen[detector]
        wrong |= (deep >= -2 * _LAP) & ~seen[detector]
    known = np.logical_or.reduce(list(seen.values()))
    unheld = wrong | (known & ~right)
    outlines = _outlines(tile, strips, seen, unheld)
    return SeamFit(outlines, int(known.sum()), int((unheld & known).sum()))


def _outlines(
    tile: TileMetadata,
    strips: Mapping[int, tuple[Pair, Pair]],
    seen: Mapping[int, Nodes],
    unheld: Nodes,
) -> tuple[DetectorOutline, ...]:
    """Polygons of strips in the tile's CRS, limited to cells of which a corner is the detector's own node."""
    import shapely

    rows, cols = np.nonzero(unheld)
    wrong = shapely.union_all(shapely.box(cols - 0.5, rows - 0.5, cols + 0.5, rows + 0.5))
    ulx, uly = tile.upper_left[10]
    outlines = []
    for detector, strip in strips.items():
        rows, cols = np.nonzero(seen[detector])
        around = shapely.union_all(shapely.box(cols - 1.0, rows - 1.0, cols + 1.0, rows + 1.0))
        corners = _corners(*strip)
        if len(corners) < 3:
            continue
        area = shapely.difference(shapely.intersection(shapely.Polygon(corners), around), wrong)
        for part in shapely.get_parts(area):
            if part.geom_type != "Polygon":
                continue
            rings = tuple(
                np.array((ulx, uly)) + shapely.get_coordinates(ring) * (ANGLE_STEP_M, -ANGLE_STEP_M)
                for ring in (part.exterior, *part.interiors)
            )
            outlines.append(DetectorOutline(detector, rings))
    return tuple(outlines)


def _corners(across: Pair, along: Pair) -> np.ndarray:
    """Corners of the area between two pairs of lines; less than three where there is none."""
    corners = np.array(((-_FAR, -_FAR), (_FAR, -_FAR), (_FAR, _FAR), (-_FAR, _FAR)))
    for lines, lap in ((across, _LAP), (along, 0.0)):
        for line, sign in zip(lines, (1.0, -1.0), strict=True):
            beyond = sign * line.beyond(corners) + lap
            kept = []
            for index, point in enumerate(corners):
                before, earlier = corners[index - 1], beyond[index - 1]
                if (beyond[index] < 0) != (earlier < 0):
                    kept.append(before + (point - before) * earlier / (earlier - beyond[index]))
                if beyond[index] >= 0:
                    kept.append(point)
            corners = np.array(kept).reshape(-1, 2)
    return corners
