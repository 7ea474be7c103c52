"""``shards.json``, the mark that a set of shards is complete, and what stands for it while a run is in progress."""

from __future__ import annotations

import logging
import re
from collections import Counter
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from s2pipe.config.documents import parse_json
from s2pipe.config.fields import to_plain
from s2pipe.config.schema import STEP3_SHARDS, validate_document
from s2pipe.dataset.proof import FileRecord, record_files, records_of, seal_fault, write_sealed
from s2pipe.errors import Fault, ManifestError, PathEscapeError
from s2pipe.ground.split import SPLITS
from s2pipe.patches.candidates.assign import SPLIT_NAME
from s2pipe.patches.candidates.kept_scores import SCORES, SCORES_NAME
from s2pipe.patches.cfg import PatchConfig
from s2pipe.patches.database import DATABASE_NAME
from s2pipe.patches.shards.layout import SHARD_PATH
from s2pipe.patches.shards.records import PROGRESS, ShardRecord, known_shards, progress_path
from s2pipe.runtime.disk import full_disk_ends
from s2pipe.runtime.files import sweep, unfinished, write_json_atomic
from s2pipe.runtime.locks import locked
from s2pipe.runtime.paths import InsidePath

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from s2pipe.patches.shards.facts import SharedFacts

log = logging.getLogger("s2pipe.patches")
_LEFT_PART = re.compile(r"[.]shard-[0-9]{6,12}[.]tar[.]part", re.ASCII)
_PROGRESS_NAME = re.compile(r"[.]?[a-z]+-shard-[0-9]{6,12}[.]tar[.]([a-z0-9_]{8}[.])?(json|lock)", re.ASCII)
SHARDS_NAME, SUMMARY_NAME = "shards.json", "summary.json"
BESIDE = (DATABASE_NAME, SUMMARY_NAME, SPLIT_NAME)
"""Files that ``shards.json`` records beside the shards."""


@contextmanager
def sole_run(out_dir: Path, shard: str | None = None) -> Iterator[None]:
    """One run at a time in a directory, or any number of jobs of an array, which publish nothing."""
    with full_disk_ends(out_dir), locked(out_dir / ".lock", wait=False, shared=shard is not None):
        if shard is not None:  # what looks left over may be another job's
            yield
            return
        sweep(*(out_dir / name for name in (SPLIT_NAME, SHARDS_NAME, SUMMARY_NAME, DATABASE_NAME)))
        yield


def read_shards_json(out_dir: Path, name: str = SHARDS_NAME) -> dict[str, Any]:
    """Read and check ``shards.json``: every shard that it names is one that a run may have written below ``out_dir``.

    Raises
    ------
    ManifestError
        It is missing or invalid.
    PathEscapeError
        It names a shard outside ``out_dir``.
    """
    path = out_dir / name
    try:
        data = path.read_bytes()
    except OSError as error:
        raise _no_json(str(path), error) from error
    return checked_shards(data, str(path))


def _no_json(where: str, error: Exception) -> ManifestError:
    return ManifestError(where, [Fault("", f"cannot be read as JSON ({error}); run `s2pipe patches` again")])


def checked_shards(data: bytes, where: str) -> dict[str, Any]:
    """Check the content of a ``shards.json``, wherever that is from.

    Raises
    ------
    ManifestError
        It is invalid.
    PathEscapeError
        It names a shard outside its directory.
    """
    try:
        document = parse_json(data)
    except ValueError as error:
        raise _no_json(where, error) from error
    validate_document(document, "step3_shards", where)
    root = Path(where).parent
    names = [InsidePath(root, record["path"]).relative for record in document["shards"]]
    uses = Counter(names)
    faults = [
        Fault(
            f"shards[{number}].path", f"expected a path like train/shard-000000.tar, named once, got {name!r}"
        )
        for number, name in enumerate(names)
        if not SHARD_PATH.fullmatch(name) or uses[name] > 1
    ]
    if not faults and (difference := seal_fault(data)) is not None:
        faults = [Fault("", f"{difference}; run `s2pipe patches` again")]
    if faults:
        raise ManifestError(where, faults)
    result: dict[str, Any] = document
    return result


def is_published(out_dir: Path, fingerprint: str) -> bool:
    """Whether exactly these outputs are there, complete."""
    try:
        document = read_shards_json(out_dir)
    except (ManifestError, PathEscapeError):
        return False
    if document["fingerprint"] != fingerprint:
        return False
    files = published_files(document)
    return {*BESIDE} <= {file.path for file in files} and all(file.is_at(out_dir) for file in files)


def published_files(document: Mapping[str, Any]) -> list[FileRecord]:
    """Return what a checked ``shards.json`` says about files: shards first, then those beside them."""
    shards = [FileRecord(item["path"], item["bytes"], item["sha256"]) for item in document["shards"]]
    return shards + (records_of(document.get("files")) or [])


@dataclass(frozen=True)
class Query:
    """Which patches of an existing set were taken."""

    query: str
    """The condition."""
    source_fingerprint: str
    """Identifies the set by its content."""


@dataclass(frozen=True)
class Origin:
    """What a set of shards is made from."""

    fingerprint: str | None
    """Identifies everything that the outputs depend on; None where samples failed, so that the next run tries again."""
    config: PatchConfig
    """The configuration."""
    split: str
    """Fingerprint of the split's rules."""
    from_db: Query | None = None
    """For shards made from shards: what was taken from them."""

    def to_document(self) -> dict[str, Any]:
        """Return its part of ``shards.json``."""
        return {
            "fingerprint": self.fingerprint,
            "config": to_plain(self.config),
            "split": self.split,
            "from_db": None if self.from_db is None else dict(vars(self.from_db)),
        }


class Publication:
    """Takes ``shards.json`` away while shards change, and writes it when they are complete.

    Parameters
    ----------
    out_dir : Path
        Output directory, locked by the caller.
    keep_known : bool
        Shards of earlier runs may be kept where their fingerprint is right.
    """

    def __init__(self, out_dir: Path, *, keep_known: bool) -> None:
        self._out_dir = out_dir
        self._present = known_shards(out_dir)
        self.known: dict[str, ShardRecord] = self._present if keep_known else {}
        """Shards that may be complete, by path."""
        for record in self._present.values():
            path = progress_path(out_dir, record.path).owned()
            if not path.exists():  # what is there is newer, and may be another job's
                write_sealed(path, vars(record))
        for name in (SHARDS_NAME, SUMMARY_NAME, DATABASE_NAME):
            InsidePath(out_dir, name).unlink()

    def finish(
        self,
        records: Sequence[ShardRecord],
        facts: SharedFacts,
        summary: Mapping[str, Any],
        origin: Origin,
    ) -> None:
        """Write summary and ``shards.json``, and remove shards of earlier runs that are no longer part of it.

        Parameters
        ----------
        records : sequence of ShardRecord
            The shards, complete.
        facts : SharedFacts
            What their items have in common.
        summary : mapping
            JSON form of the summary.
        origin : Origin
            What the shards are made from.
        """
        made = origin.to_document()
        summary = {**summary, "from_db": made["from_db"]}
        validate_document(summary, "step3_summary", SUMMARY_NAME)
        write_json_atomic(self._out_dir / SUMMARY_NAME, summary)
        self._remove_superseded({record.path for record in records})
        beside = record_files((self._out_dir / name, name) for name in BESIDE)
        document = {
            "schema": STEP3_SHARDS,
            **made,
            "candidates": summary["candidates"],
            "kept": summary["kept"],
            **facts.to_document(),
            "splits": _split_totals(records),
            "class_weights": _class_weights(records),
            "shards": [vars(record) for record in records],
            "files": [record.to_document() for record in beside],
        }
        validate_document(document, "step3_shards", SHARDS_NAME)
        write_sealed(self._out_dir / SHARDS_NAME, document)
        sweep_shards(self._out_dir)

    def _remove_superseded(self, wanted: set[str]) -> None:
        """Remove the shards that earlier runs recorded; keep, and name, files that are not what was recorded."""
        for path, record in self._present.items():
            if path not in wanted and InsidePath(self._out_dir, path).is_file(record.bytes):
                InsidePath(self._out_dir, path).unlink()
        for split in SPLITS:
            here = {f"{split}/{path.name}" for path in (self._out_dir / split).glob("shard-*.tar")}
            for path in sorted(here - wanted):
                log.warning(
                    "%s: is not part of these shards, nor as a run recorded it; remove it",
                    self._out_dir / path,
                )


def sweep_shards(out_dir: Path) -> None:
    """Remove what runs keep while they go on, and what killed ones left, of shards that are complete.

    Parameters
    ----------
    out_dir : Path
        Directory of the shards, locked by the caller.
    """
    left = [
        path for name in (SHARDS_NAME, SUMMARY_NAME, DATABASE_NAME) for path in unfinished(out_dir / name)
    ]
    kept = ((PROGRESS, _PROGRESS_NAME), (SCORES, SCORES_NAME))
    for directory, name in [*((split, _LEFT_PART) for split in SPLITS), *kept]:
        left += [path for path in (out_dir / directory).glob("*") if name.fullmatch(path.name)]
    for path in left:
        InsidePath(out_dir, path.relative_to(out_dir).as_posix()).unlink()
    for directory, _ in kept:
        with suppress(OSError):  # someone else's files stay, and their directory with them
            InsidePath(out_dir, directory).owned().rmdir()


def _split_totals(records: Sequence[ShardRecord]) -> dict[str, Any]:
    totals: dict[str, Any] = {}
    for name in SPLITS:
        chosen = [record for record in records if record.split == name]
        totals[name] = {
            "shards": len(chosen),
            "samples": sum(record.count for record in chosen),
            "bytes": sum(record.bytes for record in chosen),
            "class_histogram": _class_counts(chosen),
        }
    return totals


def _class_counts(records: Sequence[ShardRecord]) -> dict[str, int]:
    total: dict[str, int] = {}
    for record in records:
        for label, count in record.class_histogram.items():
            total[label] = total.get(label, 0) + count
    return total


def _class_weights(records: Sequence[ShardRecord]) -> dict[str, float]:
    """Weights that make the labels found in training equally heavy, 1 on average over pixels."""
    counts = {k: n for k, n in _class_counts([r for r in records if r.split == "train"]).items() if n}
    total = sum(counts.values())
    return {label: total / (len(counts) * count) for label, count in counts.items()}
