"""Which input files were found to be as an index records them, so that each is hashed once and not in every run.

The memory is a file of JSON lines beside the index. Runs add lines to it in one write each, so several may do so at
once; a line that a killed run left unfinished is passed over. A file counts as verified only in the state in which it
was: another size, time of change of its content or of its inode, or another recorded checksum, and it is hashed again.
"""

from __future__ import annotations

import json
import os
import stat
from dataclasses import astuple
from typing import TYPE_CHECKING

from s2pipe.dataset.input_file import Stamp
from s2pipe.errors import PathEscapeError
from s2pipe.runtime.paths import InsidePath

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from s2pipe.dataset.input_file import InputFile

VERIFIED = "meta/step1/verified.jsonl"
"""Where the memory is, relative to the dataset's root, or to the output directory if the dataset is read-only."""
_MAX_BYTES = 256 << 20


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
        self._known: dict[tuple[str, str | None], tuple[Stamp, str]] = {}
        for place in self._places:
            self._load(place.path)

    def holds(self, file: InputFile, stamp: Stamp) -> bool:
        """Tell whether a file was found to have its recorded checksum in this state."""
        return self._known.get(self._key(file)) == (stamp, _checksum(file))

    def add(self, files: Iterable[tuple[InputFile, Stamp]]) -> None:
        """Remember files; where nothing can be written, for this run alone."""
        lines = []
        for file, stamp in files:
            if stamp.is_settled():
                key, checksum = self._key(file), _checksum(file)
                self._known[key] = stamp, checksum
                lines.append(json.dumps([*key, *astuple(stamp), checksum]) + "\n")
        if lines:
            data = "".join(lines).encode()
            any(append_line(place, data, _MAX_BYTES) for place in self._places)

    def _key(self, file: InputFile) -> tuple[str, str | None]:
        path = file.path
        inside = path.relative_to(self._root) if path.is_relative_to(self._root) else path
        return inside.as_posix(), file.member

    def _load(self, path: Path) -> None:
        try:
            if not path.is_file() or path.stat().st_size > _MAX_BYTES:
                return
            lines = path.read_bytes().splitlines()
        except OSError:
            return
        for line in lines:
            try:
                name, member, *stamp, checksum = json.loads(line)
                self._known[name, member] = Stamp(*stamp), checksum
            except (ValueError, TypeError, RecursionError):  # cut short, or damaged
                continue


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
        return os.write(descriptor, data) == len(data)
    except OSError:
        return False
    finally:
        os.close(descriptor)
