"""``s2pipe report``: from a directory to its page."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from s2pipe.errors import MissingInputError
from s2pipe.report.contact import contact_sheet
from s2pipe.report.model import Contents, Problem
from s2pipe.report.page import page
from s2pipe.report.patch_sets import add_patches
from s2pipe.report.places import REPORT_NAME, find_places
from s2pipe.report.processed import add_samples, add_statistics
from s2pipe.report.quicklooks import make_quicklooks
from s2pipe.report.sources import add_sources
from s2pipe.report.tables import Links
from s2pipe.runtime.addresses import refuse_remote_output
from s2pipe.runtime.files import write_bytes_atomic
from s2pipe.runtime.notebook import InNotebooks
from s2pipe.runtime.paths import seen_from

_GAPS = ("missing", "damaged")


@dataclass(frozen=True)
class ReportResult(InNotebooks):
    """A page that was written."""

    path: Path
    """The page."""
    nbytes: int
    """Its size."""
    scenes: int
    """Scenes of Step-1 indexes."""
    samples: int
    """Samples of Step 2."""
    patch_sets: int
    """Directories of patches."""
    problems: list[Problem] = field(default_factory=list)
    """What is missing, damaged or failed."""

    @property
    def gaps(self) -> list[Problem]:
        """What the report could not show: missing and damaged files."""
        return [problem for problem in self.problems if problem.kind in _GAPS]

    @property
    def exit_code(self) -> int:
        """1 when something is missing or damaged, else 0."""
        return 1 if self.gaps else 0

    def summary(self) -> dict[str, Any]:
        """Plain values for ``--json``."""
        return {
            "path": str(self.path),
            "bytes": self.nbytes,
            "scenes": self.scenes,
            "samples": self.samples,
            "patch_sets": self.patch_sets,
            "problems": [
                {
                    "kind": problem.kind,
                    "what": problem.what,
                    "path": None if problem.path is None else str(problem.path),
                    "reason": problem.reason,
                }
                for problem in self.problems
            ],
        }


def write_report(out_dir: Path, path: Path | None = None, workers: int = 0) -> ReportResult:
    """Write one page about everything that lies in a directory.

    Nothing else is written, and the same dataset gives the same bytes.

    Parameters
    ----------
    out_dir : Path
        Output directory of any step, or a directory that holds some of these up to two levels below.
    path : Path, optional
        The page; by default ``report.html`` in ``out_dir``.
    workers : int
        Threads that read rasters; 0 means one per core.

    Returns
    -------
    ReportResult
        The page, and what is missing, damaged or failed.

    Raises
    ------
    MissingInputError
        The directory does not exist, or holds nothing that a step wrote.
    OutputError
        The page would not be on this machine.
    """
    target = out_dir / REPORT_NAME if path is None else path
    refuse_remote_output(target)
    contents = _contents(out_dir)
    looks = make_quicklooks(contents.samples, workers)
    for look in looks:
        contents.problems += look.problems
    sheets = [contact_sheet(found, contents.problems) for found in contents.patches]
    data = page(contents, looks, sheets, Links(target)).encode("utf-8", "replace")
    write_bytes_atomic(target, data)
    return ReportResult(
        target,
        len(data),
        len(contents.sources),
        len(contents.samples),
        len(contents.patches),
        contents.problems,
    )


def _contents(out_dir: Path) -> Contents:
    hint = "Give the output directory of download, index, preprocess or patches, or one that holds them."
    if not out_dir.is_dir():
        msg = f"{out_dir}: no such directory{seen_from(out_dir)}"
        raise MissingInputError(msg, [], hint)
    places = find_places(out_dir)
    if not places:
        msg = f"{out_dir}: holds nothing that a step of s2pipe wrote"
        raise MissingInputError(msg, [], hint)
    contents = Contents(out_dir)
    for root in places.step1:
        add_sources(contents, root)
    for root in places.step2:
        add_samples(contents, root)
    for path in places.statistics:
        add_statistics(contents, path)
    for directory in places.patches:
        add_patches(contents, directory)
    return contents
