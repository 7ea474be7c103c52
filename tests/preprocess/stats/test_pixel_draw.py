"""Drawing pixels: exact, uniform, independent of windows and order."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from s2pipe.dataset.scene_key import SceneKey
from s2pipe.preprocess.stats.pixel_draw import DrawPool, PixelDraw, band_seed, mix
from s2pipe.raster.grid import Grid
from s2pipe.sentinel2.channels import Channel

KEY = SceneKey("T33UWQ", "2025-12-10T10:03:19Z")


def _draw(dn: np.ndarray, size: int, rows: int, seed: int = 0) -> list[np.ndarray]:
    channels = (Channel.l1c("B02"), Channel.l1c("B03"))
    pool = DrawPool(PixelDraw(size, tuple(band_seed(seed, KEY, channel) for channel in channels)))
    grid = Grid("", (0.0, 1.0, 0.0, 0.0, 0.0, -1.0), dn.shape[1:])
    for window in grid.block_windows(rows, grid.width):
        pool.add(window, grid.width, np.ascontiguousarray(dn[:, window.row : window.row_end]))
    return [np.sort(values) for values in pool.drawn()]


@settings(deadline=None)
@given(st.integers(1, 700), st.integers(1, 40))
def test_the_draw_does_not_depend_on_windows(size: int, rows: int) -> None:
    dn = np.arange(2 * 30 * 20, dtype=np.float32).reshape(2, 30, 20) % 97
    whole, parts = _draw(dn, size, 30), _draw(dn, size, rows)
    valid = (dn != 0).sum(axis=(1, 2))
    for band, (one, other) in enumerate(zip(whole, parts, strict=True)):
        assert np.array_equal(one, other)
        assert len(one) == min(size, valid[band])
        assert (one != 0).all()


def test_seed_scene_and_band_decide_the_draw() -> None:
    dn = np.arange(1, 2 * 3000 + 1, dtype=np.float32).reshape(2, 60, 50)
    first, second = _draw(dn, 100, 60)
    assert not np.array_equal(first, second - 3000)
    assert not np.array_equal(first, _draw(dn, 100, 60, seed=1)[0])
    assert np.array_equal(first, _draw(dn, 100, 60)[0])


def test_the_draw_is_uniform() -> None:
    dn = np.arange(1, 100_001, dtype=np.float32).reshape(1, 250, 400).repeat(2, axis=0)
    drawn = _draw(dn, 20_000, 64)[0]
    by_tenth = np.histogram(drawn, bins=10, range=(1, 100_001))[0]
    assert np.abs(by_tenth - 2000).max() < 5 * np.sqrt(2000)


def test_priorities_are_one_to_one() -> None:
    values = np.arange(1 << 16, dtype=np.uint64) << np.uint64(20)
    assert len(np.unique(mix(values))) == len(values)
