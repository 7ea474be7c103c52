"""Label backends: classes, coverage, mapping, statistics, and a class as a user writes it."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from osgeo import gdal

from s2pipe.errors import ConfigError, MissingInputError, RasterError
from s2pipe.preprocess.cfg import LabelConfig, NormalizeConfig
from s2pipe.preprocess.labels.backends import (
    NO_LABEL,
    LabelBackend,
    LabelInput,
    load_backend,
)
from s2pipe.preprocess.labels.raster import label_table, write_labels
from s2pipe.preprocess.run import run_preprocess
from s2pipe.raster.grid import Grid, TargetGrid
from s2pipe.raster.reader import inspect_raster
from s2pipe.raster.transform import crs_wkt, transform_points
from tests.conftest import Dataset, read_whole_band
from tests.paths import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

gdal.UseExceptions()
UTM33 = (32633, 500_000.0, 5_500_000.0)


def make_raster(
    path: Path, classes: np.ndarray, step: float = 20.0, crs: tuple[int, float, float] = UTM33, **about: Any
) -> Path:
    epsg, x0, y0 = crs
    kinds = {"uint8": gdal.GDT_Byte, "uint16": gdal.GDT_UInt16, "float32": gdal.GDT_Float32}
    height, width = classes.shape
    data = gdal.GetDriverByName("GTiff").Create(str(path), width, height, 1, kinds[classes.dtype.name])
    data.SetProjection(crs_wkt(epsg))
    data.SetGeoTransform((x0, step, 0, y0, 0, -step))
    data.WriteRaster(0, 0, width, height, classes.tobytes())
    if "nodata" in about:
        data.GetRasterBand(1).SetNoDataValue(about["nodata"])
    return path


def grid_of(shape_yx: tuple[int, int], step: float = 20.0, shift: float = 0.0) -> Grid:
    epsg, x0, y0 = UTM33
    return Grid(crs_wkt(epsg), (x0 + shift, step, 0, y0 - shift, 0, -step), shape_yx)


def labels_of(
    tmp_path: Path, rasters: list[Path], target: Grid, config: LabelConfig
) -> tuple[np.ndarray, dict[str, Any], str]:
    inputs = LabelInput(load_backend(config), tuple(inspect_raster(str(path)) for path in rasters))
    (stats,), dtype, nodata = write_labels(tmp_path / "y.tif", [[inputs]], TargetGrid.whole(target))
    assert nodata == config.ignore_index
    kind = "uint8" if dtype == "uint8" else "uint16"
    return read_whole_band(tmp_path / "y.tif", 1, kind), stats, dtype


def raster_config(path: str = "classes.tif", **changes: Any) -> LabelConfig:
    return LabelConfig(enabled=True, backend="raster", path=path, **changes)


CLASSES = np.array([[10, 10, 30, 255], [10, 20, 30, 30], [0, 20, 20, 95]], np.uint8)


def test_classes_of_a_raster_stay_as_they_are(tmp_path: Path) -> None:
    path = make_raster(tmp_path / "c.tif", CLASSES)
    got, stats, dtype = labels_of(tmp_path, [path], grid_of((3, 4)), raster_config(ignore_index=7))
    np.testing.assert_array_equal(got, CLASSES)
    assert dtype == "uint8"
    assert stats["counts"] == {"0": 1, "10": 3, "20": 3, "30": 3, "95": 1, "255": 1}
    assert stats["pixels"] == 12
    assert stats["ignored"] == 0
    assert stats["ratios"]["10"] == 0.25


def test_nodata_and_surroundings_are_ignored(tmp_path: Path) -> None:
    path = make_raster(tmp_path / "c.tif", CLASSES, nodata=255)
    target = grid_of((5, 6), shift=-20.0)
    got, stats, _ = labels_of(tmp_path, [path], target, raster_config(ignore_index=99))
    expected = np.pad(np.where(CLASSES == 255, 99, CLASSES), 1, constant_values=99)
    np.testing.assert_array_equal(got, expected)
    assert stats["ignored"] == 18 + 1


def test_mapping_and_the_smallest_type(tmp_path: Path) -> None:
    path = make_raster(tmp_path / "c.tif", CLASSES)
    got, stats, dtype = labels_of(
        tmp_path, [path], grid_of((3, 4)), raster_config(mapping={10: 1, 20: 300, 255: 2}, ignore_index=0)
    )
    np.testing.assert_array_equal(got, [[1, 1, 0, 2], [1, 300, 0, 0], [0, 300, 300, 0]])
    assert dtype == "uint16"
    assert stats["ignored"] == 5
    assert "class_names" not in stats
    large = make_raster(tmp_path / "l.tif", CLASSES.astype(np.uint16) * 100)
    got, _, dtype = labels_of(tmp_path, [large], grid_of((3, 4)), raster_config())
    np.testing.assert_array_equal(got, CLASSES.astype(int) * 100)
    assert dtype == "uint16"
    _, _, dtype = labels_of(tmp_path, [large], grid_of((3, 4)), raster_config(mapping={1000: 1}))
    assert dtype == "uint8"


def test_mode_takes_the_majority(tmp_path: Path) -> None:
    classes = np.array([[1, 1, 2, 3], [1, 4, 3, 3]], np.uint8)
    path = make_raster(tmp_path / "c.tif", classes)
    target = grid_of((1, 2), 40.0)
    got, _, _ = labels_of(tmp_path, [path], target, raster_config(resampling="mode"))
    np.testing.assert_array_equal(got, [[1, 3]])


def test_another_crs_is_reprojected_exactly(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    target = grid_of((150, 170), 10.0)
    epsg, x0, y0 = UTM33
    corner = transform_points(crs_wkt(epsg), crs_wkt(4326), np.array([[x0 + 100, y0 - 200]]))[0]
    classes = rng.integers(0, 250, (90, 120), dtype=np.uint8)
    step = 0.0001
    path = make_raster(tmp_path / "c.tif", classes, step, (4326, *corner))
    got, _, _ = labels_of(tmp_path, [path], target, raster_config(ignore_index=255))
    x, y = np.meshgrid(x0 + (np.arange(170) + 0.5) * 10, y0 - (np.arange(150) + 0.5) * 10)
    points = transform_points(crs_wkt(epsg), crs_wkt(4326), np.stack((x.ravel(), y.ravel()), axis=-1))
    col, row = (points - corner).T / np.array([[step], [-step]])
    inside = (col >= 0) & (col < 120) & (row >= 0) & (row < 90)
    expected = np.full(len(col), 255)
    expected[inside] = classes[row[inside].astype(int), col[inside].astype(int)]
    border = np.minimum(np.abs(col - np.rint(col)), np.abs(row - np.rint(row))) < 1e-6
    np.testing.assert_array_equal(got.ravel()[~border], expected[~border])
    assert 0.2 < inside.mean() < 0.9


def test_rasters_that_hold_no_classes_are_refused(tmp_path: Path) -> None:
    path = make_raster(tmp_path / "c.tif", CLASSES.astype(np.float32))
    with pytest.raises(RasterError, match="expected pixel type Byte or UInt16, got Float32"):
        labels_of(tmp_path, [path], grid_of((3, 4)), raster_config())


def test_such_a_raster_fails_its_scenes_before_any_pixel(dataset: Dataset, tmp_path: Path) -> None:
    path = make_raster(tmp_path / "c.tif", CLASSES.astype(np.float32))
    result = run_preprocess(dataset.config(tmp_path / "out", labels=raster_config(str(path))))
    assert (result.exit_code, len(result.failed), result.done) == (1, 2, [])
    assert all("expected pixel type Byte or UInt16, got Float32" in item.error for item in result.failed)
    assert not (tmp_path / "out/processed").exists()


@pytest.mark.parametrize("threshold", [1, 2, 50, 100])
@pytest.mark.parametrize(("resampling", "step"), [("nearest", 20.0), ("mode", 40.0)])
def test_cloud_probability(tmp_path: Path, threshold: int, resampling: str, step: float) -> None:
    rng = np.random.default_rng(4)
    probability = rng.choice(np.array([0, 1, 2, 49, 50, 99, 100], np.uint8), (40, 60))
    scl = np.full((40, 60), 4, np.uint8)
    scl[:10] = 0
    paths = [make_raster(tmp_path / "p.tif", probability), make_raster(tmp_path / "s.tif", scl)]
    config = LabelConfig(
        enabled=True, backend="cloud_probability", threshold=threshold, resampling=resampling
    )
    factor = int(step // 20)
    target = grid_of((40 // factor + 1, 60 // factor), step)
    got, stats, _ = labels_of(tmp_path, paths, target, config)
    cloud = (probability >= threshold).astype(float)
    share = cloud.reshape(40 // factor, factor, 60 // factor, factor).mean(axis=(1, 3))
    expected = (share > 0.5).astype(int)
    expected[: 10 // factor] = 255
    got, below = got[:-1], got[-1]
    clear = share != 0.5
    np.testing.assert_array_equal(got[clear | (expected == 255)], expected[clear | (expected == 255)])
    assert (below == 255).all()
    assert set(stats["class_names"]) <= {"0", "1"}


def test_scl_table() -> None:
    table = label_table(LabelConfig())
    np.testing.assert_array_equal(table, np.arange(256))
    assert table.dtype == np.uint8
    table = label_table(LabelConfig(ignore_index=300))
    assert table.dtype == np.uint16
    assert table[255] == 300
    assert table[0] == 0
    table = label_table(LabelConfig(mapping={4: 1}, ignore_index=9))
    assert table[4] == 1
    assert (np.delete(table, 4) == 9).all()


class Parity(LabelBackend):
    """A backend of a user: whether the class is odd."""

    roles = ("l2a.scl_20m",)
    class_names = {0: "even", 1: "odd"}  # noqa: RUF012
    dtype = "uint8"

    def classify(self, *sources: np.ndarray) -> np.ndarray:
        return np.where(sources[0] == 255, np.uint8(255), sources[0] % 2)


class Garish(Parity):
    class_colors = {0: "red"}  # noqa: RUF012


class Broken(Parity):
    answer: Any = None

    def classify(self, *sources: np.ndarray) -> np.ndarray:
        return {
            "shape": sources[0][:1],
            "dtype": sources[0].astype(np.int64),
            "class": np.full(sources[0].shape, 256, np.uint16),
        }[str((self.config.options or {})["fault"])]

    dtype = "uint16"


def test_names_and_colours_of_a_raster_follow_its_classes(tmp_path: Path) -> None:
    path = make_raster(tmp_path / "c.tif", CLASSES)
    data = gdal.Open(str(path), gdal.GA_Update)
    table = gdal.ColorTable()
    table.SetColorEntry(10, (0, 100, 0, 255))
    table.SetColorEntry(30, (255, 255, 76, 255))
    data.GetRasterBand(1).SetColorTable(table)
    data.GetRasterBand(1).SetCategoryNames(["none" if n == 0 else f"class of {n}" for n in range(31)])
    del data
    before = path.read_bytes()
    config = raster_config(
        mapping={10: 1, 30: 1, 20: 2, 95: 3}, class_names={3: "mangroves"}, cloud_labels=(3,)
    )
    raster = inspect_raster(str(path), with_files_beside=True)
    meaning = LabelInput(load_backend(config), (raster,)).meaning
    assert meaning.names == {1: "class of 10 / class of 30", 2: "class of 20", 3: "mangroves"}
    assert meaning.colors == {1: "#006400", 2: "#000000"}, (
        "a class with a name is black, others are unused entries"
    )
    assert (meaning.source, meaning.conditions) == ("classes.tif", {"cloud": (3,)})
    _, stats, _ = labels_of(tmp_path, [path], grid_of((3, 4)), config)
    assert stats["class_names"] == {str(label): name for label, name in meaning.names.items()}
    assert path.read_bytes() == before
    opened = gdal.Open(str(tmp_path / "y.tif"))
    made = opened.GetRasterBand(1)
    assert made.GetColorInterpretation() == gdal.GCI_PaletteIndex
    assert [made.GetColorTable().GetColorEntry(value)[:3] for value in (1, 3)] == [(0, 100, 0), (0, 0, 0)]
    assert (tmp_path / "y.tif.aux.xml").is_file()


def test_a_legend_that_changes_rebuilds_the_labels(dataset: Dataset, tmp_path: Path) -> None:
    grid = inspect_raster(str(next(dataset.products.rglob("*SCL_20m.jp2")))).grid
    epsg = (32633, grid.geotransform[0], grid.geotransform[3])
    path = make_raster(tmp_path / "c.tif", np.full(grid.shape_yx, 1, np.uint8), crs=epsg)
    config = dataset.config(
        tmp_path / "out", labels=raster_config(str(path)), max_scenes=1, l1c_bands=("B11",)
    )
    assert run_preprocess(config).done
    assert run_preprocess(config).up_to_date
    beside = tmp_path / "c.tif.aux.xml"
    names = "<CategoryNames><Category/><Category>wood</Category></CategoryNames>"
    beside.write_text(f'<PAMDataset><PAMRasterBand band="1">{names}</PAMRasterBand></PAMDataset>')
    assert run_preprocess(config).done
    assert _meta(tmp_path / "out")[1]["labels"]["meaning"]["class_names"] == {"1": "wood"}


def _own(name: str, **changes: Any) -> LabelConfig:
    return LabelConfig(enabled=True, backend=f"{__name__}:{name}", **changes)


def _meta(out_dir: Path) -> tuple[Path, dict[str, Any]]:
    path = min(out_dir.rglob("meta.json"))
    return path.parent, json.loads(path.read_text())


def test_a_backend_by_import_path(dataset: Dataset, tmp_path: Path) -> None:
    config = dataset.config(tmp_path / "out", labels=_own("Parity"), max_scenes=1)
    assert not run_preprocess(config).failed
    where, meta = _meta(tmp_path / "out")
    plain = dataset.config(tmp_path / "scl", labels=LabelConfig(enabled=True), max_scenes=1)
    run_preprocess(plain)
    scl = read_whole_band(_meta(tmp_path / "scl")[0] / "y.tif", 1, "uint8")
    np.testing.assert_array_equal(read_whole_band(where / "y.tif", 1, "uint8"), scl % 2)
    assert meta["labels"]["backend"] == f"{__name__}:Parity"
    assert meta["labels"]["stats"]["class_names"] == {"0": "even", "1": "odd"}
    assert meta["labels"]["backend_stats"]["roles"] == ["l2a.scl_20m"]
    (code,) = [item for item in meta["inputs"] if item["role"] == "labels.backend"]
    assert code["checksum"].startswith("SHA-256:")


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("shape", "expected classes of shape"),
        ("dtype", "expected uint8 or uint16, got int64"),
        ("class", "class 256 is above 255"),
    ],
)
def test_what_a_backend_may_not_return(dataset: Dataset, tmp_path: Path, fault: str, message: str) -> None:
    labels = _own("Broken", options={"fault": fault})
    result = run_preprocess(dataset.config(tmp_path / "out", labels=labels, max_scenes=1))
    assert message in result.failed[0].error


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (LabelConfig(enabled=True, backend="sclx"), "does not match the pattern"),
        (LabelConfig(enabled=True, backend="no.such.package:Burned"), "cannot be imported"),
        (_own("Missing"), "has no class Missing"),
        (_own("make_raster"), "has no class make_raster derived from"),
        (
            LabelConfig(enabled=True, backend="raster"),
            r"preprocess\.labels\.path: expected a path with labels.backend raster",
        ),
        (
            LabelConfig(enabled=True, path="a.tif"),
            r"preprocess\.labels\.path: expected a path with labels.backend raster",
        ),
        (raster_config("{tile}.tif"), re.escape("{tile} is not one of {tile_id}, {date}")),
        (raster_config("{date.__class__}.tif"), re.escape("{date.__class__} is not one of")),
        (raster_config("{date"), r"labels\.path: is not a template"),
        (
            LabelConfig(enabled=True, options={"a": 1}),
            "expected null: options are for your own label classes",
        ),
        (LabelConfig(enabled=True, threshold=0), r"labels\.threshold"),
        (LabelConfig(enabled=True, mapping={256: 1}), r"labels\.mapping\.256"),
        (LabelConfig(enabled=True, class_names={1: ""}), r"labels\.class_names\.1"),
        (LabelConfig(enabled=True, class_names={-1: "a"}), r"labels\.class_names\.-1: expected a label 0"),
        (LabelConfig(enabled=True, class_colors={1: "red"}), r"labels\.class_colors\.1"),
        (LabelConfig(enabled=True, cloud_labels=(70000,)), r"labels\.cloud_labels\[0\]"),
        (LabelConfig(enabled=True, cloud_labels=(255,)), r"labels\.cloud_labels: expected labels other than"),
        (
            LabelConfig(enabled=True, mapping={4: 1}, class_names={4: "a"}),
            r"labels\.class_names\.4: labels.mapping makes no label 4, but 1, 255",
        ),
        (_own("Garish"), "Garish: expected colours such as #1f77b4, got 'red'"),
    ],
)
def test_configurations_that_make_no_sense(
    dataset: Dataset, tmp_path: Path, labels: LabelConfig, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        run_preprocess(dataset.config(tmp_path / "out", labels=labels))
    assert not (tmp_path / "out").exists()


def test_a_missing_raster_is_a_gap_before_any_pixel(dataset: Dataset, tmp_path: Path) -> None:
    template = str(tmp_path / "{tile_id}_{date:%Y%m%d}.tif")
    config = dataset.config(tmp_path / "out", labels=raster_config(template))
    with pytest.raises(MissingInputError) as caught:
        run_preprocess(config)
    assert len(caught.value.gaps) == 2
    assert "T33UWQ_20251210.tif is not on disk" in str(caught.value)
    assert not (tmp_path / "out").exists()

    grid = inspect_raster(str(next(dataset.products.rglob("*SCL_20m.jp2")))).grid
    classes = np.full(grid.shape_yx, 3, np.uint8)
    epsg = (32633, grid.geotransform[0], grid.geotransform[3])
    make_raster(tmp_path / "T33UWQ_20251210.tif", classes, crs=epsg)
    result = run_preprocess(replace(config, skip_incomplete=True))
    assert len(result.done) == len(result.incomplete) == 1
    where, meta = _meta(tmp_path / "out")
    assert (read_whole_band(where / "y.tif", 1, "uint8") == 3).all()
    assert [item["name"] for item in meta["inputs"] if item["role"] == "labels.path"] == [
        (tmp_path / "T33UWQ_20251210.tif").as_posix()
    ]
    assert run_preprocess(replace(config, skip_incomplete=True)).up_to_date
    count = NormalizeConfig(mode="compute_only", stats_path=tmp_path / "stats.json")
    assert len(run_preprocess(replace(config, normalize=count)).done) == 2  # labels are not needed to count


def test_a_vrt_of_labels_needs_permission(dataset: Dataset, tmp_path: Path) -> None:
    grid = inspect_raster(str(next(dataset.products.rglob("*SCL_20m.jp2")))).grid
    epsg = (32633, grid.geotransform[0], grid.geotransform[3])
    make_raster(tmp_path / "labels.tif", np.full(grid.shape_yx, 3, np.uint8), crs=epsg)
    gdal.Translate(str(tmp_path / "labels.vrt"), str(tmp_path / "labels.tif"))
    labels = raster_config(str(tmp_path / "labels.vrt"))
    config = dataset.config(tmp_path / "out", labels=labels, max_scenes=1, l1c_bands=("B11",))
    (failed,) = run_preprocess(config).failed
    assert "labels.allow_vrt" in failed.error
    run_preprocess(replace(config, labels=replace(labels, allow_vrt=True)))
    where, _ = _meta(tmp_path / "out")
    assert (read_whole_band(where / "y.tif", 1, "uint8") == 3).all()
    (tmp_path / "labels.tif.msk").touch()
    masked = replace(config, labels=raster_config(str(tmp_path / "labels.tif")), overwrite=True)
    assert "labels.tif.msk beside it" in run_preprocess(masked).failed[0].error


def test_the_example_in_the_docs(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read_band: Callable[..., Any]
) -> None:
    text = (ROOT / "docs" / "labels.md").read_text(encoding="utf-8")
    text = text.partition("## Your own backend")[2]
    backend, run = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert len([line for line in backend.splitlines() if line.strip()]) <= 20
    package = tmp_path / "my_package"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "labels.py").write_text(backend, encoding="utf-8")
    (tmp_path / "out").symlink_to(dataset.root)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    exec(compile(run, "docs/labels.md", "exec"), {})
    where, meta = _meta(tmp_path / "out_burned")
    assert meta["labels"]["backend"] == "my_package.labels:Burned"
    products = min(dataset.products.glob("*MSIL2A*"))
    nir, swir = (
        read_band(next(products.rglob(f"*{band}_20m.jp2"))).astype(np.float64) for band in ("B8A", "B12")
    )
    burned = (nir - swir) / (nir + swir - 2000) < 0.1
    expected = np.where((nir > 0) & (swir > 0), burned, 255)
    got = read_band(where / "y.tif", 1, "uint8")
    assert (got == expected).mean() > 0.9999  # a ratio of exactly 0.1 may round to either side
    assert 0 < (got == 1).mean() < 1
    assert NO_LABEL == 65535
