"""Drawing pixels for statistics: the same pixels whatever the order, the windows or the number of workers."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from s2pipe.draws import mix, text_seed
from s2pipe.manifest import SceneKey
from s2pipe.preprocess.cfg import PreprocessConfig
from s2pipe.raster.grid import Window


class PixelSampler:
    """Draws up to ``size`` valid pixels a band, uniformly and without replacement.

    Every pixel has a priority that only depends on the seed, the scene, the band and its position (a bijective
    64-bit hash, so that no two are equal); the ``size`` valid pixels with the lowest priorities are drawn.

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
    def of(cls, key: SceneKey, config: PreprocessConfig) -> PixelSampler | None:
        """Make the sampler of a scene, or None when all pixels count."""
        size = config.normalize.max_pixels_per_scene
        if size is None:
            return None
        seeds = [band_seed(config.normalize.seed, key, band) for band in config.l1c_bands]
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
        rows = np.arange(window.row, window.row_end, dtype=np.uint64)[:, np.newaxis] * np.uint64(width)
        position = rows + np.arange(window.col, window.col_end, dtype=np.uint64)
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
            lowest = np.argpartition(priority, self._size - 1)[: self._size]
            priority, values = priority[lowest], values[lowest]
            self._limits[band] = priority.max()
        self._kept[band] = [(priority, values)]


def band_seed(seed: int, key: SceneKey, band: str) -> int:
    """Return the 64-bit seed of a band of a scene."""
    return text_seed(f"{seed}/{key.tile_id}/{key.sensing_start_utc}/{band}")
