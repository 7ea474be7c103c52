"""Every benchmark runs on sizes that take seconds, and what it runs is right. How fast it is, is not asserted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.paths import ROOT

if TYPE_CHECKING:
    from pathlib import Path


pytestmark = pytest.mark.benchmarks


def _environment(data: Path) -> dict[str, str]:
    path = os.pathsep.join([str(ROOT), str(ROOT / "kernels")])
    return {**os.environ, "PYTHONPATH": path, "S2PIPE_BENCH_DATA": str(data), "S2PIPE_BENCH_SIZE": "small"}


def test_the_engine_benchmark_fills_its_table(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "benchmarks.engine",
        "--side-m",
        "2400",
        "--json",
        str(tmp_path / "r.json"),
    ]
    done = subprocess.run(
        command, cwd=ROOT, env=_environment(tmp_path), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads((tmp_path / "r.json").read_text())
    assert len(report["rows"]) == 15
    assert set(report["nbar_cost"]) == {"apply, 20 m grid", "apply, 10 m grid"}
    assert set(report["verification_cost"]) == {"pass 1, 20 m grid", "apply, 20 m grid"}
    assert all(row["bound_s"] > 0 and row["wall_s"] > 0 and row["rss_gb"] > 0 for row in report["rows"])
    assert {"overhead_s", "rss_3_gb", "rss_10_gb"} <= set(report["scenes"])
    assert set(report["machine"]) >= {"processor", "cores", "gdal", "jpeg2000_driver", "numba", "numpy"}
    out = tmp_path / "out-2400"
    index = json.loads((out / "meta/step2/index.json").read_text())
    assert (out / index["samples"][0]["x_path"]).exists()
    assert (out / index["samples"][0]["y_path"]).exists()
    assert list((tmp_path / "dataset-2400" / "cache").iterdir()) == [], "pass 2 used the kept stack up"


def test_the_kernel_benchmarks_run(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "benchmarks/test_kernels.py"]
    done = subprocess.run(
        command, cwd=ROOT, env=_environment(tmp_path), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "s2kernels: throughput" in done.stdout


def test_the_angle_benchmarks_run(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "benchmarks/bench_angles.py"]
    done = subprocess.run(
        command, cwd=ROOT, env=_environment(tmp_path), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "7 passed" in done.stdout


def test_the_patch_benchmarks_run(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "benchmarks/bench_patches.py"]
    done = subprocess.run(
        command, cwd=ROOT, env=_environment(tmp_path), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 passed" in done.stdout


def test_the_scale_benchmark_fills_its_table(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.scale", "--small", "--data", str(tmp_path / "data")]
    command += ["--json", str(tmp_path / "r.json"), "--plot", str(tmp_path / "scale.png")]
    done = subprocess.run(
        command, cwd=ROOT, env=_environment(tmp_path), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads((tmp_path / "r.json").read_text())
    assert {item["size"] for item in report["rows"]} == {20, 60}
    assert all(item["seconds"] > 0 and item["target_s"] > 0 for item in report["rows"])
    assert (tmp_path / "scale.png").read_bytes().startswith(b"\x89PNG")
