"""Samples against their ``meta.json``, that against the Step-2 index, histograms against themselves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from s2pipe.config.documents import parse_json
from s2pipe.config.schema import document_faults
from s2pipe.dataset.journal import has_entries
from s2pipe.dataset.proof import FileRecord, is_sealed, records_of, seal_fault
from s2pipe.dataset.step2_index import has_index, load_entries, update_index
from s2pipe.errors import ManifestError
from s2pipe.preprocess.finish import UNFINISHED, sample_lock
from s2pipe.preprocess.stats.histogram import HISTOGRAM_NAME, is_intact_histogram
from s2pipe.runtime.paths import InsidePath, is_safe_relative
from s2pipe.verify.items import Count, Item, Problem, read_or_none, recorded

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_META = "meta.json"
_REDO = "`s2pipe preprocess` makes the sample anew after --repair"
_UNSEALED = "carries no checksum of its own: it was written by an earlier version, or is damaged"
INDEX = "the Step-2 index"
"""Unit of problems with the index itself."""


def has_samples(root: Path) -> bool:
    """Tell whether Step 2 wrote into a directory."""
    return (root / "meta" / "step2" / "index.json").is_file() or any(root.glob("processed/tile=*/sensing=*"))


class Step2Part:
    """The samples below an output directory, and their index.

    Parameters
    ----------
    root : Path
        Output directory of Step 2.
    directory : Path, optional
        Directory of the only sample to verify, relative to it; None verifies all, and the index.
    """

    def __init__(self, root: Path, directory: Path | None = None) -> None:
        self._root = root
        self._index_path = root / "meta" / "step2" / "index.json"
        self._is_whole = directory is None
        self._entries = self._read_index()
        found = {path.relative_to(root) for path in root.glob("processed/tile=*/sensing=*") if path.is_dir()}
        self._directories = sorted(found | set(self._entries)) if directory is None else [directory]
        self._metas = {directory: self._read_meta(directory) for directory in self._directories}

    @property
    def name(self) -> str:
        """The output directory, or the sample's."""
        return str(self._root / ("." if self._is_whole else self._directories[0]))

    def _read_index(self) -> dict[Path, list[FileRecord]]:
        """Records of the index and its journals by the directory of the sample; none where they cannot be read."""
        try:
            if has_entries(self._index_path):
                samples: Iterable[Any] = load_entries(self._root)
            else:
                samples = parse_json(read_or_none(self._index_path) or b"{}")["samples"]
            entries = {entry["meta_path"]: records_of(entry.get("files")) or [] for entry in samples}
        except (ManifestError, ValueError, LookupError, TypeError, AttributeError):
            return {}
        return {Path(path).parent: files for path, files in entries.items() if is_safe_relative(path)}

    def _read_meta(self, directory: Path) -> _Meta:
        data = read_or_none(self._root / directory / _META)
        if data is None:
            return _Meta(None, None, [])
        try:
            document = parse_json(data)
        except ValueError:
            document = None
        fault = seal_fault(data) or (None if is_sealed(document) else _UNSEALED)
        files = document.get("files") if isinstance(document, dict) else None
        return _Meta(data, fault, (records_of(files) or []) if fault is None else [])

    def items(self) -> list[Item]:
        """Return the index, every ``meta.json`` and the files that it lists, and the histograms."""
        items: list[Item] = []
        if self._is_whole and (data := read_or_none(self._index_path)) is not None:
            items.append(Item(self._index_path, "checksum", 0, lambda _: _index_fault(data), INDEX))
        for directory, meta in self._metas.items():
            if meta.data is not None:
                items.append(self._meta_item(directory, meta))
            elif directory in self._entries:
                items.append(_missing(self._root / directory / _META, directory))
            items += [recorded(record, self._root, directory) for record in self._records(directory)]
            histogram = self._root / directory / HISTOGRAM_NAME
            if histogram.is_file():
                items.append(_histogram_item(histogram))
        return items

    def _records(self, directory: Path) -> list[FileRecord]:
        """Records of a sample's files: its own, else those of the index."""
        records = self._metas[directory].records or self._entries.get(directory, [])
        inside = f"{directory.as_posix()}/"
        return [
            record for record in records if record.path.startswith(inside) and not record.path.endswith(_META)
        ]

    def _meta_item(self, directory: Path, meta: _Meta) -> Item:
        path = self._root / directory / _META
        known = {record.path: record for record in self._entries.get(directory, [])}
        record = known.get(f"{directory.as_posix()}/{_META}")

        def difference(_: Count) -> str | None:
            if meta.fault is not None or meta.data is None or record is None:
                return meta.fault
            now = FileRecord.of_bytes(meta.data, record.path)
            return (
                None
                if now == record
                else "is not the one that the index lists; run `s2pipe preprocess` again"
            )

        return Item(path, "checksum", 0, difference, directory if meta.fault else INDEX)

    def problems(self) -> list[Problem]:
        """Return a missing index, and files that no ``meta.json`` lists."""
        problems = []
        is_made = any(meta.data is not None for meta in self._metas.values())
        if self._is_whole and is_made and not has_index(self._root):
            reason = "is missing; run `s2pipe preprocess` again"
            problems.append(Problem("missing", self._index_path, reason, INDEX))
        for directory, meta in self._metas.items():
            listed = {self._root / record.path for record in self._records(directory)}
            listed |= {self._root / directory / name for name in (_META, HISTOGRAM_NAME, ".lock")}
            if meta.data is not None and not meta.records and directory not in self._entries:
                continue  # what the sample holds is unknown, and its meta.json is named as damaged
            problems += [
                Problem("unexpected", path, "no meta.json lists it")
                for path in self._files(directory)
                if path not in listed and not _is_left(path, self._root / directory)
            ]
        if self._is_whole:
            problems += [
                Problem("unexpected", path, "is in no sample's directory") for path in self._strays()
            ]
        return problems

    def _files(self, directory: Path) -> Iterator[Path]:
        for path in sorted((self._root / directory).rglob("*")):
            if path.is_symlink() or not path.is_dir():
                yield path

    def _strays(self) -> Iterator[Path]:
        samples = {self._root / directory for directory in self._directories}
        for path in sorted((self._root / "processed").rglob("*")):
            if (path.is_symlink() or not path.is_dir()) and samples.isdisjoint(path.parents):
                yield path

    def unfinished(self) -> list[Path]:
        """Return what runs are writing, or were when they were killed."""
        return [
            path
            for directory in self._directories
            for path in self._files(directory)
            if path.name != ".lock" and _is_left(path, self._root / directory)
        ]

    def repair(self, problems: Sequence[Problem]) -> list[str]:
        """Take away the mark of damaged samples, damaged histograms, and an index that is not right."""
        units = {problem.unit for problem in problems if problem.unit is not None}
        done = []
        for directory in sorted(unit for unit in units if isinstance(unit, Path) and unit in self._metas):
            if not (self._root / directory).is_dir():
                continue
            with sample_lock(self._root, directory):
                InsidePath(self._root, (directory / _META).as_posix()).unlink()
            done.append(f"{self._root / directory}: `s2pipe preprocess` makes this sample anew")
        for problem in problems:
            if problem.unit == HISTOGRAM_NAME:
                with sample_lock(self._root, problem.path.parent.relative_to(self._root)):
                    InsidePath(self._root, problem.path.relative_to(self._root).as_posix()).unlink()
                done.append(f"{problem.path}: removed; pass 1 counts the scene anew")
        return done + self._repair_index(units)

    def _repair_index(self, units: set[Any]) -> list[str]:
        if not units & {INDEX, *self._entries}:
            return []
        data = read_or_none(self._index_path)
        if data is None:
            return []
        if self._entries and _index_fault(data) is None:
            update_index(self._root, (), {})
            return [f"{self._index_path}: lists only samples that are whole"]
        # What a damaged index lists cannot be trusted, and not all samples on disk need belong to it.
        InsidePath(self._root, self._index_path.relative_to(self._root).as_posix()).unlink()
        return [f"{self._index_path}: removed; `s2pipe preprocess` lists the samples of its run anew"]


def _index_fault(data: bytes) -> str | None:
    """Say why bytes are not a Step-2 index as runs write it; None when they are."""
    if (fault := seal_fault(data)) is not None:
        return fault
    document = parse_json(data)
    faults = document_faults(document, "step2_index")
    if faults:
        return "; ".join(map(str, faults))
    return None if is_sealed(document) else _UNSEALED


class _Meta:
    """What was read of a sample's ``meta.json``."""

    def __init__(self, data: bytes | None, fault: str | None, records: list[FileRecord]) -> None:
        self.data = data
        self.fault = fault
        self.records = records


def _missing(path: Path, directory: Path) -> Item:
    return Item(path, "nothing", 0, lambda _: f"is missing; {_REDO}", directory)


def _is_left(path: Path, sample: Path) -> bool:
    return path == sample / ".lock" or path.relative_to(sample).parts[0].startswith(
        (UNFINISHED, ".histogram.")
    )


def _histogram_item(path: Path) -> Item:
    def difference(count: Count) -> str | None:
        data = read_or_none(path)
        if data is None:
            return "cannot be read"
        count(len(data))
        return None if is_intact_histogram(data) else "its content does not match the SHA-256 at its end"

    return Item(path, "checksum", path.stat().st_size, difference, HISTOGRAM_NAME)
