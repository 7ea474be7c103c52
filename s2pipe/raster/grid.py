"""Grid: where a raster's pixels lie. A frozen value; everything else is derived from it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from s2pipe.raster.formats import SELF_CONTAINED, Formats

if TYPE_CHECKING:
    from collections.abc import Mapping


class Window(NamedTuple):
    """A rectangle of pixels: offsets and size, rows before columns."""

    row: int
    col: int
    height: int
    width: int

    @property
    def shape_yx(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.height, self.width

    @property
    def row_end(self) -> int:
        """First row below the window."""
        return self.row + self.height

    @property
    def col_end(self) -> int:
        """First column right of the window."""
        return self.col + self.width


@dataclass(frozen=True)
class Grid:
    """A raster grid: coordinate reference system, geotransform and size."""

    crs_wkt: str
    """Coordinate reference system as WKT; empty when the raster has none."""
    geotransform: tuple[float, float, float, float, float, float]
    """GDAL geotransform: x of the upper-left corner, pixel width, row skew, y of that corner, column skew,
    pixel height (negative for north-up rasters). CRS units, metres for Sentinel-2."""
    shape_yx: tuple[int, int]
    """Rows and columns."""

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Grid:
        """Make a grid from its (valid) JSON form."""
        return cls(document["crs_wkt"], tuple(document["geotransform"]), tuple(document["shape_yx"]))

    def to_document(self) -> dict[str, str | list[float] | list[int]]:
        """Return the JSON form."""
        return {
            "crs_wkt": self.crs_wkt,
            "geotransform": list(self.geotransform),
            "shape_yx": list(self.shape_yx),
        }

    @property
    def height(self) -> int:
        """Number of rows."""
        return self.shape_yx[0]

    @property
    def width(self) -> int:
        """Number of columns."""
        return self.shape_yx[1]

    @property
    def is_north_up(self) -> bool:
        """True when rows run along x and columns along y, without skew or flip."""
        _, dx, rx, _, ry, dy = self.geotransform
        return rx == 0.0 and ry == 0.0 and dx > 0.0 > dy

    @property
    def pixel_size(self) -> tuple[float, float]:
        """Pixel width and height in CRS units, both positive."""
        _, dx, rx, _, ry, dy = self.geotransform
        return math.hypot(dx, ry), math.hypot(rx, dy)

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """Left, bottom, right, top in CRS units (of a north-up grid)."""
        x0, dx, _, y0, _, dy = self.geotransform
        return x0, y0 + dy * self.height, x0 + dx * self.width, y0

    def window_geotransform(self, window: Window) -> tuple[float, float, float, float, float, float]:
        """Geotransform of the raster that a window cuts out."""
        x0, dx, rx, y0, ry, dy = self.geotransform
        return (
            x0 + dx * window.col + rx * window.row,
            dx,
            rx,
            y0 + ry * window.col + dy * window.row,
            ry,
            dy,
        )

    def block_windows(self, rows: int, cols: int) -> list[Window]:
        """Cover the grid with windows of ``rows`` x ``cols`` in row order; the last ones may be smaller."""
        return [
            Window(row, col, min(rows, self.height - row), min(cols, self.width - col))
            for row in range(0, self.height, rows)
            for col in range(0, self.width, cols)
        ]


@dataclass(frozen=True)
class TargetGrid:
    """The pixels that all outputs of a scene have: a window of the grid that its sources are brought onto.

    Sources are always declared on the whole reference grid, and read where the window is: a pixel is the same whatever
    the window.
    """

    reference: Grid
    """Grid that sources are declared on."""
    window: Window
    """Its part that outputs cover."""

    @classmethod
    def whole(cls, reference: Grid) -> TargetGrid:
        """Take all of a grid."""
        return cls(reference, Window(0, 0, *reference.shape_yx))

    @cached_property
    def grid(self) -> Grid:
        """Grid of the outputs."""
        if self.is_whole:
            return self.reference
        transform = self.reference.window_geotransform(self.window)
        return Grid(self.reference.crs_wkt, transform, self.window.shape_yx)

    @property
    def is_whole(self) -> bool:
        """Whether outputs cover the whole reference grid."""
        return self.window == Window(0, 0, *self.reference.shape_yx)

    def from_reference(self, row: int, col: int) -> tuple[int, int]:
        """Return row and column of the outputs of a pixel of the reference grid; it may lie outside of them."""
        return row - self.window.row, col - self.window.col

    def in_reference(self, window: Window) -> Window:
        """Return where a window of the outputs lies in the reference grid."""
        return Window(window.row + self.window.row, window.col + self.window.col, *window.shape_yx)


@dataclass(frozen=True)
class RasterInfo:
    """What is known of a raster file without reading a pixel."""

    path: str
    """Path as GDAL opens it (``/vsizip/...`` for a member of an archive)."""
    grid: Grid
    """Where its pixels lie."""
    dtype: str
    """GDAL's name of the pixel type, e.g. ``UInt16``."""
    block_yx: tuple[int, int]
    """Rows and columns of the file's own tiles."""
    nodata: float | None = None
    """Nodata value that the file declares; None when it declares none."""
    formats: Formats = SELF_CONTAINED
    """Formats that it may have when it is opened again."""
    is_exact: bool = True
    """Every decoder makes the same pixels of it; false for JPEG 2000 with the irreversible wavelet."""
