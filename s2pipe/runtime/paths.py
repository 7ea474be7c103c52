"""Paths inside a root directory: the one type through which every path from outside goes.

Manifests, indexes, ``meta.json``, ``shards.json``, databases, archives and servers name files. None of them is trusted
to name one inside its own root: :class:`InsidePath` is made from their text or not at all.

Symbolic links: links below a root belong to its owner (``s2pipe index`` makes them) and are followed for reading. For
writing, moving and deleting no link is followed out of the root (:meth:`InsidePath.owned`); a link itself may be
replaced or deleted, what it points to may not. Nothing here defends against someone who swaps directories during a run.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

from s2pipe.errors import PathEscapeError

_FIRST_PRINTABLE, _DELETE = 0x20, 0x7F
_MAX_NAME_BYTES = 255
_MAX_PATH_BYTES = 1024
_PLAIN = re.compile(r"(?:[\w=-]+(?:[.][\w=-]+)*/)*[\w=-]+(?:[.][\w=-]+)*", re.ASCII)
"""Paths of names without colons, blanks and dots at their ends."""
_DEVICES = frozenset(
    ["con", "prn", "aux", "nul", "conin$", "conout$"]
    + [f"{port}{number}" for port in ("com", "lpt") for number in "123456789¹²³"]
)
"""Names that open a device on Windows, whatever the directory and the extension."""


def path_fault(path: object) -> str | None:
    """Say why a text cannot be a relative path that stays where it is joined, on POSIX and on Windows; None if it can.

    Parameters
    ----------
    path : object
        What a document or a server gives as a path.
    """
    if not isinstance(path, str) or not path:
        return "is not a path"
    if _is_plain(path):
        return None
    if any(ord(char) < _FIRST_PRINTABLE or ord(char) == _DELETE for char in path):
        return "holds control characters"
    posix, windows = PurePosixPath(path), PureWindowsPath(path)
    if posix.is_absolute() or windows.drive or windows.root or ".." in (*posix.parts, *windows.parts):
        return "leaves its root"
    try:
        sizes = [len(name.encode()) for name in windows.parts]
    except UnicodeEncodeError:
        return "is no Unicode text"
    if max(sizes, default=0) > _MAX_NAME_BYTES or len(path.encode()) > _MAX_PATH_BYTES:
        return f"is too long (names have up to {_MAX_NAME_BYTES} bytes, paths up to {_MAX_PATH_BYTES})"
    return next((fault for name in windows.parts if (fault := _windows_fault(name)) is not None), None)


def _is_plain(path: str) -> bool:
    """Tell at once that there is nothing to find fault with in a path, as those that s2pipe makes are."""
    if len(path) > _MAX_NAME_BYTES or _PLAIN.fullmatch(path) is None:
        return False
    return _DEVICES.isdisjoint([name.split(".", 1)[0].lower() for name in path.split("/")])


def _windows_fault(name: str) -> str | None:
    """What makes a name another one on Windows."""
    if ":" in name:
        return "holds a colon, which names a drive or a stream on Windows"
    if name.endswith((".", " ")):
        return f"has the name {name!r}, whose end Windows drops"
    if name.split(".", 1)[0].rstrip(" ").lower() in _DEVICES:
        return f"has the name {name!r}, a device on Windows"
    return None


def is_safe_relative(path: str) -> bool:
    """Tell whether a text is a relative path that stays where it is joined (see :func:`path_fault`)."""
    return path_fault(path) is None


def check_owned(root: Path, *directories: str) -> None:
    """Check that directories below a root, as far as they exist, lie inside it, before anything is written to them.

    Raises
    ------
    PathEscapeError
        One of them is, or lies below, a link that leads out of the root.
    """
    for directory in directories:
        InsidePath(root, f"{directory}/file").owned()


@dataclass(frozen=True)
class InsidePath:
    """A path inside a root directory, given as text by a document, an archive or a server.

    Raises
    ------
    PathEscapeError
        The text is no such path, or names the root itself.
    """

    root: Path
    """The directory that the path stays in."""
    relative: str
    """The path relative to it, forward slashes."""

    def __post_init__(self) -> None:
        fault = path_fault(self.relative)
        relative = "" if fault else str(PurePosixPath(self.relative))
        if fault is None and relative == ".":
            fault = "names no file"
        if fault is not None:
            shown = repr(self.relative)
            msg = (
                f"{shown if len(shown) <= 200 else shown[:197] + '...'} {fault}: expected a relative path below "
                f"{self.root}, and what leaves its root, here or on Windows, is refused; correct the document that "
                "names it, or get that again from where it came"
            )
            raise PathEscapeError(msg)
        object.__setattr__(self, "relative", relative)

    @property
    def path(self) -> Path:
        """Where it is, for reading: links below the root are followed."""
        return self.root / self.relative

    def is_file(self, size: int | None = None) -> bool:
        """Tell whether a file is there, and has a size if one is given."""
        try:
            return self.path.is_file() and (size is None or self.path.stat().st_size == size)
        except OSError:
            return False

    def owned(self) -> Path:
        """Return where it is, for writing, moving or deleting.

        Raises
        ------
        PathEscapeError
            A directory on the way is a link that leads out of the root.
        """
        root, parent = (os.path.realpath(path) for path in (self.root, self.path.parent))
        if os.path.commonpath([root, parent]) != root:
            msg = (
                f"{self.path.parent}: is, or lies below, a link that leads out of {self.root}, to {parent}: expected "
                "a directory inside it, since nothing is written or deleted elsewhere; use a real directory, or make "
                f"{self.root} itself the link"
            )
            raise PathEscapeError(msg)
        return self.path

    def unlink(self) -> None:
        """Delete the file, or the link that is there in its place; nothing happens when there is neither.

        Raises
        ------
        PathEscapeError
            A directory on the way is a link that leads out of the root.
        """
        path = self.owned()
        if path.is_symlink() or path.is_file():
            path.unlink(missing_ok=True)


def describe_absence(path: Path) -> str:
    """Say that a file is not there, and if a link leads nowhere, which one and where to."""
    for part in (path, *path.parents):
        if part.is_symlink() and not part.exists():
            through = "" if part == path else f"{path} is not on disk: "
            return f"{through}{part} is a link to {part.readlink()}, which does not exist"
    return f"{path} is not on disk"


def user_path(text: str) -> Path:
    """Return a path as a shell would: ``~`` is the home directory; ``~name`` of nobody stays as it is."""
    return Path(os.path.expanduser(text))  # noqa: PTH111 - Path.expanduser raises for names of nobody


def if_absent(path: Path | str) -> str:
    """Say that a directory is not there, and where it was looked for; nothing where it is there."""
    return "" if Path(path).exists() else f" (no such directory{seen_from(path)})"


def seen_from(path: Path | str) -> str:
    """Say where a relative path was looked for, for messages; nothing for an absolute one."""
    if Path(path).is_absolute():
        return ""
    try:
        return f" in the working directory {Path.cwd()}"
    except OSError:  # it was deleted
        return " in the working directory, which is gone"
