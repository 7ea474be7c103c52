"""Existing shards as the source of new ones: ``shards.json``, its database as a patch table, samples as bytes.

Nothing in them is trusted: columns have the types and values that a run gives them, places lie inside the shards that
``shards.json`` lists, and what is copied is whole files of an item.
"""

from __future__ import annotations

import re
import tarfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from s2pipe.dataset.label_meaning import CONDITIONS
from s2pipe.errors import ConfigError, Fault, ManifestError
from s2pipe.ground.split import SPLITS
from s2pipe.patches.candidates.assign import SPLIT_NAME
from s2pipe.patches.candidates.windows import REASONS, PatchTable, reason_code
from s2pipe.patches.database import Places
from s2pipe.patches.geoparquet import COVERING, GEOMETRY, optional_module
from s2pipe.patches.shards.facts import SharedFacts
from s2pipe.patches.shards.publish import published_files, read_shards_json
from s2pipe.patches.shards.tarball import padded
from s2pipe.runtime.cores import core_count
from s2pipe.runtime.hashing import document_fingerprint, hash_file
from s2pipe.runtime.paths import is_safe_relative

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from s2pipe.dataset.proof import FileRecord

_TYPES = {
    "patch_id": "string",
    "tile_id": "string",
    "sensing_start_utc": "string",
    "month": "string",
    "row": "int32",
    "col": "int32",
    "cell_id": "string",
    "split": "string",
    "kept": "bool",
    "reject_reason": "string",
    "valid_fraction": "double",
    "ignore_fraction": "double",
    "cloud_fraction": "double",
    "missing_angles_fraction": "double",
    "n_classes": "int32",
    "shard": "string",
    "index_in_shard": "int32",
    "t": "int32",
    "offset": "int64",
    "nbytes": "int64",
    GEOMETRY: "binary",
}
"""Columns of the database and their types; ``class_N`` (int32) and columns of the user's own come on top."""
_SINCE = {f"{name}_fraction": "double" for name in CONDITIONS if name != "cloud"}
"""The same for columns that databases of earlier versions lack; there, nothing is known of them."""
_COUNT = re.compile(r"class_(0|[1-9][0-9]{0,8})", re.ASCII)
_NEVER_NULL = ("patch_id", "tile_id", "sensing_start_utc", "row", "col", "kept", "valid_fraction", GEOMETRY)
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]+)?Z", re.ASCII)
_TILE = re.compile(r"T[0-9]{2}[A-Z]{3}", re.ASCII)


@dataclass(frozen=True)
class Source:
    """An existing set of shards."""

    directory: Path
    """Directory of its ``shards.json``."""
    document: dict[str, Any]
    """Content of that."""
    facts: SharedFacts
    """What it says of all items."""
    rows: Any
    """The patch database, a pyarrow table."""
    table: PatchTable
    """The same as patches; the scene is a number for tile and sensing start."""
    scenes: list[tuple[str, str]]
    """Tile and sensing start by that number."""
    places: Places
    """Where the patches lie in the shards."""
    fingerprint: str
    """Identifies shards and database by their content."""


def load_source(database: Path) -> Source:
    """Load a patch database and the ``shards.json`` beside it.

    Raises
    ------
    ConfigError
        The database does not exist.
    ManifestError, PathEscapeError
        Database or ``shards.json`` is damaged, or one does not fit the other.
    """
    if not database.is_file():
        raise ConfigError(str(database), [Fault("", "no such patch database; run `s2pipe patches` first")])
    document = read_shards_json(database.parent)
    beside = [file for file in published_files(document) if file.path in (database.name, SPLIT_NAME)]
    check_files(database.parent, beside)
    rows = _read_rows(database)
    table, scenes = _table_of(rows)
    places, faults = places_of(rows, document["shards"])
    if faults:
        raise _unusable(database, faults)
    shards = [[record["path"], record["sha256"]] for record in document["shards"]]
    identity = document_fingerprint([document["fingerprint"], shards, hash_file(database, "sha256")])
    facts = SharedFacts.from_document(document)
    return Source(database.parent, document, facts, rows, table, scenes, places, identity)


def check_files(directory: Path, files: Sequence[FileRecord]) -> None:
    """Check files by size and SHA-256, before anything is copied out of them.

    Raises
    ------
    ManifestError
        Files are missing or damaged; all of them are listed, and how to get them again.
    """
    with ThreadPoolExecutor(core_count(), "s2pipe-check") as pool:
        differences = list(pool.map(lambda file: file.difference(directory), files))
    faults = [
        Fault(
            file.path,
            f"{difference}; restore it, or `s2pipe verify {directory} --repair` and run again what made it",
        )
        for file, difference in zip(files, differences, strict=True)
        if difference is not None
    ]
    if faults:
        raise ManifestError(str(directory), faults)


def _unusable(database: Path, faults: list[Fault]) -> ManifestError:
    cure = "restore it, or run `s2pipe patches` again"
    return ManifestError(
        str(database), [*faults[:-1], Fault(faults[-1].path, f"{faults[-1].message}; {cure}")]
    )


def _read_rows(database: Path) -> Any:
    """Read the database with the types that a run gives its columns; the covering is made anew when it is written."""
    pa, parquet = optional_module("pyarrow"), optional_module("pyarrow.parquet")
    try:
        rows = parquet.ParquetFile(database).read().replace_schema_metadata(None)
        rows.validate(full=True)  # texts that are no UTF-8
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _unusable(database, [Fault("", f"cannot be read as Parquet: {error}")]) from error
    names = rows.column_names
    faults = [
        Fault(name, "is there more than once") for name in sorted({n for n in names if names.count(n) > 1})
    ]
    faults += [Fault(name, "no such column") for name in _TYPES if name not in names]
    if faults:
        raise _unusable(database, faults)
    for place, name in enumerate(names):
        wanted = (_TYPES | _SINCE).get(name, "int32" if _COUNT.fullmatch(name) else None)
        try:
            column = rows[name] if wanted is None else rows[name].cast(pa.type_for_alias(wanted))
        except pa.ArrowException as error:
            faults.append(Fault(name, f"expected {wanted}, got {rows[name].type}: {error}"))
            continue
        is_count = _COUNT.fullmatch(name) is not None
        if column.null_count and (is_count or name in _NEVER_NULL):
            faults.append(Fault(name, f"expected a value in every row, got {column.null_count} without"))
        rows = rows.set_column(place, name, column)
    faults = faults or _value_faults(rows)
    if faults:
        raise _unusable(database, faults)
    return rows.drop_columns([COVERING]) if COVERING in names else rows


def item_columns(file: Any, names: Sequence[str], where: str) -> Any:
    """Read some columns of a patch database, with the types that a run gives them, as a pyarrow table.

    Parameters
    ----------
    file : file object
        The database.
    names : sequence of str
        Columns.
    where : str
        What messages call it.

    Raises
    ------
    ManifestError
        It is damaged, or has no such columns.
    """
    pa, parquet = optional_module("pyarrow"), optional_module("pyarrow.parquet")
    try:
        stored = parquet.ParquetFile(file)
        missing = [name for name in names if name not in stored.schema_arrow.names]
        if missing:
            there = ", ".join(stored.schema_arrow.names)
            raise ManifestError(where, [Fault(missing[0], f"no such column; there are {there}")])
        rows = stored.read(columns=list(names)).replace_schema_metadata(None)
        for place, name in enumerate(names):
            if name in _TYPES:
                rows = rows.set_column(place, name, rows[name].cast(pa.type_for_alias(_TYPES[name])))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _unusable(Path(where), [Fault("", f"cannot be read as Parquet: {error}")]) from error
    return rows


def _value_faults(rows: Any) -> list[Fault]:
    """Values that no run writes."""
    allowed: dict[str, Callable[[str | None], object]] = {
        "tile_id": lambda text: _TILE.fullmatch(text or ""),
        "sensing_start_utc": lambda text: _TIME.fullmatch(text or ""),
        "split": lambda text: text is None or text in SPLITS,
        "reject_reason": lambda text: text is None or text in REASONS,
    }
    faults = []
    for name, is_allowed in allowed.items():
        strange = [text for text in rows[name].unique().to_pylist() if not is_allowed(text)]
        if strange:
            faults.append(Fault(name, f"holds {str(strange[0])[:80]!r}, which no run writes"))
    counted = ("row", "col", *(name for name in rows.column_names if _COUNT.fullmatch(name)))
    is_negative = {name: len(rows) and rows[name].to_numpy().min() < 0 for name in counted}
    faults += [Fault(name, "holds a negative number") for name, found in is_negative.items() if found]
    for name in (name for name in _TYPES if name.endswith("_fraction")):
        values = rows[name].drop_null().to_numpy()
        if not ((values >= 0) & (values <= 1)).all():
            faults.append(Fault(name, "holds numbers that are no fractions, 0 to 1"))
    if len(rows["patch_id"].unique()) != len(rows):
        faults.append(Fault("patch_id", "names a patch more than once"))
    return faults


def _numbers(rows: Any, name: str) -> np.ndarray:
    """A column of integers, -1 for null."""
    result: np.ndarray = rows[name].combine_chunks().fill_null(-1).to_numpy(zero_copy_only=False)
    return result


def _shares(rows: Any, name: str) -> np.ndarray:
    """A column of shares, NaN for null and where there is no such column."""
    if name not in rows.column_names:
        return np.full(len(rows), np.nan)
    result: np.ndarray = rows[name].to_numpy()
    return result


def _codes_names(rows: Any, name: str) -> tuple[np.ndarray, list[str]]:
    """A column of texts as codes, -1 for null, and names."""
    encoded = rows[name].combine_chunks().dictionary_encode()
    codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    return codes, encoded.dictionary.to_pylist()


def places_of(rows: Any, shards: list[dict[str, Any]]) -> tuple[Places, list[Fault]]:
    """Work out where patches lie, from the columns that say so, and what is impossible about it."""
    known = {record["path"]: number for number, record in enumerate(shards)}
    codes, names = _codes_names(rows, "shard")
    strange = [name for name in names if name not in known]
    if strange:
        return Places.none(len(rows)), [
            Fault("shard", f"names {strange[0][:80]!r}, which shards.json does not")
        ]
    numbers = np.array([*(known[name] for name in names), -1], np.int32)
    index, t, offset, nbytes = (_numbers(rows, name) for name in ("index_in_shard", "t", "offset", "nbytes"))
    places = Places(numbers[codes], index, t, offset, nbytes)
    if not (inside := places.shard >= 0).any():
        return places, []
    shard = places.shard[inside]
    counts, sizes = (
        np.array([record[key] for record in shards], np.int64)[shard] for key in ("count", "bytes")
    )
    index, t, offset, nbytes = (values[inside] for values in (index, t, offset, nbytes))
    block = tarfile.BLOCKSIZE
    whole = (
        (offset % block == 0)
        & (nbytes % block == 0)
        & (nbytes > 0)
        & (offset >= 0)
        & (nbytes <= sizes - offset)
    )
    faults = []
    if not (whole & (index >= 0) & (index < counts) & (t >= 0)).all():
        faults.append(Fault("offset", "names places that are not in the shards that shards.json lists"))
    codes, names = _codes_names(rows, "split")
    if any(shards[s]["split"] != names[c] for s, c in np.unique([shard, codes[inside]], axis=1).T.tolist()):
        faults.append(Fault("split", "differs from that of the shards, as shards.json lists them"))
    return places, faults


def _table_of(rows: Any) -> tuple[PatchTable, list[tuple[str, str]]]:
    tile, tiles = _codes_names(rows, "tile_id")
    time, times = _codes_names(rows, "sensing_start_utc")
    cell, _ = _codes_names(rows, "cell_id")
    split, splits = _codes_names(rows, "split")
    reason, reasons = _codes_names(rows, "reject_reason")
    keys, scene = np.unique(tile * max(1, len(times)) + time, return_inverse=True)
    split_codes = np.array([*(SPLITS.index(name) for name in splits), -1], np.int8)
    reason_codes = np.array([*(reason_code(name) for name in reasons), 0], np.int8)
    labels = tuple(int(match[1]) for name in rows.column_names if (match := _COUNT.fullmatch(name)))
    counts = [rows[f"class_{label}"].to_numpy() for label in labels]
    table = PatchTable(
        scene=scene.astype(np.int32),
        row=rows["row"].to_numpy(),
        col=rows["col"].to_numpy(),
        cell=cell,
        split=split_codes[split],
        ground=split_codes[split],
        reason=reason_codes[reason].copy(),
        valid=rows["valid_fraction"].to_numpy(),
        ignore=rows["ignore_fraction"].to_numpy(),
        **{name: _shares(rows, f"{name}_fraction") for name in CONDITIONS},
        missing_angles=rows["missing_angles_fraction"].to_numpy(),
        counts=np.stack(counts, axis=1) if counts else np.zeros((len(rows), 0), np.int32),
        labels=labels,
    )
    return table, [(tiles[k // len(times)], times[k % len(times)]) for k in keys.tolist()]


def polygons_of(rows: Any, source: Path) -> np.ndarray:
    """Return the footprints of some rows as shapely has them.

    Raises
    ------
    ManifestError
        A row holds none.
    """
    import shapely

    polygons: Any = shapely.from_wkb(rows[GEOMETRY].to_numpy(), on_invalid="ignore")
    is_ground = np.isin(shapely.get_type_id(polygons), (3, 6)) & np.isfinite(shapely.bounds(polygons)).all(
        axis=1
    )
    if not is_ground.all():
        raise _unusable(
            source, [Fault(GEOMETRY, "holds something else than polygons in well-known binary (WKB)")]
        )
    result: np.ndarray = polygons
    return result


def read_item(stream: Any, start: int, nbytes: int, shard: Path) -> bytes:
    """Read the files of an item out of a shard, as they are.

    Raises
    ------
    ManifestError
        The bytes are not whole files of one item.
    """
    stream.seek(start)
    data: bytes = stream.read(nbytes)
    keys = set()
    try:
        for name in _file_names(data):
            keys.add(name.partition(".")[0])
    except tarfile.TarError as error:
        raise _no_item(shard, start, str(error)) from error
    if len(data) != nbytes or len(keys) != 1:
        raise _no_item(shard, start, f"{len(data)} of {nbytes} bytes, with files of {len(keys)} items")
    return data


def _file_names(data: bytes) -> Iterator[str]:
    place = 0
    while place < len(data):
        info = tarfile.TarInfo.frombuf(data[place : place + tarfile.BLOCKSIZE], "utf-8", "strict")
        if info.type != tarfile.REGTYPE or not is_safe_relative(info.name) or "/" in info.name:
            msg = f"{info.name[:80]!r} is not a file of an item"
            raise tarfile.TarError(msg)
        place += tarfile.BLOCKSIZE + padded(info.size)
        yield info.name
    if place != len(data):
        msg = "the last file is cut"
        raise tarfile.TarError(msg)


def _no_item(shard: Path, start: int, reason: str) -> ManifestError:
    message = (
        f"expected the files of one item at byte {start}, got {reason}; restore it, or make the shards again"
    )
    return ManifestError(str(shard), [Fault("", message)])
