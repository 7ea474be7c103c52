"""The download host: listings of nodes, the bytes of files with ranges, and whole products as archives."""

from __future__ import annotations

import io
import os
import re
import socket
import struct
import time
import zipfile
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

if TYPE_CHECKING:
    from pathlib import Path

    from s2pipe.testing.exchange import Exchange
    from s2pipe.testing.faults import Fault
    from s2pipe.testing.products import StoredProduct

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_RANGE = re.compile(r"bytes=(\d+)-(\d*)")


def answer_download(exchange: Exchange) -> None:
    """Answer as the download host: listings of nodes, and the bytes of files."""
    try:
        if not exchange.service.enter():
            exchange.refuse(429, "DAT-ZIP-100", "Max session number exceeded")
            return
        _serve_product(exchange)
    finally:
        exchange.service.leave()


def _serve_product(exchange: Exchange) -> None:
    path = urlsplit(exchange.path).path
    match = re.fullmatch(r"/odata/v1/Products\(([^)]*)\)(.*)", path)
    if match is None:
        exchange.refuse(400, "DAT-ZIP-104", "Malformed OData request path")
        return
    if not _UUID.fullmatch(match[1]):
        exchange.refuse(422, "DAT-ZIP-111", "Malformed UUID")
        return
    names = re.fullmatch(r"((?:/Nodes\([^()'\"]+\))*)/(Nodes|\$value)", match[2])
    if names is None:
        exchange.refuse(400, "DAT-ZIP-104", "Malformed OData request path")
        return
    nodes = [unquote(name) for name in re.findall(r"/Nodes\(([^()]+)\)", names[1])]
    if names[2] == "$value":
        given = dict(parse_qsl(urlsplit(exchange.path).query)).get("token")  # the form that some clients use
        header = f"Bearer {given}" if given else exchange.headers.get("Authorization")
        refusal = exchange.service.tokens.check(header)
        if refusal is not None:
            exchange.refuse(401, *refusal)
            return
    product = exchange.service.products.get(match[1])
    if product is None or product.root is None:
        exchange.refuse(404, "DAT-ZIP-105", "Product not found")
        return
    if not product.row["Online"]:
        exchange.refuse(404, "DAT-ZIP-105", "Product is not online")
        return
    if names[2] == "Nodes":
        _list(exchange, product, nodes)
    elif not nodes:
        _send_content(exchange, _zipped(product.root))
    else:
        _value(exchange, product, nodes)


def _list(exchange: Exchange, product: StoredProduct, nodes: list[str]) -> None:
    assert product.root is not None
    here = f"{exchange.service.url('download')}{exchange.path}"
    if not nodes:
        listed = [_node(product.name, 0, sum(1 for _ in product.root.iterdir()), here)]
    else:
        directory = product.root.joinpath(*[name for name in nodes[1:] if name != "."])
        if nodes[0] != product.name or not directory.is_dir():
            exchange.refuse(404, "DAT-ZIP-106", "Node not found")
            return
        listed = []
        for child in sorted(directory.iterdir()):
            count = sum(1 for _ in child.iterdir()) if child.is_dir() else 0
            listed.append(_node(child.name, 0 if child.is_dir() else child.stat().st_size, count, here))
    if exchange.service.shuffles:
        listed.sort(key=lambda node: hash((node["Name"], len(exchange.service.log))))
    exchange.json(200, {"result": listed})


def _value(exchange: Exchange, product: StoredProduct, nodes: list[str]) -> None:
    assert product.root is not None
    inner = "/".join(name for name in nodes[1:] if name != ".")
    if inner in product.overrides:
        _send_content(exchange, product.overrides[inner])
        return
    path = product.root / inner
    if nodes[0] != product.name or ".." in nodes or not path.is_file():
        exchange.refuse(404, "DAT-ZIP-106", "Node not found")
        return
    _send_content(exchange, path)


def _send_content(exchange: Exchange, content: bytes | Path) -> None:
    fault = exchange.fault
    size = len(content) if isinstance(content, bytes) else content.stat().st_size
    begin, end, status = 0, size, 200
    match = _RANGE.fullmatch(exchange.headers.get("Range", ""))
    if match and exchange.service.supports_ranges and not (fault and fault.kind == "no_range"):
        begin, status = int(match[1]), 206
        if begin >= size:
            exchange.send(416, b"", {"Content-Range": f"bytes */{size}"})
            return
        end = min(size, int(match[2]) + 1) if match[2] else size
        if fault and fault.kind == "wrong_range":
            begin = max(0, begin - 7)
    if fault and fault.kind == "short_length":
        end = begin + (end - begin) // 2
    headers = {"Content-Length": str(end - begin), "Content-Type": "application/octet-stream"}
    if status == 206:
        headers["Content-Range"] = f"bytes {begin}-{end - 1}/{size}"
    elif exchange.service.announces_ranges:
        headers["Accept-Ranges"] = "bytes"
    exchange.head(status, headers)
    if exchange.command == "HEAD":
        return
    with io.BytesIO(content) if isinstance(content, bytes) else content.open("rb") as source:
        _stream(exchange, source, begin, end, fault)


def _stream(exchange: Exchange, source: Any, begin: int, end: int, fault: Fault | None) -> None:
    stop = end
    if fault and fault.kind in ("truncate", "reset"):
        stop = min(end, begin + fault.at)
    if fault is None and exchange.service.rate is None and isinstance(source, io.BufferedReader):
        exchange.wfile.flush()
        while begin < end:
            sent = os.sendfile(
                exchange.connection.fileno(), source.fileno(), begin, min(end - begin, 1 << 22)
            )
            if not sent:
                break
            begin += sent
            exchange.entry.sent += sent
        return
    source.seek(begin)
    place = begin
    while place < stop:
        block = bytearray(source.read(min(exchange.service.piece, stop - place)))
        if not block:
            break
        if fault and fault.kind == "corrupt" and place <= fault.at < place + len(block):
            block[fault.at - place] ^= 0xFF
        exchange.wfile.write(block)
        exchange.entry.sent += len(block)
        place += len(block)
        if exchange.service.rate:
            time.sleep(len(block) / exchange.service.rate)
    if fault and fault.kind == "reset":
        exchange.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        exchange.connection.close()
        exchange.close_connection = True
    elif fault and fault.kind == "truncate":
        exchange.close_connection = True
    elif fault and fault.kind == "longer":
        while True:
            exchange.wfile.write(b"\0" * 65536)


def _node(name: str, size: int, children: int, here: str) -> dict[str, Any]:
    uri = f"{here}({name})/Nodes"
    return {
        "Id": name,
        "Name": name,
        "ContentLength": size,
        "ChildrenNumber": children,
        "Nodes": {"uri": uri},
    }


def _zipped(root: Path) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for path in sorted(path for path in root.rglob("*") if path.is_file()):
            archive.write(path, f"{root.name}/{path.relative_to(root).as_posix()}")
    return buffer.getvalue()
