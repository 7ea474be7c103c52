"""The workflows of docs/examples/cluster make what one run makes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.paths import ROOT
from tests.scale.conftest import Scenes, digests, environment

if TYPE_CHECKING:
    from collections.abc import Mapping

pytest.importorskip("distributed", reason="`make test-scale` runs these")
EXAMPLES = ROOT / "docs/examples/cluster"
SBATCH = """#!/bin/bash
# Stands for SLURM's: runs what is submitted at once, the jobs of an array side by side, and prints a number.
set -euo pipefail
count= wrap=
while [[ ${1:-} == --* ]]; do
    case $1 in
    --parsable | --dependency=afterok:*) ;;
    --array=1-*) count=${1#--array=1-} ;;
    --wrap) wrap=$2; shift ;;
    *) echo "unknown option $1" >&2; exit 1 ;;
    esac
    shift
done
if [ -n "$wrap" ]; then bash -c "$wrap" >&2; else
    export SLURM_ARRAY_TASK_COUNT=$count SLURM_CPUS_PER_TASK=1
    pids=()
    for number in $(seq "$count"); do SLURM_ARRAY_TASK_ID=$number bash "$@" >&2 & pids+=($!); done
    for pid in "${pids[@]}"; do wait "$pid"; done
fi
echo $$
"""


@pytest.fixture
def workplace(scenes: Scenes, tmp_path: Path) -> Path:
    """A directory with the examples' configuration for the small dataset, and s2pipe and sbatch as commands."""
    document = yaml.safe_load((EXAMPLES / "pipeline.yaml").read_text())
    document["preprocess"] |= {
        "index_json": scenes.index_json(),
        "target_grid_ref": "B11",
        "l1c_bands": ["B02", "B11"],
    }
    document["preprocess"]["angles"] = {"enabled": True}
    document["patches"] |= {"patch_size": 32, "quality": {"min_valid": 0}, "split": {"by": "random"}}
    document["patches"]["shards"] = {"max_count": 20}
    (tmp_path / "pipeline.yaml").write_text(yaml.safe_dump(document))
    commands = tmp_path / "bin"
    commands.mkdir()
    (commands / "sbatch").write_text(SBATCH)
    (commands / "s2pipe").write_text(f'#!/bin/bash\nexec {sys.executable} -m s2pipe "$@"\n')
    for path in commands.iterdir():
        path.chmod(0o755)
    return tmp_path


def _run(command: list[str], workplace: Path, more: Mapping[str, str] | None = None) -> None:
    path = os.pathsep.join([str(workplace / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        command, cwd=workplace, env={**environment(), "PATH": path, **(more or {})}, capture_output=True, text=True,
        timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_slurm_jobs_make_what_one_run_makes(serial: Path, workplace: Path) -> None:
    _run(["bash", str(EXAMPLES / "submit.sh"), "pipeline.yaml", "out", "2"], workplace)
    assert digests(workplace / "out") == digests(serial)


def test_a_job_outside_an_array_is_refused(workplace: Path) -> None:
    command = ["bash", str(EXAMPLES / "job.sh"), "count", "pipeline.yaml"]
    done = subprocess.run(command, cwd=workplace, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "SLURM_ARRAY_TASK_ID" in done.stderr


def test_snakemake_makes_what_one_run_makes(serial: Path, workplace: Path) -> None:
    snakemake = shutil.which("snakemake", path=str(Path(sys.executable).parent))
    if snakemake is None:
        pytest.skip("Snakemake is not here; `make test-scale` has it")
    command = [snakemake, "--snakefile", str(EXAMPLES / "Snakefile"), "--cores", "2", "--quiet", "all"]
    _run([*command, "--config", "shards=2"], workplace, {"XDG_CACHE_HOME": str(workplace / "cache")})
    assert digests(workplace / "out") == digests(serial)


def test_workers_of_a_batch_system_make_what_one_run_makes(serial: Path, workplace: Path) -> None:
    """dask-jobqueue starts the jobs, here those of this machine."""
    pytest.importorskip("dask_jobqueue", reason="dask-jobqueue is not here; `make test-scale` has it")
    script = [
        sys.executable,
        str(EXAMPLES / "jobqueue.py"),
        "--jobs",
        "2",
        "--local",
        "preprocess",
        "pipeline.yaml",
    ]
    (workplace / "out").mkdir()
    shutil.copy(serial / "stats.json", workplace / "out")
    _run(script, workplace)
    found = {name: digest for name, digest in digests(serial).items() if name.endswith(".tif")}
    assert {
        name: digest for name, digest in digests(workplace / "out").items() if name.endswith(".tif")
    } == found
