"""Samples as later steps load them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from s2pipe.dataset.samples import Labels, load_samples, shared_value
from s2pipe.dataset.scene_key import SceneKey
from s2pipe.errors import ManifestError, MissingInputError
from tests.patches.patchdata import Scene, write_step2

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


def test_rasters_that_are_gone_are_listed(tmp_path: Path) -> None:
    index = write_step2(tmp_path, scenes())
    (tmp_path / scenes()[0].directory / "x.tif").unlink()
    with pytest.raises(MissingInputError, match=r"T33UWQ_20250711T100000Z: .*x\.tif is not on disk"):
        load_samples(index)


def test_an_index_without_samples_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match="lists no sample"):
        load_samples(write_step2(tmp_path, []))


def test_the_value_that_samples_share(tmp_path: Path) -> None:
    samples = load_samples(write_step2(tmp_path, scenes()))
    assert shared_value(samples, "unit", ["dn", "dn"]) == "dn"
    with pytest.raises(ManifestError, match=r"unit: 'b' differs from 'a' of T33UWQ_20250701T100000Z"):
        shared_value(samples, "unit", ["a", "b"])


@pytest.mark.parametrize(
    ("mapping", "clouds"),
    [
        (None, (8, 9, 10)),
        ({4: 0, 8: 1, 9: 1, 10: 2}, (1, 2)),
        ({4: 1, 8: 1, 9: 1}, None),
        ({4: 0}, ()),
    ],
)
def test_labels_that_clouds_became(mapping: dict[int, int] | None, clouds: tuple[int, ...] | None) -> None:
    assert Labels("uint8", 255, (), mapping).cloud_labels() == clouds
