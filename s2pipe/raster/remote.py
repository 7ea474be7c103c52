"""Files in object storage and on web servers through GDAL's file systems: looked at, and read."""

from __future__ import annotations

import http.client
import io
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from s2pipe.errors import ServiceError, UntrustedServerError
from s2pipe.raster._gdal import gdal_module, quiet_errors
from s2pipe.raster.network import PAUSES_S, TIMEOUT_S, check_access, network_options
from s2pipe.raster.s3_request import request_of

if TYPE_CHECKING:
    from s2pipe.runtime.addresses import RemoteAddress

CHUNK_BYTES = 8 << 20
"""What is asked for in one request when a file is read from its beginning to its end."""


@dataclass(frozen=True)
class RemoteState:
    """What a server says of a file."""

    size: int
    """Bytes."""
    etag: str | None
    """Its entity tag, which changes with the content; None when the server states none."""


def state_of(address: RemoteAddress) -> RemoteState | None:
    """Look at a file; None when there is none.

    Raises
    ------
    ServiceError
        The server refuses to tell, or does not answer.
    AuthError, UntrustedServerError
        It may not be asked.
    """
    check_access(address)
    # What GDAL keeps of the file may be of an earlier state.
    gdal_module().VSICurlPartialClearCache(address.gdal_path)
    for pause in (*PAUSES_S, None):
        try:
            return _asked(address)
        except TryAgainError as error:
            if pause is None:
                msg = (
                    f"{address}: the server does not answer ({error}); look at the network, or run again later: "
                    "what is finished is kept"
                )
                raise ServiceError(msg) from error
            time.sleep(pause)
    raise AssertionError


class TryAgainError(Exception):
    """A request that may succeed later."""


def refused(address: RemoteAddress, code: int) -> ServiceError:
    """Return the error of a request that will not succeed later either."""
    if 300 <= code < 400:
        msg = f"{address}: the server points elsewhere (HTTP {code}), which is not followed; give the final address"
        return UntrustedServerError(msg, code)
    msg = f"{address}: the server refuses it (HTTP {code}); check the address and the access rights"
    return ServiceError(msg, code)


def is_passing(code: int) -> bool:
    """Tell whether a request that an HTTP status answers may succeed later."""
    return code in (408, 429) or code >= 500


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """Lets urllib report what points elsewhere."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        """Follow nothing: what is elsewhere is not what was allowed."""


def _asked(address: RemoteAddress) -> RemoteState | None:
    """Ask once."""
    if address.scheme == "s3":
        request = request_of(address.place, address.path, method="HEAD")
    else:  # an address has one of three schemes, none of them file:
        request = urllib.request.Request(str(address), method="HEAD")  # noqa: S310
    request.add_header("Accept-Encoding", "identity")
    opener = urllib.request.build_opener(NoRedirect)
    try:
        with opener.open(request, timeout=TIMEOUT_S) as answer:
            headers = answer.headers
    except urllib.error.HTTPError as error:
        if error.code in (404, 410):
            return None
        if is_passing(error.code):
            message = f"HTTP {error.code}"
            raise TryAgainError(message) from error
        raise refused(address, error.code) from error
    except (OSError, http.client.HTTPException) as error:
        raise TryAgainError(str(error)) from error
    size = headers.get("Content-Length", "")
    if not size.isdigit():
        msg = f"{address}: the server states no size; expected one that serves files, with ranges of bytes"
        raise ServiceError(msg)
    return RemoteState(int(size), plain_etag(headers.get("ETag")))


def plain_etag(etag: str | None) -> str | None:
    """An entity tag without its quotes; one that is not text of moderate length counts as none."""
    plain = (etag or "").strip().removeprefix("W/").strip('"')
    return plain if plain and len(plain) <= 200 and plain.isascii() and plain.isprintable() else None


def read_range(address: RemoteAddress, start: int, size: int) -> bytes:
    """Read a part of a file that lies inside it.

    Raises
    ------
    ServiceError
        It cannot be had whole.
    """
    path, data = address.gdal_path, b""
    for pause in (*PAUSES_S, None):
        data += _read_once(path, start + len(data), size - len(data))
        if len(data) == size:
            return data
        gdal_module().VSICurlPartialClearCache(path)
        if pause is not None:
            time.sleep(pause)
    msg = f"{address}: expected {size} bytes from byte {start} on, got {len(data)}; look at the network, or run again"
    raise ServiceError(msg)


def _read_once(path: str, start: int, size: int) -> bytes:
    gdal = gdal_module()
    with network_options(path), quiet_errors():
        try:
            stream = gdal.VSIFOpenL(path, "rb")
            if stream is None:
                return b""
            try:
                gdal.VSIFSeekL(stream, start, 0)
                return bytes(gdal.VSIFReadL(1, size, stream) or b"")
            finally:
                gdal.VSIFCloseL(stream)
        except RuntimeError:
            return b""


class RemoteStream(io.RawIOBase):
    """A file that is read from its beginning to its end, whole or with an error.

    Parameters
    ----------
    address : RemoteAddress
        The file.
    size : int
        Its size.
    """

    def __init__(self, address: RemoteAddress, size: int) -> None:
        self._address = address
        self._size = size
        self._place = 0

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer; 0 at the end."""
        count = min(len(buffer), self._size - self._place)
        if count:
            buffer[:count] = read_range(self._address, self._place, count)
            self._place += count
        return count


def open_stream(address: RemoteAddress, size: int) -> io.BufferedReader:
    """Open a file for reading from its beginning to its end."""
    return io.BufferedReader(RemoteStream(address, size), CHUNK_BYTES)
