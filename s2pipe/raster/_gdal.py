"""GDAL as the modules of this folder use it; nothing outside ``s2pipe.raster`` imports this module."""

from __future__ import annotations

import contextlib
import contextvars
import functools
import os
import threading
from typing import TYPE_CHECKING, Any

import numpy as np

from s2pipe.errors import DependencyError, RasterError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import DTypeLike

    from s2pipe.raster.formats import Formats

MINIMUM_VERSION = (3, 6)
TYPE_NAMES = {"uint8": "Byte", "uint16": "UInt16", "uint32": "UInt32", "int16": "Int16", "float32": "Float32"}
"""GDAL's names of the pixel types that s2pipe reads and writes, by NumPy's names."""


@functools.cache
def gdal_module() -> Any:
    """Import ``osgeo.gdal``.

    Whether GDAL raises errors is the user's to say, for it holds in the whole process; see :func:`raised_errors`.

    Raises
    ------
    DependencyError
        The bindings are missing or older than GDAL 3.6.
    """
    try:
        from osgeo import gdal
    except ImportError as error:
        msg = (
            f"GDAL's Python bindings (osgeo) cannot be imported: {error}\n"
            "Install them with `pip install 's2pipe[gdal-wheel]'` (Python >= 3.12), "
            "`conda install -c conda-forge gdal libgdal-jp2openjpeg`, or "
            '`apt install libgdal-dev` and `pip install "gdal==$(gdal-config --version)"`.'
        )
        raise DependencyError(msg) from error
    version = tuple(int(part) for part in gdal.__version__.split(".")[:2])
    if version < MINIMUM_VERSION:
        msg = (
            f"GDAL {gdal.__version__} is too old: s2pipe needs GDAL >= 3.6.\n"
            "Upgrade it with conda or pip (`pip install 's2pipe[gdal-wheel]'`), then run `s2pipe doctor`."
        )
        raise DependencyError(msg)
    return gdal


class _SharedExceptions:
    """Exceptions of GDAL before 3.7, which are those of the whole process: on while anybody needs them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._switched_on: list[Any] = []

    def enter(self) -> None:
        """Switch them on, unless they are."""
        with self._lock:
            if self._users == 0:
                self._switched_on = [module for module in _modules() if not module.GetUseExceptions()]
                for module in self._switched_on:
                    module.UseExceptions()
            self._users += 1

    def leave(self) -> None:
        """Switch off what was off, when nobody needs them any more."""
        with self._lock:
            self._users -= 1
            if self._users == 0:
                # The last first: each put its error handler on top of the other's.
                for module in reversed(self._switched_on):
                    with contextlib.suppress(RuntimeError):  # the user put another on top meanwhile
                        module.DontUseExceptions()


_SHARED_EXCEPTIONS = _SharedExceptions()


@functools.cache
def _modules() -> tuple[Any, Any]:
    from osgeo import osr

    return gdal_module(), osr


@contextlib.contextmanager
def raised_errors() -> Iterator[None]:
    """Let GDAL raise errors of this thread; afterwards it does what it did before.

    GDAL before 3.7 knows no threads here: others are raised errors too as long as this lasts.
    """
    modules = _modules()
    if not hasattr(modules[0], "_SetExceptionsLocal"):
        _SHARED_EXCEPTIONS.enter()
        try:
            yield
        finally:
            _SHARED_EXCEPTIONS.leave()
        return
    # What gdal.ExceptionMgr does, without looking for gdal_array at each read.
    before = [module._GetExceptionsLocal() for module in modules]  # noqa: SLF001
    for module in modules:
        module._SetExceptionsLocal(1)  # noqa: SLF001
    try:
        yield
    finally:
        for module, value in zip(modules, before, strict=True):
            module._SetExceptionsLocal(value)  # noqa: SLF001


def close_dataset(dataset: Any) -> None:
    """Close a dataset now, unless it is closed: what GDAL says is raised, where Python would print it.

    Raises
    ------
    RuntimeError
        What is left to write cannot be written.
    """
    if hasattr(dataset, "Close"):
        dataset.Close()
    elif dataset.this is not None:  # GDAL before 3.8
        dataset.thisown = False
        try:
            dataset.__swig_destroy__(dataset)
        finally:
            dataset.this = None


def type_code(dtype: DTypeLike) -> int:
    """GDAL's number of a pixel type."""
    return int(gdal_module().GetDataTypeByName(TYPE_NAMES[np.dtype(dtype).name]))


_heard: contextvars.ContextVar[list[str] | None] = contextvars.ContextVar("heard", default=None)
"""Where this thread's warnings are kept; None passes them over."""


def _note(heard: list[str], kind: int, _number: int, message: str) -> None:
    if kind >= gdal_module().CE_Warning:
        heard.append(message)


@contextlib.contextmanager
def heard_warnings() -> Iterator[list[str]]:
    """Give what GDAL warns of inside :func:`quiet_errors` in this thread, errors that are raised too among it."""
    heard: list[str] = []
    token = _heard.set(heard)
    try:
        yield heard
    finally:
        _heard.reset(token)


@contextlib.contextmanager
def quiet_errors() -> Iterator[None]:
    """Keep GDAL from printing errors of this thread on stderr; they are raised instead."""
    gdal, heard = gdal_module(), _heard.get()
    with raised_errors():
        gdal.PushErrorHandler("CPLQuietErrorHandler" if heard is None else functools.partial(_note, heard))
        try:
            gdal.ErrorReset()
            yield
        finally:
            gdal.PopErrorHandler()


@contextlib.contextmanager
def thread_option(name: str, value: str) -> Iterator[None]:
    """Set a configuration option for this thread, and put back what it was.

    s2pipe sets options in no other way: those of the whole process belong to the user.
    """
    gdal = gdal_module()
    before = gdal.GetThreadLocalConfigOption(name, None)
    gdal.SetThreadLocalConfigOption(name, value)
    try:
        yield
    finally:
        gdal.SetThreadLocalConfigOption(name, before)


def decoding_threads(count: int) -> contextlib.AbstractContextManager[None]:
    """Threads that GDAL may use for what this thread asks of it; GDAL's own default is all cores."""
    return thread_option("GDAL_NUM_THREADS", str(count))


@contextlib.contextmanager
def standing_alone(alone: bool) -> Iterator[None]:
    """Keep this thread's GDAL, if ``alone``, from looking at files beside those that it opens.

    Sources that a VRT declares are opened when they are first read, so this holds for reading too.
    """
    if not alone:
        yield
        return
    with thread_option("GDAL_DISABLE_READDIR_ON_OPEN", "EMPTY_DIR"), thread_option("GDAL_PAM_ENABLED", "NO"):
        yield


def open_dataset(source: str, label: str, formats: Formats) -> Any:
    """Open a raster for reading.

    Parameters
    ----------
    source : str
        Path, or VRT text that s2pipe made.
    label : str
        What error messages call it.
    formats : Formats
        What the file may be.

    Raises
    ------
    RasterError
        It is of another format, GDAL cannot open it, or it has no bands.
    """
    gdal = gdal_module()
    drivers = ("VRT",) if source.startswith("<") else formats.drivers
    with quiet_errors(), standing_alone(formats.alone):
        try:
            dataset = gdal.OpenEx(
                source, gdal.OF_RASTER | gdal.OF_READONLY, allowed_drivers=list(drivers) if drivers else []
            )
        except RuntimeError as error:
            raise RasterError(_unreadable(label, formats, str(error))) from error
        if dataset is None or dataset.RasterCount < 1:
            raise RasterError(_unreadable(label, formats, gdal.GetLastErrorMsg() or "it has no bands"))
    return dataset


def _unreadable(label: str, formats: Formats, reason: str) -> str:
    # Path.exists would raise for VRT text, which is longer than a file name may be.
    is_there = label.startswith("/vsi") or os.path.exists(label)  # noqa: PTH110 - see above
    if is_there and "response code: 404" not in reason:
        return f"{label}: GDAL cannot open it as {formats.name} ({reason}); {formats.cure}"
    return f"{label}: no such file ({reason})"
