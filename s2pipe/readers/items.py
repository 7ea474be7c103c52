"""The items of a set of patches as NumPy arrays: found through the database, read by ranges of bytes."""

from __future__ import annotations

import io
import math
import tarfile
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from s2pipe.config.documents import parse_json
from s2pipe.errors import ConfigError, Fault, ManifestError
from s2pipe.ground.split import SPLITS
from s2pipe.patches.database import DATABASE_NAME
from s2pipe.patches.missing_angles import known_angles
from s2pipe.patches.missing_labels import no_values, settle_labels
from s2pipe.patches.shards.publish import checked_shards
from s2pipe.patches.shards.tarball import padded
from s2pipe.patches.source import item_columns, places_of
from s2pipe.sentinel2.angle_channels import ANGLE_MASK

if TYPE_CHECKING:
    from collections.abc import Sequence

    from s2pipe.readers.options import Reading
    from s2pipe.readers.storage import LocalStore, RemoteStore

_PLACE_COLUMNS = ("split", "shard", "index_in_shard", "t", "offset", "nbytes")


class Items(Protocol):
    """Numbered items of one split."""

    about: dict[str, Any]
    """What all items share: bands, unit, normalization, labels."""
    units: np.ndarray
    """Shard or scene of each item; the items of one follow one another."""
    identity: str
    """Changes when the items do."""

    def read(self, numbers: Sequence[int]) -> list[dict[str, Any]]:
        """Read items: ``key``, arrays by name, and ``json``."""
        ...

    def column(self, name: str) -> np.ndarray:
        """A column of the database, one value an item."""
        ...


class ShardItems:
    """The items of one split in shards.

    Parameters
    ----------
    store : LocalStore or RemoteStore
        Where ``shards.json`` and the shards lie.
    name : str
        Name of ``shards.json``.
    split : str
        ``train``, ``val`` or ``test``.
    reading : Reading
        Options.

    Raises
    ------
    ManifestError, PathEscapeError
        ``shards.json`` or the database is damaged, or they do not fit each other.
    ConfigError
        There is no such split, or the items differ in length and no one asked for that.
    """

    def __init__(self, store: LocalStore | RemoteStore, name: str, split: str, reading: Reading) -> None:
        self._store, self._reading = store, reading
        document = checked_shards(_content_of(store, name), store.name_of(name))
        self.about = {key: value for key, value in document.items() if key not in ("shards", "files")}
        _refuse_ragged(document, reading, store.name_of(name))
        shards = [record for record in document["shards"] if record["split"] == split]
        if not shards:
            found = sorted({record["split"] for record in document["shards"]})
            there = ", ".join(found) or "no split at all"
            message = f"expected one of {there}, got {split!r}; see summary.json beside it"
            raise ConfigError(store.name_of(name), [Fault("split", message)])
        self._names = [record["path"] for record in document["shards"]]
        rows = self._columns(_PLACE_COLUMNS)
        places, faults = places_of(rows, document["shards"])
        if faults:
            raise ManifestError(store.name_of(DATABASE_NAME), faults)
        wanted = np.isin(places.shard, [self._names.index(record["path"]) for record in shards])
        chosen = np.flatnonzero(wanted & (places.t == 0))
        self._rows = chosen[np.lexsort((places.index[chosen], places.shard[chosen]))]
        self.units = places.shard[self._rows]
        self._offset, self._nbytes = places.offset[self._rows], places.nbytes[self._rows]
        if len(self._rows) != sum(record["count"] for record in shards):
            message = (
                f"has {len(self._rows)} items of {split}, {name} another number; make or copy both together"
            )
            raise ManifestError(store.name_of(DATABASE_NAME), [Fault("", message)])
        self.identity = f"{document['fingerprint']}/{split}"

    def read(self, numbers: Sequence[int]) -> list[dict[str, Any]]:
        """Read items, in the order of the numbers.

        Raises
        ------
        ManifestError
            A shard is damaged.
        ServiceError
            A shard cannot be reached.
        """
        places = [
            (self._names[int(self.units[n])], int(self._offset[n]), int(self._nbytes[n])) for n in numbers
        ]
        items = []
        for place, data in zip(places, self._store.ranges(places) if places else (), strict=True):
            where = f"{self._store.name_of(place[0])}, item at byte {place[1]}"
            item = decoded_item(data, where)
            _finish_angles(item, self.about["angle_bands"], self._reading)
            _finish_labels(item, self.about["labels"] or {}, self._reading, where)
            _fill_targets(item["json"], self.about["targets"])
            items.append(item)
        return items

    def column(self, name: str) -> np.ndarray:
        """A column of the database, one value an item: that of its first date.

        Raises
        ------
        ManifestError
            There is no such column.
        """
        values: np.ndarray = self._columns((name,))[name].to_numpy()[self._rows]
        return values

    def _columns(self, names: Sequence[str]) -> Any:
        try:
            with self._store.open(DATABASE_NAME) as stream:
                return item_columns(stream, names, self._store.name_of(DATABASE_NAME))
        except FileNotFoundError as error:
            message = "no such patch database; it tells where items lie, so keep it beside shards.json"
            raise ManifestError(self._store.name_of(DATABASE_NAME), [Fault("", message)]) from error


def _content_of(store: LocalStore | RemoteStore, name: str) -> bytes:
    try:
        return store.read(name)
    except OSError as error:
        raise ManifestError(store.name_of(name), [Fault("", f"cannot be read: {error}")]) from error


def _refuse_ragged(document: dict[str, Any], reading: Reading, where: str) -> None:
    if document["group"] == "none" or document["config"].get("max_t") is not None or reading.ragged:
        return
    message = (
        "is needed for batches: these time stacks differ in length; run `s2pipe patches` with max_t, or read them one "
        "by one (ragged=True, with batch_size=None in a DataLoader)"
    )
    raise ConfigError(where, [Fault("config.max_t", message)])


def _finish_angles(item: dict[str, Any], names: Sequence[str], reading: Reading) -> None:
    """Give an item without a mask of its angles one, and no NaN that nobody asked for."""
    angles = item.get("angles")
    if angles is None:
        return
    if "angles_valid" not in item:
        parts = angles if angles.ndim == 4 else angles[np.newaxis]
        known = np.stack([known_angles(part, ANGLE_MASK in names) for part in parts])
        item["angles_valid"] = (known if angles.ndim == 4 else known[0]).astype(np.uint8)
    if not reading.keep_nan:
        np.nan_to_num(angles, copy=False, nan=0.0)


def _finish_labels(item: dict[str, Any], labels: dict[str, Any], reading: Reading, where: str) -> None:
    """Do the same for labels that are quantities."""
    y = item.get("y")
    if y is None or y.dtype.kind != "f":
        return
    marks = no_values(labels)
    if isinstance(marks, np.ndarray) and y.shape[-3:-2] != marks.shape[:1]:
        message = f"expected {len(marks)} channels, as labels of shards.json describe, got shape {y.shape}"
        raise ManifestError(where, [Fault("y.npy", f"{message}; `s2pipe verify` tells what is damaged")])
    known = settle_labels(y, marks, keep_nan=reading.keep_nan)
    item.setdefault("y_valid", known.astype(np.uint8))


def _fill_targets(document: dict[str, Any], targets: dict[str, Any] | None) -> None:
    """Replace targets that a patch lacks, which no batch could hold, and say in ``target_known`` which it has."""
    if targets is None:
        return
    empty = {name: {"string": "", "double": 0.0}.get(kind, 0) for name, kind in targets["columns"].items()}
    for scores in (document, *document.get("dates", ())):
        if "target" in scores:
            found = scores["target"]
            scores["target_known"] = {name: value is not None for name, value in found.items()}
            scores["target"] = {
                name: empty[name] if value is None else value for name, value in found.items()
            }


def decoded_item(data: bytearray, where: str) -> dict[str, Any]:
    """Decode the files of one item: ``key``, arrays by name that share the memory of ``data``, and ``json``.

    Parameters
    ----------
    data : bytearray
        Whole files of a POSIX archive, without its end.
    where : str
        What messages call it.

    Raises
    ------
    ManifestError
        The bytes are no such files.
    """
    item: dict[str, Any] = {}
    place, view = 0, memoryview(data)
    try:
        while place < len(data):
            info = tarfile.TarInfo.frombuf(bytes(view[place : place + tarfile.BLOCKSIZE]), "utf-8", "strict")
            start = place + tarfile.BLOCKSIZE
            place = start + padded(info.size)
            key, _, suffix = info.name.partition(".")
            is_whole = info.type == tarfile.REGTYPE and place <= len(data)
            _expect(
                is_whole and item.setdefault("key", key) == key, f"{info.name[:80]!r} is no file of this item"
            )
            name, value = _value(view[start : start + info.size], suffix)
            item[name] = value
    except (tarfile.TarError, ValueError, EOFError, MemoryError) as error:
        message = f"cannot be read as a shard: {error}; `s2pipe verify` tells what is damaged"
        raise ManifestError(where, [Fault("", message)]) from error
    return item


def _value(data: memoryview, suffix: str) -> tuple[str, Any]:
    """Name and value of one file of an item."""
    if suffix == "json":
        return suffix, parse_json(bytes(data))
    stream = io.BytesIO(data[:512])  # a longer header is none of ours
    _expect(np.lib.format.read_magic(stream) == (1, 0), f"{suffix} is no array")
    shape, is_fortran, dtype = np.lib.format.read_array_header_1_0(stream)
    start = stream.tell()
    is_plain = not is_fortran and not dtype.hasobject and min(shape, default=0) >= 0
    size = math.prod(shape) * dtype.itemsize
    _expect(is_plain and size == len(data) - start, f"{suffix} is no plain array of {shape}")
    return suffix.removesuffix(".npy"), np.frombuffer(data[start:], dtype).reshape(shape)


def _expect(holds: bool, otherwise: str) -> None:
    if not holds:
        raise ValueError(otherwise)


def split_code(split: str, where: str) -> int:
    """Return the code of a split.

    Raises
    ------
    ConfigError
        There is no such split.
    """
    if split not in SPLITS:
        raise ConfigError(where, [Fault("split", f"expected one of {', '.join(SPLITS)}, got {split!r}")])
    return SPLITS.index(split)
