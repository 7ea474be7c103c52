"""Embed s2kernels in a raster tool of your own: two passes over tiles, with nothing but NumPy around them.

The "raster" is a NumPy array cut into windows; put your own reader and writer in the places of `windows` and
`normalized[...] =`.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np

from s2kernels import (
    HistogramAccumulator,
    HistogramSpec,
    Normalization,
    Radiometry,
    reflectance_standardize,
    warm_up,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

BANDS, HEIGHT, WIDTH, TILE = 3, 700, 900, 256


def windows() -> Iterator[tuple[slice, slice]]:
    """Tiles in row order; those at the edges are smaller."""
    for top in range(0, HEIGHT, TILE):
        for left in range(0, WIDTH, TILE):
            yield slice(top, min(top + TILE, HEIGHT)), slice(left, min(left + TILE, WIDTH))


def main() -> None:
    """Run both passes over tiles of made-up DN."""
    # Kernels compile in the background while your tool opens its files.
    warming = threading.Thread(target=warm_up, args=(["reflectance_histogram", "reflectance_standardize"],))
    warming.start()

    rng = np.random.default_rng(0)
    raster = rng.normal(3000, 900, (BANDS, HEIGHT, WIDTH)).clip(1, 65535).astype(np.uint16)
    raster[:, :200, :300] = 0  # nodata
    radiometry = Radiometry(offset=[-1000.0] * BANDS, quantification=[10000.0] * BANDS)
    warming.join()

    spec = HistogramSpec.from_range(-0.1, 1.2, 1e-4)
    accumulator = HistogramAccumulator(spec, radiometry)
    for y, x in windows():
        accumulator.add(raster[:, y, x].astype(np.float32, order="C"))
    counts = accumulator.result().counts

    pixels = counts.sum(axis=1)
    mean = (counts * spec.centres).sum(axis=1) / pixels
    std = np.sqrt((counts * (spec.centres - mean[:, None]) ** 2).sum(axis=1) / pixels)
    normalization = Normalization(low=[-0.1] * BANDS, high=[1.2] * BANDS, mean=mean, std=std)

    normalized = np.empty((BANDS + 1, HEIGHT, WIDTH), np.float32)
    for y, x in windows():
        dn = raster[:, y, x].astype(np.float32, order="C")
        block = np.empty((BANDS + 1, *dn.shape[1:]), np.float32)
        reflectance_standardize(dn, radiometry, normalization, block[:BANDS], block[BANDS:])
        normalized[:, y, x] = block

    valid = normalized[BANDS] == 1
    print(f"valid: {valid.mean():.1%} of the pixels")
    for band in range(BANDS):
        values = normalized[band][valid].astype(np.float64)
        print(f"band {band}: mean {values.mean():.2f}, standard deviation {values.std():.2f}")


if __name__ == "__main__":
    main()
