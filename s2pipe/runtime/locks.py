"""Locks between processes."""

from __future__ import annotations

import errno
import os
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

from s2pipe.errors import LockedError

if TYPE_CHECKING:
    from collections.abc import Iterator

_MOST_TRIES = 1000
"""Times that a lock file may be removed by its holder while it is being opened; more of them are a mistake."""
_HELD = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES, errno.EDEADLK)
"""Errors of locking when another process holds the lock (Windows: EACCES, EDEADLK)."""


@contextmanager
def locked(path: Path, *, wait: bool = True, shared: bool = False) -> Iterator[IO[bytes]]:
    """Hold a lock on a file.

    Parameters
    ----------
    path : Path
        Lock file, made when it is missing. Only its holder may remove it (:func:`remove_held`): whoever waited for it
        meanwhile notices, and locks the new file of that name.
    wait : bool
        Wait for the other holder; otherwise raise at once.
    shared : bool
        Hold it beside others that hold it so; Windows has no such locks, and there it is held alone.

    Raises
    ------
    LockedError
        Another process holds the lock and ``wait`` is false, or the file system has no locks.
    """
    stream = _acquired(path, wait=wait, shared=shared)
    with stream:
        try:
            yield stream
        finally:
            _release(stream)


def remove_held(path: Path) -> None:
    """Remove a lock file while holding it; where the system does not let open files go, it stays."""
    with suppress(OSError):
        path.unlink()


def _acquired(path: Path, *, wait: bool, shared: bool) -> IO[bytes]:
    """Open and lock the file that has this name when the lock is there."""
    for _ in range(_MOST_TRIES):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            stream = _opened(path)
        except FileNotFoundError:  # the holder removed the directory too
            continue
        try:
            _acquire(stream, wait=wait, shared=shared)
            if _is_at(stream, path):
                return stream
        except OSError as error:
            stream.close()
            raise LockedError(_reason(path, error)) from error
        except BaseException:  # interrupted while it waited
            stream.close()
            raise
        stream.close()
    msg = f"{path}: was removed each of {_MOST_TRIES} times that it was opened; find out which program does that"
    raise LockedError(msg)


def _is_at(stream: IO[bytes], path: Path) -> bool:
    """Tell whether an open file is still the one of this name."""
    try:
        return os.path.samestat(os.fstat(stream.fileno()), path.stat())
    except FileNotFoundError:
        return False


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

    def _acquire(stream: IO[bytes], *, wait: bool, shared: bool = False) -> None:  # noqa: ARG001 - see locked
        stream.seek(0)
        msvcrt.locking(stream.fileno(), msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)

    def _release(stream: IO[bytes]) -> None:
        stream.seek(0)
        msvcrt.locking(stream.fileno(), msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _acquire(stream: IO[bytes], *, wait: bool, shared: bool = False) -> None:
        fcntl.flock(stream, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB))

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
