"""Verifying datasets: files hashed in parallel, problems named, and what is needed to have them made anew."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from s2pipe.runtime.cores import core_count
from s2pipe.runtime.progress import ByteProgress
from s2pipe.verify.items import Item, Problem, Report
from s2pipe.verify.targets import find_targets

if TYPE_CHECKING:
    from collections.abc import Sequence


def verify(paths: Sequence[Path | str], *, repair: bool = False, workers: int = 0) -> Report:
    """Check the files of datasets against what was recorded when they were written.

    Parameters
    ----------
    paths : sequence of path
        Directories of datasets, documents, or files of them.
    repair : bool
        Make the next runs redo what is damaged or missing. Nothing is deleted that no run made.
    workers : int
        Threads that hash; 0 means one per core.

    Returns
    -------
    Report
        Every damaged, missing and unexpected file, and how many were checked by what.

    Raises
    ------
    MissingInputError
        A path does not exist, or is nothing that s2pipe writes.
    """
    report = Report()
    targets = find_targets([Path(path) for path in paths])
    items = [[item for item in target.part.items() if target.wants(item.path)] for target in targets]
    every = [item for of_target in items for item in of_target]
    progress = ByteProgress(sum(item.size for item in every), len(every))

    def check(item: Item) -> Problem | None:
        found = item.problem(progress.add)
        progress.file_done()
        return found

    # Hashing releases the GIL, so threads suffice.
    with ThreadPoolExecutor(core_count(workers), "s2pipe-verify") as pool:
        try:
            found = [list(pool.map(check, of_target)) for of_target in items]
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
        finally:
            progress.close()
    for target, problems in zip(targets, found, strict=True):
        wanted = [problem for problem in target.part.problems() if target.wants(problem.path)]
        of_part = [*(problem for problem in problems if problem is not None), *wanted]
        report.parts.append(target.part.name if target.only is None else str(target.only))
        report.problems += of_part
        report.unfinished += [path for path in target.part.unfinished() if target.wants(path)]
        if repair:
            report.repairs += target.part.repair([p for p in of_part if p.kind != "unexpected"])
    for item in every:
        report.checked[item.by] += 1
    report.bytes = sum(item.size for item in every)
    return report
