"""All indexes of a dataset written from their journals: what ends a run of many processes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from s2pipe.dataset import step1_index, step2_index
from s2pipe.errors import MissingInputError
from s2pipe.runtime.disk import full_disk_ends
from s2pipe.runtime.notebook import InNotebooks
from s2pipe.runtime.paths import check_owned, if_absent


@dataclass(frozen=True)
class Compacted(InNotebooks):
    """What became of one index."""

    path: Path
    """The index file."""
    written: bool
    """Whether it was written anew; false when it held everything already."""


def compact_dataset(root: Path) -> list[Compacted]:
    """Write the index files of a dataset from what its journals hold.

    Parameters
    ----------
    root : Path
        Output directory of download, index or preprocess.

    Returns
    -------
    list of Compacted
        The indexes; journals whose writers are at work stay, and what they hold is in the index all the same.

    Raises
    ------
    MissingInputError
        There is neither an index nor a journal.
    ManifestError
        An index or a journal is damaged; that index was not changed.
    """
    check_owned(root, "meta/step1", "meta/step2")
    first = sorted(_step1_indexes(root))
    second = step2_index.index_path(root)
    if not first and not step2_index.has_index(root):
        msg = f"{root}: there is no index to compact{if_absent(root)}:"
        raise MissingInputError(
            msg,
            [f"{root / 'meta' / step}: no index.json and no journals" for step in ("step1", "step2")],
            "Name the output directory of `s2pipe download`, `index` or `preprocess`.",
        )
    done = []
    with full_disk_ends(root):
        done += [Compacted(path, step1_index.compact_index(path)) for path in first]
        if step2_index.has_index(root):
            done.append(Compacted(second, step2_index.compact_index(root, only_if_new=True)))
    return done


def _step1_indexes(root: Path) -> set[Path]:
    directory = root / "meta" / "step1"
    usual = step1_index.index_path(root)
    journals = {path.with_suffix(".json") for path in directory.glob("*.journal") if path.is_dir()}
    return {path for path in {usual, *journals} if step1_index.has_index(path)}
