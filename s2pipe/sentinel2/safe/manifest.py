"""``manifest.safe``: the files of a product with their sizes and checksums."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from s2pipe.errors import PathEscapeError, ProductError
from s2pipe.runtime.paths import is_safe_relative
from s2pipe.sentinel2.safe.xml import Xml

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element


@dataclass(frozen=True)
class ManifestEntry:
    """One file that a SAFE manifest lists."""

    product_path: str
    """Path inside the product, forward slashes, without the leading ``./``."""
    size: int
    """Size in bytes."""
    checksum_algorithm: str | None
    """``MD5`` or ``SHA3-256``, upper case; None when the manifest gives no checksum."""
    checksum_value: str | None
    """Checksum of the raw bytes in lower-case hexadecimal; None when there is none."""


def read_safe_manifest(data: bytes | Path, source: str | None = None) -> list[ManifestEntry]:
    """Read the files that a ``manifest.safe`` lists, in its order.

    Parameters
    ----------
    data : bytes or Path
        The manifest, or the file that holds it.
    source : str, optional
        What messages call it; by default the path.

    Raises
    ------
    MetadataError
        Not XML, or a file without a usable size.
    PathEscapeError
        A path would leave the product.
    ProductError
        One file is listed twice with different sizes or checksums.
    """
    xml = Xml.read(data, source)
    entries: dict[str, ManifestEntry] = {}
    for stream in xml.root.iterfind("dataObjectSection/dataObject/byteStream"):
        entry = _entry(stream, xml)
        known = entries.setdefault(entry.product_path, entry)
        if known != entry:
            msg = (
                f"{xml.source}: {entry.product_path} is listed twice with different sizes or checksums; "
                "fetch the product again"
            )
            raise ProductError(msg)
    return list(entries.values())


def _entry(stream: Element, xml: Xml) -> ManifestEntry:
    location = stream.find("fileLocation")
    href = "" if location is None else location.get("href", "")
    path = _product_path(href, xml.source)
    where = f"byteStream of {path}"
    size = xml.to_integer(stream.get("size"), f"{where}/@size")
    if size < 0:
        msg = f"{where}/@size"
        raise xml.error(msg, f"expected 0 or more, got {size}")
    checksum = stream.find("checksum")
    value = "" if checksum is None else (checksum.text or "").strip().lower()
    algorithm = "" if checksum is None else checksum.get("checksumName", "").strip().upper()
    if not value or not algorithm:
        return ManifestEntry(path, size, None, None)
    return ManifestEntry(path, size, algorithm, value)


def _product_path(href: str, source: str) -> str:
    # Sen2Cor on Windows writes back slashes.
    path = href.replace("\\", "/")
    if not is_safe_relative(path) or "\x7f" in path:
        msg = (
            f"{source}: fileLocation {href!r} leaves the product: expected a path below it such as "
            "./GRANULE/...; do not use this product, fetch it again from a trusted place"
        )
        raise PathEscapeError(msg)
    normalised = str(PurePosixPath(path))
    if normalised == ".":
        msg = f"{source}: fileLocation {href!r} names no file; fetch the product again"
        raise ProductError(msg)
    return normalised
