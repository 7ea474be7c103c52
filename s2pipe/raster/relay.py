"""A relay in this process, through which GDAL reads what is on the network.

GDAL follows answers that point elsewhere, to any host, and no version has an option against that. So it is let ask
127.0.0.1 alone, where this relay asks the server in its stead, with the rules of :mod:`s2pipe.raster.remote`: nothing
that points elsewhere is followed, and credentials go to the endpoint of object storage and nowhere else. GDAL has none.

The relay answers who knows the secret of this process, for addresses that s2pipe opens. It passes on ranges of bytes as
they are asked for, and what is cut short or refused for a time arrives at GDAL so.
"""

from __future__ import annotations

import base64
import http
import http.client
import http.server
import os
import re
import secrets
import threading
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import unescape

from s2pipe.errors import PathEscapeError, S2PipeError, ServiceError
from s2pipe.raster.remote import Connections, TryAgainError, asked_part, asked_state
from s2pipe.runtime.addresses import RemoteAddress

if TYPE_CHECKING:
    from collections.abc import Callable

_NETWORK = re.compile(r"/vsi(?:s3|curl)/[^<>\"]+")
_RELAYED = re.compile(
    r"/vsicurl/http://127\.0\.0\.1:[0-9]+/[0-9a-f]{32}/([A-Za-z0-9_-]+)/[^<>\"'\s:]*", re.ASCII
)
_REQUEST = re.compile(r"/([0-9a-f]{32})/([A-Za-z0-9_-]+)/[^/]*", re.ASCII)
_RANGE = re.compile(r"bytes=([0-9]{1,15}-[0-9]{0,15})", re.ASCII)
_PIECE_BYTES = 1 << 18


def is_network(source: str) -> bool:
    """Tell whether a path, or a VRT's text, leads to files on the network."""
    return _NETWORK.search(source) is not None


def network_names(source: str) -> list[str]:
    """Return the files on the network that a path, or a VRT's text, names, as GDAL opens them."""
    return _NETWORK.findall(source)


def relayed(source: str) -> str:
    """Return a path, or a VRT's text, with the relay's names of the files on the network in it."""
    if not is_network(source):
        return source
    relay = _relay()
    return _NETWORK.sub(lambda found: relay.name_of(_address_of(found[0], is_xml=source[0] == "<")), source)


def unrelayed(text: str) -> str:
    """Return a message of GDAL with the files' own names."""
    return _RELAYED.sub(lambda found: _decoded(found[1]).gdal_path, text)


def refusal_of(source: str) -> ServiceError | None:
    """Return what the server of one of the files last refused; None when it did not, or is to be asked again."""
    refusals = _relay().refusals
    found = (_address_of(name, is_xml=source[0] == "<") for name in network_names(source))
    return next((refusals[address] for address in found if address in refusals), None)


def _address_of(name: str, *, is_xml: bool) -> RemoteAddress:
    plain = unescape(name) if is_xml else name
    rest = plain.removeprefix("/vsicurl/")
    return RemoteAddress.parse(f"s3://{rest.removeprefix('/vsis3/')}" if rest == plain else rest)


def _encoded(address: RemoteAddress) -> str:
    return base64.urlsafe_b64encode(str(address).encode()).decode().rstrip("=")


def _decoded(text: str) -> RemoteAddress:
    return RemoteAddress.parse(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode())


class _Relay(http.server.ThreadingHTTPServer):
    """The relay: a thread for each of GDAL's connections, while there are any."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.secret = secrets.token_hex(16)
        self.refusals: dict[RemoteAddress, ServiceError] = {}

    def name_of(self, address: RemoteAddress) -> str:
        """Name under which GDAL opens a file through the relay."""
        port = self.server_address[1]
        return f"/vsicurl/http://127.0.0.1:{port}/{self.secret}/{_encoded(address)}/x.jp2"

    def handle_error(self, *_: Any) -> None:
        """Say nothing of connections that GDAL gave up."""


_RELAYS: dict[int, _Relay] = {}
"""By process: a forked one has none of the threads of its parent's."""
_STARTING = threading.Lock()


def _relay() -> _Relay:
    """Return the relay of this process, started when it is first asked for."""
    with _STARTING:
        relay = _RELAYS.get(os.getpid())
        if relay is None:
            relay = _RELAYS[os.getpid()] = _Relay()
            threading.Thread(target=relay.serve_forever, name="s2pipe-relay", daemon=True).start()
    return relay


class _Handler(http.server.BaseHTTPRequestHandler):
    """A connection of GDAL, with one to the server, which is kept as long."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 300
    server: _Relay

    def setup(self) -> None:
        """Begin."""
        super().setup()
        self._connections = Connections()

    def finish(self) -> None:
        """End."""
        self._connections.close()
        super().finish()

    def log_message(self, *_: Any) -> None:
        """Say nothing: what fails is told by GDAL."""

    def do_HEAD(self) -> None:
        """Answer with the size of a file."""
        self._answered(self._tell)

    def do_GET(self) -> None:
        """Answer with a file, or a part of it."""
        self._answered(self._pass_on)

    def _answered(self, answer: Callable[[RemoteAddress], None]) -> None:
        address = self._asked_for()
        if address is None:
            self._refuse(http.HTTPStatus.NOT_FOUND)
            return
        self.server.refusals.pop(address, None)
        try:
            answer(address)
        except TryAgainError as error:
            self._refuse(error.code or http.HTTPStatus.SERVICE_UNAVAILABLE)
        except ServiceError as error:
            status = error.status or http.HTTPStatus.FORBIDDEN
            if status in (404, 410, 416):  # GDAL tells what these mean
                self._refuse(status)
                return
            self.server.refusals[address] = error
            self._refuse(http.HTTPStatus.FORBIDDEN)
        except S2PipeError:
            self._refuse(http.HTTPStatus.FORBIDDEN)

    def _asked_for(self) -> RemoteAddress | None:
        """Return the address in the path of a request that knows the secret."""
        found = _REQUEST.fullmatch(self.path)
        if found is None or not secrets.compare_digest(found[1], self.server.secret):
            return None
        try:
            return _decoded(found[2])
        except (ValueError, PathEscapeError):
            return None

    def _refuse(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _tell(self, address: RemoteAddress) -> None:
        state = asked_state(address, self._connections.send)
        if state is None:
            self._refuse(http.HTTPStatus.NOT_FOUND)
            return
        self.send_response(http.HTTPStatus.OK)
        self.send_header("Content-Length", str(state.size))
        self.send_header("Accept-Ranges", "bytes")
        self.end_headers()

    def _pass_on(self, address: RemoteAddress) -> None:
        wanted = _RANGE.fullmatch(self.headers.get("Range", ""))
        with asked_part(address, wanted and wanted[1], self._connections.send) as answer:
            self.send_response(answer.status)
            length = answer.headers.get("Content-Length", "")
            for name in ("Content-Length", "Content-Range", "Accept-Ranges"):
                if value := answer.headers.get(name):
                    self.send_header(name, value)
            if not length.isdigit():
                self.send_header("Connection", "close")
            self.end_headers()
            self._copy(answer, int(length) if length.isdigit() else None)

    def _copy(self, answer: http.client.HTTPResponse, expected: int | None) -> None:
        """Pass bytes on; where they end early, hang up, which tells GDAL so."""
        buffer = memoryview(bytearray(_PIECE_BYTES))
        done = 0
        try:
            while got := answer.readinto(buffer):
                self.wfile.write(buffer[:got])
                done += got
        except (OSError, http.client.HTTPException):
            expected = -1
        if done != expected:
            self.close_connection = True
            self._connections.close()
