"""Which detector saw a pixel: windows of detector ids on the target grid, from rasters or polygons."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np

from s2pipe.errors import RasterError
from s2pipe.preprocess.angles.spans import detector_spans
from s2pipe.raster.grid import Grid, RasterInfo, Window
from s2pipe.raster.reader import RasterReader
from s2pipe.raster.transform import same_crs
from s2pipe.raster.vrt import WarpSpec, warped_vrt

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from s2pipe.sentinel2.safe.detectors import DetectorOutline

_DENSE_M = 500.0
"""Longest piece of an outline that is treated as straight after projection to another CRS."""


class MaskReader:
    """Detector ids from a raster: every target pixel takes the id of the mask's pixel that holds its centre.

    Parameters
    ----------
    mask : RasterInfo
        The mask: detector ids, 0 where none.
    target : Grid
        Target grid.
    """

    cost = 2
    """Relative cost of reading."""

    def __init__(self, mask: RasterInfo, target: Grid) -> None:
        if not mask.grid.crs_wkt:
            msg = f"{mask.path}: the detector footprint has no coordinate reference system; fetch the file again"
            raise RasterError(msg)
        self._direct = mask.grid == target
        self._picks: tuple[np.ndarray, np.ndarray] | None = None
        text = mask.path
        if not self._direct and same_crs(mask.grid.crs_wkt, target.crs_wkt):
            self._picks = _centres_in(mask.grid, target)
        elif not self._direct:
            spec = WarpSpec("nearest", dtype="Byte", source_nodata=None, max_error=0.0)
            text = warped_vrt(mask, target, spec)
        self._reader = RasterReader(text, mask.path, formats=mask.formats)

    def read(self, window: Window, out: np.ndarray) -> None:
        """Fill ``out`` with detector ids."""
        if self._picks is None:
            self._reader.read(window, out)
            return
        rows, cols = self._picks[0][window.row : window.row_end], self._picks[1][window.col : window.col_end]
        out[...] = 0
        inside_rows, inside_cols = np.flatnonzero(rows >= 0), np.flatnonzero(cols >= 0)
        if not (len(inside_rows) and len(inside_cols)):
            return
        rows, cols = rows[inside_rows], cols[inside_cols]
        top, left = int(rows[0]), int(cols[0])
        part = Window(top, left, int(rows[-1]) - top + 1, int(cols[-1]) - left + 1)
        source = np.empty(part.shape_yx, np.uint8)
        self._reader.read(part, source)
        picked = source[rows - top].take(cols - left, axis=1)
        first_row, first_col = int(inside_rows[0]), int(inside_cols[0])
        out[first_row : first_row + len(rows), first_col : first_col + len(cols)] = picked

    def close(self) -> None:
        """Release the dataset."""
        self._reader.close()


def _centres_in(source: Grid, target: Grid) -> tuple[np.ndarray, np.ndarray]:
    """Source row of every target row, source column of every target column; -1 outside."""
    picks = []
    for axis, (corner, step) in enumerate(((3, 5), (0, 1))):
        first, size = target.geotransform[corner], target.geotransform[step]
        centres = first + (np.arange(target.shape_yx[axis]) + 0.5) * size
        index = np.floor((centres - source.geotransform[corner]) / source.geotransform[step]).astype(np.int64)
        picks.append(np.where((index >= 0) & (index < source.shape_yx[axis]), index, -1))
    return picks[0], picks[1]


class OutlineReader:
    """Detector ids from polygons: exact for pixel centres, row by row (see :func:`detector_spans`).

    Where footprints of two detectors overlap, the seam runs through the middle of the overlap, as it does in
    the raster masks of later products.

    Parameters
    ----------
    outlines : sequence of DetectorOutline
        Polygons in the CRS of the tile.
    target : Grid
        Target grid.
    project : callable, optional
        Turns points of the tile's CRS into the target's; None when both are the same.
    """

    cost = 1
    """Relative cost of reading."""

    def __init__(
        self,
        outlines: Sequence[DetectorOutline],
        target: Grid,
        project: Callable[[np.ndarray], np.ndarray] | None = None,
    ) -> None:
        polygons = []
        for outline in outlines:
            rings = []
            for ring in outline.rings:
                points = ring if project is None else project(_densified(ring))
                if not np.isfinite(points).all():
                    msg = (
                        f"footprints of detector {outline.detector} cannot be brought into the target grid's CRS; "
                        "choose a target grid nearer to the tile's own UTM zone"
                    )
                    raise RasterError(msg)
                rings.append(_in_pixels(points, target))
            polygons.append((outline.detector, rings))
        self._spans = detector_spans(polygons, target.height)
        self._first = np.searchsorted(self._spans[:, 0], np.arange(target.height + 1))

    def read(self, window: Window, out: np.ndarray) -> None:
        """Fill ``out`` with detector ids."""
        out[...] = 0
        spans = self._spans[self._first[window.row] : self._first[window.row_end]]
        for row, begin, end, detector in spans.tolist():
            left, right = max(begin - window.col, 0), min(end - window.col, window.width)
            if left < right:
                out[row - window.row, left:right] = detector


def _densified(ring: np.ndarray) -> np.ndarray:
    pieces = []
    for start, end in itertools.pairwise(ring):
        count = max(1, int(np.ceil(np.hypot(*(end - start)) / _DENSE_M)))
        pieces.append(start + (end - start) * (np.arange(count) / count)[:, np.newaxis])
    return np.concatenate([*pieces, ring[-1:]])


def _in_pixels(points: np.ndarray, grid: Grid) -> np.ndarray:
    """Columns and rows, in which the centre of pixel 0 is 0.5."""
    x0, dx, _, y0, _, dy = grid.geotransform
    pixels: np.ndarray = (points - np.array((x0, y0))) / np.array((dx, dy))
    return pixels
