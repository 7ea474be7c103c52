"""Ground cells: one fixed grid over the whole Earth, the same for every tile, UTM zone and date.

Rows of cells have equal height in latitude, from pole to pole; every row is divided into as many equal columns
as bring their width closest to the height. Cells are therefore close to square and close to equal in area, and
the row and column of a point follow from its longitude and latitude alone. The idea of a grid of rows with as
many columns as their latitude allows is that of Major TOM (https://github.com/ESA-PhiLab/Major-TOM).
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from s2pipe.errors import S2PipeError
from s2pipe.ground.projection import EARTH_RADIUS_M, LEAST_RADIUS_M, ground_scale, is_utm, utm_to_lonlat

if TYPE_CHECKING:
    from collections.abc import Iterator

_SCALE_SLACK = 1.01
"""UTM's metres differ from the ground's by 0.1 % inside a zone; beyond what tiles reach, by less than this."""
_POLE_DEG = 89.0
_FOREIGN_BULGE = 2.0
"""Metres of other projections than UTM may be shorter than the ground's."""
_ID = re.compile(r"(\d+)m_(\d+)_(\d+)")


@dataclass(frozen=True)
class Rectangles:
    """Rectangles on one grid, arrays of one length."""

    epsg: int
    """EPSG code of the UTM zone, 326xx or 327xx, or of another projection in metres."""
    left: np.ndarray
    """Least easting in metres, float64."""
    bottom: np.ndarray
    """Least northing."""
    right: np.ndarray
    """Greatest easting."""
    top: np.ndarray
    """Greatest northing."""

    def __len__(self) -> int:
        return len(self.left)

    def grown(self, metres: float) -> Rectangles:
        """The rectangles with a margin of so many metres on the ground, or more, on every side."""
        margin = (
            metres if is_utm(self.epsg) else metres * ground_scale(*self.centres(), self.epsg) * _SCALE_SLACK
        )
        return Rectangles(
            self.epsg, self.left - margin, self.bottom - margin, self.right + margin, self.top + margin
        )

    def centres(self) -> tuple[np.ndarray, np.ndarray]:
        """Longitude and latitude of the centres, degrees."""
        return utm_to_lonlat((self.left + self.right) / 2, (self.bottom + self.top) / 2, self.epsg)

    def boundary(self) -> tuple[np.ndarray, np.ndarray]:
        """Longitude and latitude of corners and middles of sides, (8, n); longitudes are not wrapped."""
        x, y = (self.left + self.right) / 2, (self.bottom + self.top) / 2
        columns = (self.left, x, self.right, self.right, self.right, x, self.left, self.left)
        rows = (self.bottom, self.bottom, self.bottom, y, self.top, self.top, self.top, y)
        return utm_to_lonlat(np.stack(columns), np.stack(rows), self.epsg)

    def boxes(self) -> Boxes:
        """Longitude-latitude boxes that hold the rectangles with certainty."""
        lon, lat = self.boundary()
        bulge = bulge_m(self.right - self.left, self.top - self.bottom, lat)
        return Boxes.around(lon, lat, bulge if is_utm(self.epsg) else _FOREIGN_BULGE * bulge)


def bulge_m(width: np.ndarray, height: np.ndarray, lat: np.ndarray) -> np.ndarray:
    """How far a side can bend out between the points of :meth:`Rectangles.boundary`, in metres.

    A parallel is an arc of curvature tan(latitude) / R on the map, and a chord of length c misses an arc of
    curvature k by c^2 k / 8; meridians bend less.
    """
    half = np.maximum(width, height) / 2
    steepest = np.minimum(np.abs(lat).max(axis=0), _POLE_DEG)
    bulge: np.ndarray = half**2 * (np.tan(np.radians(steepest)) + 1.0) / (8 * LEAST_RADIUS_M) + 0.01
    return bulge


@dataclass(frozen=True)
class Boxes:
    """Boxes in degrees, arrays of one length; west may lie below -180 and east above 180."""

    west: np.ndarray
    """Least longitude."""
    south: np.ndarray
    """Least latitude."""
    east: np.ndarray
    """Greatest longitude."""
    north: np.ndarray
    """Greatest latitude."""

    @classmethod
    def around(cls, lon: np.ndarray, lat: np.ndarray, margin_m: np.ndarray | float) -> Boxes:
        """Hold points (point, n) and everything within a distance of each of them."""
        south, north = lat.min(axis=0), lat.max(axis=0)
        margin = np.degrees(np.asarray(margin_m, np.float64) * _SCALE_SLACK / LEAST_RADIUS_M)
        south, north = south - margin, north + margin
        furthest = np.maximum(np.abs(south), np.abs(north))
        polar = furthest >= _POLE_DEG
        shrink = np.cos(np.radians(np.minimum(furthest, _POLE_DEG)))
        west = np.where(polar, -180.0, lon.min(axis=0) - margin / shrink)
        east = np.where(polar, 180.0, lon.max(axis=0) + margin / shrink)
        # Meridians meet at the pole: what comes near it may lie on any of them.
        return cls(
            west,
            np.where(polar & (south < -_POLE_DEG), -90.0, south),
            east,
            np.where(polar & (north > _POLE_DEG), 90.0, north),
        )


@dataclass(frozen=True)
class CellGrid:
    """The grid of ground cells of one size."""

    cell_m: int
    """Height of a cell, and about its width, in metres."""

    @cached_property
    def rows(self) -> int:
        """Number of rows from pole to pole."""
        return max(1, round(math.pi * EARTH_RADIUS_M / self.cell_m))

    @cached_property
    def columns(self) -> np.ndarray:
        """Number of columns of each row, int64."""
        middle = np.radians((np.arange(self.rows) + 0.5) * 180.0 / self.rows - 90.0)
        return np.maximum(1, np.rint(2 * math.pi * EARTH_RADIUS_M * np.cos(middle) / self.cell_m)).astype(
            np.int64
        )

    @cached_property
    def _first(self) -> np.ndarray:
        """Number of the first cell of each row, and the number of all cells."""
        return np.concatenate([[0], np.cumsum(self.columns)])

    def cells(self, lon: np.ndarray, lat: np.ndarray) -> np.ndarray:
        """Return the number of the cell that each point lies in, int64.

        Parameters
        ----------
        lon, lat : ndarray
            Degrees, any shape; longitudes beyond +-180 are fine.
        """
        row = self._row(lat)
        column = self._column(lon, row)
        cells: np.ndarray = self._first[row] + column % self.columns[row]
        return cells

    def touched(self, boxes: Boxes) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield (positions of boxes, cell of each) until every cell that any box touches was named."""
        first, last = self._row(boxes.south), self._row(boxes.north)
        for down in range(int((last - first).max(initial=-1)) + 1):
            chosen = np.flatnonzero(first + down <= last)
            row = first[chosen] + down
            count = self.columns[row]
            start = self._column(boxes.west[chosen], row)
            stop = np.minimum(self._column(boxes.east[chosen], row), start + count - 1)
            for right in range(int((stop - start).max(initial=-1)) + 1):
                there = start + right <= stop
                column = (start[there] + right) % count[there]
                yield chosen[there], self._first[row[there]] + column

    def ids(self, cells: np.ndarray) -> list[str]:
        """Write cell numbers as ids, ``10000m_1375_00861``: size, row from the south, column from -180 degrees."""
        row = np.searchsorted(self._first, cells, side="right") - 1
        column = cells - self._first[row]
        return [f"{self.cell_m}m_{r:04d}_{c:05d}" for r, c in zip(row.tolist(), column.tolist(), strict=True)]

    def number(self, cell_id: str) -> int:
        """Read a cell's id.

        Raises
        ------
        S2PipeError
            It is not the id of a cell of this grid.
        """
        match = _ID.fullmatch(cell_id)
        if match is not None:
            size, row, column = map(int, match.groups())
            if size == self.cell_m and row < self.rows and column < self.columns[row]:
                return int(self._first[row]) + column
        example = self.ids(np.array([0]))[0]
        msg = f"{cell_id!r} is not a ground cell of {self.cell_m} m; expected an id such as {example}"
        raise S2PipeError(msg)

    def _row(self, lat: np.ndarray) -> np.ndarray:
        row = np.floor((np.asarray(lat, np.float64) + 90.0) * (self.rows / 180.0)).astype(np.int64)
        return np.clip(row, 0, self.rows - 1)

    def _column(self, lon: np.ndarray, row: np.ndarray) -> np.ndarray:
        """Columns counted from -180 degrees, not wrapped."""
        column: np.ndarray = np.floor((np.asarray(lon, np.float64) + 180.0) / 360.0 * self.columns[row])
        return column.astype(np.int64)
