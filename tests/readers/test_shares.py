"""Whole shards for processes and workers: they divide equally, or the numbers that would fit are named."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from s2pipe.errors import ConfigError
from s2pipe.patches.cfg import ShardConfig, SplitConfig
from s2pipe.patches.run import run_patches
from s2pipe.readers.shares import check_shares
from tests.patches.patchdata import Scene, write_step2
from tests.patches.test_shards import config

if TYPE_CHECKING:
    from pathlib import Path


def test_shards_divide_equally_or_are_refused(tmp_path: Path) -> None:
    index = write_step2(tmp_path, [Scene(shape_yx=(96, 224))])
    options = {"patch_size": 32, "split": SplitConfig(1.0, 0.0, 0.0)}
    made = {}
    for name, shards in (
        ("any", ShardConfig(max_count=4)),
        ("equal", ShardConfig(max_count=4, equal_counts=True, multiple_of=6)),
    ):
        run_patches(config(index, tmp_path / name, shards=shards, **options))
        made[name] = tmp_path / name / "shards.json"
    with pytest.raises(ConfigError) as caught:
        check_shares(made["any"], "train", 2, 2)
    assert "6 shard(s) of train do not divide among 2 process(es) with 2 worker(s) each" in str(caught.value)
    assert "shards.multiple_of: 4" in str(caught.value)
    assert "6, 3, 2, 1" in str(caught.value)
    with pytest.raises(ConfigError, match=r"hold 3 to 4 items; make shards with shards.equal_counts: true"):
        check_shares(made["any"], "train", 3, 2)
    check_shares(made["equal"], "train", 3, 2)
    with pytest.raises(ConfigError, match=r"0 shard\(s\) of val"):
        check_shares(made["equal"], "val", 1)
    with pytest.raises(ConfigError, match="expected one of train, val, test"):
        check_shares(made["equal"], "all", 1)
