"""The record of the files that describe a dataset to others: ``README.md``, ``LICENSE``, ``croissant.json``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from s2pipe.config.documents import parse_json
from s2pipe.dataset.proof import FileRecord, records_of, seal_fault

if TYPE_CHECKING:
    from pathlib import Path

CARD_RECORD = "meta/card.json"
"""Where the record lies in a dataset."""


def card_records(root: Path) -> list[FileRecord]:
    """Return the records of a dataset's card; none where it has none, or its record was changed."""
    try:
        data = (root / CARD_RECORD).read_bytes()
        if seal_fault(data) is not None:
            return []
        document = parse_json(data)
    except (OSError, ValueError):
        return []
    return (records_of(document.get("files")) or []) if isinstance(document, dict) else []
