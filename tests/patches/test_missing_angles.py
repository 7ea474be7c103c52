"""Missing angles: counted in every patch, a reason to drop it, and never NaN in a shard unless asked for."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from s2pipe.patches.cfg import QualityConfig, ShardConfig, SplitConfig
from s2pipe.patches.missing_angles import known_angles, settle, witness_channels
from s2pipe.patches.run import run_patches
from s2pipe.raster.grid import Window
from s2pipe.raster.writer import TiffSpec, TiffWriter
from tests.patches.patchdata import Scene, pixels, record_again, write_step2
from tests.patches.test_shards import all_samples, array, config

if TYPE_CHECKING:
    from pathlib import Path

parquet = pytest.importorskip("pyarrow.parquet")
SCENE = Scene(angles=True, shape_yx=(150, 330), nodata_right=60)
NAMES = ("sun_zen_deg", "sun_azi_deg", "view_B02_zen_deg", "view_B02_azi_deg")


def angles_with_holes() -> np.ndarray:
    """Angles whose view direction is NaN in a block, where it is valid, and beyond the swath, where it is not."""
    angles = np.full((4, *SCENE.shape_yx), 30.0, np.float32)
    angles[2:, 40:60, 100:140] = np.nan
    angles[2:, :, 270:] = np.nan
    return angles


def step2(root: Path, angles: np.ndarray, names: tuple[str, ...]) -> Path:
    index = write_step2(root, [SCENE])
    directory = root / SCENE.directory
    with TiffWriter(directory / "angles.tif", TiffSpec(SCENE.grid, names, "float32", None)) as writer:
        writer.write(Window(0, 0, *SCENE.shape_yx), angles)
    meta = json.loads((directory / "meta.json").read_text())
    meta["assets"]["angles"] |= {"band_names": list(names), "shape": list(angles.shape)}
    (directory / "meta.json").write_text(json.dumps(meta))
    record_again(directory)
    return index


@pytest.fixture(scope="module", params=["nan", "mask"])
def index(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both ways that Step 2 writes missing angles: NaN, or 0 and a mask."""
    angles, names = angles_with_holes(), NAMES
    if request.param == "mask":
        known = np.isfinite(angles).all(axis=0, keepdims=True).astype(np.float32)
        angles, names = np.concatenate((np.nan_to_num(angles), known)), (*NAMES, "valid_angles")
    return step2(tmp_path_factory.mktemp(request.param), angles, names)


def run(index: Path, out: Path, limit: float | None, **shards: Any) -> list[dict[str, Any]]:
    quality = QualityConfig(min_valid=0.0, max_missing_angles=limit)
    split = SplitConfig(1.0, 0.0, 0.0)
    run_patches(config(index, out, quality=quality, split=split, edges="pad", shards=ShardConfig(**shards)))
    rows: list[dict[str, Any]] = parquet.read_table(out / "patches.parquet").to_pylist()
    return rows


@pytest.mark.parametrize("limit", [0.0, 0.1, None])
def test_patches_without_angles_are_dropped_with_the_reason(
    index: Path, tmp_path: Path, limit: float | None
) -> None:
    rows = run(index, tmp_path, limit)
    valid = pixels(SCENE, 0)[0][-1] > 0
    missing = np.isnan(angles_with_holes()).any(axis=0) & valid
    reasons = set()
    for row in rows:
        part = slice(row["row"], row["row"] + 64), slice(row["col"], row["col"] + 64)
        expected = missing[part].sum() / max(1, valid[part].sum())
        assert row["missing_angles_fraction"] == expected
        dropped = limit is not None and expected > limit
        assert row["reject_reason"] == ("missing_angles" if dropped else None)
        reasons.add(row["reject_reason"])
    assert reasons == ({None} if limit is None else {None, "missing_angles"})
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["dropped_by_reason"].get("missing_angles", 0) == sum(not row["kept"] for row in rows)


@pytest.mark.parametrize("keep_nan", [False, True])
def test_shards_hold_no_nan_unless_asked_for(index: Path, tmp_path: Path, keep_nan: bool) -> None:
    run(index, tmp_path, None, keep_nan=keep_nan)
    holes = np.zeros((192, 384), bool)
    holes[:150, :330] = np.isfinite(angles_with_holes()).all(axis=0)
    found_nan = False
    for files in all_samples(tmp_path).values():
        about, angles = json.loads(files["json"]), array(files["angles.npy"])
        known = holes[about["row"] : about["row"] + 64, about["col"] : about["col"] + 64]
        np.testing.assert_array_equal(array(files["angles_valid.npy"]), known)
        assert (angles[:, known] == [[30.0]] * 4 + [[1.0]] * (len(angles) - 4)).all()
        found_nan |= bool(np.isnan(angles).any())
        assert about["missing_angles_fraction"] >= 0
    assert found_nan == (keep_nan and "mask" not in str(index))


def test_one_channel_of_each_direction_tells() -> None:
    names = [
        f"{p}_{a}_{k}" for p in ("sun", "view_B02", "view") for a in ("zen", "azi") for k in ("sin", "cos")
    ]
    assert witness_channels(names) == (0, 4, 8)
    assert witness_channels(NAMES) == (0, 2)
    assert witness_channels((*NAMES, "valid_angles")) == (4,)


@given(arrays(np.float32, (3, 4, 5), elements=st.sampled_from([0.0, 0.5, float("nan")])))
def test_filling_changes_nothing_else(angles: np.ndarray) -> None:
    kept, filled = angles.copy(), angles.copy()
    known = settle(kept, ("a_zen_deg", "a_azi_deg", "b_zen_deg"), keep_nan=True)
    np.testing.assert_array_equal(known, settle(filled, ("a", "b", "c"), keep_nan=False))
    np.testing.assert_array_equal(known, known_angles(angles, has_mask=False))
    np.testing.assert_array_equal(kept, angles)
    np.testing.assert_array_equal(filled, np.where(np.isnan(angles), 0, angles))
    assert not known[np.isnan(angles).any(axis=0)].any()
