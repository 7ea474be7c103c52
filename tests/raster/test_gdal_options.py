"""GDAL's configuration options: set for one thread, for one call, and always put back."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np
import pytest
from osgeo import gdal

from s2pipe.errors import RasterError
from s2pipe.raster._gdal import decoding_threads, thread_option, type_code
from s2pipe.raster.grid import Grid, Window
from s2pipe.raster.jp2 import write_jp2
from s2pipe.raster.reader import RasterReader, StackReader
from s2pipe.raster.transform import crs_wkt
from s2pipe.raster.writer import TiffSpec, TiffWriter

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAME = "GDAL_NUM_THREADS"
GRID = Grid(crs_wkt(32633), (499980.0, 20.0, 0.0, 5500020.0, 0.0, -20.0), (70, 90))


@pytest.fixture(params=[None, "3"])
def option_before(request: pytest.FixtureRequest) -> Iterator[str | None]:
    """What the user's program has set for this thread."""
    gdal.SetThreadLocalConfigOption(NAME, request.param)
    yield request.param
    gdal.SetThreadLocalConfigOption(NAME, None)


def test_an_option_holds_for_this_thread_and_this_context(option_before: str | None) -> None:
    seen: list[str | None] = []
    with pytest.raises(RuntimeError, match="stopped"), decoding_threads(2):
        assert gdal.GetThreadLocalConfigOption(NAME, None) == "2"
        other = threading.Thread(target=lambda: seen.append(gdal.GetThreadLocalConfigOption(NAME, None)))
        other.start()
        other.join()
        msg = "stopped"
        raise RuntimeError(msg)
    assert gdal.GetThreadLocalConfigOption(NAME, None) == option_before
    assert seen == [None]


def test_an_inner_context_gives_back_the_outer_one() -> None:
    with thread_option("S2PIPE_TEST", "outer"):
        with thread_option("S2PIPE_TEST", "inner"):
            assert gdal.GetConfigOption("S2PIPE_TEST") == "inner"
        assert gdal.GetConfigOption("S2PIPE_TEST") == "outer"
    assert gdal.GetConfigOption("S2PIPE_TEST") is None


def test_reading_and_writing_leave_the_options_of_the_user_alone(
    tmp_path: Path, option_before: str | None
) -> None:
    path = tmp_path / "a.jp2"
    write_jp2(path, GRID, np.ones(GRID.shape_yx, np.uint16), 640, threads=2)
    window = Window(0, 0, *GRID.shape_yx)
    RasterReader(str(path), threads=2).read(window, np.empty(GRID.shape_yx, np.uint16))
    with TiffWriter(tmp_path / "a.tif", TiffSpec(GRID, ("one",), "uint16")) as writer:
        writer.write(window, np.ones((1, *GRID.shape_yx), np.uint16))
    StackReader(str(tmp_path / "a.tif")).read(window, np.empty((1, *GRID.shape_yx), np.uint16))
    assert gdal.GetThreadLocalConfigOption(NAME, None) == option_before
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(RasterError):
        RasterReader(str(path)).read(window, np.empty(GRID.shape_yx, np.uint16))
    assert gdal.GetThreadLocalConfigOption(NAME, None) == option_before
    for name in ("GDAL_MEM_ENABLE_OPEN", "GDAL_DISABLE_READDIR_ON_OPEN", "GDAL_PAM_ENABLED"):
        assert gdal.GetThreadLocalConfigOption(name, None) is None


def test_pixel_types_are_those_of_gdal() -> None:
    assert (type_code("uint8"), type_code(np.uint16), type_code(np.dtype("float32"))) == (
        gdal.GDT_Byte,
        gdal.GDT_UInt16,
        gdal.GDT_Float32,
    )
