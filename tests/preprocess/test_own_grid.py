"""Grids of the user's own: every pixel equals that of GDAL's warp of the whole image, for tiles of any UTM zone."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from s2pipe.dataset.samples import Sample, load_samples
from s2pipe.dataset.scene_choice import SceneChoice
from s2pipe.errors import ConfigError, S2PipeError
from s2pipe.preprocess.cfg import (
    AngleAssetConfig,
    BrdfConfig,
    LabelConfig,
    NormalizeConfig,
    PreprocessConfig,
    ScreeningConfig,
)
from s2pipe.preprocess.grid_cfg import TargetGridConfig
from s2pipe.preprocess.run import run_preprocess
from tests.conftest import ZONES_MIDDLE, ZONES_SIDE_M, ZONES_TILES, Dataset, read_whole_band

if TYPE_CHECKING:
    from pathlib import Path

BANDS = ("B02", "B11", "B01")


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

    return Transformer.from_crs(32600 + zone, crs, always_xy=True).transform(*ZONES_MIDDLE[zone])


def around(
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
    if int(gdal.VersionInfo()) < 3_13_00_00 and method in ("bilinear", "cubic"):
        # Newer ones widen no kernel of pixels of about the same size.
        step = grid.geotransform[1] / gdal.Open(str(path)).GetGeoTransform()[1]
        scale = 1 / step if step >= 2 else 1
        options["warpOptions"] = [f"XSCALE={scale}", f"YSCALE={scale}"]
    raster = gdal.Warp("", str(path), **options)
    return np.frombuffer(raster.GetRasterBand(1).ReadRaster(), "float32").reshape(grid.shape_yx)


@pytest.mark.parametrize(
    ("crs", "resolution", "method"),
    [
        ("EPSG:32633", 10.0, "bilinear"),
        ("EPSG:3035", 13.0, "nearest"),
        ("EPSG:32632", 20.0, "cubic"),
        ("EPSG:32632", 30.0, "average"),
        ("EPSG:32632", 60.0, "bilinear"),
        ("EPSG:3035", 60.0, "mode"),
        ("EPSG:31468", 10.0, "bilinear"),
    ],
)
def test_every_pixel_equals_that_of_gdals_warp_of_the_whole_image(
    two_zones: Dataset, tmp_path: Path, crs: str, resolution: float, method: str
) -> None:
    """Beyond the tiles on two sides, within them on the others, with sides that are no multiples of any block."""
    grid = TargetGridConfig(crs, resolution, around(crs, 2611, 1003, 1407, 2303))
    methods: dict[str, Any] = {"upsample_method": method, "downsample_method": method}
    samples = _write(two_zones, tmp_path, grid, **methods)
    assert set(samples) == set(ZONES_TILES.values())
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


def test_averages_in_degrees_equal_those_of_the_whole_image_to_one_rounding(
    two_zones: Dataset, tmp_path: Path
) -> None:
    """GDAL weighs parts of pixels from the corner of what it works on."""
    x, y = ZONES_MIDDLE[33]
    area = f"SRID=32633;LINESTRING({x - 2201} {y - 1103},{x + 1307} {y + 2203})"
    grid = TargetGridConfig("EPSG:4326", 0.00021, aoi=area)
    methods: dict[str, Any] = {"upsample_method": "average", "downsample_method": "average"}
    for sample in _write(two_zones, tmp_path, grid, **methods).values():
        for number, band in enumerate(BANDS):
            expected = _warped(two_zones, sample, band, "average")
            np.testing.assert_array_max_ulp(_pixels(sample)[number], expected, maxulp=1)
            assert 0.2 < (expected != 0).mean() < 0.9


@pytest.mark.parametrize("crs", ["EPSG:32633", "EPSG:3035"])
def test_labels_screening_angles_and_nadir_views_are_right_on_it(
    two_zones: Dataset, tmp_path: Path, crs: str
) -> None:
    """GDAL's own warp gives the same classes, and the grid of the tile the same angles at the same places."""
    from osgeo import gdal

    grid = TargetGridConfig(crs, 20.0, around(crs, 1207, 803, 1407, 1303))
    extras: dict[str, Any] = {
        "labels": LabelConfig(enabled=True),
        "quality": ScreeningConfig(enabled=True),
        "angles": AngleAssetConfig(enabled=True, view_bands=("B02",), encode="deg"),
    }
    ranges = []
    for tile, sample in _write(two_zones, tmp_path / "own", grid, **extras).items():
        (path,) = two_zones.products.glob(f"*L2A*_{tile}_*/GRANULE/*/IMG_DATA/R20m/*_SCL_20m.jp2")
        classes = gdal.Warp(
            "",
            str(path),
            format="MEM",
            dstSRS=sample.grid.crs_wkt,
            outputBounds=sample.grid.bounds,
            width=sample.grid.width,
            height=sample.grid.height,
            dstNodata=255,
            errorThreshold=0,
        ).ReadRaster()
        classes = np.frombuffer(classes, "uint8").reshape(sample.grid.shape_yx)
        assert np.array_equal(_pixels(sample, "y", "uint8")[0], classes)
        assert np.array_equal(_pixels(sample, "quality", "uint8")[0], classes)
        assert len(np.unique(classes)) > 3
        ranges.append(_check_angles(two_zones, tmp_path, sample))
    assert max(ranges) > 5  # seams are there


def _check_angles(dataset: Dataset, tmp_path: Path, sample: Sample) -> float:
    """Angles equal those of the tile's own 10 m grid at the same place; returns the range of view azimuths."""
    from pyproj import Transformer

    tile = sample.key.tile_id
    own = PreprocessConfig(
        dataset.index_json,
        tmp_path / f"tile{tile}",
        "B02",
        BANDS,
        only=SceneChoice(tiles=(tile,)),
        angles=AngleAssetConfig(enabled=True, view_bands=("B02",), encode="deg"),
    )
    assert not run_preprocess(own).failed
    (reference,) = load_samples(own.out_dir / "meta" / "step2" / "index.json")
    x0, dx, _, y0, _, dy = sample.grid.geotransform
    x, y = np.meshgrid(
        x0 + dx * (np.arange(sample.grid.width) + 0.5), y0 + dy * (np.arange(sample.grid.height) + 0.5)
    )
    there = Transformer.from_crs(sample.grid.crs_wkt, reference.grid.crs_wkt, always_xy=True)
    x, y = there.transform(x, y)
    rx, rdx, _, ry, _, rdy = reference.grid.geotransform
    col, row = np.floor((x - rx) / rdx).astype(int), np.floor((y - ry) / rdy).astype(int)
    inside = (row >= 0) & (col >= 0) & (row < reference.grid.height) & (col < reference.grid.width)
    found, expected = _pixels(sample, "angles"), _pixels(reference, "angles")[:, row % 366, col % 366]
    apart = np.abs((found - expected + 180) % 360 - 180)[:, inside]
    assert np.array_equal(np.isnan(found[:, inside]), np.isnan(expected[:, inside]))
    assert (
        np.nanmax(apart) < 0.02
    )  # half a pixel of 10 m away; directions of another detector are degrees away
    return float(np.nanmax(found[-1]) - np.nanmin(found[-1]))


def test_nadir_views_equal_those_of_the_tile_where_pixels_are_the_same(
    two_zones: Dataset, tmp_path: Path
) -> None:
    """In the zone of a tile, snapped pixels are its own: on the grid they stay as they are, NBAR among them."""
    brdf: dict[str, Any] = {"to_toa_reflectance": True, "brdf": BrdfConfig("c_factor"), "l1c_bands": ("B02",)}
    x, y = ZONES_MIDDLE[33]
    grid = TargetGridConfig("EPSG:32633", 10.0, (x - 1199.0, y - 805.0, x + 1002.0, y + 1307.0))
    found = _write(two_zones, tmp_path / "own", grid, **brdf)[ZONES_TILES[33]]
    whole = PreprocessConfig(
        two_zones.index_json, tmp_path / "tile", "B02", only=SceneChoice(tiles=(ZONES_TILES[33],)), **brdf
    )
    assert not run_preprocess(whole).failed
    (reference,) = load_samples(whole.out_dir / "meta" / "step2" / "index.json")
    col = round((found.grid.geotransform[0] - reference.grid.geotransform[0]) / 10)
    row = round((reference.grid.geotransform[3] - found.grid.geotransform[3]) / 10)
    height, width = found.grid.shape_yx
    assert (height, width) == (212, 221)
    expected = _pixels(reference)[:, row : row + height, col : col + width]
    assert np.allclose(
        _pixels(found), expected, rtol=1e-6, atol=0
    )  # places between nodes are rounded elsewhere


@pytest.mark.parametrize(("resolution", "method"), [(10.0, "cubic"), (25.0, "bilinear")])
def test_pixels_do_not_depend_on_blocks_or_threads(
    two_zones: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, resolution: float, method: str
) -> None:
    grid = TargetGridConfig("EPSG:3035", resolution, around("EPSG:3035", 711, 503, 907, 603))
    methods: dict[str, Any] = {
        "upsample_method": method,
        "downsample_method": method,
        "valid_min_fraction": 0.3,
    }
    expected = _write(two_zones, tmp_path / "a", grid, num_workers=1, **methods)
    for number, block_yx in enumerate(((64, 128), (37, 61))):
        monkeypatch.setattr("s2pipe.raster.vrt.WARP_BLOCK_YX", block_yx)
        found = _write(two_zones, tmp_path / f"b{number}", grid, num_workers=2, **methods)
        for tile, sample in found.items():
            assert np.array_equal(_pixels(sample), _pixels(expected[tile]))


def test_scenes_beside_the_grid_are_left_out_and_said_so(two_zones: Dataset, tmp_path: Path) -> None:
    x, y = ZONES_MIDDLE[33]
    right = x + ZONES_SIDE_M / 2
    sliver = TargetGridConfig("EPSG:32633", 10.0, (right, y - 1800.0, right + 500.0, y + 1800.0))
    result = run_preprocess(
        _config(two_zones, tmp_path, sliver)
    )  # the tile of the other zone is turned, and reaches in
    assert [key.tile_id for key in result.outside] == [ZONES_TILES[33]]
    assert result.log_path is not None
    assert "has no pixel whose centre lies on its tile" in result.log_path.read_text()
    far = TargetGridConfig("EPSG:32633", 10.0, (x + 90_000, y, x + 91_000, y + 1_000))
    with pytest.raises(
        S2PipeError, match=r"preprocess\.target_grid: .* misses them all; check crs and bounds"
    ):
        run_preprocess(_config(two_zones, tmp_path, far))


def test_an_area_gives_the_grid_or_cuts_it(two_zones: Dataset, tmp_path: Path) -> None:
    """With the area of interest alone, with an area of the grid's own, and with bounds that an area cuts."""
    x, y = ZONES_MIDDLE[33]
    area = f"SRID=32633;POLYGON(({x} {y},{x + 705} {y},{x} {y + 311},{x} {y}))"
    bounds = (x - 1000.0, y - 1000.0, x + 1000.0, y + 1000.0)
    grown = _write(two_zones, tmp_path / "a", TargetGridConfig("EPSG:32633", 20.0), aoi=area, aoi_margin_m=30)
    own = _write(two_zones, tmp_path / "b", TargetGridConfig("EPSG:32633", 20.0, aoi=area))
    cut = _write(
        two_zones, tmp_path / "c", TargetGridConfig("EPSG:32633", 20.0, bounds), aoi=area, aoi_mask=True
    )
    exact = _write(two_zones, tmp_path / "d", TargetGridConfig("EPSG:32633", 20.0, aoi=area, snap=False))
    tile = ZONES_TILES[32]
    assert grown[tile].grid.bounds == (x - 40, y - 40, x + 740, y + 360)
    assert own[tile].grid.bounds == cut[tile].grid.bounds == (x, y, x + 720, y + 320)
    assert exact[tile].grid.bounds == (x, y - 9, x + 720, y + 311)
    kept = _pixels(cut[tile])
    assert np.array_equal(kept, np.where(kept[-1:] == 1, _pixels(own[tile]), 0))
    assert 0.3 < kept[-1].mean() < 0.6


def test_statistics_fit_grids_of_the_same_system_and_resolution(two_zones: Dataset, tmp_path: Path) -> None:
    x, y = ZONES_MIDDLE[33]
    grid = TargetGridConfig("EPSG:32633", 20.0, (x, y, x + 1000.0, y + 700.0))
    stats = NormalizeConfig(mode="compute_only", stats_path=tmp_path / "stats.json")
    assert not run_preprocess(_config(two_zones, tmp_path, grid, normalize=stats)).failed
    apply = replace(stats, mode="apply_with_stats")
    other = replace(grid, bounds=(x, y, x + 500.0, y + 500.0))
    run = _config(two_zones, tmp_path / "out", other, normalize=apply)
    assert not run_preprocess(run).failed
    assert len(run_preprocess(run).up_to_date) == 2
    with pytest.raises(S2PipeError, match=r"target_grid_ref"):
        run_preprocess(replace(run, target_grid=replace(other, resolution=10.0)))


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        (
            TargetGridConfig("EPSG:1", 10.0, (0, 0, 1, 1)),
            r"target_grid\.crs: 'EPSG:1' is not a reference system",
        ),
        (
            TargetGridConfig("EPSG:4979", 10.0, (0, 0, 1, 1)),
            r"target_grid\.crs: .* expected a reference system of two",
        ),
        (
            TargetGridConfig("EPSG:32633", 0.01, (0, 0, 9e4, 9e4)),
            r"target_grid\.resolution: .* more than 200000",
        ),
        (
            TargetGridConfig("EPSG:32633", 1e-300, (-1e9, -1e300, 1e9, 1e300), snap=False),
            r"target_grid\.resolution: inf x inf pixels",
        ),
        (TargetGridConfig("EPSG:32633", 10.0, aoi="nowhere.geojson"), r"target_grid\.aoi: "),
    ],
)
def test_grids_that_cannot_be_are_refused(
    two_zones: Dataset, tmp_path: Path, grid: TargetGridConfig, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        run_preprocess(_config(two_zones, tmp_path, grid))
    assert not list(tmp_path.glob("processed/**/*.tif"))
