"""Rules of ``split.json`` that its JSON Schema cannot express."""

from __future__ import annotations

import math
from collections import Counter
from datetime import date
from typing import TYPE_CHECKING, Any

from s2pipe.errors import Fault, S2PipeError
from s2pipe.ground.cells import CellGrid

if TYPE_CHECKING:
    from collections.abc import Mapping


def split_faults(document: Mapping[str, Any]) -> list[Fault]:
    """Return the faults of a split that fits its schema: shares, days, bounds of tiles, ids of cells."""
    shares = [document[name] for name in ("train", "val", "test")]
    faults = []
    if not math.isclose(sum(shares), 1.0, abs_tol=1e-6):
        faults.append(Fault("train", f"expected train, val and test to sum to 1, got {shares}"))
    days = [document["val_from"], document["test_from"]]
    for name, day in zip(("val_from", "test_from"), days, strict=True):
        try:
            date.fromisoformat(day or "2000-01-01")
        except ValueError as error:
            faults.append(Fault(name, f"there is no such day: {day!r} ({error})"))
    if None not in days and days[1] < days[0]:
        faults.append(Fault("test_from", f"expected a day from val_from, {days[0]}, on, got {days[1]}"))
    for number, tile in enumerate(document["tiles"]):
        left, bottom, right, top = tile["bounds"]
        if not (left < right and bottom < top):
            message = f"expected left < right and bottom < top, got {tile['bounds']}"
            faults.append(Fault(f"tiles[{number}].bounds", message))
    for tile_id, count in Counter(tile["tile_id"] for tile in document["tiles"]).items():
        if count > 1:
            faults.append(Fault("tiles", f"{tile_id} is listed {count} times"))
    grid = CellGrid(document["cell_m"])
    for cell in document["cells"]:
        try:
            grid.number(cell)
        except S2PipeError as error:
            faults.append(Fault(f"cells.{cell}", str(error)))
    return faults
