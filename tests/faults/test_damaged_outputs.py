"""Flipped and truncated bytes in each kind of output: the next step does not take them, and they are made anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.faults.bed import STEPS, Bed, Trial
from tests.faults.damage import damage
from tests.faults.ledger import REPORTED, UNHARMED, numbers

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

pytestmark = pytest.mark.faults
SAMPLE = "root/processed/*/*"
OUTPUTS = {
    "x.tif": (f"{SAMPLE}/x.tif", "patches", 10),
    "y.tif": (f"{SAMPLE}/y.tif", "patches", 8),
    "angles.tif": (f"{SAMPLE}/angles.tif", "patches", 8),
    "stack.vrt": (f"{SAMPLE}/stack.vrt", "patches", 3),
    "stack/B02.vrt": (f"{SAMPLE}/stack/B02.vrt", "patches", 3),
    "meta.json": (f"{SAMPLE}/meta.json", "patches", 10),
    "Step-2 index": ("root/meta/step2/index.json", "patches", 10),
    "stats.json": ("root/stats.json", "apply", 10),
    "histogram.npz": ("root/histogram.npz", "apply", 5),
    "histogram.npz of a scene": (f"{SAMPLE}/histogram.npz", "stats", 8),
    "cache entry": ("root/cache/*.dnstack", "apply", 10),
    "shard": ("root/patches/*/*.tar", "reshard", 10),
    "shards.json": ("root/patches/shards.json", "reshard", 10),
    "patches.parquet": ("root/patches/patches.parquet", "reshard", 10),
    "split.json": ("root/patches/split.json", "reshard", 6),
    "summary.json": ("root/patches/summary.json", "reshard", 4),
    "verified.jsonl": ("root/meta/step1/verified.jsonl", "apply", 4),
}
CASES = [(kind, n) for kind, (_, _, count) in OUTPUTS.items() for n in numbers(count)]


@pytest.mark.parametrize(("kind", "number"), CASES)
def test_damaged_output(
    bed: Bed, trial: Callable[..., Trial], draw: random.Random, kind: str, number: int
) -> None:
    pattern, reader, _ = OUTPUTS[kind]
    this = trial(bed, "damaged output", kind)
    this.start(STEPS[max(1, STEPS.index(reader) - 1)])
    path = bed.file(pattern, draw)
    damage(path, draw)
    this.damaged = {path.relative_to(bed.root).as_posix()}
    code = this.run(*STEPS[STEPS.index(reader) :])  # as whoever knows nothing of the damage
    is_harmed = code != 0 or bool(this.differences())
    if is_harmed:
        this.run("verify")
        assert this.run(*STEPS[1:]) == 0, this.said
    this.end(REPORTED if is_harmed else UNHARMED)
