"""Locks between processes."""

from __future__ import annotations

import errno
import os
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from s2pipe.errors import LockedError

if TYPE_CHECKING:
    from collections.abc import Iterator

_HELD = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES, errno.EDEADLK)
"""Errors of locking when another process holds the lock (Windows: EACCES, EDEADLK)."""


@contextmanager
def locked(path: Path, *, wait: bool = True) -> Iterator[IO[bytes]]:
    """Hold an exclusive lock on a file.

    Parameters
    ----------
    path : Path
        Lock file. It is made when it is missing and never removed: while a process waits for a removed file, another
        one could lock a new file of the same name.
    wait : bool
        Wait for the other holder; otherwise raise at once.

    Raises
    ------
    LockedError
        Another process holds the lock and ``wait`` is false, or the file system has no locks.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with _opened(path) as stream:
        try:
            _acquire(stream, wait=wait)
        except OSError as error:
            raise LockedError(_reason(path, error)) from error
        try:
            yield stream
        finally:
            _release(stream)


def _opened(path: Path) -> IO[bytes]:
    """Open a lock file, never what a link in its place points to."""

    def opener(name: str, flags: int) -> int:
        return os.open(name, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)

    try:
        return open(path, "a+b", opener=opener)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        msg = f"{path}: is a link where a lock is expected; remove it"
        raise LockedError(msg) from error


def try_hold(stream: IO[bytes]) -> bool:
    """Lock an open file until it is closed, unless another holder has it; tell whether it was free.

    Where the file system has no locks, no file is free.
    """
    try:
        _acquire(stream, wait=False)
    except OSError:
        return False
    return True


if sys.platform == "win32":
    import msvcrt

    def _acquire(stream: IO[bytes], *, wait: bool) -> None:
        stream.seek(0)
        msvcrt.locking(stream.fileno(), msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)

    def _release(stream: IO[bytes]) -> None:
        stream.seek(0)
        msvcrt.locking(stream.fileno(), msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _acquire(stream: IO[bytes], *, wait: bool) -> None:
        fcntl.flock(stream, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))

    def _release(stream: IO[bytes]) -> None:
        fcntl.flock(stream, fcntl.LOCK_UN)


def _reason(path: Path, error: OSError) -> str:
    if error.errno in _HELD:
        return f"{path}: another s2pipe run holds this lock; wait for it to end"
    name = errno.errorcode.get(error.errno or 0, "unknown")
    return (
        f"{path}: the file cannot be locked ({name}: {error.strerror}; file system: {file_system(path)}); choose a "
        "directory on a local disk, or mount that file system with locks"
    )


def file_system(path: Path) -> str:
    """Return the type of the file system that holds a path, ``ext4`` or ``nfs``; ``unknown`` off Linux."""
    try:
        mounts = [line.split() for line in Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()]
    except OSError:
        return "unknown"
    real = os.path.realpath(path)
    holding = [(mount, kind) for _, mount, kind, *_ in mounts if os.path.commonpath((real, mount)) == mount]
    return max(holding, key=lambda item: len(item[0]), default=("", "unknown"))[1]
