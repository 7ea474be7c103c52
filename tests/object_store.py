"""A small S3 server and web server on this machine, with the faults that servers have."""

from __future__ import annotations

import hashlib
import http.server
import random
import socket
import struct
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

from s2pipe.raster import network, remote, s3_listing

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import pytest

KEY_ID = "AKIDTEST"
SECRET = "sEcReTkEyThAtNoLoGsHoUlDsHoW"


@dataclass
class ObjectStore:
    """Directories served as buckets under /, files with ranges of bytes, entity tags and listings in pages."""

    root: Path
    """Its directories are the buckets."""
    page: int = 40
    """Keys of a page of a listing."""
    fault_share: float = 0.0
    """Share of the requests that end in a fault."""
    faults: tuple[str, ...] = ("503", "reset", "close", "half", "halfreset")
    """What they end in."""
    redirect_to: str = ""
    """Where requests are sent on to; empty for nowhere."""
    redirect_agent: str = ""
    """Beginning of the user agent whose requests are; empty for all."""
    redirect_body: str = ""
    """What such answers say beside that."""
    pause_s: float = 0.0
    """Pause in the middle of every answer with content."""
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    """Method, path and headers of each request."""
    sent: dict[str, int] = field(default_factory=dict)
    """Bytes of content that left, by path."""
    port: int = 0
    """Where it listens."""
    random: random.Random = field(default_factory=lambda: random.Random(1))

    @property
    def url(self) -> str:
        """Its address for https-like reading."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """What lets GDAL read it as object storage."""
        return {
            "AWS_S3_ENDPOINT": f"127.0.0.1:{self.port}",
            "AWS_HTTPS": "NO",
            "AWS_VIRTUAL_HOSTING": "FALSE",
            "AWS_ACCESS_KEY_ID": KEY_ID,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "GDAL_HTTP_RETRY_DELAY": "0.01",
            "GDAL_HTTP_MAX_RETRY": "1",
        }

    def listing(self, bucket: str, query: Mapping[str, list[str]]) -> str:
        """ListObjectsV2, a page of it."""
        prefix, delimiter = query.get("prefix", [""])[0], query.get("delimiter", [""])[0]
        after = query.get("continuation-token", [""])[0]
        base = self.root / bucket
        keys = sorted(p.relative_to(base).as_posix() for p in base.rglob("*") if p.is_file())
        found: dict[str, str] = {}
        for key in keys:
            if not key.startswith(prefix):
                continue
            rest = key[len(prefix) :]
            if delimiter and delimiter in rest:
                name = prefix + rest.split(delimiter)[0] + delimiter
                found[name] = f"<CommonPrefixes><Prefix>{escape(name)}</Prefix></CommonPrefixes>"
            else:
                found[key] = (
                    f"<Contents><Key>{escape(key)}</Key><LastModified>2025-12-12T00:00:00.000Z</LastModified>"
                    f"<ETag>&quot;{etag_of(base / key)}&quot;</ETag><Size>{(base / key).stat().st_size}</Size>"
                    "<StorageClass>STANDARD</StorageClass></Contents>"
                )
        names = [name for name in sorted(found) if name > after]
        page = names[: min(self.page, int(query.get("max-keys", ["1000"])[0]))]
        more = len(page) < len(names)
        token = f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>" if more else ""
        return (
            '<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<Name>{bucket}</Name><Prefix>{escape(prefix)}</Prefix><IsTruncated>{str(more).lower()}</IsTruncated>{token}"
            f"{''.join(found[name] for name in page)}</ListBucketResult>"
        )


def etag_of(path: Path) -> str:
    """MD5 of the content, as S3 has it for objects that were put in one part."""
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else each answer waits 40 ms for the acknowledgement of its headers
    server: _Server

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def _answer(self, *, with_body: bool) -> None:
        store = self.server.store
        parts = urlsplit(self.path)
        path = unquote(parts.path)
        with self.server.lock:
            store.requests.append((self.command, self.path, dict(self.headers)))
            fault = store.random.choice(store.faults) if store.random.random() < store.fault_share else ""
            cut = store.random.random()
        if fault in ("reset", "close"):
            self._hang_up(hard=fault == "reset")
        elif fault.isdigit():
            self._send(int(fault), b"")
        elif store.redirect_to and self.headers.get("User-Agent", "").startswith(store.redirect_agent):
            self._send(302, store.redirect_body.encode(), {"Location": store.redirect_to + path})
        elif "list-type" in (query := parse_qs(parts.query)):
            self._send(200, store.listing(path.strip("/"), query).encode())
        else:
            self._file(store, path, fault, cut, with_body=with_body)

    def _file(self, store: ObjectStore, path: str, fault: str, cut: float, *, with_body: bool) -> None:
        file = store.root / path.lstrip("/")
        if not file.is_file():
            self._send(404, b"")
            return
        data, status = file.read_bytes(), 200
        headers = {"ETag": f'"{etag_of(file)}"', "Accept-Ranges": "bytes"}
        asked = self.headers.get("Range")
        if asked:
            first, _, last = asked.removeprefix("bytes=").partition("-")
            start, end = int(first), min(int(last or len(data)), len(data) - 1)
            if start >= len(data):
                self._send(416, b"")
                return
            headers["Content-Range"] = f"bytes {start}-{end}/{len(data)}"
            data, status = data[start : end + 1], 206
        keep = int(cut * len(data)) if fault and with_body else len(data)
        with self.server.lock:
            store.sent[path] = store.sent.get(path, 0) + keep * with_body
        self._send(status, data, headers, keep=keep if with_body else 0)
        if fault and with_body:
            self._hang_up(hard=fault == "halfreset")

    def _send(
        self, status: int, data: bytes, headers: Mapping[str, str] = {}, *, keep: int | None = None
    ) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            data = data[: len(data) if keep is None else keep]
            if pause := self.server.store.pause_s:
                self.wfile.write(data[: len(data) // 2])
                time.sleep(pause)
                data = data[len(data) // 2 :]
            self.wfile.write(data)
        self.wfile.flush()

    def _hang_up(self, *, hard: bool) -> None:
        if hard:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
        else:
            self.connection.shutdown(socket.SHUT_RDWR)
        self.close_connection = True


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, store: ObjectStore) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.store = store
        self.lock = threading.Lock()

    def handle_error(self, *_: Any) -> None:
        """Clients that went away are no news."""


@contextmanager
def serving(root: Path) -> Iterator[ObjectStore]:
    """Serve the directories of a root until the block ends."""
    store = ObjectStore(root)
    server = _Server(store)
    store.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield store
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def hurry(monkeypatch: pytest.MonkeyPatch, tries: int = 9) -> None:
    """Let no test wait between tries, of which there are some more."""
    for module in (network, remote, s3_listing):
        monkeypatch.setattr(module, "PAUSES_S", (0.0,) * (tries - 1))
