"""Products in object storage and on web servers: found, and read where they are.

Object storage lists its files. Web servers do not, or each in its own way: there ``manifest.safe`` names the files.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING

from s2pipe.errors import ProductError
from s2pipe.raster.network import fresh_state_of
from s2pipe.raster.remote import open_stream, read_range
from s2pipe.raster.s3_listing import list_directory
from s2pipe.runtime.addresses import RemoteAddress, scheme_of
from s2pipe.runtime.limits import MAX_XML_BYTES, MAX_ZIP_MEMBERS
from s2pipe.sentinel2.safe import MANIFEST, Level, read_safe_manifest, role_of
from s2pipe.sentinel2.safe.container import METADATA, SafeContainer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass(frozen=True)
class RemoteContainer(SafeContainer):
    """A product at an address."""

    etags: Mapping[str, str | None] = field(default_factory=dict)
    """Entity tag of every file by its path in the product."""

    @contextmanager
    def open(self, product_path: str) -> Iterator[IO[bytes]]:
        """Open a file of the product for reading from its beginning to its end."""
        yield open_stream(self._address(product_path), self.sizes[product_path])

    def read(self, product_path: str) -> bytes:
        """Read a metadata file whole."""
        size = self.sizes[product_path]
        if size > MAX_XML_BYTES:
            msg = f"{self.display(product_path)}: {size} bytes is too large for metadata"
            raise ProductError(msg)
        return read_range(self._address(product_path), 0, size)

    def _address(self, product_path: str) -> RemoteAddress:
        assert isinstance(self.path, RemoteAddress)
        return self.path / product_path


def place_of(path: Path | str) -> RemoteAddress | None:
    """Read an address; None for a path on this machine.

    Raises
    ------
    PathEscapeError
        It is an address of another kind.
    """
    text = str(path)
    return RemoteAddress.parse(text) if isinstance(path, str) and scheme_of(text) is not None else None


def products_at(address: RemoteAddress) -> list[RemoteAddress]:
    """Return the products that an address names: itself, or the SAFE directories in it.

    Raises
    ------
    ProductError
        There is none.
    ServiceError, AuthError, UntrustedServerError
        It cannot be listed.
    """
    if address.name.lower().endswith(".safe"):
        return [address]
    if address.scheme != "s3":
        msg = f"{address}: is no SAFE directory; a web server has no list of products: name each of them (.../X.SAFE)"
        raise ProductError(msg)
    entries = list_directory(address)
    names = {entry.path for entry in entries}
    if METADATA & names:
        return [address]
    products = [address / entry.path for entry in entries if entry.path.lower().endswith(".safe")]
    if not products:
        msg = (
            f"{address}: holds no product: expected a SAFE directory, or a directory of them, such as "
            f"s3://eodata/Sentinel-2/MSI/L1C/2025/12/10/, got {len(entries)} other entries"
        )
        raise ProductError(msg)
    return products


def open_remote(address: RemoteAddress) -> RemoteContainer:
    """List the files of a product.

    Raises
    ------
    ProductError
        It has none.
    ServiceError, PathEscapeError
        It cannot be listed, or lists what leaves it.
    """
    if address.scheme != "s3":
        return _open_on_web(address)
    files = list_directory(address, whole=True, limit=MAX_ZIP_MEMBERS)
    if not files:
        msg = f"{address}: no such product, or it is empty; check the address"
        raise ProductError(msg)
    for item in files:
        _ = address / item.path  # refuses what leaves the product
    sizes = {item.path: item.size for item in files}
    etags = {item.path: item.etag for item in files}
    return RemoteContainer(address, address.name, sizes, None, etags)


def _open_on_web(address: RemoteAddress) -> RemoteContainer:
    """Find the files of a product that its manifest names."""
    manifest = address / MANIFEST
    state = fresh_state_of(manifest)
    if state is None or state.size > MAX_XML_BYTES:
        msg = f"{manifest}: is not there; of products on web servers the manifest says which files they have"
        raise ProductError(msg)
    listed = read_safe_manifest(read_range(manifest, 0, state.size), str(manifest))
    if len(listed) > MAX_ZIP_MEMBERS:
        msg = f"{manifest}: lists {len(listed)} files, more than any product ({MAX_ZIP_MEMBERS})"
        raise ProductError(msg)
    level: Level = "L2A" if "_MSIL2A_" in address.name else "L1C"
    wanted = [entry.product_path for entry in listed if role_of(entry.product_path, level) is not None]
    states = {MANIFEST: state, **{path: fresh_state_of(address / path) for path in wanted}}
    found = {path: state for path, state in states.items() if state is not None}
    sizes = {path: state.size for path, state in found.items()}
    return RemoteContainer(address, address.name, sizes, None, {path: s.etag for path, s in found.items()})
