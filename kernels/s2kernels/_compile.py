"""Turn plain loops into parallel kernels: compiled at first use, once, launched one at a time."""

from __future__ import annotations

import functools
import threading
import zlib
from types import FunctionType
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

_Function = TypeVar("_Function", bound="Callable[..., Any]")


@functools.cache
def numba_module() -> Any:
    """Import Numba: the only place that does, when the first kernel is compiled or the first table of counts is made.

    Importing s2kernels does not import Numba, which takes 0.3 s.
    """
    import numba

    return numba


# Stands in for numba.prange until a kernel is compiled; `_namespace` puts the real one into its globals.
prange = range

_DEVICES: set[Any] = set()


def device(function: _Function) -> _Function:
    """Mark a function that kernels call: compiled into each of them, in place of the call."""
    _DEVICES.add(function)
    return function


def _namespace(function: FunctionType) -> dict[str, Any]:
    """Globals of a function, with Numba's prange and compiled device functions in their places."""
    found: dict[str, Any] = {**function.__globals__, "prange": numba_module().prange}
    found.update({name: _compiled_device(found[name]) for name in _devices_of(function)})
    return found


@functools.cache
def _compiled_device(function: FunctionType) -> Any:
    source = FunctionType(
        function.__code__,
        _namespace(function),
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    # Inlined by Numba itself: LLVM's inlining keeps the reference counts of array arguments, which made the angle
    # kernel 4 times slower.
    return numba_module().njit(inline="always", nogil=True, error_model="numpy")(source)


def _devices_of(function: FunctionType) -> list[str]:
    names = (name for name in function.__code__.co_names if name in function.__globals__)
    return [name for name in names if _is_device(function.__globals__[name])]


def _is_device(value: Any) -> bool:
    return isinstance(value, FunctionType) and value in _DEVICES


def _digest(function: FunctionType) -> int:
    """Checksum of the device functions below a kernel.

    Numba's cache notices changes of the kernel's own file only, so this becomes part of the name of the cache file.
    """
    digest = 0
    for name in _devices_of(function):
        inner = function.__globals__[name]
        code = inner.__code__
        digest = zlib.crc32(code.co_code + repr((code.co_consts, code.co_names)).encode(), digest)
        digest = zlib.crc32(str(_digest(inner)).encode(), digest)
    return digest


# Pixels of one band that a thread does before the next band. Kernels see a window as (band, pixel) and cut it
# into strips, not into rows: a mask shared by the bands stays in the cache, every stream is long enough for
# the hardware to prefetch, and neither narrow nor flat windows are slow. 64 KB per stream stay in the
# second-level cache; 1024 or 4096 pixels restart the prefetcher too often (about 1.3 times slower).
STRIP = 16384

# Two Python threads inside parallel kernels at once are fine on the omp and tbb threading layers, but abort
# the process on workqueue, the only layer on some platforms (numba docs, "Threading layers", thread safety).
# A launch uses all cores anyway, so launches take turns; test_s2kernels_threads.py fails on workqueue without
# this lock.
_LAUNCH = threading.Lock()

_REGISTRY: dict[str, Kernel] = {}


class Kernel:
    """One function with one signature, compiled under a lock when it is first needed.

    One signature each, because an on-disk cache index that holds several can be torn by processes which write
    it at the same time (numba issue 4807): with one entry, a race can only replace it with its equal.
    """

    def __init__(
        self, function: Callable[..., None], name: str, signature: str, inputs: int, parallel: bool
    ) -> None:
        self._function = function
        self._name = name
        self._signature = signature
        self._inputs = inputs
        self._parallel = parallel
        self._lock = threading.Lock()
        self._run: Callable[..., None] | None = None

    def __call__(self, *arguments: Any) -> None:
        run = self._run or self.compile()
        if not self._parallel:
            run(*arguments)
            return
        with _LAUNCH:
            run(*arguments)

    def compile(self) -> Callable[..., None]:
        """Compile, or load from Numba's cache, unless that was done before; safe from any thread."""
        with self._lock:
            if self._run is None:
                self._run = self._compile()
            return self._run

    def _compile(self) -> Callable[..., None]:
        numba = numba_module()
        from numba.core import sigutils, types

        function = self._function
        assert isinstance(function, FunctionType)
        source = FunctionType(function.__code__, _namespace(function), function.__name__)
        # Names the cache file, so that each signature has its own.
        source.__qualname__ = f"{self._name}-{_digest(function):08x}"
        source.__module__ = function.__module__

        arguments, result = sigutils.normalize_signature(self._signature)
        # Inputs are typed read-only: such a kernel takes writable and read-only arrays alike.
        typed = [
            argument.copy(readonly=True)
            if position < self._inputs and isinstance(argument, types.Array)
            else argument
            for position, argument in enumerate(arguments)
        ]
        signature = result(*typed)
        # error_model="numpy": no test for division by zero in the loop, which would keep it from being
        # vectorised. fastmath stays off: it may turn x/q into x*(1/q), which differs in the last bit.
        options = {"parallel": self._parallel, "nogil": True, "error_model": "numpy"}
        found: Callable[..., None]
        try:
            found = numba.njit(signature, cache=True, **options)(source)
        except (RuntimeError, OSError):
            # No writable place for the cache ("no locator available"), or it filled up while it was written.
            found = numba.njit(signature, **options)(source)
        return found


def flat(window: NDArray[Any]) -> NDArray[Any]:
    """View of a C-contiguous (band, y, x) array, not empty, as (band, pixel)."""
    return window.reshape(window.shape[0], -1)


def kernel(
    name: str, signature: str, *, inputs: int, parallel: bool = True
) -> Callable[[Callable[..., None]], Kernel]:
    """Register a loop as kernel `name`; its first `inputs` arguments are only read.

    `parallel` False is for kernels that run in threads which are many already: such a kernel uses one core and
    takes no turn.
    """

    def register(function: Callable[..., None]) -> Kernel:
        _REGISTRY[name] = Kernel(function, name, signature, inputs, parallel)
        return _REGISTRY[name]

    return register


def dn_kernel(
    name: str, signature: str, *, inputs: int
) -> Callable[[Callable[..., None]], dict[str, Kernel]]:
    """Register a loop for float32 and uint16 DN (``{dn}`` in the signature); returns kernels by dtype character."""

    def register(function: Callable[..., None]) -> dict[str, Kernel]:
        return {
            "f": kernel(name, signature.format(dn="f4"), inputs=inputs)(function),
            "H": kernel(f"{name}:uint16", signature.format(dn="u2"), inputs=inputs)(function),
        }

    return register


def kernel_names() -> tuple[str, ...]:
    """Names that `warm_up` accepts: the public function served, with a suffix for rarer variants."""
    return tuple(_REGISTRY)


def warm_up(names: Iterable[str] | None = None) -> None:
    """Compile kernels before they are needed, e.g. in a background thread while the first tiles decode.

    Safe while other threads call the same kernels: whoever comes second waits for the first.

    Parameters
    ----------
    names : iterable of str, optional
        Kernels to compile, out of `kernel_names()`. None: all but the rarer variants, whose names hold a
        ``:``.

    Raises
    ------
    ValueError
        If a name is not a kernel's; nothing is compiled then.
    """
    wanted = [name for name in _REGISTRY if ":" not in name] if names is None else list(names)
    unknown = [name for name in wanted if name not in _REGISTRY]
    if unknown:
        msg = f"warm_up: no kernel called {', '.join(unknown)}; expected any of {', '.join(_REGISTRY)}"
        raise ValueError(msg)
    for name in wanted:
        _REGISTRY[name].compile()
