"""``shards.json``, the mark that a set of shards is complete, and what stands for it while a run goes on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from s2pipe.config.schema import STEP3_SHARDS, validate_document
from s2pipe.errors import Fault, ManifestError
from s2pipe.ground.split import SPLITS
from s2pipe.patches.database import DATABASE_NAME
from s2pipe.patches.shards.writer import PROGRESS, ShardRecord, known_shards, progress_path
from s2pipe.runtime.files import write_json_atomic

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SHARDS_NAME, SUMMARY_NAME = "shards.json", "summary.json"


def read_shards_json(out_dir: Path) -> dict[str, Any]:
    """Read and check ``shards.json``.

    Raises
    ------
    ManifestError
        It is missing or invalid.
    """
    path = out_dir / SHARDS_NAME
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        fault = Fault("", f"cannot be read as JSON ({error}); run `s2pipe patches` again")
        raise ManifestError(str(path), [fault]) from error
    validate_document(document, "step3_shards", str(path))
    result: dict[str, Any] = document
    return result


def is_published(out_dir: Path, fingerprint: str) -> bool:
    """Whether exactly these outputs are there, complete."""
    try:
        document = read_shards_json(out_dir)
    except ManifestError:
        return False
    if document["fingerprint"] != fingerprint:
        return False
    sizes = {record["path"]: record["bytes"] for record in document["shards"]}
    others = (out_dir / DATABASE_NAME, out_dir / SUMMARY_NAME)
    return all(path.is_file() for path in others) and all(
        (out_dir / path).is_file() and (out_dir / path).stat().st_size == size for path, size in sizes.items()
    )


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
            write_json_atomic(progress_path(out_dir, record.path), vars(record))
        for name in (SHARDS_NAME, SUMMARY_NAME, DATABASE_NAME):
            (out_dir / name).unlink(missing_ok=True)

    def finish(
        self,
        records: Sequence[ShardRecord],
        facts: Mapping[str, Any],
        summary: Mapping[str, Any],
        about: Mapping[str, Any],
    ) -> None:
        """Write summary and ``shards.json``, and remove shards of earlier runs that are no longer part of it."""
        validate_document(summary, "step3_summary", SUMMARY_NAME)
        write_json_atomic(self._out_dir / SUMMARY_NAME, summary)
        for path in {*self._present} - {record.path for record in records}:
            (self._out_dir / path).unlink(missing_ok=True)
        document = {
            "schema": STEP3_SHARDS,
            **about,
            "candidates": summary["candidates"],
            "kept": summary["kept"],
            **facts,
            "splits": _split_totals(records),
            "class_weights": _class_weights(records),
            "shards": [vars(record) for record in records],
        }
        validate_document(document, "step3_shards", SHARDS_NAME)
        write_json_atomic(self._out_dir / SHARDS_NAME, document)
        shutil.rmtree(self._out_dir / PROGRESS, ignore_errors=True)
        self._sweep()

    def _sweep(self) -> None:
        """Remove what killed runs left unfinished; the caller's lock says that nobody is writing it."""
        patterns = [f"{split}/.shard-*.tar.part" for split in SPLITS]
        patterns += [f".{Path(name).stem}.*" for name in (SHARDS_NAME, SUMMARY_NAME, DATABASE_NAME)]
        for pattern in patterns:
            for path in self._out_dir.glob(pattern):
                path.unlink(missing_ok=True)


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
