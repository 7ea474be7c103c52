"""Windows of Step 2's samples: their ground, their split, and the same keys as items of shards."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING

import numpy as np
import pytest

from s2pipe.errors import ConfigError, MissingInputError
from s2pipe.patches.cfg import ShardConfig, SplitConfig
from s2pipe.patches.run import run_patches
from s2pipe.readers.opening import open_items
from s2pipe.readers.options import Reading
from tests.patches.patchdata import IGNORE, Scene, pixels, write_step2
from tests.patches.test_shards import config

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("pyarrow")
SCENE = Scene(angles=True, quality=True, shape_yx=(130, 200))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("windows")
    index = write_step2(
        root, [SCENE, Scene(angles=True, quality=True, shape_yx=(130, 200), sensing="2025-08-03T10:00:00Z")]
    )
    split = SplitConfig(0.5, 0.25, 0.25, cell_m=1000)
    cfg = config(index, root / "out", patch_size=16, stride=16, split=split, shards=ShardConfig(max_count=4))
    run_patches(cfg)
    return root


def index_of(root: Path) -> Path:
    return root / "meta" / "step2" / "index.json"


@pytest.mark.parametrize(("edges", "count"), [("drop", 12), ("pad", 24)])
def test_windows_show_their_own_ground(made: Path, edges: str, count: int) -> None:
    items = open_items(index_of(made), "train", Reading(windows=(64, 64), edges=edges))
    assert len(items.units) == count
    for item in pickle.loads(pickle.dumps(items)).read(range(count // 2)):
        row, col = item["json"]["row"], item["json"]["col"]
        x, y = pixels(SCENE, 0)
        part = x[:, row : row + 64, col : col + 64]
        expected = np.zeros((3, 64, 64), np.float32)
        expected[:, : part.shape[1], : part.shape[2]] = part
        labels = np.full((64, 64), IGNORE, np.uint8)
        labels[: part.shape[1], : part.shape[2]] = y[row : row + 64, col : col + 64]
        np.testing.assert_array_equal(item["x"], expected)
        np.testing.assert_array_equal(item["y"], labels)
        np.testing.assert_array_equal(item["angles"], expected[:2] * np.float32(0.5))
        np.testing.assert_array_equal(item["angles_valid"], expected[2])
        left, dx, _, top, _, dy = item["json"]["transform"]
        assert (left, top) == (SCENE.ulx + 20 * col, SCENE.uly - 20 * row)
        assert (dx, dy, item["json"]["crs"], item["json"]["split"]) == (20, -20, "EPSG:32633", "none")
        assert item["json"]["valid_fraction"] == expected[2].mean()


def test_windows_of_a_split_are_the_patches_of_its_shards(made: Path) -> None:
    reading = Reading(windows=(16, 16), split_plan=made / "out" / "split.json")
    for split in ("train", "val", "test"):
        shards = open_items(made / "out" / "shards.json", split, Reading())
        windows = open_items(index_of(made), split, reading)
        expected = {item["key"]: item for item in shards.read(range(len(shards.units)))}
        found = {item["key"]: item for item in windows.read(range(len(windows.units)))}
        assert set(found) == set(expected)
        for key, item in found.items():
            assert list(item) == list(expected[key])
            assert item["json"] == expected[key]["json"]
            np.testing.assert_array_equal(item["x"], expected[key]["x"])
        assert windows.about == {name: shards.about[name] for name in windows.about}
        assert {"bands", "unit", "normalization", "labels", "angle_bands", "group"} <= set(windows.about)


def test_what_there_is_not_is_an_error(made: Path) -> None:
    with pytest.raises(MissingInputError, match="no window of 256 pixels"):
        open_items(index_of(made), "train", Reading())
    with pytest.raises(ConfigError, match="expected one of train, val, test, got 'trian'"):
        open_items(index_of(made), "trian", Reading((64, 64), split_plan=made / "out" / "split.json"))
    with pytest.raises(ConfigError, match="in no database"):
        open_items(index_of(made), "train", Reading(windows=(64, 64))).column("class_4")
