"""Which scenes a run is for: by tile, by day, by name, and its share of them among the jobs of an array."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

from s2pipe.config.fields import Rule
from s2pipe.dataset.scene_key import SceneKey
from s2pipe.dataset.scene_list import match_scenes, read_scene_list
from s2pipe.errors import ConfigError, Fault
from s2pipe.runtime.hashing import hash_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_T = TypeVar("_T")
_TILE = re.compile(r"T?\d{2}[A-Z]{3}", re.ASCII)
_SHARD = re.compile(r"([1-9][0-9]{0,6})/([1-9][0-9]{0,6})", re.ASCII)
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_SPAN = re.compile(r"(\d{4}-\d\d-\d\d|\.\.)/(\d{4}-\d\d-\d\d|\.\.)", re.ASCII)
_LISTED = {"minItems": 1, "uniqueItems": True}


@dataclass(frozen=True)
class SceneChoice:
    """Scenes that a run is for; those that no key leaves out."""

    tiles: Annotated[tuple[str, ...] | None, Rule(_LISTED)] = None
    """MGRS tiles, T33UWQ or 33UWQ; null takes all."""
    dates: Annotated[tuple[str, ...] | None, Rule(_LISTED)] = None
    """Days of sensing in UTC: 2025-12-10, or both ends of a span, 2025-12-01/2025-12-31, of which one may be open (..);
    null takes all."""
    scenes: tuple[str, ...] | Path | None = None
    """Keys of scenes such as T33UWQ/2025-12-10T10:03:19Z, or a text file with one key per line; null takes all."""
    shard: str | None = None
    """K/N, such as 3/16: the K-th of N shares, so that N jobs do all scenes between them. A scene's share follows from
    its key alone. Null takes all."""

    def matching(
        self, items: Sequence[_T], key: Callable[[_T], SceneKey], source: str, where: str = "only.scenes"
    ) -> list[_T]:
        """Return the items that tiles, days and names leave; shares come later (:meth:`share`).

        Parameters
        ----------
        items : sequence
            Scenes, samples or the like.
        key : callable
            Returns the key of an item.
        source : str
            Document that they are from, for the message.
        where : str
            Path of the key ``scenes``, for the message.

        Raises
        ------
        ConfigError
            A scene that is named is not among the items, or the list of names cannot be read.
        """
        wanted, unknown = self.named([key(item) for item in items], where)
        if unknown:
            faults = [Fault(where, f"{text!r} is not a scene of this document") for text in unknown]
            raise ConfigError(source, faults)
        return [item for item in items if self.takes(key(item)) and _is_in(key(item), wanted)]

    def named(
        self, keys: Sequence[SceneKey], where: str = "only.scenes"
    ) -> tuple[frozenset[tuple[str, str]] | None, list[str]]:
        """Return the identities of the scenes that are named, None for all, and the names that fit none of the keys."""
        if self.scenes is None:
            return None, []
        return match_scenes(read_scene_list(self.scenes, where), keys)

    def takes(self, key: SceneKey) -> bool:
        """Tell whether tile and day of a scene are wanted."""
        return self.takes_tile(key.tile_id) and self.takes_day(key.day)

    def takes_tile(self, tile_id: str) -> bool:
        """Tell whether a tile is wanted."""
        return self.tiles is None or tile_id in {f"T{tile[-5:]}" for tile in self.tiles}

    def takes_day(self, day: str) -> bool:
        """Tell whether a day, ``2025-12-10``, is wanted."""
        return self.dates is None or any(first <= day <= last for first, last in map(_span, self.dates))

    @property
    def share_numbers(self) -> tuple[int, int] | None:
        """Number of this job, from 1, and of all jobs; None where the work is not shared out."""
        if self.shard is None:
            return None
        number, count = map(int, self.shard.split("/"))
        return number, count

    def share(self, items: Sequence[_T], name: Callable[[_T], str]) -> list[_T]:
        """Return the items of this job's share, by the hash of their names."""
        if self.share_numbers is None:
            return list(items)
        number, count = self.share_numbers
        return [item for item in items if _hash(name(item)) % count == number - 1]

    def share_of_scenes(self, items: Sequence[_T], key: Callable[[_T], SceneKey]) -> list[_T]:
        """Return the items of this job's share, by the hash of their keys, however these are spelt."""
        return self.share(items, lambda item: key(item).compact)


def choice_faults(choice: SceneChoice, path: str = "only") -> list[Fault]:
    """Return the faults of a choice that its JSON Schema does not express."""
    faults = [
        Fault(f"{path}.tiles", f"expected MGRS tiles such as T33UWQ, got {tile!r}")
        for tile in choice.tiles or ()
        if not _TILE.fullmatch(tile)
    ]
    for text in choice.dates or ():
        try:
            first, last = _span(text)
            ends = [date.fromisoformat(day) for day in (first, last) if day not in (_FIRST, _LAST)]
        except ValueError:
            message = "expected a day such as 2025-12-10, or a span such as 2025-12-01/2025-12-31"
            faults.append(Fault(f"{path}.dates", f"{message}, got {text!r}"))
            continue
        if len(ends) > 1 and ends[0] > ends[1]:
            faults.append(Fault(f"{path}.dates", f"expected the earlier day first, got {text!r}"))
    for text in choice.scenes if isinstance(choice.scenes, tuple) else ():
        if SceneKey.parse_identity(text) is None:
            message = "expected keys such as T33UWQ/2025-12-10T10:03:19Z, or a file of them that exists"
            faults.append(Fault(f"{path}.scenes", f"{message}, got {text!r}"))
    if choice.shard is not None:
        match = _SHARD.fullmatch(choice.shard)
        if match is None or int(match[1]) > int(match[2]):
            faults.append(
                Fault(f"{path}.shard", f"expected K/N with K from 1 to N, such as 3/16, got {choice.shard!r}")
            )
    return faults


_FIRST, _LAST = "0000-00-00", "9999-99-99"


def _span(text: str) -> tuple[str, str]:
    """First and last day of a span; a day is one of its own."""
    match = _SPAN.fullmatch(text)
    if match is None:
        if not _DAY.fullmatch(text):
            msg = f"no day: {text!r}"
            raise ValueError(msg)
        return text, text
    first, last = match.groups()
    if first == last == "..":
        msg = "both ends are open"
        raise ValueError(msg)
    return (_FIRST if first == ".." else first), (_LAST if last == ".." else last)


def _is_in(key: SceneKey, wanted: frozenset[tuple[str, str]] | None) -> bool:
    return wanted is None or key.identity in wanted


def _hash(name: str) -> int:
    return int(hash_bytes(name.encode(), "sha256")[:12], 16)
