"""Which input files were found to be as an index records them, so that each is hashed once and not in every run.

The memory is a file of JSON lines beside the index. Runs add lines to it in one write each, so several may do so at
once; a line that a killed run left unfinished is passed over. A file counts as verified only in the state in which it
was: another size, time of change of its content or of its inode, or another recorded checksum, and it is hashed again.
Of each line a digest is kept in memory: a line stands for one state of one file, and is never changed.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import stat
from dataclasses import astuple
from typing import TYPE_CHECKING

from s2pipe.errors import PathEscapeError
from s2pipe.runtime.paths import InsidePath

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from s2pipe.dataset.input_file import InputFile, Stamp

VERIFIED = "meta/step1/verified.jsonl"
"""Where the memory is, relative to the dataset's root, or to the output directory if the dataset is read-only."""
_MAX_BYTES = 4 << 30
"""Twenty million files."""
_DIGEST_BYTES = 16

log = logging.getLogger("s2pipe")


class VerifiedFiles:
    """The memory of a dataset.

    Parameters
    ----------
    root : Path
        Root of the dataset.
    fallback : Path
        Output directory, where the memory is kept if the dataset cannot be written to.
    """

    def __init__(self, root: Path, fallback: Path) -> None:
        self._root = root
        self._places = (InsidePath(root, VERIFIED), InsidePath(fallback, VERIFIED))
        self._known: set[bytes] = set()
        for place in self._places:
            self._load(place.path)

    def holds(self, file: InputFile, stamp: Stamp) -> bool:
        """Tell whether a file was found to have its recorded checksum in this state."""
        return _digest(self._line(file, stamp)) in self._known

    def add(self, files: Iterable[tuple[InputFile, Stamp]]) -> None:
        """Remember files; where nothing can be written, for this run alone."""
        lines = [self._line(file, stamp) for file, stamp in files if stamp.is_settled()]
        self._known.update(map(_digest, lines))
        if lines:
            data = b"".join(lines)
            any(append_line(place, data, _MAX_BYTES) for place in self._places)

    def _line(self, file: InputFile, stamp: Stamp) -> bytes:
        return (json.dumps([*self._key(file), *astuple(stamp), _checksum(file)]) + "\n").encode()

    def _key(self, file: InputFile) -> tuple[str, str | None]:
        path = file.path
        inside = path.relative_to(self._root) if path.is_relative_to(self._root) else path
        return inside.as_posix(), file.member

    def _load(self, path: Path) -> None:
        try:
            if not path.is_file():
                return
            if path.stat().st_size > _MAX_BYTES:
                log.warning(
                    "%s has more than %d bytes and is begun anew: all input files are hashed again",
                    path,
                    _MAX_BYTES,
                )
                return
            with path.open("rb") as stream:
                while line := stream.readline(_MAX_LINE_BYTES):
                    self._known.add(_digest(line))
        except OSError:
            return


_MAX_LINE_BYTES = 1 << 16


def _digest(line: bytes) -> bytes:
    return hashlib.blake2b(line, digest_size=_DIGEST_BYTES).digest()


def _checksum(file: InputFile) -> str:
    """What a file was compared with; another size in the index is compared anew, though the checksum is the same."""
    size = "" if file.size is None else f":{file.size}"
    return "" if file.checksum is None else f"{file.checksum.algorithm}:{file.checksum.value}{size}"


def append_line(place: InsidePath, data: bytes, limit: int) -> bool:
    """Add bytes to a memory in one write, beginning anew where it is larger than ``limit``; False where impossible."""
    # A link or a pipe that lies in its place is not written to.
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        path = place.owned()
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, flags, 0o666)
    except (OSError, PathEscapeError):
        return False
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return False
        if status.st_size > limit:
            os.ftruncate(descriptor, 0)
        elif (
            os.lseek(descriptor, max(status.st_size - 1, 0), os.SEEK_SET) and os.read(descriptor, 1) != b"\n"
        ):
            data = b"\n" + data  # not after what a killed run left unfinished
        return os.write(descriptor, data) == len(data)
    except OSError:
        return False
    finally:
        os.close(descriptor)
