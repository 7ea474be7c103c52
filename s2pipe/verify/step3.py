"""Shards and what lies beside them, against ``shards.json``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from s2pipe.dataset.card_files import card_records
from s2pipe.dataset.proof import FileRecord, write_sealed
from s2pipe.errors import ManifestError, PathEscapeError
from s2pipe.ground.split import SPLITS
from s2pipe.patches.candidates.assign import SPLIT_NAME
from s2pipe.patches.shards.layout import SHARD_PATH
from s2pipe.patches.shards.publish import BESIDE, SHARDS_NAME, published_files, read_shards_json, sole_run
from s2pipe.patches.shards.records import PROGRESS, known_shards, progress_path
from s2pipe.report.places import REPORT_NAME
from s2pipe.runtime.paths import InsidePath
from s2pipe.verify.items import Item, Problem, read_or_none, recorded, sealed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_REDO = "`s2pipe patches` makes it anew after --repair"


def has_shards(directory: Path) -> bool:
    """Tell whether Step 3 wrote into a directory."""
    return (directory / SHARDS_NAME).is_file() or any(
        any((directory / split).glob("shard-*.tar")) for split in SPLITS
    )


class Step3Part:
    """One set of shards.

    Parameters
    ----------
    directory : Path
        Directory of ``shards.json``.
    is_shared : bool
        Other things lie in the directory as well: only what is below the splits' directories can be unexpected.
    """

    def __init__(self, directory: Path, *, is_shared: bool) -> None:
        self._directory = directory
        self._is_shared = is_shared
        self._fault: str | None = None
        self._records: list[FileRecord] = []
        self._card = card_records(directory)
        if not (directory / SHARDS_NAME).is_file():
            known = known_shards(directory).values()
            self._records = [FileRecord(item.path, item.bytes, item.sha256) for item in known]
            return
        try:
            self._records = published_files(read_shards_json(directory))
        except ManifestError as error:
            self._fault = "; ".join(map(str, error.faults))
        except PathEscapeError as error:
            self._fault = str(error)

    @property
    def name(self) -> str:
        """The directory of the shards."""
        return str(self._directory)

    def items(self) -> list[Item]:
        """Return ``shards.json``, the shards, the files beside them that it records, and those of the card."""
        data = read_or_none(self._directory / SHARDS_NAME)
        items = [sealed(self._directory / SHARDS_NAME, data, SHARDS_NAME)] if data and not self._fault else []
        items += [recorded(record, self._directory, record.path) for record in self._records]
        return items + [recorded(record, self._directory, None) for record in self._card]

    def problems(self) -> list[Problem]:
        """Return a ``shards.json`` that is missing or of no use, and files that it does not record."""
        path = self._directory / SHARDS_NAME
        if self._fault is not None:
            return [Problem("damaged", path, f"{self._fault}; {_REDO}", SHARDS_NAME)]
        problems = []
        if not path.is_file():
            reason = "is missing: the shards are not complete; run `s2pipe patches` again"
            problems.append(Problem("missing", path, reason))
        known = {record.path for record in (*self._records, *self._card)} | {SHARDS_NAME, REPORT_NAME}
        names = {file: file.relative_to(self._directory).as_posix() for file in self._files()}
        return problems + [
            Problem("unexpected", file, f"{SHARDS_NAME} does not record it")
            for file, name in names.items()
            if not (name in known or file.name.startswith(".") or (problems and _is_of_runs(name)))
        ]

    def _files(self) -> Iterator[Path]:
        if not self._is_shared:
            yield from (path for path in sorted(self._directory.glob("*")) if not path.is_dir())
        for split in SPLITS:
            for path in sorted((self._directory / split).rglob("*")):
                if path.is_symlink() or not path.is_dir():
                    yield path

    def unfinished(self) -> list[Path]:
        """Return what runs are writing, or were when they were killed."""
        left = [path for split in SPLITS for path in sorted((self._directory / split).glob(".*"))]
        return left + sorted((self._directory / PROGRESS).glob("*.json"))

    def repair(self, problems: Sequence[Problem]) -> list[str]:
        """Take away ``shards.json`` and keep records of the whole shards only, for the next run to go on from.

        No shard is removed: the next run replaces those that are damaged.
        """
        units: set[Any] = {problem.unit for problem in problems if problem.unit is not None}
        if not units:
            return []
        with sole_run(self._directory):
            whole = {
                path: record for path, record in known_shards(self._directory).items() if path not in units
            }
            for path in known_shards(self._directory):
                progress_path(self._directory, path).unlink()
            for path, record in whole.items():
                write_sealed(progress_path(self._directory, path).owned(), vars(record))
            InsidePath(self._directory, SHARDS_NAME).unlink()
            if SPLIT_NAME in units:
                InsidePath(self._directory, SPLIT_NAME).unlink()
        done = f"`s2pipe patches` makes the shards anew, but for the {len(whole)} that are whole"
        return [f"{self._directory}: {done}, and the files beside them"]


def _is_of_runs(name: str) -> bool:
    return name in BESIDE or SHARD_PATH.fullmatch(name) is not None
