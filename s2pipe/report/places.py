"""Where the parts of a dataset lie below a directory, and documents that may be damaged."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from s2pipe.config.documents import parse_json
from s2pipe.config.schema import NORMALIZE_STATS
from s2pipe.dataset.journal import journal_directory, read_pending
from s2pipe.dataset.proof import seal_fault
from s2pipe.errors import ManifestError
from s2pipe.ground.split import SPLITS
from s2pipe.report.model import Problem
from s2pipe.runtime.limits import MAX_INDEX_BYTES, read_limited

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

REPORT_NAME = "report.html"
"""Name of the page, unless another is given."""
_BELOW = ("*", "*/*")
_NOT_BELOW = frozenset({"raw", "processed", "cache"})
_PATCH_FILES = ("shards.json", "split.json", "summary.json", "patches.parquet")


@dataclass
class Places:
    """Directories and files that steps wrote."""

    step1: list[Path] = field(default_factory=list)
    """Roots with ``meta/step1``."""
    step2: list[Path] = field(default_factory=list)
    """Roots with ``meta/step2`` or ``processed``."""
    patches: list[Path] = field(default_factory=list)
    """Directories of shards or of a split."""
    statistics: list[Path] = field(default_factory=list)
    """Files of statistics."""

    def __bool__(self) -> bool:
        return bool(self.step1 or self.step2 or self.patches or self.statistics)


def find_places(directory: Path) -> Places:
    """Look for what steps wrote in a directory and up to two levels below it."""
    places = Places()
    for place in _searched(directory):
        if place.is_dir():
            if (place / "meta" / "step1").is_dir():
                places.step1.append(place)
            if (place / "meta" / "step2").is_dir() or any((place / "processed").glob("tile=*")):
                places.step2.append(place)
            if _has_patches(place):
                places.patches.append(place)
    roots = dict.fromkeys((directory, *places.step1, *places.step2, *places.patches))
    documents = {path: None for root in roots for path in _searched(root) if path.suffix == ".json"}
    places.statistics = [path for path in documents if _is_statistics(path)]
    return places


def _searched(directory: Path) -> Iterator[Path]:
    yield directory
    for pattern in _BELOW:
        for path in sorted(directory.glob(pattern)):
            parts = path.relative_to(directory).parts
            if not any(part in _NOT_BELOW or part.startswith(".") for part in parts):
                yield path


def _has_patches(place: Path) -> bool:
    return any((place / name).is_file() for name in _PATCH_FILES) or any(
        any((place / split).glob("shard-*.tar")) for split in SPLITS
    )


def _is_statistics(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return NORMALIZE_STATS.encode() in file.read(200)
    except OSError:  # a directory of that name, or a file that this user may not read
        return False


def journal_entries(index: Path, problems: list[Problem]) -> list[Mapping[str, Any]]:
    """Return what journals add to an index, in its order; a journal that is damaged is a problem."""
    try:
        return [entry.content for entry in read_pending(index).entries]
    except (ManifestError, OSError) as error:
        problems.append(Problem("damaged", journal_directory(index), "journal of the index", str(error)))
        return []


def read_part(path: Path, what: str, problems: list[Problem]) -> dict[str, Any]:
    """Read a document of a dataset; one that is missing or damaged is a problem, and empty.

    A document that does not match the checksum that it carries is a problem, too, and is shown all the same.
    """
    try:
        data = read_limited(path, MAX_INDEX_BYTES)
        document = parse_json(data, nan="null")
    except FileNotFoundError:
        problems.append(Problem("missing", path, what, "no such file"))
        return {}
    except (OSError, ValueError) as error:
        problems.append(Problem("damaged", path, what, f"cannot be read as JSON: {error}"))
        return {}
    if not isinstance(document, dict):
        problems.append(Problem("damaged", path, what, "is not an object"))
        return {}
    if (fault := seal_fault(data)) is not None:
        problems.append(Problem("damaged", path, what, fault))
    return document
