"""Several scenes on one grid: which of them a pixel is taken from, and readers that take it from there."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from s2pipe.raster.formats import GEOTIFF
from s2pipe.raster.grid import Grid, Window
from s2pipe.raster.reader import RasterReader
from s2pipe.raster.transform import same_crs, transform_points

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import ExitStack

    from s2pipe.preprocess.inputs import BandStack
    from s2pipe.preprocess.pixels.blocks import BandReader

SOURCE_NAME = "source.tif"
"""The raster of a mosaic that says which source each pixel is from."""
SOURCE_BAND = "source"
NO_SOURCE = 0
"""What it says where no source has a valid pixel; the first source is 1."""
MAX_SOURCES = 255
"""Most sources of a mosaic: their numbers are bytes."""
CHOICE_RULE = (
    "the source with the most valid bands; of several, the one the middle of whose tile is nearest; of several, the "
    "first in the order of this list"
)
"""How the source of a pixel is chosen, in words."""
_EDGE_POINTS = 33
_HALO_PX = 4
"""Pixels of source or target, whichever are larger, that resampling may reach beyond a tile's edge."""


@dataclass(frozen=True)
class SourcePlace:
    """Where a source lies on the target grid of a mosaic."""

    box: Window
    """Part of the target grid outside of which it has no pixel."""
    middle_xy: tuple[float, float]
    """Middle of its tile, in the reference system of the target grid."""

    @classmethod
    def of(cls, stack: BandStack) -> SourcePlace | None:
        """Place a source; None where it does not touch the target grid."""
        source, grid = stack.bands[0].raster.grid, stack.target.grid
        left, bottom, right, top = source.bounds
        across, down = np.linspace(left, right, _EDGE_POINTS), np.linspace(bottom, top, _EDGE_POINTS)
        x, y = (left + right) / 2, (bottom + top) / 2
        step = max(band.raster.grid.pixel_size[0] for band in stack.bands)
        edge = [
            *((x, y) for x in across for y in (bottom, top)),
            *((x, y) for y in down for x in (left, right)),
            (x + step, y),
            (x, y + step),
            (x, y),
        ]
        points = np.array(edge)
        if not same_crs(source.crs_wkt, grid.crs_wkt):
            points = transform_points(source.crs_wkt, grid.crs_wkt, points)
        turns: tuple[float, ...] = (0.0,)
        if grid.crs_wkt.startswith("GEOG"):  # on either side of the antimeridian, and of what a grid calls it
            points[:, 0] -= 360.0 * np.rint((points[:, 0] - points[-1, 0]) / 360.0)
            turns = (0.0, -360.0, 360.0)
        known = points[np.isfinite(points).all(axis=1)]
        reach = float(np.abs(points[-3:-1] - points[-1]).max())
        boxes = {turn: _box(known + np.array((turn, 0.0)), grid, reach) for turn in turns}
        found = {turn: box for turn, box in boxes.items() if box is not None}
        if not found:
            return None
        turn = max(found, key=lambda turn: found[turn].width)
        x, y = points[-1].tolist()
        return cls(_around(list(found.values())), (x + turn, y))


def _around(boxes: Sequence[Window]) -> Window:
    """The smallest window that holds all of these."""
    top, left = min(box.row for box in boxes), min(box.col for box in boxes)
    bottom, right = max(box.row_end for box in boxes), max(box.col_end for box in boxes)
    return Window(top, left, bottom - top, right - left)


def _box(points: np.ndarray, grid: Grid, source_step: float) -> Window | None:
    """Pixels of a grid around points, with room for resampling."""
    if not len(points):
        return None
    x0, dx, _, y0, _, dy = grid.geotransform
    halo = math.ceil(_HALO_PX * max(1.0, source_step / abs(dx)))
    cols, rows = (points[:, 0] - x0) / dx, (points[:, 1] - y0) / dy
    left, top = max(0, math.floor(cols.min()) - halo), max(0, math.floor(rows.min()) - halo)
    right = min(grid.width, math.ceil(cols.max()) + halo)
    bottom = min(grid.height, math.ceil(rows.max()) + halo)
    return Window(top, left, bottom - top, right - left) if top < bottom and left < right else None


def common_part(one: Window, other: Window) -> Window | None:
    """Return the pixels of two windows of one grid that both have; None where there are none."""
    top, left = max(one.row, other.row), max(one.col, other.col)
    bottom, right = min(one.row_end, other.row_end), min(one.col_end, other.col_end)
    return Window(top, left, bottom - top, right - left) if top < bottom and left < right else None


def inside(part: Window, window: Window) -> tuple[slice, slice]:
    """Return where a part of a window lies in it."""
    top, left = part.row - window.row, part.col - window.col
    return slice(top, top + part.height), slice(left, left + part.width)


class Choice:
    """Chooses the source of each pixel of a window, see ``CHOICE_RULE``; sources are offered in their order.

    Parameters
    ----------
    window : Window
        The window.
    grid : Grid
        Grid that it lies in.
    """

    def __init__(self, window: Window, grid: Grid) -> None:
        self._window = window
        self._grid = grid
        self.source = np.full(window.shape_yx, NO_SOURCE, np.uint8)
        """Number of the chosen source."""
        self._valid = np.zeros(window.shape_yx, np.uint8)
        self._distance = np.full(window.shape_yx, np.inf)

    def offer(self, number: int, place: SourcePlace, part: Window, dn: np.ndarray) -> None:
        """Take a source where it is better than those before.

        Parameters
        ----------
        number : int
            Its number, from 1.
        place : SourcePlace
            Where it lies.
        part : Window
            Part of the window that it covers.
        dn : ndarray (band, y, x)
            Its pixels there; 0 where a band is not valid.
        """
        valid = np.zeros(part.shape_yx, np.uint8)
        for band in dn:
            valid += band != 0
        here = inside(part, self._window)
        distance = self._distance_to(place.middle_xy, part)
        most = self._valid[here]
        better = (valid > most) | ((valid == most) & (valid > 0) & (distance < self._distance[here]))
        self.source[here][better] = number
        np.copyto(most, valid, where=better)
        np.copyto(self._distance[here], distance, where=better)

    def _distance_to(self, middle_xy: tuple[float, float], part: Window) -> np.ndarray:
        """Squared distance of the middles of pixels."""
        x0, dx, _, y0, _, dy = self._grid.geotransform
        x = x0 + dx * (np.arange(part.col, part.col_end) + 0.5) - middle_xy[0]
        y = y0 + dy * (np.arange(part.row, part.row_end) + 0.5) - middle_xy[1]
        return np.asarray(np.add.outer(y * y, x * x))


@dataclass(frozen=True)
class Chosen:
    """The choice that was made."""

    path: Path | None = None
    """``source.tif``; None for a scene of its own, whose pixels are all its own."""

    def reader(
        self, count: int, open_one: Callable[[int], BandReader | None], fill: float, exits: ExitStack
    ) -> BandReader:
        """Return a reader of one band that takes every pixel from its source.

        Parameters
        ----------
        count : int
            Number of sources.
        open_one : callable
            Opens the band of a source, numbered from 0, on the target grid; None where that source has none.
        fill : float
            Value of pixels without a source, and of sources that have no such band.
        exits : ExitStack
            Closes what is opened here.
        """
        if self.path is None:
            only = open_one(0)
            assert only is not None  # a scene without it has no such band at all
            return only
        opened = ((number + 1, open_one(number)) for number in range(count))
        readers = {number: reader for number, reader in opened if reader is not None}
        return _ChosenReader(readers, self.numbers(exits), fill)

    def numbers(self, exits: ExitStack) -> BandReader:
        """Return a reader of the numbers of the sources."""
        reader = RasterReader(str(self.path), formats=GEOTIFF)
        exits.callback(reader.close)
        return _Numbers(reader)


class _Numbers:
    """``source.tif`` as a band."""

    cost = 1000

    def __init__(self, reader: RasterReader) -> None:
        self._reader = reader

    def read(self, window: Window, out: np.ndarray) -> None:
        self._reader.read(window, out)


class _ChosenReader:
    """Reads one band of a mosaic; of each source no more than the rectangle around its pixels."""

    def __init__(self, readers: dict[int, BandReader], numbers: BandReader, fill: float) -> None:
        self.cost = max((reader.cost for reader in readers.values()), default=1)
        self._readers = readers
        self._numbers = numbers
        self._fill = fill

    def read(self, window: Window, out: np.ndarray) -> None:
        numbers = np.empty(window.shape_yx, np.uint8)
        self._numbers.read(window, numbers)
        out[...] = self._fill
        for number, reader in self._readers.items():
            wanted = numbers == number
            part = part_of(wanted, window)
            if part is None:
                continue
            here = inside(part, window)
            values = np.empty(part.shape_yx, out.dtype)
            reader.read(part, values)
            np.copyto(out[here], values, where=wanted[here])


def part_of(wanted: np.ndarray, window: Window) -> Window | None:
    """Return the smallest part of a window that holds all wanted pixels (y, x); None where none are."""
    rows, cols = np.flatnonzero(wanted.any(axis=1)), np.flatnonzero(wanted.any(axis=0))
    if not len(rows):
        return None
    top, left = int(rows[0]), int(cols[0])
    height, width = int(rows[-1]) + 1 - top, int(cols[-1]) + 1 - left
    return Window(window.row + top, window.col + left, height, width)
