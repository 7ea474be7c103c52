"""The three hosts of the service as three local servers."""

from __future__ import annotations

import io
import json
import os
import re
import socket
import struct
import threading
import time
import zipfile
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, unquote_plus, urlencode, urlsplit

from s2pipe.testing.faults import Fault, Faults
from s2pipe.testing.odata import BadFilter, compile_filter, parse_time
from s2pipe.testing.tokens import TokenStore

if TYPE_CHECKING:
    from pathlib import Path

    from s2pipe.testing.products import StoredProduct

REALM = "/auth/realms/CDSE"
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_RANGE = re.compile(r"bytes=(\d+)-(\d*)")
_ORDERS = ("ContentDate/Start", "ContentDate/End", "PublicationDate", "ModificationDate")


@dataclass
class Logged:
    """One request as the service saw it."""

    host: str
    method: str
    path: str
    authorization: str | None
    range: str | None
    headers: dict[str, str]
    status: int = 0
    sent: int = 0

    @property
    def place(self) -> str:
        return f"{self.host}{self.path}"


class Service:
    """The service; use it as a context manager.

    Parameters
    ----------
    products : list of StoredProduct
        What it holds.
    token_life_s : float
        Life of access tokens.
    username, password, totp : str
        The one account.
    signed : bool
        Hand out signed tokens (JWT), which other clients check.
    ports : tuple of int
        Ports of catalogue, download and identity; 0 takes any.
    """

    def __init__(
        self,
        products: list[StoredProduct] | None = None,
        *,
        token_life_s: float = 600.0,
        username: str = "eve@example.org",
        password: str = "correct horse",
        totp: str | None = None,
        signed: bool = False,
        ports: tuple[int, int, int] = (0, 0, 0),
    ) -> None:
        self.products = {product.id: product for product in products or []}
        self.tokens = TokenStore(
            username=username, password=password, totp=totp, life_s=token_life_s, signed=signed
        )
        self.faults = Faults()
        self.log: list[Logged] = []
        self.max_results = 10_000
        self.max_connections: int | None = 4
        self.most_at_once = 0
        self.supports_ranges = True
        self.announces_ranges = True
        self.rate: float | None = None
        self.piece = 1 << 16
        self.shuffles = True
        self._open = 0
        self._lock = threading.Lock()
        self._servers = {
            name: _Server(("127.0.0.1", port), self, name)
            for name, port in zip(("catalogue", "download", "identity"), ports, strict=True)
        }

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self._servers[name].server_port}"

    @property
    def endpoints(self) -> dict[str, str]:
        return {name: self.url(name) for name in self._servers}

    @property
    def environment(self) -> dict[str, str]:
        return {f"S2PIPE_{name.upper()}_URL": self.url(name) for name in self._servers}

    def add(self, *products: StoredProduct) -> None:
        self.products.update({product.id: product for product in products})

    def requests(self, part: str = "") -> list[Logged]:
        """Requests whose host and path contain a text."""
        return [entry for entry in list(self.log) if part in entry.place]

    def __enter__(self) -> Service:
        for server in self._servers.values():
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for server in self._servers.values():
            server.shutdown()
            server.server_close()

    def enter(self) -> bool:
        """Count a connection to the download host; false when there are too many."""
        with self._lock:
            self._open += 1
            self.most_at_once = max(self.most_at_once, self._open)
            return self.max_connections is None or self._open <= self.max_connections

    def leave(self) -> None:
        with self._lock:
            self._open -= 1


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], service: Service, name: str) -> None:
        super().__init__(address, _Handler)
        self.service = service
        self.name = name

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # clients are killed on purpose


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server
    # Header and body leave in one segment otherwise held back by Nagle's algorithm.
    disable_nagle_algorithm = True

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    @property
    def service(self) -> Service:
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
            {"catalogue": self._catalogue, "download": self._download, "identity": self._identity}[
                self.server.name
            ]()
        except (BrokenPipeError, ConnectionResetError, TimeoutError):
            self.close_connection = True

    # ---- faults

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
            self._send(fault.status, fault.body, fault.headers)
        elif fault.kind == "body":
            self._send(200, fault.body, fault.headers)
        elif fault.kind == "redirect":
            status = fault.status if 300 <= fault.status < 400 else 301
            self._send(status, b"", {"Location": fault.location})
        elif fault.kind == "endless":
            self._endless(fault, {})
        elif fault.kind == "gzip":
            self._send(200, fault.body, {"Content-Encoding": "gzip", **fault.headers})
        else:
            return False
        return True

    def _endless(self, fault: Fault, headers: dict[str, str]) -> None:
        self.close_connection = True
        self._head(200, {"Connection": "close", **fault.headers, **headers})
        block = fault.body or b"\0" * 65536
        while True:
            self.wfile.write(block)
            self.entry.sent += len(block)

    # ---- answers

    def _head(self, status: int, headers: dict[str, str]) -> None:
        self.entry.status = status
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.end_headers()

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        merged = {"Content-Length": str(len(body)), "Content-Type": "application/json", **(headers or {})}
        self._head(status, merged)
        if self.command != "HEAD":
            self.wfile.write(body)
            self.entry.sent += len(body)

    def _json(self, status: int, document: Any) -> None:
        self._send(status, json.dumps(document).encode())

    def _refuse(self, status: int, code: str, message: str) -> None:
        self._json(status, {"code": code, "message": message})

    # ---- identity

    def _identity(self) -> None:
        base, tokens = self.service.url("identity"), self.service.tokens
        path = urlsplit(self.path).path
        certs, token = f"{REALM}/protocol/openid-connect/certs", f"{REALM}/protocol/openid-connect/token"
        if path == f"{REALM}/.well-known/openid-configuration":
            self._json(
                200,
                {
                    "issuer": base + REALM,
                    "authorization_endpoint": f"{base}{REALM}/protocol/openid-connect/auth",
                    "token_endpoint": base + token,
                    "jwks_uri": base + certs,
                    "grant_types_supported": ["authorization_code", "refresh_token", "password"],
                    "id_token_signing_alg_values_supported": ["RS256"],
                },
            )
        elif path == certs:
            self._json(200, {"keys": [tokens.key.jwk()] if tokens.key else []})
        elif path == token and self.command == "POST":
            self._json(*tokens.grant(self.form, base + REALM))
        else:
            self._json(404, {"error": "RESTEASY003210: Could not find resource for full path"})

    # ---- catalogue

    def _catalogue(self) -> None:
        parts = urlsplit(self.path)
        match = re.fullmatch(r"/odata/v1/Products\(([^)]*)\)(/.*)?", parts.path)
        if parts.path == "/odata/v1/Products":
            self._search(parts.query)
        elif match and match[2] and match[2].endswith("/$value"):
            self._send(301, b"", {"Location": self.service.url("download") + self.path})
        elif match and not match[2]:
            product = self.service.products.get(match[1])
            if product is None:
                self._json(404, {"detail": {"message": "Product not found"}})
            else:
                self._json(200, {"@odata.context": "$metadata#Products/$entity", **product.row})
        else:
            self._json(404, {"detail": "Not Found"})

    def _search(self, query: str) -> None:
        pairs = [(key, unquote_plus(value)) for key, value in _split(query)]
        given = dict(pairs)
        expands = {value for key, value in pairs if key == "$expand"}
        expanded = {part for value in expands for part in value.split(",")}
        top, skip = int(given.get("$top", 20)), int(given.get("$skip", 0))
        if skip > self.service.max_results:
            self._json(422, _unprocessable("$skip", self.service.max_results, str(skip)))
            return
        if top > 1000:
            self._json(422, _unprocessable("$top", 1000, str(top)))
            return
        order, _, direction = given.get("$orderby", "ContentDate/Start asc").partition(" ")
        if order not in _ORDERS:
            self._json(400, {"detail": {"message": f"Invalid field: {order}"}})
            return
        try:
            test = compile_filter(given.get("$filter", "Online eq true or Online eq false"))
            rows = [product.row for product in self.service.products.values() if test(product.row)]
        except (BadFilter, ValueError, KeyError) as error:
            self._json(400, {"detail": {"message": f"Invalid value: {error}", "request_id": "test"}})
            return
        first, _, second = order.partition("/")
        rows.sort(key=lambda row: row["Id"])
        rows.sort(
            key=lambda row: parse_time(row[first][second] if second else row[first]),
            reverse=direction == "desc",
        )
        page = [
            {
                key: value
                for key, value in row.items()
                if key not in ("Attributes", "Assets") or key in expanded
            }
            for row in rows[skip : skip + top]
        ]
        shown = ",".join(f"{name}()" for name in ("Attributes", "Assets") if name in expanded)
        document: dict[str, Any] = {"@odata.context": f"$metadata#Products({shown})"}
        if given.get("$count", "").lower() == "true":
            document["@odata.count"] = len(rows)
        document["value"] = page
        if skip + top < len(rows) and skip + 2 * top <= self.service.max_results:
            following = [(key, value) for key, value in pairs if key != "$skip"] + [
                ("$skip", str(skip + top))
            ]
            link = urlencode(following)
            document["@odata.nextLink"] = f"{self.service.url('catalogue')}/odata/v1/Products?{link}"
        self._json(200, document)

    # ---- download

    def _download(self) -> None:
        try:
            if not self.service.enter():
                self._refuse(429, "DAT-ZIP-100", "Max session number exceeded")
                return
            self._serve_product()
        finally:
            self.service.leave()

    def _serve_product(self) -> None:
        path = urlsplit(self.path).path
        match = re.fullmatch(r"/odata/v1/Products\(([^)]*)\)(.*)", path)
        if match is None:
            self._refuse(400, "DAT-ZIP-104", "Malformed OData request path")
            return
        if not _UUID.fullmatch(match[1]):
            self._refuse(422, "DAT-ZIP-111", "Malformed UUID")
            return
        names = re.fullmatch(r"((?:/Nodes\([^()'\"]+\))*)/(Nodes|\$value)", match[2])
        if names is None:
            self._refuse(400, "DAT-ZIP-104", "Malformed OData request path")
            return
        nodes = [unquote(name) for name in re.findall(r"/Nodes\(([^()]+)\)", names[1])]
        if names[2] == "$value":
            given = dict(parse_qsl(urlsplit(self.path).query)).get("token")  # the form that some clients use
            header = f"Bearer {given}" if given else self.headers.get("Authorization")
            refusal = self.service.tokens.check(header)
            if refusal is not None:
                self._refuse(401, *refusal)
                return
        product = self.service.products.get(match[1])
        if product is None or product.root is None:
            self._refuse(404, "DAT-ZIP-105", "Product not found")
            return
        if not product.row["Online"]:
            self._refuse(404, "DAT-ZIP-105", "Product is not online")
            return
        if names[2] == "Nodes":
            self._list(product, nodes)
        elif not nodes:
            self._send_content(_zipped(product.root))
        else:
            self._value(product, nodes)

    def _list(self, product: StoredProduct, nodes: list[str]) -> None:
        assert product.root is not None
        here = f"{self.service.url('download')}{self.path}"
        if not nodes:
            listed = [_node(product.name, 0, sum(1 for _ in product.root.iterdir()), here)]
        else:
            directory = product.root.joinpath(*[name for name in nodes[1:] if name != "."])
            if nodes[0] != product.name or not directory.is_dir():
                self._refuse(404, "DAT-ZIP-106", "Node not found")
                return
            listed = []
            for child in sorted(directory.iterdir()):
                count = sum(1 for _ in child.iterdir()) if child.is_dir() else 0
                listed.append(_node(child.name, 0 if child.is_dir() else child.stat().st_size, count, here))
        if self.service.shuffles:
            listed.sort(key=lambda node: hash((node["Name"], len(self.service.log))))
        self._json(200, {"result": listed})

    def _value(self, product: StoredProduct, nodes: list[str]) -> None:
        assert product.root is not None
        inner = "/".join(name for name in nodes[1:] if name != ".")
        if inner in product.overrides:
            self._send_content(product.overrides[inner])
            return
        path = product.root / inner
        if nodes[0] != product.name or ".." in nodes or not path.is_file():
            self._refuse(404, "DAT-ZIP-106", "Node not found")
            return
        self._send_content(path)

    def _send_content(self, content: bytes | Path) -> None:
        fault = self.fault
        size = len(content) if isinstance(content, bytes) else content.stat().st_size
        begin, end, status = 0, size, 200
        match = _RANGE.fullmatch(self.headers.get("Range", ""))
        if match and self.service.supports_ranges and not (fault and fault.kind == "no_range"):
            begin, status = int(match[1]), 206
            if begin >= size:
                self._send(416, b"", {"Content-Range": f"bytes */{size}"})
                return
            end = min(size, int(match[2]) + 1) if match[2] else size
            if fault and fault.kind == "wrong_range":
                begin = max(0, begin - 7)
        if fault and fault.kind == "short_length":
            end = begin + (end - begin) // 2
        headers = {"Content-Length": str(end - begin), "Content-Type": "application/octet-stream"}
        if status == 206:
            headers["Content-Range"] = f"bytes {begin}-{end - 1}/{size}"
        elif self.service.announces_ranges:
            headers["Accept-Ranges"] = "bytes"
        self._head(status, headers)
        if self.command == "HEAD":
            return
        with io.BytesIO(content) if isinstance(content, bytes) else open(content, "rb") as source:
            self._stream(source, begin, end, fault)

    def _stream(self, source: Any, begin: int, end: int, fault: Fault | None) -> None:
        stop = end
        if fault and fault.kind in ("truncate", "reset"):
            stop = min(end, begin + fault.at)
        if fault is None and self.service.rate is None and isinstance(source, io.BufferedReader):
            self.wfile.flush()
            while begin < end:
                sent = os.sendfile(
                    self.connection.fileno(), source.fileno(), begin, min(end - begin, 1 << 22)
                )
                if not sent:
                    break
                begin += sent
                self.entry.sent += sent
            return
        source.seek(begin)
        place = begin
        while place < stop:
            block = bytearray(source.read(min(self.service.piece, stop - place)))
            if not block:
                break
            if fault and fault.kind == "corrupt" and place <= fault.at < place + len(block):
                block[fault.at - place] ^= 0xFF
            self.wfile.write(block)
            self.entry.sent += len(block)
            place += len(block)
            if self.service.rate:
                time.sleep(len(block) / self.service.rate)
        if fault and fault.kind == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
            self.close_connection = True
        elif fault and fault.kind == "truncate":
            self.close_connection = True
        elif fault and fault.kind == "longer":
            while True:
                self.wfile.write(b"\0" * 65536)


def _node(name: str, size: int, children: int, here: str) -> dict[str, Any]:
    uri = f"{here}({name})/Nodes"
    return {
        "Id": name,
        "Name": name,
        "ContentLength": size,
        "ChildrenNumber": children,
        "Nodes": {"uri": uri},
    }


def _split(query: str) -> list[tuple[str, str]]:
    pairs = [part.partition("=") for part in query.split("&") if part]
    return [(unquote(key), value) for key, _, value in pairs]


def _unprocessable(name: str, limit: int, value: str) -> dict[str, Any]:
    message = f"Input should be less than or equal to {limit}"
    detail = {
        "type": "less_than_equal",
        "loc": ["query", name],
        "msg": message,
        "input": value,
        "ctx": {"le": limit},
    }
    return {"detail": [detail]}


def _zipped(root: Path) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for path in sorted(path for path in root.rglob("*") if path.is_file()):
            archive.write(path, f"{root.name}/{path.relative_to(root).as_posix()}")
    return buffer.getvalue()
