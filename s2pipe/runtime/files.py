"""Files: atomic writes, hashes, locks, and paths that cannot leave their root."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import tempfile
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO, TYPE_CHECKING, Any

from s2pipe.errors import LockedError, OutputError, PathEscapeError

if TYPE_CHECKING:
    from collections.abc import Iterator

try:
    import fcntl
except ImportError:  # Windows: msvcrt offers the same kind of advisory lock
    fcntl = None  # type: ignore[assignment]

_HASH_CHUNK = 1 << 20
_HELD = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES, errno.EDEADLK)
"""What locking fails with when another process holds the lock (Windows: EACCES, EDEADLK)."""


def utc_now() -> str:
    """Return the current time as ``YYYY-MM-DDTHH:MM:SSZ``."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def json_bytes(document: Any) -> bytes:
    """Serialise to the one JSON form that s2pipe writes: UTF-8, two-space indent, no NaN, final newline."""
    return (json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


@contextmanager
def named_errors(path: Path) -> Iterator[None]:
    """Give errors of the operating system that name no file, as those of a full disk, the name of this one."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = str(path)
        raise


@contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``target`` that replaces it on success and vanishes on failure.

    Parameters
    ----------
    target : Path
        Final path; missing parent directories are made.

    Yields
    ------
    Path
        Path that does not exist yet, in the same directory and with the same suffix.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.stem[:64]}.", suffix=target.suffix)
    os.close(handle)
    os.unlink(name)
    temporary = Path(name)
    try:
        with named_errors(target):
            yield temporary
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes_atomic(target: Path, data: bytes) -> None:
    """Write ``data`` to ``target`` so that readers see the old content or the new, never a part."""
    with atomic_path(target) as temporary, open(temporary, "wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())


def write_json_atomic(target: Path, document: Any) -> None:
    """Write a JSON document atomically (see :func:`json_bytes` for its form)."""
    write_bytes_atomic(target, json_bytes(document))


def check_writable(directory: Path) -> None:
    """Make a directory if it is missing, and try to write to it.

    Raises
    ------
    OutputError
        It cannot be written to.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=directory, prefix=".s2pipe-") as stream:
            stream.write(bytes(4096))
            stream.flush()
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        msg = (
            f"{directory}: cannot be written to ({error}); choose another directory, or make this one writable and "
            "give it room"
        )
        raise OutputError(msg) from error


def hash_file(path: Path, algorithm: str) -> str:
    """Return a file's checksum as lower-case hexadecimal.

    Parameters
    ----------
    path : Path
        File to read, in chunks of 1 MiB.
    algorithm : str
        Name as SAFE manifests spell it, ``MD5`` or ``SHA3-256`` (any case), or any name of :mod:`hashlib`.
    """
    digest = new_hash(algorithm)
    with open(path, "rb") as stream:
        while chunk := stream.read(_HASH_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def new_hash(algorithm: str) -> Any:
    """Return a new :mod:`hashlib` object for a checksum name as SAFE manifests spell it."""
    name = algorithm.lower().replace("-", "_")
    return hashlib.new(name, usedforsecurity=False)


def is_safe_relative(path: str) -> bool:
    """Tell whether ``path`` is relative, free of ``..`` and control characters, on POSIX and Windows alike."""
    if not path or any(ord(char) < 32 for char in path):
        return False
    posix, windows = PurePosixPath(path), PureWindowsPath(path)
    if posix.is_absolute() or windows.drive or windows.root:
        return False
    return ".." not in posix.parts and ".." not in windows.parts


def safe_join(root: Path, path: str) -> Path:
    """Join ``root`` and a relative path from outside, refusing whatever would leave ``root``.

    The test is on the text: symbolic links below ``root`` are the owner's own and are followed.

    Raises
    ------
    PathEscapeError
        ``path`` is absolute, holds ``..`` or control characters.
    """
    if not is_safe_relative(path):
        msg = (
            f"{path!r} leaves its root {root}: expected a relative path without '..'; "
            "correct the manifest, or allow absolute paths where the command offers it"
        )
        raise PathEscapeError(msg)
    return root / path


@contextmanager
def locked(path: Path, *, wait: bool = True) -> Iterator[IO[bytes]]:
    """Hold an exclusive lock between processes on the file ``path`` (made when missing, never removed).

    Parameters
    ----------
    path : Path
        Lock file. Removing it while others wait would let two holders in, so it stays.
    wait : bool
        Wait for the other holder; otherwise raise at once.

    Raises
    ------
    LockedError
        Another process holds the lock and ``wait`` is false, or the file system has no locks.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a+b") as stream:
        _acquire(stream, path, wait)
        try:
            yield stream
        finally:
            _release(stream)


def _acquire(stream: IO[bytes], path: Path, wait: bool) -> None:
    try:
        if fcntl is not None:
            fcntl.flock(stream, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        else:
            import msvcrt

            stream.seek(0)
            mode = msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK  # type: ignore[attr-defined]
            msvcrt.locking(stream.fileno(), mode, 1)  # type: ignore[attr-defined]
    except OSError as error:
        if error.errno in _HELD:
            msg = f"{path}: another s2pipe run holds this lock; wait for it to end"
            raise LockedError(msg) from error
        name = errno.errorcode.get(error.errno or 0, "unknown")
        msg = (
            f"{path}: the file cannot be locked ({name}: {error.strerror}; file system: {file_system(path)}); choose a "
            "directory on a local disk, or mount that file system with locks"
        )
        raise LockedError(msg) from error


def file_system(path: Path) -> str:
    """Return the type of the file system that holds a path, ``ext4`` or ``nfs``; ``unknown`` off Linux."""
    try:
        mounts = [line.split() for line in Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()]
    except OSError:
        return "unknown"
    real = os.path.realpath(path)
    holding = [(mount, kind) for _, mount, kind, *_ in mounts if os.path.commonpath((real, mount)) == mount]
    return max(holding, key=lambda item: len(item[0]), default=("", "unknown"))[1]


def _release(stream: IO[bytes]) -> None:
    if fcntl is not None:
        fcntl.flock(stream, fcntl.LOCK_UN)
    else:
        import msvcrt

        stream.seek(0)
        msvcrt.locking(stream.fileno(), msvcrt.LK_UNLCK, 1)  # type: ignore[attr-defined]
