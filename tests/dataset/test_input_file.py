"""Files of a scene: where they may lie, and how they are opened."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from s2pipe.dataset.assets import Asset, Checksum
from s2pipe.dataset.input_file import InputFile
from s2pipe.dataset.step1_index import Index
from s2pipe.errors import MissingInputError, PathEscapeError


@pytest.mark.parametrize("path", ["../a", "raw/../../a", "C:/a", "a\nb", "\\\\server\\a"])
def test_paths_that_leave_the_dataset_are_refused(path: str) -> None:
    asset = Asset.from_document({"role": "l1c.band.B02", "path": path})
    with pytest.raises(PathEscapeError, match=r"l1c\.band\.B02|leaves its root"):
        InputFile.of(asset, Path("/data"))


def test_absolute_paths_need_leave() -> None:
    asset = Asset("l1c.band.B02", "/archive/B02.jp2")
    with pytest.raises(PathEscapeError, match="allow absolute"):
        InputFile.of(asset, Path("/data"))
    assert InputFile.of(asset, Path("/data"), allow_absolute=True).path == Path("/archive/B02.jp2")
    with pytest.raises(PathEscapeError):
        InputFile.of(Asset("l1c.band.B02", "/archive/../B02.jp2"), Path("/data"), allow_absolute=True)


def test_members_of_an_archive(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "p.zip", "w") as archive:
        archive.writestr("p.SAFE/MTD.xml", b"<x/>")
    asset = Asset("l1c.product_metadata", "p.zip", member="p.SAFE/MTD.xml")
    assert InputFile.of(asset, tmp_path).gdal_path == f"/vsizip/{{{tmp_path}/p.zip}}/p.SAFE/MTD.xml"
    assert InputFile.of(asset, tmp_path).read() == b"<x/>"
    assert InputFile.of(asset, tmp_path).is_available()
    absent = Asset("l1c.product_metadata", "p.zip", member="p.SAFE/other.xml")
    assert not InputFile.of(absent, tmp_path).is_available()
    with pytest.raises(MissingInputError, match=r"p\.zip!p\.SAFE/other\.xml"):
        InputFile.of(absent, tmp_path).read()
    hostile = Asset("l1c.product_metadata", "p.zip", member="../x")
    with pytest.raises(PathEscapeError, match="member"):
        InputFile.of(hostile, tmp_path)


def test_plain_files(tmp_path: Path) -> None:
    (tmp_path / "MTD.xml").write_bytes(b"<x/>")
    asset = Asset("l1c.product_metadata", "MTD.xml")
    assert (InputFile.of(asset, tmp_path).read(), InputFile.of(asset, tmp_path).gdal_path) == (
        b"<x/>",
        str(tmp_path / "MTD.xml"),
    )
    with pytest.raises(MissingInputError, match=r"l1c\.band\.B02 cannot be read"):
        InputFile.of(Asset("l1c.band.B02", "B02.jp2"), tmp_path).read()


def test_an_index_says_whether_files_may_lie_elsewhere() -> None:
    asset = Asset("l1c.band.B02", "/archive/B02.jp2")
    with pytest.raises(PathEscapeError):
        Index(Path("/data")).file(asset)
    assert Index(Path("/data"), allow_absolute=True).file(asset).path == Path("/archive/B02.jp2")


def test_the_state_of_a_file_changes_with_its_content(tmp_path: Path) -> None:
    path = tmp_path / "B02.jp2"
    path.write_bytes(b"abc")
    asset = Asset(
        "l1c.band.B02", "B02.jp2", checksum=Checksum("MD5", "00ff"), product_path="IMG_DATA/B02.jp2"
    )
    state = InputFile.of(asset, tmp_path).state()
    assert (state.role, state.name, state.size) == ("l1c.band.B02", "IMG_DATA/B02.jp2", 3)
    assert state.checksum == "MD5:00ff"
    assert state == InputFile.of(asset, tmp_path).state()
    path.write_bytes(b"abcd")
    assert state != InputFile.of(asset, tmp_path).state()
