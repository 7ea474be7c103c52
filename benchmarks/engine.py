"""The engine against the decode bound: ``python -m benchmarks.engine [--small]``.

Products are synthesised once into ``benchmarks/data`` (or $S2PIPE_BENCH_DATA), outside of version control. Each run
is a process of its own; its wall time is compared with the decode bound that is measured right before it.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.machine import description
from s2pipe.dataset.verified import VERIFIED
from s2pipe.runtime.cores import core_count
from s2pipe.sentinel2.bands import BAND_NAMES, TILE_SIDE_M

if TYPE_CHECKING:
    from collections.abc import Sequence

    from s2pipe.synthetic import ProductSpec

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
SIX = ("B02", "B03", "B04", "B08", "B11", "B12")
SMALL_SIDE_M = 21_960
TINY_SIDE_M = 6_120
SCENES = 10


@dataclass(frozen=True)
class Case:
    """One row of the table."""

    name: str
    """What is run."""
    aim: float
    """Wall time over decode bound that is aimed at."""
    aim_gb: float
    """Peak memory that is aimed at, GB."""
    steps: tuple[dict[str, Any], ...]
    """Changes to the base configuration, one process each; their times are added."""
    grid: str = "scl_20m"
    """Target grid."""
    bands: tuple[str, ...] = SIX
    """Bands."""
    on_zones: bool = False
    """Take two small tiles of neighbouring zones, in place of one of the size that is asked for."""
    less_start: bool = False
    """Leave out what the same command takes when its outputs are up to date: start-up, imports, planning."""


STATS = {"normalize": {"mode": "compute_only"}}
APPLY = {"normalize": {"mode": "apply_with_stats"}}
CACHED = {"cache": {"enabled": True, "keep": False}}
UNVERIFIED = {"verify_inputs": "size"}
NADIR = {"brdf": {"model": "c_factor"}}
AS_FROM_NADIR = ", NBAR"
"""End of the name of a row that does what the row before does, and brings reflectance to a view from nadir."""
SQUARE = {"aoi": "square"}
"""An area of 10 km in the middle of the tile, over the corners of four JPEG 2000 tiles."""
SQUARE_M = 10_000
OWN_GRID = {"target_grid": {"crs": "EPSG:32632", "resolution": 10.0}}
"""A grid of the neighbouring zone over the same square: the place of every pixel is computed, for each band."""
ZONES = {32: ("T32UQC", 706_000), 33: ("T33UTT", 294_000)}
"""Tiles of two zones, and x of their middles: the same ground, at 12 degrees east and 52 degrees north."""
MOSAIC = {"group_by": "datatake"}
NOT_VERIFIED = ", inputs not verified"
"""End of the name of a row that does what the row before does without hashing the inputs."""


def cases(sample: int) -> list[Case]:
    """The rows; ``sample`` is one per cent of the pixels of the 20 m grid."""
    drawn = {"normalize": {"mode": "compute_only", "max_pixels_per_scene": sample}}
    square = {**APPLY, **SQUARE, **UNVERIFIED}
    zones = {**square, "target_grid": {"crs": "EPSG:32633", "resolution": 10.0}}
    return [
        Case("pass 1, 20 m grid", 1.08, 1.0, (STATS,)),
        Case("pass 1, 20 m grid" + NOT_VERIFIED, 1.08, 1.0, ({**STATS, **UNVERIFIED},)),
        Case("apply, 20 m grid", 1.12, 1.0, (APPLY,)),
        Case("apply, 20 m grid" + NOT_VERIFIED, 1.12, 1.0, ({**APPLY, **UNVERIFIED},)),
        Case("apply, 20 m grid" + AS_FROM_NADIR, 1.23, 1.2, ({**APPLY, **NADIR},)),
        Case("apply, 10 m grid", 1.28, 1.2, (APPLY,), grid="B02"),
        Case("apply, 10 m grid" + AS_FROM_NADIR, 1.41, 1.4, ({**APPLY, **NADIR},), grid="B02"),
        Case("both passes, 20 m, stack cache", 1.35, 1.0, ({**STATS, **CACHED}, {**APPLY, **CACHED})),
        Case("pass 1 from 1 % of the pixels", 0.15, 0.6, (drawn,)),
        Case("10 km square, apply, 10 m grid", 0.15, 0.6, (square,), grid="B02"),
        Case("10 km square, start-up left out", 0.06, 0.6, (square,), grid="B02", less_start=True),
        Case(
            "10 km square on a grid of another zone, 10 m", 0.5, 0.6, ({**square, **OWN_GRID},), grid="zone"
        ),
        Case("two tiles on one grid, 10 km square", 2.5, 0.8, (zones,), grid="zones", on_zones=True),
        Case("their mosaic", 2.5, 0.8, ({**zones, **MOSAIC},), grid="zones", on_zones=True),
        Case("13 bands, apply, 10 m grid", 1.50, 1.6, (APPLY,), grid="B02", bands=BAND_NAMES),
    ]


@dataclass
class Row:
    """One measurement."""

    name: str
    bound_s: float
    wall_s: float
    ratio: float
    aim: float
    rss_gb: float
    aim_gb: float
    workers: int
    runs: list[float] = field(default_factory=list)
    walls_s: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Used:
    """What a process took."""

    output: str
    """What it printed."""
    wall_s: float
    """Seconds from start to end."""
    cpu_s: float
    """Seconds of all its threads on a core, which other processes lengthen less than the wall time."""
    rss_gb: float
    """Peak memory, GB."""


class Bench:
    """Products, their manifest, and runs over them."""

    def __init__(self, data: Path, name: str, specs: Sequence[ProductSpec], workers: int) -> None:
        self.workers = workers
        self.products = data / f"products-{name}"
        self.dataset = data / f"dataset-{name}"
        self.out = data / f"out-{name}"
        self._last = specs[-1]
        _make(self.products, specs)
        _index(self.products, self.dataset)

    def files(self, case: Case) -> list[str]:
        """JPEG 2000 files that a case needs; statistics need no labels."""
        wanted = [f"*L1C*/GRANULE/*/IMG_DATA/*_{band}.jp2" for band in case.bands]
        if any(step["normalize"]["mode"] != "compute_only" for step in case.steps):
            wanted.append("*L2A*/GRANULE/*/IMG_DATA/R20m/*_SCL_20m.jp2")
        return [str(path) for pattern in wanted for path in sorted(self.products.glob(pattern))]

    def measure(self, case: Case, repeat: int) -> Row:
        """Run a case ``repeat`` times, each beside its own bound; the pair with the median ratio counts."""
        self._statistics_for(case)
        pairs = []
        for _ in range(repeat):
            bound = self._bound(case)
            # Each run finds inputs that were never verified.
            (self.dataset / VERIFIED).unlink(missing_ok=True)
            used = [self._run(case, step) for step in case.steps]
            wall = sum(run.wall_s for run in used)
            cpu, rss = sum(run.cpu_s for run in used), max(run.rss_gb for run in used)
            if case.less_start:
                start = [self._run(case, {**step, "overwrite": False}) for step in case.steps]
                wall, cpu = wall - sum(run.wall_s for run in start), cpu - sum(run.cpu_s for run in start)
            pairs.append((wall / bound, wall, bound, rss, cpu))
        ratio, wall, bound, rss, _ = sorted(pairs)[len(pairs) // 2]
        row = Row(case.name, bound, wall, ratio, case.aim, rss, case.aim_gb, self.workers)
        return replace(
            row, runs=[p[0] for p in pairs], walls_s=[p[1] for p in pairs], cpu_s=[p[4] for p in pairs]
        )

    def _bound(self, case: Case) -> float:
        command = [sys.executable, "-m", "benchmarks.decode", str(self.workers), *self.files(case)]
        return float(_process(command, self.workers).output)

    def _statistics_for(self, case: Case) -> None:
        stats = self._stats_path(case)
        if not stats.exists() and any(step["normalize"]["mode"] == "apply_with_stats" for step in case.steps):
            blocks = {
                "normalize": {"mode": "compute_only", "max_pixels_per_scene": 100_000},
                "group_by": None,
            }
            self._run(case, {**case.steps[-1], **blocks})

    def _stats_path(self, case: Case) -> Path:
        kind = "-nbar" if "brdf" in case.steps[-1] else ""
        return self.out / f"stats-{case.grid}-{len(case.bands)}{kind}.json"

    def _square(self) -> list[float]:
        """Bounds of the area, less than a tile of JPEG 2000 beside the middle."""
        _, ulx, uly = self._last.origin
        x, y = ulx + (self._last.side_m - SQUARE_M) / 2, uly - (self._last.side_m + SQUARE_M) / 2
        return [x, y, x + SQUARE_M, y + SQUARE_M]

    def _run(self, case: Case, step: dict[str, Any]) -> Used:
        config = {
            "index_json": str(self.dataset / "meta/step1/index.json"),
            "out_dir": str(self.out),
            "target_grid_ref": None if step.get("target_grid") else case.grid,
            "l1c_bands": list(case.bands),
            "labels": {"enabled": True},
            "num_workers": self.workers,
            "overwrite": True,
            **step,
            **({"aoi": self._square(), "aoi_crs": "EPSG:32633"} if step.get("aoi") else {}),
            "normalize": {**step["normalize"], "stats_path": str(self._stats_path(case))},
        }
        used = _timed_run(config, self.workers)
        assert json.loads(used.output)["failed"] == [], used.output
        return used


def scene_after_scene(data: Path, workers: int) -> dict[str, float]:
    """Ten small scenes: growth of memory, and time per scene outside of decoding."""
    products, dataset = data / f"scenes-{TINY_SIDE_M}", data / f"dataset-scenes-{TINY_SIDE_M}"
    _make(products, _specs(TINY_SIDE_M, SIX, SCENES))
    _index(products, dataset)
    config: dict[str, Any] = {
        "index_json": str(dataset / "meta/step1/index.json"),
        "out_dir": str(data / "out-scenes"),
        "target_grid_ref": "scl_20m",
        "l1c_bands": list(SIX),
        "num_workers": workers,
        "overwrite": True,
    }
    three, ten = (_timed_run({**config, "max_scenes": count}, workers) for count in (3, SCENES))
    files = [str(next(products.glob(f"*L1C*/GRANULE/*/IMG_DATA/*_{band}.jp2"))) for band in SIX]
    bound = float(_process([sys.executable, "-m", "benchmarks.decode", str(workers), *files], workers).output)
    per_scene = (ten.wall_s - three.wall_s) / (SCENES - 3)
    return {
        "rss_3_gb": three.rss_gb,
        "rss_10_gb": ten.rss_gb,
        "decode_s": bound,
        "per_scene_s": per_scene,
        "overhead_s": per_scene - bound,
    }


def _specs(side_m: int, bands: Sequence[str], scenes: int) -> list[ProductSpec]:
    """Scenes of one tile, five days apart."""
    from s2pipe.synthetic import ProductSpec

    spec = ProductSpec(side_m=side_m, bands=tuple(bands), quality_masks=False, l2a_resolutions=(20,))
    start = datetime(2025, 12, 10, 10, 3, 19, tzinfo=UTC)
    return [replace(spec, sensing_start=start + timedelta(days=5 * number)) for number in range(scenes)]


def _zones(side_m: int) -> list[ProductSpec]:
    """One datatake on a tile of each zone."""
    (spec,) = _specs(side_m, SIX, 1)
    half = side_m // 2
    return [
        replace(spec, tile_id=tile, epsg=32600 + zone, ulx=x - half, uly=5_766_000 + half)
        for zone, (tile, x) in ZONES.items()
    ]


def _make(products: Path, specs: Sequence[ProductSpec]) -> None:
    if products.exists():
        return
    from s2pipe.synthetic import make_products

    print(f"making {len(specs)} scene(s) of {specs[0].side_m} m in {products} ...", flush=True)
    unfinished = products.with_name(products.name + ".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    for spec in specs:
        make_products(unfinished, spec)
    unfinished.rename(products)


def _index(products: Path, dataset: Path) -> None:
    from s2pipe.indexing.run import index_products

    index_products([products], dataset)


def _timed_run(config: dict[str, Any], workers: int) -> Used:
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump({"preprocess": config}, file)
        file.flush()
        command = [sys.executable, "-m", "s2pipe", "preprocess", file.name, "--json", "--quiet"]
        return _process(command, workers)


def _process(command: list[str], workers: int) -> Used:
    """Run a process on ``workers`` cores."""
    path = os.pathsep.join([str(ROOT), str(ROOT / "kernels")])
    env = {**os.environ, "PYTHONPATH": path, "NUMBA_NUM_THREADS": str(workers)}
    with tempfile.TemporaryFile("w+") as output:
        start = time.perf_counter()
        child = subprocess.Popen(command, stdout=output, cwd=ROOT, env=env)
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(child.pid, sorted(os.sched_getaffinity(0))[:workers])
        _, status, usage = os.wait4(child.pid, 0)
        seconds = time.perf_counter() - start
        output.seek(0)
        text = output.read()
    if os.waitstatus_to_exitcode(status) != 0:
        msg = f"{' '.join(command[:5])} ... failed:\n{text}"
        raise SystemExit(msg)
    rss = usage.ru_maxrss / (1e9 if sys.platform == "darwin" else 1e6)
    return Used(text, seconds, usage.ru_utime + usage.ru_stime, rss)


def verification_cost(rows: Sequence[Row]) -> dict[str, dict[str, float]]:
    """Wall and CPU time with verified inputs over those without, minus 1, of the fastest runs of both."""
    by_name = {row.name: row for row in rows}
    return {
        name: _more(row, by_name[name + NOT_VERIFIED])
        for name, row in by_name.items()
        if name + NOT_VERIFIED in by_name
    }


def nbar_cost(rows: Sequence[Row]) -> dict[str, dict[str, float]]:
    """Wall and CPU time with NBAR over those without, minus 1, of the fastest runs of both."""
    by_name = {row.name: row for row in rows}
    return {
        name: _more(by_name[name + AS_FROM_NADIR], row)
        for name, row in by_name.items()
        if name + AS_FROM_NADIR in by_name
    }


def _more(row: Row, without: Row) -> dict[str, float]:
    return {
        "wall": min(row.walls_s) / min(without.walls_s) - 1,
        "cpu": min(row.cpu_s) / min(without.cpu_s) - 1,
    }


def print_rows(rows: Sequence[Row]) -> None:
    """Print the table."""
    print(f"\n{'run':38} {'bound s':>8} {'wall s':>8} {'ratio':>6} {'aim':>5} {'RSS GB':>7} {'aim':>5}")
    for row in rows:
        print(
            f"{row.name:38} {row.bound_s:8.2f} {row.wall_s:8.2f} {row.ratio:6.2f} {row.aim:5.2f} "
            f"{row.rss_gb:7.2f} {row.aim_gb:5.1f}"
        )


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Measure and print; return what is written as JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.engine", description=__doc__)
    parser.add_argument(
        "--small", action="store_true", help="22 km products: minutes instead of half an hour"
    )
    parser.add_argument("--side-m", type=int, help="side of the products in metres, a multiple of 60")
    parser.add_argument(
        "--repeat", type=int, default=1, help="pairs of bound and run; the median ratio counts"
    )
    parser.add_argument("--workers", type=int, default=core_count(), help="cores to use")
    parser.add_argument("--only", default="", help="run the rows whose name holds this text")
    parser.add_argument(
        "--json", type=Path, help="file to write (default: benchmarks/results/engine-<time>.json)"
    )
    options = parser.parse_args(arguments)
    data = Path(os.environ.get("S2PIPE_BENCH_DATA", HERE / "data"))
    side = options.side_m or (SMALL_SIDE_M if options.small else TILE_SIDE_M)
    machine = description()
    print(", ".join(f"{key} {value}" for key, value in machine.items()))
    tile = Bench(data, f"{side}", _specs(side, BAND_NAMES, 1), options.workers)
    zones = Bench(data, f"zones-{side}", _zones(min(side, SMALL_SIDE_M)), options.workers)
    rows = []
    for case in cases(sample=(side // 20) ** 2 // 100):
        if options.only in case.name:
            rows.append((zones if case.on_zones else tile).measure(case, options.repeat))
            print_rows(rows[-1:])
    scenes = scene_after_scene(data, options.workers) if options.only in "scene after scene" else {}
    print_rows(rows)
    cost = verification_cost(rows)
    for name, share in cost.items():
        print(f"verifying inputs: {share['wall']:+.1%} of wall, {share['cpu']:+.1%} of CPU time of {name}")
    nadir = nbar_cost(rows)
    for name, share in nadir.items():
        print(f"view from nadir: {share['wall']:+.1%} of wall, {share['cpu']:+.1%} of CPU time of {name}")
    if scenes:
        print("scene after scene: " + ", ".join(f"{key} {value:.3f}" for key, value in scenes.items()))
    report = {"machine": machine, "side_m": side, "rows": [asdict(row) for row in rows], "scenes": scenes}
    report |= {"verification_cost": cost, "nbar_cost": nadir}
    target = options.json or HERE / "results" / f"engine-{datetime.now(UTC):%Y%m%dT%H%M%S}.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(
        f"written to {target}; peak memory of this process "
        f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB"
    )
    return report


if __name__ == "__main__":
    main()
