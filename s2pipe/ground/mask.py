"""Restricting pixels to the ground of one split, so that statistics see nothing of the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from s2pipe.errors import ConfigError, Fault
from s2pipe.ground.cells import Rectangles
from s2pipe.ground.projection import ground_epsg
from s2pipe.ground.split import BORDER, SPLITS, SplitName, SplitPlan, load_plan

if TYPE_CHECKING:
    from pathlib import Path

    from s2pipe.dataset.scene_key import SceneKey
    from s2pipe.raster.grid import Grid, Window

_SIDES_PX = (64, 16, 4, 1)
"""Blocks are asked about as a whole; those on a border are cut further, down to single pixels."""


class GroundMask:
    """Drops the pixels of one scene that are not wholly on the ground of one split.

    Parameters
    ----------
    plan : SplitPlan
        The split.
    key : SceneKey
        Tile and sensing start of the scene.
    grid : Grid
        The scene's pixels, in a UTM zone or another projection in metres.
    split : str
        The split whose ground is kept.
    """

    def __init__(self, plan: SplitPlan, key: SceneKey, grid: Grid, split: SplitName = "train") -> None:
        self._plan = plan
        self._key = key
        self._grid = grid
        self._epsg = ground_epsg(grid.crs_wkt)
        self._wanted = SPLITS.index(split)

    def apply(self, window: Window, dn: np.ndarray) -> None:
        """Set the pixels of a window to 0 (nodata) where they show other ground.

        Parameters
        ----------
        window : Window
            Where the pixels lie in the grid.
        dn : ndarray (band, y, x)
            Changed in place. A pixel that touches other ground with a corner counts as other ground.
        """
        side = _SIDES_PX[0]
        down, right = np.arange(0, window.height, side), np.arange(0, window.width, side)
        row, col = np.repeat(down, len(right)), np.tile(right, len(down))
        for side, finer in zip(_SIDES_PX, (*_SIDES_PX[1:], 0), strict=True):
            codes = self._codes(window, row, col, side)
            mixed = (codes == BORDER) & (finer > 0)
            self._clear(dn, row, col, side, (codes != self._wanted) & ~mixed)
            if not mixed.any():
                return
            offsets = np.arange(0, side, finer)
            row = (row[mixed, np.newaxis] + np.repeat(offsets, len(offsets))).ravel()
            col = (col[mixed, np.newaxis] + np.tile(offsets, len(offsets))).ravel()
            inside = (row < window.height) & (col < window.width)
            row, col = row[inside], col[inside]

    def _codes(self, window: Window, row: np.ndarray, col: np.ndarray, side: int) -> np.ndarray:
        x0, dx, _, y0, _, dy = self._grid.geotransform
        row_end, col_end = np.minimum(row + side, window.height), np.minimum(col + side, window.width)
        rectangles = Rectangles(
            self._epsg,
            x0 + dx * (col + window.col),
            y0 + dy * (row_end + window.row),
            x0 + dx * (col_end + window.col),
            y0 + dy * (row + window.row),
        )
        return self._plan.codes(self._key, rectangles, with_buffer=False)

    def _clear(self, dn: np.ndarray, row: np.ndarray, col: np.ndarray, side: int, where: np.ndarray) -> None:
        if side == 1:
            dn[:, row[where], col[where]] = 0
            return
        for top, left in zip(row[where].tolist(), col[where].tolist(), strict=True):
            dn[:, top : top + side, left : left + side] = 0


class PixelMask(Protocol):
    """Whatever drops pixels of a grid."""

    def apply(self, window: Window, dn: np.ndarray) -> None:
        """Set pixels of a window (band, y, x) to 0 (nodata)."""


@dataclass(frozen=True)
class PixelMasks:
    """Several masks of one grid; none keep all pixels."""

    masks: tuple[PixelMask, ...] = ()
    """Applied in this order."""

    def apply(self, window: Window, dn: np.ndarray) -> None:
        """Set the pixels of a window (band, y, x) that any mask drops to 0 (nodata)."""
        for mask in self.masks:
            mask.apply(window, dn)

    def masked(self, reader: BandReader) -> MaskedReader:
        """Return a reader of one band that gives 0 where pixels are dropped."""
        return MaskedReader(self, reader)


class BandReader(Protocol):
    """Whatever fills a window of one band."""

    cost: int
    """Relative cost of reading."""

    def read(self, window: Window, out: np.ndarray) -> None:
        """Fill ``out``, (y, x)."""


class MaskedReader:
    """A reader of one band whose dropped pixels are 0."""

    def __init__(self, mask: PixelMask, reader: BandReader) -> None:
        self.cost = reader.cost
        self._mask = mask
        self._reader = reader

    def read(self, window: Window, out: np.ndarray) -> None:
        """Fill ``out``, (y, x)."""
        self._reader.read(window, out)
        self._mask.apply(window, out[np.newaxis])


def load_ground_split(path: Path) -> SplitPlan:
    """Read the split that statistics are to obey.

    Raises
    ------
    ConfigError
        It does not divide ground, so that no pixel can be told to be in it.
    """
    plan = load_plan(path)
    if plan.by == "random":
        raise ConfigError(
            str(path),
            [Fault("by", "a random split divides patches, not ground; plan one by cell, tile, time or file")],
        )
    return plan
