"""Addresses of files in object storage and on web servers, and which of them may be opened.

An address from a document is trusted as little as a path: it names a file of one of the places that the configuration
allows, or is refused before anything is sent anywhere.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from s2pipe.errors import OutputError, PathEscapeError
from s2pipe.runtime.paths import path_fault

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/")
"""How what is no path begins; one letter before the colon is a drive on Windows, and ``Path`` drops a slash."""
_GDAL_PLACE = re.compile(r"/vsi[a-z0-9_]+/")
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}")
_HOST = re.compile(r"([A-Za-z0-9](?:[A-Za-z0-9.-]{0,252}[A-Za-z0-9])?)(?::([0-9]{1,5}))?")
_NUMBER = re.compile(r"(?:0[xX][0-9A-Fa-f]*|[0-9]+)(?:\.(?:0[xX][0-9A-Fa-f]*|[0-9]+)){0,3}\.?")
"""What resolvers take for an IPv4 address, in any of its spellings."""
_LOOPBACK = ("localhost", "127.0.0.1")
_DEFAULT_PORTS = {"https": "443", "http": "80"}
_SCHEMES = ("s3", "https", "http")


def scheme_of(text: str) -> str | None:
    """Scheme of an address (``s3``), ``vsi`` for a path of GDAL's file systems; None for a path on this machine."""
    if _GDAL_PLACE.match(text):
        return "vsi"
    found = _SCHEME.match(text)
    return None if found is None else found[1].lower()


def output_fault(text: str) -> str | None:
    """Say that an output is an address off this machine, and what to do; None for a path."""
    scheme = scheme_of(text)
    if scheme is None:
        return None
    return (
        f"expected a path on this machine, got an address ({scheme}:), and outputs are written locally: give a "
        "directory, and copy it when the run has ended (aws s3 sync, rclone copy)"
    )


def refuse_remote_output(path: Path | str) -> None:
    """Refuse to write to an address, which would become a directory of that name.

    Raises
    ------
    OutputError
        It is none on this machine.
    """
    fault = output_fault(str(path))
    if fault is not None:
        msg = f"output {_without_secrets(str(path))!r}: {fault}"
        raise OutputError(msg)


def is_link_local(host: str) -> bool:
    """Tell whether a host is an address in digits where clouds serve credentials to their machines, or none at all."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return (
            _NUMBER.fullmatch(host) is not None
        )  # 2852039166, 0xa9fea9fe: nobody spells an honest address so
    mapped = getattr(address, "ipv4_mapped", None)
    address = mapped or address
    special = address.is_link_local or address.is_multicast or address.is_unspecified
    return special or address == ipaddress.ip_address("fd00:ec2::254")


@dataclass(frozen=True)
class RemoteAddress:
    """The address of a file, or of a directory, outside this machine."""

    scheme: str
    """``s3``, ``https``; ``http`` for this machine alone."""
    place: str
    """Bucket, or host with its port where that is not the usual one."""
    path: str
    """Path there, without a slash at its beginning and at its end; empty for the whole place."""

    @classmethod
    def parse(cls, text: str) -> RemoteAddress:
        """Read ``s3://bucket/key`` or ``https://host/path``.

        Raises
        ------
        PathEscapeError
            It is no such address, carries a login or a query, has a path that leaves its place, or a host that no data
            is served from.
        """
        scheme, separator, rest = text.partition("://")
        scheme = scheme.lower()
        place, _, path = rest.partition("/")
        path = path.rstrip("/")
        fault = _place_fault(scheme, place) if separator else "is no address"
        fault = fault or _remote_path_fault(path)
        if fault is None and scheme != "s3" and not (path.isascii() and " " not in path):
            fault = "holds characters that web addresses escape"
        if fault is not None:
            shown = _without_secrets(text)
            msg = (
                f"{shown!r} {fault}: expected s3://bucket/key or https://host/path, without login, query, escapes "
                "(%) or '..'; correct the document that names it"
            )
            raise PathEscapeError(msg)
        return cls(scheme, place if scheme == "s3" else _usual_host(scheme, place), path)

    def __str__(self) -> str:
        return f"{self.scheme}://{self.place}/{self.path}"

    def __truediv__(self, inside: str) -> RemoteAddress:
        return RemoteAddress.parse(f"{self}/{inside}" if self.path else f"{self}{inside}")

    @property
    def name(self) -> str:
        """Last part of the path."""
        return self.path.rpartition("/")[2]

    @property
    def gdal_path(self) -> str:
        """Name under which GDAL opens it."""
        if self.scheme == "s3":
            return f"/vsis3/{self.place}/{self.path}".rstrip("/")
        return f"/vsicurl/{self}"

    def is_below(self, prefixes: Iterable[RemoteAddress]) -> bool:
        """Tell whether it is one of some places, or lies in one."""
        return any(
            (self.scheme, self.place) == (prefix.scheme, prefix.place)
            and (not prefix.path or self.path == prefix.path or self.path.startswith(f"{prefix.path}/"))
            for prefix in prefixes
        )


def _place_fault(scheme: str, place: str) -> str | None:
    if scheme not in _SCHEMES:
        return f"has the scheme {scheme[:20]!r}, which is not read"
    if "@" in place:
        return "carries a login, which belongs into the environment"
    if scheme == "s3":
        return None if _BUCKET.fullmatch(place) and ".." not in place else "names no bucket"
    found = _HOST.fullmatch(place)
    if found is None or ".." in place:
        return "names no host"
    if is_link_local(found[1]):
        return "names a host in digits that serves no data"
    if scheme == "http" and found[1].lower() not in _LOOPBACK:
        return "is not encrypted, which is for this machine alone (http://127.0.0.1)"
    return None


def _remote_path_fault(path: str) -> str | None:
    if not path:
        return None
    if any(char in path for char in "?#%\\<>\"'"):
        return "holds a query, an escape or a quote"
    if "//" in path or any(part in (".", "..") for part in path.split("/")):
        return "has a path that leads elsewhere"
    fault = path_fault(path)
    return None if fault is None else f"has a path that {fault}"


def _usual_host(scheme: str, place: str) -> str:
    host, _, port = place.lower().partition(":")
    return host if not port or port == _DEFAULT_PORTS[scheme] else f"{host}:{int(port)}"


def _without_secrets(text: str) -> str:
    """An address as messages may show it: what stands before an @ and behind a ? may be a secret."""
    scheme, separator, rest = text.partition("://")
    place, slash, path = rest.partition("/")
    shown = f"{scheme}{separator}{place.rpartition('@')[2]}{slash}{path.partition('?')[0]}"
    return shown if len(shown) <= 200 else shown[:197] + "..."


def parse_prefixes(texts: Iterable[str]) -> tuple[RemoteAddress, ...]:
    """Read the places that may be opened.

    Raises
    ------
    PathEscapeError
        One of them is no address.
    """
    return tuple(map(RemoteAddress.parse, texts))
