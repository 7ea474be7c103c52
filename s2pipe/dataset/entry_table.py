"""The entries of an index by their keys: each where it is stored, read and checked when it is used."""

from __future__ import annotations

import re
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, Generic, Self, TypeVar, overload

from s2pipe.config.documents import parse_json
from s2pipe.config.schema import PARTS, document_faults
from s2pipe.dataset.entry_document import read_head, read_lines, read_tail
from s2pipe.dataset.proof import SEAL, is_intact
from s2pipe.dataset.scene_key import SceneKey
from s2pipe.errors import MAX_FAULTS, Fault, ManifestError

if TYPE_CHECKING:
    from pathlib import Path

T = TypeVar("T")
Identity = tuple[str, str]
"""What keys of one scene have in common, however they are spelled."""
_KEY = re.compile(
    rb'\{"key":\{"tile_id":"(T[0-9]{2}[A-Z]{3})","sensing_start_utc":"([0-9T:.-]{19,40}Z)"\}[,}]', re.ASCII
)


def key_of_line(line: bytes) -> SceneKey | None:
    """Read the key at the beginning of an entry; None where it is not spelled as s2pipe does."""
    found = _KEY.match(line)
    return None if found is None else SceneKey(found[1].decode(), found[2].decode())


@dataclass(frozen=True)
class Place:
    """Where an entry is stored."""

    key: SceneKey
    """Its key."""
    number: int
    """Its place in the list, for messages."""
    start: int
    """Byte of the file at which its JSON begins."""
    size: int
    """Bytes of its JSON."""


class EntryStore:
    """Lines of an index file, read when they are needed; the file stays open, and so as it was when it was replaced.

    Parameters
    ----------
    path : Path
        The file, for messages.
    stream : binary file
        The open file.
    part : str
        Name of the schema of an entry, see :data:`s2pipe.config.schema.PARTS`.
    """

    def __init__(self, path: Path, stream: IO[bytes], part: str) -> None:
        self._path = path
        self._stream = stream
        self._part = part
        self._lock = threading.Lock()

    def line(self, place: Place) -> bytes:
        """Read the JSON of an entry."""
        with self._lock:
            self._stream.seek(place.start)
            return self._stream.read(place.size)

    def document(self, place: Place) -> dict[str, Any]:
        """Read an entry and check it.

        Raises
        ------
        ManifestError
            It does not fit the schema of the index, or breaks its rules.
        """
        return self.checked(place, self.line(place))

    def checked(self, place: Place, data: bytes) -> dict[str, Any]:
        """Parse and check an entry, or a part of one that is an entry by itself; raises as :meth:`document` does."""
        where = f"{PARTS[self._part][1]}[{place.number}]"
        try:
            document: dict[str, Any] = parse_json(data, nan="null")
        except ValueError as error:
            raise ManifestError(str(self._path), [Fault(where, f"is not JSON: {error}")]) from error
        faults = document_faults(document, self._part)
        if faults:
            inner = [Fault(f"{where}.{fault.path}".rstrip("."), fault.message) for fault in faults]
            raise ManifestError(str(self._path), inner)
        return document


@dataclass(frozen=True)
class StoredEntries:
    """What an index file with one entry a line holds."""

    head: dict[str, Any]
    """All keys but the list and the seal."""
    store: EntryStore
    """Where entries are read from."""
    places: dict[Identity, Place]
    """Where each is."""
    is_intact: bool
    """Whether the file is as s2pipe wrote it, which it did after it had checked every entry."""

    def documents(self) -> Iterator[tuple[Identity, Place, dict[str, Any]]]:
        """Yield all entries, checked.

        Raises
        ------
        ManifestError
            Entries have faults; all are listed.
        """
        faults: list[Fault] = []
        source = ""
        for identity, place in self.places.items():
            try:
                yield identity, place, self.store.document(place)
            except ManifestError as error:
                faults += error.faults
                source = error.source
                if len(faults) > MAX_FAULTS:
                    break
        if faults:
            raise ManifestError(source, faults)


def read_entries(path: Path, stream: IO[bytes], part: str) -> StoredEntries | None:
    """Find the entries of an index file.

    Parameters
    ----------
    path : Path
        The file.
    stream : binary file
        The open file; it must stay open.
    part : str
        Name of the schema of an entry.

    Returns
    -------
    StoredEntries or None
        None where the file has not one entry a line, or a fault that needs all of it to tell.
    """
    whole, key, _ = PARTS[part]
    head = read_head(stream, key)
    if head is None or document_faults(head, whole):
        return None
    places: dict[Identity, Place] = {}
    try:
        for number, line in enumerate(read_lines(stream)):
            found = key_of_line(line.data) or SceneKey.from_document(parse_json(line.data)["key"])
            if found.identity in places:
                return None
            places[found.identity] = Place(found, number, line.start, len(line.data))
        tail = read_tail(stream, key)
    except (ValueError, LookupError, TypeError, AttributeError):
        return None
    if not set(tail) <= {key, SEAL}:
        return None
    intact = is_intact(stream)
    del head[key]
    return StoredEntries(head, EntryStore(path, stream, part), places, intact)


class EntryTable(Sequence[T], ABC, Generic[T]):
    """Entries in the order of their keys: places in an index file, and what has been recorded since.

    Parameters
    ----------
    store : EntryStore or None
        Where stored entries are read from.
    places : mapping
        Where they are, by the identity of their keys.
    recorded : mapping
        Entries that are not in the file, or not like this, by the identity of their keys.
    """

    def __init__(
        self,
        store: EntryStore | None = None,
        places: Mapping[Identity, Place] | None = None,
        recorded: Mapping[Identity, T] | None = None,
    ) -> None:
        self._store = store
        self._places = dict(places or {})
        self._recorded = dict(recorded or {})
        keys = {identity: place.key for identity, place in self._places.items()}
        keys.update({identity: self._key_of(entry) for identity, entry in self._recorded.items()})
        self._order = sorted(keys, key=lambda identity: keys[identity])

    @staticmethod
    @abstractmethod
    def _key_of(entry: T) -> SceneKey:
        """Return the key of an entry."""

    @staticmethod
    @abstractmethod
    def _line_of(entry: T) -> bytes:
        """Serialise an entry."""

    @staticmethod
    @abstractmethod
    def _read(store: EntryStore, place: Place) -> T:
        """Return a stored entry."""

    def find(self, key: SceneKey) -> T | None:
        """Return the entry of a scene (fractions of a second do not count), or None."""
        identity = key.identity
        return self._at(identity) if identity in self._recorded or identity in self._places else None

    def changed(self, entries: Mapping[Identity, T | None]) -> Self:
        """Return these entries with others in their places, or beside them, and without those that are None."""
        recorded = {**self._recorded, **{i: entry for i, entry in entries.items() if entry is not None}}
        gone = {identity for identity, entry in entries.items() if entry is None}
        places = {i: place for i, place in self._places.items() if i not in gone} if gone else self._places
        return type(self)(self._store, places, {i: entry for i, entry in recorded.items() if i not in gone})

    def lines(self) -> Iterator[bytes]:
        """Yield the JSON of all entries; that of stored ones as it is stored."""
        for identity in self._order:
            if identity in self._recorded:
                yield self._line_of(self._recorded[identity])
            else:
                assert self._store is not None
                yield self._store.line(self._places[identity])

    def line(self, key: SceneKey) -> bytes | None:
        """Return the JSON of an entry; None where there is none."""
        identity = key.identity
        if identity in self._recorded:
            return self._line_of(self._recorded[identity])
        if self._store is None or identity not in self._places:
            return None
        return self._store.line(self._places[identity])

    @property
    def keys(self) -> list[SceneKey]:
        """All keys in their order."""
        return [
            self._key_of(self._recorded[identity])
            if identity in self._recorded
            else self._places[identity].key
            for identity in self._order
        ]

    def __len__(self) -> int:
        return len(self._order)

    @overload
    def __getitem__(self, place: int) -> T: ...

    @overload
    def __getitem__(self, place: slice) -> tuple[T, ...]: ...

    def __getitem__(self, place: int | slice) -> T | tuple[T, ...]:
        if isinstance(place, slice):
            return tuple(map(self._at, self._order[place]))
        return self._at(self._order[place])

    def _at(self, identity: Identity) -> T:
        if identity in self._recorded:
            return self._recorded[identity]
        assert self._store is not None
        return self._read(self._store, self._places[identity])

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or len(self) != len(other):
            return False
        return all(mine == theirs for mine, theirs in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]
