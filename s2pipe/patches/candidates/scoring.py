"""The scores of all candidates: made here, shared with the other jobs of an array, or made on a cluster."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from s2pipe.dataset.samples import Sample
from s2pipe.distributed.cluster import require_version, worker_threads
from s2pipe.errors import ClusterError, LockedError, S2PipeError
from s2pipe.patches.candidates.kept_scores import KeptScores, portions, put_scores, scores_of
from s2pipe.patches.candidates.quality import ScoreSettings, score_all, score_sample
from s2pipe.patches.candidates.windows import PatchTable
from s2pipe.raster.block_cache import block_cache
from s2pipe.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import NoReturn

    from s2pipe.distributed.cluster import Cluster

    Report = Callable[[Sample, S2PipeError | None], None]


class Scoring:
    """Fills in the scores of a table of candidates, whoever makes them; those of unreadable samples are dropped.

    Parameters
    ----------
    table : PatchTable
        The candidates.
    samples : sequence of Sample
        Their samples.
    settings : ScoreSettings
        What pixels are counted as.
    report : callable
        Told of every sample, with its error if it has one, from the calling thread.
    """

    def __init__(
        self, table: PatchTable, samples: Sequence[Sample], settings: ScoreSettings, report: Report
    ) -> None:
        self._table = table
        self._samples = samples
        self._settings = settings
        self._report = report
        self._edges = np.searchsorted(table.scene, np.arange(len(samples) + 1))

    def here(self, workers: int) -> None:
        """Make all of them with some threads."""
        score_all(self._table, self._samples, self._settings, workers, self._report)

    def with_others(self, kept: KeptScores, share: tuple[int, int], workers: int) -> None:
        """Make those that no other job has made, or is making; wait for the rest.

        Parameters
        ----------
        kept : KeptScores
            Where jobs leave them.
        share : (int, int)
            Number of this job, from 1, and of all: each begins at another place.
        workers : int
            Threads.
        """
        order = portions(len(self._samples))
        start = len(order) * (share[0] - 1) // share[1]
        order = order[start:] + order[:start]
        with ThreadPoolExecutor(workers, "s2pipe-score") as pool:
            for wait in (False, True):
                held = []
                made = pool.map(partial(self._made, kept, wait=wait), order)
                for portion, errors in zip(order, made, strict=True):
                    if errors is None:
                        held.append(portion)
                    else:
                        self._take(portion, errors)
                order = held

    def on_cluster(self, cluster: Cluster, kept: KeptScores | None, cache_bytes: int) -> None:
        """Make them as tasks of a few samples each, but for those that are kept.

        Parameters
        ----------
        cluster : Cluster
            Where.
        kept : KeptScores or None
            Where jobs leave them.
        cache_bytes : int
            GDAL's block cache of one worker.
        """
        settings = cluster.share(self._settings, "scores")
        left = {}
        for portion in portions(len(self._samples)):
            if kept is not None and kept.load(portion.start, self._part(portion)):
                self._take(portion, [None] * len(portion))
            else:
                left[f"{portion.start:07d}"] = portion

        def tasks() -> Iterator[tuple[str, tuple[object, ...]]]:
            for name, portion in left.items():
                yield name, (settings, self._task(name, portion, cache_bytes))

        for made in cluster.each(score_samples, tasks(), _lost):
            portion = left[made.name]
            put_scores(self._table, self._part(portion), made.scores)
            self._take(portion, made.errors)

    def _made(self, kept: KeptScores, portion: range, *, wait: bool) -> list[S2PipeError | None] | None:
        """Find or make the scores of a portion; None when another job is at it, and nobody wants to wait."""
        part = self._part(portion)
        if kept.load(portion.start, part):
            return [None] * len(portion)
        with ExitStack() as stack:
            try:
                stack.enter_context(kept.locked(portion.start, wait=wait))
            except LockedError:
                if wait:
                    raise
                return None
            if kept.load(portion.start, part):
                return [None] * len(portion)
            errors = [
                score_sample(
                    self._table, self._part(range(place, place + 1)), self._samples[place], self._settings
                )
                for place in portion
            ]
            if not any(errors):  # others try what cannot be read again
                kept.save(portion.start, part)
        return errors

    def _part(self, portion: range) -> slice:
        return slice(int(self._edges[portion.start]), int(self._edges[portion.stop]))

    def _take(self, portion: range, errors: Sequence[S2PipeError | None]) -> None:
        for place, error in zip(portion, errors, strict=True):
            if error is not None:
                self._table.drop(self._table.scene == place, "unreadable")
            self._report(self._samples[place], error)

    def _task(self, name: str, portion: range, cache_bytes: int) -> _Task:
        table = self._table.take(np.arange(*self._part(portion).indices(len(self._table))))
        table = replace(table, scene=table.scene - portion.start)
        return _Task(name, table, tuple(self._samples[place] for place in portion), cache_bytes)


@dataclass(frozen=True)
class _Task:
    """Some samples and their candidates."""

    name: str
    """Name of the task."""
    table: PatchTable
    """The candidates."""
    samples: tuple[Sample, ...]
    """Their samples."""
    cache_bytes: int
    """GDAL's block cache."""
    version: str = __version__
    """Version of s2pipe that made this."""


@dataclass(frozen=True)
class _Made:
    """What a worker made of a task."""

    name: str
    """Name of the task."""
    scores: bytes
    """See :func:`scores_of`."""
    errors: list[S2PipeError | None]
    """Of each sample, or None."""


def score_samples(settings: ScoreSettings, task: _Task) -> _Made:
    """Score some samples on a worker."""
    require_version(task.version)
    found: dict[str, S2PipeError | None] = {}
    with block_cache(task.cache_bytes):
        score_all(
            task.table,
            task.samples,
            settings,
            worker_threads(1),
            lambda s, error: found.update({s.name: error}),
        )
    everything = slice(0, len(task.table))
    return _Made(task.name, scores_of(task.table, everything), [found[s.name] for s in task.samples])


def _lost(name: str, reason: str) -> NoReturn:
    msg = f"scores of samples from {name} on: {reason}; run again to go on"
    raise ClusterError(msg)
