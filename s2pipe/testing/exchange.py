"""One request and its answer: its entry in the log, faults, and the forms that answers take."""

from __future__ import annotations

import json
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from s2pipe.testing.state import Logged

if TYPE_CHECKING:
    from collections.abc import Callable

    from s2pipe.testing.faults import Fault
    from s2pipe.testing.state import ServiceState


class HostServer(ThreadingHTTPServer):
    """One of the three hosts."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(
        self, port: int, service: ServiceState, name: str, answer: Callable[[Exchange], None]
    ) -> None:
        super().__init__(("127.0.0.1", port), Exchange)
        self.service = service
        self.name = name
        self.answer = answer

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients are killed on purpose."""


class Exchange(BaseHTTPRequestHandler):
    """One request and its answer; what the hosts have in common, faults above all."""

    protocol_version = "HTTP/1.1"
    server: HostServer
    # Header and body leave in one segment otherwise held back by Nagle's algorithm.
    disable_nagle_algorithm = True

    def log_message(self, *_: Any) -> None:
        """Print nothing: the log is in memory."""

    def do_GET(self) -> None:
        """Answer."""
        self._answer()

    def do_HEAD(self) -> None:
        """Answer."""
        self._answer()

    def do_POST(self) -> None:
        """Answer."""
        self._answer()

    @property
    def service(self) -> ServiceState:
        """The service that this host belongs to."""
        return self.server.service

    def _answer(self) -> None:
        self.entry = Logged(
            self.server.name,
            self.command,
            self.path,
            self.headers.get("Authorization"),
            self.headers.get("Range"),
            dict(self.headers),
        )
        self.service.log.append(self.entry)
        length = int(self.headers.get("Content-Length") or 0)
        self.form = dict(parse_qsl(self.rfile.read(length).decode()))
        self.fault = self.service.faults.take(self.entry.place)
        try:
            if self._plays_fault():
                return
            self.server.answer(self)
        except (BrokenPipeError, ConnectionResetError, TimeoutError):
            self.close_connection = True

    def _plays_fault(self) -> bool:
        """Play a fault that takes the place of the answer."""
        fault = self.fault
        if fault is None:
            return False
        if fault.seconds:
            time.sleep(fault.seconds)
        if fault.kind == "expire":
            self.service.tokens.expire()
        if fault.kind == "status":
            self.send(fault.status, fault.body, fault.headers)
        elif fault.kind == "body":
            self.send(200, fault.body, fault.headers)
        elif fault.kind == "redirect":
            status = fault.status if 300 <= fault.status < 400 else 301
            self.send(status, b"", {"Location": fault.location})
        elif fault.kind == "endless":
            self._endless(fault)
        elif fault.kind == "gzip":
            self.send(200, fault.body, {"Content-Encoding": "gzip", **fault.headers})
        else:
            return False
        return True

    def _endless(self, fault: Fault) -> None:
        self.close_connection = True
        self.head(200, {"Connection": "close", **fault.headers})
        block = fault.body or b"\0" * 65536
        while True:
            self.wfile.write(block)
            self.entry.sent += len(block)

    def head(self, status: int, headers: dict[str, str]) -> None:
        """Send status and headers."""
        self.entry.status = status
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.end_headers()

    def send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        """Send a whole answer."""
        merged = {"Content-Length": str(len(body)), "Content-Type": "application/json", **(headers or {})}
        self.head(status, merged)
        if self.command != "HEAD":
            self.wfile.write(body)
            self.entry.sent += len(body)

    def json(self, status: int, document: Any) -> None:
        """Send a JSON document."""
        self.send(status, json.dumps(document).encode())

    def refuse(self, status: int, code: str, message: str) -> None:
        """Refuse as the download host does."""
        self.json(status, {"code": code, "message": message})
