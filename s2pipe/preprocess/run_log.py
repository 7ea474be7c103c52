"""The log of a run: one line per scene."""

from __future__ import annotations

import json
from typing import IO, TYPE_CHECKING

from s2pipe.config.schema import STEP2_RUN
from s2pipe.errors import OutputError
from s2pipe.runtime.clock import utc_now
from s2pipe.runtime.files import named_errors
from s2pipe.runtime.paths import InsidePath

if TYPE_CHECKING:
    from pathlib import Path

    from s2pipe.dataset.scene_key import SceneKey


class RunLog:
    """``meta/step2/runs/run=<run_id>.jsonl``: one line per scene, written as soon as the scene is done.

    Parameters
    ----------
    out_dir : Path
        Output directory.
    run_id : str
        Name of the run; the lines of an earlier run of that name stay.

    Raises
    ------
    OutputError, PathEscapeError
        A link is in the file's place, or leads out of ``out_dir`` on the way to it.
    """

    def __init__(self, out_dir: Path, run_id: str) -> None:
        self.path = InsidePath(out_dir, f"meta/step2/runs/run={run_id}.jsonl").owned()
        if self.path.is_symlink() and not self.path.is_char_device():
            msg = f"{self.path}: is a link: expected the log of a run or nothing; remove it, or give another run_id"
            raise OutputError(msg)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._run_id = run_id
        # Unbuffered: after a failed write nothing is left that closing the file would try to write again.
        self._stream: IO[bytes] = self.path.open("ab", buffering=0)

    def add(self, key: SceneKey, status: str, seconds: float = 0.0, error: str | None = None) -> None:
        """Add a scene: ``done``, ``up_to_date``, ``incomplete`` or ``failed``."""
        line = {
            "schema": STEP2_RUN,
            "run_id": self._run_id,
            "time_utc": utc_now(),
            "key": key.to_document(),
            "status": status,
            "seconds": round(seconds, 3),
            "error": error,
        }
        with named_errors(self.path):
            self._stream.write((json.dumps(line, ensure_ascii=False) + "\n").encode())

    def close(self) -> None:
        """Close the file."""
        self._stream.close()
