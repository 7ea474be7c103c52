"""Paths that stay inside their root directory."""

from __future__ import annotations

from pathlib import PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING

from s2pipe.errors import PathEscapeError

if TYPE_CHECKING:
    from pathlib import Path

_FIRST_PRINTABLE = 0x20


def is_safe_relative(path: str) -> bool:
    """Tell whether a path is relative and free of ``..`` and control characters, on POSIX and on Windows."""
    if not path or any(ord(char) < _FIRST_PRINTABLE for char in path):
        return False
    posix, windows = PurePosixPath(path), PureWindowsPath(path)
    if posix.is_absolute() or windows.drive or windows.root:
        return False
    return ".." not in posix.parts and ".." not in windows.parts


def safe_join(root: Path, path: str) -> Path:
    """Join a root directory and a relative path from outside; refuse a path that would leave the root.

    Only the text is checked. Symbolic links below the root belong to its owner and are followed.

    Raises
    ------
    PathEscapeError
        The path is absolute, or holds ``..`` or control characters.
    """
    if not is_safe_relative(path):
        msg = (
            f"{path!r} leaves its root {root}: expected a relative path without '..'; "
            "correct the manifest, or allow absolute paths where the command offers it"
        )
        raise PathEscapeError(msg)
    return root / path
