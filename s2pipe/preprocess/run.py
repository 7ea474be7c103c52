"""Step 2 from a configuration to finished samples: plan, process scene by scene, record."""

from __future__ import annotations

import logging
import secrets
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from s2pipe.config import check_config
from s2pipe.errors import S2PipeError
from s2pipe.groundmask import load_ground_split
from s2pipe.manifest import SceneKey, load_index
from s2pipe.preprocess.angles import write_angles
from s2pipe.preprocess.cache import CacheDamagedError
from s2pipe.preprocess.cfg import PreprocessConfig, rule_faults
from s2pipe.preprocess.labels import write_labels
from s2pipe.preprocess.needs import with_angles
from s2pipe.preprocess.plan import Plan, ScenePlan, key_text, make_plan
from s2pipe.preprocess.record import (
    AssetRecord,
    RunLog,
    SampleResult,
    complete_meta,
    histogram_fingerprint,
    index_entry,
    sample_fingerprint,
    sample_meta,
    stale_files,
    update_index,
    write_meta,
)
from s2pipe.preprocess.scene import core_count, count_scene, mask_names, write_stack
from s2pipe.preprocess.stack import write_stack_vrt
from s2pipe.preprocess.stats import (
    HISTOGRAM_NAME,
    Histogram,
    check_stats_match,
    load_histogram,
    load_stats,
    merge_histograms,
    save_histogram,
    stats_document,
    write_stats,
)
from s2pipe.progress import Progress
from s2pipe.raster.gdalenv import jpeg2000_driver
from s2pipe.schema import document_faults

log = logging.getLogger("s2pipe.preprocess")


@dataclass(frozen=True)
class FailedScene:
    """A scene that could not be processed."""

    key: SceneKey
    """The scene's key."""
    error: str
    """What went wrong."""


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
    index_path: Path | None = None
    """Step-2 index; None for pass 1."""
    stats_path: Path | None = None
    """stats.json written by pass 1, else None."""
    log_path: Path | None = None
    """Record of the run."""

    @property
    def exit_code(self) -> int:
        """0 when every scene is complete, 1 when some failed."""
        return 1 if self.failed else 0

    def summary(self) -> dict[str, Any]:
        """Plain values for ``--json``."""
        return {
            "run_id": self.run_id,
            "done": [key_text(key) for key in self.done],
            "up_to_date": [key_text(key) for key in self.up_to_date],
            "incomplete": [key_text(key) for key in self.incomplete],
            "failed": [{"scene": key_text(item.key), "error": item.error} for item in self.failed],
            "index_path": None if self.index_path is None else str(self.index_path),
            "stats_path": None if self.stats_path is None else str(self.stats_path),
            "log_path": None if self.log_path is None else str(self.log_path),
        }


def check(config: PreprocessConfig) -> None:
    """Check a configuration, raising :class:`~s2pipe.errors.ConfigError` with every fault."""
    check_config(
        config, lambda document: document_faults(document, "preprocess_config"), rule_faults, "preprocess"
    )


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
        match. Nothing was written then.
    """
    check(config)
    jpeg2000_driver()
    stats = None
    if config.normalize.mode == "apply_with_stats":
        assert config.normalize.stats_path is not None  # checked above
        stats = load_stats(config.normalize.stats_path)
        check_stats_match(stats, config, str(config.normalize.stats_path))
    plan = make_plan(load_index(config.index_json), config)
    if config.normalize.mode == "compute_only" and config.normalize.split_plan is not None:
        split = load_ground_split(config.normalize.split_plan)
        split.check_knows([s.key.tile_id for s in plan.scenes], str(config.normalize.split_plan))
        plan = replace(plan, scenes=tuple(replace(scene, split=split) for scene in plan.scenes))
    threading.Thread(target=_warm_up, args=(config,), daemon=True).start()
    run = _Run(config, plan)
    if config.normalize.mode == "compute_only":
        return run.compute_stats()
    return run.write_samples(stats)


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

    def __init__(self, config: PreprocessConfig, plan: Plan) -> None:
        self.config = config
        self.plan = plan
        self.result = PreprocessResult(config.run_id or _new_run_id())
        self._log = RunLog(config.out_dir, self.result.run_id)
        self.result.log_path = self._log.path

    def compute_stats(self) -> PreprocessResult:
        """Pass 1: histograms beside the scenes, then the statistics of all of them."""
        histograms: list[Histogram] = []
        self._each_scene(lambda scene: self._count(scene, histograms))
        stats_path = self.config.normalize.stats_path
        assert stats_path is not None
        if histograms:
            total = merge_histograms(histograms)
            left_out = len(self.result.incomplete) + len(self.result.failed)
            document = stats_document(total, self.config.normalize.clip_percentiles, left_out)
            if self.config.normalize.save_histograms:
                save_histogram(stats_path.with_name(HISTOGRAM_NAME), total)
            write_stats(stats_path, document)
            self.result.stats_path = stats_path
        return self.result

    def write_samples(self, stats: Mapping[str, Any] | None) -> PreprocessResult:
        """Pass 2, or the only pass: samples and their index."""
        entries: list[dict[str, Any]] = []
        try:
            self._each_scene(lambda scene: self._write(scene, stats, entries))
        finally:
            self.result.index_path = update_index(self.config.out_dir, entries)
        return self.result

    def _each_scene(self, work: Callable[[ScenePlan], bool]) -> None:
        """Process scene by scene; the one place where a scene's error is caught and recorded."""
        for left_out in self.plan.incomplete:
            log.warning("%s is left out: %s", key_text(left_out.key), left_out.reason)
            self.result.incomplete.append(left_out.key)
            self._log.add(left_out.key, "incomplete", error=left_out.reason)
        for unreadable in self.plan.unreadable:
            self._fail(unreadable.key, unreadable.reason, unreadable.reason, 0.0)
        with Progress("scenes", len(self.plan.scenes)) as progress:
            for scene in self.plan.scenes:
                start = time.monotonic()
                try:
                    is_new = _twice_if_damaged(work, scene)
                except S2PipeError as error:
                    self._fail(scene.key, str(error), traceback.format_exc(), time.monotonic() - start)
                except (
                    Exception
                ) as error:  # the boundary of a scene: recorded with its traceback, others go on
                    reason = f"{type(error).__name__}: {error}"
                    self._fail(scene.key, reason, traceback.format_exc(), time.monotonic() - start)
                else:
                    seconds = time.monotonic() - start
                    (self.result.done if is_new else self.result.up_to_date).append(scene.key)
                    self._log.add(scene.key, "done" if is_new else "up_to_date", seconds)
                    log.info(
                        "%s %s in %.1f s", key_text(scene.key), "done" if is_new else "is up to date", seconds
                    )
                progress.step(key_text(scene.key))
        self._log.close()

    def _fail(self, key: SceneKey, reason: str, details: str, seconds: float) -> None:
        log.error("%s failed: %s", key_text(key), reason)
        self.result.failed.append(FailedScene(key, reason))
        self._log.add(key, "failed", seconds, details)

    def _count(self, scene: ScenePlan, histograms: list[Histogram]) -> bool:
        path = self.config.out_dir / scene.directory / HISTOGRAM_NAME
        fingerprint = histogram_fingerprint(scene, self.config)
        if not self.config.overwrite:
            known = _histogram_at(path, fingerprint)
            if known is not None:
                histograms.append(known)
                return False
        histogram = count_scene(scene, self.config, fingerprint)
        save_histogram(path, histogram)
        histograms.append(histogram)
        return True

    def _write(
        self, scene: ScenePlan, stats: Mapping[str, Any] | None, entries: list[dict[str, Any]]
    ) -> bool:
        out_dir, directory = self.config.out_dir, scene.directory
        if not self.config.overwrite:
            meta = complete_meta(out_dir, directory, sample_fingerprint(scene, self.config, stats))
            if meta is not None:
                entries.append(index_entry(meta, directory))
                return False
        meta = _write_sample(scene, self.config, stats)
        entries.append(index_entry(meta, directory))
        return True


def _write_sample(
    scene: ScenePlan, config: PreprocessConfig, stats: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Write all files of a sample beside their final places, then move them there, ``meta.json`` last."""
    final = config.out_dir / scene.directory
    final.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=final, prefix=".unfinished-") as name:
        work = Path(name)
        names = (*config.band_names, *mask_names(config))
        assets = {"x": _asset(scene, "x.tif", "float32", names, None)}
        label_stats, angles = None, None
        if scene.labels is not None:
            label_stats, dtype = write_labels(work / "y.tif", scene.labels, scene.target, config.labels)
            assets["y"] = _asset(scene, "y.tif", dtype, ("label",), config.labels.ignore_index)
        if scene.angles is not None:
            threads = core_count(config.num_workers)
            made = write_angles(work, scene.angles, scene.target, config.angles, config.view_bands, threads)
            angles = made.document
            for kind, raster in made.rasters.items():
                record = _asset(scene, raster.name, raster.dtype, raster.band_names, raster.nodata)
                assets[kind] = replace(record, grid=raster.grid)
        coverage = write_stack(work / "x.tif", scene, config, stats)
        write_stack_vrt(work, final, scene)
        assets["stack"] = _asset(scene, "stack.vrt", "float32", config.band_names, 0)
        result = SampleResult(assets, coverage.by_channel, label_stats, angles)
        meta = sample_meta(scene, config, result, stats)
        stale = stale_files(final)
        (final / "meta.json").unlink(missing_ok=True)
        for path in stale:
            path.unlink(missing_ok=True)
        for path in sorted(item for item in work.rglob("*") if item.is_file()):
            target = final / path.relative_to(work)
            target.parent.mkdir(exist_ok=True)
            path.replace(target)
        write_meta(final / "meta.json", meta)
    return meta


def _asset(
    scene: ScenePlan, name: str, dtype: str, bands: tuple[str, ...], nodata: float | None
) -> AssetRecord:
    return AssetRecord((scene.directory / name).as_posix(), dtype, tuple(bands), nodata)


def _twice_if_damaged(work: Callable[[ScenePlan], bool], scene: ScenePlan) -> bool:
    """Do a scene's work; if its kept stack turns out damaged, which drops it, do it again from the rasters."""
    try:
        return work(scene)
    except CacheDamagedError as error:
        log.warning("%s", error)
        return work(scene)


def _histogram_at(path: Path, fingerprint: str) -> Histogram | None:
    """A scene's histogram, if it is there and was made from these inputs with these settings."""
    try:
        histogram = load_histogram(path)
    except S2PipeError:
        return None
    return histogram if histogram.inputs_fingerprint == fingerprint else None


def _new_run_id() -> str:
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
