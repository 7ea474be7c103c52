"""Angles of synthetic products, whose geometry is known at every pixel."""

from __future__ import annotations

import json
import os
import re
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from osgeo import gdal

from s2pipe.dataset.step1_index import load_index, save_index
from s2pipe.errors import ConfigError, MetadataError, MissingInputError, RasterError
from s2pipe.indexing.run import index_products
from s2pipe.preprocess.angles.directions import node_outlines
from s2pipe.preprocess.angles.footprints import MaskReader, OutlineReader
from s2pipe.preprocess.cfg import AngleAssetConfig, NormalizeConfig, PreprocessConfig
from s2pipe.preprocess.run import run_preprocess
from s2pipe.raster.gdalenv import crs_wkt
from s2pipe.raster.grid import Grid, RasterInfo, Window
from s2pipe.raster.reader import inspect_raster
from s2pipe.raster.transform import transform_points
from s2pipe.sentinel2.safe.detectors import DetectorOutline
from s2pipe.sentinel2.safe.tile import read_tile_angles
from s2pipe.synthetic import ProductSpec, make_products
from s2pipe.synthetic.swath import Swath, swath_of
from tests.preprocess.angles.angles_support import angles_of, apart, centres, channels, vectors_of, write

if TYPE_CHECKING:
    from collections.abc import Callable

SIDE_M = 10_980
BANDS = ("B02", "B8A", "B11")
NODE_ERROR = 0.02
"""Degrees by which bilinear interpolation over 5 km may differ from the analytic geometry (with filled nodes)."""


@dataclass(frozen=True)
class Scene:
    root: Path
    spec: ProductSpec

    @property
    def swath(self) -> Swath:
        return swath_of(self.spec)

    def config(self, out_dir: Path, angles: AngleAssetConfig, **changes: Any) -> PreprocessConfig:
        base = PreprocessConfig(
            index_json=self.root / "meta/step1/index.json",
            out_dir=out_dir,
            target_grid_ref="B8A",
            l1c_bands=BANDS,
            angles=angles,
        )
        return replace(base, **changes)

    @property
    def granule(self) -> Path:
        return next((self.root / "raw/L1C").rglob("MTD_TL.xml"))


def _scene(base: Path, **changes: Any) -> Scene:
    spec = ProductSpec(
        side_m=SIDE_M, nodata_wedge=0.15, bands=BANDS, quality_masks=False, strip_width_m=4400.0, **changes
    )
    make_products(base / "products", spec)
    index_products([base / "products"], base / "data")
    return Scene(base / "data", spec)


@pytest.fixture(scope="module")
def rasters(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """Baseline 05.11: detector footprints as JPEG 2000."""
    return _scene(tmp_path_factory.mktemp("rasters"))


@pytest.fixture(scope="module")
def polygons(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """Baseline 02.06: detector footprints as GML."""
    return _scene(tmp_path_factory.mktemp("polygons"), baseline="02.06", l2a=False)


def _sample(out_dir: Path) -> tuple[Path, dict[str, Any]]:
    meta = next(out_dir.rglob("meta.json"))
    return meta.parent, json.loads(meta.read_text())


def _run(
    scene: Scene, out_dir: Path, angles: AngleAssetConfig, **changes: Any
) -> tuple[Path, dict[str, Any]]:
    result = run_preprocess(scene.config(out_dir, angles, **changes))
    assert not result.failed, result.failed
    return _sample(out_dir)


def _truth(scene: Scene, grid: Grid, band: str, mask_m: int | None) -> tuple[np.ndarray, Any]:
    """Detector and view angles of every pixel; the detector at the centre of the mask's pixel if there is one."""
    x, y = centres(grid)
    at_x, at_y = x, y
    if mask_m is not None:
        at_x = scene.swath.ulx + (np.floor((x - scene.swath.ulx) / mask_m) + 0.5) * mask_m
        at_y = scene.swath.uly - (np.floor((scene.swath.uly - y) / mask_m) + 0.5) * mask_m
    detector = scene.swath.detector_at(at_x, at_y, band)
    return detector, scene.swath.view_angles_at(x, y, band, detector)


ON = AngleAssetConfig(enabled=True)


@pytest.mark.parametrize("encode", ["sin_cos", "deg"])
def test_every_pixel_carries_its_own_detector_s_angle(rasters: Scene, tmp_path: Path, encode: str) -> None:
    where, meta = _run(rasters, tmp_path / "out", replace(ON, encode=encode))
    found = channels(where / "angles.tif")
    kinds = ("sin", "cos") if encode == "sin_cos" else ("deg",)
    prefixes = ("sun", "view_B02", "view_B8A", "view_B11")
    expected_names = [f"{p}_{a}_{k}" for p in prefixes for a in ("zen", "azi") for k in kinds]
    assert list(found) == expected_names == meta["assets"]["angles"]["band_names"]
    assert meta["assets"]["angles"]["nodata"] == "nan"
    assert meta["angles"]["detector_source_by_band"] == dict.fromkeys(BANDS, "footprint_mask")
    assert "l1c.detector_footprint.B8A" in [item["role"] for item in meta["inputs"]]
    grid = inspect_raster(str(where / "angles.tif")).grid
    assert grid == inspect_raster(str(where / "x.tif")).grid
    for band, mask_m in (("B02", 10), ("B8A", 20), ("B11", 20)):
        detector, truth = _truth(rasters, grid, band, mask_m)
        zenith, azimuth = angles_of(found, f"view_{band}")
        np.testing.assert_array_equal(np.isfinite(zenith), detector > 0)
        seen = detector > 0
        error = apart((zenith, azimuth), truth)[seen]
        # One detector further would be 1.3 degrees off or more.
        assert error.max() < NODE_ERROR
        assert len(np.unique(detector)) >= 3
    sun = rasters.swath.sun_angles_at(*centres(grid))
    assert apart(angles_of(found, "sun"), sun).max() < 1e-3


def test_degrees_agree_with_sine_and_cosine(rasters: Scene, tmp_path: Path) -> None:
    found = []
    for encode in ("deg", "sin_cos"):
        where, _ = _run(rasters, tmp_path / encode, replace(ON, encode=encode))
        found.append(channels(where / "angles.tif"))
    for prefix in ("sun", "view_B02", "view_B8A", "view_B11"):
        (zenith, azimuth), (same, turned) = (angles_of(one, prefix) for one in found)
        np.testing.assert_array_equal(np.isnan(zenith), np.isnan(same))
        assert np.nanmax(np.abs(zenith - same)) < 1e-3
        assert np.nanmax(np.abs((azimuth - turned + 180) % 360 - 180)) < 1e-3


def test_polygons_say_where_the_seam_is(polygons: Scene, tmp_path: Path) -> None:
    where, meta = _run(polygons, tmp_path / "out", ON)
    assert meta["angles"]["detector_source_by_band"] == dict.fromkeys(BANDS, "footprint_polygons")
    found = channels(where / "angles.tif")
    grid = inspect_raster(str(where / "angles.tif")).grid
    for band in BANDS:
        detector, truth = _truth(polygons, grid, band, None)
        zenith, azimuth = angles_of(found, f"view_{band}")
        np.testing.assert_array_equal(np.isfinite(zenith), detector > 0)
        assert apart((zenith, azimuth), truth)[detector > 0].max() < NODE_ERROR


def test_single_is_the_mean_of_the_bands_as_vectors(rasters: Scene, tmp_path: Path) -> None:
    where, meta = _run(rasters, tmp_path / "out", replace(ON, view_mode="single", include_sun=False))
    found = channels(where / "angles.tif")
    assert list(found) == ["view_zen_sin", "view_zen_cos", "view_azi_sin", "view_azi_cos"]
    assert meta["angles"]["view_mode"] == "single"
    per_band, _ = _run(rasters, tmp_path / "bands", replace(ON, include_sun=False))
    each = channels(per_band / "angles.tif")
    stacked = np.stack([vectors_of(*angles_of(each, f"view_{band}")) for band in BANDS])
    anywhere = np.isfinite(stacked[..., 0]).any(axis=0)
    total = np.nansum(stacked, axis=0)[anywhere]
    expected = total / np.linalg.norm(total, axis=-1, keepdims=True)
    got = vectors_of(*angles_of(found, "view"))
    np.testing.assert_array_equal(np.isfinite(got[..., 0]), anywhere)
    assert np.abs(got[anywhere] - expected).max() < 3e-6
    assert not np.isfinite(stacked[..., 0]).all(axis=0)[anywhere].all()  # the bands' edges differ


def test_view_bands(rasters: Scene, tmp_path: Path) -> None:
    where, meta = _run(
        rasters, tmp_path / "out", replace(ON, view_bands=("B11",), include_sun=False, encode="deg")
    )
    assert list(channels(where / "angles.tif")) == ["view_B11_zen_deg", "view_B11_azi_deg"]
    assert list(meta["angles"]["detector_source_by_band"]) == ["B11"]


def test_sun_alone_reads_no_masks(rasters: Scene, tmp_path: Path) -> None:
    where, meta = _run(rasters, tmp_path / "out", replace(ON, include_view=False))
    assert list(channels(where / "angles.tif")) == [
        "sun_zen_sin",
        "sun_zen_cos",
        "sun_azi_sin",
        "sun_azi_cos",
    ]
    assert meta["angles"]["detector_source_by_band"] == {}
    assert not [item for item in meta["inputs"] if "footprint" in item["role"]]


def test_without_masks_seams_come_from_the_nodes(rasters: Scene, tmp_path: Path) -> None:
    index = load_index(rasters.root / "meta/step1/index.json")
    scenes = tuple(
        replace(
            scene,
            files_l1c=replace(
                scene.files_l1c,
                items=tuple(
                    item for item in scene.files_l1c.items if "B8A" not in item.role or "band" in item.role
                ),
            ),
        )
        for scene in index.scenes
        if scene.files_l1c is not None
    )
    path = rasters.root / "meta/step1/less.json"
    save_index(replace(index, scenes=scenes), path)
    _, meta = _run(rasters, tmp_path / "out", ON, index_json=path)
    assert meta["angles"]["detector_source_by_band"] == {
        "B02": "footprint_mask",
        "B8A": "node_seam",
        "B11": "footprint_mask",
    }
    _, meta = _run(rasters, tmp_path / "nearest", replace(ON, detector_aggregate="nearest"))
    assert set(meta["angles"]["detector_source_by_band"].values()) == {"node_seam"}


def test_mean_over_detectors_is_for_comparison(rasters: Scene, tmp_path: Path) -> None:
    where, meta = _run(rasters, tmp_path / "out", replace(ON, detector_aggregate="nanmean", encode="deg"))
    assert set(meta["angles"]["detector_source_by_band"].values()) == {"node_mean"}
    grid = inspect_raster(str(where / "angles.tif")).grid
    detector, truth = _truth(rasters, grid, "B02", 10)
    error = apart(angles_of(channels(where / "angles.tif"), "view_B02"), truth)[detector > 0]
    assert np.nanmax(error) > 0.5


def test_int16_is_scaled_in_the_file(rasters: Scene, tmp_path: Path) -> None:
    for encode, limit in (("sin_cos", 0.004), ("deg", 0.0075)):
        plain, _ = _run(rasters, tmp_path / f"f{encode}", replace(ON, encode=encode))
        small, meta = _run(rasters, tmp_path / f"i{encode}", replace(ON, encode=encode, dtype="int16"))
        assert meta["assets"]["angles"]["dtype"] == "int16"
        assert meta["assets"]["angles"]["nodata"] == -32768
        one, other = channels(plain / "angles.tif"), channels(small / "angles.tif")
        for prefix in ("sun", "view_B11"):
            error = apart(angles_of(one, prefix), angles_of(other, prefix))
            assert np.nanmax(error) < limit
            np.testing.assert_array_equal(np.isnan(one[f"{prefix}_zen_{'deg' if encode == 'deg' else 'sin'}"]),
                                          np.isnan(error))  # fmt: skip


def test_native_and_vrt(rasters: Scene, tmp_path: Path) -> None:
    where, meta = _run(rasters, tmp_path / "out", replace(ON, grid="vrt", output_name="geometry.tif"))
    assert meta["paths"]["angles"].endswith("/geometry.vrt")
    assert meta["paths"]["angles_native"].endswith("/geometry.tif")
    native = inspect_raster(str(where / "geometry.tif"))
    assert native.grid.shape_yx == (23, 23)
    assert meta["assets"]["angles_native"]["grid"]["geotransform"] == list(native.grid.geotransform)
    assert meta["assets"]["angles_native"]["shape"] == [16, 23, 23]
    ulx, uly = rasters.swath.ulx, rasters.swath.uly
    assert native.grid.geotransform == (ulx - 2500, 5000, 0, uly + 2500, 0, -5000)
    angles = read_tile_angles(rasters.granule)
    at_nodes = angles_of(channels(where / "geometry.tif"), "sun")
    assert apart(at_nodes, (angles.sun_zenith, angles.sun_azimuth)).max() < 1e-4

    shown = inspect_raster(str(where / "geometry.vrt"))
    assert shown.grid == inspect_raster(str(where / "x.tif")).grid
    found = channels(where / "geometry.vrt")
    assert list(found) == meta["assets"]["angles"]["band_names"]
    assert apart(angles_of(found, "sun"), rasters.swath.sun_angles_at(*centres(shown.grid))).max() < 0.01
    index = json.loads((tmp_path / "out/meta/step2/index.json").read_text())
    assert index["samples"][0]["angles_path"] == meta["paths"]["angles"]
    moved = tmp_path / "moved"
    (tmp_path / "out").rename(moved)
    sample, _ = _sample(moved)
    assert inspect_raster(str(sample / "geometry.vrt")).grid == shown.grid
    np.testing.assert_array_equal(channels(sample / "geometry.vrt")["sun_zen_cos"], found["sun_zen_cos"])


def test_bytes_do_not_depend_on_threads(rasters: Scene, tmp_path: Path) -> None:
    contents = []
    for threads in (1, 3):
        where, _ = _run(
            rasters, tmp_path / str(threads), replace(ON, view_mode="single"), num_workers=threads
        )
        contents.append((where / "angles.tif").read_bytes())
    assert contents[0] == contents[1]


def test_windows_do_not_show(rasters: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, _ = _run(rasters, tmp_path / "one", ON)
    monkeypatch.setattr("s2pipe.preprocess.angles.target_raster._WINDOW_BYTES", 1)  # windows of one file tile
    other, _ = _run(rasters, tmp_path / "other", ON)
    for name, values in channels(one / "angles.tif").items():
        np.testing.assert_array_equal(values, channels(other / "angles.tif")[name])


def test_a_sample_is_rebuilt_when_a_mask_changes(rasters: Scene, tmp_path: Path) -> None:
    config = rasters.config(tmp_path / "out", ON)
    assert run_preprocess(config).done
    assert run_preprocess(config).up_to_date
    mask = next((rasters.root / "raw/L1C").rglob("MSK_DETFOO_B11.jp2"))
    content = mask.read_bytes()
    mask.unlink()  # a link to the product: that one stays as it is
    mask.write_bytes(content)
    os.utime(mask, ns=(1, 1))
    assert run_preprocess(config).done
    assert run_preprocess(replace(config, angles=AngleAssetConfig())).done
    where, meta = _sample(tmp_path / "out")
    assert meta["angles"] == {"enabled": False}
    assert not (where / "angles.tif").exists()


def test_files_of_another_configuration_go_away(rasters: Scene, tmp_path: Path) -> None:
    config = rasters.config(tmp_path / "out", replace(ON, grid="vrt", output_name="one.tif"))
    run_preprocess(config)
    run_preprocess(replace(config, angles=replace(ON, output_name="two.tif")))
    where, _ = _sample(tmp_path / "out")
    assert {path.name for path in where.iterdir() if path.is_file()} == {
        "x.tif",
        "two.tif",
        "stack.vrt",
        "meta.json",
        ".lock",
    }


def test_tile_metadata_is_needed_but_not_for_statistics(rasters: Scene, tmp_path: Path) -> None:
    index = load_index(rasters.root / "meta/step1/index.json")
    scenes = tuple(
        replace(
            scene,
            files_l1c=replace(
                scene.files_l1c,
                items=tuple(item for item in scene.files_l1c.items if item.role != "l1c.tile_metadata"),
            ),
        )
        for scene in index.scenes
        if scene.files_l1c is not None
    )
    path = rasters.root / "meta/step1/without.json"
    save_index(replace(index, scenes=scenes), path)
    config = rasters.config(tmp_path / "out", ON, index_json=path)
    with pytest.raises(MissingInputError, match=r"role l1c\.tile_metadata is not in the manifest"):
        run_preprocess(config)
    assert not (tmp_path / "out").exists()
    count = NormalizeConfig(mode="compute_only", stats_path=tmp_path / "stats.json")
    assert run_preprocess(replace(config, normalize=count)).done


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"output_name": "../angles.tif"}, "angles.output_name"),
        ({"output_name": "a/b.tif"}, "angles.output_name"),
        ({"output_name": "angles.jp2"}, "angles.output_name"),
        ({"output_name": "x.tif"}, "angles.output_name"),
        ({"output_name": "Stack.tif"}, "angles.output_name"),
        ({"include_sun": False, "include_view": False}, "angles.include_sun"),
        ({"view_bands": ()}, "angles.view_bands"),
        ({"grid": "vrt", "encode": "deg"}, "angles.encode"),
        ({"grid": "native", "dtype": "int16"}, "angles.dtype"),
        ({"dtype": "float16"}, "angles.dtype"),
    ],
)
def test_configurations_that_make_no_sense(
    rasters: Scene, tmp_path: Path, change: dict[str, Any], path: str
) -> None:
    with pytest.raises(ConfigError, match=re.escape(f"preprocess.{path}")):
        run_preprocess(rasters.config(tmp_path / "out", replace(ON, **change)))


def _without(tag: str) -> Callable[[str], str]:
    return lambda text: re.sub(rf"<{tag}\b.*?</{tag}>", "", text, flags=re.DOTALL)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_without("Sun_Angles_Grid"), r"Sun_Angles_Grid: is missing"),
        (_without("Viewing_Incidence_Angles_Grids"), r"Viewing_Incidence_Angles_Grids: none for band B02"),
        (lambda text: text.replace(">5000<", ">4000<", 1), r"COL_STEP: expected 5000 m, got '4000'"),
        (
            lambda text: re.sub(r"<VALUES>\S+ ", "<VALUES>", text, count=1),
            r"Sun_Angles_Grid/Zenith/Values_List/VALUES: expected 23 rows of 23 numbers",
        ),
        (
            lambda text: re.sub(r"<VALUES>\S+ ", "<VALUES>many ", text, count=1),
            r"Zenith/Values_List/VALUES: expected numbers or NaN",
        ),
        (lambda text: re.sub(r'bandId="1"', 'bandId="77"', text), r"@bandId: expected 0 to 12, got 77"),
        (
            lambda text: (
                '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>' + text[text.index("?>") + 2 :]
            ),
            r"document types and entities are refused",
        ),
        (lambda text: text[: len(text) // 2], r"not well-formed XML"),
    ],
)
def test_damaged_metadata_names_file_and_element(
    rasters: Scene, tmp_path: Path, damage: Callable[[str], str], message: str
) -> None:
    text = rasters.granule.read_text(encoding="utf-8")
    damaged = tmp_path / "MTD_TL.xml"
    damaged.write_text(damage(text), encoding="utf-8")
    assert damaged.read_text(encoding="utf-8") != text
    grid = Grid(crs_wkt(32633), (499980, 60, 0, 5500020, 0, -60), (4, 4))
    with pytest.raises(MetadataError, match=message) as caught:
        write(tmp_path / "out", damaged, grid, ON)
    assert str(caught.value).startswith(str(damaged))


def test_a_scene_with_damaged_metadata_fails_and_leaves_nothing(rasters: Scene, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(rasters.root, data)
    next((data / "raw/L1C").rglob("MTD_TL.xml")).write_text("<a/>")
    result = run_preprocess(rasters.config(tmp_path / "out", ON, index_json=data / "meta/step1/index.json"))
    assert result.exit_code == 1
    assert "MTD_TL.xml: a: expected the root element" in result.failed[0].error
    assert not list((tmp_path / "out/processed").rglob("*.tif"))


def test_a_band_without_any_node_has_no_view_angle(rasters: Scene, tmp_path: Path) -> None:
    text = rasters.granule.read_text(encoding="utf-8")
    grids = re.compile(
        r'<Viewing_Incidence_Angles_Grids bandId="1".*?</Viewing_Incidence_Angles_Grids>', re.DOTALL
    )
    blind = grids.sub(
        lambda found: re.sub(
            r"<VALUES>(.*?)</VALUES>",
            lambda v: f"<VALUES>{' '.join(['NaN'] * len(v[1].split()))}</VALUES>",
            found[0],
        ),
        text,
    )
    (tmp_path / "MTD_TL.xml").write_text(blind, encoding="utf-8")
    grid = Grid(crs_wkt(32633), (499980, 60, 0, 5500020, 0, -60), (40, 50))
    for aggregate in ("footprint", "nanmean"):
        write(tmp_path / aggregate, tmp_path / "MTD_TL.xml", grid, replace(ON, detector_aggregate=aggregate))
        found = channels(tmp_path / aggregate / "angles.tif")
        assert np.isnan(found["view_B02_zen_sin"]).all()
        assert np.isfinite(found["sun_zen_sin"]).all()


@pytest.mark.parametrize("encode", ["deg", "sin_cos"])
def test_native_means_keep_every_node(rasters: Scene, tmp_path: Path, encode: str) -> None:
    grid = Grid(crs_wkt(32633), (499980, 60, 0, 5500020, 0, -60), (4, 5))
    config = replace(ON, detector_aggregate="nanmean", grid="native", encode=encode)
    write(tmp_path, rasters.granule, grid, config)
    zenith, _ = angles_of(channels(tmp_path / "angles.tif"), "view_B02")
    angles = read_tile_angles(rasters.granule)
    values = np.stack([angles.view["B02", detector][0] for detector in angles.detectors("B02")])
    seen = np.isfinite(values).any(axis=0)
    np.testing.assert_array_equal(np.isfinite(zenith), seen)
    expected = np.nansum(values, axis=0)[seen] / np.isfinite(values).sum(axis=0)[seen]
    assert np.abs(zenith[seen] - expected).max() < 1e-4


def test_seams_from_nodes_in_another_crs(rasters: Scene, tmp_path: Path) -> None:
    """The same seams on the tile's own grid and, pixel by pixel, on one of the neighbouring zone."""
    other = crs_wkt(32632)
    tile_crs = crs_wkt(32633)
    corner = transform_points(tile_crs, other, np.array([[500_100.0, 5_499_000.0]]))[0]
    grid = Grid(other, (corner[0], 60, 0, corner[1], 0, -60), (90, 100))
    config = replace(ON, detector_aggregate="nearest", encode="deg")
    write(tmp_path / "other", rasters.granule, grid, config)
    got = angles_of(channels(tmp_path / "other" / "angles.tif"), "view_B02")
    x, y = centres(grid)
    points = transform_points(other, tile_crs, np.stack((x.ravel(), y.ravel()), axis=-1))
    outlines = node_outlines(read_tile_angles(rasters.granule), "B02")
    for index in range(0, len(points), 211):
        left, top = points[index] + (-5, 5)
        single = Grid(tile_crs, (left, 10, 0, top, 0, -10), (1, 1))
        write(tmp_path / "one", rasters.granule, single, config)
        here = angles_of(channels(tmp_path / "one" / "angles.tif"), "view_B02")
        row, col = divmod(index, 100)
        error = apart(here, (got[0][row, col], got[1][row, col]))[0, 0]
        assert error < 1e-4 or np.isnan(error) == np.isnan(got[0][row, col])
    assert len(outlines) >= 2


def test_masks_without_place_are_refused(tmp_path: Path) -> None:
    info = RasterInfo("mask.jp2", Grid("", (0, 1, 0, 0, 0, -1), (3, 3)), "Byte", (3, 3))
    with pytest.raises(RasterError, match=r"mask\.jp2: the detector footprint has no coordinate"):
        MaskReader(info, Grid(crs_wkt(32633), (0, 1, 0, 0, 0, -1), (3, 3)))


def test_masks_on_finer_coarser_and_shifted_grids(tmp_path: Path) -> None:
    mask = np.arange(48, dtype=np.uint8).reshape(6, 8)
    path = tmp_path / "mask.tif"
    data = gdal.GetDriverByName("GTiff").Create(str(path), 8, 6, 1)
    data.SetProjection(crs_wkt(32633))
    data.SetGeoTransform((1000, 20, 0, 5000, 0, -20))
    data.WriteRaster(0, 0, 8, 6, mask.tobytes())
    del data
    info = inspect_raster(str(path))
    cases = {
        (1000, 20, 5000): mask,
        (1000, 10, 5000): np.kron(mask, np.ones((2, 2), np.uint8)),
        (1000, 60, 5000): mask[1::3, 1::3],
        (960, 20, 5020): np.pad(mask, ((1, 0), (2, 0))),
    }
    for (x0, step, y0), expected in cases.items():
        target = Grid(info.grid.crs_wkt, (x0, step, 0, y0, 0, -step), expected.shape)
        out = np.full(expected.shape, 9, np.uint8)
        reader = MaskReader(info, target)
        reader.read(Window(0, 0, *expected.shape), out)
        np.testing.assert_array_equal(out, expected)
        part = np.full((1, expected.shape[1] - 1), 9, np.uint8)
        reader.read(Window(1, 1, *part.shape), part)
        np.testing.assert_array_equal(part, expected[1:2, 1:])
        reader.close()
    far = Grid(info.grid.crs_wkt, (90_000, 20, 0, 5000, 0, -20), (3, 3))
    out = np.full((3, 3), 9, np.uint8)
    MaskReader(info, far).read(Window(0, 0, 3, 3), out)
    assert not out.any()


def test_polygons_against_gdal(tmp_path: Path) -> None:
    """Ragged rings, holes included, give the pixels that GDAL's own rasterizer gives."""
    from osgeo import ogr

    rng = np.random.default_rng(3)
    for seed in range(8):
        turns = np.sort(rng.uniform(0, 2 * np.pi, 9 + seed))
        ring = np.stack((40 + 31 * np.cos(turns), 30 + 25 * np.sin(turns)), axis=-1)
        hole = np.array([[35.3, 25.1], [45.2, 27.3], [40.7, 36.9]])
        rings = tuple(np.concatenate((one, one[:1])) for one in (ring, hole))
        grid = Grid("", (0, 1, 0, 60, 0, -1), (60, 80))
        got = np.empty(grid.shape_yx, np.uint8)
        OutlineReader([DetectorOutline(7, rings)], grid).read(Window(0, 0, 60, 80), got)
        memory = gdal.GetDriverByName("MEM").Create("", 80, 60, 1)
        memory.SetGeoTransform(grid.geotransform)
        source = (ogr.GetDriverByName("Memory") or ogr.GetDriverByName("MEM")).CreateDataSource("m")
        layer = source.CreateLayer("m")
        feature = ogr.Feature(layer.GetLayerDefn())
        text = ", ".join("(" + ", ".join(f"{x!r} {y!r}" for x, y in one.tolist()) + ")" for one in rings)
        feature.SetGeometry(ogr.CreateGeometryFromWkt(f"POLYGON ({text})"))
        layer.CreateFeature(feature)
        gdal.RasterizeLayer(memory, [1], layer, burn_values=[7])
        expected = np.frombuffer(memory.ReadRaster(), np.uint8).reshape(60, 80)
        np.testing.assert_array_equal(got, expected)


def test_overlapping_footprints_meet_in_the_middle() -> None:
    def box(left: float, right: float) -> np.ndarray:
        return np.array([[left, 0.0], [right, 0.0], [right, 4.0], [left, 4.0], [left, 0.0]])

    outlines = [
        DetectorOutline(2, (box(6, 12),)),
        DetectorOutline(1, (box(1, 8),)),
        DetectorOutline(3, (box(12, 15),)),
    ]
    out = np.empty((4, 16), np.uint8)
    OutlineReader(outlines, Grid("", (0, 1, 0, 4, 0, -1), (4, 16))).read(Window(0, 0, 4, 16), out)
    np.testing.assert_array_equal(out[0], [0, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 3, 3, 3, 0])
    assert (out == out[0]).all()


def test_seams_from_nodes_of_a_whole_tile(tmp_path: Path) -> None:
    """Without masks, seams of a full-size tile are right to a few hundred metres."""
    from s2pipe.synthetic.metadata.tile_xml import tile_xml

    spec = ProductSpec(side_m=109_800, nodata_wedge=0.3, l2a=False)
    swath = swath_of(spec)
    (tmp_path / "MTD_TL.xml").write_bytes(tile_xml(spec.names("L1C"), swath, [], np.zeros(12, np.int64)))
    angles = read_tile_angles(tmp_path / "MTD_TL.xml")
    grid = Grid(crs_wkt(swath.epsg), (swath.ulx, 60, 0, swath.uly, 0, -60), (1830, 1830))
    got = np.empty(grid.shape_yx, np.uint8)
    OutlineReader(node_outlines(angles, "B02"), grid).read(Window(0, 0, *grid.shape_yx), got)
    truth = swath.detector_at(*centres(grid), "B02")
    seams = np.count_nonzero(np.diff(truth.astype(int), axis=1), axis=1).max()
    assert (got != truth).sum(axis=1).max() * 60 < 500 * seams
