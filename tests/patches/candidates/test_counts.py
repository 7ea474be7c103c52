"""What --plan says of each split, against counts made pixel by pixel; and its warnings."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

import numpy as np
import pytest

from s2pipe.cli import main
from s2pipe.ground.split import SPLITS, load_plan
from s2pipe.patches.cfg import SplitConfig
from s2pipe.patches.run import plan_patches, run_patches
from tests.patches.patchdata import Scene, write_step2
from tests.patches.test_shards import config

if TYPE_CHECKING:
    from pathlib import Path

SCENES = [
    Scene(shape_yx=(150, 210)),
    Scene(shape_yx=(150, 210), sensing="2025-08-03T10:00:00Z"),
    Scene("T33UVQ", shape_yx=(100, 100), ulx=499980.0 - 40_000),
]


@pytest.mark.parametrize(("stride", "edges"), [(None, "drop"), (12, "pad")])
def test_counts_are_those_of_every_window_and_pixel(tmp_path: Path, stride: int | None, edges: str) -> None:
    index = write_step2(tmp_path, SCENES)
    wanted = config(
        index,
        tmp_path / "patches",
        patch_size=32,
        stride=stride,
        edges=edges,
        split=SplitConfig(0.6, 0.2, 0.2, cell_m=2000),
    )
    planned = plan_patches(wanted)
    document = json.loads((tmp_path / "patches" / "split.json").read_text())
    assert document["counts"] == planned.split_counts == planned.summary()["split_counts"]
    assert main(["validate", str(tmp_path / "patches" / "split.json"), "-q"]) == 0
    run = run_patches(wanted)
    assert run.split_counts == planned.split_counts == run_patches(wanted).split_counts
    assert (
        json.loads((tmp_path / "patches" / "summary.json").read_text())["split"]["counts"] == run.split_counts
    )

    import pyarrow.parquet as pq

    rows = pq.read_table(tmp_path / "patches" / "patches.parquet").to_pylist()
    assert sum(found["candidates"] for found in run.split_counts.values()) == len(rows)
    for name in (*SPLITS, "none"):
        chosen = [
            row
            for row in rows
            if (row["reject_reason"] == "split_border") == (name == "none") and name in ("none", row["split"])
        ]
        km2 = 0.0
        for tile, shape in (("T33UWQ", (150, 210)), ("T33UVQ", (100, 100))):
            seen = np.zeros(shape, bool)
            for row in chosen:
                if row["tile_id"] == tile:
                    seen[row["row"] : row["row"] + 32, row["col"] : row["col"] + 32] = True
            km2 += seen.sum() * 20.0 * 20.0 / 1e6
        assert run.split_counts[name] == {
            "scenes": len({(row["tile_id"], row["sensing_start_utc"]) for row in chosen}),
            "cells": len({row["cell_id"] for row in chosen}),
            "candidates": len(chosen),
            "km2": pytest.approx(km2, abs=1e-3),
        }


def warned(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if record.levelno == logging.WARNING]


def test_an_empty_split_and_one_far_from_its_share_are_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    index = write_step2(tmp_path, SCENES[:1])
    plan_patches(config(index, tmp_path / "one", patch_size=32, split=SplitConfig(0.5, 0.3, 0.2)))
    empty = [line for line in warned(caplog) if "is empty" in line]
    assert len(empty) == 2
    assert "split.cell_m (now 20000)" in empty[0]
    assert any(
        "split val has 20 of 20 candidates (100.0%), and 30.0% were asked for" in line
        for line in warned(caplog)
    )
    caplog.clear()
    plan_patches(config(index, tmp_path / "all", patch_size=32, split=SplitConfig(1.0, 0.0, 0.0)))
    assert warned(caplog) == []


def test_a_list_asks_for_splits_but_not_for_shares(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    index = write_step2(tmp_path, SCENES)
    listed = tmp_path / "tiles.json"
    listed.write_text(json.dumps({"tiles": {"T33UWQ": "train", "T33UVQ": "train", "T31TCJ": "test"}}))
    split = SplitConfig(0.9, 0.0, 0.1, by="file", file=listed)
    plan_patches(config(index, tmp_path / "out", patch_size=32, split=split))
    (line,) = warned(caplog)
    assert line.startswith("split test is empty")
    assert "split.file" in line
    assert load_plan(tmp_path / "out" / "split.json").by == "file"
