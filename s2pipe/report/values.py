"""Values of documents that may hold anything: what is of another kind than expected counts as absent."""

from __future__ import annotations

import math
from typing import Any


def mapping(value: object) -> dict[str, Any]:
    """Return a mapping, or an empty one."""
    return value if isinstance(value, dict) else {}


def items(value: object) -> list[Any]:
    """Return a list, or an empty one."""
    return value if isinstance(value, list) else []


def text(value: object) -> str:
    """Return text, or none; numbers as they are written."""
    return str(value) if isinstance(value, (str, int, float)) else ""


def number(value: object) -> float | None:
    """Return a finite number, or None."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if math.isfinite(found) else None


def counts(value: object) -> dict[str, int]:
    """Return the counts of a mapping that are whole numbers, in the order of their keys as numbers."""
    found = {
        key: int(count)
        for key, given in mapping(value).items()
        if (count := number(given)) is not None and count >= 0
    }
    return dict(sorted(found.items(), key=lambda item: (len(item[0]), item[0])))
