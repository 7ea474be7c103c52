"""A small dataset of several scenes, and what runs over it are compared by."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from s2pipe.indexing.run import index_products
from s2pipe.synthetic import ProductSpec, make_products
from tests.paths import ROOT

PREPROCESS = (
    *("--target-grid-ref", "B11", "--l1c-bands", "B02", "B11", "--labels.enabled", "--angles.enabled"),
    *("--num-workers", "1"),
)
PATCHES = (
    *("--patch-size", "32", "--shards.max-count", "20", "--num-workers", "1", "--quality.min-valid", "0"),
    *("--split.by", "random"),
)


@dataclass(frozen=True)
class Scenes:
    """A Step-1 dataset of seven scenes of two tiles, and its products."""

    root: Path
    products: Path

    def index_json(self) -> str:
        return str(self.root / "meta/step1/index.json")

    def count(self, out: Path, *more: str) -> list[str]:
        """Arguments of pass 1."""
        stats = ("--normalize.mode", "compute_only", "--normalize.stats-path", str(out / "stats.json"))
        return [
            "preprocess",
            "--index-json",
            self.index_json(),
            "--out-dir",
            str(out),
            *PREPROCESS,
            *stats,
            *more,
        ]

    def apply(self, out: Path, *more: str) -> list[str]:
        """Arguments of pass 2."""
        stats = ("--normalize.mode", "apply_with_stats", "--normalize.stats-path", str(out / "stats.json"))
        return [
            "preprocess",
            "--index-json",
            self.index_json(),
            "--out-dir",
            str(out),
            *PREPROCESS,
            *stats,
            *more,
        ]

    @staticmethod
    def patches(out: Path, *more: str) -> list[str]:
        """Arguments of Step 3."""
        index = str(out / "meta/step2/index.json")
        return ["patches", "--index-json", index, "--out-dir", str(out / "patches"), *PATCHES, *more]


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Scenes:
    base = tmp_path_factory.mktemp("scenes")
    for tile, days in (("T33UWQ", (5, 10, 15, 20)), ("T33UWP", (5, 10, 15))):
        for day in days:
            start = datetime(2025, 12, day, 10, 3, 19, tzinfo=UTC)
            spec = ProductSpec(
                tile_id=tile,
                side_m=2_040,
                sensing_start=start,
                nodata_wedge=0.1,
                bands=("B02", "B11"),
                l2a_resolutions=(20,),
                quality_masks=False,
            )
            make_products(base / "products", spec)
    index_products([base / "products"], base / "out")
    return Scenes(base / "out", base / "products")


def command(arguments: list[str]) -> list[str]:
    """The command line of s2pipe, as a process of its own."""
    return [sys.executable, "-m", "s2pipe", *arguments]


def environment() -> dict[str, str]:
    """The environment of such a process: one thread, this checkout."""
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "kernels")]),
        "NUMBA_NUM_THREADS": "1",
    }


def all_digests(out: Path) -> dict[str, str]:
    """Everything that must not depend on how the work was shared out: rasters, statistics, histograms, shards."""
    return {
        path.relative_to(out).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(out.rglob("*"))
        if path.suffix in (".tif", ".npz", ".tar", ".parquet") or path.name in ("stats.json", "split.json")
    }


def digests(out: Path) -> dict[str, str]:
    """The same of all scenes."""
    found = all_digests(out)
    assert sum(name.endswith("x.tif") for name in found) == 7
    return found


def run(*lists: list[str], expected: int = 0) -> list[str]:
    """Run commands at once; return what they print."""
    runs = [
        subprocess.Popen(
            command(arguments), env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for arguments in lists
    ]
    ended = [(*process.communicate(timeout=300), process.returncode) for process in runs]
    assert {code for _, _, code in ended} == {expected}, [error for _, error, _ in ended]
    return [out or error for out, error, _ in ended]


@pytest.fixture(scope="session")
def serial(scenes: Scenes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The outputs of one run of each step."""
    out = tmp_path_factory.mktemp("serial")
    for arguments in (scenes.count(out), scenes.apply(out), scenes.patches(out)):
        run(arguments)
    return out
