"""Reflectance as seen from nadir, over ground whose directional reflectance is known."""

from __future__ import annotations

import json
import logging
import re
import shutil
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from s2kernels import brdf_kernels
from s2pipe.dataset.samples import load_samples
from s2pipe.dataset.step1_index import load_index, save_index
from s2pipe.errors import ConfigError, ManifestError, MissingInputError, StatsMismatchError
from s2pipe.indexing.run import index_products
from s2pipe.patches.cfg import PatchConfig
from s2pipe.patches.shards.facts import shared_facts
from s2pipe.preprocess.cfg import AngleAssetConfig, BrdfConfig, CacheConfig, NormalizeConfig, PreprocessConfig
from s2pipe.preprocess.run import PreprocessResult, run_preprocess
from s2pipe.preprocess.stats.histogram import load_histogram
from s2pipe.preprocess.stats.merge import merge_to_stats
from s2pipe.sentinel2.bands import BY_NAME
from s2pipe.sentinel2.brdf import BRDF_PARAMETERS, sun_zenith_by_latitude
from s2pipe.synthetic import ProductSpec, make_products
from s2pipe.synthetic.imagery.directional import NADIR_SUN_ZENITH_DEG
from s2pipe.synthetic.swath import swath_of
from tests.conftest import read_whole_band

BANDS = ("l2a.B04_20m", "l2a.B8A_20m")
SPEC = ProductSpec(
    side_m=3_660,
    bands=("B04", "B8A"),
    l2a_resolutions=(20,),
    quality_masks=False,
    nodata_wedge=0.15,
    strip_width_m=1_700.0,
    clouds=0.0,
    noise_dn=0.0,
)
NADIR = BrdfConfig("c_factor", NADIR_SUN_ZENITH_DEG)
ROUNDING = 1.2e-4
"""Half a DN of the landscape's products, and half a DN times the factor of the others."""


@dataclass(frozen=True)
class Products:
    """One scene, and the specification that it was made by."""

    root: Path
    spec: ProductSpec

    @property
    def index_json(self) -> Path:
        return self.root / "data/meta/step1/index.json"

    def run(self, out_dir: Path, **changes: Any) -> PreprocessResult:
        base = PreprocessConfig(
            index_json=self.index_json, out_dir=out_dir, target_grid_ref="l2a.B8A_20m", bands=BANDS
        )
        return run_preprocess(replace(base, **changes))

    def sample(self, out_dir: Path, **changes: Any) -> Sample:
        result = self.run(out_dir, **changes)
        assert not result.failed, result.failed
        return sample_at(out_dir)


@dataclass(frozen=True)
class Sample:
    x: np.ndarray
    meta: dict[str, Any]
    directory: Path

    @property
    def valid(self) -> np.ndarray:
        result: np.ndarray = self.x[-1] > 0
        return result


def sample_at(out_dir: Path) -> Sample:
    path = next(out_dir.rglob("meta.json"))
    meta = json.loads(path.read_text())
    count = len(meta["assets"]["x"]["band_names"])
    x = np.stack([read_whole_band(path.parent / "x.tif", number + 1) for number in range(count)])
    return Sample(x, meta, path.parent)


def make(base: Path, **changes: Any) -> Products:
    spec = replace(SPEC, **changes)
    make_products(base / "products", spec)
    index_products([base / "products"], base / "data")
    return Products(base, spec)


@pytest.fixture(scope="module")
def directional(tmp_path_factory: pytest.TempPathFactory) -> Products:
    """Eastern edge of a swath: two seams, and the satellite in the west."""
    return make(tmp_path_factory.mktemp("directional"), directional=True)


@pytest.fixture(scope="module")
def other_orbit(tmp_path_factory: pytest.TempPathFactory) -> Products:
    """The same ground three days later from the orbit in the east."""
    return make(
        tmp_path_factory.mktemp("other"),
        directional=True,
        from_edge_m=278_000.0,
        strip_width_m=24_200.0,
        rel_orbit=79,
        sensing_start=datetime(2025, 12, 13, 10, 13, 19, tzinfo=UTC),
    )


@pytest.fixture(scope="module")
def landscape(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    """The same ground as it is: reflectance from nadir with the sun at 45 degrees."""
    base = tmp_path_factory.mktemp("landscape")
    return make(base).sample(base / "out")


def test_nbar_gives_the_landscape_back_across_seams_and_orbits(
    directional: Products, other_orbit: Products, landscape: Sample, tmp_path: Path
) -> None:
    seen = {}
    for name, products in (("west", directional), ("east", other_orbit)):
        raw = products.sample(tmp_path / name / "raw")
        nbar = products.sample(tmp_path / name / "nbar", brdf=NADIR)
        np.testing.assert_array_equal(nbar.valid, raw.valid)
        both = raw.valid & landscape.valid
        for band in range(len(BANDS)):
            off = np.abs(raw.x[band] - landscape.x[band])[both]
            assert np.median(off / landscape.x[band][both]) > 0.02
            left = np.abs(nbar.x[band] - landscape.x[band])[both]
            # But where a seam runs through a pixel, and the mask and the mean disagree on who saw it.
            assert np.mean(left < ROUNDING) > 0.99
            assert left.max() < 0.01
        seen[name] = raw, nbar
    both = seen["west"][0].valid & seen["east"][0].valid
    before, after = (np.median(seen["west"][i].x[1][both] / seen["east"][i].x[1][both]) for i in (0, 1))
    assert abs(before - 1) > 0.03
    assert abs(after - 1) < 1e-4


def test_the_step_at_a_seam_is_gone(directional: Products, landscape: Sample, tmp_path: Path) -> None:
    """The quotient by the landscape is what directions do; at seams it steps, unless adjusted."""
    raw = directional.sample(tmp_path / "raw")
    nbar = directional.sample(tmp_path / "nbar", brdf=NADIR)
    swath = swath_of(directional.spec)
    side = raw.x.shape[1]
    x, y = (swath.ulx + (np.arange(side) + 0.5) * 20), (swath.uly - (np.arange(side) + 0.5) * 20)
    ids = swath.detector_at(x[np.newaxis], y[:, np.newaxis], "B8A")
    seam = (ids[:, 1:] != ids[:, :-1]) & raw.valid[:, 1:] & raw.valid[:, :-1]
    assert np.count_nonzero(seam) > 100
    steps = []
    for sample in (raw, nbar):
        with np.errstate(invalid="ignore", divide="ignore"):
            quotient = sample.x[1] / landscape.x[1]
        steps.append(float(np.median(np.abs(np.diff(quotient, axis=1))[seam])))
    assert steps[0] > 0.005
    assert steps[1] < steps[0] / 20


def model(band: str, sun_zenith: float, view_zenith: float, relative_azimuth: float) -> float:
    weights = BRDF_PARAMETERS[band]
    thick, sparse = brdf_kernels(sun_zenith, view_zenith, relative_azimuth)
    return weights.isotropic + weights.volumetric * thick + weights.geometric * sparse


@pytest.mark.parametrize("rule", ["scene_mean", "latitude", 30.0])
def test_every_pixel_is_adjusted_by_the_angles_that_are_written_for_it(
    directional: Products, tmp_path: Path, rule: Any
) -> None:
    raw = directional.sample(tmp_path / "raw", angles=AngleAssetConfig(enabled=True, encode="deg"))
    nbar = directional.sample(tmp_path / "nbar", brdf=BrdfConfig("c_factor", rule))
    names = raw.meta["assets"]["angles"]["band_names"]
    angles = {name: read_whole_band(raw.directory / "angles.tif", i + 1) for i, name in enumerate(names)}
    stated = nbar.meta["brdf"]["sun_zenith_deg"]
    latitude = 49.62  # of the tile's middle
    expected = {"scene_mean": 72.4, "latitude": sun_zenith_by_latitude(latitude), 30.0: 30.0}[rule]
    assert stated == pytest.approx(expected, abs=0.3)
    rows, cols = np.nonzero(raw.valid)
    for pick in np.random.default_rng(1).integers(len(rows), size=60):
        at = rows[pick], cols[pick]
        for number, band in enumerate(("B04", "B8A")):
            sun, view = (
                tuple(float(angles[f"{of}_{angle}_deg"][at]) for angle in ("zen", "azi"))
                for of in ("sun", f"view_{band}")
            )
            factor = model(band, stated, 0, 0) / model(band, sun[0], view[0], sun[1] - view[1])
            got, was = nbar.x[number][at], raw.x[number][at]
            assert got == pytest.approx(factor * was, rel=2e-5, abs=1e-7)


def test_statistics_are_of_the_adjusted_values(directional: Products, tmp_path: Path) -> None:
    def statistics(name: str, **changes: Any) -> Path:
        path = tmp_path / name / "stats.json"
        path.parent.mkdir()
        normalize = NormalizeConfig("compute_only", path, **changes.pop("normalize", {}))
        result = directional.run(tmp_path / name, brdf=NADIR, normalize=normalize, **changes)
        assert result.stats_path == path, result
        return path

    stats = statistics("one", num_workers=1, cache=CacheConfig(enabled=True, dir=tmp_path / "cache"))
    histogram = load_histogram(next((tmp_path / "one").rglob("histogram.npz")))
    plain = directional.sample(tmp_path / "plain", brdf=NADIR)
    for number in range(2):
        # In DN, as bins are: float32 reflectance has lost the edges.
        dn = np.floor(plain.x[number][plain.valid].astype(np.float64) * 10000 + 2000)
        values = np.bincount(dn.astype(np.int64), minlength=22000)[:22000]
        # A value on an edge may have moved by a bit in the last place of x.tif.
        assert np.abs(np.cumsum(values) - np.cumsum(histogram.counts[number])).max() <= 3
    again = statistics("two", num_workers=2)
    assert again.read_bytes() == stats.read_bytes()
    document = json.loads(stats.read_text())
    assert document["brdf"] == {"model": "c_factor", "sun_zenith": NADIR_SUN_ZENITH_DEG}
    few = {"max_pixels_per_scene": 40_000_000, "sampling": "blocks"}
    pixels = {"max_pixels_per_scene": 40_000_000, "sampling": "pixels"}
    for name, normalize in (("blocks", few), ("pixels", pixels)):
        drawn = json.loads(statistics(name, normalize=normalize).read_text())
        for key in ("mean_by_band", "std_by_band", "pixel_count_by_band", "clip_low_by_band"):
            assert drawn[key] == document[key], name

    applied = directional.sample(
        tmp_path / "applied",
        brdf=NADIR,
        normalize=NormalizeConfig("apply_with_stats", stats),
        cache=CacheConfig(enabled=True, dir=tmp_path / "cache"),
    )
    name = BANDS[1]
    low, high = (document[f"clip_{end}_by_band"][name] for end in ("low", "high"))
    expected = (np.clip(plain.x[1], low, high) - document["mean_by_band"][name]) / document["std_by_band"][
        name
    ]
    np.testing.assert_allclose(applied.x[1][plain.valid], expected[plain.valid], atol=1e-5)


def test_statistics_of_other_geometry_are_refused(directional: Products, tmp_path: Path) -> None:
    stats, raw = tmp_path / "stats.json", tmp_path / "raw.json"
    directional.run(tmp_path / "a", brdf=NADIR, normalize=NormalizeConfig("compute_only", stats))
    directional.run(tmp_path / "b", normalize=NormalizeConfig("compute_only", raw))
    assert "brdf" not in json.loads(raw.read_text())  # as before there was such a key
    cases = [(stats, BrdfConfig()), (stats, BrdfConfig("c_factor", "latitude")), (raw, NADIR)]
    for path, brdf in cases:
        with pytest.raises(StatsMismatchError, match="brdf"):
            directional.run(tmp_path / "c", brdf=brdf, normalize=NormalizeConfig("apply_with_stats", path))
    assert not (tmp_path / "c").exists()
    histograms = [next((tmp_path / name).rglob("histogram.npz")) for name in "ab"]
    for order in (histograms, histograms[::-1]):
        with pytest.raises(StatsMismatchError, match="brdf"):
            merge_to_stats(order, tmp_path / "merged.json", (1.0, 99.0))


def test_a_sample_is_made_again_when_the_adjustment_changes(directional: Products, tmp_path: Path) -> None:
    assert directional.run(tmp_path).done
    before = sample_at(tmp_path)
    assert before.meta["brdf"] == {"model": "none"}
    assert directional.run(tmp_path).up_to_date
    assert directional.run(tmp_path, brdf=NADIR).done
    assert directional.run(tmp_path, brdf=NADIR).up_to_date
    assert directional.run(tmp_path, brdf=BrdfConfig("c_factor")).done
    after = sample_at(tmp_path).meta
    assert after["radiometry"]["formula"] == "c * (DN + offset) / quantification"
    roles = {item["role"] for item in after["inputs"]} - {item["role"] for item in before.meta["inputs"]}
    footprints = {f"l1c.detector_footprint.{band}" for band in ("B04", "B8A")}
    assert roles == {"l1c.tile_metadata", *footprints}


def test_an_area_has_the_pixels_of_the_whole(directional: Products, tmp_path: Path) -> None:
    whole = directional.sample(tmp_path / "whole", brdf=NADIR)
    epsg, ulx, uly = directional.spec.origin
    # Where no knot of the factors begins.
    bounds = f"{ulx + 20 * 37},{uly - 20 * 173},{ulx + 20 * 161},{uly - 20 * 5}"
    part = directional.sample(tmp_path / "part", brdf=NADIR, aoi=bounds, aoi_crs=f"EPSG:{epsg}")
    np.testing.assert_array_equal(part.x, whole.x[:, 5:173, 37:161])
    stats = [tmp_path / f"{name}.json" for name in ("blocks", "all")]
    for path, size in zip(stats, (10**6, None), strict=True):
        normalize = NormalizeConfig("compute_only", path, max_pixels_per_scene=size)
        directional.run(
            tmp_path / path.stem, brdf=NADIR, aoi=bounds, aoi_crs=f"EPSG:{epsg}", normalize=normalize
        )
    drawn, counted = (json.loads(path.read_text()) for path in stats)
    assert drawn["mean_by_band"] == counted["mean_by_band"]


def test_detectors_are_found_without_masks(directional: Products, tmp_path: Path) -> None:
    """Seams are then placed between the nodes, and pixels that cannot be told are dropped and counted."""
    path = directional.index_json.with_name("no-masks.json")
    change_roles(directional.index_json, path, "detector_footprint", None)
    with_masks = directional.sample(tmp_path / "masks", brdf=NADIR)
    without = directional.sample(tmp_path / "nodes", brdf=NADIR, index_json=path)
    assert set(without.meta["brdf"]["detector_source_by_band"].values()) == {"node_seam"}
    lost = without.meta["brdf"]["pixels_without_direction_by_band"]
    assert max(lost.values()) >= np.count_nonzero(with_masks.valid & ~without.valid) - 1
    assert not (without.valid & ~with_masks.valid).any()


def test_patches_say_how_their_samples_were_seen_and_do_not_mix(
    directional: Products, tmp_path: Path
) -> None:
    samples = []
    for brdf in (BrdfConfig(), NADIR):
        directional.sample(tmp_path / brdf.model, brdf=brdf)
        samples += load_samples(tmp_path / brdf.model / "meta/step2/index.json")
    config = PatchConfig(tmp_path / "index.json", tmp_path / "out", patch_size=64)
    assert "brdf" not in shared_facts(samples[:1], config).to_document()
    facts = shared_facts(samples[1:], config)
    assert facts.to_document()["brdf"] == {"model": "c_factor", "sun_zenith": NADIR_SUN_ZENITH_DEG}
    with pytest.raises(ManifestError, match="brdf"):
        shared_facts(samples, config)


def test_bands_without_parameters_stay_and_l1c_is_warned_of(
    dataset: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bands = ("B01", "B04", "B09")
    samples = []
    with caplog.at_level(logging.WARNING, logger="s2pipe.preprocess"):
        for brdf in (BrdfConfig(), BrdfConfig("c_factor")):
            out = tmp_path / brdf.model
            config = dataset.config(
                out, l1c_bands=bands, brdf=brdf, max_scenes=1, valid_pixel_mask="per_band"
            )
            assert not run_preprocess(config).failed
            samples.append(sample_at(out))
    raw, nbar = samples
    for number in (0, 2):
        np.testing.assert_array_equal(raw.x[number], nbar.x[number])
    assert (raw.x[1] != nbar.x[1]).any()
    lost = nbar.meta["brdf"]["pixels_without_direction_by_band"]
    assert lost["B04"] == np.count_nonzero(raw.x[4]) - np.count_nonzero(nbar.x[4])
    assert lost["B01"] == 0
    assert nbar.meta["brdf"]["bands_not_adjusted"] == ["B01", "B09"]
    assert nbar.meta["brdf"]["top_of_atmosphere_bands"] == ["B04"]
    assert "B01, B09 stay as they are" in caplog.text
    assert "B04 are top-of-atmosphere reflectance" in caplog.text


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"brdf": BrdfConfig(sun_zenith=30.0)}, "brdf.sun_zenith: has no effect with brdf.model none"),
        ({"brdf": NADIR, "to_toa_reflectance": False}, "DN are no reflectance"),
        ({"brdf": NADIR, "bands": None, "l1c_bands": ("B01", "B09")}, "expected at least one of B02, "),
        ({"brdf": BrdfConfig("c_factor", 80.5)}, "brdf.sun_zenith.*80"),
        ({"brdf": BrdfConfig("c_factor", float("nan"))}, "brdf.sun_zenith"),
        ({"brdf": BrdfConfig("c_factor", "noon")}, "brdf.sun_zenith"),
    ],
)
def test_configurations_that_make_no_sense(
    directional: Products, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        directional.run(tmp_path / "out", **changes)
    assert not (tmp_path / "out").exists()


def change_roles(index_json: Path, path: Path, name: str, changes: dict[str, Any] | None) -> None:
    """Write an index in which the records of some roles are changed, or left out."""
    index = load_index(index_json)

    def changed(item: Any) -> list[Any]:
        if name not in item.role:
            return [item]
        return [] if changes is None else [replace(item, **changes)]

    scenes = []
    for scene in index.scenes:
        groups = {
            level: replace(group, items=tuple(kept for item in group.items for kept in changed(item)))
            for level, group in (("files_l1c", scene.files_l1c), ("files_l2a", scene.files_l2a))
            if group is not None
        }
        scenes.append(replace(scene, **groups))
    save_index(replace(index, scenes=tuple(scenes)), path)


def test_scenes_without_angles_are_gaps(directional: Products, tmp_path: Path) -> None:
    path = directional.index_json.with_name("without.json")
    change_roles(directional.index_json, path, "tile_metadata", None)
    with pytest.raises(MissingInputError, match=re.escape("role l1c.tile_metadata is not in the manifest")):
        directional.run(tmp_path / "out", index_json=path, brdf=NADIR)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("pattern", "text", "message"),
    [
        (r"(?s)<Sun_Angles_Grid>.*?</Sun_Angles_Grid>", r"\b7\d\.\d+", "at most, got up to 81"),
        (r'(?s)<Viewing_Incidence_Angles_Grids bandId="3".*</Viewing_Incidence_Angles_Grids>', None, "B04"),
    ],
)
def test_angles_that_cannot_be_used_fail_the_scene(
    directional: Products, tmp_path: Path, pattern: str, text: str | None, message: str
) -> None:
    """A sun too low, and a band without any view angle, are errors that name the file and the way out."""
    shutil.copytree(directional.root / "products", tmp_path / "products")
    path = next(item for item in (tmp_path / "products").rglob("MTD_TL.xml") if "MSIL1C" in str(item))
    content = path.read_text()
    found = re.search(pattern, content)
    assert found is not None
    values, put = (
        (r"(?<=>)[^<>]*\d[^<>]*(?=</VALUES>)", " ".join(["NaN"] * 23)) if text is None else (text, "81.5")
    )
    path.write_text(content.replace(found.group(), re.sub(values, put, found.group())))
    index_products([tmp_path / "products"], tmp_path / "data")
    moved = Products(tmp_path, directional.spec)
    change_roles(moved.index_json, moved.index_json, "tile_metadata", {"checksum": None, "size": None})
    result = moved.run(tmp_path / "out", brdf=NADIR)
    assert result.exit_code == 1
    assert message in result.failed[0].error
    assert "set brdf.model to none" in result.failed[0].error
    assert not list((tmp_path / "out").rglob("x.tif"))


def test_latitudes_without_a_usable_sun_fail(tmp_path: Path) -> None:
    """In high summer of Antarctica the sun itself is high enough."""
    start = datetime(2025, 12, 20, 10, 3, 19, tzinfo=UTC)
    polar = make(tmp_path, tile_id="T33CWP", side_m=600, sensing_start=start)
    result = polar.run(tmp_path / "out", brdf=BrdfConfig("c_factor", "latitude"))
    assert result.exit_code == 1
    assert "set brdf.sun_zenith to scene_mean or degrees" in result.failed[0].error
    polar.sample(tmp_path / "mean", brdf=BrdfConfig("c_factor"))


def test_published_parameters() -> None:
    """The red-edge bands are linear in wavelength between red and near infrared, as their paper says."""
    red, near_infrared = (np.array(BRDF_PARAMETERS[band]) for band in ("B04", "B08"))
    for band, wavelength in (("B05", 705), ("B06", 740), ("B07", 783)):
        expected = red + (wavelength - 645) / (858 - 645) * (near_infrared - red)
        np.testing.assert_allclose(BRDF_PARAMETERS[band], expected, atol=6e-5)
    assert set(BY_NAME) - set(BRDF_PARAMETERS) == {"B01", "B09", "B10"}


def test_sun_zenith_of_a_latitude() -> None:
    """About 31 degrees at the equator; the yearly mean of the latitude at mid-morning elsewhere."""
    assert sun_zenith_by_latitude(0.0) == 31.0076
    assert sun_zenith_by_latitude(45.0) == pytest.approx(48.0, abs=1.0)
    assert sun_zenith_by_latitude(-45.0) > sun_zenith_by_latitude(45.0)
    zeniths = [sun_zenith_by_latitude(latitude) for latitude in range(10, 80)]
    assert zeniths == sorted(zeniths)
