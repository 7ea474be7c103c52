"""Progress: a bar on a terminal, plain log lines elsewhere, nothing when quiet."""

from __future__ import annotations

import logging
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import TracebackType

log = logging.getLogger("s2pipe.runtime.progress")


class Progress:
    """Counts finished items of a known number.

    Parameters
    ----------
    what : str
        What is counted, e.g. ``scenes``.
    total : int
        How many there are.
    """

    def __init__(self, what: str, total: int) -> None:
        self._what = what
        self._total = total
        self._count = 0
        self._bar: Any = None
        if total > 0 and sys.stderr.isatty() and log.isEnabledFor(logging.INFO):
            from tqdm import tqdm

            self._bar = tqdm(total=total, unit=what.rstrip("s"), desc=what, file=sys.stderr)

    def step(self, item: str) -> None:
        """Count one item."""
        self._count += 1
        if self._bar is not None:
            self._bar.set_postfix_str(item, refresh=False)
            self._bar.update(1)
        else:
            log.info("%s %d/%d: %s", self._what, self._count, self._total, item)

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()


class ByteProgress:
    """Shows bytes, files, rate and what remains, over all files of a transfer; safe to use from threads.

    Parameters
    ----------
    total : int
        Bytes of all files; 0 when unknown.
    files : int
        Number of files.
    every_s : float
        Seconds between two log lines where there is no terminal.
    """

    def __init__(self, total: int, files: int, every_s: float = 15.0) -> None:
        self._total = total
        self._files = files
        self._every = every_s
        self._done = 0
        self._done_files = 0
        self._started = self._said = time.monotonic()
        self._lock = threading.Lock()
        self._bar: Any = None
        if files > 0 and sys.stderr.isatty() and log.isEnabledFor(logging.INFO):
            from tqdm import tqdm

            self._bar = tqdm(
                total=total or None, unit="B", unit_scale=True, desc=f"0/{files} files", file=sys.stderr
            )

    def add(self, count: int) -> None:
        """Count bytes; negative when some have to come again."""
        with self._lock:
            self._done += count
            if self._bar is not None:
                self._bar.update(count)
            elif time.monotonic() - self._said >= self._every:
                self._said = time.monotonic()
                log.info("%s", self.text())

    def file_done(self) -> None:
        """Count a finished file."""
        with self._lock:
            self._done_files += 1
            if self._bar is not None:
                self._bar.set_description_str(f"{self._done_files}/{self._files} files", refresh=False)

    def text(self) -> str:
        """Return the state as one line."""
        seconds = max(time.monotonic() - self._started, 1e-3)
        rate = self._done / seconds
        text = (
            f"{self._done_files} of {self._files} files, {size_text(self._done)} of {size_text(self._total)}"
        )
        text += f", {size_text(rate)}/s"
        if rate > 0 and self._total > self._done:
            text += f", {duration_text((self._total - self._done) / rate)} left"
        return text

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()


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
