"""What a path that was given is: a dataset, one step's part of it, a document, or a file of one of these."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from s2pipe.errors import MissingInputError
from s2pipe.patches.shards.publish import SHARDS_NAME
from s2pipe.runtime.paths import seen_from
from s2pipe.verify.statistics import StatisticsPart, is_statistics
from s2pipe.verify.step1 import Step1Part, step1_indexes
from s2pipe.verify.step2 import Step2Part, has_samples
from s2pipe.verify.step3 import Step3Part, has_shards

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from s2pipe.verify.items import Part

_BELOW = ("*", "*/*")
"""Where parts are looked for below a directory that was given."""
_NOT_BELOW = {"raw", "processed", "meta", "cache"}


class Target:
    """A part of a dataset, and what of it was asked for.

    Parameters
    ----------
    part : Part
        The part.
    only : Path, optional
        Verify this file, or what is below this directory, alone.
    """

    def __init__(self, part: Part, only: Path | None = None) -> None:
        self.part = part
        self.only = only

    def wants(self, path: Path) -> bool:
        """Tell whether a file was asked for."""
        return self.only is None or path == self.only or self.only in path.parents


def find_targets(paths: Sequence[Path]) -> list[Target]:
    """Recognise what was given.

    Raises
    ------
    MissingInputError
        A path does not exist, or is nothing that s2pipe writes; all such paths are listed.
    """
    targets: dict[tuple[str, Path | None], Target] = {}
    faults = []
    for given in paths:
        path = given.absolute()
        found = list(_targets(path)) if path.exists() else []
        if not found:
            reason = (
                "is nothing that s2pipe recorded" if path.exists() else f"does not exist{seen_from(given)}"
            )
            faults.append(f"{given}: {reason}")
        for target in found:
            targets.setdefault((target.part.name, target.only), target)
    if faults:
        msg = "nothing to verify in:"
        hint = (
            "Give the directory of a dataset (out_dir of download, preprocess or patches), a sample's directory or "
            "meta.json, a Step-1 or Step-2 index.json, shards.json, stats.json, or files that one of these records."
        )
        raise MissingInputError(msg, faults, hint)
    return list(targets.values())


def _targets(path: Path) -> Iterator[Target]:
    """Yield the parts that a path is, or holds; else the parts that it belongs to."""
    found = list(_documents(path)) if path.is_file() else list(_of_directory(path))
    if found:
        yield from map(Target, found)
        return
    for directory in path.parents:
        around = list(_around(directory, path))
        if around:
            yield from (Target(part, path) for part in around)
            return


def _documents(path: Path) -> Iterator[Part]:
    """Yield the part that a document stands for."""
    is_index = path.name == "index.json" and path.parent.parent.name == "meta"
    if is_index and path.parent.name == "step2":
        yield Step2Part(path.parents[2])
    elif path in step1_indexes(path.parents[2] if len(path.parents) > 2 else path.parent):
        yield Step1Part(path)
    elif path.name == SHARDS_NAME:
        yield Step3Part(path.parent, is_shared=_is_shared(path.parent))
    elif path.name == "meta.json" and (root := _root_of_sample(path.parent)) is not None:
        yield Step2Part(root, path.parent.relative_to(root))
    elif is_statistics(path):
        yield StatisticsPart(path)


def _of_directory(directory: Path) -> Iterator[Part]:
    """Yield all parts that a directory holds."""
    if (root := _root_of_sample(directory)) is not None:
        yield Step2Part(root, directory.relative_to(root))
        return
    yield from map(Step1Part, step1_indexes(directory))
    if has_samples(directory):
        yield Step2Part(directory)
    below = [
        path
        for pattern in _BELOW
        for path in sorted(directory.glob(pattern))
        if _is_searched(path, directory)
    ]
    for place in [directory, *(path for path in below if path.is_dir())]:
        if has_shards(place):
            yield Step3Part(place, is_shared=_is_shared(place))
    yield from (StatisticsPart(path) for path in below if path.is_file() and is_statistics(path))


def _is_searched(path: Path, directory: Path) -> bool:
    first = path.relative_to(directory).parts[0]
    return first not in _NOT_BELOW and not first.startswith(".")


def _around(directory: Path, path: Path) -> Iterator[Part]:
    """Yield the parts of a directory that a path below it belongs to."""
    first = path.relative_to(directory).parts[0]
    if first == "raw":
        yield from map(Step1Part, step1_indexes(directory))
    elif first == "processed" and has_samples(directory):
        parts = path.relative_to(directory).parts
        yield Step2Part(directory, Path(*parts[:3]) if len(parts) >= 3 else None)
    elif has_shards(directory):
        yield Step3Part(directory, is_shared=_is_shared(directory))


def _is_shared(directory: Path) -> bool:
    """Tell whether shards lie in a directory with other things of s2pipe."""
    return any((directory / name).exists() for name in ("raw", "meta", "processed"))


def _root_of_sample(directory: Path) -> Path | None:
    """Root of the sample that a directory is; None when it is none."""
    parents = directory.parents
    is_sample = (
        directory.name.startswith("sensing=")
        and directory.parent.name.startswith("tile=")
        and len(parents) > 2
        and parents[1].name == "processed"
    )
    return parents[2] if is_sample else None
