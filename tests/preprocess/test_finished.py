"""Finished scenes are told from the states of their files; whatever could make them other is planned and checked."""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from s2pipe.dataset.step1_index import load_index
from s2pipe.dataset.step2_index import load_entries
from s2pipe.preprocess.finished import FINISHED, FinishedScenes
from s2pipe.preprocess.plan import make_plan
from s2pipe.preprocess.run import run_preprocess
from tests.preprocess.settled import settled_copy

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from s2pipe.preprocess.cfg import PreprocessConfig
    from tests.conftest import Dataset


@pytest.fixture(scope="module")
def finished(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> PreprocessConfig:
    """A copy of the dataset with real files, and a finished run over it."""
    base = tmp_path_factory.mktemp("finished")
    index = settled_copy(dataset, base / "in")
    config = dataset.config(base / "out", index_json=index, target_grid_ref="B01")
    assert len(run_preprocess(config).done) == 2
    return config


@pytest.fixture
def config(finished: PreprocessConfig, tmp_path: Path) -> PreprocessConfig:
    """A finished run whose outputs a test may change."""
    shutil.copytree(finished.out_dir, tmp_path / "out")
    out = replace(finished, out_dir=tmp_path / "out")
    (out.out_dir / FINISHED).unlink()
    assert len(run_preprocess(out).up_to_date) == 2
    return out


def known(config: PreprocessConfig) -> int:
    """Number of scenes that need no planning."""
    index = load_index(config.index_json)
    memory = FinishedScenes(index, config, None, load_entries(config.out_dir))
    plan = make_plan(index, config, memory.find)
    assert len(plan.finished) + len(plan.scenes) == 2
    return len(plan.finished)


def test_a_finished_run_plans_nothing_and_says_the_same(finished: PreprocessConfig) -> None:
    before = (finished.out_dir / "meta/step2/index.json").read_bytes()
    assert known(finished) == 2
    again = run_preprocess(finished)
    (finished.out_dir / FINISHED).rename(finished.out_dir / "aside")
    in_full = run_preprocess(finished)
    (finished.out_dir / "aside").rename(finished.out_dir / FINISHED)
    assert (again.up_to_date, again.inputs) == (in_full.up_to_date, in_full.inputs)
    assert json.loads(before)["samples"] == load_entries(finished.out_dir)
    lines = [json.loads(line) for line in again.log_path.read_text().splitlines()]  # type: ignore[union-attr]
    assert [line["status"] for line in lines] == ["up_to_date"] * 2


def x_of(config: PreprocessConfig) -> Path:
    return min(config.out_dir.rglob("x.tif"))


@pytest.mark.parametrize(
    "change",
    [
        lambda c: x_of(c).write_bytes(x_of(c).read_bytes()),
        lambda c: x_of(c).unlink(),
        lambda c: (x_of(c).parent / "meta.json").touch(),
        lambda c: (c.out_dir / FINISHED).write_bytes((c.out_dir / FINISHED).read_bytes()[:-5]),
        lambda c: (c.out_dir / FINISHED).write_text('{"scene_key":"T33UWQ/2025-12-15T10:03:19Z", "x": [}\n'),
    ],
)
def test_a_change_of_the_outputs_is_seen(config: PreprocessConfig, change: Callable[[Any], None]) -> None:
    assert known(config) == 2
    change(config)
    assert known(config) < 2
    assert run_preprocess(config).exit_code == 0
    assert len(load_entries(config.out_dir)) == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"overwrite": True},
        {"valid_pixel_mask": "per_band"},
        {"verify_inputs": "size"},
        {"aoi": (0.0, 0.0, 1.0, 1.0)},
        {"allow_absolute_paths": True},
    ],
)
def test_another_configuration_plans_all(config: PreprocessConfig, changes: dict[str, Any]) -> None:
    other = replace(config, **changes)
    memory = FinishedScenes(load_index(other.index_json), other, None, load_entries(other.out_dir))
    assert all(memory.find(scene) is None for scene in load_index(other.index_json).scenes)
    assert known(replace(config, num_workers=1, run_id="other")) == 2


def test_a_sample_that_is_not_listed_is_listed_again(config: PreprocessConfig) -> None:
    path = config.out_dir / "meta/step2/index.json"
    path.unlink()
    assert known(config) == 0
    run_preprocess(config)
    assert len(load_entries(config.out_dir)) == 2


def test_a_change_of_the_inputs_is_seen(
    dataset: Dataset, finished: PreprocessConfig, config: PreprocessConfig
) -> None:
    (config.out_dir.parent / "in").mkdir()
    root = shutil.copytree(finished.index_json.parents[2], config.out_dir.parent / "in", dirs_exist_ok=True)
    own = replace(config, index_json=root / "meta/step1/index.json")
    assert known(own) == 0, "another root"
    run_preprocess(own)
    assert known(own) == 0, "younger than two seconds"
    time.sleep(2.2)
    run_preprocess(own)
    assert known(own) == 2
    index = load_index(own.index_json)
    (band,) = (asset for asset in index.scenes[0].assets if asset.role == "l1c.band.B02")
    path = index.file(band).path
    path.write_bytes(path.read_bytes())
    assert known(own) == 1
    other = index.file(next(a for a in index.scenes[1].assets if a.role == "l1c.tile_metadata")).path
    text = own.index_json.read_text()
    own.index_json.write_text(text.replace('"cloud_cover":', '"cloud_cover": '))
    assert known(own) == 1, "spelled otherwise, and the same"
    other.unlink()
    assert known(own) == 0
