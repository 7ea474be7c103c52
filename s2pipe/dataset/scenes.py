"""The scenes of a Step-1 index: each a tile at one sensing time, read from the index file when it is asked for."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from s2pipe.dataset.assets import Asset, AssetGroup, Product, extra_keys
from s2pipe.dataset.entry_document import entry_line
from s2pipe.dataset.entry_table import EntryStore, EntryTable, Place
from s2pipe.dataset.scene_key import SceneKey
from s2pipe.runtime.notebook import InNotebooks

_SCENE_KEYS = ("key", "l1c", "l2a", "files_l1c", "files_l2a")
_OTHERS = "other_halves"
_FIELDS = frozenset((*_SCENE_KEYS, "others", "extra"))


def _nothing() -> None:
    """Default of the parts of a scene: without a value in the class, what is not there yet can be read."""


@dataclass(frozen=True)
class Scene(InNotebooks):
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
    others: tuple[Scene, ...] = field(default_factory=tuple)
    """Products of the same tile and datatake that cover other parts of the tile, where it was cut into several; mosaics
    are made of all of them."""
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
            others=tuple(
                cls.from_document({**other, "key": document["key"]}) for other in document.get(_OTHERS) or ()
            ),
            extra=extra_keys(document, (*_SCENE_KEYS, _OTHERS)),
        )

    @classmethod
    def stored(cls, store: EntryStore, place: Place) -> Scene:
        """Make a scene that is read when anything but its key is asked for."""
        scene = object.__new__(cls)
        # Without a dictionary or a closure of its own: a hundred thousand are made to look at their keys.
        object.__setattr__(scene, "key", place.key)
        object.__setattr__(scene, "_stored", (store, place))
        return scene

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            stored = self.__dict__.get("_stored")
            if stored is None or name not in _FIELDS:
                raise AttributeError(name)
            store, place = stored
            known = vars(Scene.from_document(store.document(place)))
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
        if self.others:
            halves = [other.to_document() for other in self.others]
            document[_OTHERS] = [{k: v for k, v in half.items() if k != "key"} for half in halves]
        return {**document, **self.extra}

    def _shown(self) -> dict[str, Any]:
        products = [product.product_name for product in (self.l1c, self.l2a) if product is not None]
        return {
            "key": self.key,
            "products": products,
            "files": [f"{item.role}: {item.path}" for item in self.assets],
        }

    @property
    def assets(self) -> tuple[Asset, ...]:
        """All files, those of the L1C product first, those of other halves last."""
        own = tuple(item for group in self._groups for item in group.items)
        return (*own, *(item for other in self.others for item in other.assets))

    @property
    def parts(self) -> tuple[Scene, ...]:
        """The scene itself and its other halves."""
        return self, *self.others

    @property
    def _groups(self) -> tuple[AssetGroup, ...]:
        return tuple(group for group in (self.files_l1c, self.files_l2a) if group is not None)

    def asset(self, role: str) -> Asset | None:
        """Return the file with a role, or None when the index has none."""
        found = (group.asset(role) for group in self._groups)
        return next((item for item in found if item is not None), None)


class SceneTable(EntryTable[Scene]):
    """The scenes of an index."""

    @staticmethod
    def _key_of(entry: Scene) -> SceneKey:
        return entry.key

    @staticmethod
    def _line_of(entry: Scene) -> bytes:
        return entry_line(entry.to_document())

    @staticmethod
    def _read(store: EntryStore, place: Place) -> Scene:
        return Scene.stored(store, place)

    def files(self, key: SceneKey, roles: Collection[str]) -> Iterator[Asset]:
        """Yield the files of a scene that have one of these roles, in the order of their roles.

        Of a stored scene, files are parsed and checked one by one when they are asked for, and nothing else: a whole
        scene takes ten times as long.

        Raises
        ------
        ManifestError
            The scene does not fit the schema of the index, or breaks its rules.
        """
        stored = None if key.identity in self._recorded else self._places.get(key.identity)
        items = None if stored is None or self._store is None else _items_by_role(self._store.line(stored))
        if items is None or stored is None or self._store is None:
            scene = self.find(key)
            assets = () if scene is None else scene.assets
            yield from sorted((a for a in assets if a.role in roles), key=lambda asset: asset.role)
            return
        for role in sorted(items.keys() & roles):
            alone = _alone(key, role, items[role])
            if alone is None:
                yield from (asset for asset in self._at(key.identity).assets if asset.role == role)
            else:
                yield from Scene.from_document(self._store.checked(stored, alone)).assets


_ITEM = b'{"role":"'
"""How files begin in an entry; inside of a text its quotes would be escaped."""


def _items_by_role(line: bytes) -> dict[str, bytes] | None:
    """Find the files of an entry: each by its role, followed by more; None where some are spelled otherwise."""
    pieces = line.split(_ITEM)[1:]
    found = {piece[: piece.find(b'"')].decode("ascii", "replace"): piece for piece in pieces}
    is_plain = line.count(b'"role"') == len(found) and "\\" not in "".join(found)
    return found if is_plain else None


def _alone(key: SceneKey, role: str, item: bytes) -> bytes | None:
    """Make an entry with one file; None where it is no JSON."""
    text = (_ITEM + item).decode(errors="replace")
    try:
        _, end = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError):
        return None
    files = f'"files_{role.partition(".")[0]}":{{"items":[{text[:end]}]}}'
    return f'{{"key":{json.dumps(key.to_document())},{files}}}'.encode()
