"""How a finished sample comes into its place: under a lock, as a whole, ``meta.json`` last."""

from __future__ import annotations

import logging
import shutil
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from s2pipe.config.documents import read_json
from s2pipe.dataset.proof import record_files
from s2pipe.errors import LockedError
from s2pipe.preprocess.record import write_meta
from s2pipe.preprocess.stats.histogram import HISTOGRAM_NAME
from s2pipe.runtime.files import sweep
from s2pipe.runtime.locks import locked

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

log = logging.getLogger("s2pipe.preprocess")

UNFINISHED = ".unfinished-"
"""What the names of directories begin with in which samples are made."""
_META = "meta.json"


@contextmanager
def sample_lock(directory: Path) -> Iterator[None]:
    """Hold the lock of a sample's directory, free of what killed runs left there.

    Parameters
    ----------
    directory : Path
        The sample's directory; made when missing. Another run that is at this sample is waited for.
    """
    with ExitStack() as stack:
        path = directory / ".lock"
        try:
            stack.enter_context(locked(path, wait=False))
        except LockedError:
            log.info("%s: waiting for another run that is at this scene", directory)
            stack.enter_context(locked(path))
        _sweep(directory)
        yield


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
        with suppress(LockedError), locked(directory / ".lock", wait=False):
            _sweep(directory)


def _sweep(directory: Path) -> None:
    for left in directory.glob(f"{UNFINISHED}*"):
        shutil.rmtree(left, ignore_errors=True)
    sweep(directory / HISTOGRAM_NAME)


def finish_sample(work: Path, out_dir: Path, directory: Path, meta: Mapping[str, Any]) -> dict[str, Any]:
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

    Returns
    -------
    dict
        Content of ``meta.json``.
    """
    final = out_dir / directory
    names = sorted(path.relative_to(work) for path in work.rglob("*") if path.is_file())
    records = record_files((work / name, (directory / name).as_posix()) for name in names)
    document = {**meta, "files": [record.to_document() for record in records]}
    write_meta(work / _META, document)
    earlier = _earlier_items(final, directory)
    (final / _META).unlink(missing_ok=True)
    replaced = work / f"{UNFINISHED}replaced"
    replaced.mkdir()
    items = {item.name: item for item in work.iterdir() if item != replaced and item.name != _META}
    for name in earlier | set(items):
        if (final / name).exists():
            (final / name).replace(replaced / name)
    for name, item in sorted(items.items()):
        item.replace(final / name)
    (work / _META).replace(final / _META)
    return document


def _earlier_items(final: Path, directory: Path) -> set[str]:
    """Files and directories, by name, that an earlier sample consists of."""
    names = {"y.tif", "angles.tif", "stack"}  # even where a killed run left no list of them
    try:
        files = read_json(final / _META)["files"]
        paths = [file if isinstance(file, str) else file["path"] for file in files]
        inside = [PurePosixPath(path).relative_to(directory.as_posix()) for path in paths]
    except (OSError, ValueError, LookupError, TypeError):
        return names
    return names | {path.parts[0] for path in inside if ".." not in path.parts and path.parts}
