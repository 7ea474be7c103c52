"""Windows of samples that an area of interest cut out: the same ground gives the same patch, whatever the area."""

from __future__ import annotations

import io
import json
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from osgeo import gdal

from s2pipe.dataset.samples import load_samples
from s2pipe.patches.candidates.windows import grid_windows
from s2pipe.patches.cfg import PatchConfig, QualityConfig, ShardConfig
from s2pipe.patches.run import run_patches
from s2pipe.preprocess.cfg import AngleAssetConfig, LabelConfig, ScreeningConfig
from s2pipe.preprocess.run import run_preprocess
from s2pipe.raster.grid import TargetGrid, Window
from s2pipe.stitch import Stitcher
from tests.conftest import Dataset, read_whole_band
from tests.patches.patchdata import Scene

pytest.importorskip("pyarrow")

SIZE = 32
ROW, COL = 37, 71


@pytest.fixture(scope="module")
def step2(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Index of whole tiles, and of an area that begins at row 37, column 71."""
    base = tmp_path_factory.mktemp("lattice")
    config = dataset.config(
        base / "whole",
        max_scenes=1,
        l1c_bands=("B02", "B11"),
        angles=AngleAssetConfig(enabled=True),
        labels=LabelConfig(enabled=True),
        quality=ScreeningConfig(enabled=True),
    )
    index = base / "whole" / "meta" / "step2" / "index.json"
    assert run_preprocess(config).done
    x0, dx, _, y0, _, dy = load_samples(index)[0].grid.geotransform
    area = (x0 + dx * COL, y0 + dy * (ROW + 170), x0 + dx * (COL + 190), y0 + dy * ROW)
    assert run_preprocess(replace(config, out_dir=base / "cut", aoi=area, aoi_crs="EPSG:32633")).done
    return index, base / "cut" / "meta" / "step2" / "index.json"


def _config(index: Path, out: Path, **changes: Any) -> PatchConfig:
    base = PatchConfig(
        index, out, patch_size=SIZE, quality=QualityConfig(min_valid=0.0, max_missing_angles=None)
    )
    return replace(base, **changes)


def _items(out: Path) -> dict[str, dict[str, bytes]]:
    """Files of all items by name."""
    items: dict[str, dict[str, bytes]] = {}
    for path in sorted(out.glob("*/shard-*.tar")):
        with tarfile.open(path) as shard:
            for member in shard:
                key, _, suffix = member.name.partition(".")
                items.setdefault(key, {})[suffix] = shard.extractfile(member).read()
    return items


@pytest.mark.parametrize("stride", [SIZE, 20])
def test_the_same_ground_gives_the_same_patch_whatever_the_area(
    step2: tuple[Path, Path], tmp_path: Path, stride: int
) -> None:
    found = []
    for number, index in enumerate(step2):
        out = tmp_path / str(number)
        assert run_patches(_config(index, out, lattice="tile", stride=stride)).exit_code == 0
        found.append(_items(out))
    whole, cut = found
    rows = [row for row in range(0, 366, stride) if row >= ROW and row + SIZE <= ROW + 170]
    cols = [col for col in range(0, 366, stride) if col >= COL and col + SIZE <= COL + 190]
    assert {f"T33UWQ_20251210T100319Z_r{row:05d}_c{col:05d}" for row in rows for col in cols} == set(cut)
    assert len(cut) > 9
    for key, item in cut.items():
        expected, document = json.loads(whole[key].pop("json")), json.loads(item.pop("json"))
        # Labels that are nowhere in the area are not counted there.
        counts = expected["class_counts"]
        expected["class_counts"] = {label: counts[label] for label in document["class_counts"]}
        assert sum(counts.values()) == sum(document["class_counts"].values())
        assert document == expected
        assert item == whole[key]


def test_patches_of_the_area_begin_at_its_corner_and_count_in_the_tile(
    step2: tuple[Path, Path], tmp_path: Path
) -> None:
    assert run_patches(_config(step2[1], tmp_path)).exit_code == 0
    items = _items(tmp_path)
    assert f"T33UWQ_20251210T100319Z_r{ROW:05d}_c{COL:05d}" in items
    assert len(items) == (170 // SIZE) * (190 // SIZE)
    whole = load_samples(step2[0])[0]
    for item in items.values():
        document = json.loads(item["json"])
        x = np.load(io.BytesIO(item["x.npy"]))
        window = Window(document["row"], document["col"], SIZE, SIZE)
        assert document["transform"] == list(whole.grid.window_geotransform(window))
        expected = read_whole_band(whole.x_path, 1)[window.row : window.row_end, window.col : window.col_end]
        assert np.array_equal(x[0], expected)


@pytest.mark.parametrize("lattice", ["area", "tile"])
def test_padded_patches_cover_the_area_and_stitch_back(
    step2: tuple[Path, Path], tmp_path: Path, lattice: Any
) -> None:
    sample = load_samples(step2[1])[0]
    config = _config(
        step2[1], tmp_path / "out", lattice=lattice, edges="pad", stride=24, shards=ShardConfig(max_count=7)
    )
    assert run_patches(config).exit_code == 0
    meta = sample.x_path.with_name("meta.json")
    with Stitcher(tmp_path / "back.tif", meta, channels=1, output="mean", edge="none") as stitcher:
        for item in _items(tmp_path / "out").values():
            document = json.loads(item["json"])
            x, valid = np.load(io.BytesIO(item["x.npy"])), document["valid_fraction"]
            assert valid == np.count_nonzero(x[-1] > 0) / SIZE**2
            batch = {key: [document[key]] for key in ("tile_id", "sensing_start_utc", "row", "col")}
            assert stitcher.add_batch(batch, x[np.newaxis, :1]) == 1
    assert np.allclose(read_whole_band(tmp_path / "back.tif"), read_whole_band(sample.x_path), atol=1e-6)
    data = gdal.Open(str(tmp_path / "back.tif"))
    assert data.GetGeoTransform() == sample.grid.geotransform


@pytest.mark.parametrize(
    ("origin", "length", "size", "stride"), [(37, 170, 32, 24), (37, 9, 32, 32), (30, 8, 8, 20)]
)
def test_windows_on_the_lattice_cover_every_pixel_they_can(
    origin: int, length: int, size: int, stride: int
) -> None:
    grid = Scene(shape_yx=(400, 400)).grid
    target = TargetGrid(grid, Window(origin, 0, length, 50))
    config = PatchConfig(Path("x"), Path("x"), patch_size=size, stride=stride, lattice="tile")
    inside = sorted(set(grid_windows(target, config)[0].tolist()))
    padded = sorted(set(grid_windows(target, replace(config, edges="pad"))[0].tolist()))
    lattice = range(0, 400, stride)
    assert inside == [s for s in lattice if origin <= s and s + size <= origin + length]
    assert padded == [s for s in lattice if s < origin + length and s + size > origin]
