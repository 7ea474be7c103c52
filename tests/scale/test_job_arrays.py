"""Shards of a job array, at once in one directory, against one run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from s2pipe.dataset.step1_index import load_index
from tests.scale.conftest import Scenes, digests, run

if TYPE_CHECKING:
    from pathlib import Path


# They start dozens of processes, which would make `make test` slow.
pytest.importorskip("distributed", reason="`make test-scale` runs these")


def test_four_shards_at_once_make_what_one_run_makes(scenes: Scenes, serial: Path, tmp_path: Path) -> None:
    shards = [f"{number}/4" for number in range(1, 5)]
    said = run(*(scenes.count(tmp_path, "--shard", shard) for shard in shards))
    assert all("is counted; when all are" in text for text in said)
    assert not (tmp_path / "stats.json").exists()
    run(["stats", "merge", str(tmp_path), "--out", str(tmp_path / "stats.json")])
    run(*(scenes.apply(tmp_path, "--shard", shard) for shard in shards))
    index = json.loads((tmp_path / "meta/step2/index.json").read_text())
    assert len(index["samples"]) == 7
    said = run(*(scenes.patches(tmp_path, "--shard", shard) for shard in shards))
    assert all("without --shard to publish" in text for text in said)
    assert not (tmp_path / "patches/shards.json").exists()
    (summary,) = run(scenes.patches(tmp_path, "--json", "--quiet"))
    assert json.loads(summary)["shards_written"] == 0
    assert digests(tmp_path) == digests(serial)
    assert not list((tmp_path / "patches").glob(".progress"))


def test_two_runs_without_shards_share_the_scenes(scenes: Scenes, serial: Path, tmp_path: Path) -> None:
    said = run(*(scenes.count(tmp_path, "--json", "--quiet"),) * 2)
    assert all(len(json.loads(text)["done"] + json.loads(text)["up_to_date"]) == 7 for text in said)
    done = [json.loads(text)["done"] for text in run(*(scenes.apply(tmp_path, "--json", "--quiet"),) * 2)]
    assert len(done[0]) + len(done[1]) == 7
    assert min(map(len, done)) >= 1
    expected = {name: digest for name, digest in digests(serial).items() if "patches" not in name}
    assert digests(tmp_path) == expected


def test_steps_take_tiles_dates_and_lists(scenes: Scenes, tmp_path: Path) -> None:
    listed = tmp_path / "scenes.txt"
    listed.write_text("T33UWQ/2025-12-20T10:03:19Z\nT33UWP/2025-12-05T10:03:19Z\n")
    root = tmp_path / "root"
    index = ["index", str(scenes.products), "--out", str(root)]
    run([*index, "--tiles", "33UWP", "--dates", "2025-12-06/.."])
    days = ["T33UWP/2025-12-10T10:03:19Z", "T33UWP/2025-12-15T10:03:19Z"]
    assert [str(scene.key) for scene in load_index(root / "meta/step1/index.json").scenes] == days
    run(*([*index, "--shard", f"{number}/3"] for number in (1, 2, 3)))
    assert len(load_index(root / "meta/step1/index.json").scenes) == 7
    out = tmp_path / "out"
    (said,) = run(
        [*scenes.apply(out, "--normalize.mode", "none"), "--scenes", str(listed), "--json", "--quiet"]
    )
    assert json.loads(said)["done"] == ["T33UWP/2025-12-05T10:03:19Z", "T33UWQ/2025-12-20T10:03:19Z"]
    (said,) = run([*scenes.patches(out), "--dates", "2025-12-05", "--json", "--quiet"])
    assert json.loads(said)["failed"] == []
    shards = json.loads((out / "patches/shards.json").read_text())
    assert list(shards["sources"]) == ["T33UWP_20251205T100319Z"]


def test_a_share_without_scenes_is_nothing_to_complain_of(scenes: Scenes, tmp_path: Path) -> None:
    runs = [
        scenes.apply(tmp_path, "--normalize.mode", "none", "--shard", f"{n}/40", "--json") for n in (1, 2)
    ]
    assert all(json.loads(text)["done"] == [] for text in run(*runs))
    (said,) = run([*scenes.apply(tmp_path, "--normalize.mode", "none"), "--tiles", "T01ABC"], expected=2)
    assert "leave none of its scenes" in said
    (said,) = run(["index", str(scenes.products), "--out", str(tmp_path), "--shard", "4/3"], expected=2)
    assert "expected K/N" in said
