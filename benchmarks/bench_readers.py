"""Readers of patches side by side, in one run: samples a second, and processor time a sample.

    .venv-torch/bin/python -m benchmarks.bench_readers [--size small] [--workers 1]

Every reader delivers batches of 8 samples of 256 x 256 pixels with bands, labels and angles as tensors, for one epoch
in a process of its own, with the files in the page cache. It needs what `make test-torch` installs, and measures
rasterio and torchgeo where they are installed.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.machine import description

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

SIDE, BATCH = 256, 8
SHAPE_YX = {"small": (1024, 1024), "full": (3072, 3072)}
ROOT = Path(__file__).resolve().parent.parent


def loader(data: Any, workers: int, **options: Any) -> Any:
    """The loader that all map-style and iterable datasets go through."""
    from torch.utils.data import DataLoader

    return DataLoader(data, batch_size=BATCH, num_workers=workers, **options)


def patch_dataset(root: Path, workers: int) -> Any:
    """Shuffled shards."""
    from s2pipe.torch import PatchDataset

    return loader(PatchDataset(root / "patches" / "shards.json", shuffle=1), workers)


def patch_map(root: Path, workers: int) -> Any:
    """Shards by number, in random order."""
    from s2pipe.torch import PatchMap

    return loader(PatchMap(root / "patches" / "shards.json"), workers, shuffle=True)


def windows(root: Path, workers: int) -> Any:
    """Windows of Step 2's rasters, in random order."""
    from s2pipe.torch import PatchMap

    return loader(
        PatchMap(root / "meta" / "step2" / "index.json", windows=(SIDE, SIDE)), workers, shuffle=True
    )


def webdataset(root: Path, workers: int) -> Any:
    """The same shards with webdataset alone."""
    import webdataset as wds

    shards = sorted(str(path) for path in (root / "patches" / "train").glob("*.tar"))
    data = wds.WebDataset(shards, shardshuffle=len(shards), nodesplitter=wds.split_by_node)
    return loader(data.shuffle(100).decode().to_tuple("x.npy", "y.npy", "angles.npy"), workers)


class RasterioWindows:
    """Windows of the same rasters as a user of rasterio reads them."""

    def __init__(self, root: Path) -> None:
        self._scene = next(root.rglob("x.tif")).parent
        height, width = read_shape(self._scene)
        self._places = [(r, c) for r in range(0, height, SIDE) for c in range(0, width, SIDE)]

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, number: int) -> list[Any]:
        import rasterio
        import torch
        from rasterio.windows import Window

        row, col = self._places[number]
        arrays = []
        for name in ("x.tif", "y.tif", "angles.tif"):
            with rasterio.open(self._scene / name) as raster:
                arrays.append(torch.from_numpy(raster.read(window=Window(col, row, SIDE, SIDE))))
        return arrays


def read_shape(scene: Path) -> tuple[int, int]:
    """Rows and columns of a sample."""
    height, width = json.loads((scene / "meta.json").read_text())["grid"]["shape_yx"]
    return height, width


def rasterio_windows(root: Path, workers: int) -> Any:
    """Windows of Step 2's rasters with rasterio, in random order."""
    return loader(RasterioWindows(root), workers, shuffle=True)


def torchgeo_sampler(root: Path, workers: int) -> Any:
    """The same rasters with torchgeo's grid sampler and stacked raster datasets."""
    from torchgeo.datasets import RasterDataset, stack_samples
    from torchgeo.samplers import GridGeoSampler

    directory = str(next(root.rglob("x.tif")).parent)

    class Bands(RasterDataset):
        filename_glob = "x.tif"
        is_image = True

    class Labels(RasterDataset):
        filename_glob = "y.tif"
        is_image = False

    data = Bands(directory) & Labels(directory)
    return loader(
        data, workers, sampler=GridGeoSampler(data, size=SIDE, stride=SIDE), collate_fn=stack_samples
    )


READERS: dict[str, tuple[Callable[[Path, int], Iterable[Any]], str | None]] = {
    "PatchDataset, shards": (patch_dataset, None),
    "PatchMap, shards": (patch_map, None),
    "webdataset, shards": (webdataset, "webdataset"),
    "PatchMap, windows": (windows, None),
    "rasterio, windows": (rasterio_windows, "rasterio"),
    "torchgeo GridGeoSampler (no angles)": (torchgeo_sampler, "torchgeo"),
}
"""Readers, and what must be installed for them."""


def measure(name: str, root: Path, workers: int) -> dict[str, Any]:
    """Read one epoch; the loader's start counts, as it does in training, and imports do not."""
    import torch

    torch.set_num_threads(1)
    make = READERS[name][0]
    for batch in make(root, 0):
        del batch
        break
    start, used = time.perf_counter(), cpu_seconds()
    samples = sum(size_of(batch) for batch in make(root, workers))
    seconds = time.perf_counter() - start
    return {"samples": samples, "seconds": seconds, "cpu": cpu_seconds() - used}


def size_of(batch: Any) -> int:
    """Samples of a batch."""
    first = next(iter(batch.values())) if isinstance(batch, dict) and "image" not in batch else batch
    return len(
        first["image"] if isinstance(first, dict) else first if isinstance(first[0], str) else first[0]
    )


def cpu_seconds() -> float:
    """Processor time of this process and of those that it has waited for."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def make_data(root: Path, size: str) -> None:
    """Write a scene with six bands and angles, and all of its patches."""
    from s2pipe.patches.cfg import PatchConfig, QualityConfig, ShardConfig, SplitConfig
    from s2pipe.patches.run import run_patches
    from tests.patches.patchdata import Scene, write_step2

    bands = ("B02", "B03", "B04", "B08", "B11", "B12")
    index = write_step2(root, [Scene(shape_yx=SHAPE_YX[size], pixel=10.0, bands=bands, angles=True)])
    config = PatchConfig(
        index, root / "patches", patch_size=SIDE, quality=QualityConfig(min_valid=0.0),
        split=SplitConfig(1.0, 0.0, 0.0), shards=ShardConfig(max_count=32),
    )  # fmt: skip
    run_patches(config)
    for path in root.rglob("*.t[ai][rf]"):
        path.read_bytes()


def main() -> None:
    """Measure all readers and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", choices=SHAPE_YX, default="full")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--only", nargs=2, metavar=("READER", "ROOT"), help="one reader, as JSON")
    options = parser.parse_args()
    if options.only:
        print(json.dumps(measure(options.only[0], Path(options.only[1]), options.workers)))
        return
    print(description())
    print("| reader | samples/s | CPU ms a sample |\n| --- | --- | --- |")
    with tempfile.TemporaryDirectory() as directory:
        make_data(Path(directory), options.size)
        for name, (_, needs) in READERS.items():
            if needs is not None and importlib.util.find_spec(needs) is None:
                print(f"| {name} | {needs} is not installed | |")
                continue
            rounds = [run_one(name, directory, options.workers) for _ in range(3)]
            rate = np.median([one["samples"] / one["seconds"] for one in rounds])
            cpu = np.median([1e3 * one["cpu"] / one["samples"] for one in rounds])
            print(f"| {name} | {rate:.0f} | {cpu:.1f} |", flush=True)


def run_one(name: str, directory: str, workers: int) -> dict[str, Any]:
    """Measure one reader in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.bench_readers", "--workers", str(workers)]
    done = subprocess.run(
        [*command, "--only", name, directory], check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    result: dict[str, Any] = json.loads(done.stdout)
    return result


if __name__ == "__main__":
    main()
