"""Tasks on the workers of a Dask cluster: few in flight, lost workers made up for, everything cancelled at the end."""

from __future__ import annotations

import functools
import logging
import os
import secrets
import signal
import time
from contextlib import ExitStack, contextmanager
from multiprocessing import resource_tracker
from typing import TYPE_CHECKING, Any

from s2pipe.distributed.address import Scheduler
from s2pipe.errors import ClusterError, DependencyError
from s2pipe.runtime.cores import core_count
from s2pipe.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator

log = logging.getLogger("s2pipe.distributed")
_TIMEOUT_S = 30
_LOOK_EVERY_S = 2.0
"""How long the number of workers is believed; clusters grow and shrink."""
_WIDTH = 16
"""Values that one task of a sum adds."""


@contextmanager
def open_cluster(scheduler: str, num_workers: int) -> Iterator[Cluster]:
    """Start processes, or connect to a scheduler, for as long as the context lasts.

    Parameters
    ----------
    scheduler : str
        ``processes:N``, an address, or a scheduler file.
    num_workers : int
        Threads of one worker; 0 shares the cores of this machine out among its processes.

    Raises
    ------
    DependencyError
        Dask is not installed.
    ClusterError
        The scheduler cannot be reached.
    """
    try:
        import distributed
    except ImportError as error:
        msg = f"scheduler {scheduler} needs Dask, which cannot be imported ({error}): `pip install 's2pipe[dask]'`"
        raise DependencyError(msg) from error
    where = Scheduler.parse(scheduler)
    with ExitStack() as stack:
        if where.processes is not None:
            threads = num_workers or max(1, core_count() // where.processes)
            with _deaf_to_interrupts():
                local = distributed.LocalCluster(
                    n_workers=where.processes,
                    threads_per_worker=1,
                    memory_limit=None,  # scenes are streamed; what Dask would count is GDAL's cache
                    dashboard_address="127.0.0.1:0",
                    # What fails is told by the run; a worker whose run was interrupted misses its scheduler aloud.
                    silence_logs=logging.CRITICAL,
                    env={"NUMBA_NUM_THREADS": str(threads)},
                )
            cluster = stack.enter_context(local)
            client = stack.enter_context(distributed.Client(cluster))
        else:
            client = stack.enter_context(_connected(distributed, where))
        log.info("%s: tasks and workers are shown at %s", where, client.dashboard_link)
        yield Cluster(client, str(where))


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Let processes that are started now, and those that replace them, take no notice of Ctrl-C on their terminal.

    They inherit it from the thread that starts them. The run itself is interrupted, and ends them.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    resource_tracker.ensure_running()  # when the first process is started, it would let the signal through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _connected(distributed: Any, where: Scheduler) -> Any:
    target = {"scheduler_file": str(where.file)} if where.file is not None else {"address": where.address}
    try:
        return distributed.Client(**target, timeout=_TIMEOUT_S)
    except (
        OSError,
        ValueError,
        TypeError,
        LookupError,
    ) as error:  # ValueError, LookupError: no scheduler file
        msg = (
            f"scheduler {where} cannot be reached ({error}): expected a running Dask scheduler; start one with "
            "`dask scheduler`, or give processes:N"
        )
        raise ClusterError(msg) from error


class Cluster:
    """A Dask cluster as runs use it.

    Parameters
    ----------
    client : distributed.Client
        Connection to the scheduler.
    name : str
        What messages call it.
    """

    def __init__(self, client: Any, name: str) -> None:
        self._client = client
        self._name = name
        # Names of tasks are those of their scenes, and Dask would return what an earlier run made under the same one.
        self._run = secrets.token_hex(4)
        self._in_flight, self._looked = 2, -1e9

    def share(self, value: Any, name: str) -> Any:
        """Give a value to all workers, each once, for as long as what is returned is kept.

        It is the result of a task, not scattered: workers that come later, or replace lost ones, get it too.
        """
        return self._submit(_itself, f"share_{name}", value)

    def each(
        self,
        function: Callable[..., Any],
        tasks: Iterable[tuple[str, tuple[Any, ...]]],
        lost: Callable[[str, str], Any],
    ) -> Generator[Any, None, None]:
        """Call a function for each task on some worker, and yield the results as they come.

        Parameters
        ----------
        function : callable
            Found by its module's name on workers; its name is that of the tasks on the dashboard.
        tasks : iterable of (str, tuple)
            Name and arguments of each task.
        lost : callable
            Makes the result of a task, from its name and a reason, whose worker died several times.

        Raises
        ------
        ClusterError
            The connection to the scheduler is lost.
        S2PipeError
            What the function raised.
        """
        from distributed import as_completed

        waiting = iter(tasks)
        running: dict[Any, str] = {}
        done = as_completed()

        def fill() -> None:
            while len(running) < self._most():
                task = next(waiting, None)
                if task is None:
                    return
                name, arguments = task
                future = self._submit(function, f"{function.__name__}-{name}", *arguments)
                running[future] = name
                done.add(future)

        try:
            fill()
            while running:
                future = next(done)
                name = running.pop(future)
                result = self._result(future, functools.partial(lost, name))
                future.release()
                fill()
                yield result
        finally:
            self._client.cancel(list(running), force=True)

    def sum(self, load: Callable[..., Any], add: Callable[..., Any], *shared: Any) -> TreeSum:
        """Return a sum that workers compute (see :class:`TreeSum`)."""
        return TreeSum(self._submit, self._result, load, add, shared)

    def _submit(self, function: Callable[..., Any], key: str, *arguments: Any) -> Any:
        return self._client.submit(function, *arguments, key=f"{key}-{self._run}", pure=False)

    def _result(self, future: Any, lost: Callable[[str], Any] | None = None) -> Any:
        """Wait for a task; what its function raised is raised here."""
        from distributed import KilledWorker
        from distributed.comm import CommClosedError

        try:
            return future.result()
        except KilledWorker as error:
            reason = f"its worker died, and so did those that it was given to next ({error})"
            if lost is None:
                msg = f"scheduler {self._name}: {reason}"
                raise ClusterError(msg) from error
            return lost(reason)
        except (CommClosedError, *_cancelled_errors()) as error:
            msg = (
                f"scheduler {self._name} was lost ({type(error).__name__}: {error}); finished scenes are complete: "
                "run again to go on"
            )
            raise ClusterError(msg) from error

    def _most(self) -> int:
        """How many tasks keep all workers busy: one for each of their threads, and one more for each to go on with."""
        if time.monotonic() - self._looked > _LOOK_EVERY_S:
            threads = self._client.nthreads()
            self._in_flight = max(2, sum(threads.values()) + len(threads))
            self._looked = time.monotonic()
        return self._in_flight


class TreeSum:
    """A sum of many values, added by tasks of a few each, so that only the total comes to the client.

    Parameters
    ----------
    submit, result : callable
        Those of the cluster.
    load : callable
        Makes a sum from the ``shared`` arguments and a list of items, on a worker.
    add : callable
        Makes a sum from several, on a worker.
    shared : tuple
        First arguments of ``load``.
    """

    def __init__(
        self,
        submit: Callable[..., Any],
        result: Callable[..., Any],
        load: Callable[..., Any],
        add: Callable[..., Any],
        shared: tuple[Any, ...],
    ) -> None:
        self._submit, self._result = submit, result
        self._load, self._add = load, add
        self._shared = shared
        self._items: list[Any] = []
        self._levels: list[list[Any]] = []
        self._tasks = 0

    def put(self, item: Any) -> None:
        """Add an item."""
        self._items.append(item)
        if len(self._items) == _WIDTH:
            self._load_items()

    def total(self) -> Any:
        """Return the sum of all items; None without any."""
        if self._items:
            self._load_items()
        parts = [part for level in self._levels for part in level]
        while len(parts) > 1:
            parts = [self._added(parts[start : start + _WIDTH]) for start in range(0, len(parts), _WIDTH)]
        return self._result(parts[0]) if parts else None

    def _load_items(self) -> None:
        self._rise(0, self._next(self._load, *self._shared, self._items))
        self._items = []

    def _rise(self, level: int, part: Any) -> None:
        if level == len(self._levels):
            self._levels.append([])
        parts = self._levels[level]
        parts.append(part)
        if len(parts) == _WIDTH:
            self._levels[level] = []
            self._rise(level + 1, self._added(parts))

    def _added(self, parts: list[Any]) -> Any:
        return parts[0] if len(parts) == 1 else self._next(self._add, parts)

    def _next(self, function: Callable[..., Any], *arguments: Any) -> Any:
        self._tasks += 1
        return self._submit(function, f"{function.__name__}-{self._tasks}", *arguments)


def worker_threads(num_workers: int) -> int:
    """Return the threads that a task may use on the worker that it runs on, kernels of Numba among them.

    Parameters
    ----------
    num_workers : int
        What the configuration says; 0 shares the cores out among the tasks that this worker runs at once.
    """
    from distributed import get_worker

    threads = num_workers or max(1, core_count() // int(get_worker().state.nthreads))
    # Numba reads it when it is imported, with the first scene; a worker may have been started with a limit of its own.
    os.environ.setdefault("NUMBA_NUM_THREADS", str(threads))
    return threads


def require_version(version: str) -> None:
    """Check, on a worker, that a task was made by its own version of s2pipe.

    Raises
    ------
    DependencyError
        It was made by another.
    """
    if version != __version__:
        msg = (
            f"a worker has s2pipe {__version__}, but the run was started with {version}: install the same version "
            "everywhere"
        )
        raise DependencyError(msg)


def _itself(value: Any) -> Any:
    return value


def _cancelled_errors() -> tuple[Any, ...]:
    """Errors of tasks that were cancelled, which have a name of their own in newer versions of Dask."""
    import asyncio
    from concurrent.futures import CancelledError

    import distributed

    found = getattr(distributed, "FutureCancelledError", CancelledError)
    return CancelledError, asyncio.CancelledError, found
