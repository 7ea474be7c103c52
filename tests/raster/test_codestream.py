"""The wavelet of a JPEG 2000 file decides whether decoders agree about its pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from osgeo import gdal

from s2pipe.raster.codestream import is_reversible, read_head
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
