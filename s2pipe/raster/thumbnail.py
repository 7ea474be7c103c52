"""Small versions of rasters that s2pipe wrote, for people to look at: from overviews, or from some of the blocks."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from s2pipe.raster.grid import Window
from s2pipe.raster.reader import StackReader

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_BLOCKS = 500
"""Blocks of a file that are decoded at most: those of a raster of 5490 pixels a side."""


class Thumbnail(NamedTuple):
    """A small version of a raster."""

    pixels: np.ndarray
    """Values as they are in the raster, (band, y, x) float32."""
    is_mosaic: bool
    """True: of some blocks alone, evenly spread, each of which stands for the ground around it."""


def read_thumbnail(path: str, bands: Sequence[int], side: int, max_blocks: int = MAX_BLOCKS) -> Thumbnail:
    """Read a small version of some bands.

    Parameters
    ----------
    path : str
        Raster that s2pipe wrote.
    bands : sequence of int
        Positions of the bands, from 0.
    side : int
        Most rows and columns.
    max_blocks : int
        Blocks of the file to decode at most, where it has no fitting overview.

    Raises
    ------
    RasterError
        The raster cannot be read.
    """
    reader = StackReader(path, bands)
    try:
        height, width = reader.shape_yx
        scale = min(1.0, side / max(height, width))
        shape = (max(1, round(height * scale)), max(1, round(width * scale)))
        out = np.empty((len(bands), *shape), np.float32)
        whole = [
            math.ceil(size / block) for size, block in zip(reader.shape_yx, reader.block_yx, strict=True)
        ]
        has_overview = any(min(overview) >= min(shape) for overview in reader.overview_shapes())
        is_mosaic = whole[0] * whole[1] > max_blocks and not has_overview
        if is_mosaic:
            _read_mosaic(reader, out, whole, max_blocks)
        else:
            reader.read_nearest(Window(0, 0, height, width), out)
    finally:
        reader.close()
    return Thumbnail(out, is_mosaic)


def _read_mosaic(reader: StackReader, out: np.ndarray, blocks: Sequence[int], max_blocks: int) -> None:
    """Fill each cell of a lattice with the block in its middle."""
    share = math.sqrt(max_blocks / (blocks[0] * blocks[1]))
    cells = [
        max(1, min(math.floor(count * share), size))
        for count, size in zip(blocks, out.shape[1:], strict=True)
    ]
    tops, lefts = (_edges(size, count) for size, count in zip(out.shape[1:], cells, strict=True))
    for i, (top, bottom) in enumerate(itertools.pairwise(tops)):
        for j, (left, right) in enumerate(itertools.pairwise(lefts)):
            row, height = _middle_block(i, cells[0], blocks[0], reader.block_yx[0], reader.shape_yx[0])
            col, width = _middle_block(j, cells[1], blocks[1], reader.block_yx[1], reader.shape_yx[1])
            part = np.empty((len(out), bottom - top, right - left), np.float32)
            reader.read_nearest(Window(row, col, height, width), part)
            out[:, top:bottom, left:right] = part


def _edges(size: int, count: int) -> list[int]:
    return [size * place // count for place in range(count + 1)]


def _middle_block(cell: int, cells: int, blocks: int, block: int, size: int) -> tuple[int, int]:
    """First pixel and size of the block in the middle of a cell."""
    start = int((cell + 0.5) * blocks / cells) * block
    return start, min(block, size - start)
