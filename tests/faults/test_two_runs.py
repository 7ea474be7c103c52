"""Two runs at once in one directory: both do it, or one says that the other is at it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.faults.bed import STEPS, Bed, Trial
from tests.faults.child import Command
from tests.faults.ledger import RERUN, UNHARMED, numbers
from tests.faults.test_kills import BEFORE, NAMES

if TYPE_CHECKING:
    import random
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.faults
COUNTS = {"index": 4, "stats": 6, "apply": 6, "patches": 6, "reshard": 6}


@pytest.mark.parametrize(("step", "number"), [(step, n) for step in STEPS for n in numbers(COUNTS[step])])
def test_two_runs(
    bed: Bed, trial: Callable[..., Trial], draw: random.Random, tmp_path: Path, step: str, number: int
) -> None:
    this = trial(bed, "two runs at once", NAMES[step])
    this.start(BEFORE[step])
    runs = [Command(bed.arguments(step), tmp_path)]
    if draw.random() < 0.3:
        runs[0].kill_after(draw.uniform(0.0, 0.2))
    runs.append(Command(bed.arguments(step), tmp_path))
    ended = [each.wait() for each in runs]
    for each in ended:
        this.hear(each.stderr)
        assert each.code in (0, -9) or (each.code == 2 and "lock" in each.stderr), each.stderr
    this.look()
    is_done = not any(each.code for each in ended)
    assert this.run(*STEPS[STEPS.index(step) :]) == 0, this.said
    this.end(UNHARMED if is_done else RERUN)
