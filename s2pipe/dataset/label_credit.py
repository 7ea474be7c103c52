"""Whom users of labels have to name, as far as their sources are known here."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

WORLDCOVER = re.compile(r"world[\s_-]*cover", re.IGNORECASE)
_WORLDCOVER_YEAR = re.compile(r"(?<![0-9])(202[0-9])(?![0-9])")


def label_lines(sources: Iterable[str]) -> list[str]:
    """Return the attribution that sources of labels ask for, as far as it is known here.

    Parameters
    ----------
    sources : iterable of str
        What the labels were taken from: ``ESA WorldCover 10 m 2021 v200``, names of files.
    """
    years: set[str] = set()
    found = False
    for source in sources:
        if WORLDCOVER.search(source):
            found = True
            years |= set(_WORLDCOVER_YEAR.findall(source))
    if not found:
        return []
    return [_worldcover(year) for year in sorted(years)] or [_worldcover("")]


def _worldcover(year: str) -> str:
    first, second = (f" {year}", f" ({year})") if year else ("", "")
    return (
        f"© ESA WorldCover project{first} / Contains modified Copernicus Sentinel data{second} processed by ESA "
        "WorldCover consortium"
    )
