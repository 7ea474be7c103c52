"""Draw docs/img/nbar.png from synthetic products: ``python tools/nbar_figure.py``.

Needs Matplotlib (`pip install 's2pipe[figures]'`).
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "kernels")]

from s2pipe.indexing.run import index_products  # noqa: E402
from s2pipe.preprocess.cfg import BrdfConfig, PreprocessConfig  # noqa: E402
from s2pipe.preprocess.run import run_preprocess  # noqa: E402
from s2pipe.raster.grid import Window  # noqa: E402
from s2pipe.raster.reader import RasterReader, inspect_raster  # noqa: E402
from s2pipe.synthetic import ProductSpec, make_products  # noqa: E402
from s2pipe.synthetic.imagery.directional import NADIR_SUN_ZENITH_DEG  # noqa: E402

BAND = "l2a.B8A_20m"
LANDSCAPE = ProductSpec(
    side_m=21_960,
    bands=("B8A",),
    l2a_resolutions=(20,),
    quality_masks=False,
    clouds=0.0,
    noise_dn=0.0,
    nodata_wedge=0.0,
    strip_width_m=4_400.0,
    sensing_start=datetime(2025, 6, 10, 10, 3, 19, tzinfo=UTC),
)
WEST = replace(LANDSCAPE, directional=True)
"""Seen from the west, through six detectors."""
EAST = replace(
    WEST,
    from_edge_m=274_000.0,
    strip_width_m=24_200.0,
    rel_orbit=79,
    sensing_start=datetime(2025, 6, 13, 10, 13, 19, tzinfo=UTC),
)
"""Seen from the east three days later."""


def values(work: Path, spec: ProductSpec, brdf: BrdfConfig) -> np.ndarray:
    """Reflectance (y, x), NaN where invalid."""
    products, data, out = work / "products", work / "data", work / brdf.model
    if not products.exists():
        make_products(products, spec)
        index_products([products], data)
    config = PreprocessConfig(
        data / "meta/step1/index.json", out, target_grid_ref=BAND, bands=(BAND,), brdf=brdf
    )
    if run_preprocess(config).failed:
        raise SystemExit(1)
    path = str(next(out.rglob("x.tif")))
    grid = inspect_raster(path).grid
    bands = np.empty((2, *grid.shape_yx), np.float32)
    for number in (0, 1):
        reader = RasterReader(path, path, band=number + 1)
        reader.read(Window(0, 0, *grid.shape_yx), bands[number])
        reader.close()
    return np.where(bands[1] > 0, bands[0], np.nan)


def main() -> None:
    """Make the products, adjust them, and draw."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    on = BrdfConfig("c_factor", NADIR_SUN_ZENITH_DEG)
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        ground = values(work / "ground", LANDSCAPE, BrdfConfig())
        pairs = [
            (values(work / "west", WEST, brdf), values(work / "east", EAST, brdf))
            for brdf in (BrdfConfig(), on)
        ]
    figure, axes = plt.subplots(1, 3, figsize=(12, 3.9), width_ratios=(1, 1, 1.35), layout="constrained")
    for axis, (west, east), title in zip(axes, pairs, ("as observed", "NBAR"), strict=False):
        image = axis.imshow(west / east, vmin=0.85, vmax=1.15, cmap="RdBu_r", extent=(0, 21.96, 21.96, 0))
        axis.set_title(f"B8A, {title}: western view / eastern view", fontsize=9)
        axis.set_xlabel("km")
    figure.colorbar(image, ax=axes[:2], shrink=0.85)
    km = (np.arange(ground.shape[1]) + 0.5) * 0.02
    row = ground.shape[0] // 2
    ground[ground < 0.1] = np.nan  # one DN of dark water is more than what directions do
    for (west, east), style, title in zip(pairs, ("-", "--"), ("observed", "NBAR"), strict=True):
        axes[2].plot(km, west[row] / ground[row], "C0" + style, lw=1, label=f"western view, {title}")
        axes[2].plot(km, east[row] / ground[row], "C3" + style, lw=1, label=f"eastern view, {title}")
    axes[2].set(xlabel="km along the middle row", title="reflectance / landscape")
    axes[2].title.set_fontsize(9)
    axes[2].legend(fontsize=7)
    figure.savefig(ROOT / "docs/img/nbar.png", dpi=110)


if __name__ == "__main__":
    main()
