"""What happened in each fault, and the table of it."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

SIZES = {"full": 1.0, "small": 0.12}
SIZE = os.environ.get("FAULTS", "full")
SEED = os.environ.get("FAULTS_SEED", "1")
TABLE = os.environ.get("FAULTS_TABLE")
"""File that the table is written to; printed in any case."""

UNHARMED = "at once"
"""The same bytes as undisturbed at once: the fault reached no output, or the run repaired what it met."""
RERUN = "after a rerun"
"""The same bytes after the same command was run again."""
REPORTED = "reported, cured"
"""A documented error; the same bytes after its cure."""
REFUSED = "refused"
"""A documented error about a hostile file, which has no cure."""
OUTCOMES = (UNHARMED, RERUN, REPORTED, REFUSED)


def numbers(full: int) -> range:
    """Numbers of the faults of a group; `FAULTS=small` takes some of each."""
    if SIZE not in SIZES:
        msg = f"FAULTS={SIZE!r}: expected one of {', '.join(SIZES)}"
        raise ValueError(msg)
    return range(max(1, round(full * SIZES[SIZE])))


@dataclass
class Row:
    """The faults of one kind in one place."""

    outcomes: Counter[str] = field(default_factory=Counter)
    bytes_lost: int = 0
    wrong_pixels: int = 0
    touched_outside: int = 0
    tracebacks: int = 0


ROWS: dict[tuple[str, str], Row] = {}


def row(fault: str, place: str) -> Row:
    """The row of a kind of fault in a place."""
    return ROWS.setdefault((fault, place), Row())


_HARMS = ("wrong pixels", "bytes lost", "touched outside", "tracebacks")
_HEAD = ("fault", "where", "injected", *OUTCOMES, *_HARMS)


def table() -> list[str]:
    """The table as Markdown, its sums last."""
    lines = [_line(_HEAD), _line(["---"] * 2 + ["---:"] * (len(_HEAD) - 2))]
    cells = [((fault, place), _cells(found)) for (fault, place), found in sorted(ROWS.items())]
    lines += [_line([*names, *map(str, values)]) for names, values in cells]
    sums = [sum(column) for column in zip(*(values for _, values in cells), strict=True)]
    return [*lines, _line(["**all**", "", *(f"**{value}**" for value in sums)])]


def _cells(found: Row) -> list[int]:
    counts = [found.outcomes[outcome] for outcome in OUTCOMES]
    rest = [found.wrong_pixels, found.bytes_lost, found.touched_outside, found.tracebacks]
    return [sum(found.outcomes.values()), *counts, *rest]


def _line(cells: object) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"  # type: ignore[call-overload]


def write() -> list[str]:
    """Return the table, and write it where `FAULTS_TABLE` says."""
    lines = table()
    if TABLE:
        Path(TABLE).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return lines
