"""Headers of rasters in the index: what opening the file says, as long as it is the same file."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from s2pipe.dataset.headers import raster_header, with_headers
from s2pipe.dataset.step1_index import Asset, Index, Scene, load_index, merge
from s2pipe.dataset.stored_raster import StoredRaster
from s2pipe.errors import RasterError
from s2pipe.raster.formats import JPEG2000
from s2pipe.raster.reader import inspect_raster

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Dataset

ROLES = ("l1c.band.B02", "l1c.band.B01", "l2a.scl_20m", "l2a.band.B8A_20m")


@pytest.fixture
def copied(dataset: Dataset, tmp_path: Path) -> Index:
    """The dataset with real files, which a test may change."""
    index = load_index(dataset.index_json)
    for asset in index.scenes[0].assets:
        (tmp_path / asset.path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(index.file(asset).path, tmp_path / asset.path)
    return replace(index, root=tmp_path)


def asset_of(scene: Scene, role: str) -> Asset:
    asset = scene.asset(role)
    assert asset is not None
    return asset


@pytest.mark.parametrize("role", ROLES)
def test_the_index_says_what_opening_says(copied: Index, role: str) -> None:
    asset = asset_of(copied.scenes[0], role)
    file = copied.file(asset)
    opened = inspect_raster(file.gdal_path, JPEG2000)
    document = asset.to_document()
    assert document["proj:shape"] == list(opened.grid.shape_yx)
    assert document["proj:transform"][:3] == [opened.grid.geotransform[n] for n in (1, 2, 0)]
    assert Asset.from_document(document) == asset
    file.path.write_bytes(bytes(file.size or 0))  # same size: the checksum is compared before pixels are used
    assert raster_header(file, asset, by_checksum=True) == opened
    with pytest.raises(RasterError):
        raster_header(file, asset, by_checksum=False)


def test_another_size_or_time_is_opened(copied: Index) -> None:
    asset = asset_of(copied.scenes[0], "l1c.band.B02")
    file = copied.file(asset)
    assert asset.raster is not None
    other = replace(asset, raster=replace(asset.raster, shape_yx=(1, 1)))
    assert raster_header(file, other, by_checksum=False).grid.shape_yx == (1, 1)
    os.utime(file.path, ns=(1, 1))
    assert raster_header(file, other, by_checksum=False).grid.shape_yx == asset.raster.shape_yx
    assert raster_header(file, other, by_checksum=True).grid.shape_yx == (1, 1)
    assert raster_header(file, replace(other, checksum=None), by_checksum=True).grid.shape_yx != (1, 1)
    assert raster_header(file, replace(other, size=1), by_checksum=True).grid.shape_yx != (1, 1)


def test_a_damaged_raster_has_no_header(copied: Index) -> None:
    asset = asset_of(copied.scenes[0], "l1c.band.B02")
    path = copied.file(asset).path
    path.write_bytes(path.read_bytes()[:-20])
    scene = with_headers(copied.scenes[0], copied.root)
    assert asset_of(scene, "l1c.band.B02").raster is None
    assert asset_of(scene, "l1c.band.B03").raster is not None


def test_who_knows_no_headers_does_not_drop_them(copied: Index) -> None:
    scene = copied.scenes[0]
    assert scene.files_l1c is not None
    plain = replace(
        scene.files_l1c, items=tuple(replace(item, raster=None) for item in scene.files_l1c.items)
    )
    new = replace(copied, scenes=(replace(scene, files_l1c=plain),))
    assert merge(copied, new).scenes[0] == scene
    grown = replace(plain, items=tuple(replace(item, size=7) for item in plain.items))
    merged = merge(copied, replace(copied, scenes=(replace(scene, files_l1c=grown),))).scenes[0]
    assert all(item.raster is None for item in merged.files_l1c.items)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "change",
    [
        {"proj:code": "IAU:30100"},
        {"proj:code": None},
        {"proj:shape": None},
        {"raster": None},
        {"proj:transform": []},
    ],
)
def test_what_others_say_in_part_is_kept_and_not_used(copied: Index, change: dict[str, object]) -> None:
    document = {**asset_of(copied.scenes[0], "l1c.band.B02").to_document(), **change}
    assert StoredRaster.from_document(document) is None
    assert Asset.from_document(document).to_document() == document
