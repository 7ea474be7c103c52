"""The stream of block windows: bands are read ahead by threads, in a bounded number of buffers.

Both passes are this stream with another sink. Windows depend on the grid alone, never on the number of
threads, so that results do not either.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Protocol

import numpy as np

from s2pipe.raster.writer import TILE_PX

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from s2pipe.raster.grid import Grid, TargetGrid, Window

_WINDOW_PIXELS = 3_000_000
"""About this many pixels per window: 12 MB of float32 per band. Full-width rows let a window use whole rows of
JPEG 2000 tiles, so that no tile is decoded twice."""


class BandReader(Protocol):
    """Whatever fills a window of one band on the target grid."""

    cost: int
    """Relative cost of reading: of the bands that are furthest behind, the most costly is read first."""

    def read(self, window: Window, out: np.ndarray) -> None:
        """Fill ``out``, of shape (window.height, window.width)."""


class TargetReader:
    """A reader of one band on the reference grid that takes windows of the target grid.

    Parameters
    ----------
    reader : BandReader
        Reads windows of the reference grid.
    target : TargetGrid
        Target grid.
    """

    def __init__(self, reader: BandReader, target: TargetGrid) -> None:
        self.cost = reader.cost
        self._reader = reader
        self._target = target

    def read(self, window: Window, out: np.ndarray) -> None:
        """Fill ``out``, of shape (window.height, window.width)."""
        self._reader.read(self._target.in_reference(window), out)


def scene_windows(grid: Grid, tile_px: int = TILE_PX) -> list[Window]:
    """Cover a grid with full-width windows whose height is a multiple of the output's tile size."""
    rows = max(1, _WINDOW_PIXELS // max(1, grid.width) // tile_px) * tile_px
    return grid.block_windows(rows, grid.width)


def stream_windows(
    readers: Sequence[BandReader],
    windows: Sequence[Window],
    *,
    workers: int,
    look_ahead: int,
    dtype: str = "float32",
) -> Generator[tuple[Window, np.ndarray], None, None]:
    """Yield every window with its pixels, in order, while the next ones are being read.

    Parameters
    ----------
    readers : sequence of BandReader
        One per band; each is used by one thread at a time.
    windows : sequence of Window
        What to read, in order.
    workers : int
        Reading threads.
    look_ahead : int
        Windows in memory at once, at least 1.
    dtype : str
        NumPy name of the pixel type.

    Yields
    ------
    (Window, ndarray)
        Pixels (band, y, x), C-contiguous; overwritten when the next window is asked for.

    Raises
    ------
    Exception
        The first error of a reader, in the thread that iterates.
    """
    stream = _Stream(readers, windows, max(1, look_ahead), dtype)
    count = max(1, min(workers, len(readers)))
    threads = [
        threading.Thread(target=stream.work, name=f"s2pipe-read-{i}", daemon=True) for i in range(count)
    ]
    for thread in threads:
        thread.start()
    try:
        for index, window in enumerate(windows):
            stream.wait_for(index)
            yield window, stream.buffer(index)
            stream.release(index)
    finally:
        stream.stop()
        for thread in threads:
            thread.join()


class _Stream:
    """Shared state of the reading threads and the one consumer."""

    def __init__(
        self, readers: Sequence[BandReader], windows: Sequence[Window], look_ahead: int, dtype: str
    ) -> None:
        self._readers = readers
        self._windows = windows
        self._look_ahead = min(look_ahead, max(1, len(windows)))
        size = max((w.height * w.width for w in windows), default=0)
        self._buffers = np.empty((self._look_ahead, len(readers) * size), dtype)
        self._next = [0] * len(readers)
        self._busy = [False] * len(readers)
        self._missing = [len(readers)] * len(windows)
        self._released = 0
        self._error: BaseException | None = None
        self._stopped = False
        self._changed = threading.Condition()

    def buffer(self, index: int) -> np.ndarray:
        """The (band, y, x) array of a window."""
        height, width = self._windows[index].shape_yx
        bands = len(self._readers)
        return self._buffers[index % self._look_ahead, : bands * height * width].reshape(bands, height, width)

    def wait_for(self, index: int) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._error is not None or self._missing[index] == 0)
            if self._error is not None:
                raise self._error

    def release(self, index: int) -> None:
        with self._changed:
            self._released = index + 1
            self._changed.notify_all()

    def stop(self) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def work(self) -> None:
        """Read one (band, window) after another, the band that is furthest behind first."""
        while (band := self._claim()) is not None:
            index = self._next[band]
            try:
                self._readers[band].read(self._windows[index], self.buffer(index)[band])
            except BaseException as error:  # noqa: BLE001 - handed to the consumer, which raises it
                with self._changed:
                    self._error = self._error or error
                    self._stopped = True
                    self._changed.notify_all()
                return
            with self._changed:
                self._next[band] += 1
                self._busy[band] = False
                self._missing[index] -= 1
                self._changed.notify_all()

    def _claim(self) -> int | None:
        with self._changed:
            while True:
                if self._stopped or min(self._next) >= len(self._windows):
                    return None
                limit = min(self._released + self._look_ahead, len(self._windows))
                ready = [b for b in range(len(self._readers)) if not self._busy[b] and self._next[b] < limit]
                if ready:
                    # The most costly first, so that the last tasks of a scene are short and threads end together.
                    band = min(ready, key=lambda b: (self._next[b], -self._readers[b].cost))
                    self._busy[band] = True
                    return band
                self._changed.wait()


class Background:
    """Runs one job at a time in a thread, so that writing overlaps with reading and kernels.

    ``submit`` waits for the job before it; an error of a job is raised by the next ``submit`` or by ``close``.
    """

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None

    def submit(self, job: Callable[[], None]) -> None:
        """Start ``job`` when the one before it is done."""
        self.close()

        def run() -> None:
            try:
                job()
            except BaseException as error:  # noqa: BLE001 - raised in the thread that waits for it
                self._error = error

        self._thread = threading.Thread(target=run, name="s2pipe-write", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Wait for the running job and raise its error, if any."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if self._error is not None:
            error, self._error = self._error, None
            raise error
