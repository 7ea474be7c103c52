"""Files of a scene as they lie on disk: plain, or inside an archive."""

from __future__ import annotations

import functools
import time
import zipfile
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from s2pipe.dataset.assets import Checksum
from s2pipe.errors import MissingInputError, PathEscapeError
from s2pipe.runtime.limits import MAX_XML_BYTES
from s2pipe.runtime.paths import InsidePath, describe_absence, is_safe_relative
from s2pipe.sentinel2.safe.container import ZIP_ERRORS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from s2pipe.dataset.assets import Asset

_SECOND_NS = 1_000_000_000
_FINE_TICK_NS = _SECOND_NS // 10
MAX_READ_BYTES = MAX_XML_BYTES
"""Largest file that :meth:`InputFile.read` returns: it is for metadata, not for rasters."""


_UNREADABLE = (OSError, KeyError, EOFError, zlib.error, zipfile.BadZipFile, RuntimeError, NotImplementedError)
"""What reading a file, or a member of an archive of any kind and state, may raise."""


@dataclass(frozen=True)
class Stamp:
    """State of a file (of the archive, for a member)."""

    size: int
    """Size in bytes."""
    mtime_ns: int
    """Time of change of the content; programs can set it to any value."""
    ctime_ns: int
    """Time of change of content or attributes as the system keeps it, which no program sets (Windows: of creation)."""

    etag: str | None = None
    """Entity tag of a file at an address, which stands for its times; None for a file on disk."""

    @classmethod
    def of(cls, path: Path) -> Stamp:
        """Look at a file; links are followed."""
        status = path.stat()
        return cls(status.st_size, status.st_mtime_ns, status.st_ctime_ns)

    def is_settled(self) -> bool:
        """Tell whether a later change would show: clocks of file systems tick, some once in two seconds."""
        newest = max(self.mtime_ns, self.ctime_ns)
        tick = _FINE_TICK_NS if newest % _SECOND_NS else 2 * _SECOND_NS
        return time.time_ns() - newest > tick


@dataclass(frozen=True)
class InputFile:
    """One file that a scene is processed from."""

    role: str
    """Role in the manifest, or the configuration's key that names the file."""
    path: Path
    """Where the file lies, or the archive that holds it."""
    member: str | None = None
    """Path inside the zip archive at ``path``; None for a plain file."""
    name: str = ""
    """Path inside the product where known, else as the manifest or the configuration spells it."""
    size: int | None = None
    """Size in bytes as recorded (of the member, not of its archive); None when unknown."""
    checksum: Checksum | None = None
    """Checksum of the raw bytes as recorded; None when unknown."""

    @classmethod
    def of(cls, asset: Asset, root: Path, *, allow_absolute: bool = False) -> InputFile:
        """Find the file of an asset below a dataset's root.

        Raises
        ------
        PathEscapeError
            The path leaves ``root``, or is absolute and ``allow_absolute`` is false; or the member leaves its archive.
        """
        path = _located(asset, root, allow_absolute=allow_absolute)
        if asset.member is not None and not is_safe_relative(asset.member):
            msg = (
                f"{asset.role}: member {asset.member!r} leaves the archive {path}: expected a relative path "
                "without '..'; correct the index"
            )
            raise PathEscapeError(msg)
        name = asset.product_path or asset.member or asset.path
        return cls(asset.role, path, asset.member, name, asset.size, asset.checksum)

    @property
    def label(self) -> str:
        """What messages call it."""
        return str(self.path) if self.member is None else f"{self.path}!{self.member}"

    @property
    def is_remote(self) -> bool:
        """Tell whether it lies at an address, not on disk."""
        return False

    @property
    def is_gml(self) -> bool:
        """True for vector masks, which baselines before 04.00 have."""
        return (self.member or self.path.name).lower().endswith(".gml")

    @property
    def gdal_path(self) -> str:
        """Name under which GDAL opens it, ``/vsizip/{archive}/member`` for a member."""
        # Braces: GDAL then takes any file name as an archive, and the member's path as it stands.
        return str(self.path) if self.member is None else f"/vsizip/{{{self.path}}}/{self.member}"

    def absence(self) -> str:
        """Say in words why it is not available; a broken link is called one."""
        if self.member is not None and self.path.is_file():
            return f"{self.path} has no member {self.member}"
        return describe_absence(self.path)

    def is_available(self) -> bool:
        """Tell whether the file is on disk now (a member: whether its archive holds it)."""
        if not self.path.is_file():
            return False
        return self.member is None or self.member in _zip_members(*_stamp(self.path))

    def read(self) -> bytes:
        """Read a small file (metadata), plain or from its archive.

        Raises
        ------
        MissingInputError
            The file is absent, unreadable or larger than ``MAX_READ_BYTES``.
        """
        try:
            if self.member is None:
                with self.path.open("rb") as stream:
                    data = stream.read(MAX_READ_BYTES + 1)
            else:
                with zipfile.ZipFile(self.path) as archive, archive.open(self.member) as member:
                    data = member.read(MAX_READ_BYTES + 1)
        except ZIP_ERRORS as error:
            raise self._unreadable(str(error)) from error
        if len(data) > MAX_READ_BYTES:
            reason = f"larger than the {MAX_READ_BYTES} bytes that metadata may have"
            raise self._unreadable(reason)
        return data

    @contextmanager
    def open(self) -> Iterator[IO[bytes]]:
        """Open it for reading, plain or from its archive.

        Raises
        ------
        MissingInputError
            The file is absent or unreadable, or its archive is damaged.
        """
        try:
            if self.member is None:
                with self.path.open("rb") as stream:
                    yield stream
            else:
                with zipfile.ZipFile(self.path) as archive, archive.open(self.member) as member:
                    yield member
        except _UNREADABLE as error:
            raise self._unreadable(str(error)) from error

    def size_on_disk(self) -> int:
        """Return its size in bytes (of the member, not of its archive).

        Raises
        ------
        MissingInputError
            The file is absent or unreadable, or its archive is damaged.
        """
        try:
            if self.member is None:
                return self.path.stat().st_size
            with zipfile.ZipFile(self.path) as archive:
                return archive.getinfo(self.member).file_size
        except _UNREADABLE as error:
            raise self._unreadable(str(error)) from error

    def stamp(self) -> Stamp | None:
        """Look at its state (of the archive, for a member); None when it cannot be looked at."""
        try:
            return Stamp.of(self.path)
        except OSError:
            return None

    def state(self) -> InputState:
        """Look at the file as it is now."""
        status = self.path.stat()
        return InputState(self.role, self.name, status.st_size, status.st_mtime_ns, self.checksum_text)

    @property
    def checksum_text(self) -> str | None:
        """``ALGORITHM:hex`` as recorded; None when unknown."""
        return None if self.checksum is None else f"{self.checksum.algorithm}:{self.checksum.value}"

    def _unreadable(self, reason: str) -> MissingInputError:
        if not self.path.exists():
            reason = describe_absence(self.path).removeprefix(f"{self.path} ")
        hint = "restore the file, or run the step that fetches or indexes the product again"
        return MissingInputError(f"{self.role} cannot be read:", [f"{self.label}: {reason}"], hint)


@dataclass(frozen=True)
class InputState:
    """What outputs remember an input by, to be made anew when it changes."""

    role: str
    """Role in the manifest, or the configuration's key that names the file."""
    name: str
    """Path inside the product where known, else the file's name."""
    size: int
    """Size on disk in bytes (of the archive, for a member)."""
    mtime_ns: int | None
    """Time of last change: a file replaced by another of the same size still counts as new; None at an address."""
    checksum: str | None
    """``ALGORITHM:hex`` as the manifest states it."""
    etag: str | None = None
    """Entity tag of a file at an address, which takes the place of the time; None for a file on disk."""

    def to_document(self) -> dict[str, Any]:
        """Return the JSON form, in which files on disk have no entity tag."""
        document = dict(vars(self))
        if self.mtime_ns is not None:
            del document["etag"]
        return document

    def is_of(self, stamp: Stamp) -> bool:
        """Tell whether a file that was looked at later is still the same."""
        same_time = self.mtime_ns is None or self.mtime_ns == stamp.mtime_ns
        return self.size == stamp.size and same_time and self.etag in (None, stamp.etag)


def _located(asset: Asset, root: Path, *, allow_absolute: bool) -> Path:
    if not asset.is_absolute:
        return InsidePath(root, asset.path).path
    # GDAL takes what begins with /vsi for its own file systems, networks among them.
    inside = asset.path.removeprefix(Path(asset.path).anchor)
    if allow_absolute and not asset.path.startswith("/vsi") and is_safe_relative(inside):
        return Path(asset.path)
    msg = (
        f"{asset.role}: {asset.path!r} is outside the dataset {root}: expected a path relative to it; "
        "correct the index, or allow absolute paths for this run"
    )
    raise PathEscapeError(msg)


def _stamp(path: Path) -> tuple[Path, int, int]:
    """What an archive's list of members is remembered by."""
    status = path.stat()
    return path, status.st_mtime_ns, status.st_size


@functools.lru_cache(maxsize=64)
def _zip_members(path: Path, _mtime_ns: int, _size: int) -> frozenset[str]:
    """Names of an archive's members; none when it is not an archive."""
    try:
        with zipfile.ZipFile(path) as archive:
            return frozenset(archive.namelist())
    except ZIP_ERRORS:
        return frozenset()
