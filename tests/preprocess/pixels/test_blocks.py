"""The stream of windows: order, bounds, errors, clean stop."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s2pipe.preprocess.pixels.blocks import Background, stream_windows
from s2pipe.raster.grid import Window

WINDOWS = [Window(row, 0, 3, 5) for row in range(0, 60, 3)]


class Ramp:
    """A reader whose pixels say which band and row they are of."""

    cost = 1

    def __init__(self, band: int) -> None:
        self.band = band
        self.reads = 0
        self._user: int | None = None

    def read(self, window: Window, out: np.ndarray) -> None:
        assert self._user is None, "two threads use one reader"
        self._user = threading.get_ident()
        out[...] = 1000 * self.band + np.arange(window.row, window.row_end)[:, None]
        self.reads += 1
        self._user = None


class Broken(Ramp):
    def read(self, window: Window, out: np.ndarray) -> None:
        if window.row >= 30:
            msg = "bad tile"
            raise OSError(msg)
        super().read(window, out)


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 5), st.integers(1, 6), st.integers(1, 7))
def test_windows_arrive_in_order_with_the_right_pixels(bands: int, workers: int, look_ahead: int) -> None:
    readers = [Ramp(band) for band in range(bands)]
    seen = []
    for window, dn in stream_windows(readers, WINDOWS, workers=workers, look_ahead=look_ahead):
        seen.append(window)
        expected = 1000 * np.arange(bands)[:, None, None] + np.arange(window.row, window.row_end)[:, None]
        assert np.array_equal(dn, np.broadcast_to(expected, (bands, 3, 5)))
    assert seen == WINDOWS
    assert all(reader.reads == len(WINDOWS) for reader in readers)


def test_an_error_of_a_reader_is_raised_and_the_threads_end() -> None:
    before = threading.active_count()
    windows = []
    with pytest.raises(OSError, match="bad tile"):
        for window, _ in stream_windows([Ramp(0), Broken(1)], WINDOWS, workers=2, look_ahead=3):
            windows.append(window)
    assert all(window.row < 30 for window in windows)
    assert threading.active_count() == before


def test_leaving_early_ends_the_threads() -> None:
    before = threading.active_count()
    stream = stream_windows([Ramp(0), Ramp(1)], WINDOWS, workers=2, look_ahead=2)
    next(stream)
    stream.close()
    assert threading.active_count() == before


def test_reading_ahead_is_bounded() -> None:
    reader = Ramp(0)
    stream = stream_windows([reader], WINDOWS, workers=1, look_ahead=4)
    next(stream)
    threading.Event().wait(0.2)
    assert reader.reads <= 4
    stream.close()


def test_other_pixel_types_are_streamed_too() -> None:
    for _, dn in stream_windows([Ramp(0)], WINDOWS, workers=1, look_ahead=1, dtype="uint8"):
        assert dn.dtype == np.uint8


def test_background_raises_the_error_of_a_job() -> None:
    background = Background()
    done = []
    background.submit(lambda: done.append(1))
    background.submit(lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        background.close()
    background.close()
    assert done == [1]
