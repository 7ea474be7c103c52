"""Products on disk: a SAFE directory or a zip archive of one, seen as files by their path in the product."""

from __future__ import annotations

import lzma
import os
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from s2pipe.errors import PathEscapeError, ProductError
from s2pipe.runtime.addresses import RemoteAddress
from s2pipe.runtime.hashing import hash_stream, new_hash
from s2pipe.runtime.limits import (
    MAX_XML_BYTES,
    MAX_ZIP_DIRECTORY_BYTES,
    MAX_ZIP_MEMBERS,
    MAX_ZIP_RATIO,
    MIN_BOMB_BYTES,
)
from s2pipe.runtime.paths import is_safe_relative, seen_from
from s2pipe.sentinel2.safe.layout import MANIFEST, product_metadata_name
from s2pipe.sentinel2.safe.names import ProductName

METADATA = frozenset({product_metadata_name("L1C"), product_metadata_name("L2A")})
"""Names of the metadata of products that can be read."""
MARKERS = (*sorted(METADATA), MANIFEST)
"""Files whose presence makes a directory or archive a product."""

_EXPECTED = (
    "expected a SAFE directory, or a zip archive of one, with MTD_MSIL1C.xml or MTD_MSIL2A.xml at its top; "
    "products older than December 2016 (S2A_OPER_PRD_...) are not supported"
)
_OLD_SAFE = re.compile(r"S2[A-D]_(?:OPER|USER)_(?:PRD|MTD)_")
_OTHER_MISSION = re.compile(r"S([13-9])[A-DP_]_")
_OTHER_LEVEL = re.compile(r"S2[A-D]_MSI(?!L1C|L2A)")

ZIP_ERRORS = (
    *(OSError, KeyError, ValueError, NotImplementedError, RuntimeError, EOFError, OverflowError),
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error),
)
"""What reading a zip archive raises when it is damaged, encrypted, or of a kind that Python cannot read."""


_ZIP_TAIL_BYTES = 22 + 20 + 56 + 0xFFFF
"""Where the records at a zip archive's end lie: their sizes, and that of the longest comment."""
_IN_ZIP64 = 0xFFFFFFFF


@dataclass(frozen=True)
class SafeContainer:
    """A product on disk."""

    path: Path | RemoteAddress
    """The SAFE directory or the zip archive, absolute; or the address of a directory."""
    name: str
    """Name of the product's directory, or of the archive where the product lies at its top."""
    sizes: Mapping[str, int]
    """Size in bytes of every file by its path in the product."""
    prefix: str | None
    """Path of the product inside the archive (empty, or with a final slash); None for a directory."""

    @property
    def is_zip(self) -> bool:
        """Whether the product is a zip archive."""
        return self.prefix is not None

    def member(self, product_path: str) -> str | None:
        """Path of a file inside the archive; None for a directory."""
        return None if self.prefix is None else self.prefix + product_path

    def display(self, product_path: str) -> str:
        """Name a file of the product in messages."""
        member = self.member(product_path)
        return str(self.path / product_path) if member is None else f"{self.path}!{member}"

    @contextmanager
    def open(self, product_path: str) -> Iterator[IO[bytes]]:
        """Open a file of the product for reading.

        Raises
        ------
        ProductError
            The file is absent or unreadable, or the archive is damaged.
        """
        try:
            assert isinstance(self.path, Path)  # others are opened by what made them
            if self.prefix is None:
                with (self.path / product_path).open("rb") as stream:
                    yield stream
            else:
                with (
                    zipfile.ZipFile(self.path) as archive,
                    archive.open(self.prefix + product_path) as member,
                ):
                    yield member
        except ZIP_ERRORS as error:
            msg = f"{self.display(product_path)}: cannot be read: {error}"
            raise ProductError(msg) from error

    def read(self, product_path: str) -> bytes:
        """Read a metadata file whole."""
        size = self.sizes.get(product_path, 0)
        if size > MAX_XML_BYTES:
            msg = f"{self.display(product_path)}: {size} bytes is too large for metadata"
            raise ProductError(msg)
        with self.open(product_path) as stream:
            data = stream.read(MAX_XML_BYTES + 1)
        if len(data) > MAX_XML_BYTES:
            msg = f"{self.display(product_path)}: is too large for metadata (limit {MAX_XML_BYTES} bytes)"
            raise ProductError(msg)
        return data

    def hash(self, product_path: str, algorithm: str) -> str:
        """Return a file's checksum as lower-case hexadecimal (algorithms of SAFE manifests).

        Raises
        ------
        ValueError
            The algorithm is unknown.
        ProductError
            The file cannot be read.
        """
        new_hash(algorithm)  # what it raises is not the file's fault
        with self.open(product_path) as stream:
            return hash_stream(stream, algorithm)


def unsupported(name: str, files: Iterable[str] = ()) -> str | None:
    """Say why a product is of a kind that s2pipe cannot read, from its name and the names of its topmost files.

    Returns
    -------
    str or None
        The reason; None for whatever may be a product that can be read.
    """
    if any(_OLD_SAFE.match(text) for text in (name, *files)):
        return (
            "not supported: multi-granule SAFE of before December 2016; fetch the scene again: the service has it in "
            "the present format too"
        )
    if _OTHER_LEVEL.match(name):
        return "not supported: a Sentinel-2 product of another level than L1C and L2A"
    mission = _OTHER_MISSION.match(name)
    if mission is not None:
        return f"not supported: a product of Sentinel-{mission[1]}; s2pipe reads those of Sentinel-2"
    return None


def is_product_directory(path: Path) -> bool:
    """Tell whether a directory is a product: it has a marker file, or a product's name and a granule."""
    if any((path / marker).is_file() for marker in MARKERS):
        return True
    return ProductName.try_parse(path.name) is not None and (path / "GRANULE").is_dir()


def open_container(path: Path) -> SafeContainer:
    """Open a product.

    Parameters
    ----------
    path : Path
        SAFE directory, or zip archive with the product in one directory or at its top.

    Raises
    ------
    ProductError
        No product, or an archive that is damaged, encrypted, holds links, or names a file twice.
    PathEscapeError
        A member of the archive would leave it.
    """
    absolute = path.absolute()
    try:
        if path.is_dir():
            return _open_directory(absolute)
        if not path.exists():
            msg = f"{path}: no such file or directory{seen_from(path)}; check the path"
            raise ProductError(msg)
    except (OSError, ValueError) as error:
        msg = f"{path}: cannot be read: {error}"
        raise ProductError(msg) from error
    if not path.is_file():
        msg = f"{path}: is neither a directory nor a file: {_EXPECTED}"
        raise ProductError(msg)
    return _open_zip(absolute)


def _open_directory(path: Path) -> SafeContainer:
    inside = sorted(child.name for child in path.iterdir())
    reason = None if METADATA.intersection(inside) else unsupported(path.name, inside)
    if reason is None and not is_product_directory(path):
        reason = f"is not a product: {_EXPECTED}"
    if reason is not None:
        msg = f"{path}: {reason}"
        raise ProductError(msg)
    return SafeContainer(path, path.name, dict(_walk(path)), None)


def _walk(root: Path) -> Iterator[tuple[str, int]]:
    for directory, directories, names in os.walk(root, onerror=_raise):
        directories.sort()
        for name in sorted(names):
            path = Path(directory, name)
            try:
                status = path.stat()
            except OSError:  # a dangling link is an absent file
                continue
            if stat.S_ISREG(status.st_mode):
                yield path.relative_to(root).as_posix(), status.st_size


def _raise(error: OSError) -> None:
    """A directory that cannot be listed would hide files."""
    raise error


def _open_zip(path: Path) -> SafeContainer:
    try:
        with path.open("rb") as stream:
            _check_directory_size(path, stream)
            with zipfile.ZipFile(stream) as archive:
                members = archive.infolist()
    except ZIP_ERRORS as error:
        reason = unsupported(path.name) or f"is not a readable zip archive ({error}): {_EXPECTED}"
        msg = f"{path}: {reason}"
        raise ProductError(msg) from error
    _check_members(path, members)
    sizes = {member.filename: member.file_size for member in members if not member.is_dir()}
    prefix = _prefix(path, sizes)
    inside = {name[len(prefix) :]: size for name, size in sizes.items() if name.startswith(prefix)}
    return SafeContainer(path, prefix.rstrip("/") or path.name, inside, prefix)


def _check_directory_size(path: Path, stream: IO[bytes]) -> None:
    """Refuse a list of members that would fill the memory, before zipfile reads it."""
    end = stream.seek(0, os.SEEK_END)
    stream.seek(max(0, end - _ZIP_TAIL_BYTES))
    tail = stream.read(_ZIP_TAIL_BYTES)
    place = tail.rfind(b"PK\x05\x06")
    size = struct.unpack_from("<L", tail, place + 12)[0] if 0 <= place <= len(tail) - 22 else 0
    place64 = tail.rfind(b"PK\x06\x06", 0, max(place, 0))
    if 0 <= place64 <= len(tail) - 56:
        size = max(size if size != _IN_ZIP64 else 0, struct.unpack_from("<Q", tail, place64 + 40)[0])
    if MAX_ZIP_DIRECTORY_BYTES < size <= end:
        msg = f"{path}: its list of members has {size} bytes, more than any product needs; do not use this archive"
        raise ProductError(msg)


def _check_members(path: Path, members: list[zipfile.ZipInfo]) -> None:
    if len(members) > MAX_ZIP_MEMBERS:
        msg = f"{path}: has {len(members)} members, more than any product ({MAX_ZIP_MEMBERS}); do not use this archive"
        raise ProductError(msg)
    seen: set[str] = set()
    for member in members:
        name = member.filename
        if not is_safe_relative(name):
            msg = (
                f"{path}: member {name!r} leaves the archive; do not use it, fetch the product again from a "
                "trusted place"
            )
            raise PathEscapeError(msg)
        if stat.S_ISLNK(member.external_attr >> 16):
            msg = f"{path}: member {name!r} is a symbolic link; unpack the archive and index that"
            raise ProductError(msg)
        if member.flag_bits & 1:
            msg = f"{path}: member {name!r} is encrypted; unpack the archive and index that"
            raise ProductError(msg)
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            msg = (
                f"{path}: member {name!r} is packed by method {member.compress_type}, which GDAL does not read; "
                "unpack the archive and index that"
            )
            raise ProductError(msg)
        if member.file_size > max(MIN_BOMB_BYTES, MAX_ZIP_RATIO * member.compress_size):
            msg = (
                f"{path}: member {name!r} unpacks from {member.compress_size} to {member.file_size} bytes, which no "
                "file of a product does; do not use this archive"
            )
            raise ProductError(msg)
        if name in seen:
            msg = f"{path}: member {name!r} is there twice; fetch the product again"
            raise ProductError(msg)
        seen.add(name)


def _prefix(path: Path, sizes: Mapping[str, int]) -> str:
    """Where in the archive the product lies."""
    tops = {
        name.rpartition("/")[0] for name in sizes if name.count("/") <= 1 and name.split("/")[-1] in MARKERS
    }
    if not tops:
        tops = {top for name in sizes if ProductName.try_parse(top := name.split("/")[0])}
    if len(tops) != 1:
        _refuse_unsupported(path, sizes)
        found = f"{len(tops)} products ({', '.join(sorted(tops))}); unpack it" if tops else "no product"
        msg = f"{path}: the archive holds {found}: {_EXPECTED}"
        raise ProductError(msg)
    top = tops.pop()
    prefix = f"{top}/" if top else ""
    if not any(prefix + name in sizes for name in METADATA):
        _refuse_unsupported(path, sizes)
    return prefix


def _refuse_unsupported(path: Path, sizes: Mapping[str, int]) -> None:
    """Raise for the first name that gives a reason, of the archive and of what lies at its top or a level below."""
    names = {path.name: None, **dict.fromkeys(part for name in sizes for part in name.split("/")[:2])}
    reason = next((reason for name in names if (reason := unsupported(name)) is not None), None)
    if reason is not None:
        msg = f"{path}: {reason}"
        raise ProductError(msg)
