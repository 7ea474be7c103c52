"""How far statistics from a draw stray: ``python -m benchmarks.sampling DATASET --bands B02 B11 --grid scl_20m``.

DATASET is a directory made by ``s2pipe index``. Clip values of 1 % of the pixels, drawn from blocks or from all
pixels with several seeds, are compared with those of all pixels.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from s2pipe.dataset.step1_index import load_index
from s2pipe.preprocess.cfg import NormalizeConfig, PreprocessConfig
from s2pipe.preprocess.plan import make_plan
from s2pipe.preprocess.run import run_preprocess
from s2pipe.preprocess.stats.stats_file import load_stats

if TYPE_CHECKING:
    from collections.abc import Sequence

NAMES = ("clip_low_by_band", "clip_high_by_band", "mean_by_band", "std_by_band")


@dataclass(frozen=True)
class Stray:
    """Largest distance from the statistics of all pixels, over bands and seeds."""

    sampling: str
    distances: dict[str, float]


def measure(config: PreprocessConfig, share: float, seeds: int) -> list[Stray]:
    """Compare draws of a share of the pixels with all pixels."""
    plan = make_plan(load_index(config.index_json), config)
    size = max(1, int(share * plan.scenes[0].target.height * plan.scenes[0].target.width))
    with tempfile.TemporaryDirectory() as folder:

        def stats(**draw: object) -> dict[str, Any]:
            path = Path(folder) / "stats.json"
            normalize = NormalizeConfig(mode="compute_only", stats_path=path, **draw)  # type: ignore[arg-type]
            run_preprocess(replace(config, out_dir=Path(folder), normalize=normalize))
            return load_stats(path).to_document()

        truth = stats()
        found = []
        for sampling in ("blocks", "pixels"):
            drawn = [stats(max_pixels_per_scene=size, sampling=sampling, seed=seed) for seed in range(seeds)]
            distances = {
                name: max(
                    abs(one[name][band] - truth[name][band]) for one in drawn for band in config.l1c_bands
                )
                for name in NAMES
            }
            found.append(Stray(sampling, distances))
    return found


def main(arguments: Sequence[str] | None = None) -> list[Stray]:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sampling", description=__doc__)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--bands", nargs="+", default=["B02", "B03", "B04", "B08", "B11", "B12"])
    parser.add_argument("--grid", default="scl_20m")
    parser.add_argument("--share", type=float, default=0.01)
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args(arguments)
    index = options.dataset / "meta" / "step1" / "index.json"
    config = PreprocessConfig(index, options.dataset, options.grid, tuple(options.bands))
    found = measure(config, options.share, options.seeds)
    print(f"{'draw':8}" + "".join(f"{name.removesuffix('_by_band'):>12}" for name in NAMES))
    for stray in found:
        print(f"{stray.sampling:8}" + "".join(f"{stray.distances[name]:12.4f}" for name in NAMES))
    return found


if __name__ == "__main__":
    main()
