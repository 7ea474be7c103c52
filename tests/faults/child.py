"""Commands in processes of their own, which are killed, starved of disk, or run at the same time.

Processes are forked from one that has imported everything, since starting Python anew takes longer than the command.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import resource
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import random

_CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate"}
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["tests.faults.preloaded"])
_LONGEST_S = 120.0


@dataclass(frozen=True)
class Limits:
    """What happens to a command."""

    kill_at: int | None = None
    """Kill it with SIGKILL just before it changes the file system for the so-manieth time."""
    most_bytes: int | None = None
    """Largest file that it can write."""
    environment: tuple[tuple[str, str], ...] = ()
    """Variables for it."""
    stdout: str | None = None
    """File that its output goes to."""


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    """Exit code; negative: the signal that ended it."""
    stderr: str
    """What it said."""
    changes: int
    """How often it changed the file system, as far as Python knows."""
    seconds: float
    """Wall time."""


class Command:
    """A running command.

    Parameters
    ----------
    arguments : sequence
        What follows ``s2pipe``.
    scratch : Path
        Directory for its stderr.
    limits : Limits
        What happens to it.
    """

    _numbers = itertools.count()

    def __init__(self, arguments: tuple[object, ...], scratch: Path, limits: Limits = Limits()) -> None:
        self._said = scratch / f"command-{next(self._numbers)}"
        self._process = _CONTEXT.Process(target=_run, args=([*map(str, arguments)], str(self._said), limits))
        self._start = time.monotonic()
        self._process.start()

    def kill_after(self, seconds: float) -> None:
        """Kill it after a time, unless it has ended."""
        self._process.join(seconds)
        self._process.kill()

    def wait(self) -> Ended:
        """Wait for its end."""
        self._process.join(_LONGEST_S)
        if self._process.exitcode is None:
            self._process.kill()
            self._process.join()
            msg = f"a command ran for more than {_LONGEST_S} s"
            raise TimeoutError(msg)
        said = self._said.read_text("utf-8", "replace") if self._said.exists() else ""
        counted = Path(f"{self._said}.changes")
        # Empty where the child was killed at the very last change, which is writing this number.
        changes = int(counted.read_text() or 0) if counted.exists() else 0
        seconds = time.monotonic() - self._start
        return Ended(self._process.exitcode or 0, said, changes, seconds)


def _run(arguments: list[str], said: str, limits: Limits) -> None:
    from s2pipe.cli import main

    for stream, name in ((1, limits.stdout or os.devnull), (2, said)):
        handle = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(handle, stream)
    os.environ.update(limits.environment)
    changes = _count_changes(limits.kill_at)
    if limits.most_bytes is not None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limits.most_bytes, resource.RLIM_INFINITY))
    code = main(arguments)
    if limits.most_bytes is None:
        done = next(changes)
        Path(f"{said}.changes").write_text(str(done))
    sys.exit(code)


def _count_changes(kill_at: int | None) -> Any:
    counter = itertools.count()

    def hook(event: str, given: tuple[Any, ...]) -> None:
        if (event in _CHANGES or (event == "open" and _writes(given))) and next(counter) == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    return counter


def _writes(given: tuple[Any, ...]) -> bool:
    _, mode, flags = given
    return bool(isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR)) or "w" in (mode or "")


def run(arguments: tuple[object, ...], scratch: Path, limits: Limits = Limits()) -> Ended:
    """Run a command to its end."""
    return Command(arguments, scratch, limits).wait()


def run_killed(
    arguments: tuple[object, ...], scratch: Path, draw: random.Random, usual: Ended, **limits: Any
) -> Ended:
    """Kill a command: before a change of the file system that is drawn, or after a time that is.

    Parameters
    ----------
    usual : Ended
        How it ends undisturbed.
    """
    if draw.random() < 0.5:
        return run(arguments, scratch, Limits(kill_at=draw.randrange(max(1, usual.changes)), **limits))
    command = Command(arguments, scratch, Limits(**limits))
    command.kill_after(draw.uniform(0.1, 0.95) * usual.seconds)
    return command.wait()
