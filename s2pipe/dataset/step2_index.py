"""The Step-2 index: which samples a dataset holds, always as their ``meta.json`` on disk say."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from s2pipe.config.documents import parse_json, read_json
from s2pipe.config.schema import STEP2_INDEX, validate_document
from s2pipe.dataset.proof import FileRecord, records_of, seal_fault, write_sealed
from s2pipe.dataset.scene_key import SceneKey
from s2pipe.errors import Fault, ManifestError, PathEscapeError, S2PipeError
from s2pipe.runtime.clock import utc_now
from s2pipe.runtime.disk import is_full
from s2pipe.runtime.files import sweep
from s2pipe.runtime.locks import locked
from s2pipe.runtime.paths import InsidePath

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

log = logging.getLogger("s2pipe.preprocess")


def check_index(out_dir: Path) -> None:
    """Check that the index can be updated later: it is absent or valid, and its lock works.

    Raises
    ------
    ManifestError
        The index is damaged.
    LockedError
        The file system has no locks.
    """
    path = _index_path(out_dir)
    if path.exists():
        _entries(path)
    with locked(_lock_path(path)):
        pass


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
    path = _index_path(out_dir)
    with locked(_lock_path(path)):
        sweep(path)
        listed = {Path(entry["meta_path"]).parent for entry in _entries(path)}
        samples = {}
        for directory in (*sorted(listed.difference(done)), *sorted(set(done))):
            entry = _entry_on_disk(out_dir, directory)
            if entry is None or (directory in failed and entry["fingerprint"] != failed[directory]):
                continue
            samples[SceneKey.from_document(entry["key"]).identity] = entry
        document = {
            "schema": STEP2_INDEX,
            "created_utc": utc_now(),
            "output": {"out_dir": out_dir.as_posix(), "layout": "processed/tile=<TILE>/sensing=<SENSING>/"},
            "samples": [samples[key] for key in sorted(samples)],
        }
        write_sealed(path, document)
    return path


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


def _index_path(out_dir: Path) -> Path:
    return out_dir / "meta" / "step2" / "index.json"


def _lock_path(path: Path) -> Path:
    return path.with_name(f".{path.name}.lock")


def _entries(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    try:
        document = read_json(path)
    except (OSError, ValueError) as error:
        raise ManifestError(
            str(path), [Fault("", f"cannot be read as JSON: {error}; move it away")]
        ) from error
    validate_document(document, "step2_index", str(path))
    result: list[dict[str, Any]] = document["samples"]
    return result


def _entry_on_disk(out_dir: Path, directory: Path) -> dict[str, Any] | None:
    """Make a sample's entry from its ``meta.json``; None when that, or a file that it lists, is not whole."""
    try:
        meta_path = InsidePath(out_dir, f"{directory.as_posix()}/meta.json")
        data = meta_path.path.read_bytes()
        meta = parse_json(data)
        paths = meta["paths"]
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
            "meta_path": meta_path.relative,
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
