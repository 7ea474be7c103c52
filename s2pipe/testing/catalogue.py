"""The catalogue host: OData searches with paging, and single products."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, unquote_plus, urlencode, urlsplit

from s2pipe.testing.odata import FilterError, compile_filter, parse_time

if TYPE_CHECKING:
    from s2pipe.testing.exchange import Exchange

_ORDERS = ("ContentDate/Start", "ContentDate/End", "PublicationDate", "ModificationDate")


def answer_catalogue(exchange: Exchange) -> None:
    """Answer as the catalogue: searches, and single products."""
    parts = urlsplit(exchange.path)
    match = re.fullmatch(r"/odata/v1/Products\(([^)]*)\)(/.*)?", parts.path)
    if parts.path == "/odata/v1/Products":
        _search(exchange, parts.query)
    elif match and match[2] and match[2].endswith("/$value"):
        exchange.send(301, b"", {"Location": exchange.service.url("download") + exchange.path})
    elif match and not match[2]:
        product = exchange.service.products.get(match[1])
        if product is None:
            exchange.json(404, {"detail": {"message": "Product not found"}})
        else:
            exchange.json(200, {"@odata.context": "$metadata#Products/$entity", **product.row})
    else:
        exchange.json(404, {"detail": "Not Found"})


def _search(exchange: Exchange, query: str) -> None:
    pairs = [(key, unquote_plus(value)) for key, value in _split(query)]
    given = dict(pairs)
    expands = {value for key, value in pairs if key == "$expand"}
    expanded = {part for value in expands for part in value.split(",")}
    top, skip = int(given.get("$top", 20)), int(given.get("$skip", 0))
    if skip > exchange.service.max_results:
        exchange.json(422, _unprocessable("$skip", exchange.service.max_results, str(skip)))
        return
    if top > 1000:
        exchange.json(422, _unprocessable("$top", 1000, str(top)))
        return
    order, _, direction = given.get("$orderby", "ContentDate/Start asc").partition(" ")
    if order not in _ORDERS:
        exchange.json(400, {"detail": {"message": f"Invalid field: {order}"}})
        return
    try:
        test = compile_filter(given.get("$filter", "Online eq true or Online eq false"))
        rows = [product.row for product in exchange.service.products.values() if test(product.row)]
    except (FilterError, ValueError, KeyError) as error:
        exchange.json(400, {"detail": {"message": f"Invalid value: {error}", "request_id": "test"}})
        return
    first, _, second = order.partition("/")
    rows.sort(key=lambda row: row["Id"])
    rows.sort(
        key=lambda row: parse_time(row[first][second] if second else row[first]),
        reverse=direction == "desc",
    )
    page = [
        {key: value for key, value in row.items() if key not in ("Attributes", "Assets") or key in expanded}
        for row in rows[skip : skip + top]
    ]
    shown = ",".join(f"{name}()" for name in ("Attributes", "Assets") if name in expanded)
    document: dict[str, Any] = {"@odata.context": f"$metadata#Products({shown})"}
    if given.get("$count", "").lower() == "true":
        document["@odata.count"] = len(rows)
    document["value"] = page
    if skip + top < len(rows) and skip + 2 * top <= exchange.service.max_results:
        following = [(key, value) for key, value in pairs if key != "$skip"] + [("$skip", str(skip + top))]
        link = urlencode(following)
        document["@odata.nextLink"] = f"{exchange.service.url('catalogue')}/odata/v1/Products?{link}"
    exchange.json(200, document)


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
