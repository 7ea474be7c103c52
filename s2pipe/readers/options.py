"""How a set of patches is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal


@dataclass(frozen=True)
class Reading:
    """Options that all datasets take by name."""

    transform: Callable[[dict[str, Any]], Any] | None = None
    """Applied to every item; what it returns is the item."""
    keep_nan: bool = False
    """Leave NaN where angles, or labels that are quantities, are missing; false gives 0. ``angles_valid`` and
    ``y_valid`` say where, in both."""
    ragged: bool = False
    """Read time stacks that differ in length, of which no batches can be made."""
    storage_options: Mapping[str, Any] | None = None
    """For addresses such as ``s3://``: what fsspec's file system takes, such as ``{"anon": True}``."""
    windows: tuple[int, int] = (256, 256)
    """For an index of Step 2: side of the windows and distance between them in pixels."""
    edges: Literal["drop", "pad"] = "drop"
    """For an index of Step 2: windows over the right and lower edge are left out, or filled up."""
    split_plan: str | Path | None = None
    """For an index of Step 2: the split (``split.json``); None takes all windows."""
