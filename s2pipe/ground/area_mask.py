"""Pixels outside an area set to nodata."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from s2pipe.raster.grid import Window


@dataclass(frozen=True, eq=False)
class AreaMask:
    """Drops the pixels whose centres lie outside an area."""

    spans: np.ndarray
    """Pixels inside: row, first column and column after the last, int64, sorted by row."""

    @cached_property
    def sha256(self) -> str:
        """Identifies the pixels inside."""
        return hashlib.sha256(np.ascontiguousarray(self.spans, "<i8").tobytes()).hexdigest()

    @property
    def pixels(self) -> int:
        """Number of pixels inside."""
        return int((self.spans[:, 2] - self.spans[:, 1]).sum())

    def inside(self, window: Window) -> np.ndarray:
        """Return which pixels of a window lie inside, bool (y, x)."""
        first, last = np.searchsorted(self.spans[:, 0], (window.row, window.row_end))
        rows, begin, end = self.spans[first:last].T
        steps = np.zeros((window.height, window.width + 1), np.int8)
        np.add.at(steps, (rows - window.row, np.clip(begin - window.col, 0, window.width)), 1)
        np.add.at(steps, (rows - window.row, np.clip(end - window.col, 0, window.width)), -1)
        result: np.ndarray = np.cumsum(steps[:, :-1], axis=1, dtype=np.int8) > 0
        return result

    def apply(self, window: Window, dn: np.ndarray) -> None:
        """Set the pixels of a window (band, y, x) that lie outside to 0 (nodata)."""
        dn[:, ~self.inside(window)] = 0
