"""Samples as later steps load them."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from s2pipe.dataset.agreement import shared_labels, shared_quality, shared_value
from s2pipe.dataset.label_meaning import LabelMeaning
from s2pipe.dataset.proof import write_sealed
from s2pipe.dataset.sample_proof import check_files
from s2pipe.dataset.sample_records import SharedValues
from s2pipe.dataset.samples import load_samples, load_targets
from s2pipe.dataset.scene_choice import SceneChoice
from s2pipe.dataset.scene_key import SceneKey
from s2pipe.dataset.step2_index import update_index
from s2pipe.errors import ManifestError, MissingInputError, RasterError
from s2pipe.raster.grid import Grid
from tests.patches.patchdata import LAND_COVER, SCENE_CLASSES, Scene, write_step2

if TYPE_CHECKING:
    from pathlib import Path

LATE, EARLY = "2025-07-11T10:00:00Z", "2025-07-01T10:00:00Z"


def scenes(**changes: object) -> list[Scene]:
    return [Scene(sensing=day, shape_yx=(20, 30), **changes) for day in (LATE, EARLY)]


def test_samples_are_in_the_order_of_tile_and_time(tmp_path: Path) -> None:
    samples = load_samples(write_step2(tmp_path, scenes()))
    assert [sample.key for sample in samples] == [SceneKey("T33UWQ", EARLY), SceneKey("T33UWQ", LATE)]
    assert [sample.name for sample in samples] == ["T33UWQ_20250701T100000Z", "T33UWQ_20250711T100000Z"]
    first = samples[0]
    assert first.grid == scenes()[1].grid
    assert (first.x_bands, first.mask_channels) == (("B02", "B03", "valid"), (2,))
    assert first.labels is not None
    assert first.angles_path is None
    assert load_samples(write_step2(tmp_path, scenes()), limit=1) == samples[:1]


def test_places_are_those_of_the_index_and_else_of_the_samples(tmp_path: Path) -> None:
    index = write_step2(tmp_path, scenes())
    samples = load_samples(index)
    placed = [(sample.key, sample.target) for sample in samples]
    assert load_targets(index) == placed  # written by others, without grids
    update_index(tmp_path, [], {})
    lines = index.read_text().splitlines()
    assert load_targets(index) == placed
    for sample in samples:
        (sample.x_path.parent / "meta.json").unlink()
    assert load_targets(index) == placed  # of an index with grids nothing else is read
    assert load_targets(index, SceneChoice(dates=("2025-07-11",))) == placed[1:]
    changed = [line.replace("20.0", "30.0") if '"grid"' in line else line for line in lines]
    index.write_text("\n".join(changed) + "\n")
    with pytest.raises(ManifestError, match="was changed since it was written"):
        load_targets(index)


def test_samples_keep_one_of_what_they_have_in_common(tmp_path: Path) -> None:
    first, second = load_samples(write_step2(tmp_path, scenes(quality=True, angles=True)))
    for name in ("x", "y", "angles", "quality"):
        assert second.rasters[name].grid is first.grid
        assert second.rasters[name].band_names is first.rasters[name].band_names
    assert second.normalization is first.normalization
    assert second.labels is not None
    assert first.labels is not None
    assert second.labels.meaning is first.labels.meaning
    assert second.quality is not None
    assert first.quality is not None
    assert second.quality.meaning is first.quality.meaning
    assert second.quality.path != first.quality.path


def test_equal_grids_that_are_written_otherwise_stay_what_they_are() -> None:
    shared = SharedValues()
    whole = Grid("", (0, 20, 0, 0, 0, -20), (1, 1))
    floats = Grid("", (0.0, 20.0, 0.0, 0.0, 0.0, -20.0), (1, 1))
    assert whole == floats
    assert shared.grid(whole) is whole
    assert shared.grid(floats) is floats
    assert shared.grid(replace(floats)) is floats


def test_rasters_that_are_gone_are_listed(tmp_path: Path) -> None:
    index = write_step2(tmp_path, scenes())
    (tmp_path / scenes()[0].directory / "x.tif").unlink()
    with pytest.raises(MissingInputError, match=r"T33UWQ_20250711T100000Z: .*x\.tif is not on disk"):
        load_samples(index)


def test_an_index_without_samples_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match="lists no sample"):
        load_samples(write_step2(tmp_path, []))


@pytest.mark.parametrize("name", ["x_path", "y_path", "meta_path"])
def test_no_sample_lends_its_files_to_another(tmp_path: Path, name: str) -> None:
    index = write_step2(tmp_path, scenes())
    document = json.loads(index.read_text())
    first, second = document["samples"]
    first[name] = second[name]
    index.write_text(json.dumps(document))
    with pytest.raises(ManifestError, match=r"samples\[T33UWQ/2025-07-11T10:00:00Z\]\."):
        load_samples(index)


def test_documents_that_changed_since_they_were_written_are_refused(tmp_path: Path) -> None:
    index = write_step2(tmp_path, scenes())
    for path in (tmp_path / scenes()[0].directory / "meta.json", index):
        write_sealed(path, json.loads(path.read_text()))
        assert load_samples(index)
        path.write_text(path.read_text().replace("33UWQ", "33UWP", 1))
        with pytest.raises(ManifestError, match="was changed since it was written"):
            load_samples(index)
        path.write_text(path.read_text().replace("33UWP", "33UWQ", 1))


@pytest.mark.parametrize("name", ["x.tif", "y.tif"])
def test_a_flipped_bit_of_a_raster_is_found(tmp_path: Path, name: str) -> None:
    late = load_samples(write_step2(tmp_path, scenes()))[1]
    check_files(late.root, late.files)
    path = tmp_path / scenes()[0].directory / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(RasterError, match=rf"{name}: expected SHA-256"):
        check_files(late.root, late.files)


def test_the_value_that_samples_share(tmp_path: Path) -> None:
    samples = load_samples(write_step2(tmp_path, scenes()))
    assert shared_value(samples, "unit", ["dn", "dn"]) == "dn"
    with pytest.raises(ManifestError, match=r"unit: 'b' differs from 'a' of T33UWQ_20250701T100000Z"):
        shared_value(samples, "unit", ["a", "b"])


def test_labels_with_and_without_a_legend_share_it(tmp_path: Path) -> None:
    bare = replace(LAND_COVER, names={20: "shrubland"}, colors={})
    days = [
        Scene(meaning=LAND_COVER),
        Scene(sensing="2025-08-01T10:00:00Z", meaning=bare),
        Scene(sensing="2025-09-01T10:00:00Z", meaning=replace(LAND_COVER, names={10: "trees"})),
    ]
    samples = load_samples(write_step2(tmp_path, days))
    (labels,) = shared_labels(samples[:2])
    assert labels.meaning == replace(LAND_COVER, names={10: "tree cover", 20: "shrubland"})
    with pytest.raises(ManifestError, match=r"class_names: label 10 is 'trees', and 'tree cover' in another"):
        shared_labels(samples)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"meaning": replace(SCENE_CLASSES, source="another map")}, "labels.meaning.source"),
        ({"meaning": replace(SCENE_CLASSES, conditions={"cloud": (9,)})}, "labels.meaning"),
        ({"labels": False}, "labels"),
        ({"mapping": {4: 1}}, "labels.mapping"),
    ],
)
def test_labels_that_mean_something_else_are_refused(tmp_path: Path, change: dict, what: str) -> None:
    other = replace(Scene(sensing="2025-08-01T10:00:00Z"), **change)
    samples = load_samples(write_step2(tmp_path, [Scene(), other]))
    with pytest.raises(ManifestError, match=rf"{what}: .* differs from"):
        shared_labels(samples)


def test_quality_that_only_some_samples_have_is_refused(tmp_path: Path) -> None:
    samples = load_samples(
        write_step2(tmp_path, [Scene(quality=True), Scene(sensing="2025-08-01T10:00:00Z")])
    )
    with pytest.raises(ManifestError, match=r"quality\.enabled: False differs from True"):
        shared_quality(samples)
    meaning = shared_quality(samples[:1])
    assert meaning is not None
    assert meaning.conditions["cloud"] == (8, 9, 10)
    samples[0].quality.path.unlink()  # type: ignore[union-attr]
    with pytest.raises(MissingInputError, match=r"q\.tif is not on disk"):
        load_samples(tmp_path / "meta" / "step2" / "index.json")


def test_labels_of_unknown_meaning_tell_nothing(tmp_path: Path) -> None:
    """As versions wrote them that did not record the meaning: nothing is taken for an SCL class."""
    index = write_step2(tmp_path, [Scene()])
    (path,) = tmp_path.rglob("meta.json")
    meta = json.loads(path.read_text())
    del meta["labels"]["meaning"]
    path.write_text(json.dumps(meta))
    (sample,) = load_samples(index)
    assert sample.labels is not None
    assert sample.labels.meaning == LabelMeaning("scl", 255)
