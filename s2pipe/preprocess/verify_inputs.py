"""Inputs against the index, when they are used: every file of a scene before its pixels are.

The files of the next scene are hashed while the current one decodes. What was found stays true while the state of the
files does, so that is looked at again when the pixels have been read and before anything made of them is published.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from s2pipe.dataset.input_file import InputFile, Stamp
from s2pipe.dataset.remote_file import RemoteFile
from s2pipe.errors import ChecksumError, MissingInputError
from s2pipe.runtime.hashing import hash_bytes, hash_stream, is_known_algorithm

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from s2pipe.dataset.verified import VerifiedFiles

log = logging.getLogger("s2pipe.preprocess")

How = Literal["checksum", "earlier", "etag", "size", "nothing"]
"""How a file was checked: by its checksum now, or in an earlier run and unchanged since; by its size and, at an
address, its entity tag; by its size alone; not at all."""
_CURE = (
    "The scene is not processed. `s2pipe download CONFIG --verify` sets damaged files of a download aside and fetches "
    "them again; of products that lie elsewhere, replace the file, or run `s2pipe index` again if it was changed on "
    "purpose."
)


@dataclass(frozen=True)
class Checked:
    """What checking one file found."""

    file: InputFile
    """The file."""
    stamp: Stamp | None
    """State in which it was checked; None when it cannot be looked at."""
    how: How
    """How it was checked."""
    fault: str | None = None
    """How it differs from the index, else None."""


class InputVerifier:
    """Checks the files of scenes; close it after use.

    Parameters
    ----------
    memory : VerifiedFiles
        What earlier runs found.
    by_checksum : bool
        Compare checksums where the index has them, else sizes alone.
    threads : int
        Files that are hashed at once when a scene waits for them; ahead of time it is one.
    """

    def __init__(self, memory: VerifiedFiles, threads: int, *, by_checksum: bool) -> None:
        self._memory = memory
        self._by_checksum = by_checksum
        self._now = ThreadPoolExecutor(threads, "s2pipe-verify")
        self._ahead = ThreadPoolExecutor(1, "s2pipe-verify-ahead")
        self._pending: dict[InputFile, Future[Checked]] = {}
        self._stop = threading.Event()
        self._unknown: set[str] = set()

    def begin(self, files: Sequence[InputFile]) -> None:
        """Check files in the background; :meth:`require` asks for the result."""
        for file in files:
            if file not in self._pending:
                self._pending[file] = self._ahead.submit(self._check, file)

    def require(self, files: Sequence[InputFile]) -> tuple[Mapping[InputFile, Stamp], dict[How, int]]:
        """Return the states of files that are as the index says, and how many were checked in which way.

        Raises
        ------
        ChecksumError
            Files differ; all of them are listed.
        """
        futures = []
        for file in dict.fromkeys(files):
            ahead = self._pending.pop(file, None)
            # What has not begun is done at once rather than one by one.
            futures.append(self._now.submit(self._check, file) if ahead is None or ahead.cancel() else ahead)
        found = [future.result() for future in futures]
        refuse([item.fault for item in found if item.fault is not None])
        stamps = {item.file: item.stamp for item in found if item.stamp is not None}
        self._memory.add((item.file, stamps[item.file]) for item in found if item.how == "checksum")
        for item in found:
            self._warn(item.file)
        self.unchanged(stamps)
        return stamps, dict(Counter(item.how for item in found))

    @staticmethod
    def unchanged(stamps: Mapping[InputFile, Stamp]) -> None:
        """Check that files are in the state in which they were checked.

        Raises
        ------
        ChecksumError
            Files were changed since then; all of them are listed.
        """
        refuse([_changed(file) for file, stamp in stamps.items() if file.stamp() != stamp])

    def close(self) -> None:
        """Give up what nobody asked for."""
        self._stop.set()
        self._now.shutdown(cancel_futures=True)
        self._ahead.shutdown(cancel_futures=True)

    def _warn(self, file: InputFile) -> None:
        """Say once of an algorithm that nobody can compute it."""
        algorithm = None if file.checksum is None else file.checksum.algorithm
        if (
            algorithm
            and self._by_checksum
            and not file.is_remote
            and not is_checkable(file)
            and algorithm not in self._unknown
        ):
            self._unknown.add(algorithm)
            log.warning(
                "%s: only its size is checked, as that of other files with checksums of the unknown algorithm %r",
                file.label,
                algorithm[:40],
            )

    def _check(self, file: InputFile) -> Checked:
        stamp = file.stamp()
        if stamp is None:
            return Checked(file, None, "nothing", file.absence())
        if isinstance(file, RemoteFile):
            return _check_remote(file, stamp)
        by_checksum = self._by_checksum and is_checkable(file)
        if by_checksum and self._memory.holds(file, stamp):
            return Checked(file, stamp, "earlier")
        try:
            fault = size_fault(file, file.size_on_disk())
            if fault is None and by_checksum:
                fault = self._hash_fault(file)
        except MissingInputError as error:
            fault = str(error)
        if fault is None and file.stamp() != stamp:
            fault = _changed(file)
        how: How = "checksum" if by_checksum else "nothing" if file.size is None else "size"
        return Checked(file, stamp, how, fault)

    def _hash_fault(self, file: InputFile) -> str | None:
        assert file.checksum is not None  # it is checkable
        with file.open() as stream:
            found = hash_stream(stream, file.checksum.algorithm, self._go_on)
        return checksum_fault(file, found)

    def _go_on(self, _: int) -> None:
        """Called after every piece: end the thread early when the run has ended."""
        if self._stop.is_set():
            raise InterruptedError


def _check_remote(file: RemoteFile, stamp: Stamp) -> Checked:
    """Compare what the server says with the index; the content is compared only when the file is staged."""
    fault = size_fault(file, stamp.size)
    if fault is None and file.etag is not None and file.etag != stamp.etag:
        fault = f"{file.label}: expected entity tag {file.etag}, got {stamp.etag or 'none'}: its content was changed"
    how: How = "etag" if file.etag is not None else "nothing" if file.size is None else "size"
    return Checked(file, stamp, how, fault)


def describe_checks(counts: Mapping[How, int]) -> str:
    """Return in words how many files were checked in which way."""
    words: dict[How, str] = {
        "checksum": "by checksum",
        "earlier": "by checksum earlier, unchanged since",
        "etag": "by size and entity tag",
        "size": "by size",
        "nothing": "not recorded",
    }
    return ", ".join(f"{counts[how]} {text}" for how, text in words.items() if counts.get(how))


def is_checkable(file: InputFile) -> bool:
    """Tell whether the index has a checksum of the file, of an algorithm that every Python has."""
    return file.checksum is not None and is_known_algorithm(file.checksum.algorithm)


def read_checked(file: InputFile, *, by_checksum: bool) -> bytes:
    """Read a small file whole, and check just these bytes.

    Raises
    ------
    ChecksumError
        They differ from what the index says.
    MissingInputError
        The file cannot be read.
    """
    data = file.read()
    fault = size_fault(file, len(data))
    if fault is None and by_checksum and is_checkable(file) and file.checksum is not None:
        fault = checksum_fault(file, hash_bytes(data, file.checksum.algorithm))
    refuse([] if fault is None else [fault])
    return data


def size_fault(file: InputFile, size: int) -> str | None:
    """Say how a size differs from the recorded one; None when it does not."""
    if file.size is None or size == file.size:
        return None
    return f"{file.label}: expected {file.size} bytes, got {size}"


def checksum_fault(file: InputFile, found: str) -> str | None:
    """Say how a checksum differs from the recorded one; None when it does not."""
    if file.checksum is None or found == file.checksum.value:
        return None
    return f"{file.label}: expected {file.checksum.algorithm} {file.checksum.value}, got {found}"


def refuse(faults: Sequence[str]) -> None:
    """Raise a ChecksumError that lists all faults, if there are any."""
    if faults:
        lines = "\n".join(f"  {fault}" for fault in faults)
        msg = f"{len(faults)} input file(s) are not as the index says:\n{lines}\n{_CURE}"
        raise ChecksumError(msg)


def _changed(file: InputFile) -> str:
    return f"{file.label}: was changed while the scene was processed"
