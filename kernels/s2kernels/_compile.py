"""Turn plain loops into parallel kernels: compiled at first use, once, launched one at a time."""

from __future__ import annotations

import threading
from types import FunctionType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

# Stands in for numba.prange until a kernel is compiled, so that importing s2kernels does not import Numba
# (0.3 s); `Kernel._compile` puts the real one into the globals of the function it compiles.
prange = range

# Pixels of one band that a thread does before the next band. Kernels see a window as (band, pixel) and cut it
# into strips, not into rows: a mask shared by the bands stays in the cache, every stream is long enough for
# the hardware to prefetch, and neither narrow nor flat windows are slow. 64 KB a stream stay in the
# second-level cache; 1024 or 4096 pixels restart the prefetcher too often (about 1.3 times
# slower).
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
        import numba
        from numba.core import sigutils, types

        function = self._function
        assert isinstance(function, FunctionType)
        source = FunctionType(
            function.__code__, {**function.__globals__, "prange": numba.prange}, function.__name__
        )
        source.__qualname__ = self._name  # names the cache file, so that each signature has its own
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
        # vectorised. fastmath stays off: it may turn x/q into x*(1/q), which
        # differs in the last bit.
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
