"""Products in zip archives: damaged, foreign and hostile ones are documented errors."""

from __future__ import annotations

import struct
import zipfile
from typing import TYPE_CHECKING

import pytest

from s2pipe.errors import ProductError, S2PipeError
from s2pipe.runtime.hashing import hash_bytes
from s2pipe.runtime.limits import MAX_XML_BYTES, MAX_ZIP_DIRECTORY_BYTES, MAX_ZIP_MEMBERS
from s2pipe.sentinel2.safe.container import open_container

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NAME = "S2B_MSIL1C_20251210T100319_N0511_R122_T33UWQ_20251212T162649.SAFE"
CONTENT = bytes(range(256)) * 8


def archive_of(path: Path, *, method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr(f"{NAME}/manifest.safe", CONTENT)
        archive.writestr(f"{NAME}/MTD_MSIL1C.xml", "<x/>")
    return path


def _central(data: bytearray, offset: int, value: bytes) -> None:
    place = data.index(b"PK\x01\x02") + offset
    data[place : place + len(value)] = value


def _undecodable(data: bytearray) -> None:
    _central(data, 8, b"\x00\x08")  # names are UTF-8
    data[data.rindex(b"manifest.safe")] = 0xFF


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: _central(data, 6, b"\xff\x00"), "zip file version"),
        (lambda data: _central(data, 8, b"\x01\x00"), "is encrypted"),
        (lambda data: _central(data, 10, b"\x5d\x00"), "packed by method 93"),
        (_undecodable, "can't decode|invalid start byte"),
        (lambda data: _central(data, 20, struct.pack("<LL", 100, 1 << 31)), "unpacks from 100 to 2147483648"),
        (lambda data: data.__delitem__(slice(-30, None)), "not a readable zip archive"),
        (lambda data: data.__delitem__(slice(0, 60)), "."),
    ],
)
def test_archives_of_other_kinds_say_which(
    tmp_path: Path, damage: Callable[[bytearray], None], message: str
) -> None:
    path = archive_of(tmp_path / "a.zip")
    data = bytearray(path.read_bytes())
    damage(data)
    path.write_bytes(data)
    with pytest.raises(ProductError, match=rf"a\.zip.*({message})"):
        open_container(path).read("manifest.safe")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_methods_that_gdal_does_not_read_are_refused(tmp_path: Path, method: int) -> None:
    with pytest.raises(ProductError, match=r"which GDAL does not read; unpack the archive"):
        open_container(archive_of(tmp_path / "a.zip", method=method))


def test_every_damaged_byte_is_a_documented_error_or_does_not_matter(tmp_path: Path) -> None:
    whole = archive_of(tmp_path / "a.zip").read_bytes()
    damaged = tmp_path / "b.zip"
    for place in range(0, len(whole), 3):
        damaged.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        try:
            assert open_container(damaged).read("manifest.safe") == CONTENT
        except S2PipeError:
            continue


def test_corrupt_deflate_is_a_product_error(tmp_path: Path) -> None:
    path = archive_of(tmp_path / "a.zip")
    data = bytearray(path.read_bytes())
    start = 30 + len(f"{NAME}/manifest.safe")
    data[start : start + 4] = b"\xff\xff\xff\xff"
    path.write_bytes(data)
    for use in (lambda c: c.read("manifest.safe"), lambda c: c.hash("manifest.safe", "MD5")):
        with pytest.raises(ProductError, match=r"manifest\.safe: cannot be read"):
            use(open_container(path))


def test_archives_with_too_many_members_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for number in range(MAX_ZIP_MEMBERS + 1):
            archive.writestr(f"{NAME}/{number}", "")
    with pytest.raises(ProductError, match="more than any product"):
        open_container(tmp_path / "a.zip")


@pytest.mark.parametrize("is_zip64", [False, True])
def test_a_list_of_members_that_would_fill_the_memory_is_not_read(tmp_path: Path, is_zip64: bool) -> None:
    size = MAX_ZIP_DIRECTORY_BYTES + 1
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 1, 1, 0xFFFFFFFF if is_zip64 else size, 0, 0)
    if is_zip64:
        record = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, 1, 1, size, 0)
        end = record + struct.pack("<4sLQL", b"PK\x06\x07", 0, size, 1) + end
    path = tmp_path / "a.zip"
    with path.open("wb") as stream:
        stream.truncate(size)
        stream.seek(size)
        stream.write(end)
    with pytest.raises(ProductError, match="list of members has"):
        open_container(path)


def test_a_member_that_is_too_large_for_metadata_is_not_read(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(f"{NAME}/MTD_MSIL1C.xml", bytes(MAX_XML_BYTES - 1), zipfile.ZIP_DEFLATED)
        archive.writestr(f"{NAME}/b", bytes(MAX_XML_BYTES + 1))
    container = open_container(tmp_path / "a.zip")
    assert len(container.read("MTD_MSIL1C.xml")) == MAX_XML_BYTES - 1
    with pytest.raises(ProductError, match="too large for metadata"):
        container.read("b")


@pytest.mark.parametrize(
    "algorithm", ["blake3", "shake_128", "SHAKE-256", "", "null", "md5-sha1", "\ud800", "a\0"]
)
def test_algorithms_without_a_checksum_are_value_errors(tmp_path: Path, algorithm: str) -> None:
    container = open_container(archive_of(tmp_path / "a.zip"))
    with pytest.raises(ValueError, match="unknown checksum algorithm"):
        container.hash("manifest.safe", algorithm)


def test_names_of_algorithms_may_have_blanks(tmp_path: Path) -> None:
    container = open_container(archive_of(tmp_path / "a.zip"))
    assert container.hash("manifest.safe", " MD5 ") == hash_bytes(CONTENT, "md5")
    assert len(container.hash("manifest.safe", "BLAKE2b")) == 128
