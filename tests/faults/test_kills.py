"""Killed with SIGKILL at any moment: the next run leaves the same bytes as if nothing had happened."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.faults.bed import DONE, STEPS, Bed, Trial
from tests.faults.child import Ended, Limits, run, run_killed
from tests.faults.ledger import RERUN, numbers

if TYPE_CHECKING:
    import random
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.faults
BEFORE = dict(zip(STEPS, ("products", *STEPS[:-1]), strict=True))
NAMES = {
    "index": "index",
    "stats": "preprocess, pass 1",
    "apply": "preprocess, pass 2",
    "patches": "patches",
    "reshard": "patches --from-db",
}
COUNTS = {"index": 12, "stats": 22, "apply": 30, "patches": 22, "reshard": 22}
_USUAL: dict[str, Ended] = {}


def usual(bed: Bed, step: str, scratch: Path) -> Ended:
    """How a step ends undisturbed; measured once."""
    if step not in _USUAL:
        bed.restore(BEFORE[step])
        run(bed.arguments(step), scratch)  # whatever is compiled is compiled now
        bed.restore(BEFORE[step])
        _USUAL[step] = run(bed.arguments(step), scratch)
        assert _USUAL[step].code == 0, _USUAL[step].stderr
    return _USUAL[step]


@pytest.mark.parametrize(("step", "number"), [(step, n) for step in STEPS for n in numbers(COUNTS[step])])
def test_kill(
    bed: Bed, trial: Callable[..., Trial], draw: random.Random, tmp_path: Path, step: str, number: int
) -> None:
    undisturbed = usual(bed, step, tmp_path)
    this = trial(bed, "kill -9", NAMES[step])
    this.start(BEFORE[step])
    kills = draw.choice((1, 1, 2))
    while kills:
        ended = run_killed(bed.arguments(step), tmp_path, draw, undisturbed)
        this.hear(ended.stderr)
        this.look()
        if ended.code == -9:
            kills -= 1
        elif ended.code == 0:  # it was done before
            this.start(BEFORE[step])
    assert this.run(*STEPS[STEPS.index(step) :]) == 0, this.said
    this.end(RERUN)


@pytest.mark.parametrize("number", numbers(6))
def test_kill_of_a_repair(
    bed: Bed, trial: Callable[..., Trial], draw: random.Random, tmp_path: Path, number: int
) -> None:
    this = trial(bed, "kill -9", "verify --repair")
    while True:
        this.start(DONE)
        for pattern in ("root/processed/**/x.tif", "root/patches/**/*.tar", "root/histogram.npz"):
            path = bed.file(pattern, draw)
            path.write_bytes(path.read_bytes()[:-1])
            this.damaged.add(path.relative_to(bed.root).as_posix())
        changes = draw.randrange(12)
        ended = run(bed.arguments("verify"), tmp_path, Limits(kill_at=changes))
        if ended.code == -9:
            break
    this.hear(ended.stderr)
    this.run("verify")
    assert this.run(*STEPS[1:]) == 0, this.said
    this.end(RERUN)
