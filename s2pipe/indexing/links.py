"""Linking files of products on disk into a dataset, without ever replacing a real file."""

from __future__ import annotations

import filecmp
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from s2pipe.runtime.files import atomic_path


def conflict(source: Path, target: Path) -> str | None:
    """Say why ``target`` cannot become a link to ``source``; None when it can, or already is one.

    A link is replaced without ado, since the file it points to stays. A real file (downloaded, or copied
    where links are impossible) is kept when its content is that of ``source``, and is in the way otherwise.
    """
    if target.is_symlink() or not target.exists():
        return None
    if not target.is_file():
        return f"{target}: is in the way: expected a file or nothing"
    if _is_same(source, target):
        return None
    return f"{target}: holds another file than {source}"


def relative_link(source: Path, target: Path) -> None:
    """Make ``target`` a symbolic link that still leads to ``source`` when both are moved together."""
    target.symlink_to(link_text(source, target))


def link_text(source: Path, target: Path) -> Path:
    """Return what a symbolic link at ``target`` says: the way to ``source``, relative where there is one."""
    # The system follows links on the way to the directory before it goes up from there.
    directory, there = os.path.realpath(target.parent), os.path.realpath(source)
    try:
        return Path(os.path.relpath(there, directory))
    except ValueError:  # Windows: another drive
        return Path(there)


Link = Callable[[Path, Path], object]
LINK_KINDS: tuple[Link, ...] = (relative_link, os.link, shutil.copy2)
"""Ways to put a file in a second place, the best first: symbolic link, hard link, copy."""


def link(source: Path, target: Path, kinds: Sequence[Link] = LINK_KINDS) -> bool:
    """Make ``target`` stand for ``source`` (see :func:`conflict`), in the first way that works.

    Symbolic links need a privilege on Windows, and some file systems have neither kind of link.

    Returns
    -------
    bool
        Whether something was made; False when it stood for it before.
    """
    if target.is_symlink():
        if target.readlink() == link_text(source, target):
            return False
    elif target.exists():
        return False
    *tries, last = kinds
    with atomic_path(target) as temporary:
        for make in tries:
            try:
                make(source, temporary)
                return True
            except OSError:
                continue
        last(source, temporary)
    return True


def _is_same(source: Path, target: Path) -> bool:
    here, there = target.stat(), source.stat()
    if os.path.samestat(here, there):
        return True
    if here.st_size != there.st_size:
        return False
    # Copies keep the time of their source, so that indexing again need not read them.
    return here.st_mtime_ns == there.st_mtime_ns or filecmp.cmp(source, target, shallow=False)
