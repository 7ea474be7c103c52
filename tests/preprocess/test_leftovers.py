"""What killed runs leave is removed by the next one, but where another run is at work."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from s2pipe.preprocess.cfg import CacheConfig, NormalizeConfig
from s2pipe.preprocess.finish import sample_lock
from s2pipe.preprocess.pixels.cache import StackCache, StackWriter
from s2pipe.preprocess.run import run_preprocess
from s2pipe.raster.grid import Window

if TYPE_CHECKING:
    from tests.conftest import Dataset


def _left(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"half")
    return path


def test_the_next_run_sweeps_what_killed_ones_left(dataset: Dataset, tmp_path: Path) -> None:
    samples = tmp_path / "processed/tile=T33UWQ"
    gone, busy = samples / "sensing=2020-01-01T000000Z", samples / "sensing=2021-01-01T000000Z"
    stats = tmp_path / "stats/train.json"
    swept = [
        _left(gone / ".unfinished-abc/x.tif"),
        _left(gone / ".histogram.abcd_123.npz"),
        _left(samples / "sensing=2025-12-10T100319Z/.unfinished-1/y.tif"),
        _left(tmp_path / "meta/step2/.index.abcd_123.json"),
        _left(stats.with_name(".train.abcd_123.json")),
        _left(stats.with_name(".train.json.histogram.abcd_123.npz")),
        _left(tmp_path / "cache/.0123abcd.abcd_123.dnstack"),
    ]
    kept = [
        _left(busy / ".unfinished-abc/x.tif"),
        _left(gone / ".mine.npz"),
        _left(stats.with_name(".train.abcd_123.yaml")),
        _left(stats.with_name(".other.abcd_123.json")),
    ]
    normalize = NormalizeConfig(mode="compute_only", stats_path=stats, save_histograms=True)
    cache = CacheConfig(enabled=True, dir=tmp_path / "cache")
    config = dataset.config(
        tmp_path, target_grid_ref="B01", l1c_bands=("B01",), normalize=normalize, cache=cache, max_scenes=1
    )
    with sample_lock(tmp_path, Path("other")), sample_lock(tmp_path, busy.relative_to(tmp_path)):
        kept[0].parent.mkdir(exist_ok=True)
        _left(kept[0])
        assert run_preprocess(config).exit_code == 0
        assert run_preprocess(replace(config, normalize=NormalizeConfig())).exit_code == 0
    assert [path for path in swept if path.exists()] == []
    assert [path for path in kept if not path.exists()] == []
    assert run_preprocess(replace(config, normalize=NormalizeConfig())).exit_code == 0
    assert not kept[0].exists()
    assert not kept[0].parent.exists()


def test_an_entry_of_the_cache_that_is_being_written_stays(tmp_path: Path) -> None:
    window = Window(0, 0, 2, 3)
    writer = StackWriter(tmp_path / "a.dnstack", 1, [window])
    left = _left(tmp_path / ".b.abcd_123.dnstack")
    assert StackCache(tmp_path, 10**9).make_room(1)
    assert not left.exists()
    writer.add(np.zeros((1, 2, 3), np.float32))
    writer.finish()
    assert [path.name for path in tmp_path.iterdir()] == ["a.dnstack"]
