"""Polygons of detectors to spans of pixels along the rows of a raster, one detector per pixel."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np

from s2pipe.ground.scanlines import crossings

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_MOST = 1e9
"""Columns beyond this are cut off: no raster is as wide."""


def detector_spans(polygons: Iterable[tuple[int, Sequence[np.ndarray]]], height: int) -> np.ndarray:
    """Return which pixels belong to which detector.

    A pixel belongs to the polygons that its centre lies in; a centre on a border lies in the polygon on its right, or
    below it. Of two detectors, the seam in the middle of their overlap decides, along the row. No pixel of a polygon
    is left out, however polygons overlap or nest.

    Parameters
    ----------
    polygons : iterable of (int, sequence of numpy.ndarray)
        Detector and rings of each polygon in columns and rows of pixels, where the centre of pixel 0 is 0.5: closed,
        (point, 2). A point inside an odd number of them lies in the polygon. A detector may have several polygons.
    height : int
        Rows of the raster.

    Returns
    -------
    numpy.ndarray of int64
        (row, first column, column after the last, detector), sorted by row; columns are not cut at the raster's.
    """
    detectors, found = [0], [np.empty((0, 3))]
    for detector, rings in polygons:
        found += [crossings(ring, height, len(detectors)) for ring in rings]
        detectors.append(detector)
    all_found = np.concatenate(found)
    ordered = all_found[np.lexsort((all_found[:, 2], all_found[:, 1], all_found[:, 0]))]
    rows, owners = ordered[::2, 0].astype(np.int64), np.array(detectors)[ordered[::2, 1].astype(np.int64)]
    begin, end = ordered[::2, 2].copy(), ordered[1::2, 2].copy()
    by_place = np.lexsort((owners, begin + end, rows))
    rows, owners, begin, end = rows[by_place], owners[by_place], begin[by_place], end[by_place]
    half = _half_overlaps(rows, owners, begin, end)
    tangled = np.isin(rows, _tangled_rows(rows, begin, end))
    plain = ~tangled
    parts = [_in_a_chain(rows[plain], owners[plain], begin[plain], end[plain], half)]
    by_row = np.split(np.flatnonzero(tangled), np.flatnonzero(np.diff(rows[tangled])) + 1)
    parts += [
        _in_any_order(int(rows[where[0]]), owners[where], begin[where], end[where], half)
        for where in by_row
        if len(where)
    ]
    spans = np.concatenate(parts)
    # The first pixel whose centre is not left of the border, on both ends: no pixel twice, none left out.
    spans[:, 1:3] = np.ceil(np.clip(spans[:, 1:3], -_MOST, _MOST) - 0.5)
    result: np.ndarray = spans[np.lexsort((spans[:, 1], spans[:, 0]))].astype(np.int64)
    return result


def _tangled_rows(rows: np.ndarray, begin: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Rows in which spans nest, or more than two of them overlap."""
    nested = (rows[1:] == rows[:-1]) & ((begin[1:] < begin[:-1]) | (end[1:] < end[:-1]))
    triple = (rows[2:] == rows[:-2]) & (end[:-2] > begin[2:])
    tangled: np.ndarray = np.unique(np.concatenate((rows[1:][nested], rows[2:][triple])))
    return tangled


def _half_overlaps(
    rows: np.ndarray, owners: np.ndarray, begin: np.ndarray, end: np.ndarray
) -> Mapping[tuple[int, int], float]:
    """Half of the usual width of overlaps, by detectors, from where neither polygon is cut at the tile's border."""
    whole = (rows[1:] == rows[:-1]) & (end[:-1] > begin[1:]) & (begin[1:] > begin[:-1]) & (end[1:] > end[:-1])
    pairs = owners[:-1] * 256 + owners[1:]
    width = end[:-1] - begin[1:]
    return {
        (int(pair) // 256, int(pair) % 256): float(np.median(width[whole & (pairs == pair)])) / 2
        for pair in np.unique(pairs[whole])
    }


def _seams(
    first: tuple[np.ndarray, ...], second: tuple[np.ndarray, ...], half: Mapping[tuple[int, int], float]
) -> np.ndarray:
    """Column of the seam between pairs of overlapping spans, (owner, begin, end) each.

    Polygons are cut at the tile's border, which would shift the middle. There, the overlap is taken to be as wide as
    that of the same two detectors elsewhere.
    """
    (owner, begin, end), (next_owner, next_begin, next_end) = first, second
    seam: np.ndarray = (np.minimum(end, next_end) + np.maximum(begin, next_begin)) / 2
    pairs = owner * 256 + next_owner
    for (a, b), width in half.items():
        same = pairs == a * 256 + b
        seam = np.where(same & (next_begin <= begin), end - width, seam)
        seam = np.where(same & (next_end <= end), next_begin + width, seam)
    return seam


def _in_a_chain(
    rows: np.ndarray,
    owners: np.ndarray,
    begin: np.ndarray,
    end: np.ndarray,
    half: Mapping[tuple[int, int], float],
) -> np.ndarray:
    """Spans of which each overlaps with the next one at most: (row, begin, end, detector)."""
    begin, end = begin.copy(), end.copy()
    overlap = (rows[1:] == rows[:-1]) & (end[:-1] > begin[1:])
    seam = _seams((owners[:-1], begin[:-1], end[:-1]), (owners[1:], begin[1:], end[1:]), half)
    seam = np.clip(seam, begin[1:], end[:-1])
    end[:-1] = np.where(overlap, seam, end[:-1])
    begin[1:] = np.where(overlap, seam, begin[1:])
    return np.stack((rows.astype(float), begin, end, owners.astype(float)), axis=-1)


def _in_any_order(
    row: int,
    owners: np.ndarray,
    begin: np.ndarray,
    end: np.ndarray,
    half: Mapping[tuple[int, int], float],
) -> np.ndarray:
    """Spans of one row, however they overlap: the row is cut at every border and seam, piece by piece."""
    spans = (owners, begin, end)
    pairs = list(itertools.combinations(range(len(owners)), 2))
    firsts, seconds = (np.array([pair[which] for pair in pairs]) for which in (0, 1))
    seams = _seams(tuple(s[firsts] for s in spans), tuple(s[seconds] for s in spans), half)
    seam_of = dict(zip(pairs, seams.tolist(), strict=True))
    cuts = np.unique(np.concatenate((begin, end, seams)))
    pieces = []
    for left, right in itertools.pairwise(cuts.tolist()):
        holder = -1
        for index in np.flatnonzero((begin <= left) & (right <= end)).tolist():
            if holder < 0 or left >= seam_of[holder, index]:
                holder = index
        if holder >= 0:
            pieces.append((float(row), left, right, float(owners[holder])))
    return np.array(pieces).reshape(-1, 4)
