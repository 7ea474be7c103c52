"""Step 2 from a configuration to finished samples: plan, process scene by scene, record."""

from __future__ import annotations

import logging
import threading
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from s2pipe.dataset.outcome import FailedScene
from s2pipe.dataset.scene_key import SceneKey
from s2pipe.dataset.step1_index import load_index
from s2pipe.dataset.step2_index import (
    SampleJournal,
    SampleTable,
    check_index,
    compact_index,
    index_path,
    load_entries,
    updated_afterwards,
)
from s2pipe.distributed.cluster import open_cluster
from s2pipe.errors import OutputError, S2PipeError
from s2pipe.ground.mask import load_ground_split
from s2pipe.preprocess.absent import check_present
from s2pipe.preprocess.counted import CountedScenes
from s2pipe.preprocess.finish import sweep_samples
from s2pipe.preprocess.finished import FINISHED, FinishedScenes
from s2pipe.preprocess.in_turn import InTurn
from s2pipe.preprocess.nbar import nbar_notes
from s2pipe.preprocess.needs import with_angles
from s2pipe.preprocess.one_scene import SceneRecord, check
from s2pipe.preprocess.plan import Plan, make_plan
from s2pipe.preprocess.record import is_complete, sample_fingerprint
from s2pipe.preprocess.run_log import RunLog
from s2pipe.preprocess.spread import Spread
from s2pipe.preprocess.stats.statistics import NormalizationStats
from s2pipe.preprocess.stats.stats_file import save_stats, stats_to_apply
from s2pipe.preprocess.target import no_scene
from s2pipe.preprocess.verify_inputs import How, describe_checks
from s2pipe.raster.capabilities import jpeg2000_driver
from s2pipe.runtime.disk import full_disk_ends
from s2pipe.runtime.files import check_writable
from s2pipe.runtime.notebook import InNotebooks
from s2pipe.runtime.paths import check_owned
from s2pipe.runtime.progress import Progress
from s2pipe.runtime.run_ids import new_run_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from s2pipe.dataset.step1_index import Index
    from s2pipe.preprocess.cfg import PreprocessConfig
    from s2pipe.preprocess.scene_plan import ScenePlan


log = logging.getLogger("s2pipe.preprocess")


@dataclass
class PreprocessResult(InNotebooks):
    """What a run did."""

    run_id: str
    """Name of the run."""
    done: list[SceneKey] = field(default_factory=list)
    """Scenes processed now."""
    up_to_date: list[SceneKey] = field(default_factory=list)
    """Scenes whose outputs were complete and current."""
    incomplete: list[SceneKey] = field(default_factory=list)
    """Scenes left out by skip_incomplete."""
    outside: list[SceneKey] = field(default_factory=list)
    """Scenes left out because the area of interest misses them."""
    failed: list[FailedScene] = field(default_factory=list)
    """Scenes that failed."""
    inputs: dict[How, int] = field(default_factory=lambda: dict.fromkeys(get_args(How), 0))
    """Input files of the scenes done now by how they were compared with the index: by checksum now, or earlier and
    unchanged since; by size; not at all, since the index knows neither."""
    index_path: Path | None = None
    """Step-2 index; None for pass 1."""
    stats_path: Path | None = None
    """stats.json written by pass 1, else None."""
    log_path: Path | None = None
    """Record of the run."""
    error: str | None = None
    """Why pass 1 could not make statistics of the scenes that it counted; None when it could."""

    @property
    def exit_code(self) -> int:
        """0 when every scene is complete, 1 when some failed or have no statistics."""
        return 1 if self.failed or self.error else 0

    def summary(self) -> dict[str, Any]:
        """Plain values for ``--json``."""
        return {
            "run_id": self.run_id,
            "done": [str(key) for key in self.done],
            "up_to_date": [str(key) for key in self.up_to_date],
            "incomplete": [str(key) for key in self.incomplete],
            "outside": [str(key) for key in self.outside],
            "failed": [{"scene": str(item.key), "error": item.error} for item in self.failed],
            "inputs": dict(self.inputs),
            "index_path": None if self.index_path is None else str(self.index_path),
            "stats_path": None if self.stats_path is None else str(self.stats_path),
            "log_path": None if self.log_path is None else str(self.log_path),
            "error": self.error,
        }


def run_preprocess(config: PreprocessConfig) -> PreprocessResult:
    """Run Step 2 over the scenes of a Step-1 manifest.

    Parameters
    ----------
    config : PreprocessConfig
        What to do. With ``normalize.mode`` ``compute_only`` statistics are written (pass 1), else samples.

    Returns
    -------
    PreprocessResult
        Scenes done, up to date, left out and failed. A failed scene does not stop the others.

    Raises
    ------
    S2PipeError
        Anything that is wrong before the first pixel: configuration, missing inputs, statistics that do not
        match, outputs that cannot be written. Nothing was written then.
    DiskFullError
        The disk is full; what is finished is kept.
    """
    config = check(config)
    jpeg2000_driver()
    check_present(config)
    stats = None
    if config.normalize.mode == "apply_with_stats":
        stats = stats_to_apply(config)
    index = replace(load_index(config.index_json), allow_absolute=config.allow_absolute_paths)
    known = _known_scenes(index, config, stats)
    plan = make_plan(index, config) if known is None else make_plan(index, config, known.find)
    if plan.outside and not (plan.scenes or plan.finished or plan.unreadable or config.only.shard):
        raise no_scene(config, len(plan.outside))
    if isinstance(known, CountedScenes) and config.only.shard is None and not known.prepare(plan):
        plan = make_plan(index, config, known.find)
    if config.normalize.mode == "compute_only" and config.normalize.split_plan is not None:
        split = load_ground_split(config.normalize.split_plan)
        split.check_knows([s.key.tile_id for s in plan.scenes], str(config.normalize.split_plan))
        plan = replace(plan, scenes=tuple(replace(scene, split=split) for scene in plan.scenes))
    listed = _check_outputs(config)
    for note in nbar_notes(config):
        log.warning("%s", note)
    threading.Thread(target=_warm_up, args=(config,), daemon=True).start()
    with full_disk_ends(config.out_dir):
        sweep_samples(config.out_dir)
        run = _Run(config, plan)
        if isinstance(known, CountedScenes):
            return run.compute_stats(known)
        if known is None:
            known = FinishedScenes(index, config, stats, listed)
        return run.write_samples(stats, known, listed)


def _known_scenes(
    index: Index, config: PreprocessConfig, stats: NormalizationStats | None
) -> CountedScenes | FinishedScenes | None:
    """Return what is remembered of the scenes; None where there is nothing of samples."""
    if config.normalize.mode == "compute_only":
        return CountedScenes(index, config)
    if config.group_by is None and (config.out_dir / FINISHED).exists():
        return FinishedScenes(index, config, stats, load_entries(config.out_dir))
    return None


def _check_outputs(config: PreprocessConfig) -> SampleTable:
    """Check that everything can be written before anything is; return the index of samples as it is."""
    normalize = config.normalize
    if normalize.mode == "compute_only" and normalize.stats_path is not None:
        check_writable(normalize.stats_path.parent)
        if normalize.stats_path.is_dir():
            msg = f"{normalize.stats_path}: is a directory; name the file stats.json inside it"
            raise OutputError(msg)
    check_writable(config.out_dir)
    check_owned(config.out_dir, "processed", "meta/step2/runs")
    return SampleTable() if normalize.mode == "compute_only" else check_index(config.out_dir)


def _warm_up(config: PreprocessConfig) -> None:
    """Compile the kernels that a run needs while its first tiles decode."""
    import s2kernels

    names = {"none": "reflectance_valid", "compute_only": "reflectance_histogram"}
    wanted = ["block_mean", "double_bilinear", names.get(config.normalize.mode, "reflectance_standardize")]
    if with_angles(config):  # first, since angles are written before the stack
        wanted.insert(0, "interpolate_directions" + (":int16" if config.angles.dtype == "int16" else ""))
    if config.nbar_bands:
        wanted.append("nbar")
    s2kernels.warm_up(wanted)


@contextmanager
def _hands(config: PreprocessConfig, stats: NormalizationStats | None) -> Iterator[InTurn | Spread]:
    """Return what does the scenes: this process, or a cluster."""
    if config.scheduler is None:
        yield InTurn(config, stats)
        return
    with open_cluster(config.scheduler, config.num_workers) as cluster:
        yield Spread(cluster, config, stats)


class _Run:
    """One run: its plan, its log, its result."""

    def __init__(self, config: PreprocessConfig, plan: Plan) -> None:
        self.config = config
        self.plan = plan
        self.result = PreprocessResult(config.run_id or new_run_id())
        self._log = RunLog(config.out_dir, self.result.run_id)
        self.result.log_path = self._log.path
        self._record: Callable[[SceneRecord], None] | None = None

    def compute_stats(self, counted: CountedScenes) -> PreprocessResult:
        """Pass 1: histograms beside the scenes, then the statistics of all of them."""
        plans = {scene.key: scene for scene in self.plan.scenes}
        if self.config.group_by is None:
            self._record = lambda done: counted.remember(plans[done.key])
        with _hands(self.config, None) as hands:
            self._each_scene(hands)
            total = hands.total() if self.config.only.shard is None else None
        if counted.sum:
            if total is not None:
                counted.sum.add(total)
            total = counted.sum.total()
        stats_path = self.config.normalize.stats_path
        assert stats_path is not None
        if self.config.only.shard is not None:
            log.info(
                "shard %s is counted; when all are, run without --shard, or `s2pipe stats merge %s --out %s`",
                self.config.only.shard,
                self.config.out_dir,
                stats_path,
            )
        elif total is not None:
            left_out = len(self.result.incomplete) + len(self.result.failed)
            try:
                stats = NormalizationStats.of(total, self.config.normalize.clip_percentiles, left_out)
            except S2PipeError as error:  # known only now that every pixel was counted
                self.result.error = f"{error}. The scenes are counted; {stats_path} was not written"
                log.error("%s", self.result.error)
                return self.result
            save_stats(stats_path, stats, total if self.config.normalize.save_histograms else None)
            self.result.stats_path = stats_path
            counted.remember_stats([*self.result.done, *self.result.up_to_date], left_out)
        elif counted.is_current:
            self.result.stats_path = stats_path
        return self.result

    def write_samples(
        self, stats: NormalizationStats | None, finished: FinishedScenes, listed: SampleTable
    ) -> PreprocessResult:
        """Pass 2, or the only pass: samples and their index."""
        journal = SampleJournal(self.config.out_dir, self.result.run_id)
        plans = {scene.key: scene for scene in self.plan.scenes}
        is_idle = not (plans or self.plan.unreadable)

        def record(done: SceneRecord) -> None:
            scene = plans[done.key]
            entry = journal.add(done.key.sample_dir, listed, recorded=done.recorded)
            if entry is not None and self.config.group_by is None:
                finished.remember(scene, entry, sample_fingerprint(scene, self.config, stats))

        def update() -> None:
            with closing(journal):
                self._record_failed(journal, stats)
                for scene in self._not_reported():
                    if is_complete(
                        self.config.out_dir, scene.directory, sample_fingerprint(scene, self.config, stats)
                    ):
                        journal.add(scene.directory, listed)
            compact_index(self.config.out_dir, only_if_new=is_idle)
            self.result.index_path = index_path(self.config.out_dir)

        self._record = record
        with updated_afterwards(update), _hands(self.config, stats) as hands:
            self._each_scene(hands)
        return self.result

    def _not_reported(self) -> list[ScenePlan]:
        """Return the scenes that have a sample, of which an interrupted run heard nothing."""
        result = self.result
        heard = {*result.done, *result.up_to_date, *(item.key for item in result.failed)}
        left = (scene for scene in self.plan.scenes if scene.key not in heard)
        return [scene for scene in left if (self.config.out_dir / scene.directory / "meta.json").exists()]

    def _record_failed(self, journal: SampleJournal, stats: NormalizationStats | None) -> None:
        """Record the scenes that failed, and the fingerprint that their samples should have."""
        keys = {item.key for item in self.result.failed}
        for item in self.plan.unreadable:
            journal.fail(item.key.sample_dir, None)
        for scene in self.plan.scenes:
            if scene.key in keys:
                journal.fail(scene.directory, sample_fingerprint(scene, self.config, stats))

    def _each_scene(self, hands: InTurn | Spread) -> None:
        """Process scene by scene, and record what became of each."""
        for left_out in self.plan.incomplete:
            log.warning("%s is left out: %s", left_out.key, left_out.reason)
            self.result.incomplete.append(left_out.key)
            self._log.add(left_out.key, "incomplete", error=left_out.reason)
        for left_out in self.plan.outside:
            log.info("%s is left out: %s", left_out.key, left_out.reason)
            self.result.outside.append(left_out.key)
            self._log.add(left_out.key, "outside", error=left_out.reason)
        for unreadable in self.plan.unreadable:
            self._take(SceneRecord(unreadable.key, "failed", error=unreadable.reason))
        for item in self.plan.finished:
            self._take(SceneRecord(item.key, "up_to_date", inputs=item.inputs), is_known=True)
        scenes = self.plan.scenes
        rows = {str(scene.key): scene.target.height for scene in scenes}
        with Progress("scenes", len(scenes), rows) as progress, closing(hands.records(scenes)) as records:
            for record in records:
                self._take(record)
                progress.step(str(record.key))
        if self.result.inputs["checksum"]:
            log.info("inputs as the index says: %s", describe_checks(self.result.inputs))
        self._log.close()

    def _take(self, record: SceneRecord, *, is_known: bool = False) -> None:
        """Enter what became of a scene into the result and the log."""
        result = self.result
        for how, count in record.inputs.items():
            result.inputs[how] += count
        if record.error is not None:
            log.error("%s failed: %s", record.key, record.error)
            result.failed.append(FailedScene(record.key, record.error))
            self._log.add(record.key, "failed", record.seconds, record.details or record.error)
            return
        is_new = record.status == "done"
        if self._record is not None and not is_known:
            self._record(record)
        (result.done if is_new else result.up_to_date).append(record.key)
        self._log.add(record.key, record.status, record.seconds)
        words = "done" if is_new else "is up to date"
        log.info("%s %s in %.1f s", record.key, words, record.seconds)
