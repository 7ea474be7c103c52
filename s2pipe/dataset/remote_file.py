"""Files of a scene that stay where they are: in object storage, or on a web server."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING

from s2pipe.dataset.input_file import MAX_READ_BYTES, InputFile, InputState, Stamp
from s2pipe.errors import MissingInputError, PathEscapeError
from s2pipe.raster.access import check_access
from s2pipe.raster.network import fresh_state_of
from s2pipe.raster.remote import open_stream, read_range
from s2pipe.runtime.addresses import RemoteAddress

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from s2pipe.dataset.assets import Asset

_ROOT = RemoteAddress("s3", "none", "")


@dataclass(frozen=True)
class RemoteFile(InputFile):
    """One file of a scene at an address."""

    address: RemoteAddress = field(default=_ROOT)
    """Where it is."""
    etag: str | None = None
    """Entity tag as recorded; None when unknown."""

    @classmethod
    def at(cls, asset: Asset, allowed: Sequence[RemoteAddress]) -> RemoteFile:
        """Find the file of an asset, if it lies in a place that may be opened.

        Raises
        ------
        PathEscapeError
            Its path is no address, or leads to another place; or it is the member of an archive.
        """
        address = RemoteAddress.parse(asset.path)
        if not address.is_below(allowed):
            places = ", ".join(map(str, allowed)) or "none"
            msg = (
                f"{asset.role}: {address} is not in a place that may be opened (remote.allow: {places}); add "
                f"{address.scheme}://{address.place}/ to remote.allow if the index is to be trusted with it"
            )
            raise PathEscapeError(msg)
        if asset.member is not None:
            msg = f"{asset.role}: {address} is an archive, which is read from disk alone; index its files, or fetch it"
            raise PathEscapeError(msg)
        name = asset.product_path or address.path
        path = Path(address.path)
        return cls(asset.role, path, None, name, asset.size, asset.checksum, address=address, etag=asset.etag)

    @property
    def label(self) -> str:
        """What messages call it."""
        return str(self.address)

    @property
    def is_remote(self) -> bool:
        """It does."""
        return True

    @property
    def gdal_path(self) -> str:
        """Name under which GDAL opens it."""
        return self.address.gdal_path

    def absence(self) -> str:
        """Say in words that it is not there."""
        return f"{self.address} does not exist"

    def is_available(self) -> bool:
        """Tell whether the file is there: as recorded, since the first look at it will tell; else by asking."""
        check_access(self.address)
        return self.size is not None or fresh_state_of(self.address) is not None

    def read(self) -> bytes:
        """Read a small file (metadata)."""
        size = self.size_on_disk()
        if size > MAX_READ_BYTES:
            reason = f"larger than the {MAX_READ_BYTES} bytes that metadata may have"
            raise self._unreadable(reason)
        return read_range(self.address, 0, size)

    @contextmanager
    def open(self) -> Iterator[IO[bytes]]:
        """Open it for reading from its beginning to its end."""
        yield open_stream(self.address, self.size_on_disk())

    def size_on_disk(self) -> int:
        """Return its size in bytes as the server states it."""
        return self._existing().size

    def stamp(self) -> Stamp | None:
        """Look at its state; None when it is gone."""
        state = fresh_state_of(self.address)
        return None if state is None else Stamp(state.size, 0, 0, state.etag)

    def state(self) -> InputState:
        """Return its recorded state where that tells a change, so that planning asks for no file; else look."""
        size, etag = self.size, self.etag
        if size is None or (etag is None and self.checksum is None):
            stamp = self._existing()
            size, etag = stamp.size, stamp.etag
        return InputState(self.role, self.name, size, None, self.checksum_text, etag)

    def _existing(self) -> Stamp:
        stamp = self.stamp()
        if stamp is None:
            reason = "no such file"
            raise self._unreadable(reason)
        return stamp

    def _unreadable(self, reason: str) -> MissingInputError:
        hint = "restore the file, or index the products again"
        return MissingInputError(f"{self.role} cannot be read:", [f"{self.label}: {reason}"], hint)
