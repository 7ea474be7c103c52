"""Files against the sizes and checksums that an index records."""

from __future__ import annotations

import hashlib
import zipfile
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from s2pipe.dataset.assets import Asset, AssetGroup, Checksum
from s2pipe.dataset.scene_key import SceneKey
from s2pipe.dataset.step1_index import Index, Scene, new_index
from s2pipe.dataset.verification import Verification, check_asset, verify_index
from s2pipe.errors import ChecksumError

if TYPE_CHECKING:
    from pathlib import Path

CONTENT = b"<x/>"
MD5 = Checksum("MD5", hashlib.md5(CONTENT, usedforsecurity=False).hexdigest())


def make_index(root: Path) -> Index:
    """Write a plain file and a member of an archive, both of one content."""
    (root / "MTD.xml").write_bytes(CONTENT)
    with zipfile.ZipFile(root / "p.zip", "w") as archive:
        archive.writestr("p.SAFE/manifest.safe", CONTENT)
        archive.writestr("p.SAFE/MTD_TL.xml", CONTENT)
    assets = (
        Asset("l1c.product_metadata", "MTD.xml", size=4, checksum=MD5),
        Asset("l1c.tile_metadata", "p.zip", size=4, checksum=MD5, member="p.SAFE/MTD_TL.xml"),
        Asset("l1c.band.B02", "B02.jp2", planned=True, present=False),
    )
    scene = Scene(SceneKey("T33UWQ", "2025-12-10T10:03:19Z"), files_l1c=AssetGroup("", assets))
    return new_index(root, [scene])


def test_files_that_are_as_recorded_pass(tmp_path: Path) -> None:
    index = make_index(tmp_path)
    assert verify_index(index) == Verification(by_checksum=2)  # what is planned only is not looked for
    findings = [check_asset(asset, index) for asset in index.scenes[0].assets[:2]]
    assert [(item.how, item.fault) for item in findings] == [("checksum", None), ("checksum", None)]


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"<y/>", "expected MD5"), (b"<x/> ", "expected 4 bytes, got 5"), (None, "is not there")],
)
def test_a_file_that_differs_is_named(tmp_path: Path, content: bytes | None, words: str) -> None:
    index = make_index(tmp_path)
    path = tmp_path / "MTD.xml"
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    difference = check_asset(index.scenes[0].assets[0], index).fault
    assert difference is not None
    assert words in difference
    with pytest.raises(ChecksumError, match=words) as caught:
        verify_index(index)
    assert str(path) in str(caught.value)


def test_a_path_out_of_the_dataset_is_a_difference(tmp_path: Path) -> None:
    index = make_index(tmp_path)
    difference = check_asset(Asset("l1c.band.B02", "../B02.jp2"), index).fault
    assert difference is not None
    assert "leaves its root" in difference


@pytest.mark.parametrize("algorithm", ["CRC-9", "SHAKE-128"])
@pytest.mark.parametrize(("size", "how"), [(4, "size"), (None, "nothing")])
def test_an_unknown_algorithm_verifies_nothing_and_is_no_damage(
    tmp_path: Path, algorithm: str, size: int | None, how: str
) -> None:
    index = make_index(tmp_path)
    asset = Asset("l1c.product_metadata", "MTD.xml", size=size, checksum=Checksum(algorithm, "00"))
    finding = check_asset(asset, index)
    assert (finding.how, finding.fault) == (how, None)
    assert f"unknown checksum algorithm '{algorithm}'" in str(finding.note)
    scene = replace(index.scenes[0], files_l1c=AssetGroup("", (asset,)))
    found = verify_index(replace(index, scenes=(scene,)))
    assert (found.by_checksum, found.by_size + found.unverified, found.is_whole) == (0, 1, False)


def test_a_broken_link_is_called_one(tmp_path: Path) -> None:
    index = make_index(tmp_path)
    (tmp_path / "MTD.xml").unlink()
    (tmp_path / "MTD.xml").symlink_to("gone.xml")
    words = "MTD.xml is a link to gone.xml, which does not exist"
    assert words in str(check_asset(index.scenes[0].assets[0], index).fault)
    with pytest.raises(ChecksumError, match=words):
        verify_index(index)
