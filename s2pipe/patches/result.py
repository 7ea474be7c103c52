"""What a run of Step 3 did."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from s2pipe.ground.split import SPLITS
from s2pipe.patches.shards.records import ShardRecord
from s2pipe.runtime.notebook import InNotebooks


@dataclass
class PatchResult(InNotebooks):
    """What a run did."""

    out_dir: Path
    """Output directory."""
    split_path: Path | None = None
    """The split."""
    candidates: int = 0
    """Windows looked at."""
    kept: int = 0
    """Patches in shards."""
    shards: list[ShardRecord] = field(default_factory=list)
    """All shards."""
    shards_written: int = 0
    """Those written now; the others were complete."""
    failed: list[str] = field(default_factory=list)
    """Samples of Step 2 that could not be read."""
    split_counts: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Scenes, ground cells, candidates and km2 by split, before anything is dropped for its pixels."""

    @property
    def exit_code(self) -> int:
        """0 when every sample was read, 1 when some failed."""
        return 1 if self.failed else 0

    def summary(self) -> dict[str, Any]:
        """Plain values for ``--json``."""
        return {
            "out_dir": str(self.out_dir),
            "split_path": None if self.split_path is None else str(self.split_path),
            "candidates": self.candidates,
            "kept": self.kept,
            "shards": [record.path for record in self.shards],
            "shards_written": self.shards_written,
            "samples_by_split": {
                name: sum(r.count for r in self.shards if r.split == name) for name in SPLITS
            },
            "split_counts": self.split_counts,
            "failed": self.failed,
        }
