"""A dataset whose files are old enough to be told by their states again."""

from __future__ import annotations

import shutil
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Dataset


def settled_copy(dataset: Dataset, root: Path) -> Path:
    """Copy a dataset as real files; return the path of its index."""
    shutil.copytree(dataset.root, root)
    newest = max(path.stat().st_ctime for path in root.rglob("*"))
    time.sleep(max(0.0, newest + 2.2 - time.time()))  # younger files may still change unseen
    return root / "meta/step1/index.json"
