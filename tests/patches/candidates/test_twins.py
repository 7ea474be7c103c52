"""Of patches that two tiles cut from the same ground at one time, one is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from s2pipe.dataset.samples import load_samples
from s2pipe.patches.candidates.twins import drop_duplicates
from s2pipe.patches.candidates.windows import grid_windows, make_table, reason_code
from s2pipe.patches.cfg import PatchConfig
from tests.patches.patchdata import Scene, write_step2

if TYPE_CHECKING:
    from pathlib import Path

OVERLAP = 64


def dropped(root: Path, second: Scene) -> np.ndarray:
    """Dropped windows of both tiles (2, rows, columns); the second one lies east of the first."""
    index = write_step2(root, [Scene("T33UWQ", shape_yx=(96, 128)), second])
    config = PatchConfig(index, root / "out", patch_size=32)
    samples = load_samples(index)
    windows = [grid_windows(sample.target, config) for sample in samples]
    table = make_table(windows, [np.zeros(len(row), np.int64) for row, _ in windows], [])
    drop_duplicates(table, samples, config)
    assert set(table.reason.tolist()) <= {0, reason_code("duplicate")}
    return ~table.kept.reshape(2, 3, 4)


def east(tile_id: str = "T33UXQ", sensing: str = "2025-07-01T10:00:00Z") -> Scene:
    return Scene(tile_id, sensing, shape_yx=(96, 128), ulx=Scene().ulx + (128 - OVERLAP) * 20.0)


def test_the_earlier_tile_keeps_its_patches(tmp_path: Path) -> None:
    found = dropped(tmp_path, east())
    assert not found[0].any()
    assert found[1].tolist() == [[True, True, False, False]] * 3


def test_another_time_is_no_twin(tmp_path: Path) -> None:
    assert not dropped(tmp_path, east(sensing="2025-07-06T10:00:00Z")).any()


def test_the_order_of_names_decides_and_not_that_of_places(tmp_path: Path) -> None:
    found = dropped(tmp_path, east("T32UXQ"))
    assert not found[0].any()  # samples are in the order of their tiles
    assert found[1].tolist() == [[False, False, True, True]] * 3
