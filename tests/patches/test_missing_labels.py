"""Missing quantities: told pixel by pixel in shards, windows and copies, and never NaN unless asked for."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from s2pipe.errors import ConfigError, ManifestError
from s2pipe.patches.cfg import PatchConfig, ShardConfig, SplitConfig
from s2pipe.patches.missing_labels import no_values, settle_labels
from s2pipe.patches.run import run_patches
from s2pipe.readers.items import _finish_labels
from s2pipe.readers.opening import open_items
from s2pipe.readers.options import Reading
from tests.patches.patchdata import IGNORE, Scene, pixels, write_quantities, write_step2
from tests.patches.test_shards import all_samples, array, config

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("pyarrow")
NAN = float("nan")
SCENES = [
    Scene(shape_yx=(100, 150)),
    Scene(shape_yx=(100, 150), sensing="2025-08-03T10:00:00Z", nodata_right=20),
]
SIZE = 64


def channels_of(scene: Scene, number: int, kind: str) -> dict[str, np.ndarray]:
    """Heights of which some are 0, and where there are several channels, classes and slopes."""
    rng = np.random.default_rng(number)
    height, slope = rng.integers(-3, 3, (2, *scene.shape_yx)).astype(np.float32)
    height[10:50, 20:90] = np.nan
    slope[60 + number :, :] = np.nan
    if kind == "one":
        return {"label": height}
    classes = pixels(scene, number)[1].astype(np.float32)
    return {"classes": classes, "height": height, "slope": slope}


@pytest.fixture(scope="module", params=["one", "several"])
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    root = tmp_path_factory.mktemp(request.param)
    write_step2(root, SCENES)
    for number, scene in enumerate(SCENES):
        write_quantities(root, scene, channels_of(scene, number, request.param))
    for keep_nan in (False, True):
        run_patches(options(root, keep_nan))
    return root, request.param


def options(root: Path, keep_nan: bool, **changes: Any) -> PatchConfig:
    split, shards = SplitConfig(1.0, 0.0, 0.0), ShardConfig(max_count=5, dtype="float16", keep_nan=keep_nan)
    index = root / "meta" / "step2" / "index.json"
    return config(index, root / str(keep_nan), edges="pad", split=split, shards=shards, **changes)


def expected(kind: str, about: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Labels of a patch with NaN and ignore index, and where there is a value."""
    number = [scene.sensing for scene in SCENES].index(about["sensing_start_utc"])
    parts, known = [], []
    for name, whole in channels_of(SCENES[number], number, kind).items():
        mark = IGNORE if name == "classes" else np.nan
        part = np.full((SIZE, SIZE), mark, np.float32)
        inside = whole[about["row"] : about["row"] + SIZE, about["col"] : about["col"] + SIZE]
        part[: inside.shape[0], : inside.shape[1]] = inside
        parts.append(part)
        known.append(part != IGNORE if name == "classes" else np.isfinite(part))
    y, valid = np.stack(parts), np.stack(known)
    return (y[0], valid[0]) if kind == "one" else (y, valid)


def check(kind: str, about: dict[str, Any], y: np.ndarray, valid: np.ndarray, keep_nan: bool) -> None:
    values, known = expected(kind, about)
    assert y.dtype == np.float32
    np.testing.assert_array_equal(y, values if keep_nan else np.where(np.isnan(values), 0, values))
    assert valid.dtype == np.uint8
    np.testing.assert_array_equal(valid, known)


@pytest.mark.parametrize("keep_nan", [False, True])
def test_shards_hold_no_nan_unless_asked_for(made: tuple[Path, str], keep_nan: bool) -> None:
    root, kind = made
    items = all_samples(root / str(keep_nan))
    assert len(items) == 12
    for files in items.values():
        assert list(files) == ["x.npy", "y.npy", "y_valid.npy", "json"]
        about = json.loads(files["json"])
        check(kind, about, array(files["y.npy"]), array(files["y_valid.npy"]), keep_nan)
        first = expected(kind, about)[1].reshape(-1, SIZE, SIZE)[0]
        assert about["ignore_fraction"] == pytest.approx(1 - first.mean())


@pytest.mark.parametrize("wanted", [False, True])
def test_readers_give_no_nan_unless_asked_for(made: tuple[Path, str], wanted: bool) -> None:
    root, kind = made
    windows = Reading(windows=(SIZE, SIZE), edges="pad", keep_nan=wanted)
    sources = {
        "windows": open_items(root / "meta/step2/index.json", "train", windows),
        "with NaN": open_items(root / "True/shards.json", "train", Reading(keep_nan=wanted)),
        "without": open_items(root / "False/shards.json", "train", Reading(keep_nan=wanted)),
    }
    for name, items in sources.items():
        found = items.read(range(len(items.units)))
        assert len(found) == 12
        for item in found:
            check(kind, item["json"], item["y"], item["y_valid"], wanted and name != "without")
            assert list(item) == ["key", "x", "y", "y_valid", "json"]
            first = expected(kind, item["json"])[1].reshape(-1, SIZE, SIZE)[0]
            assert item["json"]["ignore_fraction"] == pytest.approx(1 - first.mean())


@pytest.mark.parametrize("keep_nan", [False, True])
def test_copies_hold_what_their_source_holds(made: tuple[Path, str], tmp_path: Path, keep_nan: bool) -> None:
    pytest.importorskip("duckdb")
    from s2pipe.patches.reshard import reshard

    root, kind = made
    database = root / str(keep_nan) / "patches.parquet"
    same = replace(options(root, keep_nan), out_dir=tmp_path / "new")
    reshard(same, database, "row > 0")
    items = all_samples(tmp_path / "new")
    assert len(items) == 6
    for files in items.values():
        check(kind, json.loads(files["json"]), array(files["y.npy"]), array(files["y_valid.npy"]), keep_nan)
    other = replace(options(root, not keep_nan), out_dir=tmp_path / "other")
    with pytest.raises(ConfigError, match=rf"keep_nan: samples are copied .* {keep_nan}, got {not keep_nan}"):
        reshard(other, database, "row > 0")
    assert not (tmp_path / "other").exists()


def test_an_item_without_the_mask_gets_one_and_wrong_channels_are_an_error() -> None:
    labels = {"channels": [{"ignore_index": 7}, {"ignore_index": None}]}
    item = {"y": np.array([[[[7, 1]], [[NAN, 7]]]], np.float32)}
    _finish_labels(item, labels, Reading(), "here")
    np.testing.assert_array_equal(item["y"], [[[[7, 1]], [[0, 7]]]])
    np.testing.assert_array_equal(item["y_valid"], [[[[0, 1]], [[0, 1]]]])
    for shape in ((3, 1, 2), (1, 2), (2,), ()):
        with pytest.raises(ManifestError, match=r"here: y\.npy: expected 2 channels"):
            _finish_labels({"y": np.zeros(shape, np.float32)}, labels, Reading(), "here")
    whole = {"y": np.array([[7, 1]], np.uint8)}
    _finish_labels(whole, {"ignore_index": 7}, Reading(), "here")
    assert list(whole) == ["y"]


@given(arrays(np.float32, (2, 2, 3, 4), elements=st.sampled_from([0.0, -1.5, 7.0, NAN])))
def test_filling_changes_nothing_else(y: np.ndarray) -> None:
    marks = no_values({"channels": [{"ignore_index": 7}, {"ignore_index": None}]})
    kept, filled = y.copy(), y.copy()
    known = settle_labels(kept, marks, keep_nan=True)
    np.testing.assert_array_equal(known, settle_labels(filled, marks, keep_nan=False))
    np.testing.assert_array_equal(kept, y)
    np.testing.assert_array_equal(filled, np.where(np.isnan(y), 0, y))
    expected = np.stack([np.isfinite(y[:, 0]) & (y[:, 0] != 7), np.isfinite(y[:, 1])], axis=1)
    np.testing.assert_array_equal(known, expected)
