"""One scene from its plan, or its key, to finished outputs: what runs, job arrays and clusters all call.

Each call holds the lock of the scene's directory, so that any number of processes may be at work in one output
directory, on scenes of their own. Nothing is kept between calls but what is handed in.
"""

from __future__ import annotations

import functools
import logging
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from s2pipe.config.checks import check_config
from s2pipe.dataset.journal import state_of
from s2pipe.dataset.scene_choice import SceneChoice
from s2pipe.dataset.scene_key import SceneKey
from s2pipe.dataset.step1_index import load_index
from s2pipe.errors import ConfigError, DiskFullError, Fault, LockedError, MissingInputError, S2PipeError
from s2pipe.ground.mask import load_ground_split
from s2pipe.preprocess.cfg import PreprocessConfig
from s2pipe.preprocess.describe import describe
from s2pipe.preprocess.finish import claimed_sample, is_held, list_sample
from s2pipe.preprocess.grouping import datatake_of
from s2pipe.preprocess.pixels.cache import CacheDamagedError
from s2pipe.preprocess.plan import make_plan
from s2pipe.preprocess.record import histogram_fingerprint, is_complete, sample_fingerprint
from s2pipe.preprocess.rules import rule_faults
from s2pipe.preprocess.sample import write_sample
from s2pipe.preprocess.scene import scene_histogram
from s2pipe.preprocess.scene_inputs import SceneInputs
from s2pipe.preprocess.scene_plan import ScenePlan
from s2pipe.preprocess.stats.histogram import (
    HISTOGRAM_NAME,
    BandHistograms,
    load_histogram,
    save_histogram,
)
from s2pipe.preprocess.stats.stats_file import stats_to_apply
from s2pipe.preprocess.target import OutsideAreaError
from s2pipe.preprocess.verify_inputs import How
from s2pipe.raster.capabilities import jpeg2000_driver
from s2pipe.runtime.disk import full_disk_ends
from s2pipe.runtime.notebook import InNotebooks
from s2pipe.runtime.paths import InsidePath

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from s2pipe.dataset.scenes import Scene
    from s2pipe.dataset.step1_index import Index
    from s2pipe.ground.split import SplitPlan
    from s2pipe.preprocess.stats.statistics import NormalizationStats

log = logging.getLogger("s2pipe.preprocess")

Status = Literal["done", "up_to_date", "failed", "held", "outside"]
"""What became of a scene: processed now; complete and current before; failed; left to another process that holds it;
left out, because the area or the grid misses it."""


@dataclass(frozen=True)
class SceneRecord(InNotebooks):
    """What became of one scene."""

    key: SceneKey
    """The scene."""
    status: Status
    """``done``, ``up_to_date``, ``failed``, ``held`` or ``outside``."""
    seconds: float = field(default=0.0, compare=False)
    """Wall time."""
    error: str | None = None
    """Why it failed or was left out, else None."""
    details: str | None = field(default=None, compare=False, repr=False)
    """Traceback of the failure, else None."""
    inputs: Mapping[How, int] = field(default_factory=dict)
    """Input files by how they were compared with the index."""
    recorded: bool = field(default=False, compare=False)
    """Whether a journal lists the sample already, so that the index will whatever becomes of the run."""


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


def process_scene(
    scene: ScenePlan | SceneKey | str,
    config: PreprocessConfig,
    stats: NormalizationStats | None = None,
    *,
    inputs: SceneInputs | None = None,
    wait: bool = True,
) -> SceneRecord:
    """Make all files of one sample, unless they are there and current.

    Several calls may run at once, in threads or processes, for different scenes or for the same one: a scene is
    processed by one of them. GDAL's options, cache and error handlers are afterwards as they were. The sample is
    recorded in a journal, which the next run, or ``s2pipe compact``, takes into the index.

    Parameters
    ----------
    scene : ScenePlan, SceneKey or str
        The scene's plan, or its key (``T33UWQ/2025-12-10T10:03:19Z``), by which it is looked up in
        ``config.index_json`` and planned.
    config : PreprocessConfig
        What to do. ``normalize.mode`` is ``none`` or ``apply_with_stats``.
    stats : NormalizationStats, optional
        Statistics to apply; None reads them from ``normalize.stats_path`` where the configuration applies any.
    inputs : SceneInputs, optional
        Memory of verified input files that several calls share; its owner has checked ``config``, and records samples.
        None makes one.
    wait : bool
        Wait while another process is at this scene; False returns the status ``held`` then.

    Returns
    -------
    SceneRecord
        A scene that cannot be processed has the status ``failed`` and the reason.

    Raises
    ------
    ConfigError
        The configuration is not valid, or is one that counts.
    MissingInputError
        The manifest has no scene of this key.
    StatsMismatchError
        The statistics do not fit the configuration.
    DiskFullError
        No scene fits any more.
    """
    config = check(config) if inputs is None else config
    mode = config.normalize.mode
    if mode == "compute_only":
        msg = "process_scene"
        raise ConfigError(
            msg, [Fault("preprocess.normalize.mode", "compute_only is for count_scene; it writes no sample")]
        )
    if mode == "none":
        stats = None
    elif stats is None:
        stats = stats_to_apply(config)
    record = _one(scene, config, inputs, lambda plan, own: _write(plan, config, stats, own, wait=wait))
    if inputs is None and record.status in ("done", "up_to_date"):
        return replace(record, recorded=list_sample(config.out_dir, record.key.sample_dir))
    return record


def count_scene(
    scene: ScenePlan | SceneKey | str,
    config: PreprocessConfig,
    *,
    inputs: SceneInputs | None = None,
    wait: bool = True,
    add: Callable[[BandHistograms], None] | None = None,
) -> SceneRecord:
    """Count the valid values of one scene into ``histogram.npz`` in its directory, unless that is there and current.

    Parameters
    ----------
    scene, config, inputs, wait
        As in :func:`process_scene`; ``normalize.mode`` is ``compute_only``.
    add : callable, optional
        Told of the histogram, new or not.

    Returns
    -------
    SceneRecord
        A scene that cannot be counted has the status ``failed`` and the reason.

    Raises
    ------
    ConfigError
        The configuration is not valid, or is one that does not count.
    MissingInputError
        The manifest has no scene of this key.
    DiskFullError
        No histogram fits any more.
    """
    config = check(config) if inputs is None else config
    if config.normalize.mode != "compute_only":
        msg = "count_scene"
        raise ConfigError(
            msg, [Fault("preprocess.normalize.mode", f"expected compute_only, got {config.normalize.mode}")]
        )
    return _one(scene, config, inputs, lambda plan, own: _count(plan, config, own, wait=wait, add=add))


@dataclass(frozen=True)
class _Outcome:
    """What working on a scene came to."""

    status: Status
    inputs: Mapping[How, int] = field(default_factory=dict)


def _one(
    scene: ScenePlan | SceneKey | str,
    config: PreprocessConfig,
    inputs: SceneInputs | None,
    work: Callable[[ScenePlan, SceneInputs], _Outcome],
) -> SceneRecord:
    """Do a scene's work; the one place where a scene's error is caught."""
    start = time.monotonic()
    jpeg2000_driver()
    source = scene if isinstance(scene, ScenePlan) else _looked_up(scene, config)
    key = source.key if isinstance(source, ScenePlan) else source.scenes[0].key
    try:
        plan = source if isinstance(source, ScenePlan) else _planned(source, config)
        plan = _with_split(plan, config)
        log.debug("%s", describe(plan))
        with full_disk_ends(config.out_dir / plan.directory):
            if inputs is not None:
                outcome = _twice_if_damaged(work, plan, inputs)
            else:
                with closing(SceneInputs(plan.root, config, (plan,))) as own:
                    outcome = _twice_if_damaged(work, plan, own)
    except DiskFullError:  # no other scene would fit either
        raise
    except OutsideAreaError as error:
        return SceneRecord(key, "outside", time.monotonic() - start, str(error))
    except S2PipeError as error:
        return _failed(key, str(error), start)
    # The boundary of a scene: recorded with its traceback, and the others go on.
    except Exception as error:  # noqa: BLE001
        return _failed(key, f"{type(error).__name__}: {error}", start)
    return SceneRecord(key, outcome.status, time.monotonic() - start, inputs=outcome.inputs)


def _failed(key: SceneKey, reason: str, start: float) -> SceneRecord:
    return SceneRecord(key, "failed", time.monotonic() - start, reason, traceback.format_exc())


def _looked_up(key: SceneKey | str, config: PreprocessConfig) -> Index:
    """Return the manifest with this scene alone, or with those that become one sample with it."""
    path, wanted = config.index_json, SceneKey.parse(str(key))
    index = _index(path, state_of(path))
    scene = None if wanted is None else index.scene(wanted)
    if scene is None:
        msg = f"{path}: has no scene {str(key)!r}; expected a key such as T33UWQ/2025-12-10T10:03:19Z"
        raise MissingInputError(msg, (), "Look the keys up in the manifest, or index the scene first.")
    scenes: tuple[Scene, ...] = (scene,)
    if config.group_by is not None:  # whichever of its scenes a mosaic is asked for by
        same_time = (other for other in index.scenes if other.key.second == scene.key.second)
        scenes = tuple(other for other in same_time if datatake_of(other) == datatake_of(scene))
    return replace(index, scenes=scenes, allow_absolute=config.allow_absolute_paths)


@functools.lru_cache(maxsize=1)
def _index(path: Path, _: object) -> Index:
    """Read a manifest once for all scenes that are looked up in it."""
    return load_index(path)


@functools.lru_cache(maxsize=1)
def _split(path: Path, _: object) -> SplitPlan:
    return load_ground_split(path)


def _stamp(path: Path) -> tuple[int, int] | None:
    """What a file's content is remembered by; None where there is none, which reading it says."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


def _planned(index: Index, config: PreprocessConfig) -> ScenePlan:
    """Plan the only scene of a manifest, whichever scenes the configuration chooses."""
    normalize = replace(config.normalize, scenes=None)
    everything = replace(config, max_scenes=None, only=SceneChoice(), normalize=normalize)
    if config.group_by is None:
        everything = replace(everything, skip_incomplete=False)
    else:  # a mosaic is of those that the configuration chooses
        everything = replace(everything, only=SceneChoice(tiles=config.only.tiles))
    plan = make_plan(index, everything)
    for item in plan.unreadable:
        raise S2PipeError(item.reason)
    if not plan.scenes:
        raise OutsideAreaError(plan.outside[0].reason)
    return plan.scenes[0]


def _with_split(plan: ScenePlan, config: PreprocessConfig) -> ScenePlan:
    """Give a plan the split that its statistics obey, which plans are sent to other processes without."""
    path = config.normalize.split_plan
    if config.normalize.mode != "compute_only" or path is None or plan.split is not None:
        return plan
    split = _split(path, _stamp(path))
    split.check_knows([plan.key.tile_id], str(path))
    return replace(plan, split=split)


def _twice_if_damaged(
    work: Callable[[ScenePlan, SceneInputs], _Outcome], plan: ScenePlan, inputs: SceneInputs
) -> _Outcome:
    """Do a scene's work; if its kept stack turns out damaged, which drops it, do it again from the rasters."""
    try:
        return work(plan, inputs)
    except CacheDamagedError as error:
        log.warning("%s", error)
        return work(plan, inputs)


def _write(
    plan: ScenePlan,
    config: PreprocessConfig,
    stats: NormalizationStats | None,
    inputs: SceneInputs,
    *,
    wait: bool,
) -> _Outcome:
    def needs_nothing(other: ScenePlan) -> bool:
        return _is_current(other, config, stats) or is_held(config.out_dir, other.directory)

    with _claimed(plan, config, wait=wait) as is_ours:
        if not is_ours:
            return _Outcome("held")
        if _is_current(plan, config, stats):
            return _Outcome("up_to_date", inputs.confirm(plan))
        proof = inputs.prove(plan, needs_nothing)
        write_sample(plan, config, stats, proof.again)
        return _Outcome("done", proof.counts)


def _is_current(plan: ScenePlan, config: PreprocessConfig, stats: NormalizationStats | None) -> bool:
    """Tell whether a sample is there, whole, and made from these inputs by this configuration."""
    if config.overwrite:
        return False
    return is_complete(config.out_dir, plan.directory, sample_fingerprint(plan, config, stats))


def _count(
    plan: ScenePlan,
    config: PreprocessConfig,
    inputs: SceneInputs,
    *,
    wait: bool,
    add: Callable[[BandHistograms], None] | None,
) -> _Outcome:
    def needs_nothing(other: ScenePlan) -> bool:
        return _counted(other, config) is not None or is_held(config.out_dir, other.directory)

    with _claimed(plan, config, wait=wait) as is_ours:
        if not is_ours:
            return _Outcome("held")
        histogram = _counted(plan, config)
        if histogram is not None:
            outcome = _Outcome("up_to_date", inputs.confirm(plan))
        else:
            path = InsidePath(config.out_dir, f"{plan.directory.as_posix()}/{HISTOGRAM_NAME}").owned()
            proof = inputs.prove(plan, needs_nothing)
            histogram = scene_histogram(plan, config, histogram_fingerprint(plan, config))
            proof.again()
            save_histogram(path, histogram)
            outcome = _Outcome("done", proof.counts)
    if add is not None:
        add(histogram)
    return outcome


def _counted(plan: ScenePlan, config: PreprocessConfig) -> BandHistograms | None:
    """A scene's histogram of an earlier run, if it was made from these inputs with these settings."""
    if config.overwrite:
        return None
    try:
        histogram = load_histogram(config.out_dir / plan.directory / HISTOGRAM_NAME)
    except S2PipeError:
        return None
    return histogram if histogram.inputs_fingerprint == histogram_fingerprint(plan, config) else None


@contextmanager
def _claimed(plan: ScenePlan, config: PreprocessConfig, *, wait: bool) -> Iterator[bool]:
    """Hold a scene; False when another process does, and nobody wants to wait."""
    with ExitStack() as stack:
        try:
            stack.enter_context(claimed_sample(config.out_dir, plan.directory, wait=wait))
        except LockedError:
            if wait:
                raise
            yield False
            return
        yield True
