"""Tables that can be sorted, links to files, and numbers as people read them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

from s2pipe.report.markup import Html, el, joined
from s2pipe.runtime.progress import size_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path


class Cell(NamedTuple):
    """A cell that is sorted by another value than it shows."""

    shown: object
    """What it shows."""
    value: float | str
    """What it is sorted by."""


def table(caption: str, columns: Sequence[str], rows: Iterable[Sequence[object]], name: str = "") -> Html:
    """Make a table.

    Parameters
    ----------
    caption : str
        What it shows; screen readers announce it.
    columns : sequence of str
        Headings. One that begins with ``#`` is of numbers, and of an empty one nothing can be sorted.
    rows : iterable of sequences
        Cells: values, HTML, or :class:`Cell`; the first one of a row is its heading.
    name : str
        Name by which a filter finds it.
    """
    numeric = [column.startswith("#") for column in columns]
    heads = [
        el(
            "th",
            column.lstrip("#"),
            scope="col",
            data_sort="number" if is_number else "text" if column else None,
        )
        for column, is_number in zip(columns, numeric, strict=True)
    ]
    body = [
        el("tr", *(_cell(cell, place == 0, numeric[place]) for place, cell in enumerate(row))) for row in rows
    ]
    whole = el(
        "table",
        el("caption", caption),
        el("thead", el("tr", *heads)),
        el("tbody", *body),
        data_name=name or None,
    )
    return el("div", whole, class_="scroll", tabindex=0, role="region", aria_label=caption)


def _cell(cell: object, is_heading: bool, is_number: bool) -> Html:
    shown, value = cell if isinstance(cell, Cell) else (cell, None)
    if value is None and isinstance(shown, float):
        shown, value = f"{shown:.4g}", shown
    class_ = "number" if is_number else None
    if is_heading:
        return el("th", shown, scope="row", data_value=value, class_=class_)
    return el("td", shown, data_value=value, class_=class_)


def percent(share: float | None) -> Cell:
    """A share as a percentage; sorted last where it is unknown."""
    return Cell("", -1.0) if share is None else Cell(f"{100 * share:.1f} %", round(share, 6))


def nbytes(size: int) -> Cell:
    """A size in bytes as people read it."""
    return Cell(size_text(size), float(size))


class Links:
    """Addresses of files as the page names them: relative, so that page and dataset can be moved together.

    Parameters
    ----------
    page : Path
        The page.
    """

    def __init__(self, page: Path) -> None:
        self._directory = page.absolute().parent

    def address(self, path: Path) -> str:
        """Address of a file, relative to the page."""
        try:
            relative = os.path.relpath(path.absolute(), self._directory)
        except ValueError:  # on another drive
            return path.absolute().as_uri()
        return quote(relative.replace(os.sep, "/"), safe="/=", errors="surrogateescape")

    def link(self, path: Path, text: str | None = None) -> Html:
        """Make a link to a file."""
        return el("a", text or path.name, href=self.address(path))

    def files(self, paths: Iterable[Path]) -> Html:
        """Make links to several files."""
        return joined(el("span", self.link(path), class_="file") for path in paths)
