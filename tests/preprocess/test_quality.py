"""``q.tif`` against the products' own rasters, and screening by it with labels that know no clouds."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from osgeo import gdal

from s2pipe.cli import main
from s2pipe.config.schema import document_faults
from s2pipe.errors import ConfigError, MissingInputError
from s2pipe.patches.cfg import PatchConfig, QualityConfig, SplitConfig
from s2pipe.patches.run import run_patches
from s2pipe.preprocess.cfg import LabelConfig, NormalizeConfig, ScreeningConfig
from s2pipe.preprocess.run import run_preprocess
from s2pipe.raster.transform import crs_wkt, transform_points
from s2pipe.sentinel2.roles import L2A_CLOUD_PROBABILITY, L2A_SCL
from tests.conftest import Dataset, read_whole_band

if TYPE_CHECKING:
    from pathlib import Path

gdal.UseExceptions()
ON = ScreeningConfig(enabled=True)
SMALL: dict[str, Any] = {"l1c_bands": ("B11",), "quality": ON}


def _sources(dataset: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Scene classes and cloud probability of the first scene, as the product has them."""
    product = min(dataset.products.glob("*MSIL2A*"))
    paths = (next(product.rglob(name)) for name in ("*_SCL_20m.jp2", "MSK_CLDPRB_20m.jp2"))
    classes, probability = (read_whole_band(path, 1, "uint8") for path in paths)
    return classes, probability


def _first(out: Path) -> tuple[Path, dict[str, Any]]:
    path = min(out.rglob("meta.json"))
    meta = json.loads(path.read_text())
    assert document_faults(meta, "sample_meta") == []
    return path.parent, meta


def _without(dataset: Dataset, root: Path, role: str) -> Path:
    """An index over the same files in which a role is missing; return its path."""
    document = json.loads(dataset.index_json.read_text())
    for scene in document["scenes"]:
        files = scene["files_l2a"]
        files["items"] = [item for item in files["items"] if item["role"] != role]
    path = root / "meta" / "step1" / "index.json"
    path.parent.mkdir(parents=True)
    (root / "raw").symlink_to(dataset.root / "raw")
    path.write_text(json.dumps(document))
    return path


@pytest.mark.parametrize(
    ("ref", "band"), [("scl_20m", "B11"), ("B02", "B02"), ("B01", "B01")], ids=["20m", "10m", "60m"]
)
def test_it_holds_the_nearest_pixels_of_the_product(
    dataset: Dataset, tmp_path: Path, ref: str, band: str
) -> None:
    config = dataset.config(tmp_path, target_grid_ref=ref, l1c_bands=(band,), quality=ON, max_scenes=1)
    assert not run_preprocess(config).failed
    where, meta = _first(tmp_path)
    expected = _sources(dataset)
    if ref == "B02":
        expected = tuple(np.repeat(np.repeat(found, 2, 0), 2, 1) for found in expected)
    if ref == "B01":
        expected = tuple(found[1::3, 1::3] for found in expected)
    for number, found in enumerate(expected, 1):
        np.testing.assert_array_equal(read_whole_band(where / "q.tif", number, "uint8"), found)
    about = meta["quality"]
    assert about["cloud_probability"] == L2A_CLOUD_PROBABILITY
    assert set(about["resampling"].values()) == {"none" if ref == "scl_20m" else "nearest"}
    values, counts = np.unique(expected[0], return_counts=True)
    assert about["counts"] == {str(v): int(n) for v, n in zip(values, counts, strict=True)}
    assert about["classes"]["cloud_labels"] == [8, 9, 10]
    assert about["classes"]["class_names"]["10"] == "thin cirrus"
    asset = meta["assets"]["quality"]
    assert (asset["band_names"], asset["dtype"], asset["nodata"]) == (
        ["scl", "cloud_probability"],
        "uint8",
        255,
    )
    raster = gdal.Open(str(where / "q.tif"))
    assert [raster.GetRasterBand(b).GetDescription() for b in (1, 2)] == asset["band_names"]
    (listed,) = [file for file in meta["files"] if file["path"].endswith("/q.tif")]
    data = (where / "q.tif").read_bytes()
    assert (listed["size"], listed["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())
    (entry,) = json.loads((tmp_path / "meta/step2/index.json").read_text())["samples"]
    assert entry["quality_path"] == meta["paths"]["quality"] == listed["path"]
    assert L2A_SCL in {item["role"] for item in meta["inputs"]}


def test_it_is_the_same_for_any_number_of_workers_and_goes_when_it_is_not_wanted(
    dataset: Dataset, tmp_path: Path
) -> None:
    config = dataset.config(tmp_path, max_scenes=1, **SMALL)
    first = run_preprocess(replace(config, num_workers=1))
    assert first.done
    where, _ = _first(tmp_path)
    data = (where / "q.tif").read_bytes()
    assert run_preprocess(config).up_to_date
    assert main(["verify", str(tmp_path), "-q"]) == 0
    (where / "q.tif").write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    assert main(["verify", str(tmp_path), "-q"]) == 1
    run_preprocess(replace(config, num_workers=3, overwrite=True))
    assert (where / "q.tif").read_bytes() == data
    assert run_preprocess(replace(config, quality=ScreeningConfig())).done
    assert not (where / "q.tif").exists()
    assert _first(tmp_path)[1]["quality"] == {"enabled": False}


def test_a_cloud_probability_is_taken_where_there_is_one(dataset: Dataset, tmp_path: Path) -> None:
    index = _without(dataset, tmp_path / "in", L2A_CLOUD_PROBABILITY)
    config = dataset.config(tmp_path / "out", max_scenes=1, index_json=index, **SMALL)
    run_preprocess(config)
    where, meta = _first(tmp_path / "out")
    assert meta["quality"]["cloud_probability"] is None
    assert list(meta["quality"]["resampling"]) == ["scl"]
    np.testing.assert_array_equal(read_whole_band(where / "q.tif", 1, "uint8"), _sources(dataset)[0])
    assert (read_whole_band(where / "q.tif", 2, "uint8") == 255).all()
    wanted = replace(config, quality=replace(ON, require_cloud_probability=True))
    with pytest.raises(MissingInputError, match=r"role l2a\.cloud_probability_20m is not in the manifest"):
        run_preprocess(wanted)
    with pytest.raises(ConfigError, match=r"quality\.require_cloud_probability: expected false without"):
        run_preprocess(replace(config, quality=ScreeningConfig(require_cloud_probability=True)))


def test_the_scene_classification_becomes_a_needed_role_but_not_to_count(
    dataset: Dataset, tmp_path: Path
) -> None:
    index = _without(dataset, tmp_path / "in", L2A_SCL)
    config = dataset.config(tmp_path / "out", index_json=index, target_grid_ref="B11", **SMALL)
    with pytest.raises(MissingInputError, match=r"role l2a\.scl_20m is not in the manifest"):
        run_preprocess(config)
    assert not (tmp_path / "out").exists()
    counting = NormalizeConfig(mode="compute_only", stats_path=tmp_path / "stats.json")
    assert len(run_preprocess(replace(config, normalize=counting)).done) == 2


def _land_cover(path: Path, dataset: Dataset) -> Path:
    """A land cover as ESA WorldCover has it: degrees, codes in tens, colours in the file; fields of 40 by 50 pixels."""
    source = gdal.Open(str(next(dataset.products.rglob("*_SCL_20m.jp2"))))
    left, _, _, top, _, _ = source.GetGeoTransform()
    side = 20.0 * source.RasterXSize
    corners = np.array([[left - 500, top + 500], [left + side + 500, top - side - 500]])
    west_north, east_south = transform_points(source.GetProjection(), crs_wkt(4326), corners)
    step = 1 / 12_000
    width, height = (int(n) + 1 for n in np.abs(east_south - west_north) / step)
    codes = np.array([10, 20, 30, 40, 50, 60, 80], np.uint8)
    blocks = np.random.default_rng(5).integers(0, len(codes), (height // 40 + 1, width // 50 + 1))
    cover = codes[np.kron(blocks, np.ones((40, 50), int))[:height, :width]]
    data = gdal.GetDriverByName("GTiff").Create(str(path), width, height, 1, gdal.GDT_Byte)
    data.SetProjection(crs_wkt(4326))
    data.SetGeoTransform((west_north[0], step, 0, west_north[1], 0, -step))
    table = gdal.ColorTable()
    table.SetColorEntry(10, (0, 100, 0, 255))
    table.SetColorEntry(80, (0, 100, 200, 255))
    data.GetRasterBand(1).SetColorTable(table)
    data.GetRasterBand(1).SetNoDataValue(0)
    data.WriteRaster(0, 0, width, height, cover.tobytes())
    return path


NAMES = {
    10: "tree cover",
    20: "shrubland",
    30: "grassland",
    40: "cropland",
    50: "built-up",
    60: "bare",
    80: "water",
}


def test_a_land_cover_is_screened_by_scene_classes_from_end_to_end(dataset: Dataset, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    from pyarrow import parquet

    labels = LabelConfig(
        enabled=True,
        backend="raster",
        path=str(_land_cover(tmp_path / "cover.tif", dataset)),
        class_names=NAMES,
        source="ESA WorldCover",
    )
    config = dataset.config(tmp_path / "out", labels=labels, max_scenes=1, **SMALL)
    run_preprocess(config)
    where, meta = _first(tmp_path / "out")
    meaning = meta["labels"]["meaning"]
    assert meaning["class_names"] == {str(code): name for code, name in NAMES.items()}
    assert meaning["class_colors"] == {"10": "#006400", "80": "#0064c8"}
    assert (meaning["source"], meaning["cloud_labels"]) == ("ESA WorldCover", None)
    limits = QualityConfig(min_valid=0.0, max_cloud=0.3)
    patches = PatchConfig(
        tmp_path / "out/meta/step2/index.json",
        tmp_path / "patches",
        patch_size=32,
        quality=limits,
        split=SplitConfig(1.0, 0.0, 0.0),
    )
    run_patches(patches)
    cover, classes = read_whole_band(where / "y.tif", 1, "uint8"), _sources(dataset)[0]
    valid = read_whole_band(where / "x.tif", 2) > 0
    reasons = set()
    for row in parquet.read_table(tmp_path / "patches" / "patches.parquet").to_pylist():
        part = (slice(row["row"], row["row"] + 32), slice(row["col"], row["col"] + 32))
        inside = valid[part]
        shares = [
            (np.isin(classes[part], found) & inside).sum() / max(1, inside.sum())
            for found in ((8, 9, 10), (3,), (11,), (6,))
        ]
        names = ("cloud", "shadow", "snow", "water")
        assert [row[f"{name}_fraction"] for name in names] == shares
        assert (row["reject_reason"] == "max_cloud") == (shares[0] > 0.3)
        assert row["class_10"] == (cover[part] == 10).sum()
        reasons.add(row["reject_reason"])
    assert reasons == {None, "max_cloud"}
    shards = json.loads((tmp_path / "patches" / "shards.json").read_text())
    assert {key: shards["labels"][key] for key in meaning} == meaning
    assert shards["labels"]["dtype"] == "uint8"
    (entry,) = json.loads((tmp_path / "out/meta/step2/index.json").read_text())["samples"]
    assert entry["labels"] == meaning


def test_labels_by_cloud_probability_drop_what_is_cloudy(dataset: Dataset, tmp_path: Path) -> None:
    """Labels of 0 and 1 tell clouds by themselves: once, no patch of them was ever cloudy."""
    pytest.importorskip("pyarrow")
    from pyarrow import parquet

    labels = LabelConfig(enabled=True, backend="cloud_probability", mapping={0: 7, 1: 3})
    run_preprocess(dataset.config(tmp_path / "out", labels=labels, max_scenes=1, l1c_bands=("B11",)))
    where, meta = _first(tmp_path / "out")
    assert meta["labels"]["meaning"]["class_names"] == {"3": "cloud", "7": "clear"}
    assert meta["labels"]["meaning"]["cloud_labels"] == [3]
    quality = QualityConfig(min_valid=0.0, max_cloud=0.3)
    index = tmp_path / "out/meta/step2/index.json"
    split = SplitConfig(1.0, 0.0, 0.0)
    run_patches(PatchConfig(index, tmp_path / "patches", patch_size=32, quality=quality, split=split))
    found = read_whole_band(where / "y.tif", 1, "uint8")
    valid = read_whole_band(where / "x.tif", 2) > 0
    dropped = 0
    for row in parquet.read_table(tmp_path / "patches" / "patches.parquet").to_pylist():
        part = (slice(row["row"], row["row"] + 32), slice(row["col"], row["col"] + 32))
        share = ((found[part] == 3) & valid[part]).sum() / max(1, valid[part].sum())
        assert row["cloud_fraction"] == share
        assert (row["reject_reason"] == "max_cloud") == (share > 0.3)
        dropped += share > 0.3
    assert dropped
    limit = QualityConfig(min_valid=0.0, max_water=0.3)
    with pytest.raises(
        ConfigError, match=r"max_water: nothing tells water: no label of the samples \(L2A cloud prob"
    ):
        run_patches(PatchConfig(index, tmp_path / "none", patch_size=32, quality=limit, split=split))


def test_an_opened_scene_says_what_its_classes_mean(dataset: Dataset, tmp_path: Path) -> None:
    xarray = pytest.importorskip("xarray")
    import s2pipe

    labels = LabelConfig(enabled=True, mapping={4: 1, 8: 2, 9: 2, 10: 2}, class_colors={2: "#ffffff"})
    run_preprocess(dataset.config(tmp_path, labels=labels, max_scenes=1, **SMALL))
    where, _ = _first(tmp_path)
    scene = s2pipe.open_scene(where / "meta.json")
    assert isinstance(scene, xarray.Dataset)
    about = scene["label"].attrs
    named = dict(zip(about["class_values"], about["class_names"], strict=True))
    assert named == {1: "vegetation", 2: "cloud, medium probability / cloud, high probability / thin cirrus"}
    assert about["class_colors"] == ["#00a000", "#ffffff"]
    assert (about["cloud_labels"], about["ignore_index"], about["source"]) == (
        [2],
        255,
        "L2A scene classification",
    )
    assert list(scene["layer"].values) == ["scl", "cloud_probability"]
    np.testing.assert_array_equal(scene["quality"].values, np.stack(_sources(dataset)))
    assert scene["quality"].attrs["cloud_labels"] == [8, 9, 10]
