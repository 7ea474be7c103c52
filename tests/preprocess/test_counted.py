"""Counted scenes and current statistics are told from the states of files; what changed is counted or added again."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from s2pipe.dataset.step1_index import load_index
from s2pipe.preprocess.cfg import NormalizeConfig
from s2pipe.preprocess.counted import COUNTED, CountedScenes
from s2pipe.preprocess.plan import make_plan
from s2pipe.preprocess.run import run_preprocess
from s2pipe.preprocess.stats.stats_file import histogram_beside
from tests.preprocess.settled import settled_copy

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from s2pipe.preprocess.cfg import PreprocessConfig
    from tests.conftest import Dataset


@pytest.fixture(scope="module")
def counted(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> PreprocessConfig:
    """A copy of the dataset with real files, and a finished pass 1 over it."""
    base = tmp_path_factory.mktemp("counted")
    index = settled_copy(dataset, base / "in")
    config = with_stats(dataset.config(base / "out", index_json=index), base / "out")
    assert len(run_preprocess(config).done) == 2
    return config


def with_stats(config: PreprocessConfig, out: Path) -> PreprocessConfig:
    normalize = NormalizeConfig(mode="compute_only", stats_path=out / "stats.json", save_histograms=True)
    return replace(config, out_dir=out, target_grid_ref="B01", normalize=normalize)


@pytest.fixture
def config(counted: PreprocessConfig, tmp_path: Path) -> PreprocessConfig:
    """A finished pass 1 whose outputs a test may change."""
    shutil.copytree(counted.out_dir, tmp_path / "out")
    out = with_stats(counted, tmp_path / "out")
    (out.out_dir / COUNTED).unlink()
    assert len(run_preprocess(out).up_to_date) == 2
    return out


def known(config: PreprocessConfig) -> tuple[int, bool]:
    """Number of scenes that need no planning, and whether the statistics are current."""
    index = load_index(config.index_json)
    memory = CountedScenes(index, config)
    plan = make_plan(index, config, memory.find)
    memory.prepare(plan)
    assert len(plan.finished) + len(plan.scenes) == 2
    return len(plan.finished), memory.is_current


def histograms(config: PreprocessConfig) -> list[Path]:
    return sorted(config.out_dir.glob("processed/*/*/histogram.npz"))


def test_a_finished_pass_1_opens_nothing_and_says_the_same(counted: PreprocessConfig) -> None:
    assert known(counted) == (2, True)
    again = run_preprocess(counted)
    (counted.out_dir / COUNTED).rename(counted.out_dir / "aside")
    in_full = run_preprocess(counted)
    (counted.out_dir / "aside").rename(counted.out_dir / COUNTED)
    assert (again.up_to_date, again.inputs, again.stats_path) == (
        in_full.up_to_date,
        in_full.inputs,
        in_full.stats_path,
    )


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda c: (c.out_dir / "stats.json").unlink(), (2, False)),
        (lambda c: (c.out_dir / "stats.json").write_text("{}"), (2, False)),
        (lambda c: histogram_beside(c.out_dir / "stats.json").unlink(), (2, False)),
        (lambda c: histograms(c)[0].unlink(), (1, False)),
        (lambda c: histograms(c)[1].write_bytes(histograms(c)[0].read_bytes()), (1, False)),
        (lambda c: (c.out_dir / COUNTED).write_bytes((c.out_dir / COUNTED).read_bytes()[:-5]), (2, False)),
    ],
)
def test_what_is_gone_or_changed_is_made_again(
    config: PreprocessConfig, change: Callable[[Any], None], expected: tuple[int, bool]
) -> None:
    files = [config.out_dir / "stats.json", *histograms(config)]
    before = [path.read_bytes() for path in files]
    assert known(config) == (2, True)
    change(config)
    assert known(config) == expected
    assert run_preprocess(config).exit_code == 0
    assert [path.read_bytes() for path in files] == before
    assert known(config) == (2, True)


def test_a_histogram_that_was_damaged_unseen_is_counted_again(config: PreprocessConfig) -> None:
    path = histograms(config)[0]
    before, stats = path.read_bytes(), (config.out_dir / "stats.json").read_bytes()
    path.write_bytes(before[:-100])
    lines = [json.loads(line) for line in (config.out_dir / COUNTED).read_text().splitlines()]
    for line in lines:  # as if its state were that of before
        for state in line["outputs"]:
            if state[0] == path.relative_to(config.out_dir).as_posix():
                status = path.stat()
                state[1:] = [status.st_size, status.st_mtime_ns, status.st_ctime_ns]
    (config.out_dir / COUNTED).write_text(
        "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)
    )
    (config.out_dir / "stats.json").unlink()
    assert known(config) == (2, False)
    result = run_preprocess(config)
    assert (len(result.done), len(result.up_to_date), result.exit_code) == (1, 1, 0)
    assert path.read_bytes() == before
    assert (config.out_dir / "stats.json").read_bytes() == stats


@pytest.mark.parametrize(
    "changes",
    [
        {"overwrite": True},
        {"valid_min_fraction": 0.25},
        {"aoi": (0.0, 0.0, 1.0, 1.0)},
        {"verify_inputs": "size"},
    ],
)
def test_another_configuration_plans_all(config: PreprocessConfig, changes: dict[str, Any]) -> None:
    other = replace(config, **changes)
    memory = CountedScenes(load_index(other.index_json), other)
    assert all(memory.find(scene) is None for scene in load_index(other.index_json).scenes)


def test_other_settings_and_other_scenes_make_other_statistics(config: PreprocessConfig) -> None:
    stats = config.out_dir / "stats.json"
    before = stats.read_bytes()
    one = replace(config, max_scenes=1)
    assert run_preprocess(one).exit_code == 0
    assert len(json.loads(stats.read_bytes())["scenes"]) == 1
    assert run_preprocess(config).exit_code == 0
    assert stats.read_bytes() == before
    clipped = replace(config, normalize=replace(config.normalize, clip_percentiles=(5.0, 95.0)))
    assert run_preprocess(clipped).exit_code == 0
    assert stats.read_bytes() != before
