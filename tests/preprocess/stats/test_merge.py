"""Histograms that several processes add up give the same statistics, and the same errors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from s2pipe.errors import ManifestError, S2PipeError
from s2pipe.preprocess.stats import merge
from s2pipe.preprocess.stats.histogram import save_histogram
from s2pipe.preprocess.stats.merge import merge_to_stats
from tests.preprocess.stats.stats_support import histogram_of

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    monkeypatch.setattr(merge, "_PART", 3)
    monkeypatch.setattr(merge, "_FEW_PARTS", 1)
    rng = np.random.default_rng(1)
    made = [tmp_path / f"{day}.npz" for day in range(1, 9)]
    for day, path in enumerate(made, 1):
        save_histogram(path, histogram_of(rng.integers(0, 1000, (2, 50)), day))
    return made


def test_processes_add_up_the_same(paths: list[Path], tmp_path: Path) -> None:
    for name, num_workers in (("one", 1), ("two", 2)):
        stats = merge_to_stats(paths, tmp_path / name / "stats.json", (1.0, 99.0), num_workers=num_workers)
        assert len(stats.scenes) == 8
    one, two = ((tmp_path / name / "stats.json").read_bytes() for name in ("one", "two"))
    assert one == two
    assert merge._sum_of_parts(paths, 2) is not None
    assert merge._sum_of_parts(paths[:3], 2) is None, "so few take less time than starting processes"


def test_what_is_wrong_is_said_as_by_one_process(paths: list[Path], tmp_path: Path) -> None:
    save_histogram(paths[6], histogram_of(np.ones((2, 50), np.int64), 2))  # of the scene of another part
    with pytest.raises(S2PipeError, match=r"2025-12-02.* is in more than one histogram"):
        merge_to_stats(paths, tmp_path / "stats.json", None, num_workers=2)
    paths[4].write_bytes(paths[4].read_bytes()[:-200])
    with pytest.raises(ManifestError, match="is not a histogram"):
        merge_to_stats(paths, tmp_path / "stats.json", None, num_workers=2)
    assert not (tmp_path / "stats.json").exists()
