"""Disks: how much room they have; full ones told from other errors, and reported with the file that did not fit."""

from __future__ import annotations

import errno
import os
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from s2pipe.errors import DiskFullError

if TYPE_CHECKING:
    from collections.abc import Iterator

_NO_SPACE = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}
_PROBE_BYTES = 1 << 20


def is_full(error: BaseException) -> bool:
    """Tell whether an error means that there is no room: a full disk, a quota, or a limit on the size of files."""
    return isinstance(error, DiskFullError) or (isinstance(error, OSError) and error.errno in _NO_SPACE)


def disk_full(path: Path, error: OSError) -> DiskFullError:
    """Return the error that ends a run whose disk is full."""
    return DiskFullError(
        f"{path}: the disk is full ({error.strerror}); everything finished so far is kept: make room and run again to "
        "go on"
    )


def free_bytes(path: Path) -> int:
    """Free bytes on the disk that holds, or would hold, a directory."""
    place = path.absolute()
    while not place.exists():
        place = place.parent
    return shutil.disk_usage(place).free


@contextmanager
def full_disk_ends(fallback: Path) -> Iterator[None]:
    """Turn errors of the operating system that mean a full disk into :class:`DiskFullError`.

    Parameters
    ----------
    fallback : Path
        What is named where the error names no file.
    """
    try:
        yield
    except OSError as error:
        if not is_full(error):
            raise
        raise disk_full(Path(error.filename or fallback), error) from error


def lack_of_room(path: Path) -> OSError | None:
    """Find out why a file could not be written, where a library does not say.

    Parameters
    ----------
    path : Path
        The unfinished file; its content stays.

    Returns
    -------
    OSError or None
        The error that means a full disk; None when the file can grow.
    """
    try:
        with path.open("ab", buffering=0) as stream:
            size = stream.tell()
            try:
                wanted = bytes(_PROBE_BYTES)
                while wanted:
                    wanted = wanted[stream.write(wanted) :]
                os.fsync(stream.fileno())
            finally:
                stream.truncate(size)
    except OSError as error:
        return error if is_full(error) else None
    return None
