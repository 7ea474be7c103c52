"""Drawing pixels for statistics: the same pixels whatever the order, the windows or the number of workers.

Every pixel has a priority that only depends on the seed, the scene, the band and its position (a bijective 64-bit
hash, so that no two are equal); the valid pixels with the lowest priorities are drawn, from the whole scene or from
a few blocks of it.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING

import numpy as np

from s2pipe.preprocess.pixels.blocks import BandReader, scene_windows
from s2pipe.preprocess.pixels.dn import core_count, open_bands
from s2pipe.preprocess.pixels.sources import nesting_factor
from s2pipe.raster.grid import Grid, Window
from s2pipe.runtime.draws import mix, text_seed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from s2pipe.dataset.step1_index import SceneKey
    from s2pipe.preprocess.cfg import PreprocessConfig
    from s2pipe.preprocess.plan import BandInput, ScenePlan

BLOCK_SHARE = 1 / 6
"""Largest part of a block's pixels that is drawn: a smaller part means more blocks, which represent the scene better,
and more to decode."""
MIN_BLOCKS = 10
"""Blocks that are drawn from at least, however few pixels are wanted."""
_HALO_PX = 4
_FALLBACK_BLOCK_PX = 512


class PixelSampler:
    """Draws up to ``size`` valid pixels a band, uniformly and without replacement.

    Parameters
    ----------
    size : int
        Pixels to draw from each band.
    seeds : ndarray, uint64 (band)
        One seed a band.
    """

    def __init__(self, size: int, seeds: np.ndarray) -> None:
        self._size = size
        self._seeds = seeds
        self._limits = np.full(len(seeds), np.iinfo(np.uint64).max, np.uint64)
        self._kept: list[list[tuple[np.ndarray, np.ndarray]]] = [[] for _ in seeds]

    @classmethod
    def of(cls, key: SceneKey, config: PreprocessConfig) -> PixelSampler:
        """Make the sampler of a scene."""
        size = config.normalize.max_pixels_per_scene
        assert size is not None
        seeds = [band_seed(config.normalize.seed, key, band) for band in config.band_names]
        return cls(size, np.array(seeds, np.uint64))

    def add(self, window: Window, width: int, dn: np.ndarray) -> None:
        """Offer the pixels of a window.

        Parameters
        ----------
        window : Window
            Where the pixels lie.
        width : int
            Columns of the whole grid.
        dn : ndarray, float32 (band, y, x)
            DN; 0 is not valid.
        """
        position = _positions(window, width)
        for band, seed in enumerate(self._seeds):
            priority = mix(position ^ seed)
            keep = (dn[band] != 0) & (priority <= self._limits[band])
            self._kept[band].append((priority[keep], dn[band][keep]))
            if sum(len(part) for part, _ in self._kept[band]) > 2 * self._size:
                self._shrink(band)

    def drawn(self) -> Iterator[np.ndarray]:
        """Yield the drawn DN of each band, float32 (n)."""
        for band in range(len(self._seeds)):
            self._shrink(band)
            yield np.ascontiguousarray(self._kept[band][0][1])

    def _shrink(self, band: int) -> None:
        parts = self._kept[band] or [(np.empty(0, np.uint64), np.empty(0, np.float32))]
        priority, values = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        if len(priority) > self._size:
            priority, values = _lowest(priority, values, self._size)
            self._limits[band] = priority.max()
        self._kept[band] = [(priority, values)]


def draw_from_blocks(plan: ScenePlan, config: PreprocessConfig) -> list[np.ndarray]:
    """Draw up to ``max_pixels_per_scene`` valid pixels a band while decoding few blocks.

    A block is what one JPEG 2000 tile of the band covers of the target grid. Blocks come in an order that the seed
    decides and that spreads them over the scene; each gives the same number of pixels, until there are enough. A
    scene with so little valid ground that all blocks together do not suffice is drawn from pixel by pixel instead.

    Returns
    -------
    list of ndarray
        Drawn DN of each band, float32 (n).
    """
    size = config.normalize.max_pixels_per_scene
    assert size is not None
    with ExitStack() as stack:
        readers: list[BandReader] = [*open_bands(plan, config, stack)]
        if plan.ground is not None:
            readers = [plan.ground.masked(reader) for reader in readers]

        def draw(number: int) -> np.ndarray:
            band = plan.bands[number]
            seed = band_seed(config.normalize.seed, plan.key, band.name)
            return _draw_band(readers[number], tile_blocks(band, plan.target), plan.target, size, seed)

        with ThreadPoolExecutor(core_count(config.num_workers), "s2pipe-draw") as pool:
            return list(pool.map(draw, range(len(readers))))


def _draw_band(reader: BandReader, blocks: list[Window], target: Grid, size: int, seed: int) -> np.ndarray:
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
    sampler = PixelSampler(size, np.array([seed], np.uint64))
    for window in scene_windows(target):
        out = np.empty(window.shape_yx, np.float32)
        reader.read(window, out)
        sampler.add(window, target.width, out[np.newaxis])
    return next(sampler.drawn())


def spread_order(blocks: list[Window], target: Grid, seed: int) -> list[int]:
    """Order blocks so that the first few of them are spread over the grid, whatever their number.

    Points of the R2 sequence (M. Roberts, 2018: multiples of the inverse plastic number), shifted by the seed, name
    the block that they fall into; blocks that none of many points hits come last.
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


def tile_blocks(band: BandInput, target: Grid) -> list[Window]:
    """Windows of the target grid that each need one JPEG 2000 tile of the band and no other.

    Methods that look at neighbouring source pixels keep a distance from the tile's edges.
    """
    source, (tile_rows, tile_cols) = band.raster.grid, band.raster.block_yx
    finer, coarser = nesting_factor(source, target), nesting_factor(target, source)
    if not (finer or coarser):
        return target.block_windows(_FALLBACK_BLOCK_PX, _FALLBACK_BLOCK_PX)
    ratio = finer or 1 / coarser
    halo = 0 if band.method in (None, "average") else math.ceil(_HALO_PX * max(1, ratio))
    rows = _spans(source.height, tile_rows, halo, ratio)
    cols = _spans(source.width, tile_cols, halo, ratio)
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


def _positions(window: Window, width: int) -> np.ndarray:
    rows = np.arange(window.row, window.row_end, dtype=np.uint64)[:, np.newaxis] * np.uint64(width)
    return rows + np.arange(window.col, window.col_end, dtype=np.uint64)


def _lowest(priority: np.ndarray, values: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The ``count`` values of lowest priority, in no order."""
    if len(priority) <= count:
        return priority, values
    chosen = np.argpartition(priority, count - 1)[:count]
    return priority[chosen], values[chosen]


def band_seed(seed: int, key: SceneKey, band: str) -> int:
    """Return the 64-bit seed of a band of a scene."""
    return text_seed(f"{seed}/{key.tile_id}/{key.sensing_start_utc}/{band}")
