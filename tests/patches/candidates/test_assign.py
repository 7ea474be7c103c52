"""Splits planned over scenes: by cells, tiles, time and lists."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s2pipe.dataset.scene_key import SceneKey
from s2pipe.errors import ConfigError, ManifestError
from s2pipe.ground.cells import Rectangles
from s2pipe.ground.projection import lonlat_to_utm, utm_to_lonlat
from s2pipe.ground.split import BORDER, OTHER_TIME, SPLITS, load_plan, save_plan
from s2pipe.patches.candidates.assign import SceneGround, plan_split
from s2pipe.patches.cfg import SplitConfig
from tests.ground.ground_support import inner_points

if TYPE_CHECKING:
    from pathlib import Path


def grounds(*tiles: tuple[str, str, int, float, float], side: float = 109_800.0) -> list[SceneGround]:
    return [SceneGround(SceneKey(t, when), epsg, (x, y, x + side, y + side)) for t, when, epsg, x, y in tiles]


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 200), st.sampled_from([0.0, 500.0]))
def test_a_split_by_tiles_keeps_overlapping_tiles_apart(seed: int, buffer_m: float) -> None:
    day = "2025-07-01T10:00:00Z"
    x_far, y_far = (
        float(v[0])
        for v in lonlat_to_utm(*utm_to_lonlat(np.array([699_960.0]), np.array([5_500_000.0]), 32632), 32633)
    )
    seen = grounds(
        ("T32UQA", day, 32632, 600_000.0, 5_490_240.0),
        ("T32UQV", day, 32632, 600_000.0, 5_390_220.0),
        ("T33UTQ", day, 32633, x_far - 5000.0, y_far - 50_000.0),
    )
    plan = plan_split(SplitConfig(0.4, 0.3, 0.3, by="tile", seed=seed, buffer_m=buffer_m), seen)
    patches = {}
    for ground in seen:
        left, bottom, *_ = ground.bounds
        x, y = np.meshgrid(left + np.arange(20) * 5120.0, bottom + np.arange(20) * 5120.0)
        item = Rectangles(ground.epsg, x.ravel(), y.ravel(), x.ravel() + 5120, y.ravel() + 5120)
        patches[ground.key.tile_id] = (item, plan.codes(ground.key, item))
    for one, (ground, codes) in patches.items():
        assert set(codes.tolist()) <= {plan.tile_code(one), BORDER}
        for other, (rivals, rival_codes) in patches.items():
            if plan.tile_code(other) == plan.tile_code(one):
                continue
            grown = rivals.grown(buffer_m * 0.98)
            x, y = lonlat_to_utm(*inner_points(ground, 7), rivals.epsg)
            x, y = x[:, codes >= 0], y[:, codes >= 0]
            for place in np.flatnonzero(rival_codes >= 0):
                inside = (x > grown.left[place]) & (x < grown.right[place])
                inside &= (y > grown.bottom[place]) & (y < grown.top[place])
                assert not inside.any()


def test_a_split_by_time_divides_days_in_order_and_ground_as_well() -> None:
    days = [f"2025-0{m}-1{d}T10:00:00Z" for m in range(1, 6) for d in range(2)]
    seen = grounds(*(("T33UWQ", day, 32633, 499_980.0, 5_390_220.0) for day in days))
    plan = plan_split(SplitConfig(0.6, 0.2, 0.2, by="time"), seen)
    assert [plan.day_code(SceneKey("T33UWQ", day)) for day in days] == [0] * 6 + [1] * 2 + [2] * 2
    x, y = np.meshgrid(499_980.0 + np.arange(40) * 2560.0, 5_390_220.0 + np.arange(40) * 2560.0)
    ground = Rectangles(32633, x.ravel(), y.ravel(), x.ravel() + 2560, y.ravel() + 2560)
    by_day = {day: plan.codes(SceneKey("T33UWQ", day), ground) for day in days}
    in_split = np.array([by_day[day] for day in days])
    for place in range(in_split.shape[1]):  # no ground in two splits, at whatever time
        assert len({code for code in in_split[:, place].tolist() if code >= 0}) <= 1
    assert (in_split == OTHER_TIME).any()
    loose = replace(plan, same_ground=True)
    assert set(loose.codes(SceneKey("T33UWQ", days[-1]), ground).tolist()) == {2}


def test_a_plan_is_read_back_as_it_was_written_and_edits_are_noticed(tmp_path: Path) -> None:
    seen = grounds(("T33UWQ", "2025-07-01T10:00:00Z", 32633, 499_980.0, 5_390_220.0))
    for by in ("cell", "tile", "time"):
        plan = plan_split(SplitConfig(by=by), seen)
        save_plan(tmp_path / "split.json", plan)
        assert load_plan(tmp_path / "split.json") == plan
    plan = plan_split(SplitConfig(), seen)
    document = plan.to_document()
    cell, name = next(iter(document["cells"].items()))
    document["cells"][cell] = next(other for other in SPLITS if other != name)
    (tmp_path / "split.json").write_text(json.dumps(document))
    with pytest.raises(ManifestError, match="by: file"):
        load_plan(tmp_path / "split.json")
    with pytest.raises(ConfigError, match="--plan"):
        load_plan(tmp_path / "none.json")


def test_listed_cells_and_tiles_decide_and_the_rest_is_in_no_split(tmp_path: Path) -> None:
    seen = grounds(("T33UWQ", "2025-07-01T10:00:00Z", 32633, 499_980.0, 5_390_220.0))
    drawn = plan_split(SplitConfig(), seen)
    cells = dict.fromkeys(list(drawn.cells)[:8], "val")
    listed = tmp_path / "cells.json"
    listed.write_text(json.dumps({"cells": cells}))
    plan = plan_split(SplitConfig(by="file", file=listed), seen)
    numbers = np.array([plan.grid.number(cell) for cell in drawn.cells])
    codes = plan.cell_codes(numbers)
    assert [code >= 0 for code in codes.tolist()] == [cell in cells for cell in drawn.cells]
    listed.write_text(json.dumps({"tiles": {"T33UWQ": "test", "T01AAA": "train"}}))
    plan = plan_split(SplitConfig(by="file", file=listed), seen)
    assert (plan.tile_code("T33UWQ"), plan.tile_code("T99ZZZ")) == (2, -3)
    for wrong in ({"tiles": {"T": "training"}}, {"cells": {}}, {"cells": {}, "tiles": {}}, []):
        listed.write_text(json.dumps(wrong))
        with pytest.raises(ConfigError):
            plan_split(SplitConfig(by="file", file=listed), seen)
