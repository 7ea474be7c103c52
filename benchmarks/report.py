"""Time and size of the report of many scenes: ``python -m benchmarks.report [--scenes 1000]``.

The sample of ``s2pipe demo`` (1098 pixels a side) is linked as often as is asked, as scenes of other days and tiles.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from datetime import date, timedelta
from pathlib import Path

TILES = ("T33UWQ", "T33UXQ", "T33UWR", "T33UXR")


def main() -> None:
    """Run the benchmark and print one line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenes", type=int, default=1000)
    parser.add_argument("--dataset", type=Path, help="output of `s2pipe demo`; by default one is made")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.dataset and options.dataset.parent) as scratch:
        demo = options.dataset or Path(scratch) / "demo"
        if options.dataset is None:
            subprocess.run([sys.executable, "-m", "s2pipe", "demo", "-q", "-o", str(demo)], check=True)
        root = Path(scratch) / "many"
        multiply(demo, root, options.scenes)
        earlier = resource.getrusage(resource.RUSAGE_CHILDREN)
        before = earlier.ru_utime + earlier.ru_stime
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "s2pipe", "report", "-q", str(root)], check=True)
        seconds = time.perf_counter() - start
        size = (root / "report.html").stat().st_size
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent = used.ru_utime + used.ru_stime - before
        print(
            f"{options.scenes} scenes: {seconds:.1f} s ({spent:.1f} s of processor time), {size / 1e6:.1f} MB, "
            f"peak memory {used.ru_maxrss / 1e6:.2f} GB"
        )


def multiply(demo: Path, root: Path, scenes: int) -> None:
    """Link the sample of a demonstration as many scenes, and list them in both indexes."""
    (path,) = (demo / "normalized").glob("processed/*/*/meta.json")
    text = path.read_text(encoding="utf-8")
    old = path.parent.relative_to(demo / "normalized").as_posix()
    (step1,) = json.loads((demo / "data/meta/step1/index.json").read_text(encoding="utf-8"))["scenes"]
    key = json.loads(text)["key"]
    sources, samples = [], []
    for number in range(scenes):
        tile = TILES[number % len(TILES)]
        day = (date(2020, 1, 1) + timedelta(days=number // len(TILES) * 5)).isoformat()
        start = f"{day}T10:03:19Z"
        new = f"processed/tile={tile}/sensing={day}T100319Z"
        (root / new).mkdir(parents=True)
        for file in path.parent.glob("*.tif"):
            os.link(file, root / new / file.name)
        (root / new / "stack.vrt").write_bytes((path.parent / "stack.vrt").read_bytes())
        meta = json.loads(text.replace(old, new))
        del meta["document_sha256"]
        meta["key"] = {"tile_id": tile, "sensing_start_utc": start}
        (root / new / "meta.json").write_text(json.dumps(meta), encoding="utf-8")
        samples.append({"key": meta["key"], "meta_path": f"{new}/meta.json"})
        scene = json.dumps(step1).replace(key["sensing_start_utc"], start).replace(key["tile_id"], tile)
        sources.append(json.loads(scene))
    sources.sort(key=lambda scene: (scene["key"]["tile_id"], scene["key"]["sensing_start_utc"]))
    for step, content in (("step1", {"scenes": sources}), ("step2", {"samples": samples})):
        index = root / "meta" / step / "index.json"
        index.parent.mkdir(parents=True)
        document = {"schema": f"s2pipe.{step}.index.v2", "output": {"out_dir": str(root)}, **content}
        index.write_text(json.dumps(document), encoding="utf-8")


if __name__ == "__main__":
    main()
