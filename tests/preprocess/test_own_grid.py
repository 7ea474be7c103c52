"""Grids of the user's own: every pixel equals that of GDAL's warp of the whole image, for tiles of any UTM zone."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from s2pipe.dataset.samples import Sample, load_samples
from s2pipe.indexing.run import index_products
from s2pipe.preprocess.cfg import PreprocessConfig
from s2pipe.preprocess.grid_cfg import TargetGridConfig
from s2pipe.preprocess.run import run_preprocess
from s2pipe.synthetic import ProductSpec, make_products
from tests.conftest import Dataset, read_whole_band

if TYPE_CHECKING:
    from pathlib import Path

SIDE_M = 3660
MIDDLE = {33: (294_000, 5_766_000), 32: (706_000, 5_766_000)}
"""About 12 degrees east, 52 degrees north, on the border of the zones."""
TILES = {32: "T32UQC", 33: "T33UTT"}
BANDS = ("B02", "B11", "B01")


@pytest.fixture(scope="session")
def two_zones(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """One datatake in two tiles of neighbouring zones, which share most of their ground; nodata in the east."""
    base = tmp_path_factory.mktemp("zones")
    for zone, (x, y) in MIDDLE.items():
        spec = ProductSpec(
            tile_id=TILES[zone],
            epsg=32600 + zone,
            ulx=x - SIDE_M // 2,
            uly=y + SIDE_M // 2,
            side_m=SIDE_M,
            sensing_start=datetime(2025, 7, 10, 10, 3, 19, tzinfo=UTC),
            nodata_wedge=0.2,
            quality_masks=False,
            bands=BANDS,
            l2a_resolutions=(20,),
            strip_width_m=1500.0,
        )
        make_products(base / "products", spec)
    index_products([base / "products"], base / "out")
    return Dataset(base / "out", base / "products")


def _config(dataset: Dataset, out: Path, grid: TargetGridConfig, **changes: Any) -> PreprocessConfig:
    base = PreprocessConfig(
        dataset.index_json, out, target_grid=grid, l1c_bands=BANDS, to_toa_reflectance=False
    )
    return replace(base, **changes)


def _write(dataset: Dataset, out: Path, grid: TargetGridConfig, **changes: Any) -> dict[str, Sample]:
    result = run_preprocess(_config(dataset, out, grid, **changes))
    assert not result.failed
    return {sample.key.tile_id: sample for sample in load_samples(out / "meta" / "step2" / "index.json")}


def _pixels(sample: Sample, name: str = "x", dtype: str = "float32") -> np.ndarray:
    record = sample.rasters[name]
    path = sample.root / record.path
    return np.stack([read_whole_band(path, band + 1, dtype) for band in range(len(record.band_names))])


def _place(crs: str, zone: int = 33) -> tuple[float, float]:
    """Middle of the tiles in a reference system, x before y."""
    from pyproj import Transformer

    return Transformer.from_crs(32600 + zone, crs, always_xy=True).transform(*MIDDLE[zone])


def _around(
    crs: str, left: float, bottom: float, right: float, top: float
) -> tuple[float, float, float, float]:
    """Bounds at distances from the middle of the tiles."""
    x, y = _place(crs)
    return x - left, y - bottom, x + right, y + top


def _warped(
    dataset: Dataset, sample: Sample, band: str, method: str, kind: str = "Float32", **changes: Any
) -> np.ndarray:
    """GDAL's own warp of the whole image of a band onto the grid of a sample."""
    from osgeo import gdal

    gdal.UseExceptions()
    (path,) = (dataset.products).glob(f"*L1C*_{sample.key.tile_id}_*/GRANULE/*/IMG_DATA/*_{band}.jp2")
    grid = sample.grid
    options = {
        "format": "MEM",
        "dstSRS": grid.crs_wkt,
        "outputBounds": grid.bounds,
        "width": grid.width,
        "height": grid.height,
        "resampleAlg": {"nearest": "near"}.get(method, method),
        "srcNodata": 0,
        "dstNodata": 0,
        "outputType": getattr(gdal, f"GDT_{kind}"),
        "overviewLevel": "NONE",
        "errorThreshold": 0,
        **changes,
    }
    raster = gdal.Warp("", str(path), **options)
    return np.frombuffer(raster.GetRasterBand(1).ReadRaster(), "float32").reshape(grid.shape_yx)


@pytest.mark.parametrize(
    ("crs", "resolution", "method"),
    [
        ("EPSG:32633", 10.0, "bilinear"),
        ("EPSG:3035", 13.0, "nearest"),
        ("EPSG:32632", 20.0, "cubic"),
        ("EPSG:32632", 30.0, "average"),
        ("EPSG:3035", 60.0, "mode"),
    ],
)
def test_every_pixel_equals_that_of_gdals_warp_of_the_whole_image(
    two_zones: Dataset, tmp_path: Path, crs: str, resolution: float, method: str
) -> None:
    """Beyond the tiles on two sides, within them on the others, with sides that are no multiples of any block."""
    grid = TargetGridConfig(crs, resolution, _around(crs, 2611, 1003, 1407, 2303))
    methods: dict[str, Any] = {"upsample_method": method, "downsample_method": method}
    samples = _write(two_zones, tmp_path, grid, **methods)
    assert set(samples) == set(TILES.values())
    first, second = samples.values()
    assert first.grid == second.grid
    left, _, _, top = first.grid.bounds
    assert (left % resolution, top % resolution) == (0, 0)
    for sample in samples.values():
        found, declared = _pixels(sample), _pixels(sample, "stack")
        valid = np.ones(sample.grid.shape_yx, bool)
        for number, band in enumerate(BANDS):
            expected = _warped(two_zones, sample, band, method)
            valid &= expected != 0
            assert np.array_equal(declared[number], expected)
            assert np.array_equal(found[number], expected)
        assert np.array_equal(found[-1], valid)
        assert 0.2 < valid.mean() < 0.9
