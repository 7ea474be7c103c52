"""What object storage holds, page by page.

GDAL lists it too, but takes a page that failed or was cut short for the end of the list, and files would be missing.
"""

from __future__ import annotations

import http.client
import time
import urllib.error
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote_plus

from s2pipe.errors import MetadataError, ServiceError
from s2pipe.raster.access import PAUSES_S, check_access
from s2pipe.raster.remote import TryAgainError, is_passing, opened, plain_etag, refused
from s2pipe.raster.s3_request import request_of
from s2pipe.runtime.limits import MAX_XML_BYTES
from s2pipe.sentinel2.safe.xml import Xml

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from s2pipe.runtime.addresses import RemoteAddress

MAX_ENTRIES = 100_000
"""Entries of a directory that are listed; a day of Sentinel-2 has about 15,000 products."""


@dataclass(frozen=True)
class RemoteEntry:
    """One entry of a directory."""

    path: str
    """Path relative to the directory that was listed."""
    is_directory: bool
    """Whether it is a directory itself."""
    size: int
    """Bytes; 0 for a directory."""
    etag: str | None
    """Entity tag of a file, where the listing states it."""


def list_directory(
    address: RemoteAddress, *, whole: bool = False, limit: int = MAX_ENTRIES
) -> list[RemoteEntry]:
    """List a directory in object storage, sorted by path.

    Parameters
    ----------
    address : RemoteAddress
        The directory.
    whole : bool
        List the files of all directories below it too, and no directory.
    limit : int
        Most entries that are taken.

    Raises
    ------
    ServiceError
        It cannot be listed, or has more entries.
    AuthError, UntrustedServerError
        The server may not be asked.
    """
    check_access(address)
    entries: list[RemoteEntry] = []
    for entry in _entries(address, whole=whole):
        entries.append(entry)
        if len(entries) > limit:
            msg = f"{address}: has more than {limit} entries; name directories below it"
            raise ServiceError(msg)
    return sorted(entries, key=lambda entry: entry.path)


def _entries(address: RemoteAddress, *, whole: bool) -> Iterator[RemoteEntry]:
    prefix = f"{address.path}/" if address.path else ""
    query = {"list-type": "2", "prefix": prefix, "encoding-type": "url"}
    if not whole:
        query["delimiter"] = "/"
    while True:
        page = _page(address, query)
        for item in page.root.iterfind("{*}Contents"):
            path = _decoded(item.findtext("{*}Key"))
            if path.startswith(prefix) and not path.endswith("/"):
                size = page.to_integer(item.findtext("{*}Size"), "Contents/Size")
                yield RemoteEntry(path[len(prefix) :], False, size, plain_etag(item.findtext("{*}ETag")))
        for item in page.root.iterfind("{*}CommonPrefixes/{*}Prefix"):
            path = _decoded(item.text).rstrip("/")
            if path.startswith(prefix):
                yield RemoteEntry(path[len(prefix) :], True, 0, None)
        token = page.root.findtext("{*}NextContinuationToken")
        if (page.root.findtext("{*}IsTruncated") or "").lower() != "true":
            return
        if not token or token == query.get("continuation-token"):
            msg = f"{address}: the server says that the listing goes on, but not where; it cannot be listed"
            raise ServiceError(msg)
        query["continuation-token"] = token


def _decoded(text: str | None) -> str:
    return unquote_plus(text or "")


def _page(address: RemoteAddress, query: Mapping[str, str]) -> Xml:
    for pause in (*PAUSES_S, None):
        try:
            return Xml.read(_fetched(address, query), f"{address}: listing")
        except (TryAgainError, MetadataError) as error:
            if pause is None:
                msg = f"{address}: cannot be listed ({error}); look at the network, or run again later"
                raise ServiceError(msg) from error
            time.sleep(pause)
    raise AssertionError


def _fetched(address: RemoteAddress, query: Mapping[str, str]) -> bytes:
    request = request_of(address.place, query=query)
    try:
        with opened(request) as answer:
            data: bytes = answer.read(MAX_XML_BYTES + 1)
    except urllib.error.HTTPError as error:
        if is_passing(error.code):
            message = f"HTTP {error.code}"
            raise TryAgainError(message) from error
        if error.code == 404:
            msg = f"{address}: the server has no such bucket (HTTP 404); check the address"
            raise ServiceError(msg, 404) from error
        raise refused(address, error.code) from error
    except (OSError, http.client.HTTPException) as error:
        raise TryAgainError(str(error)) from error
    return data
