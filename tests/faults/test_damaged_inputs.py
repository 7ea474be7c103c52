"""Flipped and truncated bytes in each kind of input: no pixel of them is used."""

from __future__ import annotations

import itertools
import json
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.faults.bed import STEPS, Bed, Trial
from tests.faults.damage import damage, mutants
from tests.faults.ledger import REPORTED, UNHARMED, numbers

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

pytestmark = pytest.mark.faults
INPUTS = {
    "band (JPEG 2000)": ("products/*L1C*/GRANULE/*/IMG_DATA/*.jp2", 18),
    "scene classification": ("products/*L2A*/GRANULE/*/IMG_DATA/R20m/*SCL*.jp2", 10),
    "MTD_TL.xml": ("products/*L1C*/GRANULE/*/MTD_TL.xml", 12),
    "MTD_MSIL1C.xml": ("products/*L1C*/MTD_MSIL1C.xml", 12),
    "manifest.safe": ("products/*/manifest.safe", 14),
    "footprints (GML)": ("products/*L1C*/GRANULE/*/QI_DATA/MSK_DETFOO*.gml", 8),
    "footprints (JPEG 2000)": ("products/*L1C*/GRANULE/*/QI_DATA/MSK_DETFOO*.jp2", 6),
    "index.json": ("root/meta/step1/index.json", 16),
}
CASES = [(kind, n) for kind, (_, count) in INPUTS.items() for n in numbers(count)]


def run_damaged(this: Trial, draw: random.Random, pattern: str) -> None:
    """Damage a file before one of the steps that read it; run them; undo it; run all."""
    bed = this.bed
    before = draw.choice(("index", "stats", "apply"))
    if pattern.endswith(("manifest.safe", ".zip")):
        before = draw.choice(("index", "index", "stats"))
    elif pattern.startswith("root"):
        before = draw.choice(("stats", "apply"))
    this.start({"index": "products", "stats": "index", "apply": "stats"}[before])
    if before == "apply" and draw.random() < 0.7:
        shutil.rmtree(bed.root / "cache")
    path = bed.file(pattern, draw)
    whole = damage(path, draw)
    code = this.run(*STEPS[STEPS.index(before) :])
    is_harmed = code != 0 or bool(this.differences())
    path.write_bytes(whole)
    assert this.run(*STEPS) == 0, this.said
    assert code == 0 or any(this.said)
    this.end(REPORTED if is_harmed else UNHARMED)


@pytest.mark.parametrize(("kind", "number"), CASES)
def test_damaged_input(
    bed: Bed, trial: Callable[..., Trial], draw: random.Random, kind: str, number: int
) -> None:
    run_damaged(trial(bed, "damaged input", kind), draw, INPUTS[kind][0])


@pytest.mark.parametrize("number", numbers(16))
def test_damaged_archive(
    packed_bed: Bed, trial: Callable[..., Trial], draw: random.Random, number: int
) -> None:
    run_damaged(trial(packed_bed, "damaged input", "zip archive"), draw, "products/*.zip")


def test_mutants_of_a_band(bed: Bed, trial: Callable[..., Trial]) -> None:
    """Every mutant of one band, indexed before: none is accepted with other pixels."""
    place = "a band indexed before, its mutants"
    trial(bed, "damaged input", place).start("index")
    path = min(bed.place.glob("products/*L1C*20251210*/GRANULE/*/IMG_DATA/*B05.jp2"))
    data = path.read_bytes()
    bed.edit_configuration(
        "stats", normalize={"mode": "none"}, max_scenes=1, overwrite=True, l1c_bands=["B05"]
    )
    assert trial(bed, "", "").run("stats") == 0
    (undisturbed,) = (file.read_bytes() for file in bed.root.rglob("x.tif"))
    changed = (mutant for mutant in mutants(data, 1000) if mutant != data)
    for mutant in itertools.islice(changed, len(numbers(240))):
        path.write_bytes(mutant)
        this = trial(bed, "damaged input", place)
        this.undisturbed = {}
        this.settle()
        assert this.run("stats") == 1
        for file in bed.root.rglob("x.tif"):
            if file.read_bytes() != undisturbed:
                this.wrong.add(file.name)
        path.write_bytes(data)
        this.settle()
        this.end(REPORTED, is_whole=False)


def test_the_outputs_of_archives_are_those_of_directories(bed: Bed, packed_bed: Bed) -> None:
    rasters = []
    for each in (bed, packed_bed):
        each.restore("apply")
        rasters.append([path.read_bytes() for path in sorted(each.root.rglob("*.tif"))])
        assert json.loads((each.root / "meta/step2/index.json").read_bytes())["samples"]
    assert rasters[0] == rasters[1]
