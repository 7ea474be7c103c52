"""How a finished sample comes into its place: under a lock, as a whole, ``meta.json`` last."""

from __future__ import annotations

import functools
import logging
import os
import shutil
import threading
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from s2pipe.config.documents import read_json
from s2pipe.dataset.proof import record_files, records_of
from s2pipe.dataset.step2_index import SampleJournal
from s2pipe.errors import LockedError, OutputError, PathEscapeError
from s2pipe.preprocess.record import write_meta
from s2pipe.preprocess.stats.histogram import HISTOGRAM_NAME
from s2pipe.runtime.files import sweep
from s2pipe.runtime.locks import locked, remove_held, try_hold
from s2pipe.runtime.paths import InsidePath

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

log = logging.getLogger("s2pipe.preprocess")

UNFINISHED = ".unfinished-"
"""What the names of directories begin with in which samples are made."""
_META = "meta.json"
_LISTING = threading.Lock()
_LOCK = ".lock"
_SUFFIXES = frozenset({".tif", ".tiff", ".vrt", ".xml"})
"""What the names of a sample's files end with."""


@contextmanager
def sample_lock(out_dir: Path, directory: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold the lock of a sample's directory, free of what killed runs left there.

    Parameters
    ----------
    out_dir : Path
        Output directory.
    directory : Path
        The sample's directory, relative to it; made when missing.
    wait : bool
        Wait for another run that is at this sample; otherwise raise at once.

    Raises
    ------
    LockedError
        Another run is at this sample and ``wait`` is false, or the file system has no locks.
    PathEscapeError
        A directory on the way is a link that leads out of ``out_dir``.
    """
    with ExitStack() as stack:
        path = InsidePath(out_dir, f"{directory.as_posix()}/{_LOCK}").owned()
        directory = path.parent
        try:
            stack.enter_context(locked(path, wait=False))
        except LockedError:
            if not wait:
                raise
            log.info("%s: waiting for another run that is at this scene", directory)
            stack.enter_context(locked(path))
        _sweep(directory)
        yield


@contextmanager
def claimed_sample(out_dir: Path, directory: Path, *, wait: bool) -> Iterator[None]:
    """Hold the lock of a sample's directory as :func:`sample_lock` does; leave no directory of the lock alone."""
    with sample_lock(out_dir, directory, wait=wait):
        try:
            yield
        finally:
            _leave_nothing_empty(out_dir / directory / _LOCK)


def _leave_nothing_empty(lock: Path) -> None:
    """Remove a lock that is held, its directory and those above, as far as there is nothing else in them."""
    with suppress(OSError):  # the first of them in which there is something else
        if [path.name for path in lock.parent.iterdir()] == [lock.name]:
            remove_held(lock)
            for directory in list(lock.parents)[:3]:
                directory.rmdir()


def is_held(out_dir: Path, directory: Path) -> bool:
    """Tell whether another run is at a sample at this moment."""
    try:
        with (out_dir / directory / _LOCK).open("rb") as stream:
            return not try_hold(stream)
    except OSError:
        return False


def sweep_samples(out_dir: Path) -> None:
    """Remove what killed runs left in the directories of samples, but where another run is at work.

    Parameters
    ----------
    out_dir : Path
        Output directory.
    """
    samples = out_dir / "processed"
    left = {path.parent for path in samples.glob(f"tile=*/sensing=*/{UNFINISHED}*")}
    pattern = f".{Path(HISTOGRAM_NAME).stem}.*{Path(HISTOGRAM_NAME).suffix}"
    left |= {path.parent for path in samples.glob(f"tile=*/sensing=*/{pattern}")}
    for directory in sorted(left):
        with suppress(LockedError, PathEscapeError):  # what links lead to is not s2pipe's
            lock = InsidePath(out_dir, (directory / _LOCK).relative_to(out_dir).as_posix()).owned()
            with locked(lock, wait=False):
                _sweep(directory)


def _sweep(directory: Path) -> None:
    for left in directory.glob(f"{UNFINISHED}*"):
        shutil.rmtree(left, ignore_errors=True)
    sweep(directory / HISTOGRAM_NAME)


def finish_sample(work: Path, out_dir: Path, directory: Path, meta: Mapping[str, Any]) -> None:
    """Move the files of a sample into place, and remove those of an earlier one. The caller holds the lock.

    Parameters
    ----------
    work : Path
        Directory inside the sample's own that holds the new files and nothing else.
    out_dir : Path
        Output directory.
    directory : Path
        The sample's directory, relative to it.
    meta : mapping
        Content of ``meta.json`` without its list of files.

    Raises
    ------
    OutputError
        A directory is in the way of a file.
    PathEscapeError
        A directory on the way to a file is a link that leads out of ``out_dir``.
    """
    final = out_dir / directory
    names = sorted(path.relative_to(work) for path in work.rglob("*") if path.is_file())
    records = record_files((work / name, (directory / name).as_posix()) for name in names)
    write_meta(work / _META, {**meta, "files": [record.to_document() for record in records]})
    earlier = _earlier_files(out_dir, directory)
    taken_away = earlier | {InsidePath(out_dir, record.path) for record in records}
    paths = [_movable(file) for file in taken_away]
    InsidePath(out_dir, f"{directory.as_posix()}/{_META}").unlink()
    replaced = work / f"{UNFINISHED}replaced"
    replaced.mkdir()
    for number, path in enumerate(paths):
        if path.is_symlink() or path.exists():
            path.replace(replaced / str(number))
    _remove_empty({file.path.parent for file in earlier} - {final})
    for name in names:
        (final / name).parent.mkdir(exist_ok=True)
        (work / name).replace(final / name)
    (work / _META).replace(final / _META)


def _movable(file: InsidePath) -> Path:
    """Return where a file of a sample is, or will be."""
    path = file.owned()
    if path.is_dir() and not path.is_symlink():
        msg = f"{path}: is in the way: expected a file or nothing; move it away and run again"
        raise OutputError(msg)
    return path


def _earlier_files(out_dir: Path, directory: Path) -> set[InsidePath]:
    """Files that an earlier sample consists of: those that it records, as far as a run may have made them."""
    inside = directory.as_posix()
    names = [
        "x.tif",
        "y.tif",
        "q.tif",
        "source.tif",
        "angles.tif",
        "stack.vrt",
        *("y.tif.aux.xml", "q.tif.aux.xml"),
    ]  # even where a killed run left no list of them
    names += [f"stack/{path.name}" for path in (out_dir / directory / "stack").glob("*.vrt")]
    found = {InsidePath(out_dir, f"{inside}/{name}") for name in names}
    try:
        recorded = records_of(read_json(out_dir / directory / _META)["files"]) or []
    except (OSError, ValueError, LookupError, TypeError):
        return found
    for record in recorded:
        file = InsidePath(out_dir, record.path)
        is_ours = file.relative.startswith(f"{inside}/") and file.path.suffix in _SUFFIXES
        if is_ours and file.is_file(record.size):
            found.add(file)
    return found


def _remove_empty(directories: Iterable[Path]) -> None:
    """Remove directories that nothing is left in."""
    for directory in directories:
        with suppress(OSError):
            directory.rmdir()


def list_sample(out_dir: Path, directory: Path) -> bool:
    """List a sample in the journal of this process, which takes part in every compaction.

    Returns
    -------
    bool
        False where the sample is not whole.
    """
    # Closed after each sample: nobody can say when a worker has done its last.
    with _LISTING, closing(_journal(out_dir, os.getpid())) as journal:
        return journal.add(directory) is not None


@functools.lru_cache(maxsize=4)
def _journal(out_dir: Path, _process: int) -> SampleJournal:
    """Return the journal of a process: one forked from another has its own."""
    return SampleJournal(out_dir, "scene")
