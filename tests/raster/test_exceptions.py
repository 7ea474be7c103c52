"""Whether GDAL raises errors is left as it was found."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
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
    before = _state()
    _switch([request.param, request.param])
    yield request.param
    _switch(before)


def _switch(states: list[bool]) -> None:
    # GDAL 3.6 has one error handler a module: the last one on top, whichever that is, has to go first.
    for module in (osr, gdal, osr):
        if module.GetUseExceptions():
            with suppress(RuntimeError):
                module.DontUseExceptions()
    assert _state() == [False, False]
    for module, state in zip((gdal, osr), states, strict=True):
        if state:
            module.UseExceptions()


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
