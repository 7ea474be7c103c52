"""From manifest and configuration to what is read: methods, scenes, gaps; no pixel is needed."""

from __future__ import annotations

import weakref
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from s2pipe.dataset.step1_index import Index, load_index
from s2pipe.errors import ConfigError, MissingInputError, S2PipeError
from s2pipe.preprocess.cfg import NormalizeConfig
from s2pipe.preprocess.plan import make_plan
from s2pipe.sentinel2 import roles

if TYPE_CHECKING:
    from pathlib import Path

    from s2pipe.dataset.scenes import Scene
    from tests.conftest import Dataset


@pytest.fixture
def index(dataset: Dataset) -> Index:
    return load_index(dataset.index_json)


def without(index: Index, role: str) -> Index:
    """The same with the first scene lacking a role."""
    first, *others = index.scenes
    assert first.files_l1c is not None
    items = tuple(item for item in first.files_l1c.items if item.role != role)
    return replace(index, scenes=(replace(first, files_l1c=replace(first.files_l1c, items=items)), *others))


def test_bands_are_resampled_as_their_pixels_are_larger_or_smaller(
    dataset: Dataset, index: Index, tmp_path: Path
) -> None:
    config = dataset.config(tmp_path, l1c_bands=("B01", "B02", "B11"), downsample_method="average")
    plan = make_plan(index, config)
    assert [scene.key for scene in plan.scenes] == sorted(scene.key for scene in index.scenes)
    assert (plan.incomplete, plan.unreadable) == ((), ())
    scene = plan.scenes[0]
    methods = [band.method for band in scene.stack.bands]
    assert methods == [config.upsample_method, "average", None]
    assert scene.target.shape_yx == (366, 366)
    assert scene.directory == scene.key.sample_dir
    assert [item.role for item in scene.inputs] == sorted(item.role for item in scene.inputs)
    assert {roles.l1c_band("B02"), roles.L2A_SCL} <= {item.role for item in scene.inputs}
    assert (scene.labels, scene.angles, scene.quality, scene.mask) == ((), None, None, None)
    assert scene.counted.masks == ()


def test_a_missing_role_stops_the_run_or_leaves_the_scene_out(
    dataset: Dataset, index: Index, tmp_path: Path
) -> None:
    lacking, config = without(index, roles.l1c_band("B11")), dataset.config(tmp_path)
    with pytest.raises(MissingInputError, match=r"role l1c\.band\.B11 is not in the manifest"):
        make_plan(lacking, config)
    plan = make_plan(lacking, replace(config, skip_incomplete=True))
    assert [scene.key for scene in plan.scenes] == [index.scenes[1].key]
    (left,) = plan.incomplete
    assert left.key == index.scenes[0].key
    assert "B11" in left.reason


def test_only_wanted_scenes_are_planned_and_unknown_ones_are_refused(
    dataset: Dataset, index: Index, tmp_path: Path
) -> None:
    listed = tmp_path / "scenes.txt"
    key = index.scenes[1].key
    normalize = NormalizeConfig(mode="compute_only", stats_path=tmp_path / "s.json", scenes=listed)
    config = dataset.config(tmp_path, normalize=normalize)
    listed.write_text(f"{key}\n")
    assert [scene.key for scene in make_plan(index, config).scenes] == [key]
    listed.write_text(f"{key}\nT01AAA/2025-01-01T00:00:00Z\n")
    with pytest.raises(ConfigError, match=r"T01AAA.* is not a scene of this document"):
        make_plan(index, config)
    with pytest.raises(S2PipeError, match="there is no scene to process"):
        make_plan(replace(index, scenes=()), dataset.config(tmp_path))


def test_a_raster_that_cannot_be_opened_fails_its_scene_alone(
    dataset: Dataset, index: Index, tmp_path: Path
) -> None:
    first = index.scenes[0]
    assert first.files_l1c is not None
    (tmp_path / "cut.jp2").write_bytes(b"\0" * 50)
    items = tuple(
        replace(item, path=str(tmp_path / "cut.jp2"), size=None, checksum=None)
        if item.role == roles.l1c_band("B02")
        else item
        for item in first.files_l1c.items
    )
    damaged = replace(first, files_l1c=replace(first.files_l1c, items=items))
    changed = replace(index, scenes=(damaged, index.scenes[1]), allow_absolute=True)
    plan = make_plan(changed, dataset.config(tmp_path))
    assert [scene.key for scene in plan.scenes] == [index.scenes[1].key]
    (left,) = plan.unreadable
    assert left.key == first.key
    assert "cut.jp2" in left.reason


def test_scenes_are_let_go_of_one_by_one(dataset: Dataset, tmp_path: Path) -> None:
    """With its files, a scene takes five times the memory of its plan."""
    config = dataset.config(tmp_path, target_grid_ref="B01")
    seen: list[weakref.ref[Scene]] = []
    left: list[int] = []

    def known(scene: Scene) -> None:
        left.append(sum(earlier() is not None for earlier in seen))
        seen.append(weakref.ref(scene))

    plan = make_plan(load_index(config.index_json), config, known)
    assert len(plan.scenes) == 2
    assert left == [0, 0]
