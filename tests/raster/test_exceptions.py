"""Whether GDAL raises errors is left as it was found."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from osgeo import gdal, osr

from s2pipe.errors import RasterError
from s2pipe.raster import _gdal
from s2pipe.raster.reader import inspect_raster
from s2pipe.raster.transform import epsg_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(params=[False, True], ids=["off", "on"])
def found(request: pytest.FixtureRequest) -> Iterator[bool]:
    """Exceptions of the whole process, switched off or on."""
    before = gdal.GetUseExceptions(), osr.GetUseExceptions()
    for module in (gdal, osr):
        (module.UseExceptions if request.param else module.DontUseExceptions)()
    yield request.param
    for module, value in zip((gdal, osr), before, strict=True):
        (module.UseExceptions if value else module.DontUseExceptions)()


def _state() -> list[bool]:
    return [bool(gdal.GetUseExceptions()), bool(osr.GetUseExceptions())]


def test_errors_are_raised_here_and_nowhere_else(found: bool) -> None:
    with ThreadPoolExecutor(1) as other:
        with _gdal.raised_errors():
            with _gdal.quiet_errors():
                assert _state() == [True, True]
            assert _state() == [True, True]
            if hasattr(gdal, "ExceptionMgr"):
                assert other.submit(_state).result() == [found, found]
        assert _state() == other.submit(_state).result() == [found, found]


def test_what_fails_leaves_them_too(found: bool, tmp_path: Path) -> None:
    (tmp_path / "bad.tif").write_bytes(b"II*\0" + bytes(64))
    for path in (tmp_path / "bad.tif", tmp_path / "missing.tif"):
        with pytest.raises(RasterError):
            inspect_raster(str(path))
    assert epsg_of("no reference system") is None
    assert _state() == [found, found]


def test_those_of_the_whole_process_are_on_as_long_as_one_needs_them(found: bool) -> None:
    shared = _gdal._SharedExceptions()
    shared.enter()
    shared.enter()
    shared.leave()
    assert _state() == [True, True]
    shared.leave()
    assert _state() == [found, found]
