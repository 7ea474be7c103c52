"""Run the rows and print the table."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.machine import description
from benchmarks.scale.frame import Measure, Row, rows

ROOT = Path(__file__).resolve().parents[2]
SMALL = (20, 60)
SIZES = (1_000, 10_000, 100_000)
TARGET_SIZE = 100_000


def main() -> int:
    """Parse the arguments and measure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("--data", type=Path, help="directory of the datasets, which are kept")
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)), help="numbers of scenes")
    parser.add_argument("--small", action="store_true", help=f"sizes {SMALL}, to see that every row runs")
    parser.add_argument("--rows", default="", help="measure only rows whose name has this text")
    parser.add_argument("--json", type=Path, help="write the results there")
    parser.add_argument("--plot", type=Path, help="draw cost against size there (.png)")
    parser.add_argument("--one", nargs=2, metavar=("ROW", "SIZE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        return _measure_here(options.data, options.one[0], int(options.one[1]))
    sizes = SMALL if options.small else tuple(map(int, options.sizes.split(",")))
    with tempfile.TemporaryDirectory() as temporary:
        found = _measure_all(options.data or Path(temporary), sizes, options.rows)
    report = {"machine": description(), "sizes": sizes, "rows": found}
    print(_table(report))
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    if options.plot:
        from benchmarks.scale.plot import draw

        draw(found, options.plot)
    return 1 if any("error" in item for item in found) else 0


def _measure_here(data: Path, name: str, size: int) -> int:
    """Measure one row in this process."""
    (row,) = [item for item in rows() if item.name == name]
    measure = Measure(data, size)
    row.run(measure)
    print(json.dumps({"seconds": measure.seconds, "megabytes": measure.megabytes, **measure.notes}))
    return 0


def _measure_all(data: Path, sizes: tuple[int, ...], text: str) -> list[dict[str, Any]]:
    found = []
    for row in rows():
        for size in sizes if text in row.name else ():
            if row.largest is None or size <= row.largest:
                result = {
                    "row": row.name,
                    "size": size,
                    "target_s": row.seconds,
                    "target_mb": row.megabytes,
                    **_measured(data, row, size),
                }
                print(_line(result), file=sys.stderr, flush=True)
                found.append(result)
    return found


def _measured(data: Path, row: Row, size: int) -> dict[str, Any]:
    """Measure a row in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.scale", "--data", str(data), "--one", row.name, str(size)]
    paths = os.pathsep.join([str(ROOT), str(ROOT / "kernels")])
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        return {"error": done.stderr[-4000:]}
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def _line(result: dict[str, Any]) -> str:
    if "error" in result:
        return f"{result['row']:<48} {result['size']:>7} failed:\n{result['error']}"
    megabytes = "" if result["target_mb"] is None else f" / {result['target_mb']:g} MB"
    met = ""
    if result["size"] == TARGET_SIZE:
        fits = result["seconds"] <= result["target_s"]
        fits = fits and (result["target_mb"] is None or result["megabytes"] <= result["target_mb"])
        met = "  met" if fits else "  MISSED"
    return (
        f"{result['row']:<48} {result['size']:>7} {result['seconds']:>10.3f} s {result['megabytes']:>8.0f} MB"
        f"   target {result['target_s']:g} s{megabytes}{met}"
    )


def _table(report: dict[str, Any]) -> str:
    machine = "\n".join(f"{key}: {value}" for key, value in report["machine"].items())
    head = f"{'row':<48} {'scenes':>7} {'measured':>12} {'memory':>11}   target at {TARGET_SIZE:,} scenes"
    return "\n".join([machine, "", head, *map(_line, report["rows"])])


if __name__ == "__main__":
    sys.exit(main())
