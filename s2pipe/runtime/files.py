"""Files that are complete or absent: atomic writes, and checks that a directory can be written to."""

from __future__ import annotations

import json
import os
import re
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from s2pipe.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Iterator


def json_bytes(document: Any) -> bytes:
    """Serialise to the JSON form that s2pipe writes: UTF-8, indented by two spaces, no NaN, a final newline."""
    return (json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


@contextmanager
def named_errors(path: Path) -> Iterator[None]:
    """Add this file's name to errors of the operating system that name none, such as those of a full disk."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = str(path)
        raise


@contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``target``. It replaces ``target`` on success and is removed on failure.

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
    temporary = Path(name)
    temporary.unlink()
    try:
        with named_errors(target):
            yield temporary
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def unfinished(target: Path) -> list[Path]:
    """Files that killed runs left of ``target`` (see :func:`atomic_path`); none of anything else."""
    name = re.compile(rf"\.{re.escape(target.stem[:64])}\.[a-z0-9_]{{8}}{re.escape(target.suffix)}", re.ASCII)
    return [path for path in target.parent.glob(".*") if name.fullmatch(path.name)]


def sweep(*targets: Path) -> None:
    """Remove what killed runs left of files; the caller holds the lock under which these are written."""
    for target in targets:
        for left in unfinished(target):
            left.unlink(missing_ok=True)


def sweep_directory(directory: Path) -> None:
    """Remove what killed runs left of any file of a directory of s2pipe's own; the caller holds its lock."""
    name = re.compile(r"\..+\.[a-z0-9_]{8}(\.[A-Za-z0-9]+)?", re.ASCII)
    for left in directory.glob(".*"):
        if name.fullmatch(left.name):
            left.unlink(missing_ok=True)


def write_bytes_atomic(target: Path, data: bytes) -> None:
    """Write ``data`` to ``target``. Readers see the old content or the new, never a part of either."""
    with atomic_path(target) as temporary, temporary.open("wb") as stream:
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
        The directory cannot be made or written to.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(
            dir=directory, prefix=".s2pipe-"
        ) as stream:  # nothing is left of it when killed
            stream.write(bytes(4096))
            stream.flush()
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        msg = (
            f"{directory}: cannot be written to ({error}); choose another directory, or make this one writable and "
            "free disk space"
        )
        raise OutputError(msg) from error
