"""Statistics against themselves, and the histogram beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from s2pipe.config.documents import parse_json
from s2pipe.config.schema import NORMALIZE_STATS
from s2pipe.dataset.proof import FileRecord
from s2pipe.verify.items import Item, Problem, read_or_none, recorded, sealed

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def is_statistics(path: Path) -> bool:
    """Tell whether a file is the ``stats.json`` of pass 1, whatever its name, as far as it can be read."""
    data = read_or_none(path) if path.suffix == ".json" else None
    return data is not None and NORMALIZE_STATS.encode() in data[:200]


class StatisticsPart:
    """Statistics and their histogram.

    Parameters
    ----------
    path : Path
        ``stats.json``.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._data = read_or_none(path) or b""

    @property
    def name(self) -> str:
        """The statistics."""
        return str(self._path)

    def items(self) -> list[Item]:
        """Return the statistics, and the histogram that they name."""
        items = [sealed(self._path, self._data, None)]
        record = self._histogram()
        return items if record is None else [*items, recorded(record, self._path.parent, None)]

    def _histogram(self) -> FileRecord | None:
        try:
            return FileRecord.from_document(parse_json(self._data)["histogram"])
        except (ValueError, LookupError, TypeError):
            return None

    def problems(self) -> list[Problem]:
        """Return nothing: other files in the directory are none of its business."""
        return []

    def unfinished(self) -> list[Path]:
        """Return nothing."""
        return []

    def repair(self, problems: Sequence[Problem]) -> list[str]:
        """Do nothing: pass 1 writes statistics anew whenever it runs."""
        return [f"{self._path}: pass 1 writes the statistics anew"] if problems else []
