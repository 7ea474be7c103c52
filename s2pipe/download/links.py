"""Linking files of products on disk into a dataset, without ever replacing a real file."""

from __future__ import annotations

import filecmp
import os
import shutil
from pathlib import Path

from s2pipe.files import atomic_path


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


def link(source: Path, target: Path) -> None:
    """Make ``target`` a link to ``source`` (see :func:`conflict`): symbolic, else hard, else a copy."""
    if target.is_symlink():
        if os.readlink(target) == str(source):
            return
    elif target.exists():
        return
    with atomic_path(target) as temporary:
        _link_somehow(source, temporary)


def _is_same(source: Path, target: Path) -> bool:
    here, there = target.stat(), source.stat()
    if os.path.samestat(here, there):
        return True
    if here.st_size != there.st_size:
        return False
    # Copies keep the time of their source, so that indexing again need not read them.
    return here.st_mtime_ns == there.st_mtime_ns or filecmp.cmp(source, target, shallow=False)


def _link_somehow(source: Path, target: Path) -> None:
    for make in (os.symlink, os.link):
        try:
            make(source, target)
            return
        except OSError:  # no privilege (Windows), or a file system without such links
            continue
    shutil.copy2(source, target)
