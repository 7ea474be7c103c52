"""What a directory holds for others: samples of Step 2, sets of patches, or both."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from s2pipe.config.documents import read_json
from s2pipe.dataset.agreement import shared_labels
from s2pipe.dataset.label_credit import label_lines
from s2pipe.dataset.samples import labels_document
from s2pipe.errors import Fault, ManifestError, MissingInputError
from s2pipe.patches.candidates.assign import SPLIT_NAME
from s2pipe.patches.shards.publish import SHARDS_NAME, read_shards_json
from s2pipe.runtime.paths import if_absent
from s2pipe.sharing.attribution import label_sources
from s2pipe.sharing.footprint import pixel_metres
from s2pipe.sharing.scenes import SharedScene, has_index, read_scenes

_KEY = re.compile(r"(T[0-9]{2}[A-Z]{3})_([0-9]{4})([0-9]{2})([0-9]{2})T", re.ASCII)


@dataclass(frozen=True)
class PatchSet:
    """One set of shards."""

    path: str
    """Directory of its ``shards.json`` relative to the dataset, ``.`` for the dataset's own."""
    document: Mapping[str, Any]
    """Its ``shards.json``."""
    rules: Mapping[str, Any]
    """Its ``split.json``: how ground was split."""

    @property
    def name(self) -> str:
        """What it is called: its directory, or ``patches``."""
        return "patches" if self.path == "." else self.path

    def file(self, name: str) -> str:
        """Return the path of one of its files relative to the dataset."""
        return name if self.path == "." else f"{self.path}/{name}"

    @property
    def splits(self) -> dict[str, Mapping[str, Any]]:
        """Counts of the splits that have patches, by name."""
        return {name: split for name, split in self.document["splits"].items() if split["samples"]}


@dataclass(frozen=True)
class LabelBand:
    """One band of labels, as a card shows it."""

    name: str | None
    """Its name where there are several."""
    kind: str
    """``classes`` or ``regression``."""
    source: str
    """What it was taken from."""
    ignore_index: int | None
    """Value of pixels without a class."""
    names: Mapping[int, str]
    """Names of classes."""
    colors: Mapping[int, str]
    """Colours of classes."""

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> LabelBand:
        """Read one from ``shards.json``."""
        return cls(
            document.get("name"),
            document.get("kind", "classes"),
            document.get("source") or "",
            document.get("ignore_index"),
            {int(value): str(name) for value, name in (document.get("class_names") or {}).items()},
            {int(value): str(color) for value, color in (document.get("class_colors") or {}).items()},
        )


@dataclass(frozen=True)
class Contents:
    """All that a directory holds."""

    root: Path
    """The directory."""
    scenes: tuple[SharedScene, ...]
    """Samples of Step 2."""
    sets: tuple[PatchSet, ...]
    """Sets of patches."""

    @cached_property
    def first(self) -> Mapping[str, Any]:
        """Bands, unit, normalization, pixel size and labels: of the first set of patches, else of the samples."""
        if self.sets:
            return self.sets[0].document
        sample = self.scenes[0].sample
        return {
            "bands": list(sample.x_bands),
            "unit": "standard deviations" if sample.normalization.is_applied else sample.unit,
            "normalization": sample.normalization.to_document(),
            "pixel_size_m": list(pixel_metres(sample.grid)),
            "angle_bands": list(sample.angle_bands),
            "labels": labels_document(shared_labels([scene.sample for scene in self.scenes])),
        }

    @cached_property
    def labels(self) -> tuple[LabelBand, ...]:
        """Bands of labels; none without labels."""
        document = self.first.get("labels")
        if not document:
            return ()
        return tuple(LabelBand.of(band) for band in document.get("channels") or [document])

    @cached_property
    def keys(self) -> list[tuple[str, str]]:
        """Tile and day of every scene, in order."""
        found = {(key.tile_id, key.day) for scene in self.scenes for key in scene.keys}
        for patches in self.sets:
            for name in patches.document.get("sources") or {}:
                if match := _KEY.match(name):
                    found.add((match[1], "-".join(match.groups()[1:])))
        return sorted(found)

    @property
    def period(self) -> str:
        """Scenes, tiles and days in words."""
        days = sorted(day for _, day in self.keys)
        when = "" if not days else f", {days[0]}" if days[0] == days[-1] else f", {days[0]} to {days[-1]}"
        return f"{len(self.keys)} scene(s) on {len({tile for tile, _ in self.keys})} tile(s){when}"

    @property
    def label_sources(self) -> list[str]:
        """What labels were taken from."""
        stated = {band.source for band in self.labels if band.source}
        return sorted(stated | set(label_sources(self.scenes)))

    @property
    def attribution(self) -> list[str]:
        """Whom users have to name."""
        lines = {scene.sample.attribution for scene in self.scenes}
        for patches in self.sets:
            lines |= set(patches.document.get("attribution") or [])
        of_labels = label_lines(self.label_sources)
        return [*sorted(lines - {*of_labels}), *of_labels]


def read_contents(root: Path) -> Contents:
    """Read what a directory, and the directories in it, hold.

    Raises
    ------
    MissingInputError
        It holds neither samples nor patches.
    ManifestError
        A document is damaged.
    """
    places = [root, *sorted(path for path in _directories(root))]
    sets = tuple(
        PatchSet(place.relative_to(root).as_posix(), read_shards_json(place), _rules(place))
        for place in places
        if (place / SHARDS_NAME).is_file()
    )
    scenes = tuple(read_scenes(root)) if has_index(root) else ()
    if not sets and not scenes:
        wanted = "samples (meta/step2/index.json) or patches (shards.json, here or one directory below)"
        msg = f"{root}: expected {wanted}{if_absent(root)}:"
        raise MissingInputError(
            msg, ["found neither"], "Run `s2pipe preprocess` or `s2pipe patches` first, or name its out_dir."
        )
    return Contents(root, scenes, sets)


def _rules(place: Path) -> Mapping[str, Any]:
    path = place / SPLIT_NAME
    try:
        document = read_json(path)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        fault = Fault("", f"cannot be read as JSON ({error}); run `s2pipe patches` again")
        raise ManifestError(str(path), [fault]) from error
    return document if isinstance(document, dict) else {}


def _directories(root: Path) -> list[Path]:
    return [path for path in root.iterdir() if path.is_dir()] if root.is_dir() else []
