"""Areas of interest: every pixel equals that of the whole tile, and nothing else is written, counted or decoded."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from s2pipe.cli import main
from s2pipe.config.schema import document_faults
from s2pipe.dataset.samples import load_samples
from s2pipe.dataset.scene_choice import SceneChoice
from s2pipe.errors import ConfigError, MissingInputError, S2PipeError
from s2pipe.ground.area import Area
from s2pipe.indexing.run import index_products
from s2pipe.preprocess.cfg import (
    AngleAssetConfig,
    BrdfConfig,
    CacheConfig,
    LabelConfig,
    NormalizeConfig,
    PreprocessConfig,
    ScreeningConfig,
)
from s2pipe.preprocess.one_scene import process_scene
from s2pipe.preprocess.run import run_preprocess
from s2pipe.synthetic import ProductSpec, make_products
from tests.conftest import Dataset, read_whole_band

if TYPE_CHECKING:
    from pathlib import Path

    from s2pipe.dataset.samples import Sample

EPSG = 32633


def _write(dataset: Dataset, out: Path, **changes: Any) -> Sample:
    result = run_preprocess(dataset.config(out, max_scenes=1, num_workers=2, **changes))
    assert not result.failed
    return load_samples(out / "meta" / "step2" / "index.json")[0]


def _pixels(sample: Sample, name: str = "x") -> np.ndarray:
    record = sample.rasters[name]
    path = sample.root / record.path
    return np.stack([read_whole_band(path, band + 1) for band in range(len(record.band_names))])


def _bounds(sample: Sample, cols: tuple[float, float], rows: tuple[float, float], step: float = 10.0) -> str:
    """Bounds of an area in 10 m pixels of a whole sample's grid."""
    x0, _, _, y0, _, _ = sample.grid.geotransform
    return ",".join(
        map(repr, (x0 + step * cols[0], y0 - step * rows[1], x0 + step * cols[1], y0 - step * rows[0]))
    )


@pytest.fixture(scope="module")
def whole(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Sample:
    return _write(dataset, tmp_path_factory.mktemp("whole"), target_grid_ref="B02")


@pytest.mark.parametrize("method", ["nearest", "bilinear", "cubic", "average", "mode"])
@pytest.mark.parametrize(
    ("reference", "step"), [("B02", 10), ("scl_20m", 20), ("B01", 60)], ids=["10m", "20m", "60m"]
)
def test_every_pixel_equals_that_of_the_whole_tile(
    dataset: Dataset, whole: Sample, tmp_path: Path, reference: str, step: int, method: str
) -> None:
    """Cut at odd pixels, at nodata, and off the borders of the warper's blocks."""
    changes: dict[str, Any] = {
        "target_grid_ref": reference,
        "l1c_bands": ("B02", "B11", "B01"),
        "upsample_method": method,
        "downsample_method": method,
    }
    all_of_it = _write(dataset, tmp_path / "whole", **changes)
    area = _bounds(whole, (203.5, 499), (181, 402.2))
    cut = _write(dataset, tmp_path / "cut", aoi=area, aoi_crs=f"EPSG:{EPSG}", **changes)
    x0, _, _, y0, _, _ = all_of_it.grid.geotransform
    col, row = (
        round(value)
        for value in ((cut.grid.geotransform[0] - x0) / step, (y0 - cut.grid.geotransform[3]) / step)
    )
    assert (col, row) == (int(2035 // step), int(1810 // step))
    height, width = cut.grid.shape_yx
    assert (row + height, col + width) == (-(-4022 // step), -(-4990 // step))
    expected = _pixels(all_of_it)[:, row : row + height, col : col + width]
    assert np.array_equal(_pixels(cut), expected)
    assert 0 < expected[-1].mean()
    assert np.array_equal(
        _pixels(cut, "stack"), _pixels(all_of_it, "stack")[:, row : row + height, col : col + width]
    )


@pytest.mark.parametrize("grid", ["target", "vrt"])
def test_labels_screening_and_angles_equal_those_of_the_whole_tile(
    dataset: Dataset, whole: Sample, tmp_path: Path, grid: Any
) -> None:
    changes: dict[str, Any] = {
        "target_grid_ref": "B02",
        "l1c_bands": ("B02", "B11"),
        "labels": LabelConfig(enabled=True),
        "quality": ScreeningConfig(enabled=True),
        "angles": AngleAssetConfig(enabled=True, grid=grid),
    }
    all_of_it = _write(dataset, tmp_path / "whole", **changes)
    area = _bounds(whole, (111, 640), (77, 333))
    cut = _write(dataset, tmp_path / "cut", aoi=area, aoi_crs=f"EPSG:{EPSG}", **changes)
    assert cut.grid.shape_yx == (256, 529)
    for kind in ("x", "y", "quality", "angles"):
        expected = _pixels(all_of_it, kind)[:, 77:333, 111:640]
        assert np.array_equal(_pixels(cut, kind), expected, equal_nan=True), kind
    stats = json.loads((tmp_path / "cut" / cut.rasters["x"].path).with_name("meta.json").read_text())[
        "labels"
    ]["stats"]
    assert stats["pixels"] == 256 * 529


def test_pixels_outside_the_polygon_are_invalid_where_it_is_a_mask(
    dataset: Dataset, whole: Sample, tmp_path: Path
) -> None:
    """A ring with a hole, and an island: even GDAL's own rasterizer agrees on every pixel."""
    from osgeo import gdal, ogr, osr

    x0, _, _, y0, _, _ = whole.grid.geotransform

    def ring(points: list[tuple[float, float]]) -> str:
        return "(" + ",".join(f"{x0 + 10 * col} {y0 - 10 * row}" for col, row in [*points, points[0]]) + ")"

    outer, hole = [(310.2, 250), (500, 300.7), (450, 600), (320, 500)], [(350, 350), (420, 360), (400, 420)]
    island = [(520, 400), (530.4, 400), (525, 430.1)]
    wkt = f"SRID={EPSG};MULTIPOLYGON(({ring(outer)},{ring(hole)}),({ring(island)}))"
    changes: dict[str, Any] = {
        "target_grid_ref": "B02",
        "l1c_bands": ("B02", "B11"),
        "labels": LabelConfig(enabled=True),
    }
    plain = _write(dataset, tmp_path / "plain", aoi=wkt, **changes)
    cut = _write(dataset, tmp_path / "cut", aoi=wkt, aoi_mask=True, **changes)
    assert cut.grid == plain.grid
    height, width = cut.grid.shape_yx
    memory = gdal.GetDriverByName("MEM").Create("", width, height, 1, gdal.GDT_Byte)
    memory.SetGeoTransform(cut.grid.geotransform)
    system = osr.SpatialReference()
    system.ImportFromEPSG(EPSG)
    memory.SetProjection(system.ExportToWkt())
    layer_source = ogr.GetDriverByName(
        "MEM" if gdal.VersionInfo() >= "3110000" else "Memory"
    ).CreateDataSource("area")
    layer = layer_source.CreateLayer("area", system)
    feature = ogr.Feature(layer.GetLayerDefn())
    feature.SetGeometry(ogr.CreateGeometryFromWkt(wkt.partition(";")[2]))
    layer.CreateFeature(feature)
    gdal.RasterizeLayer(memory, [1], layer, burn_values=[1])
    inside = np.frombuffer(memory.ReadRaster(), np.uint8).reshape(height, width) == 1
    assert 0.3 < inside.mean() < 0.7
    x, y = _pixels(cut), _pixels(cut, "y")[0]
    assert np.array_equal(x, np.where(inside, _pixels(plain), 0))
    assert np.array_equal(y, np.where(inside, _pixels(plain, "y")[0], 255))
    document = json.loads((tmp_path / "cut" / cut.rasters["x"].path).with_name("meta.json").read_text())
    assert document["area"]["pixels_inside"] == inside.sum()
    assert document["labels"]["stats"]["counts"].get("255", 0) == (y == 255).sum()


def test_statistics_count_the_area_alone(dataset: Dataset, whole: Sample, tmp_path: Path) -> None:
    area = {"aoi": _bounds(whole, (100, 400), (200, 500)), "aoi_crs": f"EPSG:{EPSG}"}
    bands: dict[str, Any] = {"target_grid_ref": "B02", "l1c_bands": ("B02", "B11")}
    cut = _pixels(_write(dataset, tmp_path / "cut", **area, **bands))
    for draw in ({}, {"max_pixels_per_scene": 700}, {"max_pixels_per_scene": 700, "sampling": "pixels"}):
        out = tmp_path / f"stats{len(draw)}"
        stats = NormalizeConfig(
            mode="compute_only", stats_path=out / "stats.json", clip_percentiles=None, **draw
        )
        result = run_preprocess(
            dataset.config(
                out, max_scenes=1, normalize=stats, cache=CacheConfig(True, tmp_path / "c"), **area, **bands
            )
        )
        mean = json.loads(result.stats_path.read_bytes())["mean_by_band"]["B02"]
        valid = cut[0][cut[-1] == 1]
        allowed = 1e-4 if not draw else 6 * valid.std() / np.sqrt(700)
        assert abs(mean - valid.mean()) < allowed
    cached = _write(dataset, tmp_path / "again", cache=CacheConfig(True, tmp_path / "c"), **area, **bands)
    assert np.array_equal(_pixels(cached), cut)


def test_scenes_that_the_area_misses_are_left_out_and_said_so(
    dataset: Dataset, whole: Sample, tmp_path: Path
) -> None:
    _, bottom, right, top = whole.grid.bounds
    beside = f"{right},{bottom},{right + 5000},{top}"  # shares a border with the tile
    with pytest.raises(S2PipeError, match=r"preprocess\.aoi: .* misses them all; check its coordinates"):
        _write(dataset, tmp_path, aoi=beside, aoi_crs=f"EPSG:{EPSG}")
    over = f"{right - 35},{top - 15},{right + 5000},{top + 100}"
    cut = _write(
        dataset, tmp_path, target_grid_ref="B02", l1c_bands=("B02",), aoi=over, aoi_crs=f"EPSG:{EPSG}"
    )
    assert (cut.grid.shape_yx, cut.grid.bounds[2:]) == ((2, 4), (right, top))


def test_the_command_takes_bounds_and_files(dataset: Dataset, whole: Sample, tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    step = {
        "index_json": str(dataset.index_json),
        "target_grid_ref": "B02",
        "l1c_bands": ["B02"],
        "max_scenes": 1,
    }
    config.write_text(json.dumps({"preprocess": {**step, "out_dir": str(tmp_path / "out")}}))
    text = _bounds(whole, (10, 20), (10, 30))
    assert main(["preprocess", "--aoi", text, str(config), "--aoi-crs", f"EPSG:{EPSG}", "-q"]) == 0
    (sample,) = load_samples(tmp_path / "out" / "meta" / "step2" / "index.json")
    assert sample.grid.shape_yx == (20, 10)
    assert main(["preprocess", str(config), "--aoi", "-3,-3,-2,-2", "-q"]) == 2
    assert main(["preprocess", str(config), "--aoi", "POLYGON((0 0,1 1,0 1,1 0,0 0))", "-q"]) == 2
    assert main(["preprocess", str(config), "--aoi-mask", "-q"]) == 2


def test_the_same_pixels_are_up_to_date_however_the_area_is_written(
    dataset: Dataset, whole: Sample, tmp_path: Path
) -> None:
    def config(**changes: Any) -> PreprocessConfig:
        return dataset.config(tmp_path, max_scenes=1, l1c_bands=("B02",), aoi_crs=f"EPSG:{EPSG}", **changes)

    assert run_preprocess(config(aoi=_bounds(whole, (10, 40), (10, 40)))).done
    assert run_preprocess(config(aoi=_bounds(whole, (11, 39), (11, 39)), aoi_margin_m=5.0)).up_to_date
    assert run_preprocess(config(aoi=_bounds(whole, (10, 42.5), (10, 40)))).done
    assert run_preprocess(config(aoi=_bounds(whole, (10, 42.5), (10, 40)), aoi_mask=True)).done


def test_an_area_of_points_cannot_be_a_mask(dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no inside"):
        _write(dataset, tmp_path, aoi="POINT (15.01 48.7)", aoi_mask=True)
    assert not Area.read("POINT (15.01 48.7)").has_inside


def test_pixels_adjusted_to_nadir_equal_those_of_the_whole_tile(
    dataset: Dataset, whole: Sample, tmp_path: Path
) -> None:
    """At an odd corner, off the knots between which view angles are interpolated."""
    changes: dict[str, Any] = {
        "target_grid_ref": "B02",
        "l1c_bands": ("B02", "B11"),
        "brdf": BrdfConfig(model="c_factor"),
    }
    all_of_it = _write(dataset, tmp_path / "whole", **changes)
    area = _bounds(whole, (111, 640), (77, 333))
    cut = _write(dataset, tmp_path / "cut", aoi=area, aoi_crs=f"EPSG:{EPSG}", **changes)
    assert np.array_equal(_pixels(cut), _pixels(all_of_it)[:, 77:333, 111:640])


def test_of_several_tiles_those_that_the_area_touches_are_written(
    dataset: Dataset, whole: Sample, tmp_path: Path
) -> None:
    """Scenes outside are no failure."""
    spec = ProductSpec(tile_id="T33UXQ", side_m=2_400, bands=("B02",), quality_masks=False)
    make_products(tmp_path / "products", spec)
    index_products([dataset.products, tmp_path / "products"], tmp_path / "step1")
    index = tmp_path / "step1" / "meta" / "step1" / "index.json"
    config = PreprocessConfig(
        index,
        tmp_path / "out",
        "B02",
        ("B02",),
        aoi=_bounds(whole, (5, 15), (5, 15)),
        aoi_crs=f"EPSG:{EPSG}",
    )
    result = run_preprocess(config)
    assert ([key.tile_id for key in result.done], result.exit_code) == (["T33UWQ"] * 2, 0)
    assert [key.tile_id for key in result.outside] == ["T33UXQ"]
    assert result.summary()["outside"] == [str(result.outside[0])]
    lines = [json.loads(line) for line in result.log_path.read_text().splitlines()]
    (outside,) = [line for line in lines if line["status"] == "outside"]
    assert "does not touch its tile" in outside["error"]
    assert not document_faults(outside, "step2_run")


def test_scenes_beside_the_area_need_no_files(tmp_path: Path) -> None:
    """A raster that is there tells where the tile lies; a scene without any is a gap, as without an area."""
    for tile, ulx in (("T33UWQ", 499_980), ("T33UXQ", 599_940)):
        spec = ProductSpec(
            tile_id=tile,
            ulx=ulx,
            uly=5_800_020,
            side_m=2_400,
            bands=("B02", "B03"),
            l2a=False,
            quality_masks=False,
        )
        make_products(tmp_path / "products", spec)
    index_products([tmp_path / "products"], tmp_path / "out")
    base = PreprocessConfig(
        tmp_path / "out/meta/step1/index.json",
        tmp_path / "out",
        "B02",
        ("B02", "B03"),
        aoi="500000,5799000,501000,5800000",
        aoi_crs=f"EPSG:{EPSG}",
    )
    far = tmp_path / "out/raw/L1C/tile=T33UXQ"
    next(far.glob("sensing=*/files/*_B03.jp2")).unlink()
    result = run_preprocess(base)
    assert ([key.tile_id for key in result.done], [key.tile_id for key in result.outside]) == (
        ["T33UWQ"],
        ["T33UXQ"],
    )
    with pytest.raises(MissingInputError, match="1 of 2 scenes"):
        run_preprocess(replace(base, aoi="600000,5799000,601000,5800000"))
    with pytest.raises(S2PipeError, match="misses them all"):
        run_preprocess(replace(base, aoi="700000,5799000,701000,5800000"))
    # A task or a share of such scenes is no failure.
    record = process_scene("T33UXQ/2025-12-10T10:03:19Z", base)
    assert (record.status, "does not touch its tile" in (record.error or "")) == ("outside", True)
    stats = NormalizeConfig("compute_only", tmp_path / "stats.json")
    for normalize in (NormalizeConfig(), stats):
        shares = [
            run_preprocess(
                replace(base, only=SceneChoice(shard=f"{k}/4"), normalize=normalize, overwrite=True)
            )
            for k in range(1, 5)
        ]
        assert sum(len(share.outside) for share in shares) == 1
        assert [share.exit_code for share in shares] == [0] * 4
    next(far.glob("sensing=*/files/*_B02.jp2")).unlink()
    with pytest.raises(MissingInputError, match="scenes lack inputs"):
        run_preprocess(base)
