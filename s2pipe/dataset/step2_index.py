"""The Step-2 index: which samples a dataset holds, always as their ``meta.json`` on disk say.

Runs record what they finish in journals (:mod:`s2pipe.dataset.journal`), and write ``index.json`` at their end.
"""

from __future__ import annotations

import logging
import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from s2pipe.config.documents import parse_json, read_json
from s2pipe.config.schema import STEP2_INDEX, document_faults, validate_document
from s2pipe.dataset.entry_document import document_pieces, entry_line
from s2pipe.dataset.entry_table import EntryStore, EntryTable, Identity, Place, read_entries
from s2pipe.dataset.journal import Journal, Pending, compact, has_entries, read_together
from s2pipe.dataset.proof import FileRecord, records_of, seal_fault, sealed_pieces
from s2pipe.dataset.scene_key import SceneKey
from s2pipe.errors import Fault, ManifestError, PathEscapeError, S2PipeError
from s2pipe.runtime.clock import utc_now, utc_text
from s2pipe.runtime.disk import is_full
from s2pipe.runtime.locks import locked
from s2pipe.runtime.paths import InsidePath

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

log = logging.getLogger("s2pipe.preprocess")


class SampleTable(EntryTable[dict[str, Any]]):
    """The entries of an index by their keys."""

    @staticmethod
    def _key_of(entry: dict[str, Any]) -> SceneKey:
        return SceneKey.from_document(entry["key"])

    @staticmethod
    def _line_of(entry: dict[str, Any]) -> bytes:
        return entry_line(entry)

    @staticmethod
    def _read(store: EntryStore, place: Place) -> dict[str, Any]:
        return store.document(place)


class SampleJournal:
    """What one process adds to an index; close it after use, and compact the index at the end of the run.

    Parameters
    ----------
    out_dir : Path
        Output directory of Step 2.
    run_id : str
        Name of the run.
    """

    def __init__(self, out_dir: Path, run_id: str) -> None:
        self._out_dir = out_dir
        self._journal = Journal(out_dir, index_path(out_dir), run_id)

    def add(
        self, directory: Path, listed: SampleTable | None = None, *, recorded: bool = False
    ) -> dict[str, Any] | None:
        """Record the sample that is in a directory, as its ``meta.json`` says.

        Parameters
        ----------
        directory : Path
            Relative to the output directory.
        listed : SampleTable, optional
            What the index listed before: an entry that is there already is not recorded again.
        recorded : bool
            Another journal has it already: it is only looked at.

        Returns
        -------
        dict or None
            Its entry; None where the sample is not whole.
        """
        entry = _entry_on_disk(self._out_dir, directory)
        if entry is not None and not recorded:
            known = None if listed is None else listed.find(SceneKey.from_document(entry["key"]))
            if known != entry:
                self._journal.append({"sample": entry})
        return entry

    def fail(self, directory: Path, fingerprint: str | None) -> None:
        """Record that a scene failed.

        Parameters
        ----------
        directory : Path
            Directory of its sample.
        fingerprint : str or None
            What that should have: one with another is not listed, since it is of another configuration or of other
            inputs. None: nothing that is there is listed.
        """
        self._journal.append({"failed": directory.as_posix(), "fingerprint": fingerprint})

    def close(self) -> None:
        """Let the next compaction remove the journal."""
        self._journal.close()


def check_index(out_dir: Path) -> SampleTable:
    """Check that the index can be updated later: it is absent or valid, and its lock works; return it.

    Raises
    ------
    ManifestError
        The index is damaged.
    LockedError
        The file system has no locks.
    """
    listed = load_entries(out_dir)
    with locked(_lock_path(index_path(out_dir))):
        return listed


def load_entries(out_dir: Path) -> SampleTable:
    """Load the index of an output directory with what its journals add; it is empty where there is none.

    Raises
    ------
    ManifestError
        The index or a journal is damaged.
    """
    path = index_path(out_dir)
    table, pending = read_together(path, lambda: _read_file(path))
    return _with_entries(table, pending, path)


def stored_samples(path: Path) -> tuple[dict[str, Any], SampleTable] | None:
    """Open an index file that is as s2pipe wrote it.

    Returns
    -------
    (dict, SampleTable) or None
        All keys but the list, and the entries, each checked when it is used. None where the file has another form, or
        was changed.
    """
    try:
        stream = path.open("rb")
    except (OSError, ValueError):
        return None
    stored = read_entries(path, stream, "step2_sample")
    if stored is None or not stored.is_intact:
        stream.close()
        return None
    return stored.head, SampleTable(stored.store, stored.places)


def has_index(out_dir: Path) -> bool:
    """Tell whether there is an index: its file, or journals that are not compacted yet."""
    path = index_path(out_dir)
    return path.exists() or has_entries(path)


def compact_index(out_dir: Path, *, only_if_new: bool = False) -> bool:
    """Write what journals hold into ``meta/step2/index.json``, and remove those whose writers are gone.

    Parameters
    ----------
    out_dir : Path
        Output directory of Step 2.
    only_if_new : bool
        Leave a file alone that holds all entries; otherwise samples are dropped that are not whole on disk, by the
        sizes of their files.

    Returns
    -------
    bool
        Whether the file was written.

    Raises
    ------
    ManifestError
        The index or a journal is damaged; nothing was changed.
    """
    return _rewritten(out_dir, lambda table: _still_whole(out_dir, table), only_if_new=only_if_new)


def update_index(out_dir: Path, done: Collection[Path], failed: Mapping[Path, str | None]) -> Path:
    """Write ``meta/step2/index.json`` anew, under its lock, from the samples on disk.

    Parameters
    ----------
    out_dir : Path
        Output directory.
    done : collection of Path
        Directories of samples, relative to it, that join those that the index lists already.
    failed : mapping
        Directories of scenes that failed, and the fingerprint that their samples should have: one with another is not
        listed, since it is of another configuration or of other inputs. None: nothing that is there is listed.
    """

    def on_disk(table: SampleTable) -> SampleTable:
        listed = {Path(entry["meta_path"]).parent for entry in table}
        samples = {}
        for directory in (*sorted(listed.difference(done)), *sorted(set(done))):
            entry = _entry_on_disk(out_dir, directory)
            if entry is None or (directory in failed and entry["fingerprint"] != failed[directory]):
                continue
            samples[SceneKey.from_document(entry["key"]).identity] = entry
        return SampleTable(recorded=samples)

    _rewritten(out_dir, on_disk)
    return index_path(out_dir)


def _rewritten(
    out_dir: Path, change: Callable[[SampleTable], SampleTable], *, only_if_new: bool = False
) -> bool:
    """Write the index file anew under its lock, from all that is known and what a change makes of it."""
    path = index_path(out_dir)
    written = True

    def fold(pending: Pending) -> Iterator[bytes] | None:
        nonlocal written
        if only_if_new and not pending.entries and path.exists():
            _read_file(path)
            written = False
            return None
        table = change(_with_entries(_read_file(path), pending, path))
        head = {
            "schema": STEP2_INDEX,
            "created_utc": utc_text(pending.entries[-1].time_ns) if pending.entries else utc_now(),
            "output": {"out_dir": out_dir.as_posix(), "layout": "processed/tile=<TILE>/sensing=<SENSING>/"},
        }
        return sealed_pieces(document_pieces(head, "samples", table.lines()))

    with locked(_lock_path(path)):
        compact(path, fold)
    return written


@contextmanager
def updated_afterwards(update: Callable[[], None]) -> Iterator[None]:
    """Update the index after the block, however that ends; the block's own error is never hidden by another."""
    try:
        yield
    except BaseException as first:
        try:
            update()
        except (S2PipeError, OSError) as error:
            level = (
                logging.DEBUG if is_full(first) and is_full(error) else logging.ERROR
            )  # a full disk is said once
            log.log(level, "the index of samples was not updated: %s", error)
        raise
    update()


def index_path(out_dir: Path) -> Path:
    """Return where the index of an output directory lies."""
    return out_dir / "meta" / "step2" / "index.json"


def _lock_path(path: Path) -> Path:
    return path.with_name(f".{path.name}.lock")


def _read_file(path: Path) -> SampleTable:
    try:
        stream = path.open("rb")
    except FileNotFoundError:
        return SampleTable()
    except OSError as error:
        raise _unreadable(path, error) from error
    stored = read_entries(path, stream, "step2_sample")
    if stored is not None:
        if not stored.is_intact:
            for _ in stored.documents():
                pass  # checked; those of an intact file are when they are used
        return SampleTable(stored.store, stored.places)
    stream.close()
    try:
        document = read_json(path)
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error
    validate_document(document, "step2_index", str(path))
    keys = (SceneKey.from_document(entry["key"]) for entry in document["samples"])
    return SampleTable(
        recorded={key.identity: entry for key, entry in zip(keys, document["samples"], strict=True)}
    )


def _unreadable(path: Path, error: Exception) -> ManifestError:
    return ManifestError(str(path), [Fault("", f"cannot be read as JSON: {error}; move it away")])


def _with_entries(table: SampleTable, pending: Pending, path: Path) -> SampleTable:
    """Add the entries of journals in their order."""
    recorded: dict[Identity, dict[str, Any] | None] = {}
    by_directory = {key.sample_dir.as_posix(): key for key in table.keys} if pending.entries else {}
    for entry in pending.entries:
        sample, directory = entry.content.get("sample"), entry.content.get("failed")
        if sample is not None:
            faults = document_faults(sample, "step2_sample")
            if faults:
                where = f"{path.stem}.journal/{entry.writer}.jsonl line {entry.number + 1}"
                raise ManifestError(
                    str(path), [Fault(f"{where}: {fault.path}", fault.message) for fault in faults]
                )
            key = SceneKey.from_document(sample["key"])
            by_directory[Path(sample["meta_path"]).parent.as_posix()] = key
            recorded[key.identity] = sample
        elif directory in by_directory:
            key = by_directory[directory]
            known = recorded[key.identity] if key.identity in recorded else table.find(key)
            if known is not None and known["fingerprint"] != entry.content.get("fingerprint"):
                recorded[key.identity] = None
    return table.changed(recorded) if recorded else table


def _still_whole(out_dir: Path, table: SampleTable) -> SampleTable:
    """Leave out samples that are not whole; those of which a file has another size are read anew."""
    changed: dict[Identity, dict[str, Any] | None] = {}
    root = os.fspath(out_dir)
    for entry in table:
        files = entry.get("files")  # other programs may leave them out
        if not files or not all(_has_size(f"{root}/{item['path']}", item["size"]) for item in files):
            key = SceneKey.from_document(entry["key"])
            changed[key.identity] = _entry_on_disk(out_dir, Path(entry["meta_path"]).parent)
    return table.changed(changed) if changed else table


def _has_size(path: str, size: int) -> bool:
    try:
        return os.stat(path).st_size == size  # noqa: PTH116 - hundreds of thousands of files
    except (OSError, ValueError):
        return False


def _entry_on_disk(out_dir: Path, directory: Path) -> dict[str, Any] | None:
    """Make a sample's entry from its ``meta.json``; None when that, or a file that it lists, is not whole."""
    try:
        meta_path = InsidePath(out_dir, f"{directory.as_posix()}/meta.json")
        data = meta_path.path.read_bytes()
        meta = parse_json(data)
        paths, area = meta["paths"], meta.get("area")
        records = records_of(meta["files"])
        if seal_fault(data) is not None or records is None:
            return None
        itself = FileRecord.of_bytes(data, meta_path.relative)
        entry = {
            "key": dict(meta["key"]),
            "x_path": paths["x"],
            "y_path": paths.get("y"),
            "angles_path": paths.get("angles"),
            "quality_path": paths.get("quality"),
            "labels": meta["labels"].get("meaning"),
            "label_targets": _target_meanings(meta["labels"].get("targets")),
            "stack_path": paths.get("stack"),
            **({"source_path": paths["source"]} if "source" in paths else {}),
            "meta_path": meta_path.relative,
            "grid": dict(meta["grid"]),
            "area": None if area is None else {key: dict(area[key]) for key in ("window", "reference_grid")},
            "fingerprint": meta["fingerprint"],
            "files": [record.to_document() for record in (itself, *records)],
        }
        is_listed = {record.path for record in records}.issuperset(paths.values())
        there = is_listed and all(record.is_at(out_dir) for record in records)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, PathEscapeError):
        return None
    return entry if there else None


def _target_meanings(targets: Sequence[Mapping[str, Any]] | None) -> list[dict[str, Any]] | None:
    """Name and meaning of each of several label rasters; None where there is one, or none."""
    return None if targets is None else [{"name": target["name"], **target["meaning"]} for target in targets]
