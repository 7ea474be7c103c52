"""What several processes gain over one: the same scenes in one run, on Dask's workers, and as jobs of an array.

    python -m benchmarks.cluster [--scenes 40] [--side 10980] [--directory DIR]

Each row is pass 1, pass 2 with angles and labels, and patches, as commands with one thread each. The outputs of all
rows are compared: rasters, statistics and shards are the same to the byte. Two processes should take at most 0.6 of the
time of one.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks.machine import description

ROOT = Path(__file__).resolve().parent.parent
STEP2 = (
    *("--target-grid-ref", "scl_20m", "--l1c-bands", "B02", "B03", "B04", "B08", "B11", "B12"),
    *("--labels.enabled", "--angles.enabled", "--num-workers", "1"),
)
STEP3 = ("--patch-size", "64", "--quality.min-valid", "0", "--split.by", "random", "--num-workers", "1")


def main() -> int:
    """Make the scenes, run every row, print the table; return 1 when outputs differ."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenes", type=int, default=40)
    parser.add_argument("--side", type=int, default=10_980, help="side of a scene in metres")
    parser.add_argument("--directory", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.directory) as name:
        base = Path(name)
        index = make_scenes(base, options.scenes, options.side)
        print(", ".join(f"{name} {value}" for name, value in description().items()))
        print(f"{options.scenes} scenes of {options.side} m, one thread a process\n")
        print("| run | pass 1, s | pass 2, s | patches, s | all, s | of one | same bytes |")
        print("| --- | --- | --- | --- | --- | --- | --- |")
        timings, expected = {}, None
        for row, count, scheduler in ROWS:
            out = base / row.replace(" ", "-").replace("`", "").replace(":", "-")
            seconds = timed(index, out, count, scheduler)
            found = digests(out)
            expected = expected or found
            timings[row] = sum(seconds)
            share = timings[row] / timings[ROWS[0][0]]
            cells = [f"{value:.1f}" for value in (*seconds, timings[row])]
            same = "yes" if found == expected else "NO"
            print(f"| {row} | {' | '.join(cells)} | {share:.2f} | {same} |", flush=True)
            if found != expected:
                return 1
    return 0


ROWS: tuple[tuple[str, int, str | None], ...] = (
    ("one process", 1, None),
    ("`--scheduler processes:2`", 1, "processes:2"),
    ("two shards at once", 2, None),
    ("four shards at once", 4, None),
)
"""Name, shards of the array, scheduler."""


def make_scenes(base: Path, count: int, side: int) -> Path:
    """Make the products and index them."""
    from s2pipe.indexing.run import index_products
    from s2pipe.synthetic import ProductSpec, make_products

    bands = ("B02", "B03", "B04", "B08", "B11", "B12")
    for number in range(count):
        start = datetime(2025, 1, 3, 10, 3, 19, tzinfo=UTC) + timedelta(days=5 * number)
        make_products(
            base / "products",
            ProductSpec(
                side_m=side, sensing_start=start, bands=bands, l2a_resolutions=(20,), quality_masks=False
            ),
        )
    index_products([base / "products"], base / "dataset")
    return base / "dataset/meta/step1/index.json"


def timed(index: Path, out: Path, shards: int, scheduler: str | None) -> tuple[float, float, float]:
    """Run all steps; return the seconds of pass 1, of pass 2 and of patches."""
    out.mkdir()
    where = [] if scheduler is None else ["--scheduler", scheduler]
    shares = [["--shard", f"{number}/{shards}"] for number in range(1, shards + 1)] if shards > 1 else [[]]
    step2 = ["preprocess", "--index-json", str(index), "--out-dir", str(out), *STEP2, *where]
    stats = ["--normalize.stats-path", str(out / "stats.json"), "--normalize.mode"]
    step3 = ["patches", "--index-json", str(out / "meta/step2/index.json"), "--out-dir", str(out / "patches")]
    step3 += [*STEP3, *where]
    start = time.monotonic()
    run(*([*step2, *stats, "compute_only", *share] for share in shares))
    if shards > 1:
        run(["stats", "merge", str(out), "--out", str(out / "stats.json")])
    counted = time.monotonic()
    run(*([*step2, *stats, "apply_with_stats", *share] for share in shares))
    applied = time.monotonic()
    run(*([*step3, *share] for share in shares))
    if shards > 1:
        run(step3)
    return counted - start, applied - counted, time.monotonic() - applied


def run(*commands: list[str]) -> None:
    """Run commands at once."""
    environment = {
        **os.environ,
        "NUMBA_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "kernels")]),
    }
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "s2pipe", *command, "--quiet"], env=environment, stderr=subprocess.PIPE
        )
        for command in commands
    ]
    for process in started:
        _, error = process.communicate()
        if process.returncode:
            raise SystemExit(error.decode())


def digests(out: Path) -> dict[str, str]:
    """Return the SHA-256 of rasters, histograms, statistics and shards."""
    return {
        path.relative_to(out).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(out.rglob("*"))
        if path.suffix in (".tif", ".npz", ".tar", ".parquet") or path.name == "stats.json"
    }


if __name__ == "__main__":
    sys.exit(main())
