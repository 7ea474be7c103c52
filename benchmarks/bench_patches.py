"""Step 3: throughput beside `tar` of the same bytes, memory, and the planning of a million candidates.

Sizes: S2PIPE_BENCH_SIZE=small takes seconds and is for seeing that everything runs; the default writes about 2 GB.
Run with ``python -m pytest benchmarks/bench_patches.py -s``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture

SMALL = os.environ.get("S2PIPE_BENCH_SIZE") == "small"
SHAPE_YX = (512, 768) if SMALL else (5490, 5490)
SCENES = 2
CANDIDATES = 20_000 if SMALL else 1_000_000
ROOT = Path(__file__).resolve().parent.parent

RUN = """
import json, sys, time
from pathlib import Path
from s2pipe.config.fields import from_plain
from s2pipe.patches.cfg import PatchConfig
from s2pipe.patches.run import run_patches
start = time.perf_counter()
result = run_patches(from_plain(PatchConfig, json.loads(sys.argv[1])))
seconds = time.perf_counter() - start
# Not ru_maxrss, which a child takes over from the process that started it.
peak = int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024
size = sum(record.bytes for record in result.shards)
print(json.dumps({"seconds": seconds, "peak_mb": peak, "kept": result.kept, "bytes": size}))
"""

PLAN = """
import json, sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from dataclasses import replace
from patchdata import Scene, write_step2
import numpy as np
from s2pipe.patches.cfg import PatchConfig, SplitConfig, QualityConfig
from s2pipe.patches.database import Places, Scenes, write_database
from s2pipe.patches.shards.facts import shared_facts
from s2pipe.patches.shards.layout import plan_shards, shuffled, single_groups
from s2pipe.patches.candidates.assign import candidates, drop_by_ground, grounds_of_samples, plan_split
from s2pipe.dataset.samples import load_samples
from s2pipe.raster.grid import TargetGrid
from s2pipe.dataset.scene_key import SceneKey
out, wanted = Path(sys.argv[1]), int(sys.argv[2])
first = load_samples(write_step2(out, [Scene(shape_yx=(64, 64))]))[0]
samples = []
while len(samples) * 7056 < wanted:
    number = len(samples)
    lift = (number // 60) % 8 * 100_000.0
    transform = (300_000.0 + lift / 2, 20.0, 0.0, 4_000_000.0 + lift, 0.0, -20.0)
    grid = replace(first.grid, shape_yx=(5490, 5490), geotransform=transform)
    day = f"20{10 + number // 300 % 80}-{1 + number // 25 % 12:02d}-{1 + number % 25:02d}T10:00:00Z"
    samples.append(replace(first, target=TargetGrid.whole(grid), key=SceneKey(f"T33U{number // 60:02d}", day)))
config = PatchConfig(out, out, patch_size=65, split=SplitConfig())
start = time.perf_counter()
table = candidates(samples, config, plan_split(config.split, grounds_of_samples(samples)))
table.valid[:] = 1.0
drop_by_ground(table)
groups = single_groups(table)
plans = plan_shards(table, groups, shuffled(table, groups, samples, config), config, 1000)
planned = time.perf_counter() - start
places = Places.none(len(table))
from s2pipe.ground.cells import CellGrid
scenes = Scenes(samples, CellGrid(20_000), 65)
write_database(out / "patches.parquet", table, scenes, ([], places), {}, shared_facts([first], config))
total = time.perf_counter() - start
# Not ru_maxrss, which a child takes over from the process that started it.
peak = int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024
print(json.dumps({"candidates": len(table), "planned": planned, "with_database": total, "peak_mb": peak}))
"""


def child(code: str, *arguments: str) -> dict[str, Any]:
    """Run code in a process of its own, and return the JSON that it prints last."""
    paths = [str(ROOT), str(ROOT / "kernels"), str(ROOT / "tests" / "patches")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    command = [sys.executable, "-c", code, *arguments]
    result = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(result.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def step2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Scenes whose values are reflectance in whole DN, as real ones are: they compress as those do."""
    from tests.patches import patchdata

    def reflectance(scene: patchdata.Scene, seed: int) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(seed)
        height, width = scene.shape_yx
        x = np.ones((len(scene.bands) + 1, height, width), np.float32)
        smooth = np.cumsum(rng.normal(0, 3, (height, width)).astype(np.float32), axis=1) + 2000
        for band in range(len(scene.bands)):
            x[band] = np.round(smooth + rng.normal(0, 8, (height, width))) / 10000
        labels = np.kron(
            rng.choice([4, 5, 6], (height // 64 + 1, width // 64 + 1)), np.ones((64, 64), np.int64)
        )
        return x, labels[:height, :width].astype(np.uint8)

    bands = ("B02", "B03", "B04", "B08", "B11", "B12")
    scenes = [
        patchdata.Scene(sensing=f"2025-07-0{n + 1}T10:00:00Z", shape_yx=SHAPE_YX, bands=bands)
        for n in range(SCENES)
    ]
    kept, patchdata.pixels = patchdata.pixels, reflectance
    try:
        return patchdata.write_step2(tmp_path_factory.mktemp("bench"), scenes)
    finally:
        patchdata.pixels = kept


@pytest.mark.parametrize(("size", "stride"), [(256, 256), (224, 224), (256, 192)])
def test_throughput_beside_tar(
    benchmark: BenchmarkFixture, step2: Path, tmp_path: Path, size: int, stride: int
) -> None:
    """Shards beside tar, which writes the same bytes."""
    split = {"train": 1.0, "val": 0.0, "test": 0.0}
    document = {
        "index_json": str(step2),
        "out_dir": str(tmp_path / "out"),
        "patch_size": size,
        "stride": stride,
    }
    document |= {"split": split, "shards": {"max_count": 250}}
    for path in step2.parents[2].rglob("*.tif"):
        path.read_bytes()  # into the page cache
    ours = benchmark.pedantic(child, (RUN, json.dumps(document)), rounds=1)
    shards = sorted((tmp_path / "out").rglob("shard-*.tar"))
    start = time.perf_counter()
    with (tmp_path / "all.tar").open("wb") as target:
        command = ["tar", "-cf", "-", "-C", str(tmp_path), *(str(s.relative_to(tmp_path)) for s in shards)]
        subprocess.run(command, stdout=target, check=True)
    tar = time.perf_counter() - start
    rate, tar_rate = ours["bytes"] / 1e6 / ours["seconds"], ours["bytes"] / 1e6 / tar
    print(
        f"\n{size} px by {stride}: {ours['kept']} patches, {ours['bytes'] / 1e9:.2f} GB in {ours['seconds']:.1f} s: "
        f"{rate:.0f} MB/s; tar {tar_rate:.0f} MB/s ({rate / tar_rate:.0%}); peak {ours['peak_mb']:.0f} MB"
    )
    assert ours["peak_mb"] <= 500
    if not SMALL and stride == size == 256:
        assert rate >= 300
        assert rate >= 0.5 * tar_rate


def test_a_million_candidates_are_planned_in_a_minute(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    """Planning is columns of numbers: a million candidates fit into a minute and 500 MB."""
    arguments = (PLAN, str(tmp_path), str(CANDIDATES), str(ROOT / "tests" / "patches"))
    found = benchmark.pedantic(child, arguments, rounds=1)
    print(
        f"\n{found['candidates']} candidates: planned in {found['planned']:.1f} s, with the database in "
        f"{found['with_database']:.1f} s; peak {found['peak_mb']:.0f} MB"
    )
    assert found["planned"] < 60
    assert found["peak_mb"] <= 500
