"""Mosaics: every pixel is that of one scene, chosen by the rule that is stated, and counts once."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from s2pipe.cli import main
from s2pipe.config.schema import document_faults
from s2pipe.dataset.samples import Sample, load_samples
from s2pipe.dataset.step1_index import load_index
from s2pipe.errors import ConfigError
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
from s2pipe.preprocess.grid_cfg import TargetGridConfig
from s2pipe.preprocess.one_scene import process_scene
from s2pipe.preprocess.pixels.chosen import SourcePlace
from s2pipe.preprocess.plan import make_plan
from s2pipe.preprocess.run import run_preprocess
from s2pipe.preprocess.stats.histogram import HISTOGRAM_NAME, load_histogram
from s2pipe.synthetic import ProductSpec, make_products
from tests.conftest import ZONES_MIDDLE, Dataset, read_whole_band
from tests.preprocess.test_own_grid import around

BANDS = ("B02", "B11")
SPEC = ProductSpec(
    side_m=2_460,
    bands=BANDS,
    l2a_resolutions=(20,),
    quality_masks=False,
    epsg=32633,
    ulx=500_000,
    uly=5_700_000,
    strip_width_m=1_700.0,
)
KEYS = ("T33UWQ/2025-12-10T10:03:19Z", "T33UWR/2025-12-10T10:03:19Z")
RASTERS = ("x", "y", "quality", "angles")


@dataclass(frozen=True)
class Tiles:
    """A dataset of two tiles of one datatake on one grid, of which each lacks a part of the ground."""

    root: Path

    def config(self, out: Path, **changes: Any) -> PreprocessConfig:
        base = PreprocessConfig(
            index_json=self.root / "data/meta/step1/index.json",
            out_dir=out,
            target_grid_ref="B02",
            l1c_bands=BANDS,
            labels=LabelConfig(enabled=True),
            quality=ScreeningConfig(enabled=True),
            angles=AngleAssetConfig(enabled=True),
        )
        return replace(base, **changes)

    def write(self, out: Path, **changes: Any) -> list[Sample]:
        result = run_preprocess(self.config(out, **changes))
        assert not result.failed
        return load_samples(out / "meta" / "step2" / "index.json")


@pytest.fixture(scope="module")
def tiles(tmp_path_factory: pytest.TempPathFactory) -> Tiles:
    root = tmp_path_factory.mktemp("tiles")
    make_products(root / "products", replace(SPEC, nodata_wedge=0.4))
    other = replace(SPEC, tile_id="T33UWR", from_edge_m=19_500.0, nodata_wedge=0.0, seed=9, baseline="05.10")
    make_products(root / "products", other)
    index_products([root / "products"], root / "data")
    return Tiles(root)


@pytest.fixture(scope="module")
def singles(tiles: Tiles, tmp_path_factory: pytest.TempPathFactory) -> list[Sample]:
    return tiles.write(tmp_path_factory.mktemp("singles"))


@pytest.fixture(scope="module")
def mosaic(tiles: Tiles, tmp_path_factory: pytest.TempPathFactory) -> Sample:
    (sample,) = tiles.write(tmp_path_factory.mktemp("mosaic"), group_by="datatake")
    return sample


def _pixels(sample: Sample, kind: str) -> np.ndarray:
    record = sample.rasters[kind]
    path = sample.root / record.path
    return np.stack([read_whole_band(path, band + 1) for band in range(len(record.band_names))])


def _meta(sample: Sample) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((sample.x_path.parent / "meta.json").read_text())
    return document


def _assert_each_pixel_is_of_its_source(
    mosaic: Sample, singles: list[Sample], kinds: tuple[str, ...]
) -> None:
    source = _pixels(mosaic, "source")[0]
    assert set(np.unique(source)) >= {1, 2}
    for kind in kinds:
        merged = _pixels(mosaic, kind)
        for number, single in enumerate(singles, 1):
            here = source == number
            np.testing.assert_array_equal(merged[:, here], _pixels(single, kind)[:, here])


def test_every_pixel_is_that_of_one_scene(mosaic: Sample, singles: list[Sample]) -> None:
    _assert_each_pixel_is_of_its_source(mosaic, singles, RASTERS)
    assert [mosaic.rasters[kind].band_names for kind in RASTERS] == [
        singles[0].rasters[kind].band_names for kind in RASTERS
    ]


def test_the_source_is_the_one_that_the_rule_names(mosaic: Sample, singles: list[Sample]) -> None:
    """Both tiles have the same middle here, so that the first is taken where both see the ground."""
    valid = [(_pixels(single, "x")[:2] != 0).sum(axis=0) for single in singles]
    expected = np.where(valid[1] > valid[0], 2, np.where(valid[0] > 0, 1, 0))
    np.testing.assert_array_equal(_pixels(mosaic, "source")[0], expected)


def test_meta_and_index_say_what_a_mosaic_is_made_of(mosaic: Sample, singles: list[Sample]) -> None:
    meta, source = _meta(mosaic), _pixels(mosaic, "source")[0]
    assert not document_faults(meta, "sample_meta")
    stated = meta["mosaic"]["sources"]
    assert [item["source_products"] for item in stated] == [_meta(s)["source_products"] for s in singles]
    assert [item["pixels"] for item in stated] == [int((source == n).sum()) for n in (1, 2)]
    assert [item["angles"] for item in stated] == [_meta(single)["angles"] for single in singles]
    assert str(mosaic.key) == KEYS[0]
    assert "stack" not in meta["paths"]
    assert _meta(singles[0])["mosaic"] is None
    index = json.loads((mosaic.root / "meta/step2/index.json").read_text())["samples"]
    assert [entry["source_path"] for entry in index] == [meta["paths"]["source"]]
    assert meta["labels"]["stats"]["pixels"] == source.size
    assert main(["verify", str(mosaic.root), "--quiet"]) == 0


def test_a_second_run_has_nothing_to_do_and_either_key_names_the_mosaic(tiles: Tiles, tmp_path: Path) -> None:
    config = tiles.config(tmp_path, group_by="datatake", angles=AngleAssetConfig())
    records = [process_scene(key, config) for key in KEYS]
    assert [record.status for record in records] == ["done", "up_to_date"]
    assert run_preprocess(config).summary()["up_to_date"] == [KEYS[0]]
    assert [str(key) for key in run_preprocess(replace(config, brdf=BrdfConfig("c_factor"))).done] == [
        KEYS[0]
    ]


def test_pixels_count_once_in_statistics(tiles: Tiles, mosaic: Sample, tmp_path: Path) -> None:
    counting = NormalizeConfig("compute_only", tmp_path / "stats.json")
    config = tiles.config(tmp_path, group_by="datatake", normalize=counting)
    assert run_preprocess(config).exit_code == 0
    histogram = load_histogram(tmp_path / mosaic.key.sample_dir / HISTOGRAM_NAME)
    values = _pixels(mosaic, "x")[:2]
    low, width = -0.2, 1e-4
    for band, counts in zip(values, histogram.counts, strict=True):
        assert counts.sum() == (band != 0).sum()
        mean = (counts * (low + width * (np.arange(len(counts)) + 0.5))).sum() / counts.sum()
        assert mean == pytest.approx(band[band != 0].mean(dtype=np.float64), abs=width)
    drawn = replace(counting, max_pixels_per_scene=500, sampling="pixels")
    assert run_preprocess(replace(config, normalize=drawn, overwrite=True)).exit_code == 0
    drawn_counts = load_histogram(tmp_path / mosaic.key.sample_dir / HISTOGRAM_NAME).counts
    assert drawn_counts.sum(axis=1).tolist() == [500, 500]
    assert (drawn_counts <= histogram.counts).all()


def test_options_hold_for_each_source(tiles: Tiles, tmp_path: Path) -> None:
    """A view from nadir, an area with a mask, other workers, a cache that was filled before."""
    x0, y0 = 500_000, 5_700_000
    wkt = f"POLYGON(({x0 + 205} {y0 - 312},{x0 + 2300} {y0 - 400},{x0 + 1100} {y0 - 2200},{x0 + 205} {y0 - 312}))"
    changes: dict[str, Any] = {
        "brdf": BrdfConfig("c_factor", 45.0),
        "aoi": wkt,
        "aoi_crs": "EPSG:32633",
        "aoi_mask": True,
        "labels": LabelConfig(enabled=True),
        "l1c_bands": None,
        "bands": ("l2a.B02_20m", "l2a.B11_20m"),
        "target_grid_ref": "scl_20m",
    }
    singles = tiles.write(tmp_path / "singles", **changes)
    cache = CacheConfig(enabled=True, dir=tmp_path / "cache")
    counting = NormalizeConfig("compute_only", tmp_path / "stats.json")
    grouped = {**changes, "group_by": "datatake", "cache": cache}
    run_preprocess(tiles.config(tmp_path / "mosaic", **grouped, normalize=counting))
    assert len(list((tmp_path / "cache").iterdir())) >= 2
    (mosaic,) = tiles.write(tmp_path / "mosaic", **grouped, num_workers=1)
    _assert_each_pixel_is_of_its_source(mosaic, singles, RASTERS)
    source = _pixels(mosaic, "source")[0]
    assert (source == 0).any()
    assert np.isnan(_pixels(mosaic, "angles")[:, source == 0]).all()
    assert (_pixels(mosaic, "quality")[:, source == 0] == 255).all()
    assert [item["brdf"]["sun_zenith_deg"] for item in _meta(mosaic)["mosaic"]["sources"]] == [45.0, 45.0]
    plain = {**changes, "group_by": "datatake"}
    (again,) = tiles.write(tmp_path / "again", **plain, num_workers=3)
    for kind in (*RASTERS, "source"):
        files = [(sample.root / sample.rasters[kind].path).read_bytes() for sample in (mosaic, again)]
        assert files[0] == files[1], kind


def test_what_mosaics_cannot_do_is_refused(tiles: Tiles, tmp_path: Path) -> None:
    drawn = NormalizeConfig("compute_only", tmp_path / "s.json", max_pixels_per_scene=100)
    for changes, name in (
        ({"normalize": drawn}, "normalize.sampling"),
        ({"angles": AngleAssetConfig(enabled=True, grid="native")}, "angles.grid"),
    ):
        with pytest.raises(ConfigError, match=name):
            run_preprocess(tiles.config(tmp_path, group_by="datatake", **changes))
    elsewhere = replace(SPEC, tile_id="T33UXQ", ulx=502_000, l2a=False)
    make_products(tmp_path / "products", elsewhere)
    index_products([tiles.root / "products", tmp_path / "products"], tmp_path / "data")
    config = tiles.config(
        tmp_path / "out",
        group_by="datatake",
        labels=LabelConfig(),
        quality=ScreeningConfig(),
        index_json=tmp_path / "data/meta/step1/index.json",
    )
    with pytest.raises(ConfigError, match="set target_grid, or choose one tile"):
        run_preprocess(config)
    assert not (tmp_path / "out" / "processed").exists()


def test_halves_of_an_acquisition_become_one_sample(tmp_path: Path) -> None:
    """The larger half is the scene, as it is without mosaics. Their files have the same names."""
    east = replace(SPEC, nodata_wedge=0.6)
    west = replace(SPEC, from_edge_m=19_800.0, nodata_wedge=0.0, seed=9, datastrip_delay_s=318.0)
    products = []
    for name, spec in (("west", replace(west, processing_delay_h=4.0)), ("east", east)):
        products.append(make_products(tmp_path / name, spec))
        index_products([tmp_path / name], tmp_path / f"only-{name}" / "data")
    both = [path for made in products for path in (made.l1c, made.l2a) if path is not None]
    found = index_products(both, tmp_path / "data")
    assert not found.passed_over
    assert not index_products(both, tmp_path / "data").changed
    (scene,) = load_index(found.index_path).scenes
    names = [
        tuple(item.product_name for item in (half.l1c, half.l2a) if item is not None) for half in scene.parts
    ]
    assert names == [tuple(path.name for path in both[:2]), tuple(path.name for path in both[2:])]
    assert not document_faults(json.loads(found.index_path.read_text()), "step1_index")
    assert main(["verify", str(tmp_path / "data"), "--quiet"]) == 0
    (mosaic,) = Tiles(tmp_path).write(tmp_path / "mosaic", group_by="datatake")
    singles = [
        Tiles(tmp_path / f"only-{name}").write(tmp_path / f"out-{name}")[0] for name in ("west", "east")
    ]
    _assert_each_pixel_is_of_its_source(mosaic, singles, RASTERS)
    (alone,) = Tiles(tmp_path).write(tmp_path / "alone")
    assert alone.x_path.read_bytes() == singles[0].x_path.read_bytes()
    # One half that is indexed again leaves the other as it is.
    assert not index_products(both[2:], tmp_path / "data").changed


@pytest.mark.parametrize("crs", ["EPSG:32633", "EPSG:3035"])
def test_tiles_of_two_zones_meet_on_a_grid_of_ones_own(
    two_zones: Dataset,
    tmp_path: Path,
    crs: str,
) -> None:
    from pyproj import Transformer

    grid = TargetGridConfig(crs, 20.0, around(crs, 1900, 2100, 2300, 1400))
    changes: dict[str, Any] = {
        "target_grid": grid,
        "bands": ("l2a.B02_20m", "l2a.B11_20m"),
        "labels": LabelConfig(enabled=True),
        "quality": ScreeningConfig(enabled=True),
        "angles": AngleAssetConfig(enabled=True),
        "brdf": BrdfConfig("c_factor", 30.0),
    }
    base = PreprocessConfig(two_zones.index_json, tmp_path / "singles", **changes)
    assert not run_preprocess(base).failed
    singles = load_samples(tmp_path / "singles/meta/step2/index.json")
    assert not run_preprocess(replace(base, out_dir=tmp_path / "mosaic", group_by="datatake")).failed
    (mosaic,) = load_samples(tmp_path / "mosaic/meta/step2/index.json")
    _assert_each_pixel_is_of_its_source(mosaic, singles, RASTERS)
    valid = np.stack([(_pixels(single, "x")[:2] != 0).sum(axis=0) for single in singles])
    x0, dx, _, y0, _, dy = mosaic.grid.geotransform
    rows, cols = np.indices(mosaic.grid.shape_yx)
    distance = []
    for single in singles:
        zone = int(single.key.tile_id[1:3])
        x, y = Transformer.from_crs(32600 + zone, crs, always_xy=True).transform(*ZONES_MIDDLE[zone])
        distance.append(np.hypot(x0 + dx * (cols + 0.5) - x, y0 + dy * (rows + 0.5) - y))
    second = (valid[1] > valid[0]) | ((valid[1] == valid[0]) & (distance[1] < distance[0]))
    expected = np.where(valid.max(axis=0) == 0, 0, np.where(second, 2, 1))
    source = _pixels(mosaic, "source")[0]
    sure = np.abs(distance[0] - distance[1]) > 1e-3
    np.testing.assert_array_equal(source[sure], expected[sure])
    assert {0, 1, 2} == set(np.unique(source))


def test_tiles_are_placed_in_degrees_on_either_side_of_the_antimeridian(tmp_path: Path) -> None:
    """Each is read where it lies, however the grid counts longitudes."""
    spec = ProductSpec(
        side_m=1_200,
        bands=("B02",),
        l2a=False,
        quality_masks=False,
        tile_id="T01KAB",
        epsg=32701,
        ulx=177_000,
        uly=7_980_000,
    )
    make_products(tmp_path / "products", spec)
    index_products([tmp_path / "products"], tmp_path / "data")
    for name, bounds in (
        ("east", (179.93, -18.27, 180.01, -18.23)),
        ("west", (-180.07, -18.27, -179.99, -18.23)),
    ):
        config = Tiles(tmp_path).config(
            tmp_path / name,
            group_by="datatake",
            target_grid_ref=None,
            target_grid=TargetGridConfig("EPSG:4326", 0.0002, bounds),
            l1c_bands=("B02",),
            labels=LabelConfig(),
            quality=ScreeningConfig(),
            angles=AngleAssetConfig(),
        )
        (plan,) = make_plan(load_index(config.index_json), config).scenes
        place = SourcePlace.of(plan.sources[0].stack)
        assert place is not None
        assert 50 < place.box.width < 80
        assert not run_preprocess(config).failed
        (sample,) = load_samples(tmp_path / name / "meta/step2/index.json")
        alone = replace(config, group_by=None, out_dir=tmp_path / f"{name}-alone")
        assert not run_preprocess(alone).failed
        (single,) = load_samples(alone.out_dir / "meta/step2/index.json")
        np.testing.assert_array_equal(_pixels(sample, "x"), _pixels(single, "x"))
        assert _pixels(sample, "x")[-1].sum() > 1000
