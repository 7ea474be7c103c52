"""Progress: a bar on a terminal, plain log lines elsewhere, and a callback for programs.

What a run does counts here. Who shows it is decided outside: the command line asks for a bar on a terminal
(:class:`TerminalHandler`), Python for a callback or a bar (:func:`watch_progress`).
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from types import TracebackType

log = logging.getLogger("s2pipe.runtime.progress")

_REDRAW_S = 0.1
_SAY_S = 15.0
"""Seconds between two log lines where there is no bar."""
_SCALE = 10_000
"""Steps of a bar."""


@dataclass(frozen=True)
class ProgressState:
    """How far a run is."""

    what: str
    """What is counted: scenes, samples, shards or files."""
    done: int
    """How many are finished."""
    total: int
    """How many there are."""
    fraction: float
    """Finished part of the whole, 0 to 1, which grows within scenes and files too."""
    seconds: float
    """Time since the start."""
    seconds_left: float | None
    """Expected time to the end of all; None when nothing is known yet."""
    bytes_done: int
    """Bytes transferred, hashed, or decoded so far."""
    bytes_per_second: float
    """Mean rate of these."""
    rows_done: int = 0
    """Rows of target grids that are finished, over all scenes; 0 where no rows are counted."""
    rows_total: int = 0
    """Rows of all scenes."""
    item: str = ""
    """The last one that was finished."""

    def to_document(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        parts = [f"{self.what} {self.done}/{self.total}"]
        if self.rows_total:
            parts.append(f"{self.rows_done}/{self.rows_total} rows")
        elif self.bytes_done:
            parts.append(size_text(self.bytes_done))
        if self.bytes_done:
            parts.append(f"{size_text(self.bytes_per_second)}/s")
        if self.seconds_left is not None and self.done < self.total:
            parts.append(f"{duration_text(self.seconds_left)} left")
        return ", ".join(parts)


Watcher = Callable[[ProgressState], None]
_WATCHER: ContextVar[Watcher | None] = ContextVar("watcher", default=None)
_SHOWN: ContextVar[TextIO | None] = ContextVar("shown", default=None)
_CURRENT: ContextVar[Progress | None] = ContextVar("current", default=None)


@contextmanager
def watch_progress(callback: Watcher | None = None) -> Iterator[None]:
    """Show the progress of what runs inside, whichever step it is.

    Parameters
    ----------
    callback : callable, optional
        Called with a :class:`ProgressState` about ten times a second while there is progress, and whenever a scene,
        sample, shard or file is finished; from other threads too, one call at a time. Without it, a bar is drawn on
        stderr.
    """
    place: ContextVar[Any] = _SHOWN if callback is None else _WATCHER
    token = place.set(sys.stderr if callback is None else callback)
    try:
        yield
    finally:
        place.reset(token)


def advance(rows: int, nbytes: int) -> None:
    """Count rows of the scene at hand, for the run in whose thread this is called, if there is one."""
    current = _CURRENT.get()
    if current is not None:
        current.advance(rows, nbytes)


class TerminalHandler(logging.StreamHandler[TextIO]):
    """Writes log lines to a terminal, above the bar if there is one."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        if not _BARS:
            super().emit(record)
            return
        from tqdm import tqdm

        try:
            tqdm.write(self.format(record), file=self.stream)
        except (OSError, ValueError):  # the terminal is gone
            self.handleError(record)


_BARS: set[int] = set()
"""Bars that are on the screen now."""


def _bar_stream() -> TextIO | None:
    """Return where a bar is to be drawn, or None."""
    shown = _SHOWN.get()
    if shown is not None:
        return shown
    handlers = logging.getLogger("s2pipe").handlers
    is_wanted = log.isEnabledFor(logging.INFO) and any(isinstance(h, TerminalHandler) for h in handlers)
    return sys.stderr if is_wanted else None


class _Meter:
    """Counts, and tells a bar, a watcher or the log; safe to use from threads."""

    def __init__(self, what: str, total: int) -> None:
        self._what = what
        self._total = total
        self._done = 0
        self._bytes = 0
        self._item = ""
        self._started = self._said = time.monotonic()
        self._drawn = 0.0
        self._lock = threading.RLock()
        self._watcher = _WATCHER.get()
        self._bar: Any = None
        stream = _bar_stream() if total > 0 else None
        if stream is not None:
            from tqdm import tqdm

            layout = "{desc} {percentage:3.0f}% |{bar}| {unit}"
            self._bar = tqdm(total=_SCALE, file=stream, bar_format=layout, dynamic_ncols=True, desc=what)
            _BARS.add(id(self._bar))
            self._draw()

    @property
    def state(self) -> ProgressState:
        """How far this is."""
        seconds = max(time.monotonic() - self._started, 1e-3)
        fraction, left = self._reached(seconds)
        rows, rows_total = self._rows_reached()
        is_over = self._done >= self._total
        return ProgressState(
            self._what,
            self._done,
            self._total,
            1.0 if is_over else fraction,
            seconds,
            0.0 if is_over else left,
            self._bytes,
            self._bytes / seconds,
            rows_total if is_over else rows,
            rows_total,
            self._item,
        )

    def _reached(self, seconds: float) -> tuple[float, float | None]:
        """Return the share of the work that is done, and the seconds that the rest will take."""
        fraction = self._done / self._total if self._total else 1.0
        return fraction, seconds / self._done * (self._total - self._done) if self._done else None

    def _rows_reached(self) -> tuple[int, int]:
        """Return how many rows are done, and of how many."""
        return 0, 0

    def close(self) -> None:
        """Leave the bar as it is, and go on below it."""
        with self._lock:
            if self._bar is not None:
                self._draw()
                self._bar.close()
                _BARS.discard(id(self._bar))
                self._bar = None

    def _changed(self, *, is_item: bool = False) -> None:
        """Tell whoever wants to know. The caller holds the lock."""
        now = time.monotonic()
        if is_item or now - self._drawn >= _REDRAW_S:
            self._drawn = now
            if self._bar is not None:
                self._draw()
            if self._watcher is not None:
                self._watcher(self.state)
        if self._bar is None and not is_item and now - self._said >= _SAY_S:
            self._say()

    def _say(self) -> None:
        self._said = time.monotonic()
        state = self.state
        log.info("%s", state, extra={"progress": state.to_document()})

    def _draw(self) -> None:
        state = self.state
        name, _, rest = str(state).partition(", ")
        self._bar.n = round(_SCALE * state.fraction)
        self._bar.set_description_str(name, refresh=False)
        self._bar.unit = rest
        self._bar.refresh()


class Progress(_Meter):
    """Counts finished items of a known number, and what is done of the one at hand.

    Parameters
    ----------
    what : str
        What is counted, e.g. ``scenes``.
    total : int
        How many there are.
    rows : mapping, optional
        Rows of each item by its name, so that progress shows within items (see :func:`advance`).
    """

    def __init__(self, what: str, total: int, rows: Mapping[str, int] | None = None) -> None:
        self._rows = rows or {}
        self._rows_total = sum(self._rows.values())
        self._rows_done = 0
        self._rows_at_hand = 0
        self._rows_worked = 0
        self._token: Any = None
        super().__init__(what, total)

    def _reached(self, seconds: float) -> tuple[float, float | None]:
        rows, total = self._rows_reached()
        if not total:
            return super()._reached(seconds)
        # What needed no work says nothing about what is left.
        rate = (self._rows_worked or rows) / seconds
        return rows / total, (total - rows) / rate if rate else None

    def _rows_reached(self) -> tuple[int, int]:
        return min(self._rows_done + self._rows_at_hand, self._rows_total), self._rows_total

    def advance(self, rows: int, nbytes: int) -> None:
        """Count rows of the item at hand, and the bytes that were decoded for them."""
        with self._lock:
            self._rows_at_hand += rows
            self._rows_worked += rows
            self._bytes += nbytes
            self._changed()

    def step(self, item: str) -> None:
        """Count one item as finished."""
        with self._lock:
            self._done += 1
            self._item = item
            self._rows_done += self._rows.get(item, 0)
            self._rows_at_hand = 0
            self._changed(is_item=True)
            if self._bar is None:
                state = self.state
                extra = {"progress": state.to_document()}
                log.info("%s %d/%d: %s", self._what, self._done, self._total, item, extra=extra)

    def __enter__(self) -> Progress:
        self._token = _CURRENT.set(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _CURRENT.reset(self._token)
        self.close()


class ByteProgress(_Meter):
    """Counts bytes and files of a transfer.

    Parameters
    ----------
    total : int
        Bytes of all files; 0 when unknown.
    files : int
        Number of files.
    """

    def __init__(self, total: int, files: int) -> None:
        self._bytes_total = total
        super().__init__("files", files)

    def _reached(self, seconds: float) -> tuple[float, float | None]:
        if not self._bytes_total:
            return super()._reached(seconds)
        left = max(0, self._bytes_total - self._bytes)
        fraction = min(1.0, max(0.0, self._bytes / self._bytes_total))
        return fraction, left * seconds / self._bytes if self._bytes > 0 else None

    def add(self, count: int) -> None:
        """Count bytes; negative when some have to come again."""
        with self._lock:
            self._bytes += count
            self._changed()

    def file_done(self) -> None:
        """Count a finished file."""
        with self._lock:
            self._done += 1
            self._changed(is_item=True)

    def text(self) -> str:
        """Return the state as one line."""
        state = self.state
        text = f"{state.done} of {state.total} files, {size_text(state.bytes_done)} of {size_text(self._bytes_total)}"
        text += f", {size_text(state.bytes_per_second)}/s"
        if state.seconds_left:
            text += f", {duration_text(state.seconds_left)} left"
        return text


def size_text(count: float) -> str:
    """Write bytes for people: ``1.6 GB``."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(count) < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def duration_text(seconds: float) -> str:
    """Write a duration for people: ``45 s``, ``12 min``, ``3 h 20 min``."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
