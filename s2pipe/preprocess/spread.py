"""The scenes of a run on the workers of a cluster: one task a scene, counts added where they were made."""

from __future__ import annotations

import functools
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from s2pipe.distributed.cluster import Cluster, require_version, worker_threads
from s2pipe.errors import S2PipeError
from s2pipe.preprocess import one_scene
from s2pipe.preprocess.cfg import PreprocessConfig
from s2pipe.preprocess.finish import list_sample
from s2pipe.preprocess.one_scene import SceneRecord
from s2pipe.preprocess.scene_inputs import SceneInputs
from s2pipe.preprocess.stats.histogram import (
    HISTOGRAM_NAME,
    BandHistograms,
    load_histogram,
    merge_histograms,
)
from s2pipe.preprocess.stats.statistics import NormalizationStats
from s2pipe.version import __version__

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

    from s2pipe.dataset.scene_key import SceneKey
    from s2pipe.preprocess.scene_plan import ScenePlan


@dataclass(frozen=True, eq=False)  # recognised by itself: each worker has one
class Shared:
    """What all tasks of a run have in common."""

    config: PreprocessConfig
    """The run's configuration."""
    stats: NormalizationStats | None
    """Statistics to apply."""
    root: Path
    """Root of the Step-1 dataset."""
    version: str
    """Version of s2pipe that made the plans."""


class Spread:
    """Processes or counts scenes on a cluster.

    Parameters
    ----------
    cluster : Cluster
        Where.
    config : PreprocessConfig
        A checked configuration; its mode says what is done.
    stats : NormalizationStats or None
        Statistics to apply.
    """

    def __init__(self, cluster: Cluster, config: PreprocessConfig, stats: NormalizationStats | None) -> None:
        self._cluster = cluster
        self._config = config
        self._stats = stats
        self._is_counting = config.normalize.mode == "compute_only"
        self._keys: dict[str, SceneKey] = {}
        self._sum = cluster.sum(add_counts_of_files, add_counts, config.out_dir)

    def records(self, scenes: Sequence[ScenePlan]) -> Generator[SceneRecord, None, None]:
        """Do the scenes, in any order; those that another run is at come last."""
        if not scenes:
            return
        shared = self._cluster.share(
            Shared(self._config, self._stats, scenes[0].root, __version__), "configuration"
        )
        plans = {scene.key: scene for scene in scenes}
        held: list[ScenePlan] = []
        for wait in (False, True):
            tasks = self._tasks(held if wait else scenes, shared, wait=wait)
            function = count_scene if self._is_counting else process_scene
            for record in self._cluster.each(function, tasks, self._lost):
                if record.status == "held":
                    held.append(plans[record.key])
                    continue
                if self._is_counting and record.error is None:
                    self._sum.put(record.key.sample_dir / HISTOGRAM_NAME)
                yield record

    def total(self) -> BandHistograms | None:
        """Return the sum of what was counted; None when nothing was."""
        total: BandHistograms | None = self._sum.total()
        return total

    def _tasks(
        self, scenes: Sequence[ScenePlan], shared: object, *, wait: bool
    ) -> Iterator[tuple[str, tuple[object, ...]]]:
        for scene in scenes:
            name = f"{scene.key.compact}-again" if wait else scene.key.compact
            self._keys[name] = scene.key
            # The split is read by workers: it may be larger than all else.
            yield name, (shared, replace(scene, split=None), wait)

    def _lost(self, name: str, reason: str) -> SceneRecord:
        return SceneRecord(self._keys[name], "failed", error=reason)


def process_scene(shared: Shared, plan: ScenePlan, wait: bool) -> SceneRecord:
    """Do one scene of pass 2 on a worker, and list its sample here: the run may have ended meanwhile."""
    config, inputs = _prepared(shared)
    record = one_scene.process_scene(plan, config, shared.stats, inputs=inputs, wait=wait)
    if record.status == "done":
        with suppress(OSError, S2PipeError):  # the run tries it too, and says why it cannot be done
            return replace(record, recorded=list_sample(config.out_dir, record.key.sample_dir))
    return record


def count_scene(shared: Shared, plan: ScenePlan, wait: bool) -> SceneRecord:
    """Do one scene of pass 1 on a worker."""
    config, inputs = _prepared(shared)
    return one_scene.count_scene(plan, config, inputs=inputs, wait=wait)


@functools.lru_cache(maxsize=2)
def _prepared(shared: Shared) -> tuple[PreprocessConfig, SceneInputs]:
    """What a worker keeps while it works for a run: threads as it may use, and which files are verified."""
    require_version(shared.version)
    config = replace(shared.config, num_workers=worker_threads(shared.config.num_workers))
    return config, SceneInputs(shared.root, config, ())


def add_counts_of_files(out_dir: Path, paths: Sequence[Path]) -> BandHistograms:
    """Add the histograms of scenes, which lie beside their outputs."""
    return merge_histograms(load_histogram(out_dir / path) for path in paths)


def add_counts(parts: Sequence[BandHistograms]) -> BandHistograms:
    """Add sums of histograms."""
    return merge_histograms(parts)
