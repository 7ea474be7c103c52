"""Scores that jobs share: each sample is scored by one of them, and all have the same."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from s2pipe.dataset.scene_choice import SceneChoice
from s2pipe.patches.candidates import quality
from s2pipe.patches.candidates.kept_scores import SCORES, KeptScores, portions, put_scores, scores_of
from s2pipe.patches.cfg import PatchConfig, QualityConfig, SplitConfig
from s2pipe.patches.run import run_patches
from tests.patches.patchdata import Scene, write_step2

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("pyarrow")


@pytest.fixture(scope="module")
def step2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    days = ("01", "04", "07", "10")
    scenes = [Scene(sensing=f"2025-07-{day}T10:00:00Z", nodata_right=100, angles=True) for day in days]
    return write_step2(tmp_path_factory.mktemp("step2"), scenes)


def _config(step2: Path, out: Path, shard: str | None = None) -> PatchConfig:
    return PatchConfig(
        step2,
        out,
        patch_size=64,
        quality=QualityConfig(min_valid=0.5),
        split=SplitConfig(0.5, 0.25, 0.25, by="random"),
        num_workers=1,
        only=SceneChoice(shard=shard),
    )


def _outputs(out: Path) -> dict[str, bytes]:
    names = [*out.glob("*/*.tar"), *out.glob("*.parquet"), out / "summary.json", out / "split.json"]
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in names}


def test_jobs_at_once_score_each_sample_once_and_make_what_one_run_makes(
    step2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_patches(_config(step2, tmp_path / "one"))
    scored: list[str] = []
    score = quality._score_sample

    def counting(table, part, sample, settings) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
        scored.append(sample.name)
        score(table, part, sample, settings)

    monkeypatch.setattr(quality, "_score_sample", counting)
    out = tmp_path / "many"
    jobs = [threading.Thread(target=run_patches, args=(_config(step2, out, f"{n}/3"),)) for n in (1, 2, 3)]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    assert len(scored) == len(set(scored)) == 4
    assert len(list((out / SCORES).glob("*.bin"))) == 4
    assert run_patches(_config(step2, out)).shards_written == 0
    assert len(scored) == 4
    assert not (out / SCORES).exists()
    assert _outputs(out) == _outputs(tmp_path / "one")


@pytest.mark.parametrize("damage", ["cut", "changed", "empty", "other settings"])
def test_scores_that_are_not_those_are_made_again(step2: Path, tmp_path: Path, damage: str) -> None:
    run_patches(_config(step2, tmp_path / "one"))
    out = tmp_path / "many"
    first = _config(step2, out, "1/2")
    if damage == "other settings":
        first = replace(first, quality=QualityConfig(min_valid=0.9))
    run_patches(first)
    for path in (out / SCORES).glob("*.bin"):
        data = bytearray(path.read_bytes())
        if damage == "changed":
            data[-1] ^= 1
        path.write_bytes({"cut": data[:-8], "empty": b""}.get(damage, data))
    run_patches(_config(step2, out, "2/2"))
    run_patches(_config(step2, out))
    assert _outputs(out) == _outputs(tmp_path / "one")


def test_a_sample_that_cannot_be_read_is_tried_by_all(step2: Path, tmp_path: Path) -> None:
    copy = write_step2(tmp_path / "step2", [Scene(), Scene(sensing="2025-07-04T10:00:00Z")])
    raster = min(copy.parents[2].glob("processed/*/*/x.tif"))
    raster.write_bytes(raster.read_bytes()[:-10])
    results = [run_patches(_config(copy, tmp_path / "out", shard)) for shard in ("1/2", "2/2", None)]
    assert [result.failed for result in results] == [["T33UWQ_20250701T100000Z"]] * 3


def test_portions_cover_all_samples_once() -> None:
    for count in (0, 1, 7, 256, 1000, 100_000):
        found = portions(count)
        assert [place for portion in found for place in portion] == list(range(count))
        assert max(map(len, found), default=0) <= 64


def test_scores_come_back_bit_by_bit(tmp_path: Path) -> None:
    from s2pipe.patches.candidates.windows import make_table

    places = np.arange(5)
    table, other = (make_table([(places, places)], [places], [1, 2, 3]) for _ in range(2))
    table.valid[:], table.counts[:] = np.linspace(0, 1, 5), np.arange(15).reshape(5, 3)
    part = slice(1, 4)
    put_scores(other, part, scores_of(table, part))
    assert np.array_equal(other.counts[part], table.counts[part])
    assert other.valid[0] == 0
    with pytest.raises(ValueError, match="scores"):
        put_scores(other, part, scores_of(table, part) + b"0")
    KeptScores(tmp_path, "a", table).save(0, part)
    assert KeptScores(tmp_path, "a", other).load(0, part)
    assert not KeptScores(tmp_path, "b", other).load(0, part)
    assert not KeptScores(tmp_path, "a", other).load(0, slice(0, 3))
