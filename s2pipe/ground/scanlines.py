"""Polygons along the rows of a raster: where rings cross the middles of rows, and the pixels between."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable


def crossings(ring: np.ndarray, height: int, number: int = 0) -> np.ndarray:
    """Return where a ring crosses the middles of rows.

    Parameters
    ----------
    ring : ndarray (point, 2)
        Columns and rows of a closed ring, where the centre of pixel 0 is 0.5.
    height : int
        Rows of the raster.
    number : int
        What the ring is called in the result.

    Returns
    -------
    ndarray (crossing, 3)
        Row, number and column, unsorted.
    """
    (x0, y0), (x1, y1) = ring[:-1].T, ring[1:].T
    # A row's middle y belongs to an edge from its upper end, included, to its lower end, excluded.
    first = np.clip(np.ceil(np.minimum(y0, y1) - 0.5), 0, height).astype(np.int64)
    last = np.clip(np.ceil(np.maximum(y0, y1) - 0.5), 0, height).astype(np.int64)
    counts = np.maximum(last - first, 0)
    edge = np.repeat(np.arange(len(counts)), counts)
    rows = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts) + first[edge]
    share = (rows + 0.5 - y0[edge]) / (y1 - y0)[edge]
    columns = x0[edge] + share * (x1 - x0)[edge]
    return np.stack((rows.astype(float), np.full(len(rows), float(number)), columns), axis=-1)


def ring_spans(rings: Iterable[np.ndarray], shape_yx: tuple[int, int]) -> np.ndarray:
    """Return the pixels whose centres lie inside an odd number of rings.

    Of centres on a border, those on the right side of a polygon count and those on its left do not, as in GDAL.

    Parameters
    ----------
    rings : iterable of ndarray (point, 2)
        As for :func:`crossings`.
    shape_yx : tuple of int
        Rows and columns of the raster.

    Returns
    -------
    ndarray of int64 (span, 3)
        Row, first column and column after the last, sorted.
    """
    height, width = shape_yx
    found = np.concatenate([np.empty((0, 3)), *(crossings(ring, height) for ring in rings)])
    ordered = found[np.lexsort((found[:, 2], found[:, 0]))]
    columns = np.floor(np.clip(ordered[:, 2], 0, width) + 0.5)
    spans = np.stack((ordered[::2, 0], columns[::2], columns[1::2]), axis=-1).astype(np.int64)
    kept: np.ndarray = spans[spans[:, 2] > spans[:, 1]]
    return kept
