"""Progress: a bar on a terminal, plain log lines elsewhere, nothing when quiet."""

from __future__ import annotations

import logging
import sys
from types import TracebackType
from typing import Any

log = logging.getLogger("s2pipe.progress")


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
