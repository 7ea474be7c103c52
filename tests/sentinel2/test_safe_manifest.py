"""``manifest.safe`` and the XML reader below it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2pipe.errors import MetadataError, PathEscapeError, ProductError
from s2pipe.runtime.hashing import hash_file
from s2pipe.runtime.paths import InsidePath
from s2pipe.sentinel2.safe import Xml, read_safe_manifest
from tests.paths import SHARED_DATA

DATA = SHARED_DATA
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"the real products are not in {DATA}")


def manifest(*entries: tuple[str, str, str, str]) -> bytes:
    objects = "".join(
        f'<dataObject ID="x{n}"><byteStream size="{size}"><fileLocation locatorType="URL" href="{href}"/>'
        f'<checksum checksumName="{algorithm}">{value}</checksum></byteStream></dataObject>'
        for n, (href, size, algorithm, value) in enumerate(entries)
    )
    return (
        '<?xml version="1.0"?><xfdu:XFDU xmlns:xfdu="urn:ccsds:schema:xfdu:1">'
        f"<dataObjectSection>{objects}</dataObjectSection></xfdu:XFDU>"
    ).encode()


def test_entries_are_normalised() -> None:
    first, second = read_safe_manifest(
        manifest(("./GRANULE/a.jp2", "12", "SHA3-256", "ABcd"), (".\\GRANULE\\b.jp2", "0", "md5", "00"))
    )
    assert (first.product_path, first.size) == ("GRANULE/a.jp2", 12)
    assert (first.checksum_algorithm, first.checksum_value) == ("SHA3-256", "abcd")
    assert (second.product_path, second.checksum_algorithm) == ("GRANULE/b.jp2", "MD5")


def test_an_entry_without_checksum_has_none() -> None:
    (entry,) = read_safe_manifest(manifest(("./a", "1", "", "")))
    assert entry.checksum_algorithm is None
    assert entry.checksum_value is None


@pytest.mark.parametrize("href", ["../a", "./x/../../a", "/etc/passwd", "C:/a", "..\\a", "a&#10;b", ""])
def test_hostile_hrefs_are_refused(href: str) -> None:
    with pytest.raises(PathEscapeError, match="fileLocation"):
        read_safe_manifest(manifest((href, "1", "MD5", "00")), "manifest.safe")


@given(
    st.text(st.characters(codec="utf-8", exclude_categories=["Cc"], exclude_characters="&<\"'"), max_size=30)
)
def test_no_href_leaves_the_product(href: str) -> None:
    try:
        entries = read_safe_manifest(manifest((href, "1", "MD5", "00")))
    except (PathEscapeError, ProductError, MetadataError):
        return
    root = Path("/root/of/product")
    assert root in InsidePath(root, entries[0].product_path).path.resolve().parents


@pytest.mark.parametrize("size", ["", "x", "-1", "1.5", "nan"])
def test_unusable_sizes_name_file_and_element(size: int) -> None:
    with pytest.raises(MetadataError, match=r"p/manifest\.safe: byteStream of a/@size"):
        read_safe_manifest(manifest(("./a", size, "MD5", "00")), "p/manifest.safe")


def test_contradicting_entries_are_refused() -> None:
    with pytest.raises(ProductError, match="listed twice"):
        read_safe_manifest(manifest(("./a", "1", "MD5", "00"), ("a", "2", "MD5", "00")))


@pytest.mark.parametrize(
    "document",
    [
        b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><x>&b;</x>',
        b'<!DOCTYPE x SYSTEM "file:///etc/passwd"><x/>',
        '<?xml version="1.0" encoding="UTF-16"?><!DOCTYPE x><x/>'.encode("utf-16"),
    ],
)
def test_document_types_and_entities_are_refused(document: Any) -> None:
    with pytest.raises(MetadataError, match="DOCTYPE"):
        Xml.read(document, "MTD.xml")


@pytest.mark.parametrize("document", [b"", b"<a>", b"{}", b'{"code": "DAT-ZIP-609"}', b"<a>&nbsp;</a>"])
def test_what_is_no_xml_is_refused(document: Any) -> None:
    with pytest.raises(MetadataError, match=r"MTD\.xml: not well-formed"):
        Xml.read(document, "MTD.xml")


def test_deep_nesting_is_refused() -> None:
    with pytest.raises(MetadataError, match="nested"):
        Xml.read(b"<a>" * 100_000, "MTD.xml")


@needs_data
@pytest.mark.parametrize(("tile", "algorithm", "count"), [("T32TNM", "MD5", 16), ("T46RER", "SHA3-256", 2)])
def test_real_files_match_their_manifest(tile: str, algorithm: str, count: int) -> None:
    (path,) = DATA.glob(f"metadata/*{tile}*/manifest.safe")
    present = [entry for entry in read_safe_manifest(path) if (path.parent / entry.product_path).is_file()]
    assert len(present) == count
    for entry in present:
        file = path.parent / entry.product_path
        assert entry.checksum_algorithm == algorithm
        assert (file.stat().st_size, hash_file(file, algorithm)) == (entry.size, entry.checksum_value)
