"""Step 2 end to end on small products, against NumPy computations that use none of s2pipe's engine."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from osgeo import gdal

from s2pipe.config.schema import document_faults
from s2pipe.errors import ConfigError, ManifestError, MissingInputError, StatsMismatchError
from s2pipe.indexing.run import index_products
from s2pipe.preprocess.cfg import LabelConfig, NormalizeConfig, PreprocessConfig
from s2pipe.preprocess.run import run_preprocess
from s2pipe.raster.grid import Grid
from s2pipe.raster.jp2 import write_jp2
from s2pipe.synthetic import ProductSpec, make_products
from tests.conftest import SMALL_SIDE_M, Dataset, read_whole_band

KEY = "T33UWQ/2025-12-10T10:03:19Z"
SAMPLE = Path("processed") / "tile=T33UWQ" / "sensing=2025-12-10T100319Z"
BANDS = ("B02", "B03", "B04", "B08", "B11", "B12")


def _dn(dataset: Dataset, band: str, stamp: str = "20251210T100319") -> np.ndarray:
    path = next(dataset.products.glob(f"*MSIL1C_{stamp}*/GRANULE/*/IMG_DATA/*_{band}.jp2"))
    return read_whole_band(path)


def _on_20m(dn: np.ndarray) -> np.ndarray:
    """Mean of the valid pixels of 2 x 2 blocks of a 10 m band; a 20 m band as it is."""
    if dn.shape[0] == SMALL_SIDE_M // 20:
        return dn
    height, width = dn.shape
    blocks = dn.astype(np.float64).reshape(height // 2, 2, width // 2, 2)
    count = (blocks != 0).sum(axis=(1, 3))
    return np.where(count > 0, blocks.sum(axis=(1, 3)) / np.maximum(count, 1), 0).astype(np.float32)


def _reflectance(dn: np.ndarray) -> np.ndarray:
    rho = (dn + np.float32(-1000)) / np.float32(10000)
    return np.where(dn != 0, rho, np.float32(0))


def _all_bands(path: Path) -> tuple[list[str], np.ndarray]:
    data = gdal.Open(str(path))
    names = [data.GetRasterBand(i).GetDescription() for i in range(1, data.RasterCount + 1)]
    return names, np.stack([read_whole_band(path, i) for i in range(1, data.RasterCount + 1)])


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _both_passes(dataset: Dataset, out: Path, **changes: Any) -> PreprocessConfig:
    normalize = NormalizeConfig(mode="compute_only", stats_path=out / "stats.json", save_histograms=True)
    config = dataset.config(out, **{"labels": LabelConfig(enabled=True), **changes})
    assert run_preprocess(replace(config, normalize=normalize)).exit_code == 0
    config = replace(
        config, normalize=NormalizeConfig(mode="apply_with_stats", stats_path=out / "stats.json")
    )
    assert run_preprocess(config).exit_code == 0
    return config


@pytest.mark.parametrize("mask", ["single", "per_band"])
def test_plain_values_and_masks(dataset: Dataset, tmp_path: Path, mask: Any) -> None:
    dn = np.stack([_on_20m(_dn(dataset, band)) for band in BANDS])
    result = run_preprocess(dataset.config(tmp_path, valid_pixel_mask=mask))
    assert [f"{key.tile_id}/{key.sensing_start_utc}" for key in result.done] == [
        KEY,
        KEY.replace("12-10", "12-15"),
    ]
    names, x = _all_bands(tmp_path / SAMPLE / "x.tif")
    masks = (dn != 0).all(axis=0, keepdims=True) if mask == "single" else dn != 0
    assert names == [*BANDS, *(["valid"] if mask == "single" else [f"valid_{band}" for band in BANDS])]
    assert np.array_equal(x[:6], _reflectance(dn))
    assert np.array_equal(x[6:], masks.astype(np.float32))
    assert 0 < masks.mean() < 1


def test_dn_without_reflectance(dataset: Dataset, tmp_path: Path) -> None:
    config = dataset.config(
        tmp_path, to_toa_reflectance=False, l1c_bands=("B11",), target_grid_ref="B05", max_scenes=1
    )
    run_preprocess(config)
    _, x = _all_bands(tmp_path / SAMPLE / "x.tif")
    assert np.array_equal(x[0], _dn(dataset, "B11"))


def test_valid_min_fraction_drops_pixels_with_too_little_source(dataset: Dataset, tmp_path: Path) -> None:
    run_preprocess(dataset.config(tmp_path, l1c_bands=("B02", "B01"), valid_min_fraction=0.6, max_scenes=1))
    _, x = _all_bands(tmp_path / SAMPLE / "x.tif")
    dn = _dn(dataset, "B02")
    share = (dn != 0).reshape(dn.shape[0] // 2, 2, -1, 2).mean(axis=(1, 3))
    expected = np.where(share >= 0.6, _reflectance(_on_20m(dn)), np.float32(0))
    assert np.array_equal(x[0], expected)
    assert ((share > 0) & (share < 0.6)).any()
    coarse_valid = np.kron(_dn(dataset, "B01") != 0, np.ones((3, 3), bool))
    assert np.array_equal(x[1] != 0, coarse_valid & (x[1] != 0))
    assert np.array_equal(x[2], ((x[0] != 0) & coarse_valid).astype(np.float32))


def test_both_passes_against_numpy(dataset: Dataset, tmp_path: Path) -> None:
    _both_passes(dataset, tmp_path)
    stats = json.loads((tmp_path / "stats.json").read_text())
    days = ("20251210T100319", "20251215T100319")
    dn = np.stack([[_on_20m(_dn(dataset, band, day)) for band in BANDS] for day in days], axis=1)
    names, x = _all_bands(tmp_path / SAMPLE / "x.tif")
    assert names == [*BANDS, "valid"]
    for number, band in enumerate(BANDS):
        values = np.sort(dn[number][dn[number] != 0].astype(np.float64))
        bins = np.clip(np.floor(values - 1000 + 2000).astype(int), 0, 21999)  # offset -1000, range from -0.2
        assert stats["pixel_count_by_band"][band] == len(values)
        clip = [bins[max(1, -(-p * len(bins) // 100)) - 1] for p in (1, 99)]
        centres = -0.2 + (np.array(clip) + 0.5) * 1e-4
        assert [stats["clip_low_by_band"][band], stats["clip_high_by_band"][band]] == pytest.approx(centres)
        kept = -0.2 + (bins[(bins >= clip[0]) & (bins <= clip[1])] + 0.5) * 1e-4
        assert stats["mean_by_band"][band] == pytest.approx(kept.mean(), rel=1e-9)
        assert stats["std_by_band"][band] == pytest.approx(kept.std(), rel=1e-9)
        rho = _reflectance(dn[number, 0])
        low, high, mean, std = (
            stats[f"{name}_by_band"][band] for name in ("clip_low", "clip_high", "mean", "std")
        )
        expected = np.where(dn[number, 0] != 0, (np.clip(rho, low, high) - mean) / std, 0)
        np.testing.assert_allclose(x[number], expected, rtol=1e-5, atol=1e-6)


def test_histogram_of_an_unresampled_band_is_bincount(dataset: Dataset, tmp_path: Path) -> None:
    """Bins as wide as one DN must not comb: counts are those of the DN, shifted by the offset."""
    _both_passes(dataset, tmp_path, l1c_bands=("B11", "B02"), max_scenes=1)
    with np.load(tmp_path / "histogram.npz", allow_pickle=False) as arrays:
        counts = arrays["counts"]
    dn = _dn(dataset, "B11").astype(int)
    expected = np.bincount(dn[dn != 0] + 1000, minlength=22000)  # reflectance -0.2 is DN -1000
    assert np.array_equal(counts[0], expected)


def test_labels(dataset: Dataset, tmp_path: Path) -> None:
    scl_path = next(dataset.products.glob("*MSIL2A_20251210*/GRANULE/*/IMG_DATA/R20m/*SCL_20m.jp2"))
    scl = read_whole_band(scl_path, dtype="uint8")
    mapping = {4: 0, 5: 0, 6: 1, 8: 300, 9: 300}
    labels = LabelConfig(enabled=True, mapping=mapping, ignore_index=255)
    run_preprocess(dataset.config(tmp_path, labels=labels, max_scenes=1))
    expected = np.full(scl.shape, 255, np.uint16)
    for source, target in mapping.items():
        expected[scl == source] = target
    assert gdal.Open(str(tmp_path / SAMPLE / "y.tif")).GetRasterBand(1).DataType == gdal.GDT_UInt16
    assert np.array_equal(read_whole_band(tmp_path / SAMPLE / "y.tif", dtype="uint16"), expected)
    stats = json.loads((tmp_path / SAMPLE / "meta.json").read_text())["labels"]["stats"]
    for label in (0, 1, 255, 300):
        assert stats["counts"].get(str(label), 0) == np.count_nonzero(expected == label)
    assert sum(stats["ratios"].values()) == pytest.approx(1.0)


@pytest.mark.parametrize(("ref", "factor"), [("B02", 2), ("B01", -3)])
def test_labels_on_another_grid_are_nearest(dataset: Dataset, tmp_path: Path, ref: Any, factor: int) -> None:
    scl_path = next(dataset.products.glob("*MSIL2A_20251210*/GRANULE/*/IMG_DATA/R20m/*SCL_20m.jp2"))
    scl = read_whole_band(scl_path, dtype="uint8")
    config = dataset.config(
        tmp_path, target_grid_ref=ref, l1c_bands=("B01",), labels=LabelConfig(True), max_scenes=1
    )
    run_preprocess(config)
    expected = np.kron(scl, np.ones((2, 2), np.uint8)) if factor > 0 else scl[1::3, 1::3]
    assert np.array_equal(read_whole_band(tmp_path / SAMPLE / "y.tif", dtype="uint8"), expected)


def test_records_are_valid_and_complete(dataset: Dataset, tmp_path: Path) -> None:
    _both_passes(dataset, tmp_path)
    index = json.loads((tmp_path / "meta/step2/index.json").read_text())
    assert document_faults(index, "step2_index") == []
    assert [sample["y_path"] for sample in index["samples"]] == [
        f"processed/tile=T33UWQ/sensing=2025-12-{day}T100319Z/y.tif" for day in (10, 15)
    ]
    meta = json.loads((tmp_path / index["samples"][0]["meta_path"]).read_text())
    assert document_faults(meta, "sample_meta") == []
    assert meta["radiometry"]["offset_by_band"]["B02"] == -1000
    assert meta["assets"]["x"]["band_names"] == [*BANDS, "valid"]
    assert meta["attribution"] == "Contains modified Copernicus Sentinel data 2025"
    assert set(meta["versions"]) == {"s2pipe", "gdal", "jpeg2000_driver", "numba", "numpy"}
    _, x = _all_bands(tmp_path / SAMPLE / "x.tif")
    assert meta["valid_coverage"]["valid"] == pytest.approx(x[-1].mean(dtype=np.float64))
    stats = json.loads((tmp_path / "stats.json").read_text())
    assert document_faults(stats, "normalize_stats") == []
    lines = [
        json.loads(line)
        for path in (tmp_path / "meta/step2/runs").iterdir()
        for line in path.read_text().splitlines()
    ]
    assert len(lines) == 4
    assert all(document_faults(line, "step2_run") == [] for line in lines)


def test_the_stack_declares_what_x_holds(dataset: Dataset, tmp_path: Path) -> None:
    run_preprocess(dataset.config(tmp_path, to_toa_reflectance=False, target_grid_ref="B02", max_scenes=1))
    names, x = _all_bands(tmp_path / SAMPLE / "x.tif")
    stack_names, stack = _all_bands(tmp_path / SAMPLE / "stack.vrt")
    assert stack_names == names[:6]
    assert np.array_equal(stack, x[:6])
    assert str(tmp_path) not in (tmp_path / SAMPLE / "stack.vrt").read_text()


def test_without_labels_the_index_says_null(dataset: Dataset, tmp_path: Path) -> None:
    run_preprocess(dataset.config(tmp_path, target_grid_ref="B02", max_scenes=1))
    index = json.loads((tmp_path / "meta/step2/index.json").read_text())
    assert index["samples"][0]["y_path"] is None
    assert not (tmp_path / SAMPLE / "y.tif").exists()


def test_bytes_do_not_depend_on_workers(dataset: Dataset, tmp_path: Path) -> None:
    digests = set()
    for workers in (1, 2, 4):
        out = tmp_path / str(workers)
        _both_passes(dataset, out, num_workers=workers, target_grid_ref="B02")
        files = [out / SAMPLE / "x.tif", out / SAMPLE / "y.tif", out / "stats.json"]
        digests.add(tuple(_digest(path) for path in files))
    assert len(digests) == 1


def test_complete_scenes_are_skipped_and_changed_ones_rebuilt(dataset: Dataset, tmp_path: Path) -> None:
    config = dataset.config(tmp_path, max_scenes=1)
    assert len(run_preprocess(config).done) == 1
    before = (tmp_path / SAMPLE / "x.tif").stat().st_mtime_ns
    assert len(run_preprocess(config).up_to_date) == 1
    assert (tmp_path / SAMPLE / "x.tif").stat().st_mtime_ns == before
    assert len(run_preprocess(replace(config, num_workers=1, run_id="again")).up_to_date) == 1
    assert len(run_preprocess(replace(config, valid_pixel_mask="per_band")).done) == 1
    (tmp_path / SAMPLE / "x.tif").unlink()
    assert len(run_preprocess(replace(config, valid_pixel_mask="per_band")).done) == 1
    assert len(run_preprocess(replace(config, valid_pixel_mask="per_band", overwrite=True)).done) == 1


def test_rebuilding_without_labels_removes_the_old_ones(dataset: Dataset, tmp_path: Path) -> None:
    config = dataset.config(tmp_path, max_scenes=1, labels=LabelConfig(enabled=True))
    run_preprocess(config)
    assert (tmp_path / SAMPLE / "y.tif").exists()
    run_preprocess(replace(config, labels=LabelConfig()))
    assert not (tmp_path / SAMPLE / "y.tif").exists()


def test_statistics_of_a_subset_need_no_pixel_again(dataset: Dataset, tmp_path: Path) -> None:
    normalize = NormalizeConfig(mode="compute_only", stats_path=tmp_path / "all.json")
    run_preprocess(dataset.config(tmp_path, normalize=normalize))
    (tmp_path / "list.txt").write_text(f"# training scenes\n{KEY}\n")
    for scenes in ((KEY,), tmp_path / "list.txt"):
        some = replace(normalize, stats_path=tmp_path / "some.json", scenes=scenes)
        result = run_preprocess(dataset.config(tmp_path, normalize=some))
        assert len(result.up_to_date) == 1
        assert not result.done
        document = json.loads((tmp_path / "some.json").read_text())
        assert [scene["key"]["sensing_start_utc"] for scene in document["scenes"]] == ["2025-12-10T10:03:19Z"]
    wrong = replace(normalize, scenes=("T33UWQ/2020-01-01T00:00:00Z",))
    with pytest.raises(ConfigError, match="is not a scene of this document"):
        run_preprocess(dataset.config(tmp_path, normalize=wrong))


def test_a_draw_of_pixels_counts_that_many(dataset: Dataset, tmp_path: Path) -> None:
    normalize = NormalizeConfig(
        mode="compute_only", stats_path=tmp_path / "s.json", max_pixels_per_scene=1000
    )
    run_preprocess(dataset.config(tmp_path, normalize=normalize))
    stats = json.loads((tmp_path / "s.json").read_text())
    assert set(stats["pixel_count_by_band"].values()) == {2000}


# --- bad input -------------------------------------------------------------------------------------------


def _copy_of_index(dataset: Dataset, root: Path) -> dict[str, Any]:
    """A dataset of its own: the same links, an index that a test may change."""
    (root / "raw").symlink_to(dataset.root / "raw")
    return json.loads(dataset.index_json.read_text())


def _save(document: Any, root: Path) -> Path:
    path = root / "meta/step1/index.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(document))
    return path


def _items(document: dict[str, Any], scene: int) -> list[dict[str, Any]]:
    return document["scenes"][scene]["files_l1c"]["items"]


def test_missing_roles_and_files_are_all_listed_and_nothing_is_written(
    dataset: Dataset, tmp_path: Path
) -> None:
    document = _copy_of_index(dataset, tmp_path)
    _items(document, 0)[:] = [item for item in _items(document, 0) if item["role"] != "l1c.band.B03"]
    gone = next(item for item in _items(document, 1) if item["role"] == "l1c.band.B12")
    gone["path"] = "raw/absent.jp2"
    config = replace(dataset.config(tmp_path / "out"), index_json=_save(document, tmp_path))
    with pytest.raises(MissingInputError) as caught:
        run_preprocess(config)
    assert len(caught.value.gaps) == 2
    assert "l1c.band.B03 is not in the manifest" in caught.value.gaps[0]
    assert "raw/absent.jp2 is not on disk" in caught.value.gaps[1]
    assert not (tmp_path / "out").exists()


def test_skip_incomplete_leaves_scenes_out_and_says_why(dataset: Dataset, tmp_path: Path) -> None:
    document = _copy_of_index(dataset, tmp_path)
    _items(document, 1)[:] = [item for item in _items(document, 1) if item["role"] != "l1c.band.B03"]
    config = replace(
        dataset.config(tmp_path / "out", skip_incomplete=True), index_json=_save(document, tmp_path)
    )
    result = run_preprocess(config)
    assert (len(result.done), len(result.incomplete), result.exit_code) == (1, 1, 0)
    assert result.log_path is not None
    lines = [json.loads(line) for line in result.log_path.read_text().splitlines()]
    assert "l1c.band.B03" in next(line["error"] for line in lines if line["status"] == "incomplete")


def test_labels_and_metadata_are_needed_only_where_used(dataset: Dataset, tmp_path: Path) -> None:
    document = _copy_of_index(dataset, tmp_path)
    for scene in document["scenes"]:
        scene["l2a"] = scene["files_l2a"] = None
    index = _save(document, tmp_path)
    config = replace(
        dataset.config(tmp_path / "out", target_grid_ref="B11", labels=LabelConfig(enabled=True)),
        index_json=index,
    )
    with pytest.raises(MissingInputError, match=r"l2a\.scl_20m"):
        run_preprocess(config)
    normalize = NormalizeConfig(mode="compute_only", stats_path=tmp_path / "stats.json")
    assert run_preprocess(replace(config, normalize=normalize)).exit_code == 0


@pytest.mark.parametrize("keep", [0.5, 0.00005])
def test_a_truncated_file_fails_its_scene_alone(dataset: Dataset, tmp_path: Path, keep: float) -> None:
    document = _copy_of_index(dataset, tmp_path)
    item = next(item for item in _items(document, 0) if item["role"] == "l1c.band.B08")
    data = (dataset.root / item["path"]).read_bytes()
    (tmp_path / "cut.jp2").write_bytes(data[: int(len(data) * keep)])
    item["path"] = "cut.jp2"
    result = run_preprocess(replace(dataset.config(tmp_path / "out"), index_json=_save(document, tmp_path)))
    assert result.exit_code == 1
    assert [f"{item.key.tile_id}/{item.key.sensing_start_utc}" for item in result.failed] == [KEY]
    assert "cut.jp2" in result.failed[0].error
    assert [key.sensing_start_utc for key in result.done] == ["2025-12-15T10:03:19Z"]
    assert not (tmp_path / "out" / SAMPLE / "x.tif").exists()
    assert not list((tmp_path / "out").rglob(".unfinished*"))


def test_a_failed_rebuild_keeps_the_complete_sample(dataset: Dataset, tmp_path: Path) -> None:
    document = _copy_of_index(dataset, tmp_path)
    index = _save(document, tmp_path)
    config = replace(dataset.config(tmp_path / "out", max_scenes=1), index_json=index)
    run_preprocess(config)
    before = _digest(tmp_path / "out" / SAMPLE / "x.tif")
    item = next(item for item in _items(document, 0) if item["role"] == "l1c.band.B08")
    (tmp_path / "cut.jp2").write_bytes((dataset.root / item["path"]).read_bytes()[:-5000])
    item["path"] = "cut.jp2"
    index.write_text(json.dumps(document))
    assert run_preprocess(config).exit_code == 1
    assert _digest(tmp_path / "out" / SAMPLE / "x.tif") == before
    assert (tmp_path / "out" / SAMPLE / "meta.json").exists()


@pytest.mark.parametrize("scenes", [1, 2])
def test_a_scene_with_a_raster_without_place_or_bad_metadata_fails_alone(
    dataset: Dataset, tmp_path: Path, scenes: int
) -> None:
    document = _copy_of_index(dataset, tmp_path)
    write_jp2(
        tmp_path / "bare.jp2", Grid("", (0, 1, 0, 0, 0, -1), (64, 64)), np.ones((64, 64), np.uint16), 64
    )
    (tmp_path / "MTD.xml").write_text("<odd/>")
    changes = [("l1c.band.B08", "bare.jp2"), ("l1c.product_metadata", "MTD.xml")]
    for scene, (role, path) in enumerate(changes[:scenes]):
        item = next(item for item in _items(document, scene) if item["role"] == role)
        item["path"], item["size"] = path, None
        del item["checksum"]
    result = run_preprocess(replace(dataset.config(tmp_path / "out"), index_json=_save(document, tmp_path)))
    assert (result.exit_code, len(result.done), len(result.failed)) == (1, 2 - scenes, scenes)
    assert re.search(r"bare\.jp2: .*no coordinate reference system", result.failed[0].error)
    assert scenes == 1 or "MTD.xml" in result.failed[1].error
    assert result.log_path is not None
    lines = [json.loads(line) for line in result.log_path.read_text().splitlines()]
    assert [line["error"] for line in lines if line["status"] == "failed"] == [f.error for f in result.failed]


@pytest.mark.parametrize("path", ["../../etc/passwd", "/etc/passwd", "raw/../../x"])
def test_a_path_out_of_the_dataset_is_refused(dataset: Dataset, tmp_path: Path, path: str) -> None:
    document = _copy_of_index(dataset, tmp_path)
    _items(document, 0)[0]["path"] = path
    with pytest.raises(Exception, match=r"passwd|leaves its root") as caught:
        config = dataset.config(tmp_path / "out", l1c_bands=("B01",))
        run_preprocess(replace(config, index_json=_save(document, tmp_path)))
    assert type(caught.value).__name__ == "PathEscapeError"
    assert not (tmp_path / "out").exists()


def test_absolute_paths_work_when_allowed(dataset: Dataset, tmp_path: Path) -> None:
    document = _copy_of_index(dataset, tmp_path)
    for scene in document["scenes"]:
        for group in ("files_l1c", "files_l2a"):
            for item in scene[group]["items"]:
                item["path"] = str(dataset.root / item["path"])
    config = dataset.config(tmp_path / "out", allow_absolute_paths=True, max_scenes=1)
    assert len(run_preprocess(replace(config, index_json=_save(document, tmp_path))).done) == 1


def test_a_manifest_written_elsewhere_loads_and_runs(dataset: Dataset, tmp_path: Path) -> None:
    """The shape of earlier users' files: no sizes, no checksums, an out_dir that does not exist here."""
    document = _copy_of_index(dataset, tmp_path)
    document["output"] = {"out_dir": "/somewhere/else/out", "layout": "raw/..."}
    for scene in document["scenes"]:
        for group in ("files_l1c", "files_l2a"):
            scene[group]["items"] = [
                {"role": i["role"], "path": i["path"], "planned": True, "present": True}
                for i in scene[group]["items"]
            ]
    config = dataset.config(tmp_path / "out", max_scenes=1)
    assert len(run_preprocess(replace(config, index_json=_save(document, tmp_path))).done) == 1


def test_zipped_products_are_read_in_place(tmp_path: Path) -> None:
    import shutil

    paths = make_products(tmp_path / "p", ProductSpec(side_m=1200, bands=("B02", "B11"), quality_masks=False))
    assert paths.l2a is not None
    for product in (paths.l1c, paths.l2a):
        shutil.make_archive(str(tmp_path / "zips" / product.name), "zip", product.parent, product.name)
    index_products([paths.l1c, paths.l2a], tmp_path / "plain")
    index_products([tmp_path / "zips"], tmp_path / "zipped", verify=True)
    digests = []
    for kind in ("plain", "zipped"):
        config = PreprocessConfig(
            tmp_path / kind / "meta/step1/index.json",
            tmp_path / f"out-{kind}",
            "scl_20m",
            ("B02", "B11"),
            labels=LabelConfig(enabled=True),
        )
        run_preprocess(config)
        digests.append([_digest(tmp_path / f"out-{kind}" / SAMPLE / name) for name in ("x.tif", "y.tif")])
    assert digests[0] == digests[1]


def test_configuration_faults_are_reported_at_once(dataset: Dataset, tmp_path: Path) -> None:
    config = dataset.config(
        tmp_path / "out",
        num_workers=-1,
        l1c_bands=("B02", "B99"),
        normalize=NormalizeConfig(mode="aply"),  # type: ignore[arg-type]
    )
    with pytest.raises(ConfigError) as caught:
        run_preprocess(config)
    paths = [fault.path for fault in caught.value.faults]
    assert paths == ["preprocess.l1c_bands[1]", "preprocess.normalize.mode", "preprocess.num_workers"]
    assert "'aply' is not one of none, compute_only, apply_with_stats" in str(caught.value)


@pytest.mark.parametrize(
    ("normalize", "path"),
    [
        (NormalizeConfig(hist_bin_width=3e-4), "normalize.hist_bin_width"),
        (NormalizeConfig(hist_range=(1.0, 0.0)), "normalize.hist_range"),
        (NormalizeConfig(clip_percentiles=(99.0, 1.0)), "normalize.clip_percentiles"),
        (NormalizeConfig(mode="compute_only"), "normalize.stats_path"),
    ],
)
def test_rules_beyond_the_schema(
    dataset: Dataset, tmp_path: Path, normalize: NormalizeConfig, path: str
) -> None:
    with pytest.raises(ConfigError, match=f"preprocess.{path}"):
        run_preprocess(dataset.config(tmp_path / "out", normalize=normalize))
    assert not (tmp_path / "out").exists()


def test_stats_of_another_band_order_are_refused(dataset: Dataset, tmp_path: Path) -> None:
    config = _both_passes(dataset, tmp_path, max_scenes=1)
    with pytest.raises(StatsMismatchError, match="bands: the configuration says"):
        run_preprocess(replace(config, l1c_bands=BANDS[::-1], out_dir=tmp_path / "other"))
    assert not (tmp_path / "other").exists()
    (tmp_path / "stats.json").write_text("{")
    with pytest.raises(ManifestError, match="cannot be read as JSON"):
        run_preprocess(config)
    (tmp_path / "stats.json").unlink()
    with pytest.raises(ConfigError, match="run pass 1"):
        run_preprocess(config)
