"""The catalogue's ``$filter`` grammar: parsed, and turned into a test of one row."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

Row = dict[str, Any]
Test = Callable[[Row], bool]
_OPS = {
    "eq": operator.eq,
    "ne": operator.ne,
    "lt": operator.lt,
    "le": operator.le,
    "gt": operator.gt,
    "ge": operator.ge,
}
_TOKEN = re.compile(
    r"\s*(?:(?P<geo>geography'[^']*')|(?P<text>'(?:[^']|'')*')"
    r"|(?P<time>\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d\d:\d\d))|(?P<day>\d{4}-\d\d-\d\d)"
    r"|(?P<number>-?\d+(?:\.\d+)?)|(?P<name>[@A-Za-z_][\w./]*)|(?P<mark>[(),:=]))"
)


class FilterError(Exception):
    """The filter does not follow the grammar (answer 400)."""


def parse_time(text: str) -> datetime:
    """Read a time as the service writes it; one without a zone is UTC."""
    time = datetime.fromisoformat(text)
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def compile_filter(text: str) -> Test:
    """Return the test that a filter makes of a row."""
    return _Parser(text).parse()


class _Parser:
    def __init__(self, text: str) -> None:
        self.tokens: list[tuple[str, str]] = []
        place = 0
        text = text.rstrip()
        while place < len(text):
            match = _TOKEN.match(text, place)
            if match is None:
                msg = f"unexpected {text[place : place + 20]!r}"
                raise FilterError(msg)
            self.tokens.append((match.lastgroup or "", match[match.lastgroup or 0]))
            place = match.end()
        self.place = 0

    def parse(self) -> Test:
        test = self.any_of()
        if self.place != len(self.tokens):
            msg = f"unexpected {self.tokens[self.place][1]!r}"
            raise FilterError(msg)
        return test

    def peek(self) -> str:
        return self.tokens[self.place][1] if self.place < len(self.tokens) else ""

    def next(self, *wanted: str) -> str:
        if self.place >= len(self.tokens):
            msg = "the filter ends early"
            raise FilterError(msg)
        value = self.tokens[self.place][1]
        if wanted and value not in wanted:
            msg = f"expected {' or '.join(wanted)}, got {value!r}"
            raise FilterError(msg)
        self.place += 1
        return value

    def any_of(self) -> Test:
        tests = [self.all_of()]
        while self.peek().lower() == "or":
            self.next()
            tests.append(self.all_of())
        return tests[0] if len(tests) == 1 else lambda row: any(test(row) for test in tests)

    def all_of(self) -> Test:
        tests = [self.one()]
        while self.peek().lower() == "and":
            self.next()
            tests.append(self.one())
        return tests[0] if len(tests) == 1 else lambda row: all(test(row) for test in tests)

    def one(self) -> Test:
        word = self.peek()
        if word == "not":
            self.next()
            test = self.one()
            return lambda row: not test(row)
        if word == "(":
            self.next()
            test = self.any_of()
            self.next(")")
            return test
        if word in ("contains", "startswith", "endswith"):
            return self.text_function(self.next())
        if word == "OData.CSC.Intersects":
            return self.intersects()
        if word.startswith("Attributes/") and word.endswith("/any"):
            return self.attribute(self.next())
        return self.comparison()

    def text_function(self, name: str) -> Test:
        self.next("(")
        path = self.next()
        self.next(",")
        kind, value = self.tokens[self.place]
        if kind != "text" or path != "Name":
            msg = f"{name} takes Name and a text"
            raise FilterError(msg)
        self.next()
        self.next(")")
        wanted = value[1:-1]
        return {
            "contains": lambda row: wanted in row["Name"],
            "startswith": lambda row: row["Name"].startswith(wanted),
            "endswith": lambda row: row["Name"].endswith(wanted),
        }[name]

    def intersects(self) -> Test:
        for wanted in ("OData.CSC.Intersects", "(", "area", "="):
            self.next(wanted)
        kind, text = self.tokens[self.place]
        if kind != "geo":
            msg = "area is not a geography"
            raise FilterError(msg)
        self.next()
        self.next(")")
        match = re.fullmatch(r"geography'SRID=4326;\s*((?:POLYGON|POINT)\b.*)'", text)
        if match is None:
            msg = "expected SRID=4326;POLYGON or POINT"
            raise FilterError(msg)
        import shapely
        from shapely.geometry import shape

        try:
            area = shapely.from_wkt(match[1])
        except shapely.errors.ShapelyError as error:
            raise FilterError(str(error)) from None

        def test(row: Row) -> bool:
            footprint = row.get("GeoFootprint")
            return footprint is not None and bool(shapely.intersects(area, shape(footprint)))

        return test

    def attribute(self, path: str) -> Test:
        kind = path.split("/")[1]
        self.next("(")
        variable = self.next()
        self.next(":")
        self.next(f"{variable}/Name")
        self.next("eq")
        name = self.next()[1:-1]
        self.next("and")
        value_path = self.next()
        if not re.fullmatch(rf"{re.escape(variable)}/OData\.CSC\.\w+Attribute/Value", value_path):
            msg = f"unexpected {value_path!r}"
            raise FilterError(msg)
        compare = self.operator()
        wanted = self.literal()
        self.next(")")  # a second comparison inside one any() is refused, as by the real service

        def test(row: Row) -> bool:
            for attribute in row["Attributes"]:
                if attribute["Name"] == name and attribute["@odata.type"] == f"#{kind}":
                    value = attribute["Value"]
                    value = parse_time(value) if isinstance(wanted, datetime) else value
                    if isinstance(value, str) != isinstance(wanted, str):
                        return False
                    return bool(compare(value, wanted))
            return False

        return test

    def operator(self) -> Callable[[Any, Any], bool]:
        word = self.next()
        if word not in _OPS:
            msg = f"{word!r} is not a comparison"
            raise FilterError(msg)
        return _OPS[word]

    def literal(self) -> Any:
        kind, value = self.tokens[self.place] if self.place < len(self.tokens) else ("", "")
        self.place += 1
        if kind == "text":
            return value[1:-1].replace("''", "'")
        if kind == "number":
            return float(value)
        if kind in ("time", "day"):
            return parse_time(value)
        if value in ("true", "false"):
            return value == "true"
        msg = f"{value!r} is not a value"
        raise FilterError(msg)

    def comparison(self) -> Test:
        path = self.next()
        compare, wanted = self.operator(), self.literal()
        if path == "Collection/Name":
            return lambda _row: bool(compare("SENTINEL-2", wanted))
        first, _, second = path.partition("/")
        if first not in ("ContentDate", "PublicationDate", "ModificationDate", "Online", "Name", "Id"):
            msg = f"unknown property {path!r}"
            raise FilterError(msg)

        def test(row: Row) -> bool:
            value = row[first][second] if second else row[first]
            return bool(compare(parse_time(value) if isinstance(wanted, datetime) else value, wanted))

        return test
