"""Files in object storage and on web servers: looked at, and read. All requests for them are made here.

No answer that points elsewhere is followed here.
"""

from __future__ import annotations

import functools
import http.client
import io
import re
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from s2pipe.errors import ServiceError, UntrustedServerError
from s2pipe.raster.access import PAUSES_S, TIMEOUT_S, check_access
from s2pipe.raster.s3_request import request_of
from s2pipe.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable

    from s2pipe.runtime.addresses import RemoteAddress

    Send = Callable[[urllib.request.Request], http.client.HTTPResponse]

CHUNK_BYTES = 8 << 20
"""What is kept in memory of a file that is read from its beginning to its end."""
_GETTING_ON_BYTES = 1 << 16
_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,15})-[0-9]{1,15}/([0-9]{1,15}|\*)", re.ASCII)


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
    for pause in (*PAUSES_S, None):
        try:
            return asked_state(address)
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

    def __init__(self, message: str, code: int | None = None) -> None:
        super().__init__(message)
        self.code: int | None = code
        """HTTP status; None without an answer."""


def refused(address: RemoteAddress, code: int) -> ServiceError:
    """Return the error of a request that will not succeed later either."""
    if 300 <= code < 400:
        msg = f"{address}: the server points elsewhere (HTTP {code}), which is not followed; give the final address"
        return UntrustedServerError(msg, code)
    if code in (404, 410):
        return ServiceError(f"{address}: is not there (HTTP {code}); check the address, or index again", code)
    msg = f"{address}: the server refuses it (HTTP {code}); check the address and the access rights"
    return ServiceError(msg, code)


def is_passing(code: int) -> bool:
    """Tell whether a request that an HTTP status answers may succeed later."""
    return code in (408, 429) or code >= 500


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Lets urllib report what points elsewhere."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        """Follow nothing: what is elsewhere is not what was allowed."""


def opened(request: urllib.request.Request) -> http.client.HTTPResponse:
    """Send a request, and follow nothing that points elsewhere."""
    opener = _opener(frozenset(urllib.request.getproxies().items()))
    answer = opener.open(request, timeout=TIMEOUT_S)
    assert isinstance(answer, http.client.HTTPResponse)  # of HTTP, which addresses are limited to
    return answer


@functools.lru_cache(maxsize=4)
def _opener(_proxies: object) -> urllib.request.OpenerDirector:
    """Return what sends requests; it reads the certificates of authorities, which takes longer than most answers."""
    return urllib.request.build_opener(_NoRedirect)


class Connections:
    """A connection to one server after the other, kept between requests: what GDAL reads takes many."""

    def __init__(self) -> None:
        self._connection: http.client.HTTPConnection | None = None
        self._server = ("", "")
        self._last: http.client.HTTPResponse | None = None

    def send(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        """Send a request, and follow nothing that points elsewhere; an answer ends when the next request is sent."""
        if request.type in urllib.request.getproxies() and not urllib.request.proxy_bypass(request.host):
            return opened(request)
        server = (request.type, request.host)
        is_read = (
            self._last is None or self._last.length == 0
        )  # else the rest of it stands before the next one
        if self._connection is None or self._server != server or not is_read:
            self.close()
            kind = http.client.HTTPSConnection if request.type == "https" else http.client.HTTPConnection
            self._connection, self._server = kind(request.host, timeout=TIMEOUT_S), server
        is_kept = self._connection.sock is not None
        try:
            answer = self._answered(self._connection, request)
        except (OSError, http.client.HTTPException):
            self._connection.close()
            if not is_kept:
                raise
            answer = self._answered(self._connection, request)  # the server gave up the connection meanwhile
        if answer.status >= 300:
            code, headers = answer.status, answer.headers
            self.close()
            raise urllib.error.HTTPError(request.full_url, code, answer.reason, headers, None)
        self._last = answer
        return answer

    @staticmethod
    def _answered(
        connection: http.client.HTTPConnection, request: urllib.request.Request
    ) -> http.client.HTTPResponse:
        headers = {"User-Agent": f"s2pipe/{__version__}", **dict(request.header_items())}
        connection.request(request.get_method(), request.selector, headers=headers)
        return connection.getresponse()

    def close(self) -> None:
        """Hang up."""
        if self._connection is not None:
            self._connection.close()
            self._connection = self._last = None


def asked_part(
    address: RemoteAddress, byte_range: str | None, send: Send = opened
) -> http.client.HTTPResponse:
    """Ask once for a file, or for a range of its bytes, without a look at the answer.

    Raises
    ------
    TryAgainError
        It may succeed later.
    ServiceError, AuthError, UntrustedServerError
        It will not.
    """
    return _opened(address, "GET", byte_range, send)


def _opened(
    address: RemoteAddress, method: str, byte_range: str | None = None, send: Send = opened
) -> http.client.HTTPResponse:
    """Ask for a file once."""
    check_access(address)
    if address.scheme == "s3":
        request = request_of(address.place, address.path, method=method)
    else:  # an address has one of three schemes, none of them file:
        request = urllib.request.Request(str(address), method=method)  # noqa: S310
    request.add_header("Accept-Encoding", "identity")
    if byte_range is not None:
        request.add_header("Range", f"bytes={byte_range}")
    try:
        return send(request)
    except urllib.error.HTTPError as error:
        if is_passing(error.code):
            message = f"HTTP {error.code}"
            raise TryAgainError(message, error.code) from error
        raise refused(address, error.code) from error
    except (OSError, http.client.HTTPException) as error:
        raise TryAgainError(str(error)) from error


def asked_state(address: RemoteAddress, send: Send = opened) -> RemoteState | None:
    """Ask for the state of a file once; None when there is none.

    Web servers are asked for the first byte, as the others will be asked for: for a HEAD some say other things.

    Raises
    ------
    TryAgainError
        It may succeed later.
    ServiceError, AuthError, UntrustedServerError
        It will not.
    """
    is_web = address.scheme != "s3"
    try:
        with _opened(address, "GET" if is_web else "HEAD", "0-0" if is_web else None, send) as answer:
            is_part = answer.status == http.HTTPStatus.PARTIAL_CONTENT
            length = answer.headers.get("Content-Length", "")
            size = _range_of(answer)[1] if is_part else int(length) if length.isdigit() else None
            etag = plain_etag(answer.headers.get("ETag"))
    except ServiceError as error:
        if error.status in (404, 410):
            return None
        raise
    if size is None:
        msg = f"{address}: the server states no size; expected one that serves files, with ranges of bytes"
        raise ServiceError(msg)
    return RemoteState(size, etag)


def _range_of(answer: http.client.HTTPResponse) -> tuple[int | None, int | None]:
    """First byte of a part, and the size of the whole file; None for what the server does not tell."""
    found = _CONTENT_RANGE.fullmatch(answer.headers.get("Content-Range", ""))
    if found is None:
        return None, None
    return int(found[1]), None if found[2] == "*" else int(found[2])


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
    data, place = bytearray(size), 0
    with RemoteStream(address, size, start) as stream, memoryview(data) as view:
        while place < size:
            place += stream.readinto(view[place:])
    return bytes(data)


class RemoteStream(io.RawIOBase):
    """A file, or a part of it, that is read from its beginning to its end, whole or with an error.

    Where an answer ends early, the next one begins.

    Parameters
    ----------
    address : RemoteAddress
        The file.
    size : int
        Bytes to read.
    start : int
        Place of the first of them.
    """

    def __init__(self, address: RemoteAddress, size: int, start: int = 0) -> None:
        self._address = address
        self._place, self._end = start, start + size
        self._answer: http.client.HTTPResponse | None = None
        self._tries, self._last_start = 0, start

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer, or the beginning of it; 0 at the end."""
        count = min(len(buffer), self._end - self._place)
        while count:
            reason = "it ended early"
            try:
                if self._answer is None:
                    self._answer = self._begun()
                got = self._answer.readinto(memoryview(buffer)[:count])
            except (TryAgainError, OSError, http.client.HTTPException) as error:
                reason, got = str(error), 0
            if got:
                self._place += got
                return got
            self._pause(reason)
        return 0

    def close(self) -> None:
        """Read no more."""
        self._hang_up()
        super().close()

    def _begun(self) -> http.client.HTTPResponse:
        answer = _opened(self._address, "GET", f"{self._place}-{self._end - 1}")
        is_part = answer.status == http.HTTPStatus.PARTIAL_CONTENT
        if (_range_of(answer)[0] if is_part else 0) != self._place:
            answer.close()
            msg = (
                f"{self._address}: the server sends other bytes (HTTP {answer.status}) than those asked for, from byte "
                f"{self._place} on; expected one that serves ranges of bytes"
            )
            raise ServiceError(msg, answer.status)
        return answer

    def _pause(self, reason: str) -> None:
        """Wait before the next request; whoever gets on may try as often as before."""
        self._hang_up()
        if self._place - self._last_start >= _GETTING_ON_BYTES:
            self._tries = 0
        self._last_start = self._place
        if self._tries == len(PAUSES_S):
            rest = self._end - self._place
            msg = (
                f"{self._address}: {rest} bytes from byte {self._place} on do not arrive ({reason}); look at the "
                "network, or run again later: what is finished is kept"
            )
            raise ServiceError(msg)
        time.sleep(PAUSES_S[self._tries])
        self._tries += 1

    def _hang_up(self) -> None:
        if self._answer is not None:
            self._answer.close()
            self._answer = None


def open_stream(address: RemoteAddress, size: int) -> io.BufferedReader:
    """Open a file for reading from its beginning to its end."""
    return io.BufferedReader(RemoteStream(address, size), CHUNK_BYTES)
