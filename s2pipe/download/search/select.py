"""Choosing among what a search found: pure decisions, each with its reason. Nothing here asks the service."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING

from s2pipe.dataset.scene_key import SceneKey
from s2pipe.download.search.catalogue import Hit
from s2pipe.download.search.coverage import overlap_ratio
from s2pipe.sentinel2.safe import THIRD_PARTY_BASELINE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from s2pipe.dataset.scene_choice import SceneChoice
    from s2pipe.download.cfg import QueryConfig

_APART = 0.5
"""Products of two datastrips that share less than this of the smaller one are halves of one acquisition."""


_NO_TWIN = "has no L2A product of its tile and sensing time that can be fetched"


@dataclass(frozen=True)
class Pair:
    """The products of one scene."""

    key: SceneKey
    """Tile and sensing start."""
    l1c: Hit
    """The L1C product."""
    l2a: Hit | None
    """Its L2A twin; None when none was wanted."""
    halves: tuple[str, ...] = ()
    """Names of products that cover the rest of the tile, from another datastrip."""
    others: tuple[Pair, ...] = ()
    """These products, where they are fetched as well."""

    @property
    def parts(self) -> tuple[Pair, ...]:
        """The scene's own products, and those of its other halves."""
        return self, *self.others


@dataclass(frozen=True)
class Rejected:
    """A product that was found, but is not fetched."""

    name: str
    """Its name."""
    reason: str
    """Why not."""
    is_notable: bool = False
    """Whether a user would miss it: half of an acquisition, or an L1C product without its twin."""


@dataclass(frozen=True)
class Choice:
    """What is fetched and what is not."""

    pairs: tuple[Pair, ...]
    """Scenes in the order of their keys."""
    rejected: tuple[Rejected, ...]
    """Everything else that was found."""


def choose(
    l1c: Iterable[Hit],
    l2a: Iterable[Hit],
    query: QueryConfig,
    *,
    with_l2a: bool,
    with_halves: bool = False,
) -> Choice:
    """Pair products by tile and sensing start; the newest version of each counts.

    Parameters
    ----------
    l1c, l2a : iterable of Hit
        What the searches found; L1C versions outside the cloud range belong to it, or an old version inside
        the range could win over the newest outside.
    query : QueryConfig
        Cloud range and least coverage.
    with_l2a : bool
        Whether scenes need an L2A product.
    with_halves : bool
        Whether products that cover the rest of a tile are taken as well.
    """
    pairs: list[Pair] = []
    rejected: list[Rejected] = []
    twins = {key: list(group) for key, group in _by_key(l2a)}
    for key, group in _by_key(l1c):
        best, others = _newest(list(group), rejected)
        if best is None:
            continue
        reason = _unsuitable(best, query)
        if reason is not None:
            rejected.append(Rejected(str(best.name), reason))
            rejected += [
                Rejected(str(half.name), f"is half of {best.name}, which {reason}") for half in others
            ]
            continue
        wanted = [best, *others] if with_halves else [best]
        found: list[Hit | None] = [None] * len(wanted)
        if with_l2a:
            found = _twins(wanted, twins.pop(key, []), rejected, is_cut=bool(others))
            if found[0] is None:
                rejected.append(Rejected(str(best.name), _NO_TWIN, True))
                continue
        halves = []
        for half, twin in zip(others, found[1:] if with_halves else [None] * len(others), strict=True):
            reason = _why_not_half(half, twin, best, query, with_l2a=with_l2a, with_halves=with_halves)
            if reason is None:
                halves.append(_as_half(key, half, twin))
            else:
                rejected.append(Rejected(str(half.name), reason, True))
        pairs.append(Pair(key, best, found[0], tuple(str(half.name) for half in others), tuple(halves)))
    return Choice(tuple(sorted(pairs, key=lambda pair: pair.key)), tuple(rejected))


def _by_key(hits: Iterable[Hit]) -> list[tuple[SceneKey, list[Hit]]]:
    unique = {hit.name.stem: hit for hit in hits}
    ordered = sorted(unique.values(), key=lambda hit: (hit.key, hit.name.stem))
    return [(key, list(group)) for key, group in groupby(ordered, key=lambda hit: hit.key)]


def _unsuitable(hit: Hit, query: QueryConfig) -> str | None:
    low, high = query.cloud_min, query.cloud_max
    if low is not None or high is not None:
        cloud = hit.cloud_cover
        if cloud is None:
            return "states no cloud cover"
        if (low is not None and cloud < low) or (high is not None and cloud > high):
            return f"has {cloud:.2f} % clouds, outside {low if low is not None else 0} to {high or 100} %"
    if query.min_coverage_ratio > 0:
        if hit.coverage is None:
            return "states no footprint, so its coverage of the tile is unknown"
        if hit.coverage < query.min_coverage_ratio:
            return f"covers {hit.coverage:.4f} of the tile, less than {query.min_coverage_ratio}"
    return None


def _newest(versions: Sequence[Hit], rejected: list[Rejected]) -> tuple[Hit | None, list[Hit]]:
    """Return the version that counts and the halves beside it; others are rejected."""
    online = [hit for hit in versions if hit.online]
    rejected += [
        Rejected(str(hit.name), "is offline: the service does not hold it ready", True)
        for hit in versions
        if not hit.online
    ]
    if not online:
        return None, []
    *older, best = sorted(online, key=_age)
    halves = [hit for hit in older if _are_halves(hit, best)]
    superseded = [hit for hit in older if hit not in halves]
    kept: list[Hit] = []
    for half in sorted(halves, key=_age, reverse=True):
        newer = next((other for other in kept if not _are_halves(half, other)), None)
        if newer is None:
            kept.append(half)
        else:
            rejected.append(Rejected(str(half.name), f"is superseded by {newer.name}"))
    rejected += [Rejected(str(hit.name), _why_not(hit, best)) for hit in superseded]
    largest = max([best, *kept], key=lambda hit: (hit.coverage or 0.0, hit is best))
    return largest, [hit for hit in [best, *kept] if hit is not largest]


def _age(hit: Hit) -> tuple[bool, str, str]:
    return hit.name.age_key


def _are_halves(first: Hit, second: Hit) -> bool:
    """Tell whether two products of one tile and time complement each other instead of being two versions."""
    if None in (first.strip_start, second.strip_start) or first.strip_start == second.strip_start:
        return False
    shared = overlap_ratio(first.footprint, second.footprint, first.name.tile_id)
    if shared is None:
        return first.name.baseline == second.name.baseline
    return shared < _APART


def _why_not(hit: Hit, best: Hit) -> str:
    if hit.name.baseline == THIRD_PARTY_BASELINE:
        return f"is a third party's product (N9999); {best.name} is preferred"
    return f"is superseded by {best.name}"


def _why_not_half(
    half: Hit, twin: Hit | None, best: Hit, query: QueryConfig, *, with_l2a: bool, with_halves: bool
) -> str | None:
    """Say why a product of another part of the tile is not fetched; None where it is."""
    if not with_halves:
        return (
            f"covers another part of the tile than {best.name}, from another datastrip; a scene is the larger, "
            "unless selection.other_halves is true"
        )
    if with_l2a and twin is None:
        return _NO_TWIN
    return _unsuitable(half, replace(query, min_coverage_ratio=0.0))


def _as_half(key: SceneKey, l1c: Hit, l2a: Hit | None) -> Pair:
    half = f"S{l1c.strip_start}"
    return Pair(key, replace(l1c, half=half), None if l2a is None else replace(l2a, half=half))


def _twins(
    wanted: Sequence[Hit], found: Sequence[Hit], rejected: list[Rejected], *, is_cut: bool
) -> list[Hit | None]:
    """The newest L2A products of the same parts of the tile as these L1C products."""
    best, others = _newest(found, rejected)
    candidates = [hit for hit in (best, *others) if hit is not None]

    def twin(l1c: Hit) -> Hit | None:
        same = [hit for hit in candidates if _same_part(l1c, hit)] if is_cut or others else candidates
        return next(iter(same), None)

    twins = [twin(l1c) for l1c in wanted]
    for hit in candidates:
        if hit not in twins:
            than = wanted[0].name if twins[0] is None else twins[0].name
            reason = f"covers another part of the tile than {than}, from another datastrip"
            rejected.append(Rejected(str(hit.name), reason, True))
    return twins


def _same_part(l1c: Hit, l2a: Hit) -> bool:
    if l1c.strip_start is not None and l1c.strip_start == l2a.strip_start:
        return True
    shared = overlap_ratio(l1c.footprint, l2a.footprint, l1c.name.tile_id)
    return shared is not None and shared >= _APART


def chosen_pairs(
    pairs: Sequence[Pair], only: SceneChoice, most: int | None
) -> tuple[tuple[Pair, ...], list[str]]:
    """Return the scenes that a run is for, and the names of scenes that were not found.

    Parameters
    ----------
    pairs : sequence of Pair
        Scenes of the query, in the order of tile and time.
    only : SceneChoice
        Which of them are wanted.
    most : int, optional
        Take only the first of these, before they are shared out.
    """
    wanted, unknown = only.named([pair.key for pair in pairs], "download.only.scenes")
    chosen = [
        pair for pair in pairs if only.takes(pair.key) and (wanted is None or pair.key.identity in wanted)
    ]
    return tuple(only.share_of_scenes(chosen[:most], lambda pair: pair.key)), unknown
