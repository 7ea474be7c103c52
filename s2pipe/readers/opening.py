"""From the address of a document to the items that it describes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from s2pipe.config.documents import read_json
from s2pipe.config.schema import STEP3_SHARDS, validate_document
from s2pipe.errors import Fault, ManifestError
from s2pipe.readers.items import ShardItems
from s2pipe.readers.storage import LocalStore, store_of
from s2pipe.readers.windows import WindowItems

if TYPE_CHECKING:
    from s2pipe.readers.items import Items
    from s2pipe.readers.options import Reading


def open_items(path: str | Path, split: str, reading: Reading) -> Items:
    """Open ``shards.json``, local or remote, or a local index of Step 2.

    Raises
    ------
    ManifestError, PathEscapeError
        It is neither, is damaged, or names a shard outside its directory.
    """
    store, name = store_of(path, reading.storage_options)
    if isinstance(store, LocalStore) and not _is_shards_json(Path(path)):
        return WindowItems(Path(path), split, reading)
    return ShardItems(store, name, split, reading)


def _is_shards_json(path: Path) -> bool:
    try:
        document = read_json(path)
    except (OSError, ValueError) as error:
        raise ManifestError(str(path), [Fault("", f"cannot be read as JSON: {error}")]) from error
    if isinstance(document, dict) and document.get("schema") == STEP3_SHARDS:
        return True
    validate_document(document, "step2_index", str(path))
    return False
