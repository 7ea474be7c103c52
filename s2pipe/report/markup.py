"""HTML in which every text is escaped: names in a dataset may have been chosen to attack whoever looks at them.

:class:`Html` is the only text that is taken as it is, and :func:`el` the only place that makes it from parts.
"""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_VOID = frozenset({"br", "col", "hr", "img", "input", "meta"})
_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufffe\uffff]"
)
_SURROGATE = re.compile("[\ud800-\udfff]")


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


def clean(text: object) -> str:
    """Return text without what no page can show: control characters, marks that reverse it, halves of characters."""
    return _SURROGATE.sub("\ufffd", _UNPRINTABLE.sub("\ufffd", str(text)))


def escaped(value: object) -> str:
    """Return a value as HTML; what is HTML already stays."""
    return value if isinstance(value, Html) else html.escape(clean(value))


def el(name: str, *children: object, **attributes: object) -> Html:
    """Make an element.

    Parameters
    ----------
    name : str
        Name of the element.
    children : object
        Its content: HTML, or values that are escaped; None is left out.
    attributes : object
        By name, in which ``_`` stands for ``-`` and one at the end is dropped (``class_``); True stands for the name
        alone, None and False leave it out.
    """
    parts = [f"<{name}"]
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        shown = key.rstrip("_").replace("_", "-")
        parts.append(f" {shown}" if value is True else f' {shown}="{html.escape(clean(value))}"')
    if name in _VOID:
        return Html("".join([*parts, ">"]))
    inner = "".join(escaped(child) for child in children if child is not None)
    return Html("".join([*parts, ">", inner, f"</{name}>"]))


def joined(parts: Iterable[object]) -> Html:
    """Put parts behind each other, each escaped unless it is HTML; None is left out."""
    return Html("".join(escaped(part) for part in parts if part is not None))
