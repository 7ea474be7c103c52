"""Carrying a plan out: files of all scenes by a few workers, each scene recorded as it grows."""

from __future__ import annotations

import logging
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from s2pipe.dataset.input_file import InputFile
from s2pipe.dataset.step1_index import Scene
from s2pipe.download.files.fetch import PART_NAME, Arrived, FetchOptions, FetchTask, disk_error, fetch
from s2pipe.download.files.plan import SceneDownload
from s2pipe.download.service.retry import Stopped
from s2pipe.errors import AuthError, ChecksumError, DiskFullError, LockedError, S2PipeError, ServiceError
from s2pipe.runtime.files import unfinished, write_bytes_atomic
from s2pipe.runtime.locks import locked
from s2pipe.sentinel2 import roles
from s2pipe.sentinel2.safe import read_product_info

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from s2pipe.dataset.assets import Asset, AssetGroup
    from s2pipe.runtime.progress import ByteProgress

log = logging.getLogger("s2pipe.download")

_LOCK_POLL_S = 0.2


@dataclass
class SceneJob:
    """One scene on its way."""

    plan: SceneDownload
    """What it needs."""
    here: dict[str, Arrived | None] = field(default_factory=dict)
    """Roles fetched by this run, with what arrived; None where the file was there already."""
    faults: dict[str, str] = field(default_factory=dict)
    """Why a role could not be fetched."""
    tracebacks: dict[str, str] = field(default_factory=dict)
    """Where it happened, for faults of the program itself."""
    started: float | None = None
    """Monotonic time of its first file."""
    seconds: float = 0.0
    """How long it took."""

    @property
    def status(self) -> str:
        """``done``, ``up_to_date``, ``failed``, ``planned``, or ``unfinished`` when the run was stopped."""
        if self.plan.error is not None or self.faults:
            return "failed"
        if not self.plan.tasks:
            return "planned" if self.plan.estimated else "up_to_date"
        if len(self.here) == len(self.plan.tasks):
            return "done"
        return "planned" if self.started is None else "unfinished"

    @property
    def error(self) -> str | None:
        """Everything that went wrong."""
        faults = ([self.plan.error] if self.plan.error else []) + list(self.faults.values())
        return "\n".join(faults) or None

    def scene(self) -> Scene:
        """Return the scene's index entry as it is now."""
        scene, here = self.plan.scene, dict(self.here)
        return replace(
            scene,
            files_l1c=_grown(scene.files_l1c, here),
            files_l2a=_grown(scene.files_l2a, here),
        )

    def entry(self) -> Scene:
        """Return what the index is told of it: of another half, the scene without its own products."""
        is_half = self.plan.pair.l1c.half is not None
        return Scene(self.plan.key, others=(self.scene(),)) if is_half else self.scene()


def _grown(group: AssetGroup | None, here: Mapping[str, Arrived | None]) -> AssetGroup | None:
    if group is None:
        return None
    items = (_present(item, here[item.role]) if item.role in here else item for item in group.items)
    return replace(group, items=tuple(items))


def _present(asset: Asset, arrived: Arrived | None) -> Asset:
    """Mark a file as present; what its product does not state about it is taken from what arrived."""
    asset = replace(asset, planned=False, present=True)
    if arrived is None:
        return asset
    size = arrived.size if asset.size is None else asset.size
    return replace(asset, size=size, checksum=asset.checksum or arrived.checksum)


class Transfer:
    """Fetches the files of planned scenes.

    Parameters
    ----------
    options : FetchOptions
        How files are fetched.
    progress : ByteProgress
        Told of finished files.
    root : Path
        Root of the dataset.
    stop : threading.Event
        Ends all workers when set.
    record : callable
        Told of a scene when it grew, and whether it is finished.
    renew : callable
        Plans a scene anew from a fresh manifest.safe, when a role's file is not what the kept one states; None when
        there is no fresher one.
    """

    def __init__(
        self,
        options: FetchOptions,
        progress: ByteProgress,
        root: Path,
        stop: threading.Event,
        record: Callable[[SceneJob], None],
        renew: Callable[[SceneDownload, str], SceneDownload | None] = lambda _plan, _role: None,
    ) -> None:
        self._options = options
        self._progress = progress
        self._root = root
        self._stop = stop
        self._record = record
        self._renew = renew
        self._fatal: BaseException | None = None
        self._lock = threading.Lock()

    def run(self, jobs: Sequence[SceneJob], workers: int) -> None:
        """Fetch all files of all scenes; a file that fails fails its scene only.

        Raises
        ------
        AuthError, DiskFullError
            Nothing more can be fetched; what is there stays and is recorded.
        """
        for job in jobs:
            if not job.plan.tasks:
                _sweep_if_free(job.plan, self._root)
        work = [_Work(job, self._root, self._stop) for job in jobs if job.plan.tasks]
        pool = ThreadPoolExecutor(workers, thread_name_prefix="download")
        try:
            for item in work:
                for role in item.job.plan.tasks:
                    pool.submit(self._one, item, role)
            pool.shutdown(wait=True)
        except (
            BaseException
        ):  # Ctrl-C: workers end at their next piece, then the caller records what there is
            self._stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
            raise
        finally:
            for item in work:
                item.release()
        if self._fatal is not None:
            raise self._fatal

    def _one(self, work: _Work, role: str) -> None:
        job = work.job
        try:
            if self._stop.is_set():
                return
            with work.held():
                task = job.plan.tasks[role]
                work.arrived(role, self._put_as_served(work, role))
                if role in job.plan.ready and job.plan.tasks[role] != task:
                    self._put(job.plan, role)  # what it was copied from was fetched again meanwhile
            self._progress.file_done()
            self._record(job)
        except Stopped:
            pass
        except (AuthError, DiskFullError) as error:
            self._end(error)
        except S2PipeError as error:
            log.error("%s", error)
            job.faults[role] = str(error)
        except Exception as error:  # noqa: BLE001 - the boundary of a file: recorded with its traceback, others go on
            log.error("%s: %s: %s", job.plan.tasks[role].what, type(error).__name__, error)
            job.faults[role] = f"{job.plan.tasks[role].what}: {type(error).__name__}: {error}"
            job.tracebacks[role] = traceback.format_exc()
        finally:
            if work.left():
                self._finish(work)

    def _put_as_served(self, work: _Work, role: str) -> Arrived | None:
        """Fetch a file; if it is not what a kept manifest.safe states, once more as a fresh one does."""
        task = work.job.plan.tasks[role]
        try:
            return self._put(work.job.plan, role)
        except (ChecksumError, ServiceError) as error:
            if isinstance(error, ServiceError) and error.status != 404:
                raise
            if not work.renewed(task, role, self._renew):
                raise
        for manifest in work.job.plan.ready.keys() & work.job.here.keys():
            self._put(work.job.plan, manifest)  # the kept one was copied before
        arrived = self._put(work.job.plan, role)
        task.quarantine.unlink(missing_ok=True)  # it was right, and what was expected of it wrong
        return arrived

    def _put(self, plan: SceneDownload, role: str) -> Arrived | None:
        task = plan.tasks[role]
        copy = plan.ready.get(role)
        if copy is None:
            return fetch(task, self._options)
        if not task.is_at_target():
            try:
                write_bytes_atomic(task.target, copy.read_bytes())
            except OSError as error:
                raise disk_error(task.target, error) from error
        self._options.count(task.size or 0)
        return None

    def _finish(self, work: _Work) -> None:
        job = work.job
        try:
            if job.started is not None:
                job.seconds = time.monotonic() - job.started
            if job.status == "done":
                read_metadata(job, self._root)
            log.info("%s %s", job.plan.key, job.status)
            self._record(job)
        except (S2PipeError, OSError) as error:
            self._end(error)
        finally:
            work.release()

    def _end(self, error: BaseException) -> None:
        with self._lock:
            if self._fatal is None:
                self._fatal = error
        self._stop.set()


class _Work:
    """A scene's files among the workers, under a lock that keeps other processes from the same scene."""

    def __init__(self, job: SceneJob, root: Path, stop: threading.Event) -> None:
        self.job = job
        self._path = _lock_path(job.plan, root)
        self._stop = stop
        self._mutex = threading.Lock()
        self._renewal = threading.Lock()
        self._stack = ExitStack()
        self._is_held = False
        self._left = len(job.plan.tasks)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Wait until no other process works on the scene."""
        with self._mutex:
            while not self._is_held:
                if self._stop.is_set():
                    raise Stopped
                try:
                    self._stack.enter_context(locked(self._path, wait=False))
                    self._is_held = True
                    _sweep(self.job.plan)
                    self.job.started = time.monotonic()
                except LockedError:
                    self._stop.wait(_LOCK_POLL_S)
        yield

    def arrived(self, role: str, what: Arrived | None) -> None:
        with self._mutex:
            self.job.here[role] = what

    def renewed(
        self, task: FetchTask, role: str, renew: Callable[[SceneDownload, str], SceneDownload | None]
    ) -> bool:
        """Plan anew after a task failed, unless another file of the product did that; tell whether it is another."""
        with self._renewal:
            if self.job.plan.tasks[role] == task:
                plan = renew(self.job.plan, role)
                if plan is not None:
                    self.job.plan = plan
            return self.job.plan.tasks[role] != task

    def left(self) -> bool:
        """Count one file less, and tell whether it was the last."""
        with self._mutex:
            self._left -= 1
            return self._left == 0

    def release(self) -> None:
        with self._mutex:
            self._is_held = False
            self._stack.close()


def _lock_path(plan: SceneDownload, root: Path) -> Path:
    return root / "meta/step1/locks" / f"{plan.key.compact}.lock"


def _left_over(plan: SceneDownload) -> list[Path]:
    """What killed runs left among a scene's files, and no run can resume."""
    present = {Path(asset.path).name for asset in plan.scene.assets if asset.present}
    left: list[Path] = []
    for directory in {part.parent for part in plan.parts}:
        for path in directory.glob("*.part"):
            match = PART_NAME.fullmatch(path.name)
            if match is not None and (path not in plan.parts or match[1] in present):
                left.append(path)
    copies = (task.target for role, task in plan.tasks.items() if role in plan.ready)
    return [*left, *(path for target in copies for path in unfinished(target))]


def _sweep(plan: SceneDownload) -> None:
    """Remove what is left over; the caller holds the scene's lock."""
    for path in _left_over(plan):
        path.unlink(missing_ok=True)


def _sweep_if_free(plan: SceneDownload, root: Path) -> None:
    """Remove what is left over of a scene that is complete, unless another run is at it."""
    if _left_over(plan):
        with suppress(LockedError), locked(_lock_path(plan, root), wait=False):
            _sweep(plan)


def read_metadata(job: SceneJob, root: Path) -> None:
    """Complete the L2A product's entry with what only its own metadata tell."""
    scene = job.plan.scene
    asset = None if scene.files_l2a is None else scene.files_l2a.asset(roles.L2A_PRODUCT_METADATA)
    if asset is None or scene.l2a is None or asset.is_remote:
        return
    try:
        file = InputFile.of(asset, root)
        info = read_product_info(file.path, file.label)
    except (S2PipeError, OSError) as error:
        log.warning("%s", error)
        return
    product = replace(scene.l2a, scl_percentages=info.scl_percentages)
    job.plan = replace(job.plan, scene=replace(scene, l2a=product))
