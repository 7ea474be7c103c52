"""The wavelet of a JPEG 2000 file decides whether decoders agree about its pixels."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING

import numpy as np
import pytest
from osgeo import gdal

from s2pipe.errors import RasterError
from s2pipe.raster.codestream import end_fault, is_reversible, read_head
from s2pipe.raster.formats import JPEG2000, SELF_CONTAINED
from s2pipe.raster.grid import Grid
from s2pipe.raster.jp2 import write_jp2
from s2pipe.raster.reader import inspect_raster

if TYPE_CHECKING:
    from pathlib import Path

GRID = Grid("EPSG:32633", (0.0, 10.0, 0.0, 0.0, 0.0, -10.0), (70, 90))


@pytest.fixture
def exact(tmp_path: Path) -> Path:
    values = np.arange(70 * 90, dtype=np.uint16).reshape(70, 90)
    write_jp2(tmp_path / "exact.jp2", GRID, values, 64)
    return tmp_path / "exact.jp2"


def test_the_wavelet_is_recognised(exact: Path) -> None:
    lossy = exact.with_name("lossy.jp2")
    options = ["REVERSIBLE=NO", "QUALITY=20"]
    gdal.Translate(str(lossy), str(exact), format="JP2OpenJPEG", creationOptions=options)
    assert [inspect_raster(str(path)).is_exact for path in (exact, lossy)] == [True, False]
    assert inspect_raster(str(gdal_tiff(exact))).is_exact


def gdal_tiff(source: Path) -> Path:
    target = source.with_suffix(".tif")
    gdal.Translate(str(target), str(source), format="GTiff")
    return target


def test_no_header_says_more_than_it_holds(exact: Path, tmp_path: Path) -> None:
    head = read_head(str(exact))
    assert is_reversible(head)
    told = [is_reversible(head[:size]) for size in range(len(head) + 1)]
    assert told == sorted(told)  # false until all of the coding style is there
    for place in range(head.find(b"\xff\x4f\xff\x51") + 2, head.find(b"\xff\x52")):
        assert is_reversible(head[:place] + b"\0" + head[place + 1 :]) in (True, False)
    assert read_head(str(tmp_path / "absent.jp2")) == b""


def test_a_file_that_is_cut_anywhere_has_no_end(exact: Path) -> None:
    data = exact.read_bytes()
    assert end_fault(exact) is None
    path = exact.with_name("cut.jp2")
    for size in {*range(0, len(data), 7), len(data) - 1}:
        for tail in (b"", b"\0" * (len(data) - size), b"\xff\xd9"):
            path.write_bytes(data[:size] + tail)
            assert end_fault(path) is not None or data[:size] + tail == data
    assert end_fault(path.with_name("absent.jp2")) is not None


def test_a_code_stream_is_followed_through_boxes_and_headers_of_any_kind(exact: Path) -> None:
    data = exact.read_bytes()
    start = data.find(b"\xff\x4f\xff\x51")
    stream = data[start : data.rfind(b"\xff\xd9") + 2]
    path = exact.with_name("other.jp2")
    long_box = b"\0\0\0\1jp2c" + (len(stream) + 16).to_bytes(8, "big")
    open_box = b"\0\0\0\0jp2c"
    comment = stream[:2] + stream[2 : stream.find(b"\xff\x52")] + b"\xff\x64\0\5\0\1x"
    commented = comment + stream[stream.find(b"\xff\x52") :]
    for whole in (stream, data[: start - 8] + long_box + stream, data[: start - 8] + open_box + commented):
        path.write_bytes(whole)
        assert end_fault(path) is None


def test_only_products_are_held_to_it(exact: Path) -> None:
    exact.write_bytes(exact.read_bytes()[:-2])
    assert inspect_raster(str(exact), SELF_CONTAINED).grid.shape_yx == (70, 90)
    with pytest.raises(RasterError, match="is damaged: it is cut short"):
        inspect_raster(str(exact), JPEG2000)


def test_nothing_is_read_of_a_damaged_archive(exact: Path, tmp_path: Path) -> None:
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.write(exact, "a.jp2")
    path = f"/vsizip/{archive}/a.jp2"
    assert is_reversible(read_head(path))
    data = bytearray(archive.read_bytes())
    data[len(data) // 2] ^= 8
    archive.with_name("b.zip").write_bytes(data)
    assert read_head(path.replace("a.zip", "b.zip")) == b""
