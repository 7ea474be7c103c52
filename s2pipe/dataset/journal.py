"""Journals: what runs add to an index while they go on, one file a writer, until it is compacted into the index.

Beside ``index.json`` lies the directory ``index.journal``. Every process that records something appends lines to a file
of its own there, each with one write, so that adding an entry costs the same whatever the size of the index, and nobody
waits for anybody. An index is what its file says and then all entries that are not in it yet, in the order of
:attr:`Entry.order`: later ones win.

Compaction writes a new index file from both, under the lock of the index. ``compacted.json`` in the directory says how
much of each journal an index file holds; it is written before the index, for the old one and for the new one, which
their seals tell apart. So a run that is killed at any point neither loses an entry nor has one counted twice.
"""

from __future__ import annotations

import json
import logging
import os
import re
import secrets
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from s2pipe.config.documents import parse_json, read_json
from s2pipe.dataset.proof import seal_of_file
from s2pipe.errors import Fault, LockedError, ManifestError
from s2pipe.runtime.files import atomic_path, named_errors, sweep, write_json_atomic
from s2pipe.runtime.limits import MAX_JOURNAL_LINE_BYTES
from s2pipe.runtime.locks import locked, remove_held
from s2pipe.runtime.paths import check_owned

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

log = logging.getLogger("s2pipe")

T = TypeVar("T")

_COMPACTED = "compacted.json"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._=-]{0,200}\.jsonl", re.ASCII)
_TRIES = 100
"""Times that journals and index are read until no compaction came between."""


@dataclass(frozen=True)
class Entry:
    """One line of a journal."""

    time_ns: int
    """Time of writing, nanoseconds since 1970."""
    writer: str
    """Name of the journal without its suffix."""
    number: int
    """Place in the journal, from 0."""
    content: Mapping[str, Any]
    """What was recorded."""

    @property
    def order(self) -> tuple[int, str, int]:
        """What entries are sorted by; no two have the same."""
        return self.time_ns, self.writer, self.number


@dataclass(frozen=True)
class Pending:
    """What an index file does not hold yet."""

    entries: tuple[Entry, ...] = ()
    """Entries in their order."""
    sizes: Mapping[str, int] = field(default_factory=dict)
    """Bytes of whole lines by journal, those that the index holds included."""


def journal_directory(index: Path) -> Path:
    """Return where the journals of an index lie."""
    return index.parent / f"{index.stem}.journal"  # with_name() refuses a path without a name


def state_of(index: Path) -> tuple[object, ...]:
    """Return what is another value whenever an index has changed: its file, or its journals."""
    state: list[object] = list(_state(index))
    for path in _journals(index):
        with suppress(FileNotFoundError):
            state.append((path.name, path.stat().st_size))
    return tuple(state)


def has_entries(index: Path) -> bool:
    """Tell whether an index has journals: it is known by these before its file is there."""
    return bool(_journals(index))


class Journal:
    """The journal of one writer; close it after use. The file is made with the first entry.

    A journal that was closed may be added to again: in its file, or in a new one where that was compacted meanwhile.

    Parameters
    ----------
    root : Path
        Root of the dataset, which journals do not leave.
    index : Path
        The index, ``<root>/meta/stepN/index.json``.
    run_id : str
        Name of the run; several processes of one run may each have a journal.
    """

    def __init__(self, root: Path, index: Path, run_id: str) -> None:
        self._root = root
        self._directory = journal_directory(index)
        self._name = re.sub(r"[^A-Za-z0-9._=-]", "-", run_id)[:120].lstrip("._=-") or "run"
        self._path: Path | None = None
        self._held = ExitStack()
        self._descriptor: int | None = None
        self._size = 0
        self._last_ns = 0

    def append(self, *contents: Mapping[str, Any]) -> None:
        """Add entries with one write; they are on disk when this returns.

        Raises
        ------
        OSError
            They cannot be written, and none of them counts.
        """
        lines = []
        for content in contents:
            # Clocks may be set back; what a writer adds later is later.
            self._last_ns = max(self._last_ns + 1, time.time_ns())
            document = {"time_ns": self._last_ns, **content}
            lines.append(json.dumps(document, ensure_ascii=False, allow_nan=False) + "\n")
        data = "".join(lines).encode()
        with named_errors(self._directory):
            descriptor = self._opened()
        with named_errors(self._path or self._directory):
            try:
                written = os.write(descriptor, data)
                while written < len(data):  # what is interrupted goes on; a full disk raises
                    written += os.write(descriptor, data[written:])
                os.fsync(descriptor)
            except BaseException:
                with suppress(OSError):
                    os.ftruncate(descriptor, self._size)
                raise
        self._size += len(data)

    def close(self) -> None:
        """Let the next compaction remove the file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
        self._held.close()

    def _opened(self) -> int:
        if self._descriptor is None:
            relative = self._directory.absolute().relative_to(self._root.absolute())
            check_owned(self._root, relative.as_posix())
            self._directory.mkdir(parents=True, exist_ok=True)
            again = self._opened_again()
            self._descriptor = self._opened_new() if again is None else again
        return self._descriptor

    def _opened_new(self) -> int:
        # A name is never used again after compaction: how much of such a journal an index holds may still be noted.
        self._size = 0
        self._path = self._directory / f"{self._name}.{secrets.token_hex(4)}.jsonl"
        # Held as long as the writer lives. Beside the journal: on Windows nobody could read a locked file.
        self._held.enter_context(locked(_lock_of(self._path)))
        return os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o666)

    def _opened_again(self) -> int | None:
        """Open the file of before; None where it was compacted, or ends with what could not be taken back."""
        if self._path is None or not self._path.exists():
            return None
        self._held.enter_context(locked(_lock_of(self._path)))  # compaction removes it under this lock
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0))
        except FileNotFoundError:
            remove_held(_lock_of(self._path))
            self._held.close()
            return None
        if os.fstat(descriptor).st_size == self._size:
            return descriptor
        os.close(descriptor)
        self._held.close()
        return None


def pending_bytes(index: Path) -> int:
    """Return how many bytes of journals an index file does not hold yet, roughly: of running writers, all."""
    total = 0
    for path in _journals(index):
        with suppress(FileNotFoundError):  # compacted since the directory was listed
            total += path.stat().st_size
    return total


def read_pending(index: Path) -> Pending:
    """Read the entries that an index file does not hold.

    Raises
    ------
    ManifestError
        A whole line of a journal is not what a writer wrote.
    """
    held = _held_by(index)
    entries: list[Entry] = []
    sizes = {}
    for path in _journals(index):
        try:
            found, sizes[path.name] = _read(path, held.get(path.name, 0))
        except FileNotFoundError:  # compacted since the directory was listed
            continue
        entries += found
    return Pending(tuple(sorted(entries, key=lambda entry: entry.order)), sizes)


def read_together(index: Path, read: Callable[[], T]) -> tuple[T, Pending]:
    """Read an index file and the entries that it does not hold, as they were at one time.

    Parameters
    ----------
    index : Path
        The index.
    read : callable
        Reads its file.
    """
    for _ in range(_TRIES):
        before = _state(index)
        pending, found = read_pending(index), read()
        if _state(index) == before:
            break
    return found, pending


def compact(index: Path, fold: Callable[[Pending], Iterable[bytes] | None]) -> None:
    """Write an index file that holds all entries, and remove the journals whose writers are gone.

    Parameters
    ----------
    index : Path
        The index; the caller holds its lock.
    fold : callable
        Gets the entries and returns the new content in pieces, sealed; None leaves the file as it is.
    """
    sweep(index, journal_directory(index) / _COMPACTED)
    pending = read_pending(index)
    data = fold(pending)
    if data is not None:
        with atomic_path(index) as temporary:
            with temporary.open("wb") as stream:
                stream.writelines(data)
                stream.flush()
                os.fsync(stream.fileno())
            if pending.sizes:
                held = {seal_of_file(index): _held_by(index), seal_of_file(temporary): pending.sizes}
                _write_held(index, held)
    _remove_ended(index, pending.sizes)


def _remove_ended(index: Path, sizes: Mapping[str, int]) -> None:
    """Remove journals that the index holds and nobody writes to; remember of the others how much it holds."""
    directory = journal_directory(index)
    left = dict(sizes)
    for name, size in sizes.items():
        path = directory / name
        with suppress(LockedError), locked(_lock_of(path), wait=False):
            if (torn := path.stat().st_size - size) > 0 and not _is_longer(path, size):
                log.warning("%s: its last line was cut short (%d bytes), and does not count", path, torn)
            elif torn > 0:
                continue
            path.unlink()
            del left[name]
            _lock_of(path).unlink()
    if left:
        _write_held(index, {seal_of_file(index): left})
    elif directory.is_dir():
        (directory / _COMPACTED).unlink(missing_ok=True)
        with suppress(OSError):
            directory.rmdir()


def _is_longer(path: Path, size: int) -> bool:
    """Tell whether a journal has whole lines beyond a size: added since it was read, by a writer that has ended."""
    with path.open("rb") as stream:
        stream.seek(size)
        return b"\n" in stream.read()


def _journals(index: Path) -> list[Path]:
    """Journals of an index by name; links and other files in their directory are not among them."""
    directory = journal_directory(index)
    try:
        with os.scandir(directory) as found:
            names = [
                item.name
                for item in found
                if _NAME.fullmatch(item.name) and item.is_file(follow_symlinks=False)
            ]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [directory / name for name in sorted(names)]


def _read(path: Path, start: int) -> tuple[list[Entry], int]:
    """Read whole lines from a byte on; return them, and where the last one ends."""
    entries = []
    with path.open("rb") as stream:
        number = sum(1 for _ in stream.readlines(start)) if start else 0
        stream.seek(start)
        end = start
        while (line := stream.readline(MAX_JOURNAL_LINE_BYTES + 1)).endswith(b"\n"):
            entries.append(_entry(path, number, line))
            number, end = number + 1, end + len(line)
    if len(line) > MAX_JOURNAL_LINE_BYTES:
        raise _damaged(path, number, f"is longer than {MAX_JOURNAL_LINE_BYTES} bytes")
    return entries, end


def _entry(path: Path, number: int, line: bytes) -> Entry:
    try:
        document = parse_json(line)
    except ValueError as error:
        raise _damaged(path, number, f"is not JSON: {error}") from error
    time_ns = document.pop("time_ns", None) if isinstance(document, dict) else None
    if not isinstance(time_ns, int) or isinstance(time_ns, bool):
        raise _damaged(path, number, "is no entry: expected an object with time_ns, an integer")
    return Entry(time_ns, path.stem, number, document)


def _damaged(path: Path, number: int, reason: str) -> ManifestError:
    cure = "restore the file, or move it away and run again what it was written by"
    return ManifestError(str(path), [Fault(f"line {number + 1}", f"{reason}; {cure}")])


def _held_by(index: Path) -> dict[str, int]:
    """Bytes of each journal that the index file holds, by name."""
    try:
        sizes = read_json(journal_directory(index) / _COMPACTED)["indexes"][seal_of_file(index)]
        return {str(name): int(size) for name, size in sizes.items() if int(size) >= 0}
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return {}  # entries that count again change nothing, unless they are older than what the file holds


def _write_held(index: Path, held: Mapping[str | None, Mapping[str, int]]) -> None:
    document = {"indexes": {seal: dict(sizes) for seal, sizes in held.items() if seal is not None}}
    write_json_atomic(journal_directory(index) / _COMPACTED, document)


def _state(index: Path) -> list[tuple[int, int, int] | None]:
    """What changes with every compaction."""
    state: list[tuple[int, int, int] | None] = []
    for path in (index, journal_directory(index) / _COMPACTED):
        try:
            status = path.stat()
        except FileNotFoundError:
            state.append(None)
        else:
            state.append((status.st_ino, status.st_size, status.st_mtime_ns))
    return state


def _lock_of(journal: Path) -> Path:
    return journal.with_name(f".{journal.name}.lock")
