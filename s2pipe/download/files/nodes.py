"""The files of a product: from its ``manifest.safe`` in one request, or by walking the Nodes API."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from s2pipe.dataset.assets import Checksum
from s2pipe.errors import ServiceError, UntrustedServerError
from s2pipe.runtime.hashing import hash_bytes
from s2pipe.runtime.paths import is_safe_relative
from s2pipe.sentinel2.safe import MANIFEST, read_safe_manifest

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_MANIFEST_BYTES = 16 << 20
"""Largest manifest.safe; those of real products have about 0.1 MB."""
MAX_FILE_BYTES = 1 << 40
_MAX_NAME_BYTES = 255
_MAX_NODES = 20_000
_MAX_DEPTH = 8
_WANTED_DIRECTORIES = ("GRANULE", "IMG_DATA", "QI_DATA", "R10m", "R20m", "R60m")


@dataclass(frozen=True)
class RemoteFile:
    """One file of a product on the service."""

    path: str
    """Path inside the product, forward slashes."""
    size: int | None
    """Bytes; None when the service does not say."""
    checksum: Checksum | None
    """Checksum of the raw bytes; None when unknown."""


def node_url(host: str, product_id: str, product: str, path: str, *, listing: bool = False) -> str:
    """Return the address of a file's bytes, or of a directory's listing; names are not quoted there."""
    names = [product, *(part for part in path.split("/") if part)]
    nodes = "/".join(f"Nodes({quote(name, safe='')})" for name in names)
    return f"{host}/odata/v1/Products({product_id})/{nodes}/{'Nodes' if listing else '$value'}"


def manifest_files(data: bytes, source: str) -> list[RemoteFile]:
    """Return the files that a ``manifest.safe`` lists.

    Raises
    ------
    MetadataError, ProductError, PathEscapeError
        It is damaged or hostile.
    UntrustedServerError
        A name is longer than file systems allow, or a size is absurd.
    """
    files = []
    for entry in read_safe_manifest(data, source):
        _check_names(entry.product_path.split("/"), source)
        if entry.size > MAX_FILE_BYTES:
            msg = f"{source}: {entry.product_path[:200]} claims {entry.size} bytes"
            raise UntrustedServerError(msg)
        checksum = None
        if entry.checksum_algorithm is not None and entry.checksum_value is not None:
            checksum = Checksum(entry.checksum_algorithm, entry.checksum_value)
        files.append(RemoteFile(entry.product_path, entry.size, checksum))
    return files


def listed_files(data: bytes, source: str) -> list[RemoteFile]:
    """Return the files of a product by its ``manifest.safe``, and that itself, which it does not list."""
    own = RemoteFile(MANIFEST, len(data), Checksum("SHA3-256", hash_bytes(data, "SHA3-256")))
    return [*(file for file in manifest_files(data, source) if file.path != MANIFEST), own]


def walk(get_json: Callable[[str, str], Any], host: str, product_id: str, product: str) -> list[RemoteFile]:
    """List a product's directories, as far as they hold files that have a role.

    Parameters
    ----------
    get_json : callable
        ``get_json(url, what)``.
    host : str
        Download host.
    product_id, product : str
        Identifier and name of the product.
    """
    files: list[RemoteFile] = []
    seen = 0

    def visit(path: str, depth: int) -> None:
        nonlocal seen
        what = f"{product}: listing of {path or 'the product'}"
        nodes = _nodes(get_json(node_url(host, product_id, product, path, listing=True), what), what)
        seen += len(nodes)
        if seen > _MAX_NODES or depth > _MAX_DEPTH:
            msg = f"{what}: the product has more files or levels than any real one"
            raise UntrustedServerError(msg)
        for name, size, children in nodes:
            inner = f"{path}/{name}" if path else name
            if not children:
                files.append(RemoteFile(inner, size or None, None))
            elif name in _WANTED_DIRECTORIES or path == "GRANULE":
                visit(inner, depth + 1)

    visit("", 0)
    return sorted(files, key=lambda file: file.path)


def _nodes(document: Any, what: str) -> list[tuple[str, int, int]]:
    """Name, size and number of children of each node, by name: the service's order is not stable."""
    rows = document.get("result", document.get("value")) if isinstance(document, dict) else None
    if not isinstance(rows, list):
        msg = f"{what}: the answer is not a list of nodes; try again later"
        raise ServiceError(msg)
    nodes = []
    for row in rows:
        name = row.get("Name") if isinstance(row, dict) else None
        if not isinstance(name, str):
            msg = f"{what}: a node has no name; try again later"
            raise ServiceError(msg)
        if "/" in name or "\\" in name:
            msg = f"{what}: a node is named {name[:80]!r}, which leaves its directory"
            raise UntrustedServerError(msg)
        _check_names([name], what)
        nodes.append((name, _count(row.get("ContentLength")), _count(row.get("ChildrenNumber"))))
    return sorted(nodes)


def _count(value: Any) -> int:
    is_count = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_FILE_BYTES
    return value if is_count else 0


def _check_names(names: list[str], what: str) -> None:
    for name in names:
        if not is_safe_relative(name) or name in (".", "") or "\x7f" in name:
            msg = f"{what}: a file is named {name[:80]!r}, which leaves the product"
            raise UntrustedServerError(msg)
        if len(name.encode("utf-8", "surrogatepass")) > _MAX_NAME_BYTES:
            msg = f"{what}: a file's name has more than {_MAX_NAME_BYTES} bytes"
            raise UntrustedServerError(msg)


__all__ = ["MANIFEST", "RemoteFile", "listed_files", "manifest_files", "node_url", "walk"]
