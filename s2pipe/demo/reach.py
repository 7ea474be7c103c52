"""The demonstration of reach: the corner of two tiles of different UTM zones on one grid, as seen from nadir."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from s2pipe.demo.picture import can_draw, draw_reach
from s2pipe.demo.run import DemoResult, can_write_shards, complete
from s2pipe.indexing.run import index_products
from s2pipe.patches.cfg import PatchConfig, QualityConfig, SplitConfig
from s2pipe.patches.run import run_patches
from s2pipe.preprocess.cfg import BrdfConfig, PreprocessConfig, ScreeningConfig
from s2pipe.preprocess.grid_cfg import TargetGridConfig
from s2pipe.preprocess.run import run_preprocess
from s2pipe.runtime.addresses import refuse_remote_output
from s2pipe.runtime.files import write_bytes_atomic
from s2pipe.synthetic import ProductSpec, make_products

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

SIDE_M = 10_980
BANDS = ("l2a.B02_20m", "l2a.B03_20m", "l2a.B04_20m", "l2a.B8A_20m")
RGB = (3, 2, 1)
AREA = "POLYGON((11.937 52.0,12.005 52.034,12.069 52.003,12.045 51.969,11.955 51.966,11.937 52.0))"
"""The area of interest, in longitude and latitude: on the border of two zones."""
SUN_ZENITH_DEG = 35.0
_CRS = "EPSG:32633"
_GROUND_EPSG = 32633
_SPEC = ProductSpec(
    side_m=SIDE_M,
    sensing_start=datetime(2025, 6, 10, 10, 3, 19, tzinfo=UTC),
    bands=("B02", "B03", "B04", "B8A"),
    l2a_resolutions=(20,),
    quality_masks=False,
    clouds=0.0,
    strip_width_m=3_000.0,
    directional=True,
    ground_epsg=_GROUND_EPSG,
)
TILES = (
    replace(
        _SPEC,
        tile_id="T32UQC",
        epsg=32632,
        ulx=697_000,
        uly=5_771_000,
        from_edge_m=12_000.0,
        nodata_wedge=0.0,
    ),
    replace(
        _SPEC, tile_id="T33UTT", epsg=32633, ulx=292_000, uly=5_770_000, from_edge_m=6_000.0, nodata_wedge=0.0
    ),
)
"""One datatake; the ground is the same in both."""
PICTURE = "reach.png"


def run_reach(
    out_dir: Path, seed: int = ProductSpec.seed, tiles: Sequence[ProductSpec] = TILES
) -> DemoResult:
    """Make a mosaic of an area on two tiles, with and without a view from nadir, and cut patches.

    Parameters
    ----------
    out_dir : Path
        Directory to fill; the files of an earlier demonstration are replaced.
    seed : int
        Seed of the landscape.
    tiles : sequence of ProductSpec
        Products to make; those of the two tiles that the area lies on by default.

    Raises
    ------
    S2PipeError
        A scene failed.
    """
    refuse_remote_output(out_dir)
    result = DemoResult(out_dir)
    timed = result.timed
    products, data = out_dir / "products", out_dir / "data"

    timed("make products", lambda: [make_products(products, replace(spec, seed=seed)) for spec in tiles])
    timed("index and verify", lambda: index_products([products], data, verify=True))
    observed = PreprocessConfig(
        index_json=data / "meta" / "step1" / "index.json",
        out_dir=out_dir / "observed",
        target_grid=TargetGridConfig(_CRS, 20.0),
        aoi=AREA,
        aoi_mask=True,
        group_by="datatake",
        bands=BANDS,
        quality=ScreeningConfig(enabled=True),
    )
    nadir = replace(observed, out_dir=out_dir / "nadir", brdf=BrdfConfig("c_factor", SUN_ZENITH_DEG))
    timed("mosaic as observed", lambda: complete(run_preprocess(observed)))
    timed("mosaic as seen from nadir", lambda: complete(run_preprocess(nadir)))
    patches = PatchConfig(
        index_json=nadir.out_dir / "meta" / "step2" / "index.json",
        out_dir=out_dir / "patches",
        patch_size=64,
        quality=QualityConfig(min_valid=0.9),
        split=SplitConfig(train=1.0, val=0.0, test=0.0),
    )
    kept: list[tuple[int, int, int]] = []
    if can_write_shards():
        timed("patches", lambda: run_patches(patches))
        kept = kept_patches(patches.out_dir / "patches.parquet", patches.patch_size)
    if can_draw():
        samples = [
            next((config.out_dir / "processed").glob("tile=*/sensing=*")) for config in (observed, nadir)
        ]
        timed("picture", lambda: draw_reach(out_dir / PICTURE, (samples[0], samples[1]), RGB, kept))
        result.picture = out_dir / PICTURE
    write_bytes_atomic(out_dir / "README.txt", _README.encode())
    return result


def kept_patches(path: Path, side: int) -> list[tuple[int, int, int]]:
    """Return row, column and side of the patches that a database has kept."""
    from pyarrow import parquet

    rows = parquet.read_table(path, columns=["row", "col", "kept"]).to_pylist()
    return [(row["row"], row["col"], side) for row in rows if row["kept"]]


_README = """\
Made by `s2pipe demo --reach` from a seed: synthetic data, no real place.

products/  one datatake over two tiles, T32UQC and T33UTT, which show the same ground
data/      their manifest (meta/step1)
observed/  a mosaic of an area on both, on one grid; source.tif says which tile a pixel is from
nadir/     the same, as seen from nadir
patches/   shards of patches, their split and database
reach.png  source, and both mosaics
"""
