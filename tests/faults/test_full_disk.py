"""Full disks: a documented error that names the file, nothing half-written, and the same bytes once there is room."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.faults.bed import STEPS, Bed, Trial
from tests.faults.child import Limits, run
from tests.faults.ledger import RERUN, numbers
from tests.faults.test_kills import BEFORE, NAMES

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.faults
COUNTS = {"index": 4, "stats": 8, "apply": 8, "patches": 8, "reshard": 8}
CASES = [(step, n) for step in STEPS for n in numbers(COUNTS[step])]


def _made_by(step: str, bed: Bed) -> int:
    """Size of the largest file that a step writes."""
    sizes = []
    for state in (step, BEFORE[step]):
        root = bed.base / "states" / state / "root"
        sizes.append(
            {
                path: path.stat().st_size
                for path in root.rglob("*")
                if path.is_file() and not path.is_symlink()
            }
        )
    before = {path.relative_to(bed.base / "states" / BEFORE[step]) for path in sizes[1]}
    new = {p: n for p, n in sizes[0].items() if p.relative_to(bed.base / "states" / step) not in before}
    return max(new.values())


@pytest.mark.parametrize(("step", "number"), CASES)
def test_no_file_can_be_larger(
    bed: Bed, trial: Callable[..., Trial], draw: random.Random, tmp_path: Path, step: str, number: int
) -> None:
    this = trial(bed, "full disk (largest file)", NAMES[step])
    this.start(BEFORE[step])
    most = draw.randrange(_made_by(step, bed))
    ended = run(bed.arguments(step), tmp_path, Limits(most_bytes=most))
    this.hear(ended.stderr)
    this.look()
    assert ended.code == 2, ended.stderr
    assert ended.stderr.count("disk is full") == 1 or "cannot be written" in ended.stderr, ended.stderr
    assert this.run(*STEPS[STEPS.index(step) :]) == 0, this.said
    this.end(RERUN)


@pytest.fixture
def small_disk(bed: Bed) -> Iterator[Path]:
    """A file system of its own for the place, as large as is asked for when it is filled."""
    bed.restore("products")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64m", "none", str(bed.place)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("file systems cannot be mounted here")
    yield bed.place
    subprocess.run(["umount", str(bed.place)], check=True)


@pytest.mark.parametrize(("step", "number"), CASES)
def test_small_disk(
    bed: Bed,
    small_disk: Path,
    trial: Callable[..., Trial],
    draw: random.Random,
    tmp_path: Path,
    step: str,
    number: int,
) -> None:
    this = trial(bed, "full disk (small tmpfs)", NAMES[step])
    this.start(BEFORE[step])
    filler = small_disk / "filler"
    room = draw.randrange(8) << 12 if step == "index" else draw.randrange(40) << 12
    state = os.statvfs(small_disk)
    with filler.open("wb") as stream:
        os.posix_fallocate(stream.fileno(), 0, state.f_bavail * state.f_frsize - room)
    ended = run(bed.arguments(step), tmp_path)
    this.hear(ended.stderr)
    this.look()
    assert ended.code == 2, ended.stderr
    filler.unlink()
    assert this.run(*STEPS[STEPS.index(step) :]) == 0, this.said
    this.end(RERUN)


@pytest.mark.parametrize("step", ["index", "apply", "patches"])
def test_output_that_nobody_can_take(
    bed: Bed, trial: Callable[..., Trial], tmp_path: Path, step: str
) -> None:
    """A summary as JSON to a full disk."""
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full")
    this = trial(bed, "full disk (/dev/full)", "stdout")
    this.start(BEFORE[step])
    ended = run((*bed.arguments(step), "--json"), tmp_path, Limits(stdout="/dev/full"))
    this.hear(ended.stderr)
    assert ended.code == 2, ended.stderr
    assert this.run(*STEPS[STEPS.index(step) :]) == 0, this.said
    this.end(RERUN)
