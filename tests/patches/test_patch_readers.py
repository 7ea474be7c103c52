"""Reading what Steps 2 and 3 wrote: GeoParquet readers, PyTorch, xarray."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest

from s2pipe.errors import ConfigError, DependencyError, UsageError
from s2pipe.patches.candidates.polygons import ring
from s2pipe.patches.candidates.windows import footprints
from s2pipe.patches.cfg import BalanceConfig, ShardConfig, SplitConfig
from s2pipe.patches.run import run_patches
from tests.patches.patchdata import IGNORE, Scene, pixels, write_step2
from tests.patches.test_shards import all_samples, check_counts, config

if TYPE_CHECKING:
    from pathlib import Path

parquet = pytest.importorskip("pyarrow.parquet")
ALL_TRAIN = SplitConfig(1.0, 0.0, 0.0)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("readers")
    index = write_step2(root, [Scene(angles=True), Scene(sensing="2025-08-03T10:00:00Z", angles=True)])
    out = root / "patches"
    split = SplitConfig(0.6, 0.2, 0.2, cell_m=2000)
    run_patches(config(index, out, patch_size=32, split=split, shards=ShardConfig(max_count=20)))
    return out


def test_duckdb_finds_patches(dataset: Path) -> None:
    duckdb = pytest.importorskip("duckdb")
    rows = parquet.read_table(dataset / "patches.parquet").to_pylist()
    query = (
        f"select count(*) from '{dataset}/patches.parquet' where kept and month = '2025-08' and class_8 > 100"
    )
    expected = sum(r["kept"] and r["month"] == "2025-08" and r["class_8"] > 100 for r in rows)
    assert duckdb.sql(query).fetchall() == [(expected,)]
    assert expected > 0


def test_geopandas_sees_the_footprints(dataset: Path) -> None:
    geopandas = pytest.importorskip("geopandas")
    frame = geopandas.read_parquet(dataset / "patches.parquet")
    assert frame.crs == "OGC:CRS84"
    assert frame.geometry.is_valid.all()
    areas = frame.to_crs(32633).area
    np.testing.assert_allclose(areas, (32 * 20.0) ** 2, rtol=1e-6)


def test_gdal_sees_the_footprints(dataset: Path) -> None:
    from osgeo import gdal

    if gdal.GetDriverByName("Parquet") is None:
        pytest.skip("this GDAL has no Parquet driver")
    layer = gdal.OpenEx(str(dataset / "patches.parquet"), gdal.OF_VECTOR).GetLayer(0)
    assert layer.GetFeatureCount() == parquet.read_metadata(dataset / "patches.parquet").num_rows


def test_geoparquet_metadata(dataset: Path) -> None:
    geo = json.loads(parquet.read_metadata(dataset / "patches.parquet").metadata[b"geo"])
    column = geo["columns"][geo["primary_column"]]
    assert (geo["version"], column["encoding"], column["geometry_types"]) == ("1.1.0", "WKB", ["Polygon"])
    west, south, east, north = column["bbox"]
    assert 14 < west < east < 17
    assert 49 < south < north < 50


def test_footprints_across_the_antimeridian_are_cut(tmp_path: Path) -> None:
    shapely = pytest.importorskip("shapely")
    scene = Scene("T60VXX", epsg=32660, ulx=665_000.0, uly=6_660_000.0)
    index = write_step2(tmp_path / "step2", [scene])
    run_patches(config(index, tmp_path / "out", split=ALL_TRAIN))
    rows = parquet.read_table(tmp_path / "out" / "patches.parquet").to_pylist()
    shapes = [shapely.from_wkb(row["geometry"]) for row in rows]
    assert {shape.geom_type for shape in shapes} == {"Polygon", "MultiPolygon"}
    for shape, row in zip(shapes, rows, strict=True):
        west, _, east, _ = shape.bounds
        assert shape.is_valid
        assert west >= -180
        assert east <= 180
        whole = ring(footprints(scene.grid, np.array([row["row"]]), np.array([row["col"]]), 64))[0]
        np.testing.assert_allclose(shape.area, shapely.Polygon(whole).area, rtol=1e-9)


def test_a_query_makes_new_shards_without_the_rasters(dataset: Path, tmp_path: Path) -> None:
    pytest.importorskip("duckdb")
    from s2pipe.patches.reshard import reshard

    nowhere = tmp_path / "no-rasters.json"
    balance = BalanceConfig(max_per_cell=6)
    cfg = config(nowhere, tmp_path / "new", patch_size=32, balance=balance, shards=ShardConfig(max_count=15))
    query = "cloud_fraction < 0.6 AND month = '2025-07'"
    result = reshard(cfg, dataset / "patches.parquet", query)
    check_counts(tmp_path / "new")
    old, new = all_samples(dataset), all_samples(tmp_path / "new")
    assert 0 < len(new) < len(old)
    assert result.kept == len(new)
    assert all(files == old[key] for key, files in new.items())
    rows = {r["patch_id"]: r for r in parquet.read_table(tmp_path / "new" / "patches.parquet").to_pylist()}
    source = {r["patch_id"]: r for r in parquet.read_table(dataset / "patches.parquet").to_pylist()}
    for key, row in rows.items():
        meets = row["cloud_fraction"] < 0.6 and row["month"] == "2025-07"
        if source[key]["kept"]:
            assert row["kept"] == meets or row["reject_reason"] == "balance"
        else:
            assert row["reject_reason"] == source[key]["reject_reason"]
    assert reshard(cfg, dataset / "patches.parquet", query).shards_written == 0
    with pytest.raises(UsageError, match="no column of a condition"):
        reshard(cfg, dataset / "patches.parquet", "no_such_column > 1")
    with pytest.raises(ConfigError, match="--out-dir"):
        reshard(config(nowhere, dataset), dataset / "patches.parquet", "true")


def test_time_stacks_are_chosen_whole(tmp_path: Path) -> None:
    pytest.importorskip("duckdb")
    from s2pipe.patches.reshard import reshard

    index = write_step2(tmp_path / "step2", [Scene(), Scene(sensing="2025-08-03T10:00:00Z")])
    run_patches(config(index, tmp_path / "a", group="time_stack", split=ALL_TRAIN))
    reshard(config(index, tmp_path / "b"), tmp_path / "a" / "patches.parquet", "cloud_fraction < 0.45")
    old = all_samples(tmp_path / "a")
    clear = {
        key
        for key, files in old.items()
        if all(date["cloud_fraction"] < 0.45 for date in json.loads(files["json"])["dates"])
    }
    assert set(all_samples(tmp_path / "b")) == clear
    assert 0 < len(clear) < len(old)


def test_weights_prefer_a_rare_class(dataset: Path, tmp_path: Path) -> None:
    pytest.importorskip("duckdb")
    from s2pipe.patches.reshard import reshard

    means = []
    for number, weights in enumerate((None, {6: 50.0})):
        out = tmp_path / str(number)
        cfg = config(dataset, out, balance=BalanceConfig(max_patches=20, class_weights=weights))
        reshard(cfg, dataset / "patches.parquet", "true")
        totals = json.loads((out / "shards.json").read_text())["splits"]["train"]["class_histogram"]
        means.append(totals["6"] / sum(totals.values()))
    assert means[1] > 1.3 * means[0]


def test_without_torch_the_error_says_what_to_do() -> None:
    code = "import sys; sys.modules['torch'] = None; import s2pipe.torch"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=_paths(), check=False
    )
    assert result.returncode
    assert DependencyError.__name__ in result.stderr
    assert "pytorch.org" in result.stderr


def _paths() -> dict[str, str]:
    import os

    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


def test_a_scene_opens_in_xarray(tmp_path: Path) -> None:
    pytest.importorskip("xarray")
    import s2pipe

    scene = Scene(angles=True)
    write_step2(tmp_path, [scene])
    opened = s2pipe.open_scene(tmp_path / scene.directory / "meta.json")
    x, y = pixels(scene, 0)
    np.testing.assert_array_equal(opened["image"].sel(band="B03").values, x[1])
    np.testing.assert_array_equal(opened["label"].values, y)
    assert opened["valid"].values.all()
    assert opened["label"].attrs["ignore_index"] == IGNORE
    np.testing.assert_array_equal(opened["angles"].sel(angle="sun_zen_cos").values, x[1] * np.float32(0.5))
    assert float(opened["x"][0]) == scene.ulx + 10
    assert float(opened["y"][0]) == scene.uly - 10
