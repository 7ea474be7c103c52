"""Search: OData queries of the catalogue, every page of them, and never a silently short list."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote, urlencode

from s2pipe.dataset.scene_key import SceneKey
from s2pipe.download.search.coverage import coverage_ratio
from s2pipe.download.service.transport import origin
from s2pipe.errors import PathEscapeError, ServiceError, UntrustedServerError
from s2pipe.runtime.addresses import RemoteAddress
from s2pipe.sentinel2.safe import Level, ProductName

log = logging.getLogger("s2pipe.download")

GetJson = Callable[[str, str], Any]
"""``get_json(url, what)``."""
PRODUCT_TYPES: dict[Level, str] = {"L1C": "S2MSI1C", "L2A": "S2MSI2A"}
MAX_RESULTS = 10_000
"""The catalogue lists no more than this of one query."""
_SHORTEST = timedelta(milliseconds=1)
_MAX_PAGES = MAX_RESULTS + 2
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}", re.ASCII)
_STRIP = re.compile(r"_S(\d{8}T\d{6})_", re.ASCII)


BUCKET = "eodata"
"""Bucket of the service's object storage that holds its products."""


@dataclass(frozen=True)
class Hit:
    """One product that a search found."""

    product_id: str
    """Identifier in the catalogue."""
    name: ProductName
    """Its name."""
    size: int
    """Bytes of the whole product; 0 when unknown."""
    online: bool
    """Whether it can be fetched now."""
    footprint: dict[str, Any] | None
    """GeoJSON geometry; None when the catalogue has none."""
    coverage: float | None
    """Part of the tile that the footprint covers; None without a footprint."""
    cloud_cover: float | None
    """Percent; None when unknown."""
    strip_start: str | None
    """Start of its datastrip, ``20251210T100316``; tells the halves of one acquisition apart."""
    address: RemoteAddress | None = None
    """Where the service's object storage has it; None when the catalogue does not say."""
    half: str | None = None
    """Start of its datastrip where it is not the scene's own product, but one that covers the rest of the tile."""

    @property
    def files_dir(self) -> str:
        """Directory of its files, relative to the dataset's root."""
        return self.key.files_dir(self.name.level, self.half)

    @property
    def key(self) -> SceneKey:
        """Key of the scene that it belongs to."""
        return SceneKey.of_product(self.name)


@dataclass(frozen=True)
class Search:
    """One query of the catalogue."""

    level: Level
    """Processing level."""
    start: datetime
    """First sensing time."""
    end: datetime
    """End of the sensing times, not included."""
    tile_id: str | None = None
    """Tile with its ``T``; None for all."""
    areas: tuple[str, ...] = ()
    """WKT of areas of which products must touch one; none for everywhere."""
    cloud: tuple[float | None, float | None] = (None, None)
    """Least and greatest cloud cover, percent."""

    def filter(self) -> str:
        """Return the OData filter."""
        parts = [
            "Collection/Name eq 'SENTINEL-2'",
            _attribute("String", "productType", "eq", f"'{self.type}'"),
        ]
        if self.tile_id is not None:
            # The catalogue knows tiles without their T, and finds nothing, without an error, with it.
            parts.append(_attribute("String", "tileId", "eq", f"'{self.tile_id[1:]}'"))
        for operator, value in zip(("ge", "le"), self.cloud, strict=True):
            if value is not None:
                parts.append(_attribute("Double", "cloudCover", operator, _decimal(value)))
        parts.append(f"ContentDate/Start ge {_time(self.start)}")
        parts.append(f"ContentDate/Start lt {_time(self.end)}")
        touches = [f"OData.CSC.Intersects(area=geography'SRID=4326;{area}')" for area in self.areas]
        if touches:
            parts.append(touches[0] if len(touches) == 1 else f"({' or '.join(touches)})")
        return " and ".join(parts)

    @property
    def type(self) -> str:
        """Product type of the level."""
        return PRODUCT_TYPES[self.level]

    def __str__(self) -> str:
        where = self.tile_id or "all tiles"
        return f"search for {self.level} of {where}, {_time(self.start)} to {_time(self.end)}"


def _attribute(kind: str, name: str, operator: str, value: str) -> str:
    typed = f"OData.CSC.{kind}Attribute"
    return f"Attributes/{typed}/any(att:att/Name eq '{name}' and att/{typed}/Value {operator} {value})"


def _decimal(value: float) -> str:
    return f"{value:.2f}" if round(value, 2) == value else f"{value:.9f}"


def _time(time: datetime) -> str:
    return f"{time:%Y-%m-%dT%H:%M:%S}.{time.microsecond // 1000:03d}Z"


class Catalogue:
    """The catalogue of the service.

    Parameters
    ----------
    get_json : callable
        Fetches a JSON document.
    host : str
        ``scheme://host[:port]`` of the catalogue.
    page_size : int
        Products a page.
    """

    def __init__(self, get_json: GetJson, host: str, page_size: int) -> None:
        self._get_json = get_json
        self._host = host
        self._page_size = page_size
        self.skipped: list[str] = []
        """Names of products that cannot be used, with the reason."""

    def search(self, search: Search) -> list[Hit]:
        """Return all products that a search finds, in the order of time and name.

        Raises
        ------
        ServiceError
            The catalogue refuses, sends nonsense, or never lists as many products as it counts.
        """
        rows = self._all_rows(search)
        hits = [hit for row in rows.values() if (hit := self._hit(row, search)) is not None]
        log.debug("%s: %d product(s)", search, len(hits))
        return sorted(hits, key=lambda hit: (hit.name.sensing_start_utc, str(hit.name)))

    def _all_rows(self, search: Search) -> dict[str, dict[str, Any]]:
        """Rows by identifier; a list that falls short of its count is asked for again in two halves."""
        count, rows = self._pages(search)
        if len(rows) < MAX_RESULTS if count is None else len(rows) >= count:
            return rows
        length = search.end - search.start
        if length < 2 * _SHORTEST:
            msg = (
                f"{search}: the catalogue counts {count} product(s), but lists {len(rows)}; the list would be "
                "incomplete, so nothing is fetched; try again later, or narrow the query"
            )
            raise ServiceError(msg)
        middle = search.start + length / 2
        middle -= timedelta(microseconds=middle.microsecond % 1000)
        log.debug("%s: %d of %s listed; asking in halves", search, len(rows), count)
        halves = (_between(search, search.start, middle), _between(search, middle, search.end))
        return {key: row for half in halves for key, row in self._all_rows(half).items()}

    def _pages(self, search: Search) -> tuple[int | None, dict[str, dict[str, Any]]]:
        """Read all pages of a query; stop after the first when the count is beyond what can be listed."""
        query = {
            "$filter": search.filter(),
            "$orderby": "ContentDate/Start asc",
            "$top": str(self._page_size),
            "$count": "true",
            "$expand": "Attributes",
        }
        url: str | None = f"{self._host}/odata/v1/Products?{urlencode(query, quote_via=quote)}"
        rows: dict[str, dict[str, Any]] = {}
        count: int | None = None
        for _ in range(_MAX_PAGES):
            if url is None:
                return count, rows
            try:
                document = self._get_json(url, str(search))
            except ServiceError as error:
                if error.status == 422 and rows:  # beyond the deepest $skip
                    return count, rows
                raise
            page, total, url = self._read_page(document, search)
            count = total if count is None else max(count, total or 0)
            is_new = False
            for row in page:
                is_new |= row["Id"] not in rows
                rows[row["Id"]] = row
            if not is_new or (count is not None and count > MAX_RESULTS):
                return count, rows
        msg = f"{search}: the catalogue's pages do not end; try again later"
        raise ServiceError(msg)

    def _read_page(
        self, document: Any, search: Search
    ) -> tuple[list[dict[str, Any]], int | None, str | None]:
        page = document.get("value") if isinstance(document, dict) else None
        if not isinstance(page, list) or not all(_is_row(row) for row in page):
            msg = f"{search}: the catalogue's answer is not a list of products; try again later"
            raise ServiceError(msg)
        count, link = document.get("@odata.count"), document.get("@odata.nextLink")
        if isinstance(count, bool) or not isinstance(count, int | None) or not isinstance(link, str | None):
            msg = f"{search}: the catalogue's answer has no usable count or next page"
            raise ServiceError(msg)
        if link is not None and origin(link) != origin(self._host):
            msg = (
                f"{search}: the next page is on another host, {origin(link) or 'an unusable address'}; that is "
                "not followed; if it is a mirror, configure it in download.endpoints"
            )
            raise UntrustedServerError(msg)
        return page, count, link

    def _hit(self, row: dict[str, Any], search: Search) -> Hit | None:
        shown = "".join(char for char in row["Name"] if char.isprintable())[:120]
        name = ProductName.try_parse(row["Name"])
        if name is None:
            self._skip(f"{shown}: is not a product name that s2pipe knows")
            return None
        if name.level != search.level or (search.tile_id not in (None, name.tile_id)):
            self._skip(f"{shown}: was not asked for ({search})")
            return None
        attributes = _attributes(row.get("Attributes"))
        footprint = row.get("GeoFootprint")
        footprint = footprint if isinstance(footprint, dict) else None
        strip = _STRIP.search(str(attributes.get("datastripId", "")))
        size = row.get("ContentLength")
        return Hit(
            product_id=row["Id"],
            name=name,
            size=size if isinstance(size, int) and not isinstance(size, bool) and 0 <= size < 1 << 50 else 0,
            online=row.get("Online") is not False,
            footprint=footprint,
            coverage=coverage_ratio(footprint, name.tile_id),
            cloud_cover=_number(attributes.get("cloudCover")),
            strip_start=strip[1] if strip else None,
            address=_address(row.get("S3Path"), name),
        )

    def _skip(self, text: str) -> None:
        if text not in self.skipped:
            log.warning("passed over %s", text)
            self.skipped.append(text)


def _between(search: Search, start: datetime, end: datetime) -> Search:
    return Search(search.level, start, end, search.tile_id, search.areas, search.cloud)


def _is_row(row: Any) -> bool:
    if not isinstance(row, dict) or not isinstance(row.get("Name"), str):
        return False
    return isinstance(row.get("Id"), str) and _ID.fullmatch(row["Id"]) is not None


def _attributes(listed: Any) -> dict[str, Any]:
    rows: Iterable[Any] = listed if isinstance(listed, Sequence) and not isinstance(listed, str) else ()
    return {str(row.get("Name")): row.get("Value") for row in rows if isinstance(row, dict)}


def _number(value: Any) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and abs(value) < 1e9 else None


def _address(path: Any, name: ProductName) -> RemoteAddress | None:
    """Read ``/eodata/Sentinel-2/...``; None for anything else, and for the place of another product."""
    if not (isinstance(path, str) and path.startswith(f"/{BUCKET}/")):
        return None
    try:
        address = RemoteAddress.parse(f"s3:/{path}")
    except PathEscapeError:
        return None
    return address if address.name == name.safe_name else None
