"""XML of products: whatever a file holds, only documented errors come out, and soon."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path

import pytest

from s2pipe.errors import MetadataError
from s2pipe.runtime.limits import MAX_XML_BYTES, MAX_XML_DEPTH, MAX_XML_ELEMENTS
from s2pipe.sentinel2.safe import Xml, read_product_info, read_tile_metadata

TEXT = "<a><b>\u00e4</b></a>"
NINE = (
    "utf-8",
    "utf-8-sig",
    "utf-16",
    "utf-16-le",
    "utf-16-be",
    "utf-32",
    "latin-1",
    "cp1252",
    "shift_jis",
)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1", "cp1252", "cp437"])
def test_encodings_of_one_byte_and_of_unicode_are_read(encoding: str) -> None:
    declared = encoding.removesuffix("-sig")
    document = f"<?xml version='1.0' encoding='{declared}'?>{TEXT}".encode(encoding)
    assert Xml.read(document).text("b") == "\u00e4"


@pytest.mark.parametrize(
    "declared", [*NINE, "utf-7", "big5", "x-none", "rot13", "base64", "idna", "undefined", "\u00e4"]
)
@pytest.mark.parametrize("actual", NINE[:8])
def test_wrong_and_unreadable_encodings_are_documented_errors(declared: str, actual: str) -> None:
    document = f"<?xml version='1.0' encoding='{declared}'?>{TEXT}".encode(actual)
    with contextlib.suppress(MetadataError):
        assert Xml.read(document).root.tag == "a"


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (b"<?xml version='1.0' encoding='shift_jis'?><a/>", "in an encoding that cannot be read"),
        (b"<?xml version='1.0' encoding='x-none'?><a/>", "in an encoding that cannot be read"),
        (TEXT.encode("utf-32"), "not well-formed"),
        (TEXT.encode("cp1252"), "not well-formed"),
        (b"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", "document types and entities are refused"),
        (b"<a>&b;</a>", "not well-formed"),
        (b"<a>" * (MAX_XML_DEPTH + 1), "nested more than"),
        (b"<a>" + b"<b/>" * MAX_XML_ELEMENTS + b"</a>", "elements and attributes"),
        (
            b"<a" + b"".join(b" b%d=''" % n for n in range(MAX_XML_ELEMENTS)) + b"/>",
            "elements and attributes",
        ),
        (b" " * (MAX_XML_BYTES + 1), "too large for metadata"),
        (b"", "not well-formed"),
    ],
)
def test_what_no_metadata_is_is_refused(document: bytes, message: str) -> None:
    with pytest.raises(MetadataError, match=message):
        Xml.read(document)


def test_a_file_that_cannot_be_read_is_a_documented_error(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.xml", tmp_path):
        with pytest.raises(MetadataError, match="cannot be read"):
            Xml.read(path)


BOMB = r"""
import re, sys
from pathlib import Path
from s2pipe.errors import MetadataError
from s2pipe.sentinel2.safe.xml import Xml
try:
    Xml.read(Path(sys.argv[1]) if len(sys.argv) > 1 else b"<a>" + b"<b/>" * 4_000_000 + b"</a>")
except MetadataError:
    # getrusage() would count what the parent had when it forked.
    print(int(re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
def test_a_file_of_nothing_but_elements_does_not_fill_the_memory(tmp_path: Path) -> None:
    (tmp_path / "b.xml").write_bytes(b"<a>" + b"<b/>" * 15_500_000 + b"</a>")
    for arguments in ([str(tmp_path / "b.xml")], []):  # refused by its size, and by its elements
        peak_mib = float(subprocess.check_output([sys.executable, "-c", BOMB, *arguments]))
        assert peak_mib < 300


def product(characteristics: str) -> bytes:
    return f"<x:Level-2A_User_Product xmlns:x='y'>{characteristics}</x:Level-2A_User_Product>".encode()


@pytest.mark.parametrize("value", ["1e300", "-1", "nan", "inf", "1" * 400, "\u0661", "1_0", "100.1"])
def test_percentages_are_percentages(value: str) -> None:
    for tags in ("Cloud_Coverage_Assessment", "Image_Content_QI/WATER_PERCENTAGE"):
        start = "".join(f"<{tag}>" for tag in tags.split("/"))
        end = "".join(f"</{tag}>" for tag in reversed(tags.split("/")))
        document = product(f"<Quality_Indicators_Info>{start}{value}{end}</Quality_Indicators_Info>")
        if "/" in tags and value in ("1_0", "\u0661"):
            assert read_product_info(document).scl_percentages == {}
            continue
        with pytest.raises(MetadataError, match=r"expected a (finite )?number"):
            read_product_info(document)


def test_a_percentage_that_rounding_spoilt_is_brought_back() -> None:
    document = product(
        "<Quality_Indicators_Info><Cloud_Coverage_Assessment>100.0000001</Cloud_Coverage_Assessment></Quality_Indicators_Info>"
    )
    assert read_product_info(document).cloud_cover == 100.0


@pytest.mark.parametrize("value", ["1e300 1 2 3 4 5", "1 181 2 3 4 5", "-90.1 1 2 3 4 5", "nan 1 2 3 4 5"])
def test_footprints_lie_on_the_earth(value: str) -> None:
    path = ["Geometric_Info", "Product_Footprint", "Product_Footprint", "Global_Footprint", "EXT_POS_LIST"]
    document = product(
        "".join(f"<{tag}>" for tag in path) + value + "".join(f"</{tag}>" for tag in path[::-1])
    )
    with pytest.raises(MetadataError, match=r"EXT_POS_LIST: expected a (finite )?number"):
        read_product_info(document)


@pytest.mark.parametrize(
    ("size", "corner", "epsg", "message"),
    [
        ("1e300", "0", "32633", "NROWS: expected a whole number"),
        ("0", "0", "32633", "NROWS: expected a number from 1"),
        ("5490", "1e300", "32633", "ULX: expected a number from"),
        ("5490", "0", "4326", "HORIZONTAL_CS_CODE"),
        ("5490", "0", "32661", "HORIZONTAL_CS_CODE"),
    ],
)
def test_tiles_lie_in_a_utm_zone(size: str, corner: str, epsg: str, message: str) -> None:
    resolutions = "".join(
        f"<Size resolution='{r}'><NROWS>{size}</NROWS><NCOLS>{size}</NCOLS></Size>"
        f"<Geoposition resolution='{r}'><ULX>{corner}</ULX><ULY>0</ULY></Geoposition>"
        for r in (10, 20, 60)
    )
    document = (
        "<x:Level-1C_Tile_ID xmlns:x='y'><General_Info><TILE_ID>S2B_OPER_T33UWQ_N05.11</TILE_ID>"
        "<SENSING_TIME>2025</SENSING_TIME></General_Info><Geometric_Info><Tile_Geocoding>"
        f"<HORIZONTAL_CS_CODE>EPSG:{epsg}</HORIZONTAL_CS_CODE>{resolutions}</Tile_Geocoding></Geometric_Info>"
        "</x:Level-1C_Tile_ID>"
    )
    with pytest.raises(MetadataError, match=message):
        read_tile_metadata(document.encode())
