"""Drawing pixels for statistics: the same pixels for any order, any windows and any number of workers.

Every pixel has a priority that depends only on the seed, the scene, the band and its position. It is a bijective 64-bit
hash, so no two are equal. The valid pixels with the lowest priorities are drawn, from the whole scene or from a few
blocks of it.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from s2pipe.preprocess.pixels.blocks import BandReader, scene_windows
from s2pipe.preprocess.pixels.dn import open_bands
from s2pipe.preprocess.pixels.sources import nesting_factor
from s2pipe.raster.grid import Grid, TargetGrid, Window
from s2pipe.runtime.cores import core_count
from s2pipe.runtime.draws import mix, text_seed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from s2pipe.dataset.scene_key import SceneKey
    from s2pipe.ground.mask import PixelMasks
    from s2pipe.preprocess.cfg import PreprocessConfig
    from s2pipe.preprocess.inputs import BandInput, BandStack
    from s2pipe.sentinel2.channels import Channel

Adjusting = Callable[[Sequence[BandReader], ExitStack], list[BandReader]]
"""Wraps the readers of all bands; the stack closes what it opens."""
BLOCK_SHARE = 1 / 6
"""Largest share of a block's pixels that is drawn. A smaller share takes more blocks, which represent the scene better
but cost more to decode."""
MIN_BLOCKS = 10
"""Least number of blocks to draw from, even for few pixels."""
_HALO_PX = 4
"""Distance in source pixels from a tile's edges, for methods that look at neighbouring pixels."""
_FALLBACK_BLOCK_PX = 512
"""Side of a block in target pixels where the grids do not nest."""


@dataclass(frozen=True)
class PixelDraw:
    """Which pixels of a scene are drawn: how many, and by which seeds."""

    size: int
    """Pixels to draw from each band, at least 1; fewer where fewer are valid."""
    seeds: tuple[int, ...]
    """One 64-bit seed per band, in the configured order."""

    @classmethod
    def of(cls, key: SceneKey, config: PreprocessConfig) -> PixelDraw:
        """Take the draw of a scene from a configuration that limits ``max_pixels_per_scene``."""
        size = config.normalize.max_pixels_per_scene
        if size is None:
            msg = "normalize.max_pixels_per_scene is null: all pixels count, and none are drawn"
            raise ValueError(msg)
        return cls(size, tuple(band_seed(config.normalize.seed, key, channel) for channel in config.channels))


class DrawPool:
    """Pixels of lowest priority among those offered so far: a uniform draw without replacement.

    Parameters
    ----------
    draw : PixelDraw
        How many pixels per band, and the seeds of their priorities.
    """

    def __init__(self, draw: PixelDraw) -> None:
        self._size = draw.size
        self._seeds = np.array(draw.seeds, np.uint64)
        self._limits = np.full(len(draw.seeds), np.iinfo(np.uint64).max, np.uint64)
        self._kept: list[list[tuple[np.ndarray, np.ndarray]]] = [[] for _ in draw.seeds]

    def add(self, window: Window, width: int, dn: np.ndarray) -> None:
        """Offer the pixels of a window.

        Parameters
        ----------
        window : Window
            Where the pixels lie.
        width : int
            Columns of the whole grid.
        dn : ndarray, float32 (band, y, x)
            DN; 0 where not valid.
        """
        position = _positions(window, width)
        for band, seed in enumerate(self._seeds):
            priority = mix(position ^ seed)
            keep = (dn[band] != 0) & (priority <= self._limits[band])
            self._kept[band].append((priority[keep], dn[band][keep]))
            if sum(len(part) for part, _ in self._kept[band]) > 2 * self._size:
                self._shrink(band)

    @property
    def size(self) -> int:
        """Pixels to draw per band."""
        return self._size

    def kept(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield priorities, uint64 (n), and DN, float32 (n), of the drawn pixels of each band."""
        for band in range(len(self._seeds)):
            self._shrink(band)
            yield self._kept[band][0]

    def drawn(self) -> Iterator[np.ndarray]:
        """Yield the drawn DN of each band, float32 (n)."""
        return (np.ascontiguousarray(values) for _, values in self.kept())

    def _shrink(self, band: int) -> None:
        parts = self._kept[band] or [(np.empty(0, np.uint64), np.empty(0, np.float32))]
        priority, values = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        if len(priority) > self._size:
            priority, values = _lowest(priority, values, self._size)
            self._limits[band] = priority.max()
        self._kept[band] = [(priority, values)]


def drawn_of(pools: Sequence[DrawPool]) -> list[list[np.ndarray]]:
    """Return what pools of different pixels of one grid have drawn together, by pool and band.

    It is what one pool would have drawn that was offered the pixels of all.
    """
    found: list[list[np.ndarray]] = [[] for _ in pools]
    for kept in zip(*(pool.kept() for pool in pools), strict=True):
        every = np.concatenate([priority for priority, _ in kept])
        size = pools[0].size
        limit = np.partition(every, size - 1)[size - 1] if len(every) > size else None
        for own, (priority, values) in zip(found, kept, strict=True):
            own.append(np.ascontiguousarray(values if limit is None else values[priority <= limit]))
    return found


def draw_from_blocks(
    draw: PixelDraw,
    stack: BandStack,
    masks: PixelMasks,
    config: PreprocessConfig,
    adjusting: Adjusting | None = None,
) -> list[np.ndarray]:
    """Draw up to ``max_pixels_per_scene`` valid pixels per band while decoding few blocks.

    A block is the part of the target grid that one JPEG 2000 tile of the band covers. The seed decides the order of the
    blocks, which spreads them over the scene. Each block gives the same number of pixels until there are enough. Where
    all blocks together have too few valid pixels, the draw is made from all pixels instead.

    Parameters
    ----------
    draw : PixelDraw
        How many pixels, and the seeds.
    stack : BandStack
        Bands and target grid.
    masks : PixelMasks
        Drop pixels that are not to be counted.
    config : PreprocessConfig
        Resampling and threads.
    adjusting : callable, optional
        Makes of the bands' readers those of the values that are drawn; None draws DN as they are.

    Returns
    -------
    list of ndarray
        Drawn DN of each band, float32 (n).
    """
    with ExitStack() as exits:
        readers = open_bands(stack, config, exits)
        if adjusting is not None:
            readers = adjusting(readers, exits)
        readers = [masks.masked(reader) for reader in readers]

        def draw_band(number: int) -> np.ndarray:
            blocks = tile_blocks(stack.bands[number], stack.target)
            own = PixelDraw(draw.size, draw.seeds[number : number + 1])
            return _draw_band(readers[number], blocks, stack.target.grid, own)

        with ThreadPoolExecutor(core_count(config.num_workers), "s2pipe-draw") as threads:
            return list(threads.map(draw_band, range(len(readers))))


def _draw_band(reader: BandReader, blocks: list[Window], target: Grid, draw: PixelDraw) -> np.ndarray:
    size, seed = draw.size, draw.seeds[0]
    block_px = max(window.height * window.width for window in blocks)
    wanted = min(len(blocks), max(MIN_BLOCKS, math.ceil(size / (block_px * BLOCK_SHARE))))
    quota = math.ceil(size / wanted)
    order = spread_order(blocks, target, seed)
    parts: list[np.ndarray] = []
    missing = size
    for number in order:
        dn, priority = _valid_pixels(reader, blocks[number], target.width, seed)
        part = _lowest(priority, dn, min(quota, missing))[1]
        parts.append(part)
        missing -= len(part)
        if missing == 0:
            return np.concatenate(parts)
    pool = DrawPool(draw)
    for window in scene_windows(target):
        out = np.empty(window.shape_yx, np.float32)
        reader.read(window, out)
        pool.add(window, target.width, out[np.newaxis])
    return next(pool.drawn())


def spread_order(blocks: list[Window], target: Grid, seed: int) -> list[int]:
    """Order blocks so that the first n of them are spread over the grid, for any n.

    The order is that in which points of the R2 sequence (M. Roberts, 2018: multiples of the inverse plastic number),
    shifted by the seed, fall into the blocks. Blocks that no point hits come last.
    """
    plastic = 1.32471795724474602596
    shift = [(seed >> bits & 0xFFFFFFFF) / 2**32 for bits in (0, 32)]
    tops = sorted({window.row for window in blocks})
    lefts = sorted({window.col for window in blocks})
    place = {(window.row, window.col): number for number, window in enumerate(blocks)}
    order: dict[int, None] = {}
    for step in range(16 * len(blocks)):
        y = (shift[0] + step / plastic) % 1.0 * target.height
        x = (shift[1] + step / plastic**2) % 1.0 * target.width
        top, left = tops[max(0, bisect_right(tops, y) - 1)], lefts[max(0, bisect_right(lefts, x) - 1)]
        order.setdefault(place[top, left])
    return [*order, *(number for number in range(len(blocks)) if number not in order)]


def _valid_pixels(reader: BandReader, window: Window, width: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """DN and priorities of the valid pixels of a block."""
    out = np.empty(window.shape_yx, np.float32)
    reader.read(window, out)
    valid = out != 0
    return out[valid], mix(_positions(window, width)[valid] ^ np.uint64(seed))


def tile_blocks(band: BandInput, target: TargetGrid) -> list[Window]:
    """Windows of the target grid that each need one JPEG 2000 tile of the band and no other.

    Methods that look at neighbouring source pixels keep a distance from the tile's edges. Where the target grid is so
    small that it lies within that distance, all of it is one window.
    """
    source, (tile_rows, tile_cols) = band.raster.grid, band.raster.block_yx
    reference, part = target.reference, target.window
    finer, coarser = nesting_factor(source, reference), nesting_factor(reference, source)
    if not (finer or coarser):
        return target.grid.block_windows(_FALLBACK_BLOCK_PX, _FALLBACK_BLOCK_PX)
    ratio = finer or 1 / coarser
    halo = 0 if band.method in (None, "average") else math.ceil(_HALO_PX * max(1, ratio))
    rows = _within(_spans(source.height, tile_rows, halo, ratio), part.row, part.row_end)
    cols = _within(_spans(source.width, tile_cols, halo, ratio), part.col, part.col_end)
    return [Window(top, left, bottom - top, right - left) for top, bottom in rows for left, right in cols]


def _spans(size: int, tile: int, halo: int, ratio: float) -> list[tuple[int, int]]:
    """Target ranges that lie inside one tile each, ``halo`` source pixels away from its inner edges."""
    spans = []
    for start in range(0, size, tile):
        end = min(start + tile, size)
        first = math.ceil((start + (halo if start else 0)) / ratio)
        last = math.floor((end - (halo if end < size else 0)) / ratio)
        if last > first:
            spans.append((first, last))
    return spans


def _within(spans: list[tuple[int, int]], start: int, end: int) -> list[tuple[int, int]]:
    """Parts of the spans from start to end, counted from there; all of it where no span reaches into it."""
    cut = [(max(first, start) - start, min(last, end) - start) for first, last in spans]
    return [(first, last) for first, last in cut if first < last] or [(0, end - start)]


def _positions(window: Window, width: int) -> np.ndarray:
    rows = np.arange(window.row, window.row_end, dtype=np.uint64)[:, np.newaxis] * np.uint64(width)
    return rows + np.arange(window.col, window.col_end, dtype=np.uint64)


def _lowest(priority: np.ndarray, values: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The ``count`` values of lowest priority, in no order."""
    if len(priority) <= count:
        return priority, values
    chosen = np.argpartition(priority, count - 1)[:count]
    return priority[chosen], values[chosen]


def band_seed(seed: int, key: SceneKey, channel: Channel) -> int:
    """Return the 64-bit seed of a band of a scene."""
    return text_seed(f"{seed}/{key}/{channel}")
