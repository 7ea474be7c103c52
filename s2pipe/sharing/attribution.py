"""Whom users of a dataset have to name, and the terms of what it was made from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from s2pipe.dataset.label_credit import WORLDCOVER, label_lines

if TYPE_CHECKING:
    from collections.abc import Iterable

    from s2pipe.sharing.scenes import SharedScene

COPERNICUS_NOTICE = "https://sentinels.copernicus.eu/documents/247904/690755/Sentinel_Data_Legal_Notice"


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


def source_terms(sources: Iterable[str]) -> list[Terms]:
    """Return the terms of the satellite's data and of known sources of labels."""
    return [COPERNICUS, *([ESA_WORLDCOVER] if any(map(WORLDCOVER.search, sources)) else [])]


def attribution_lines(scenes: Iterable[SharedScene]) -> list[str]:
    """Return whom users have to name: for the satellite's data, then for those of the labels."""
    scenes = list(scenes)
    lines = {scene.sample.attribution for scene in scenes}
    return [*sorted(lines), *label_lines(label_sources(scenes))]


def label_sources(scenes: Iterable[SharedScene]) -> list[str]:
    """Return what the labels were taken from: their stated sources, and the names of the files that were read."""
    sources: set[str] = set()
    for scene in scenes:
        sources |= {labels.meaning.source for labels in scene.sample.label_bands}
        labels = scene.meta["labels"]
        for part in (labels, *(labels.get("targets") or [])):
            files = (part.get("backend_stats") or {}).get("files") or []
            sources |= {PurePosixPath(str(file).replace("\\", "/")).name for file in files}
    return sorted(sources)
