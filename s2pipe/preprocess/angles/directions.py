"""Directions at the nodes of the angle grids, complete enough for bilinear interpolation near every seam.

Angles become unit vectors (east, north, up): those interpolate across the 0/360 wrap and near nadir. A
detector's grid is NaN outside its footprint; there, the plane that fits (tan z sin a, tan z cos a), the
satellite's horizontal place over its height, continues it.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from s2pipe.sentinel2.safe.detectors import DetectorOutline
from s2pipe.sentinel2.safe.tile import ANGLE_STEP_M, TileAngles

FloatArray = np.ndarray
_OVERLAP_NODES = 0.2
"""A node that two detectors see lies within this many node steps of their seam (overlaps are 1 to 2 km)."""

_FAR = 40.0
"""An edge this many node steps away does not cross the tile, and can still be projected."""


@dataclass(frozen=True, eq=False)
class BandDirections:
    """View directions of one band."""

    vectors: Mapping[int, FloatArray]
    """Unit vectors (node row, node column, 3) by detector, finite at every node."""
    borrowed: tuple[int, ...]
    """Detectors with one or two nodes, or nodes in line, continued with a neighbour's slope."""


def unit_vectors(zenith_deg: FloatArray, azimuth_deg: FloatArray) -> FloatArray:
    """Turn angles into unit vectors east, north, up, (..., 3); NaN stays NaN."""
    zenith, azimuth = np.radians(zenith_deg), np.radians(azimuth_deg)
    flat = np.sin(zenith)
    return np.stack((flat * np.sin(azimuth), flat * np.cos(azimuth), np.cos(zenith)), axis=-1)


def sun_vectors(angles: TileAngles) -> FloatArray:
    """Unit vectors to the sun at the nodes, (node row, node column, 3)."""
    return unit_vectors(angles.sun_zenith, angles.sun_azimuth)


def band_directions(angles: TileAngles, band: str) -> BandDirections:
    """Complete a band's grids, detector by detector.

    Own values stay as they are. A detector with fewer than three nodes that are not in line takes the slope of
    the nearest detector that has one, of the same parity if possible, because odd and even detectors look ahead and
    back in turn. A detector without any node, which the tile touches between two nodes, takes the whole plane of the
    nearest detector of its own parity.

    Raises
    ------
    MetadataError
        There are no view angles for the band.
    """
    own = {}
    for detector in angles.detectors(band):
        zenith, azimuth = angles.view[band, detector]
        if np.isfinite(zenith).any():
            own[detector] = unit_vectors(zenith, azimuth)
    planes = {detector: plane for detector, grid in own.items() if (plane := _plane(grid)) is not None}
    vectors, borrowed = {}, []
    touched = {near for detector in own for near in (detector - 1, detector, detector + 1) if 1 <= near <= 12}
    for detector in sorted(touched | set(own)):
        plane = planes.get(detector)
        if plane is None:
            plane = _borrowed_plane(detector, own.get(detector), planes)
            if plane is None:
                continue
            borrowed += [detector] if detector in own else []
        filled = _on_plane(plane, angles.sun_zenith.shape)
        if detector in own:
            filled = np.where(np.isnan(own[detector]), filled, own[detector])
        vectors[detector] = filled
    return BandDirections(vectors, tuple(borrowed))


def mean_over_detectors(angles: TileAngles, band: str) -> FloatArray:
    """Unit vectors of the plain means of zenith and azimuth over a band's detectors, NaN where none is.

    Wrong at seams and where azimuths wrap; only for comparison with data that were made in this way.
    """
    grids = [angles.view[band, detector] for detector in angles.detectors(band)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # nodes outside every footprint
        zenith, azimuth = (np.nanmean([pair[which] for pair in grids], axis=0) for which in (0, 1))
    return unit_vectors(zenith, azimuth)


def _horizontal(vectors: FloatArray) -> FloatArray:
    """(tan z sin a, tan z cos a)."""
    horizontal: FloatArray = vectors[..., :2] / vectors[..., 2:]
    return horizontal


def _basis(shape: Sequence[int]) -> FloatArray:
    rows, cols = np.indices(shape)
    return np.stack((np.ones(shape), rows / 22.0, cols / 22.0), axis=-1)


def _plane(vectors: FloatArray) -> FloatArray | None:
    """Coefficients (3, 2) of the plane through a detector's own nodes; None when they are in line."""
    finite = np.isfinite(vectors[..., 0])
    places = _basis(finite.shape)[finite]
    if len(places) < 3 or np.linalg.matrix_rank(places, tol=1e-6) < 3:
        return None
    coefficients: FloatArray = np.linalg.lstsq(places, _horizontal(vectors)[finite], rcond=None)[0]
    return coefficients


def _borrowed_plane(
    detector: int, own: FloatArray | None, planes: Mapping[int, FloatArray]
) -> FloatArray | None:
    same = [other for other in planes if (other - detector) % 2 == 0]
    donors = sorted(
        planes if own is not None else same, key=lambda d: ((d - detector) % 2, abs(d - detector))
    )
    if own is None:
        return planes[donors[0]] if donors else None
    plane = planes[donors[0]].copy() if donors else np.zeros((3, 2))
    finite = np.isfinite(own[..., 0])
    plane[0] = 0.0
    plane[0] = (_horizontal(own)[finite] - _basis(finite.shape)[finite] @ plane).mean(axis=0)
    return plane


def _on_plane(plane: FloatArray, shape: tuple[int, ...]) -> FloatArray:
    horizontal = _basis(shape) @ plane
    vectors = np.concatenate((horizontal, np.ones((*shape, 1))), axis=-1)
    unit: FloatArray = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    return unit


def node_outlines(angles: TileAngles, band: str) -> tuple[DetectorOutline, ...]:
    """Estimate a band's detector footprints from the nodes that each detector has, without a mask.

    Seams are parallel and nearly straight. One row of nodes shows between which two nodes a seam passes, which is
    5 km; all rows together show where it runs to a few hundred metres.

    Raises
    ------
    MetadataError
        There are no view angles for the band.
    """
    seen = {d: np.isfinite(angles.view[band, d][0]) for d in angles.detectors(band)}
    order = sorted((d for d in seen if seen[d].any()), key=lambda d: float(np.nonzero(seen[d])[1].mean()))
    if not order:
        return ()
    rows = len(seen[order[0]])
    limits = [_limits(order[:k], order[k:], seen) for k in range(len(order) + 1)]
    slope = _common_slope(limits)
    edges = [_edge(low, high, slope) for low, high in limits]
    ends = np.array((-1.0, rows))
    outlines = []
    for index, detector in enumerate(order):
        west, east = (edges[k] + slope * ends for k in (index, index + 1))
        corners = np.array(
            [
                (west[0], ends[0]),
                (east[0], ends[0]),
                (east[1], ends[1]),
                (west[1], ends[1]),
                (west[0], ends[0]),
            ]
        )
        ulx, uly = angles.tile.upper_left[10]
        ring = np.array((ulx, uly)) + corners * np.array((ANGLE_STEP_M, -ANGLE_STEP_M))
        outlines.append(DetectorOutline(detector, (ring,)))
    return tuple(sorted(outlines, key=lambda outline: outline.detector))


def _limits(
    west: Sequence[int], east: Sequence[int], seen: Mapping[int, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Limits, in columns, of the seam between two groups of detectors in each row of nodes.

    With one group empty they are the limits of the swath's edge, beyond which nodes are NaN. A limit is infinite where
    a row does not show one.
    """
    nothing = np.zeros(next(iter(seen.values())).shape, bool)
    on_west = np.logical_or.reduce([seen[d] for d in west], initial=False) if west else nothing
    on_east = np.logical_or.reduce([seen[d] for d in east], initial=False) if east else nothing
    if not west:
        on_west = ~np.logical_or.accumulate(on_east, axis=1)
    if not east:
        on_east = ~np.logical_or.accumulate(on_west[:, ::-1], axis=1)[:, ::-1]
    columns = np.arange(nothing.shape[1], dtype=float)
    both = on_west & on_east
    low = np.where(on_west & ~both, columns, -np.inf).max(axis=1)
    high = np.where(on_east & ~both, columns, np.inf).min(axis=1)
    low = np.maximum(low, np.where(both, columns - _OVERLAP_NODES, -np.inf).max(axis=1))
    high = np.minimum(high, np.where(both, columns + _OVERLAP_NODES, np.inf).min(axis=1))
    if not (west and east):  # a row without any node may lie on either side of the swath
        empty = ~np.logical_or.reduce(list(seen.values())).any(axis=1)
        low[empty], high[empty] = -np.inf, np.inf
    return low, high


def _common_slope(limits: Sequence[tuple[np.ndarray, np.ndarray]]) -> float:
    """Columns by which all seams shift from one row of nodes to the next, by least squares."""
    across, along = 0.0, 0.0
    for low, high in limits:
        known = np.flatnonzero(np.isfinite(low) & np.isfinite(high) & (low < high))
        if len(known) > 1:
            rows = known - known.mean()
            across += float(rows @ (low[known] + high[known])) / 2
            along += float(rows @ rows)
    return across / along if along else 0.0


def _edge(low: np.ndarray, high: np.ndarray, slope: float) -> float:
    """Column of a seam at row 0: the middle of the range that all rows allow."""
    rows = np.arange(len(low))
    lower, upper = (low - slope * rows).max(), (high - slope * rows).min()
    if lower > upper:  # not quite straight: the mean over the rows
        known = np.isfinite(low) & np.isfinite(high)
        return (
            float(((low[known] + high[known]) / 2 - slope * rows[known]).mean())
            if known.any()
            else float(lower)
        )
    if np.isinf(lower) or np.isinf(upper):  # beyond the nodes, on the side that nothing limits
        return _FAR if np.isinf(upper) else -_FAR
    return float(lower + upper) / 2
