"""What is known of shards: from before they are written until ``shards.json`` says it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from s2pipe.config.documents import parse_json
from s2pipe.dataset.proof import SEAL, seal_fault, write_sealed
from s2pipe.patches.shards.layout import SHARD_PATH, Groups, ShardPlan
from s2pipe.runtime.hashing import hash_file
from s2pipe.runtime.paths import InsidePath

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from s2pipe.patches.candidates.windows import PatchTable

PROGRESS = ".progress"
"""Directory of the records of finished shards while a run is in progress."""


@dataclass(frozen=True)
class ShardRecord:
    """What is known of a finished shard."""

    path: str
    """Path relative to the output directory."""
    split: str
    """Its split."""
    count: int
    """Items."""
    bytes: int
    """Size of the file."""
    sha256: str
    """Checksum of the file."""
    class_histogram: dict[str, int]
    """Pixels by label."""
    fingerprint: str
    """Identifies everything that its bytes depend on."""


def record_of(
    plan: ShardPlan, table: PatchTable, groups: Groups, size_fingerprint: tuple[int, str]
) -> ShardRecord:
    """What is known of a shard before it is written: all but the checksum."""
    patches = np.concatenate([groups.members(group) for group in plan.groups.tolist()])
    totals = table.counts[patches].sum(axis=0, dtype=np.int64).tolist()
    histogram = {str(label): total for label, total in zip(table.labels, totals, strict=True)}
    size, fingerprint = size_fingerprint
    return ShardRecord(plan.path, plan.split, len(plan.groups), size, "", histogram, fingerprint)


def known_record(out_dir: Path, known: Mapping[str, ShardRecord], record: ShardRecord) -> ShardRecord | None:
    """Return the finished shard of an earlier run that is the same, or forget what is known of its file."""
    found = known.get(record.path)
    is_same = found is not None and replace(found, sha256=record.sha256) == record
    if found is not None and is_same and InsidePath(out_dir, found.path).is_file(found.bytes):
        return found
    # From now on the file may hold something else than what was recorded of it.
    progress_path(out_dir, record.path).unlink()
    return None


def new_part(out_dir: Path, shard: str) -> Path:
    """Make the empty file that becomes a shard by rename; what a killed run left of it is replaced."""
    path = out_dir / shard
    part = InsidePath(out_dir, f"{shard.rpartition('/')[0]}/.{path.name}.part")
    part.owned().parent.mkdir(parents=True, exist_ok=True)
    part.unlink()
    with part.path.open("xb"):  # never what a link in its place points to
        return part.path


def finish_shard(out_dir: Path, part: Path, record: ShardRecord) -> ShardRecord:
    """Give a written shard its checksum and its name, and record it."""
    record = replace(record, sha256=hash_file(part, "sha256"))
    part.replace(out_dir / record.path)
    write_sealed(progress_path(out_dir, record.path).owned(), vars(record))
    return record


def progress_path(out_dir: Path, shard: str) -> InsidePath:
    """Where a finished shard is recorded while the run is in progress."""
    return InsidePath(out_dir, f"{PROGRESS}/{shard.replace('/', '-')}.json")


def known_shards(out_dir: Path) -> dict[str, ShardRecord]:
    """Shards that earlier runs have finished: from ``shards.json``, and from ``.progress``, which is newer.

    Whatever is not a record, or names a file that no run would name a shard, is ignored.
    """
    found: dict[str, ShardRecord] = {}
    for path in (out_dir / "shards.json", *sorted((out_dir / PROGRESS).glob("*.json"))):
        try:
            data = path.read_bytes()
            document = parse_json(data)
        except (OSError, ValueError):
            continue
        if seal_fault(data) is not None:
            continue
        if path.parent == out_dir:
            document = document.get("shards") if isinstance(document, dict) else None
            documents = document if isinstance(document, list) else []
        else:
            documents = [document]
        records = (_record(document) for document in documents)
        found |= {record.path: record for record in records if record is not None}
    return found


def _record(document: Any) -> ShardRecord | None:
    """A record from JSON that anyone may have written; None when it is not a shard's."""
    try:
        record = ShardRecord(**{key: value for key, value in document.items() if key != SEAL})
    except (TypeError, AttributeError):
        return None
    texts = (record.path, record.split, record.sha256, record.fingerprint)
    if not all(isinstance(text, str) for text in texts) or not SHARD_PATH.fullmatch(record.path):
        return None
    counts = (record.count, record.bytes)
    return record if all(type(number) is int and number >= 0 for number in counts) else None
