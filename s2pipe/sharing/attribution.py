"""Whom users of a dataset have to name, and the terms of what it was made from."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

COPERNICUS_NOTICE = "https://sentinels.copernicus.eu/documents/247904/690755/Sentinel_Data_Legal_Notice"
WORLDCOVER = re.compile(r"world[\s_-]*cover", re.IGNORECASE)
_WORLDCOVER_YEAR = re.compile(r"(?<![0-9])(202[0-9])(?![0-9])")


@dataclass(frozen=True)
class Terms:
    """The terms of one source of a dataset."""

    source: str
    """What was used."""
    terms: str
    """Its licence, in words."""
    url: str
    """Where the terms are."""


COPERNICUS = Terms("Copernicus Sentinel-2 data", "free, full and open access", COPERNICUS_NOTICE)
ESA_WORLDCOVER = Terms("ESA WorldCover", "CC BY 4.0", "https://creativecommons.org/licenses/by/4.0/")


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


def source_terms(sources: Iterable[str]) -> list[Terms]:
    """Return the terms of the satellite's data and of known sources of labels."""
    return [COPERNICUS, *([ESA_WORLDCOVER] if any(map(WORLDCOVER.search, sources)) else [])]
