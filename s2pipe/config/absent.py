"""Files that a configuration names and that are not there: all of them at once, before any is read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from s2pipe.errors import MissingInputError
from s2pipe.runtime.paths import seen_from

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


def refuse_absent(files: Iterable[tuple[str, Path]], hint: str) -> None:
    """Check that files are there, where more than one may be missing.

    A single missing file is left to whoever reads it, which can say how it is made.

    Parameters
    ----------
    files : iterable of (str, Path)
        Keys of the configuration, and the files that they name.
    hint : str
        How such files are made.

    Raises
    ------
    MissingInputError
        Two or more files are missing; all are listed.
    """
    absent = [(key, path) for key, path in files if not _is_there(path)]
    if len(absent) < 2:
        return
    relative = [path for _, path in absent if not path.is_absolute()]
    where = f", looked for{seen_from(relative[0])}" if relative else ""
    headline = f"{len(absent)} files that the configuration names are missing{where}:"
    raise MissingInputError(headline, [f"{key}: {path}" for key, path in absent], hint)


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # whoever opens it says what is wrong
        return True
