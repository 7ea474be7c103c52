"""Quantities and several label rasters at once, from the source to the shard, against NumPy."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from osgeo import gdal

from s2pipe.config.schema import document_faults
from s2pipe.dataset.samples import Sample, load_samples
from s2pipe.errors import ConfigError
from s2pipe.patches.cfg import BalanceConfig, PatchConfig, QualityConfig, ShardConfig, SplitConfig
from s2pipe.patches.run import run_patches
from s2pipe.preprocess.cfg import LabelConfig, LabelTargetConfig, PreprocessConfig
from s2pipe.preprocess.labels.backends import LabelBackend
from s2pipe.preprocess.rules import rule_faults
from s2pipe.preprocess.run import run_preprocess
from s2pipe.raster.grid import Window
from s2pipe.raster.reader import StackReader
from tests.conftest import Dataset, read_whole_band
from tests.patches.test_shards import all_samples, array

if TYPE_CHECKING:
    from pathlib import Path

    from s2pipe.raster.grid import Grid

SIZE = 128


class Slope(LabelBackend):
    """A quantity of a backend of one's own: half of the class number, none for class 4."""

    roles = ("l2a.scl_20m",)

    def measure(self, *sources: np.ndarray) -> np.ndarray:
        result: np.ndarray = np.where(sources[0] == 4, np.float32("nan"), sources[0] / 2).astype(np.float32)
        return result


def write_raster(path: Path, grid: Grid, values: np.ndarray, factor: float, nodata: float | None) -> Path:
    """A GeoTIFF over a grid with pixels of another size."""
    kinds = {"float32": gdal.GDT_Float32, "float64": gdal.GDT_Float64, "int16": gdal.GDT_Int16}
    height, width = values.shape
    data = gdal.GetDriverByName("GTiff").Create(str(path), width, height, 1, kinds[values.dtype.name])
    x0, dx, _, y0, _, dy = grid.geotransform
    data.SetProjection(grid.crs_wkt)
    data.SetGeoTransform((x0, dx / factor, 0, y0, 0, dy / factor))
    data.WriteRaster(0, 0, width, height, np.ascontiguousarray(values).tobytes())
    if nodata is not None:
        data.GetRasterBand(1).SetNoDataValue(nodata)
    return path


def heights(shape: tuple[int, int]) -> np.ndarray:
    values = np.random.default_rng(1).normal(50, 30, shape).astype(np.float32)
    values[10:60, 20:90] = np.nan
    values[200, :] = -9999
    values[0, 0] = np.inf
    return values


@pytest.fixture(scope="module")
def grid(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Grid:
    out = tmp_path_factory.mktemp("plain")
    run_preprocess(dataset.config(out, l1c_bands=("B11",), max_scenes=1))
    return load_samples(out / "meta/step2/index.json")[0].grid


def preprocess(dataset: Dataset, out: Path, labels: LabelConfig) -> Path:
    result = run_preprocess(dataset.config(out, l1c_bands=("B11",), labels=labels))
    assert result.exit_code == 0
    return out / "meta/step2/index.json"


def patches(index: Path, out: Path, **changes: Any) -> PatchConfig:
    options: dict[str, Any] = {
        "patch_size": SIZE,
        "edges": "pad",
        "quality": QualityConfig(min_valid=0.0),
        "split": SplitConfig(1.0, 0.0, 0.0),
        **changes,
    }
    return PatchConfig(index, out, **options)


def whole(path: Path, bands: int, dtype: str = "float32") -> np.ndarray:
    reader = StackReader(str(path))
    out = np.empty((bands, *reader.shape_yx), dtype)
    reader.read(Window(0, 0, *reader.shape_yx), out)
    return out


def padded(values: np.ndarray, row: int, col: int, fill: float) -> np.ndarray:
    result = np.full((SIZE, SIZE), fill, values.dtype)
    part = values[row : row + SIZE, col : col + SIZE]
    result[: part.shape[0], : part.shape[1]] = part
    return result


def meta_of(sample: Sample) -> Any:
    return json.loads((sample.x_path.parent / "meta.json").read_text())


def test_a_quantity_from_its_raster_to_the_shard(dataset: Dataset, grid: Grid, tmp_path: Path) -> None:
    import xarray

    import s2pipe

    values = heights(grid.shape_yx)
    path = write_raster(tmp_path / "h.tif", grid, values, 1, -9999)
    expected = np.where(np.isfinite(values) & (values != -9999), values, np.float32("nan"))
    index = preprocess(
        dataset,
        tmp_path / "in",
        LabelConfig(enabled=True, kind="regression", backend="raster", path=str(path)),
    )
    sample = load_samples(index)[0]
    assert sample.y_path is not None
    opened = gdal.Open(str(sample.y_path))
    raster = opened.GetRasterBand(1)
    assert gdal.GetDataTypeName(raster.DataType) == "Float32"
    assert np.isnan(raster.GetNoDataValue())
    np.testing.assert_array_equal(read_whole_band(sample.y_path, 1, "float32"), expected)
    known = expected[np.isfinite(expected)].astype(np.float64)
    stats = meta_of(sample)["labels"]["stats"]
    assert (stats["pixels"], stats["count"]) == (expected.size, known.size)
    assert (stats["min"], stats["max"]) == (known.min(), known.max())
    assert stats["mean"] == pytest.approx(known.mean(), rel=1e-12)
    assert stats["std"] == pytest.approx(known.std(), rel=1e-12)
    assert document_faults(meta_of(sample), "sample_meta") == []
    assert document_faults(json.loads(index.read_text()), "step2_index") == []
    scene = s2pipe.open_scene(sample.y_path.with_name("meta.json"))
    assert isinstance(scene, xarray.Dataset)
    np.testing.assert_array_equal(scene["label"].values, expected)
    run_patches(patches(index, tmp_path / "out"))
    shards = json.loads((tmp_path / "out/shards.json").read_text())
    assert document_faults(shards, "step3_shards") == []
    assert (shards["labels"]["kind"], shards["labels"]["dtype"]) == ("regression", "float32")
    assert shards["labels"]["ignore_index"] is None
    for item in all_samples(tmp_path / "out").values():
        document = json.loads(item["json"])
        y = array(item["y.npy"])
        assert y.dtype == np.float32
        part = padded(expected, document["row"], document["col"], np.nan)
        np.testing.assert_array_equal(y, np.where(np.isnan(part), 0, part))
        np.testing.assert_array_equal(array(item["y_valid.npy"]), ~np.isnan(part))
        assert document["ignore_fraction"] == np.isnan(part).sum() / y.size
        assert document["class_counts"] == {}


def test_classes_and_quantities_side_by_side(dataset: Dataset, grid: Grid, tmp_path: Path) -> None:
    import s2pipe

    values = heights(grid.shape_yx)
    path = write_raster(tmp_path / "h.tif", grid, values, 1, -9999)
    plain = preprocess(dataset, tmp_path / "plain", LabelConfig(enabled=True, mapping={4: 1, 5: 2, 8: 300}))
    targets = (
        LabelTargetConfig(name="cover", mapping={4: 1, 5: 2, 8: 300}),
        LabelTargetConfig(name="height", kind="regression", backend="raster", path=str(path)),
        LabelTargetConfig(name="slope", kind="regression", backend=f"{__name__}:Slope", source="made up"),
    )
    index = preprocess(dataset, tmp_path / "in", LabelConfig(enabled=True, targets=targets))
    alone = whole(load_samples(plain)[0].y_path, 1, "uint16")[0]  # type: ignore[arg-type]
    sample = load_samples(index)[0]
    assert sample.y_path is not None
    cover, height, slope = whole(sample.y_path, 3)
    np.testing.assert_array_equal(cover, alone.astype(np.float32))
    np.testing.assert_array_equal(height, np.where(np.isfinite(values) & (values != -9999), values, np.nan))
    scl = whole(load_samples(preprocess(dataset, tmp_path / "scl", LabelConfig(enabled=True)))[0].y_path, 1)[
        0
    ]  # type: ignore[arg-type]
    np.testing.assert_array_equal(slope, np.where(scl == 4, np.nan, scl / 2))
    raster = gdal.Open(str(sample.y_path))
    assert [raster.GetRasterBand(n).GetDescription() for n in (1, 2, 3)] == ["cover", "height", "slope"]
    assert raster.GetRasterBand(1).GetNoDataValue() is None
    assert [t["stats"]["pixels"] for t in meta_of(sample)["labels"]["targets"]] == [cover.size] * 3
    assert document_faults(meta_of(sample), "sample_meta") == []
    assert document_faults(json.loads(index.read_text()), "step2_index") == []
    scene = s2pipe.open_scene(sample.y_path.with_name("meta.json"))
    assert scene["label_cover"].dtype == np.uint16
    np.testing.assert_array_equal(scene["label_cover"].values, alone)
    assert scene["label_height"].attrs["kind"] == "regression"

    for config in (patches(index, tmp_path / "out"), patches(plain, tmp_path / "one")):
        run_patches(config)
    shards = json.loads((tmp_path / "out/shards.json").read_text())
    assert document_faults(shards, "step3_shards") == []
    channels = shards["labels"]["channels"]
    assert [(c["name"], c["kind"], c["ignore_index"]) for c in channels] == [
        ("cover", "classes", 255),
        ("height", "regression", None),
        ("slope", "regression", None),
    ]
    assert channels[0]["class_names"]["1"] == "vegetation"
    one = all_samples(tmp_path / "one")
    for key, item in all_samples(tmp_path / "out").items():
        y, document = array(item["y.npy"]), json.loads(item["json"])
        assert y.shape == (3, SIZE, SIZE)
        np.testing.assert_array_equal(y[0], array(one[key]["y.npy"]).astype(np.float32))
        if key.startswith(sample.name):
            part = padded(height, document["row"], document["col"], np.nan)
            np.testing.assert_array_equal(y[1], np.where(np.isnan(part), 0, part))
            np.testing.assert_array_equal(array(item["y_valid.npy"])[:2], [y[0] != 255, ~np.isnan(part)])
        # Scores go by the first band, and are those of it alone.
        other = json.loads(one[key]["json"])
        assert {k: document[k] for k in ("class_counts", "ignore_fraction")} == {
            k: other[k] for k in ("class_counts", "ignore_fraction")
        }


def test_dates_that_there_are_not_have_each_channels_own_mark(
    dataset: Dataset, grid: Grid, tmp_path: Path
) -> None:
    path = write_raster(tmp_path / "h.tif", grid, heights(grid.shape_yx), 1, None)
    targets = (
        LabelTargetConfig(name="a", kind="regression", backend="raster", path=str(path)),
        LabelTargetConfig(name="b", ignore_index=7),
    )
    index = preprocess(dataset, tmp_path / "in", LabelConfig(enabled=True, targets=targets))
    for keep_nan in (False, True):
        shards = ShardConfig(keep_nan=keep_nan)
        run_patches(patches(index, tmp_path / str(keep_nan), group="time_stack", max_t=3, shards=shards))
    filled = all_samples(tmp_path / "False")
    for key, item in all_samples(tmp_path / "True").items():
        y = array(item["y.npy"])
        assert y.shape == (3, 2, SIZE, SIZE)
        assert np.isnan(y[2, 0]).all()
        np.testing.assert_array_equal(array(filled[key]["y.npy"]), np.where(np.isnan(y), 0, y))
        expected = np.stack([~np.isnan(y[:, 0]), y[:, 1] != 7], axis=1)
        for files in (item, filled[key]):
            np.testing.assert_array_equal(array(files["y_valid.npy"]), expected)
        assert (y[2, 1] == 7).all()
        assert not np.isnan(y[:, 1]).any()


@pytest.mark.parametrize("dtype", ["float64", "int16"])
def test_smaller_pixels_are_averaged_and_larger_ones_interpolated(
    dataset: Dataset, grid: Grid, tmp_path: Path, dtype: str
) -> None:
    height, width = grid.shape_yx
    fine = np.random.default_rng(2).integers(0, 500, (2 * height, 2 * width)).astype(dtype)
    coarse = np.tile(np.arange(width // 2, dtype=dtype), (height // 2, 1))
    rasters = {
        "fine": write_raster(tmp_path / "f.tif", grid, fine, 2, None),
        "coarse": write_raster(tmp_path / "c.tif", grid, coarse, 0.5, None),
    }
    targets = tuple(
        LabelTargetConfig(name=name, kind="regression", backend="raster", path=str(path))
        for name, path in rasters.items()
    )
    nearest = replace(targets[1], name="nearest", resampling="nearest")
    index = preprocess(dataset, tmp_path / "in", LabelConfig(enabled=True, targets=(*targets, nearest)))
    sample = load_samples(index)[0]
    assert sample.y_path is not None
    y = whole(sample.y_path, 3)
    mean = fine.astype(np.float64).reshape(height, 2, width, 2).mean(axis=(1, 3))
    np.testing.assert_allclose(y[0], mean, rtol=1e-6)
    # Along a ramp, linear interpolation gives the place in coarse pixels, clamped at the ends.
    place = np.clip((np.arange(width) + 0.5) / 2 - 0.5, 0, width // 2 - 1)
    np.testing.assert_allclose(y[1][:, 1:-1], np.tile(place, (height, 1))[:, 1:-1], atol=1e-4)
    np.testing.assert_array_equal(y[2], np.tile(np.arange(width) // 2, (height, 1)))
    used = [target["backend_stats"]["resampling"] for target in meta_of(sample)["labels"]["targets"]]
    assert used == ["average", "bilinear", "nearest"]


def test_what_needs_classes_is_refused(dataset: Dataset, grid: Grid, tmp_path: Path) -> None:
    path = write_raster(tmp_path / "h.tif", grid, heights(grid.shape_yx), 1, None)
    index = preprocess(
        dataset,
        tmp_path / "in",
        LabelConfig(enabled=True, kind="regression", backend="raster", path=str(path)),
    )
    cases: dict[str, dict[str, Any]] = {
        "quality.min_classes": {"quality": QualityConfig(min_classes=2)},
        "quality.cloud_labels": {"quality": QualityConfig(cloud_labels=(1,))},
        "balance.class_weights": {"balance": BalanceConfig(class_weights={1: 2.0})},
    }
    for key, changes in cases.items():
        with pytest.raises(ConfigError, match=rf"{key}: needs classes"):
            run_patches(patches(index, tmp_path / "out", **changes))
    assert not (tmp_path / "out").exists()
    run_patches(patches(index, tmp_path / "out", quality=QualityConfig(min_valid=0.0, max_ignore=0.2)))
    summary = json.loads((tmp_path / "out/summary.json").read_text())
    assert 0 < summary["dropped_by_reason"]["max_ignore"] < summary["candidates"]


@pytest.mark.parametrize(
    ("labels", "fault"),
    [
        (LabelConfig(kind="regression"), "labels.backend: scl gives classes"),
        (LabelConfig(resampling="average"), "labels.resampling: expected nearest or mode"),
        (
            LabelConfig(kind="regression", backend="raster", path="a", resampling="mode"),
            "labels.resampling: mode is for classes",
        ),
        (
            LabelConfig(kind="regression", backend="raster", path="a", mapping={1: 2}),
            "labels.mapping: has no effect with kind: regression",
        ),
        (
            LabelConfig(targets=(LabelTargetConfig(name="a"),), mapping={1: 2}),
            "labels.mapping: has no effect with labels.targets",
        ),
        (
            LabelConfig(targets=(LabelTargetConfig(name="a"), LabelTargetConfig(name="a"))),
            "labels.targets.1.name: 'a' is there more than once",
        ),
        (
            LabelConfig(targets=(LabelTargetConfig(name="a", backend="raster"),)),
            "labels.targets.0.path: expected a path",
        ),
    ],
)
def test_configurations_that_mean_nothing(dataset: Dataset, labels: LabelConfig, fault: str) -> None:
    config: PreprocessConfig = dataset.config(dataset.root, labels=labels)
    assert [str(found) for found in rule_faults(config) if str(found).startswith(fault)]


def test_a_backend_without_the_method_is_refused(dataset: Dataset, tmp_path: Path) -> None:
    labels = LabelConfig(enabled=True, backend=f"{__name__}:Slope")
    with pytest.raises(ConfigError, match=r"labels\.kind classes needs a class with the method classify"):
        run_preprocess(dataset.config(tmp_path, labels=labels))
