"""What a run writes about itself: the growing index, and the run's own manifest."""

from __future__ import annotations

import platform
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from s2pipe.config.fields import to_plain
from s2pipe.config.schema import STEP1_RUN
from s2pipe.dataset.headers import with_headers
from s2pipe.dataset.proof import FileRecord, write_sealed
from s2pipe.dataset.step1_index import (
    IndexJournal,
    Scene,
    compact_index,
    find_scenes,
    index_path,
    not_recorded,
)
from s2pipe.download.cfg import PipelineConfig
from s2pipe.download.files.fetch import disk_error
from s2pipe.download.files.outcome import outcomes
from s2pipe.download.files.transfer import SceneJob
from s2pipe.download.search.select import Rejected
from s2pipe.download.tables import write_tables
from s2pipe.runtime.clock import utc_now
from s2pipe.runtime.files import sweep_directory
from s2pipe.runtime.locks import locked
from s2pipe.runtime.paths import InsidePath
from s2pipe.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_PAUSE_S = 1.0
"""Scenes that are not complete yet are recorded at most this often, all that grew together."""
ATTRIBUTION = "Contains Copernicus Sentinel data"


class IndexRecorder:
    """Records scenes as they grow; close it after the last.

    Parameters
    ----------
    config : PipelineConfig
        Names the directory, the index and the query.
    run_id : str
        Name of the run.
    """

    def __init__(self, config: PipelineConfig, run_id: str) -> None:
        self.path = index_path(config.download.out_dir).with_name(config.manifest.index_name)
        self._root = config.download.out_dir
        self._journal = IndexJournal(config.download.out_dir, self.path, run_id, to_plain(config.query))
        self._waiting: dict[Any, SceneJob] = {}
        self._lock = threading.Lock()
        self._next = 0.0

    def add(self, job: SceneJob) -> None:
        """Take note of a scene; one that is complete is on disk when this returns."""
        with self._lock:
            self._waiting[job.plan.key, job.plan.pair.l1c.half] = job
            if job.status == "done" or time.monotonic() >= self._next:
                self._write_waiting()

    def add_planned(self, scenes: Sequence[Scene]) -> None:
        """Record scenes of which nothing has been fetched yet."""
        with self._lock:
            self._write(not_recorded(self.path, scenes, self._root))

    def close(self) -> None:
        """Record what is still waiting, and write the index file."""
        with self._lock:
            self._write_waiting()
            self._journal.close()
            with _named(self.path):
                compact_index(self.path)

    def _write_waiting(self) -> None:
        if self._waiting:
            self._write([self._grown(job) for job in self._waiting.values()])
            self._waiting.clear()

    def _grown(self, job: SceneJob) -> Scene:
        """Return a scene as it is now; with the headers of its rasters when all are there."""
        return with_headers(job.entry(), self._root) if job.status == "done" else job.entry()

    def _write(self, scenes: Sequence[Scene]) -> None:
        with _named(self.path):
            self._journal.add(scenes)
        self._next = time.monotonic() + _PAUSE_S


@contextmanager
def _named(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise disk_error(path, error) from error


def without_other_products(scenes: Sequence[Scene], path: Path) -> list[Scene]:
    """Leave out scenes of which the index holds other products: a dry run must not forget their files."""
    index = find_scenes(path, [scene.key for scene in scenes])

    def is_same(scene: Scene) -> bool:
        known = index.get(scene.key.identity)
        pairs = [] if known is None else [(known.l1c, scene.l1c), (known.l2a, scene.l2a)]
        return all(a is None or b is None or a.product_name == b.product_name for a, b in pairs)

    return [scene for scene in scenes if is_same(scene)]


@dataclass
class RunRecord:
    """One run, as its manifest tells it."""

    config: PipelineConfig
    """The effective configuration; it never holds credentials."""
    run_id: str
    """Name of the run."""
    hosts: dict[str, str]
    """Hosts of the service that were used."""
    started_utc: str = field(default_factory=utc_now)
    """Start of the run."""
    status: str = "running"
    """``planned`` (dry run), ``running``, ``done``, ``failed`` or ``interrupted``."""
    error: str | None = None
    """What ended the run early."""
    jobs: list[SceneJob] = field(default_factory=list)
    """The scenes."""
    rejected: list[Rejected] = field(default_factory=list)
    """Products that were found, but not taken."""
    warnings: list[str] = field(default_factory=list)
    """What is odd."""
    totals: dict[str, Any] = field(default_factory=dict)
    """Scenes, files, bytes, estimates."""

    @property
    def directory(self) -> Path:
        """Where the run's manifest and tables lie."""
        root = self.config.download.out_dir
        return InsidePath(root, f"meta/step1/runs/{self.run_id}/manifest.json").owned().parent

    def write(self) -> Path:
        """Write the manifest and the tables."""
        path = self.directory / "manifest.json"
        try:
            with locked(self.directory.parent.with_name("locks") / "runs.lock"):
                for run in self.directory.parent.glob("*"):
                    if not run.is_symlink():
                        sweep_directory(run)
                tables = write_tables(self.directory, self.jobs, self.config.manifest)
                records = [FileRecord.of(table, table.name).to_document() for table in tables]
                write_sealed(path, {**self._document(), "files": records})
        except OSError as error:
            raise disk_error(path, error) from error
        return path

    def _document(self) -> dict[str, Any]:
        return {
            "schema": STEP1_RUN,
            "run_id": self.run_id,
            "status": self.status,
            "error": self.error,
            "started_utc": self.started_utc,
            "finished_utc": utc_now(),
            "dry_run": self.config.download.dry_run,
            "config": to_plain(self.config),
            "hosts": self.hosts,
            "versions": {"s2pipe": __version__, "python": platform.python_version()},
            "attribution": ATTRIBUTION,
            "totals": self.totals,
            "scenes": [scene.to_document() for scene in outcomes(self.jobs)],
            "passed_over": [
                {"name": item.name, "reason": item.reason, "notable": item.is_notable}
                for item in self.rejected
            ],
            "warnings": [*self.warnings, *(text for job in self.jobs for text in job.plan.warnings)],
        }
