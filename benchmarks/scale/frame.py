"""Rows of the table: what is measured, and the process that measures one of them."""

from __future__ import annotations

import importlib
import re
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

MODULES = ("benchmarks.scale.index_rows", "benchmarks.scale.finished_rows", "benchmarks.scale.patch_rows")
"""Modules that register rows, in the order of the table."""


@dataclass
class Measure:
    """What one run of a row found."""

    data: Path
    """Directory of the datasets of all sizes."""
    size: int
    """Scenes."""
    seconds: float = 0.0
    """Time of what is measured, without making the dataset."""
    megabytes: float = 0.0
    """Greatest memory of the process beyond what it had when the clock was started."""
    notes: dict[str, object] = field(default_factory=dict)
    """What else is worth telling."""

    @contextmanager
    def clock(self) -> Iterator[None]:
        """Measure the block; a row may have several, whose times are added."""
        before, start = _resident("VmRSS"), time.perf_counter()
        try:
            yield
        finally:
            self.seconds += time.perf_counter() - start
            self.megabytes = max(self.megabytes, _resident("VmHWM") - before)


@dataclass(frozen=True)
class Row:
    """One row of the table."""

    name: str
    """What is measured."""
    seconds: float
    """Target at 100,000 scenes."""
    megabytes: float | None
    """Target of memory there; None where there is none."""
    run: Callable[[Measure], None]
    """Measures it."""
    largest: int | None = None
    """Largest size that is measured; None for all."""


_ROWS: list[Row] = []


def row(
    name: str, *, seconds: float, megabytes: float | None = None, largest: int | None = None
) -> Callable[[Callable[[Measure], None]], Callable[[Measure], None]]:
    """Register a function as a row of the table."""

    def register(run: Callable[[Measure], None]) -> Callable[[Measure], None]:
        _ROWS.append(Row(name, seconds, megabytes, run, largest))
        return run

    return register


def rows() -> list[Row]:
    """All rows in their order."""
    for module in MODULES:
        importlib.import_module(module)
    return list(_ROWS)


def _resident(name: str) -> float:
    """Memory of this process in MB: now (``VmRSS``), or at most so far (``VmHWM``)."""
    try:
        text = Path("/proc/self/status").read_text(encoding="utf-8")
    except OSError:
        return 0.0
    found = re.search(rf"{name}:\s*(\d+)", text)
    return int(found[1]) / 1024 if found else 0.0
