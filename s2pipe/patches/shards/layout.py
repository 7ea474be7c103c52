"""Which item goes into which shard, and where: decided from names and the seed before any pixel is read."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from s2pipe.ground.split import SPLITS
from s2pipe.patches.candidates.balance import patch_numbers
from s2pipe.raster.writer import TILE_PX
from s2pipe.runtime.draws import mix, text_seed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from s2pipe.dataset.samples import Sample
    from s2pipe.patches.candidates.windows import PatchTable
    from s2pipe.patches.cfg import PatchConfig, ShardConfig

SHARD_PATH = re.compile(rf"(?:{'|'.join(SPLITS)})/shard-[0-9]{{6,12}}[.]tar", re.ASCII)
"""Paths of shards, relative to the output directory; a file of another name was never made as one."""
_CHUNK_ROWS_COLS = (8, 4)
_MOST_CHUNK_PIXELS = 2_500_000
_CHUNKS_PER_SHARD = 16


@dataclass(frozen=True)
class Groups:
    """Items of shards as lists of patches: one patch each, or the dates of one window."""

    starts: np.ndarray
    """First place of each group in ``patches``, and the number of all, integers."""
    patches: np.ndarray
    """Positions in the patch table, in the order of time within a group, integers."""

    def __len__(self) -> int:
        return len(self.starts) - 1

    def members(self, group: int) -> np.ndarray:
        """Positions of a group's patches in the table."""
        return self.patches[self.starts[group] : self.starts[group + 1]]

    def lengths(self, groups: np.ndarray) -> np.ndarray:
        """How many patches some groups have."""
        result: np.ndarray = self.starts[groups + 1] - self.starts[groups]
        return result

    @property
    def first(self) -> np.ndarray:
        """First patch of each group."""
        result: np.ndarray = self.patches[self.starts[:-1]]
        return result

    def of_patches(self) -> np.ndarray:
        """Group of each entry of ``patches``."""
        return np.repeat(np.arange(len(self)), np.diff(self.starts))


@dataclass(frozen=True)
class ShardPlan:
    """One shard: its place and its items in order."""

    split: str
    """Its split."""
    number: int
    """Number within the split, from 0."""
    groups: np.ndarray
    """Groups in the order of the shard, integers."""

    @property
    def path(self) -> str:
        """Path relative to the output directory."""
        return f"{self.split}/shard-{self.number:06d}.tar"


def single_groups(table: PatchTable) -> Groups:
    """Make every kept patch an item of its own."""
    kept = _positions(np.flatnonzero(table.kept))
    return Groups(np.arange(len(kept) + 1, dtype=kept.dtype), kept)


def _positions(values: np.ndarray) -> np.ndarray:
    """Return positions as int32 where that holds them: there are as many as patches."""
    return values.astype(np.int32) if len(values) < np.iinfo(np.int32).max else values


def time_groups(table: PatchTable, samples: Sequence[Sample], max_t: int | None) -> Groups:
    """Make one item of the kept dates of one window of a tile's grid, in the order of time.

    Parameters
    ----------
    table : PatchTable
        Patches.
    samples : sequence of Sample
        In the order of tile and time.
    max_t : int, optional
        Longer series keep this many dates, spread evenly; the others are dropped in the table.
    """
    grids: dict[tuple[str, object], int] = {}
    grid = np.array(
        [grids.setdefault((s.key.tile_id, s.target.reference), len(grids)) for s in samples], np.int64
    )
    kept = np.flatnonzero(table.kept)
    keys = (table.split[kept], table.col[kept], table.row[kept], grid[table.scene[kept]])
    # The last key counts most; the scene, which is in the order of time, decides within a group.
    order = np.lexsort((table.scene[kept], *keys))
    changed = np.zeros(len(kept), bool)
    for key in keys:
        changed |= np.diff(key[order].astype(np.int64), prepend=-9) != 0
    starts = np.append(np.flatnonzero(changed), len(kept))
    patches = kept[order]
    if max_t is None:
        return Groups(starts, patches)
    length = np.diff(starts)
    rank = np.arange(len(patches)) - np.repeat(starts[:-1], length)
    count = np.repeat(length, length)
    # Date i of n is the first of its max_t equal parts.
    wanted = (rank * max_t) // count != ((rank - 1) * max_t) // count
    wanted |= count <= max_t
    table.drop(patches[~wanted], "max_t")
    new_starts = np.append(0, np.cumsum(np.minimum(length, max_t)))
    return Groups(new_starts, patches[wanted])


@dataclass(frozen=True)
class Order:
    """The order in which groups are packed."""

    groups: np.ndarray
    """Groups, integers."""
    numbers: np.ndarray
    """A scrambled number of each group, by group, uint64: it depends on names and seed alone."""


def shuffled(table: PatchTable, groups: Groups, samples: Sequence[Sample], config: PatchConfig) -> Order:
    """Order the groups for packing: neighbouring windows come in small chunks, chunks in random order.

    A chunk's windows share compressed tiles, so that packing them together saves decoding; within a shard the
    order is random throughout (see :func:`plan_shards`).
    """
    names = [sample.name for sample in samples]
    first = groups.first
    own = patch_numbers(table, names, config.seed)[first]
    rows, cols = chunk_shape(config)
    if config.group == "time_stack":
        return Order(_positions(np.argsort(own, kind="stable")), own)
    seeds = np.array([text_seed(f"{config.seed}/chunk/{name}") for name in names], np.uint64)
    chunk_row = (table.row[first] // (rows * config.step_px)).astype(np.uint64)
    chunk_col = (table.col[first] // (cols * config.step_px)).astype(np.uint64)
    chunk = mix(((chunk_row << np.uint64(32)) | chunk_col) ^ seeds[table.scene[first]])
    return Order(_positions(np.lexsort((own, chunk))), own)


def chunk_shape(config: PatchConfig) -> tuple[int, int]:
    """Rows and columns of windows in a chunk: enough to decode little twice, few enough to mix well."""
    rows, cols = _CHUNK_ROWS_COLS
    if has_whole_tiles(config):
        rows, cols = 4, 2  # no tile is shared, a chunk only saves opening files
    while rows * cols > 1 and (
        rows * cols * config.step_px**2 > _MOST_CHUNK_PIXELS
        or rows * cols * _CHUNKS_PER_SHARD > config.shards.max_count
    ):
        rows, cols = (rows // 2, cols) if rows >= cols else (rows, cols // 2)
    return rows, cols


def has_whole_tiles(config: PatchConfig) -> bool:
    """Whether every window is made of whole tiles of the GeoTIFFs."""
    return config.patch_size % TILE_PX == 0 and config.step_px % TILE_PX == 0


def plan_shards(
    table: PatchTable, groups: Groups, order: Order, config: PatchConfig, item_bytes: int
) -> list[ShardPlan]:
    """Divide the ordered groups of every split into shards of (almost) equal counts.

    Parameters
    ----------
    table, groups : PatchTable, Groups
        Patches and items; with equal_counts, left-over patches are dropped in the table.
    order : Order
        See :func:`shuffled`.
    config : PatchConfig
        Limits and seed.
    item_bytes : int
        No item takes more than this in a shard.
    """
    plans = []
    for code, split in enumerate(SPLITS):
        members = order.groups[table.split[groups.first[order.groups]] == code]
        if not len(members):
            continue
        count = shard_count(len(members), config.shards, item_bytes)
        if config.shards.equal_counts:
            each = len(members) // count
            for group in members[each * count :].tolist():
                table.drop(groups.members(group), "equal_counts")
            members = members[: each * count]
        edges = np.arange(count + 1) * len(members) // count
        for number in range(count):
            part = members[edges[number] : edges[number + 1]]
            numbers = mix(order.numbers[part] ^ np.uint64(text_seed(f"{config.seed}/{split}/{number}")))
            plans.append(ShardPlan(split, number, part[np.argsort(numbers, kind="stable")]))
    return plans


def shard_count(items: int, config: ShardConfig, item_bytes: int) -> int:
    """Number of shards for a number of items."""
    most = config.max_count
    if config.max_bytes is not None:
        most = min(most, max(1, (config.max_bytes - 10240) // item_bytes))
    count = -(-items // most)
    rounded = -(-count // config.multiple_of) * config.multiple_of
    return rounded if rounded <= items else count
