"""Products on disk: a SAFE directory or a zip archive of one, seen as files by their path in the product."""

from __future__ import annotations

import os
import stat
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from s2pipe.errors import PathEscapeError, ProductError
from s2pipe.runtime.hashing import hash_stream
from s2pipe.runtime.paths import is_safe_relative
from s2pipe.sentinel2.safe.layout import MANIFEST, product_metadata_name
from s2pipe.sentinel2.safe.names import ProductName
from s2pipe.sentinel2.safe.xml import MAX_XML_BYTES

MARKERS = (product_metadata_name("L1C"), product_metadata_name("L2A"), MANIFEST)
"""Files whose presence makes a directory or archive a product."""

_EXPECTED = (
    "expected a SAFE directory, or a zip archive of one, with MTD_MSIL1C.xml or MTD_MSIL2A.xml at its top; "
    "products older than December 2016 (S2A_OPER_PRD_...) are not supported"
)


@dataclass(frozen=True)
class SafeContainer:
    """A product on disk."""

    path: Path
    """The SAFE directory or the zip archive, absolute."""
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
            if self.prefix is None:
                with (self.path / product_path).open("rb") as stream:
                    yield stream
            else:
                with (
                    zipfile.ZipFile(self.path) as archive,
                    archive.open(self.prefix + product_path) as member,
                ):
                    yield member
        except (OSError, KeyError, zipfile.BadZipFile, NotImplementedError, EOFError) as error:
            msg = f"{self.display(product_path)}: cannot be read: {error}"
            raise ProductError(msg) from error

    def read(self, product_path: str) -> bytes:
        """Read a metadata file whole."""
        size = self.sizes.get(product_path, 0)
        if size > MAX_XML_BYTES:
            msg = f"{self.display(product_path)}: {size} bytes is too large for metadata"
            raise ProductError(msg)
        with self.open(product_path) as stream:
            return stream.read(MAX_XML_BYTES + 1)

    def hash(self, product_path: str, algorithm: str) -> str:
        """Return a file's checksum as lower-case hexadecimal (algorithms of SAFE manifests).

        Raises
        ------
        ValueError
            The algorithm is unknown.
        ProductError
            The file cannot be read.
        """
        with self.open(product_path) as stream:
            return hash_stream(stream, algorithm)


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
    if path.is_dir():
        if not is_product_directory(absolute):
            msg = f"{path}: is no product: {_EXPECTED}"
            raise ProductError(msg)
        return SafeContainer(absolute, absolute.name, dict(_walk(absolute)), None)
    if not path.exists():
        msg = f"{path}: no such file or directory; check the path"
        raise ProductError(msg)
    return _open_zip(absolute)


def _walk(root: Path) -> Iterator[tuple[str, int]]:
    for directory, directories, names in os.walk(root):
        directories.sort()
        for name in sorted(names):
            path = Path(directory, name)
            try:
                status = path.stat()
            except OSError:  # a dangling link is an absent file
                continue
            if stat.S_ISREG(status.st_mode):
                yield path.relative_to(root).as_posix(), status.st_size


def _open_zip(path: Path) -> SafeContainer:
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, OSError) as error:
        msg = f"{path}: is no readable zip archive ({error}): {_EXPECTED}"
        raise ProductError(msg) from error
    _check_members(path, members)
    sizes = {member.filename: member.file_size for member in members if not member.is_dir()}
    prefix = _prefix(path, sizes)
    inside = {name[len(prefix) :]: size for name, size in sizes.items() if name.startswith(prefix)}
    return SafeContainer(path, prefix.rstrip("/") or path.name, inside, prefix)


def _check_members(path: Path, members: list[zipfile.ZipInfo]) -> None:
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
        found = f"{len(tops)} products ({', '.join(sorted(tops))}); unpack it" if tops else "no product"
        msg = f"{path}: the archive holds {found}: {_EXPECTED}"
        raise ProductError(msg)
    top = tops.pop()
    return f"{top}/" if top else ""
