"""Which files a configuration asks a scene for, and what is said of those that it lacks."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from s2pipe.dataset.step1_index import Index, Scene, load_index
from s2pipe.preprocess.cfg import AngleAssetConfig, LabelConfig, NormalizeConfig
from s2pipe.preprocess.needs import Needs
from s2pipe.sentinel2 import roles

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Dataset


def asked(dataset: Dataset, tmp_path: Path, **changes: Any) -> list[tuple[tuple[str, ...], bool]]:
    needs = Needs.of(dataset.config(tmp_path, l1c_bands=("B04", "B11"), **changes))
    return [(need.roles, need.is_required) for need in needs.files]


def test_bands_grid_and_metadata_are_asked_for_once(dataset: Dataset, tmp_path: Path) -> None:
    bands = [((roles.l1c_band("B04"),), True), ((roles.l1c_band("B11"),), True)]
    metadata = ((roles.L1C_PRODUCT_METADATA,), True)
    assert asked(dataset, tmp_path) == [*bands, ((roles.L2A_SCL,), True), metadata]
    assert asked(dataset, tmp_path, target_grid_ref="B04", to_toa_reflectance=False) == bands


def test_statistics_need_neither_labels_nor_angles(dataset: Dataset, tmp_path: Path) -> None:
    everything = {
        "labels": LabelConfig(enabled=True),
        "angles": AngleAssetConfig(enabled=True, require_footprints=True),
        "target_grid_ref": "B04",
    }
    plain = asked(dataset, tmp_path, target_grid_ref="B04")
    counted = asked(dataset, tmp_path, **everything, normalize=NormalizeConfig(mode="compute_only"))
    assert counted == plain
    both = asked(dataset, tmp_path, **everything)
    assert ((roles.L2A_SCL,), True) in both
    assert ((roles.L1C_TILE_METADATA, roles.L2A_TILE_METADATA), True) in both
    masks = [need for need in both if roles.l1c_detector_footprint("B04") in need[0]]
    assert masks == [((roles.l1c_detector_footprint("B04"), roles.l2a_detector_footprint("B04")), True)]


@pytest.fixture
def scene(dataset: Dataset) -> tuple[Index, Scene]:
    index = load_index(dataset.index_json)
    return index, index.scenes[0]


def test_files_are_found_with_the_metadata_of_their_tiles(
    dataset: Dataset, scene: tuple[Index, Scene], tmp_path: Path
) -> None:
    index, first = scene
    files = Needs.of(dataset.config(tmp_path, l1c_bands=("B04",))).files_of(first, index)
    assert files.gaps == ()
    assert set(files.by_role) == {roles.l1c_band("B04"), roles.L2A_SCL, roles.L1C_PRODUCT_METADATA}
    assert set(files.tiles) == {"L1C", "L2A"}
    l1c_alone = dataset.config(tmp_path, l1c_bands=("B04",), target_grid_ref="B04")
    assert set(Needs.of(l1c_alone).files_of(first, index).tiles) == {"L1C"}


def test_gaps_name_roles_of_the_manifest_and_files_of_the_disk(
    dataset: Dataset, scene: tuple[Index, Scene], tmp_path: Path
) -> None:
    index, first = scene
    needs = Needs.of(dataset.config(tmp_path, l1c_bands=("B04",), target_grid_ref="B04"))
    elsewhere = replace(index, root=tmp_path)
    gaps = needs.files_of(first, elsewhere).gaps
    assert len(gaps) == 2
    assert all("role l1c." in gap for gap in gaps)
    assert first.files_l1c is not None
    none = replace(first, files_l1c=replace(first.files_l1c, items=()))
    assert needs.files_of(none, index).gaps == (
        f"role {roles.l1c_band('B04')} is not in the manifest",
        f"role {roles.L1C_PRODUCT_METADATA} is not in the manifest",
    )
