"""The scenes of a Step-1 index: each a tile at one sensing time, read from the index file when it is asked for."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any, overload

from s2pipe.config.documents import parse_json
from s2pipe.config.schema import document_faults
from s2pipe.dataset.assets import Asset, AssetGroup, Product, extra_keys
from s2pipe.dataset.entry_document import entry_line
from s2pipe.dataset.scene_key import SceneKey
from s2pipe.errors import Fault, ManifestError

if TYPE_CHECKING:
    from pathlib import Path

_SCENE_KEYS = ("key", "l1c", "l2a", "files_l1c", "files_l2a")
_FIELDS = frozenset((*_SCENE_KEYS, "extra"))
_KEY = re.compile(
    rb'\{"key":\{"tile_id":"(T[0-9]{2}[A-Z]{3})","sensing_start_utc":"([0-9T:.-]{19,40}Z)"\}[,}]', re.ASCII
)


def _nothing() -> None:
    """Default of the parts of a scene: without a value in the class, what is not there yet can be read."""


@dataclass(frozen=True)
class Scene:
    """One tile at one sensing time: an L1C product and, if any, its L2A twin.

    Scenes of a large index know their key alone, and are read from the index file with the first question for more.
    """

    key: SceneKey
    """Tile and sensing start."""
    l1c: Product | None = field(default_factory=_nothing)
    """The L1C product; None when there is none."""
    l2a: Product | None = field(default_factory=_nothing)
    """The L2A product; None when there is none."""
    files_l1c: AssetGroup | None = field(default_factory=_nothing)
    """Files of the L1C product."""
    files_l2a: AssetGroup | None = field(default_factory=_nothing)
    """Files of the L2A product."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Keys that s2pipe does not know, kept."""

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Scene:
        """Make a scene from its (valid) JSON form."""
        l1c, l2a = (document.get(name) for name in ("l1c", "l2a"))
        files_l1c, files_l2a = (document.get(name) for name in ("files_l1c", "files_l2a"))
        return cls(
            key=SceneKey.from_document(document["key"]),
            l1c=None if l1c is None else Product.from_document(l1c),
            l2a=None if l2a is None else Product.from_document(l2a),
            files_l1c=None if files_l1c is None else AssetGroup.from_document(files_l1c),
            files_l2a=None if files_l2a is None else AssetGroup.from_document(files_l2a),
            extra=extra_keys(document, _SCENE_KEYS),
        )

    @classmethod
    def stored(cls, key: SceneKey, read: Callable[[], Scene]) -> Scene:
        """Make a scene that is read when anything but its key is asked for."""
        scene = object.__new__(cls)
        scene.__dict__.update(key=key, _read=read)
        return scene

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            read = self.__dict__.get("_read")
            if read is None or name not in _FIELDS:
                raise AttributeError(name)
            known = vars(read())
            self.__dict__.update({name: known[name] for name in _FIELDS if name != "key"})
            return self.__dict__[name]

    def __getstate__(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in _FIELDS}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.__dict__.update(state)

    def to_document(self) -> dict[str, Any]:
        """Return the JSON form."""
        document: dict[str, Any] = {"key": self.key.to_document()}
        for name in _SCENE_KEYS[1:]:
            value = getattr(self, name)
            document[name] = None if value is None else value.to_document()
        return {**document, **self.extra}

    @property
    def assets(self) -> tuple[Asset, ...]:
        """All files, those of the L1C product first."""
        groups = (self.files_l1c, self.files_l2a)
        return tuple(item for group in groups if group is not None for item in group.items)

    def asset(self, role: str) -> Asset | None:
        """Return the file with a role, or None when the index has none."""
        return next((item for item in self.assets if item.role == role), None)


def key_of_line(line: bytes) -> SceneKey | None:
    """Read the key of a scene from the beginning of its line; None where it is not spelled as s2pipe does."""
    found = _KEY.match(line)
    return None if found is None else SceneKey(found[1].decode(), found[2].decode())


@dataclass(frozen=True)
class Place:
    """Where a scene is stored."""

    key: SceneKey
    """Its key."""
    number: int
    """Its place in the list, for messages."""
    start: int
    """Byte of the file at which its JSON begins."""
    size: int
    """Bytes of its JSON."""


class SceneStore:
    """Lines of an index file, read when they are needed; the file stays open, and so as it was when it was replaced.

    Parameters
    ----------
    path : Path
        The file, for messages.
    stream : binary file
        The open file.
    """

    def __init__(self, path: Path, stream: IO[bytes]) -> None:
        self._path = path
        self._stream = stream
        self._lock = threading.Lock()

    def line(self, place: Place) -> bytes:
        """Read the JSON of a scene."""
        with self._lock:
            self._stream.seek(place.start)
            return self._stream.read(place.size)

    def scene(self, place: Place) -> Scene:
        """Read a scene and check it.

        Raises
        ------
        ManifestError
            It does not fit the schema of the index, or breaks its rules.
        """
        where = f"scenes[{place.number}]"
        try:
            document = parse_json(self.line(place), nan="null")
        except ValueError as error:
            raise ManifestError(str(self._path), [Fault(where, f"is not JSON: {error}")]) from error
        faults = document_faults(document, "step1_scene")
        if faults:
            inner = [Fault(f"{where}.{fault.path}".rstrip("."), fault.message) for fault in faults]
            raise ManifestError(str(self._path), inner)
        return Scene.from_document(document)


class SceneTable(Sequence[Scene]):
    """Scenes in the order of their keys: places in an index file, and what has been recorded since.

    Parameters
    ----------
    store : SceneStore or None
        Where stored scenes are read from.
    places : mapping
        Where stored scenes are, by the identity of their keys.
    recorded : mapping
        Scenes that are not in the file, or not like this, by the identity of their keys.
    """

    def __init__(
        self,
        store: SceneStore | None = None,
        places: Mapping[tuple[str, str], Place] | None = None,
        recorded: Mapping[tuple[str, str], Scene] | None = None,
    ) -> None:
        self._store = store
        self._places = dict(places or {})
        self._recorded = dict(recorded or {})
        keys = {identity: place.key for identity, place in self._places.items()}
        keys.update({identity: scene.key for identity, scene in self._recorded.items()})
        self._order = sorted(keys, key=lambda identity: keys[identity])

    def find(self, key: SceneKey) -> Scene | None:
        """Return the scene with a key (fractions of a second do not count), or None."""
        identity = key.identity
        known = self._recorded.get(identity)
        return known if known is not None or identity not in self._places else self._stored(identity)

    def _stored(self, identity: tuple[str, str]) -> Scene:
        store, place = self._store, self._places[identity]
        assert store is not None
        return Scene.stored(place.key, lambda: store.scene(place))

    def with_scenes(self, scenes: Mapping[tuple[str, str], Scene]) -> SceneTable:
        """Return these scenes with others in their places, or beside them, by the identity of their keys."""
        return SceneTable(self._store, self._places, {**self._recorded, **scenes})

    def lines(self) -> Iterator[bytes]:
        """Yield the JSON of all scenes; that of stored ones as it is stored."""
        for identity in self._order:
            if identity in self._recorded:
                yield entry_line(self._recorded[identity].to_document())
            else:
                assert self._store is not None
                yield self._store.line(self._places[identity])

    def __len__(self) -> int:
        return len(self._order)

    @overload
    def __getitem__(self, place: int) -> Scene: ...

    @overload
    def __getitem__(self, place: slice) -> tuple[Scene, ...]: ...

    def __getitem__(self, place: int | slice) -> Scene | tuple[Scene, ...]:
        if isinstance(place, slice):
            return tuple(map(self._at, self._order[place]))
        return self._at(self._order[place])

    def _at(self, identity: tuple[str, str]) -> Scene:
        known = self._recorded.get(identity)
        return self._stored(identity) if known is None else known

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or len(self) != len(other):
            return False
        return all(mine == theirs for mine, theirs in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]
