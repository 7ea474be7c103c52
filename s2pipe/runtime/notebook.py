"""Results as tables in notebooks."""

from __future__ import annotations

import dataclasses
import html
import re
from collections.abc import Iterable, Mapping, Sequence, Set
from itertools import islice
from typing import Any

_MOST_LISTED = 20
_MOST_CHARACTERS = 300
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


class InNotebooks:
    """Shows a dataclass as a table where notebooks ask for HTML."""

    def _repr_html_(self) -> str:
        rows = "".join(
            f'<tr><th style="text-align:left">{_escaped(name)}</th><td style="text-align:left">{_cell(value)}</td></tr>'
            for name, value in self._shown().items()
        )
        return f"<table><caption>{_escaped(type(self).__name__)}</caption><tbody>{rows}</tbody></table>"

    def _shown(self) -> Mapping[str, Any]:
        """Return what is shown: the summary where there is one, else the fields."""
        summary = getattr(self, "summary", None)
        if callable(summary):
            found: Mapping[str, Any] = summary()
            return found
        assert dataclasses.is_dataclass(self)
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self) if field.repr}


def _escaped(value: object) -> str:
    text = _UNPRINTABLE.sub("\ufffd", str(value))
    return html.escape(text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]}…")


def _cell(value: object) -> str:
    """One line for a value; what there is much of is folded up."""
    if isinstance(value, Mapping):
        return _folded(len(value), (f"{_escaped(name)}: {_escaped(part)}" for name, part in value.items()))
    if isinstance(value, Sequence | Set) and not isinstance(value, str | bytes):
        return _folded(len(value), map(_escaped, value))
    return "" if value is None else _escaped(value)


def _folded(count: int, parts: Iterable[str]) -> str:
    if not count:
        return "0"
    listed = [*islice(parts, _MOST_LISTED), *(["…"] if count > _MOST_LISTED else [])]
    items = "".join(f"<li>{part}</li>" for part in listed)
    return f"<details><summary>{count}</summary><ul>{items}</ul></details>"
