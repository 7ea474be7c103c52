"""Step 2 from a configuration to finished samples: plan, process scene by scene, record."""

from __future__ import annotations

import logging
import threading
import time
import traceback
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from s2pipe.config.checks import check_config
from s2pipe.dataset.outcome import FailedScene
from s2pipe.dataset.scene_key import SceneKey
from s2pipe.dataset.step1_index import load_index
from s2pipe.dataset.step2_index import check_index, update_index, updated_afterwards
from s2pipe.errors import ConfigError, DiskFullError, Fault, OutputError, S2PipeError
from s2pipe.ground.mask import load_ground_split
from s2pipe.preprocess.cfg import PreprocessConfig
from s2pipe.preprocess.describe import describe
from s2pipe.preprocess.finish import sample_lock, sweep_samples
from s2pipe.preprocess.needs import with_angles
from s2pipe.preprocess.pixels.cache import CacheDamagedError
from s2pipe.preprocess.plan import Plan, ScenePlan, make_plan
from s2pipe.preprocess.record import (
    RunLog,
    histogram_fingerprint,
    is_complete,
    sample_fingerprint,
)
from s2pipe.preprocess.rules import rule_faults
from s2pipe.preprocess.sample import write_sample
from s2pipe.preprocess.scene import count_scene
from s2pipe.preprocess.scene_inputs import SceneInputs
from s2pipe.preprocess.stats.histogram import (
    HISTOGRAM_NAME,
    BandHistograms,
    HistogramSum,
    load_histogram,
    save_histogram,
)
from s2pipe.preprocess.stats.statistics import NormalizationStats
from s2pipe.preprocess.stats.stats_file import save_stats, stats_to_apply
from s2pipe.preprocess.verify_inputs import How, describe_checks
from s2pipe.raster.capabilities import jpeg2000_driver
from s2pipe.runtime.disk import full_disk_ends
from s2pipe.runtime.files import check_writable
from s2pipe.runtime.paths import InsidePath, check_owned
from s2pipe.runtime.progress import Progress
from s2pipe.runtime.run_ids import new_run_id

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger("s2pipe.preprocess")


@dataclass
class PreprocessResult:
    """What a run did."""

    run_id: str
    """Name of the run."""
    done: list[SceneKey] = field(default_factory=list)
    """Scenes processed now."""
    up_to_date: list[SceneKey] = field(default_factory=list)
    """Scenes whose outputs were complete and current."""
    incomplete: list[SceneKey] = field(default_factory=list)
    """Scenes left out by skip_incomplete."""
    failed: list[FailedScene] = field(default_factory=list)
    """Scenes that failed."""
    inputs: dict[How, int] = field(default_factory=dict)
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
            "failed": [{"scene": str(item.key), "error": item.error} for item in self.failed],
            "inputs": dict(self.inputs),
            "index_path": None if self.index_path is None else str(self.index_path),
            "stats_path": None if self.stats_path is None else str(self.stats_path),
            "log_path": None if self.log_path is None else str(self.log_path),
            "error": self.error,
        }


def check(config: PreprocessConfig) -> PreprocessConfig:
    """Check a configuration and bring its values to their types.

    Raises
    ------
    ConfigError
        With every fault.
    """
    if not isinstance(config, PreprocessConfig):
        got = type(config).__name__
        msg = "run_preprocess"
        raise ConfigError(msg, [Fault("", f"expected a PreprocessConfig, got {got}")])
    return check_config(config, "preprocess", rule_faults)


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
    stats = None
    if config.normalize.mode == "apply_with_stats":
        stats = stats_to_apply(config)
    index = replace(load_index(config.index_json), allow_absolute=config.allow_absolute_paths)
    plan = make_plan(index, config)
    if config.normalize.mode == "compute_only" and config.normalize.split_plan is not None:
        split = load_ground_split(config.normalize.split_plan)
        split.check_knows([s.key.tile_id for s in plan.scenes], str(config.normalize.split_plan))
        plan = replace(plan, scenes=tuple(replace(scene, split=split) for scene in plan.scenes))
    _check_outputs(config)
    threading.Thread(target=_warm_up, args=(config,), daemon=True).start()
    with full_disk_ends(config.out_dir):
        sweep_samples(config.out_dir)
        run = _Run(config, plan, index.root)
        if config.normalize.mode == "compute_only":
            return run.compute_stats()
        return run.write_samples(stats)


def _check_outputs(config: PreprocessConfig) -> None:
    """Check that everything can be written before anything is."""
    normalize = config.normalize
    if normalize.mode == "compute_only" and normalize.stats_path is not None:
        check_writable(normalize.stats_path.parent)
        if normalize.stats_path.is_dir():
            msg = f"{normalize.stats_path}: is a directory; name the file stats.json inside it"
            raise OutputError(msg)
    check_writable(config.out_dir)
    check_owned(config.out_dir, "processed", "meta/step2/runs")
    if normalize.mode != "compute_only":
        check_index(config.out_dir)


def _warm_up(config: PreprocessConfig) -> None:
    """Compile the kernels that a run needs while its first tiles decode."""
    import s2kernels

    names = {"none": "reflectance_valid", "compute_only": "reflectance_histogram"}
    wanted = ["block_mean", "double_bilinear", names.get(config.normalize.mode, "reflectance_standardize")]
    if with_angles(config):  # first, since angles are written before the stack
        wanted.insert(0, "interpolate_directions" + (":int16" if config.angles.dtype == "int16" else ""))
    s2kernels.warm_up(wanted)


class _Run:
    """One run: its plan, its log, its result."""

    def __init__(self, config: PreprocessConfig, plan: Plan, root: Path) -> None:
        self.config = config
        self.plan = plan
        self._inputs = SceneInputs(root, config, plan.scenes)
        self.result = PreprocessResult(config.run_id or new_run_id())
        self._log = RunLog(config.out_dir, self.result.run_id)
        self.result.log_path = self._log.path

    def compute_stats(self) -> PreprocessResult:
        """Pass 1: histograms beside the scenes, then the statistics of all of them."""
        histograms = HistogramSum()
        self._each_scene(lambda scene: self._count(scene, histograms))
        stats_path = self.config.normalize.stats_path
        assert stats_path is not None
        if histograms:
            total = histograms.total()
            left_out = len(self.result.incomplete) + len(self.result.failed)
            try:
                stats = NormalizationStats.of(total, self.config.normalize.clip_percentiles, left_out)
            except S2PipeError as error:  # known only now that every pixel was counted
                self.result.error = f"{error}. The scenes are counted; {stats_path} was not written"
                log.error("%s", self.result.error)
                return self.result
            save_stats(stats_path, stats, total if self.config.normalize.save_histograms else None)
            self.result.stats_path = stats_path
        return self.result

    def write_samples(self, stats: NormalizationStats | None) -> PreprocessResult:
        """Pass 2, or the only pass: samples and their index."""
        done: list[Path] = []

        def update() -> None:
            self.result.index_path = update_index(self.config.out_dir, done, self._failed(stats))

        with updated_afterwards(update):
            self._each_scene(lambda scene: self._write(scene, stats, done))
        return self.result

    def _failed(self, stats: NormalizationStats | None) -> dict[Path, str | None]:
        """Directories of the scenes that failed, and the fingerprint that their samples should have."""
        keys = {item.key for item in self.result.failed}
        expected: dict[Path, str | None] = {item.key.sample_dir: None for item in self.plan.unreadable}
        for scene in self.plan.scenes:
            if scene.key in keys:
                expected[scene.directory] = sample_fingerprint(scene, self.config, stats)
        return expected

    def _each_scene(self, work: Callable[[ScenePlan], bool]) -> None:
        """Process scene by scene; the one place where a scene's error is caught and recorded."""
        for left_out in self.plan.incomplete:
            log.warning("%s is left out: %s", left_out.key, left_out.reason)
            self.result.incomplete.append(left_out.key)
            self._log.add(left_out.key, "incomplete", error=left_out.reason)
        for unreadable in self.plan.unreadable:
            self._fail(unreadable.key, unreadable.reason, unreadable.reason, 0.0)
        with closing(self._inputs), Progress("scenes", len(self.plan.scenes)) as progress:
            for scene in self.plan.scenes:
                start = time.monotonic()
                try:
                    log.debug("%s", describe(scene))
                    with full_disk_ends(self.config.out_dir / scene.directory):
                        is_new = _twice_if_damaged(work, scene)
                except DiskFullError:  # no other scene would fit either
                    raise
                except S2PipeError as error:
                    self._fail(scene.key, str(error), traceback.format_exc(), time.monotonic() - start)
                # The boundary of a scene: recorded with its traceback, and the others go on.
                except Exception as error:  # noqa: BLE001
                    reason = f"{type(error).__name__}: {error}"
                    self._fail(scene.key, reason, traceback.format_exc(), time.monotonic() - start)
                else:
                    seconds = time.monotonic() - start
                    (self.result.done if is_new else self.result.up_to_date).append(scene.key)
                    self._log.add(scene.key, "done" if is_new else "up_to_date", seconds)
                    log.info("%s %s in %.1f s", scene.key, "done" if is_new else "is up to date", seconds)
                progress.step(str(scene.key))
        self.result.inputs = self._inputs.counts
        if self.result.inputs["checksum"]:
            log.info("inputs as the index says: %s", describe_checks(self.result.inputs))
        self._log.close()

    def _fail(self, key: SceneKey, reason: str, details: str, seconds: float) -> None:
        log.error("%s failed: %s", key, reason)
        self.result.failed.append(FailedScene(key, reason))
        self._log.add(key, "failed", seconds, details)

    def _count(self, scene: ScenePlan, histograms: HistogramSum) -> bool:
        path = InsidePath(self.config.out_dir, f"{scene.directory.as_posix()}/{HISTOGRAM_NAME}").owned()
        known = self._counted(scene)
        if known is None:
            prove_again = self._inputs.prove(scene, lambda other: self._counted(other) is not None)
            with sample_lock(self.config.out_dir, scene.directory):
                known = self._counted(scene)  # another run may have been at it
                if known is None:
                    histogram = count_scene(scene, self.config, histogram_fingerprint(scene, self.config))
                    prove_again()
                    save_histogram(path, histogram)
                    histograms.add(histogram)
                    return True
        else:
            self._inputs.confirm(scene)
        histograms.add(known)
        return False

    def _counted(self, scene: ScenePlan) -> BandHistograms | None:
        """A scene's histogram of an earlier run, if it may be used."""
        if self.config.overwrite:
            return None
        path = self.config.out_dir / scene.directory / HISTOGRAM_NAME
        return _histogram_at(path, histogram_fingerprint(scene, self.config))

    def _write(self, scene: ScenePlan, stats: NormalizationStats | None, done: list[Path]) -> bool:
        def is_done(other: ScenePlan) -> bool:
            if self.config.overwrite:
                return False
            fingerprint = sample_fingerprint(other, self.config, stats)
            return is_complete(self.config.out_dir, other.directory, fingerprint)

        is_new = not is_done(scene)
        if is_new:  # before anything of the scene is made, its directory included
            prove_again = self._inputs.prove(scene, is_done)
        else:
            self._inputs.confirm(scene)
        with sample_lock(self.config.out_dir, scene.directory):
            is_new = is_new and not is_done(scene)  # another run may have been at it
            if is_new:
                write_sample(scene, self.config, stats, prove_again)
        done.append(scene.directory)
        return is_new


def _twice_if_damaged(work: Callable[[ScenePlan], bool], scene: ScenePlan) -> bool:
    """Do a scene's work; if its kept stack turns out damaged, which drops it, do it again from the rasters."""
    try:
        return work(scene)
    except CacheDamagedError as error:
        log.warning("%s", error)
        return work(scene)


def _histogram_at(path: Path, fingerprint: str) -> BandHistograms | None:
    """A scene's histogram, if it is there and was made from these inputs with these settings."""
    try:
        histogram = load_histogram(path)
    except S2PipeError:
        return None
    return histogram if histogram.inputs_fingerprint == fingerprint else None
