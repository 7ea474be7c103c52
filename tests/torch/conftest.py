"""A set of patches with angles that are missing here and there, for all readers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from s2pipe.patches.cfg import QualityConfig, ShardConfig, SplitConfig
from s2pipe.patches.run import run_patches
from s2pipe.raster.grid import Window
from s2pipe.raster.reader import StackReader
from s2pipe.raster.writer import TiffSpec, TiffWriter
from tests.patches.patchdata import Scene, record_again, write_quantities, write_step2
from tests.patches.test_shards import config

if TYPE_CHECKING:
    from pathlib import Path

SCENES = [
    Scene(angles=True, shape_yx=(128, 256)),
    Scene(angles=True, shape_yx=(128, 256), sensing="2025-08-03T10:00:00Z", nodata_right=40),
]


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Root of a Step-2 dataset, and shards in ``patches``, time stacks in ``stacks``."""
    root = tmp_path_factory.mktemp("torch")
    index = write_step2(root, SCENES)
    for path in root.rglob("angles.tif"):
        _damage(path)
    quality = QualityConfig(min_valid=0.5, max_missing_angles=None)
    options = {"patch_size": 32, "quality": quality}
    split = SplitConfig(0.8, 0.1, 0.1, cell_m=1000)
    shards = ShardConfig(max_count=8)
    run_patches(config(index, root / "patches", split=split, shards=shards, **options))
    everything = SplitConfig(1.0, 0.0, 0.0)
    run_patches(
        config(
            index, root / "stacks", group="time_stack", max_t=3, split=everything, shards=shards, **options
        )
    )
    return root


@pytest.fixture(scope="session")
def quantities(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Root of a Step-2 dataset whose labels are heights with holes, and shards and time stacks of it with NaN."""
    root = tmp_path_factory.mktemp("quantities")
    index = write_step2(root, SCENES)
    for number, scene in enumerate(SCENES):
        height = np.random.default_rng(number).normal(size=scene.shape_yx).astype(np.float32)
        height[20:50, 30:70] = np.nan
        write_quantities(root, scene, {"label": height})
    quality = QualityConfig(min_valid=0.5, max_missing_angles=None)
    split, shards = SplitConfig(1.0, 0.0, 0.0), ShardConfig(keep_nan=True)
    options = {"patch_size": 32, "quality": quality, "split": split, "shards": shards}
    run_patches(config(index, root / "patches", **options))
    run_patches(config(index, root / "stacks", group="time_stack", max_t=3, **options))
    return root


@pytest.fixture
def shards_json(made: Path) -> Path:
    return made / "patches" / "shards.json"


@pytest.fixture
def index_json(made: Path) -> Path:
    return made / "meta" / "step2" / "index.json"


def _damage(path: Path) -> None:
    """Make a block of angles NaN."""
    reader = StackReader(str(path))
    window = Window(0, 0, *reader.shape_yx)
    values = np.empty((2, *reader.shape_yx), np.float32)
    reader.read(window, values)
    reader.close()
    values[1, 20:50, 30:70] = np.nan
    meta = json.loads((path.parent / "meta.json").read_text())
    names = tuple(meta["assets"]["angles"]["band_names"])
    with TiffWriter(path, TiffSpec(SCENES[0].grid, names, "float32", float("nan"))) as writer:
        writer.write(window, values)
    record_again(path.parent)
