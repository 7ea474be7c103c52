"""Declared resampling against GDAL's own Warp, and the trap of overviews."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from osgeo import gdal

from s2pipe.raster.grid import Grid, RasterInfo, TargetGrid, Window
from s2pipe.raster.reader import RasterReader, inspect_raster
from s2pipe.raster.vrt import StackBand, WarpSpec, stack_vrt, validity_vrt, warped_vrt
from tests.conftest import Dataset, read_whole_band

if TYPE_CHECKING:
    from pathlib import Path

BANDS = {10: "B02", 20: "B11", 60: "B01"}


def _band(dataset: Dataset, resolution: int) -> RasterInfo:
    folder = dataset.root / "raw" / "L1C" / "tile=T33UWQ" / "sensing=20251210T100319Z" / "files"
    return inspect_raster(str(folder / f"T33UWQ_20251210T100319_{BANDS[resolution]}.jp2"))


def _read(source: str, grid: Grid) -> np.ndarray:
    out = np.empty(grid.shape_yx, np.float32)
    RasterReader(source).read(Window(0, 0, *grid.shape_yx), out)
    return out


def _gdal_warp(source: RasterInfo, target: Grid, method: str, overview_level: str = "NONE") -> np.ndarray:
    left, bottom, right, top = target.bounds
    data = gdal.Warp(
        "",
        source.path,
        format="VRT",
        outputBounds=(left, bottom, right, top),
        xRes=target.pixel_size[0],
        yRes=target.pixel_size[1],
        resampleAlg=method,
        srcNodata=0,
        dstNodata=0,
        outputType=gdal.GDT_Float32,
        overviewLevel=overview_level,
    )
    out = np.empty(target.shape_yx, np.float32)
    data.GetRasterBand(1).ReadRaster(0, 0, *target.shape_yx[::-1], buf_obj=out, buf_type=gdal.GDT_Float32)
    return out


@pytest.mark.parametrize(
    "method", ["nearest", "bilinear", "average", "mode", "max", "min", "med", "q1", "q3"]
)
@pytest.mark.parametrize(("source", "target"), [(10, 20), (10, 60), (20, 60), (20, 10), (60, 10), (60, 20)])
def test_the_declared_warp_equals_gdals_own(dataset: Dataset, source: int, target: int, method: str) -> None:
    raster, grid = _band(dataset, source), _band(dataset, target).grid
    expected = _gdal_warp(raster, grid, method)
    assert np.array_equal(_read(warped_vrt(raster, grid, WarpSpec(method)), grid), expected)
    assert (expected > 0).any()


def test_cubic_equals_gdals_own_away_from_nodata(dataset: Dataset) -> None:
    """Near nodata a cubic result depends on the block layout, which s2pipe fixes and GDAL's default differs in."""
    raster, grid = _band(dataset, 20), _band(dataset, 10).grid
    expected, got = (
        _gdal_warp(raster, grid, "cubic"),
        _read(warped_vrt(raster, grid, WarpSpec("cubic")), grid),
    )
    assert np.mean(expected != got) < 0.01


@pytest.mark.parametrize(("source", "target"), [(10, 20), (20, 60), (10, 60)])
def test_average_is_the_mean_of_valid_source_pixels_and_never_an_overview(
    dataset: Dataset, source: int, target: int
) -> None:
    raster, grid = _band(dataset, source), _band(dataset, target).grid
    factor = target // source
    dn = read_whole_band(raster.path).astype(np.float64)
    blocks = dn.reshape(grid.height, factor, grid.width, factor)
    count = (blocks != 0).sum(axis=(1, 3))
    with np.errstate(invalid="ignore"):
        expected = np.where(count > 0, blocks.sum(axis=(1, 3)) / count, 0).astype(np.float32)
    got = _read(warped_vrt(raster, grid, WarpSpec("average")), grid)
    assert np.array_equal(got, expected)


def test_gdals_default_would_read_an_overview(dataset: Dataset) -> None:
    """The reason for overview level NONE: by default GDAL averages a wavelet overview instead of pixels."""
    raster, grid = _band(dataset, 10), _band(dataset, 20).grid
    text = warped_vrt(raster, grid, WarpSpec("average"))
    assert "<SrcOvrLevel>NONE</SrcOvrLevel>" in text
    careless = _gdal_warp(raster, grid, "average", overview_level="AUTO")
    assert np.mean(careless != _read(text, grid)) > 0.1


@pytest.mark.parametrize("method", ["nearest", "bilinear", "average"])
def test_reading_by_windows_equals_reading_at_once(dataset: Dataset, method: str) -> None:
    raster, grid = _band(dataset, 20), _band(dataset, 10).grid
    text = warped_vrt(raster, grid, WarpSpec(method))
    whole = _read(text, grid)
    reader = RasterReader(text)
    for window in grid.block_windows(97, 211):
        out = np.empty(window.shape_yx, np.float32)
        reader.read(window, out)
        assert np.array_equal(out, whole[window.row : window.row_end, window.col : window.col_end])


def test_the_average_of_validity_is_the_valid_share(dataset: Dataset) -> None:
    raster, grid = _band(dataset, 10), _band(dataset, 60).grid
    dn = read_whole_band(raster.path)
    expected = (dn != 0).reshape(grid.height, 6, grid.width, 6).mean(axis=(1, 3))
    spec = WarpSpec("average", source_nodata=None)
    got = _read(warped_vrt(validity_vrt(raster), grid, spec), grid)
    np.testing.assert_allclose(got, expected, atol=1e-6)
    assert 0 < np.mean((got > 0) & (got < 1))


def test_another_crs_is_reprojected(dataset: Dataset) -> None:
    raster = _band(dataset, 20)
    there = gdal.Warp("", raster.path, format="VRT", dstSRS="EPSG:32632", xRes=20, yRes=20, srcNodata=0)
    target = Grid(
        there.GetProjection(), tuple(there.GetGeoTransform()), (there.RasterYSize, there.RasterXSize)
    )
    expected = _gdal_warp_to_crs(raster, target)
    got = _read(warped_vrt(raster, target, WarpSpec("nearest")), target)
    assert np.mean(got != expected) < 1e-3
    assert (got > 0).mean() > 0.5


def _gdal_warp_to_crs(raster: RasterInfo, target: Grid) -> np.ndarray:
    data = gdal.Warp(
        "",
        raster.path,
        format="VRT",
        dstSRS=target.crs_wkt,
        outputBounds=target.bounds,
        width=target.width,
        height=target.height,
        srcNodata=0,
        dstNodata=0,
        outputType=gdal.GDT_Float32,
    )
    out = np.empty(target.shape_yx, np.float32)
    data.GetRasterBand(1).ReadRaster(
        0, 0, target.width, target.height, buf_obj=out, buf_type=gdal.GDT_Float32
    )
    return out


def test_a_stack_opens_with_names_and_relative_paths(dataset: Dataset, tmp_path: Path) -> None:
    raster, grid = _band(dataset, 20), _band(dataset, 10).grid
    (tmp_path / "B11.vrt").write_text(warped_vrt(raster, grid, WarpSpec("bilinear"), vrt_dir=tmp_path))
    bands = [StackBand("B02", _band(dataset, 10).path), StackBand("B11 & more", str(tmp_path / "B11.vrt"))]
    text = stack_vrt(bands, TargetGrid.whole(grid), tmp_path)
    (tmp_path / "stack.vrt").write_text(text)
    assert str(tmp_path) not in text
    data = gdal.Open(str(tmp_path / "stack.vrt"))
    assert [data.GetRasterBand(i).GetDescription() for i in (1, 2)] == ["B02", "B11 & more"]
    expected = _read(warped_vrt(raster, grid, WarpSpec("bilinear")), grid)
    assert np.array_equal(read_whole_band(tmp_path / "stack.vrt", 2), expected)
