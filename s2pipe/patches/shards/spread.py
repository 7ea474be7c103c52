"""Shards on the workers of a cluster: one task a shard, which brings what the shard is made from and no more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from s2pipe.distributed.cluster import Cluster, require_version, worker_threads
from s2pipe.errors import ClusterError
from s2pipe.patches.shards.documents import Dataset
from s2pipe.patches.shards.layout import Groups, ShardPlan
from s2pipe.patches.shards.records import ShardRecord
from s2pipe.patches.shards.writer import ShardWriter
from s2pipe.patches.targets.join import Targets
from s2pipe.raster.block_cache import block_cache
from s2pipe.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import NoReturn


@dataclass(frozen=True)
class Portion:
    """One shard and what it is made from."""

    dataset: Dataset
    """Its patches and their samples alone."""
    plan: ShardPlan
    """Its items in order."""
    known: Mapping[str, ShardRecord]
    """What an earlier run recorded of it."""
    cache_bytes: int
    """GDAL's block cache."""
    version: str = __version__
    """Version of s2pipe that made this."""

    @classmethod
    def of(
        cls, dataset: Dataset, plan: ShardPlan, known: Mapping[str, ShardRecord], cache_bytes: int
    ) -> Portion:
        """Take a shard's part of a dataset."""
        items = [dataset.groups.members(group) for group in plan.groups.tolist()]
        rows = np.concatenate(items)
        scenes, places = np.unique(dataset.table.scene[rows], return_inverse=True)
        table = replace(dataset.table.take(rows), scene=places.astype(dataset.table.scene.dtype))
        starts = np.cumsum([0, *map(len, items)], dtype=np.int64)
        part = replace(
            dataset,
            samples=[dataset.samples[scene] for scene in scenes.tolist()],
            table=table,
            groups=Groups(starts, np.arange(len(rows))),
            targets=Targets({name: values.take(rows) for name, values in dataset.targets.columns.items()}),
        )
        own = {plan.path: known[plan.path]} if plan.path in known else {}
        return cls(part, replace(plan, groups=np.arange(len(items))), own, cache_bytes)


@dataclass(frozen=True)
class Written:
    """What a worker made of a shard."""

    record: ShardRecord
    """The shard."""
    offsets: np.ndarray
    """First byte of each item, and the end of the last, int64."""
    is_new: bool
    """Whether it was written now."""


class SpreadWriter:
    """Writes the shards of a dataset as :class:`ShardWriter` does, on a cluster.

    Parameters
    ----------
    cluster : Cluster
        Where.
    dataset : Dataset
        What to write.
    known : mapping
        Finished shards of an earlier run by path.
    cache_bytes : int
        GDAL's block cache of one worker.
    """

    def __init__(
        self, cluster: Cluster, dataset: Dataset, known: Mapping[str, ShardRecord], cache_bytes: int
    ) -> None:
        self._cluster = cluster
        self._dataset = dataset
        self._known = known
        self._cache_bytes = cache_bytes
        self.written = 0
        """Shards written now, as opposed to found complete."""
        self.offsets: dict[str, np.ndarray] = {}
        """First byte of each item of each shard, and the end of its last."""

    def write(self, plans: Sequence[ShardPlan], report: Callable[[ShardRecord], None]) -> list[ShardRecord]:
        """Write those shards that are not there yet; return what is known of all, in order.

        Parameters
        ----------
        plans : sequence of ShardPlan
            The shards.
        report : callable
            Told of each finished shard.

        Raises
        ------
        ClusterError
            The scheduler, or a worker several times, was lost.
        """
        records = {}
        tasks = ((_task_name(plan), (self._portion(plan),)) for plan in plans)
        for written in self._cluster.each(write_shard, tasks, _lost):
            record = written.record
            records[record.path] = record
            self.offsets[record.path] = written.offsets
            self.written += written.is_new
            report(record)
        return [records[plan.path] for plan in plans]

    def _portion(self, plan: ShardPlan) -> Portion:
        return Portion.of(self._dataset, plan, self._known, self._cache_bytes)


def write_shard(portion: Portion) -> Written:
    """Write one shard on a worker, unless it is there."""
    require_version(portion.version)
    threads = worker_threads(portion.dataset.config.num_workers)
    # Another worker may be at it, which was given up since nothing was heard of it.
    writer = ShardWriter(portion.dataset, threads, portion.known, wait=True)
    with block_cache(portion.cache_bytes):
        (record,) = writer.write([portion.plan], lambda _: None)
    return Written(record, writer.offsets[portion.plan.path], writer.written == 1)


def _task_name(plan: ShardPlan) -> str:
    return f"{plan.split}_{plan.number:06d}"


def _lost(name: str, reason: str) -> NoReturn:
    msg = f"shard {name}: {reason}; finished shards are complete: run again to go on"
    raise ClusterError(msg)
