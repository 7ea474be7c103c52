"""What a sample's fingerprint holds: everything that pixels depend on, and nothing else."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from s2pipe.dataset.step1_index import load_index
from s2pipe.preprocess.cfg import LabelConfig, PreprocessConfig
from s2pipe.preprocess.plan import make_plan
from s2pipe.preprocess.record import (
    histogram_fingerprint,
    pixel_versions,
    sample_fingerprint,
    stack_fingerprint,
)
from s2pipe.preprocess.run import run_preprocess
from s2pipe.raster.capabilities import gdal_version, jpeg2000_driver

if TYPE_CHECKING:
    from s2pipe.preprocess.scene_plan import ScenePlan
    from tests.conftest import Dataset

ROLE = "l1c.band.B11"


def plan_of(config: PreprocessConfig) -> ScenePlan:
    return make_plan(load_index(config.index_json), config).scenes[0]


def fingerprints(config: PreprocessConfig) -> tuple[str, str, str]:
    plan = plan_of(config)
    return (
        sample_fingerprint(plan, config, None),
        histogram_fingerprint(plan, config),
        stack_fingerprint(plan, config),
    )


@pytest.fixture
def copy(dataset: Dataset, tmp_path: Path) -> PreprocessConfig:
    """A configuration over a copy of the dataset, with other times of change and real files."""
    shutil.copytree(dataset.root, tmp_path / "copy")
    for path in (tmp_path / "copy" / "raw").rglob("*"):
        os.utime(path, ns=(1, 1))
    config = dataset.config(tmp_path / "elsewhere", target_grid_ref="B11", l1c_bands=("B11", "B02"))
    return replace(config, index_json=tmp_path / "copy/meta/step1/index.json")


def change_items(config: PreprocessConfig, role: str, **changes: Any) -> None:
    document = json.loads(config.index_json.read_text())
    for scene in document["scenes"]:
        for item in scene["files_l1c"]["items"]:
            if item["role"] == role:
                item.update(changes)
    config.index_json.write_text(json.dumps(document))


def test_a_copied_dataset_has_the_same_fingerprints(dataset: Dataset, copy: PreprocessConfig) -> None:
    original = replace(copy, index_json=dataset.index_json, out_dir=Path("out"))
    assert fingerprints(original) == fingerprints(copy)


def test_another_checksum_is_another_input(copy: PreprocessConfig) -> None:
    before = fingerprints(copy)
    change_items(copy, ROLE, checksum={"algorithm": "MD5", "value": "0" * 32})
    assert all(a != b for a, b in zip(before, fingerprints(copy), strict=True))


def test_without_a_checksum_the_time_of_change_counts(copy: PreprocessConfig) -> None:
    change_items(copy, ROLE, checksum=None)
    before = fingerprints(copy)
    os.utime(next((copy.index_json.parents[2] / "raw").rglob("*_20251210T100319_B11.jp2")), ns=(2, 2))
    assert all(a != b for a, b in zip(before, fingerprints(copy), strict=True))


def test_versions_count_where_pixels_depend_on_them(copy: PreprocessConfig) -> None:
    plan = plan_of(copy)
    assert pixel_versions(plan) == {}  # averaged by a kernel
    assert pixel_versions(plan_of(replace(copy, downsample_method="cubic"))) == {"gdal": gdal_version()}
    labels = LabelConfig(enabled=True)
    assert pixel_versions(plan_of(replace(copy, labels=labels))) == {}
    on_10m = replace(copy, target_grid_ref="B02", l1c_bands=("B02",), labels=labels)
    assert pixel_versions(plan_of(on_10m)) == {"gdal": gdal_version()}
    band, *others = plan.stack.bands
    lossy = replace(band, raster=replace(band.raster, is_exact=False))
    mixed = replace(plan, stack=replace(plan.stack, bands=(lossy, *others)))
    expected = {"gdal": gdal_version(), "jpeg2000_driver": jpeg2000_driver()}
    assert pixel_versions(mixed) == expected
    assert sample_fingerprint(mixed, copy, None) != sample_fingerprint(plan, copy, None)


def test_a_changed_input_of_a_complete_sample_is_not_passed_over(copy: PreprocessConfig) -> None:
    config = replace(copy, max_scenes=1)
    assert len(run_preprocess(config).done) == 1
    band = next((copy.index_json.parents[2] / "raw").rglob("*_20251210T100319_B11.jp2"))
    os.utime(band, ns=(3, 3))
    assert len(run_preprocess(config).up_to_date) == 1  # the same content at another time
    data = bytearray(band.read_bytes())
    data[-100] ^= 1
    band.write_bytes(data)
    result = run_preprocess(config)
    assert [item.error.splitlines()[0] for item in result.failed] == [
        "1 input file(s) are not as the index says:"
    ]


def test_times_count_where_checksums_are_not_checked(copy: PreprocessConfig) -> None:
    by_size = replace(copy, verify_inputs="size")
    before = fingerprints(by_size)
    assert before[0] != fingerprints(copy)[0]
    os.utime(next((copy.index_json.parents[2] / "raw").rglob("*_20251210T100319_B11.jp2")), ns=(2, 2))
    assert all(a != b for a, b in zip(before, fingerprints(by_size), strict=True))
