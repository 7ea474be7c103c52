"""What a server answers: bodies read bit by bit, never beyond their limit, packed or not; errors in its words."""

from __future__ import annotations

import http.client
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from time import time
from typing import Any

import urllib3

from s2pipe.config.documents import parse_json
from s2pipe.download.service.retry import TryAgain
from s2pipe.errors import ServiceError

NETWORK_ERRORS = (urllib3.exceptions.HTTPError, http.client.HTTPException, OSError)
"""What a connection raises when it breaks; the errors of requests are of OSError."""


@dataclass(frozen=True)
class Body:
    """An answer whose body is read bit by bit."""

    status: int
    """200, or 206 for a part."""
    headers: Mapping[str, str]
    """Headers of the answer."""
    _raw: Any

    def read(self, count: int) -> bytes:
        """Return up to ``count`` bytes of the body as they came, none at its end.

        Raises
        ------
        TryAgain
            The connection broke or went silent.
        """
        try:
            return bytes(self._raw.read(count, decode_content=False))
        except (*NETWORK_ERRORS, ValueError, AttributeError) as error:
            msg = f"the connection broke ({why(error)})"
            raise TryAgain(msg) from None


def read_all(body: Body, limit: int, what: str) -> bytes:
    """Read a whole small body; neither its packed nor its unpacked size may exceed the limit."""
    announced = announced_length(body.headers)
    if announced is not None and announced > limit:
        msg = f"{what}: the answer has {announced} bytes, more than the {limit} it may have"
        raise ServiceError(msg)
    packed = body.headers.get("Content-Encoding", "identity").strip().lower()
    if packed not in ("identity", "", "gzip"):
        msg = f"{what}: the answer is packed as {packed[:40]!r}, which was not asked for"
        raise ServiceError(msg)
    unpack = zlib.decompressobj(wbits=31) if packed == "gzip" else None
    data, size = bytearray(), 0
    while chunk := body.read(1 << 16):
        size += len(chunk)
        try:
            data += chunk if unpack is None else unpack.decompress(chunk, limit + 1 - len(data))
        except zlib.error:
            msg = "the answer is damaged (gzip)"
            raise TryAgain(msg) from None
        if max(len(data), size) > limit:
            msg = f"{what}: the answer is larger than the {limit} bytes it may have"
            raise ServiceError(msg)
    if announced is not None and size < announced:
        msg = f"the answer ended after {size} of {announced} bytes"
        raise TryAgain(msg)
    if unpack is not None and not unpack.eof:
        msg = "the answer ended early (gzip)"
        raise TryAgain(msg)
    return bytes(data)


def announced_length(headers: Mapping[str, str]) -> int | None:
    """Bytes that Content-Length announces; None when it announces none."""
    text = headers.get("Content-Length", "").strip()
    if not (text.isascii() and text.isdecimal()):
        return None
    return int(text[:19])  # beyond that it is absurd in any case


def json_of(data: bytes, what: str) -> Any:
    """Return the JSON document that an answer holds; TryAgain when it holds none."""
    try:
        return parse_json(data)
    except ValueError:
        msg = f"{what}: the answer is not JSON ({_printable(data[:60])})"
        raise TryAgain(msg) from None


def service_message(body: Body) -> tuple[str, str]:
    """Code and message of an error, cut to what fits in a line."""
    try:
        data = read_all(body, 1 << 16, "error")
        document = parse_json(data)
    except (TryAgain, ServiceError, ValueError):
        return "", ""
    if not isinstance(document, dict):
        return "", ""
    message = document.get("message") or document.get("detail") or ""
    return _printable(str(document.get("code", "")))[:40], _printable(str(message))[:200]


def _printable(text: str | bytes) -> str:
    plain = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    return "".join(char if char.isprintable() else " " for char in plain)


def retry_after(value: str | None) -> float | None:
    """Seconds of a Retry-After header, which may be a number or a date."""
    if value is None:
        return None
    text = value.strip()
    if text.isdecimal() and len(text) < 10:
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time())
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def why(error: BaseException) -> str:
    """The kind of a network error, without addresses or headers that its text may hold."""
    inner = error
    while inner.__cause__ is not None or inner.__context__ is not None:
        inner = inner.__cause__ or inner.__context__  # type: ignore[assignment]
    return type(inner).__name__ if inner is error else f"{type(error).__name__}: {type(inner).__name__}"
