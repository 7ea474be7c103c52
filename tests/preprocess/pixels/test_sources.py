"""Bands through kernels equal the warp that is declared for them, to the last bit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from s2pipe.preprocess.inputs import BandInput
from s2pipe.preprocess.pixels.sources import nesting_factor, open_band
from s2pipe.raster.grid import Grid, RasterInfo, Window
from s2pipe.raster.jp2 import write_jp2
from s2pipe.raster.reader import RasterReader, inspect_raster
from s2pipe.raster.vrt import WarpSpec, warped_vrt
from s2pipe.sentinel2.channels import Channel

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Dataset

B02 = Channel.l1c("B02")
PIXELS = {10: 732, 20: 366, 60: 122}


@pytest.fixture(scope="module")
def holed(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> dict[int, RasterInfo]:
    """One raster per resolution: noise up to the saturated DN, a wedge and scattered holes of nodata."""
    folder = tmp_path_factory.mktemp("holed")
    crs = inspect_raster(str(next(dataset.products.glob("*L1C*/GRANULE/*/IMG_DATA/*_B02.jp2")))).grid.crs_wkt
    rng = np.random.default_rng(0)
    rasters = {}
    for resolution, size in PIXELS.items():
        grid = Grid(crs, (499980.0, float(resolution), 0.0, 5400000.0, 0.0, -float(resolution)), (size, size))
        dn = rng.integers(1, 30000, (size, size)).astype(np.uint16)
        dn[rng.random(dn.shape) < 0.05] = 0
        dn[np.add.outer(np.arange(size) // 3, np.arange(size)) < size // 3] = 0
        path = folder / f"{resolution}.jp2"
        write_jp2(path, grid, dn, 128)
        rasters[resolution] = inspect_raster(str(path))
    return rasters


def _whole(source: RasterReader, grid: Grid) -> np.ndarray:
    out = np.empty(grid.shape_yx, np.float32)
    source.read(Window(0, 0, *grid.shape_yx), out)
    return out


@pytest.mark.parametrize(
    ("source", "target", "method"),
    [(10, 20, "average"), (10, 60, "average"), (20, 60, "average"), (20, 10, "bilinear"), (60, 10, "bilinear"),
     (60, 20, "bilinear"), (20, 10, "nearest"), (10, 20, "max")],
)  # fmt: skip
def test_a_band_equals_its_declared_warp(
    holed: dict[int, RasterInfo], source: int, target: int, method: str
) -> None:
    raster, grid = holed[source], holed[target].grid
    expected = _whole(RasterReader(warped_vrt(raster, grid, WarpSpec(method))), grid)
    band = open_band(BandInput(B02, raster, method), grid, 0.0, 1)
    for window in [
        Window(0, 0, *grid.shape_yx),
        *grid.block_windows(97, 51),
        *grid.block_windows(64, grid.width),
    ]:
        out = np.empty(window.shape_yx, np.float32)
        band.read(window, out)
        assert np.array_equal(out, expected[window.row : window.row_end, window.col : window.col_end])
    band.close()
    assert 0.1 < np.mean(expected == 0) < 0.6


@pytest.mark.parametrize("minimum", [0.25, 0.5, 0.75, 1.0])
@pytest.mark.parametrize(
    ("source", "target", "method"), [(10, 20, "average"), (20, 60, "average"), (20, 10, "bilinear")]
)
def test_the_valid_share_decides_alike_in_kernels_and_gdal(
    holed: dict[int, RasterInfo], source: int, target: int, method: str, minimum: float
) -> None:
    raster, grid = holed[source], holed[target].grid
    fast, slow = (
        open_band(BandInput(B02, info, method), grid, minimum, 1)
        for info in (raster, RasterInfo(raster.path, raster.grid, "Int32", raster.block_yx))
    )
    assert type(fast) is not type(slow)
    assert np.array_equal(_whole(fast, grid), _whole(slow, grid))  # type: ignore[arg-type]


def test_grids_nest_only_when_they_share_corner_and_size() -> None:
    def grid(x: float, pixel: float, size: int, crs: str = "a") -> Grid:
        return Grid(crs, (x, pixel, 0.0, 0.0, 0.0, -pixel), (size, size))

    assert nesting_factor(grid(0, 10, 60), grid(0, 20, 30)) == 2
    assert nesting_factor(grid(0, 10, 60), grid(0, 60, 10)) == 6
    assert nesting_factor(grid(0, 20, 30), grid(0, 10, 60)) == 0
    assert nesting_factor(grid(5, 10, 60), grid(0, 20, 30)) == 0
    assert nesting_factor(grid(0, 10, 61), grid(0, 20, 30)) == 0
    assert nesting_factor(grid(0, 10, 60), grid(0, 20, 30, "b")) == 0
    assert nesting_factor(grid(0, 10, 60), grid(0, 25, 24)) == 0


def test_no_tile_is_decoded_twice(dataset: Dataset, tmp_path: Path) -> None:
    """The windows of the engine, read in order, cost no more block loads than one look at the whole band."""
    from osgeo import gdal

    from s2pipe.preprocess.pixels.blocks import scene_windows

    source = next(dataset.products.glob("*MSIL1C*/GRANULE/*/IMG_DATA/*_B02.jp2"))
    info = inspect_raster(str(source))
    band = open_band(BandInput(B02, info, None), info.grid, 0.0, 1)
    band.read(Window(0, 0, *info.grid.shape_yx), np.empty(info.grid.shape_yx, np.float32))
    before = gdal.GetCacheUsed()
    for window in scene_windows(info.grid):
        band.read(window, np.empty(window.shape_yx, np.float32))
    assert gdal.GetCacheUsed() == before
    band.close()
