"""Step 1 from a configuration to verified files: search, pair, plan, fetch, record."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from s2pipe.config.checks import check_config
from s2pipe.dataset.outcome import FailedScene
from s2pipe.dataset.scene_key import SceneKey
from s2pipe.dataset.step1_index import Scene, has_index, load_index
from s2pipe.download.auth import Auth, prompt_auth
from s2pipe.download.cfg import Endpoints, PipelineConfig, parse_utc, resolve_endpoints, rule_faults, tiles_of
from s2pipe.download.files.fetch import FetchOptions
from s2pipe.download.files.outcome import outcomes, without_lone_halves
from s2pipe.download.files.plan import Planner, SceneDownload
from s2pipe.download.files.recheck import recheck
from s2pipe.download.files.transfer import SceneJob, Transfer, read_metadata
from s2pipe.download.record import IndexRecorder, RunRecord, without_other_products
from s2pipe.download.search.catalogue import Catalogue, Hit, Search
from s2pipe.download.search.coverage import query_areas
from s2pipe.download.search.select import Choice, Pair, choose, chosen_pairs
from s2pipe.download.service.transport import Transport
from s2pipe.download.tables import check_tables
from s2pipe.errors import DiskFullError, S2PipeError
from s2pipe.runtime.disk import free_bytes, is_full
from s2pipe.runtime.notebook import InNotebooks
from s2pipe.runtime.paths import check_owned
from s2pipe.runtime.progress import ByteProgress, duration_text, size_text
from s2pipe.runtime.run_ids import new_run_id

if TYPE_CHECKING:
    from collections.abc import Iterator

    from s2pipe.sentinel2.safe import Level

log = logging.getLogger("s2pipe.download")

_MARGIN = timedelta(seconds=2)
"""Names carry whole seconds, the catalogue's times more."""
RATE_PER_CONNECTION = 20e6
"""Bytes per second that the service allows on one connection; estimates of time rest on it."""


@dataclass
class DownloadResult(InNotebooks):
    """What a run did."""

    run_id: str
    """Name of the run."""
    manifest_path: Path
    """The Step-1 index of the dataset."""
    run_manifest_path: Path
    """The run's own manifest."""
    dry_run: bool = False
    """Whether it only planned."""
    scenes: list[Scene] = field(default_factory=list)
    """Index entries of the scenes that the query selects."""
    done: list[SceneKey] = field(default_factory=list)
    """Scenes fetched now."""
    up_to_date: list[SceneKey] = field(default_factory=list)
    """Scenes that were complete already."""
    failed: list[FailedScene] = field(default_factory=list)
    """Scenes that could not be fetched whole."""
    passed_over: list[tuple[str, str]] = field(default_factory=list)
    """Products that were found, but not taken, with the reason."""
    damaged: list[str] = field(default_factory=list)
    """Files that verify found damaged or gone, and that were not fetched anew."""
    totals: dict[str, Any] = field(default_factory=dict)
    """Scenes, files, bytes, and estimates of time and disk."""

    @property
    def pairs(self) -> list[Scene]:
        """Another name of ``scenes``."""
        return self.scenes

    @property
    def exit_code(self) -> int:
        """0 when every scene is complete, 1 when some are not."""
        return 1 if self.failed or self.damaged else 0

    def summary(self) -> dict[str, Any]:
        """Plain values for ``--json``."""
        return {
            "run_id": self.run_id,
            "dry_run": self.dry_run,
            "scenes": [str(scene.key) for scene in self.scenes],
            "done": [str(key) for key in self.done],
            "up_to_date": [str(key) for key in self.up_to_date],
            "failed": [{"scene": str(item.key), "error": item.error} for item in self.failed],
            "passed_over": [{"name": name, "reason": reason} for name, reason in self.passed_over],
            "damaged": self.damaged,
            "totals": self.totals,
            "manifest_path": str(self.manifest_path),
            "run_manifest_path": str(self.run_manifest_path),
        }


def run_download(config: PipelineConfig, auth: Auth | None = None) -> DownloadResult:
    """Search, pair, fetch and verify the products that a configuration asks for.

    Parameters
    ----------
    config : PipelineConfig
        What to fetch, and where to.
    auth : Auth, optional
        Credentials; by default those of the environment, ``~/.netrc`` or the keyring, else asked for on the
        terminal. Searching and dry runs never look at them.

    Returns
    -------
    DownloadResult
        Scenes that failed are in it; the others are complete.

    Raises
    ------
    ConfigError
        The configuration is not valid; all faults are listed.
    ServiceError, AuthError, DiskFullError
        The run cannot go on; what has been fetched is kept and recorded.
    """
    config = check_config(config, "download", rule_faults)
    check_tables(config.manifest)
    endpoints = resolve_endpoints(config.download.endpoints)
    areas = query_areas(config.query.geometry, config.query.geometry_crs) if config.query.geometry else ()
    _warn_of_plain_http(endpoints)
    transport = Transport(endpoints, config.download, auth or prompt_auth())
    try:
        return _Run(config, transport, areas).run()
    finally:
        transport.close()


class _Run:
    def __init__(self, config: PipelineConfig, transport: Transport, areas: tuple[str, ...]) -> None:
        self.config = config
        self.transport = transport
        self.areas = areas
        self.root = config.download.out_dir
        run_id = config.control.run_id or new_run_id()
        self.recorder = IndexRecorder(config, run_id)
        self.index = load_index(self.recorder.path) if has_index(self.recorder.path) else None
        self.record = RunRecord(config, run_id, asdict(transport.endpoints))
        self.damaged: list[str] = []

    def run(self) -> DownloadResult:
        is_dry = self.config.download.dry_run
        check_owned(
            self.root, "raw", *(f"meta/step1/{name}" for name in ("runs", "locks", "products", "quarantine"))
        )
        if self.config.download.verify and self.index is not None:
            self.index, self.damaged = recheck(self.index, self.recorder.path, self.root, is_dry=is_dry)
        choice = self._choose()
        with self._recorded():
            planner = Planner(self.config, self.transport, self.root, self.index)
            planner.sweep()
            plans = self._plan(planner, choice.pairs)
            self.record.jobs = [SceneJob(plan) for plan in plans]
            self._announce(plans)
            if is_dry:
                self._refuse_too_large()
                scenes = [job.entry() for job in self.record.jobs if job.plan.error is None]
                self.recorder.add_planned(without_other_products(scenes, self.recorder.path))
                self.recorder.close()
                self.record.status = "planned"
            else:
                self._fetch(planner)
                self.record.status = "failed" if self._failed() else "done"
        return self._result()

    @contextmanager
    def _recorded(self) -> Iterator[None]:
        """Write the run's manifest, however the run ends."""
        try:
            yield
        except BaseException as error:
            is_known = isinstance(error, S2PipeError)
            self.record.status = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
            self.record.error = str(error) if is_known else type(error).__name__
            try:
                self.record.write()
            except S2PipeError as second:
                # A full disk is said once.
                log.log(logging.DEBUG if is_full(error) and is_full(second) else logging.ERROR, "%s", second)
            raise
        self.record.write()

    def _choose(self) -> Choice:
        query = self.config.query
        catalogue = Catalogue(self.transport.get_json, self.transport.endpoints.catalogue, query.top)
        with_l2a = bool(self.config.selection.roles_l2a())
        l1c: list[Hit] = []
        l2a: list[Hit] = []
        only = self.config.only
        for tile in [t for t in tiles_of(query) or (None,) if t is None or only.takes_tile(t)]:
            log.info(
                "searching %s%s", self.transport.endpoints.catalogue, f" for tile {tile}" if tile else ""
            )
            found = self._search(catalogue, "L1C", tile)
            if found and with_l2a:
                l2a += self._search(catalogue, "L2A", tile, among=found)
            if found and (query.cloud_min is not None or query.cloud_max is not None):
                # Newer versions beyond the cloud range: an old one within it must not be taken for the newest.
                keys = {hit.key for hit in found}
                everything = self._search(catalogue, "L1C", tile, among=found)
                found = [*found, *(hit for hit in everything if hit.key in keys)]
            l1c += found
        with_halves = self.config.selection.other_halves
        choice = choose(l1c, l2a, query, with_l2a=with_l2a, with_halves=with_halves)
        self.record.rejected = list(choice.rejected)
        self.record.warnings += catalogue.skipped
        for item in choice.rejected:
            log.log(
                logging.WARNING if item.is_notable else logging.DEBUG,
                "passed over %s: %s",
                item.name,
                item.reason,
            )
        if choice.rejected:
            log.info("%d product(s) passed over; the run's manifest says why", len(choice.rejected))
        if not choice.pairs:
            reasons = "; ".join(f"{item.name} {item.reason}" for item in choice.rejected[:3])
            log.warning("no scene fits the query: %s", reasons or "the catalogue has no product")
        pairs, unknown = chosen_pairs(choice.pairs, only, self.config.control.max_scenes)
        for text in unknown:
            log.warning("%s is not a scene of this query", text)
        return replace(choice, pairs=tuple(part for pair in pairs for part in pair.parts))

    def _search(
        self, catalogue: Catalogue, level: Level, tile: str | None, among: list[Hit] | None = None
    ) -> list[Hit]:
        """Search for a level, by clouds too or, ``among`` hits, in the span of their times and whatever the clouds."""
        query = self.config.query
        start, end = parse_utc(query.date_from_utc), parse_utc(query.date_to_utc, is_end=True)
        assert start is not None
        assert end is not None
        cloud: tuple[float | None, float | None] = (None, None)
        if among is not None:
            times = [hit.name.sensing_start for hit in among]
            start, end = min(times) - _MARGIN, max(times) + _MARGIN
        elif level == "L1C":
            cloud = (query.cloud_min, query.cloud_max)
        return catalogue.search(Search(level, start, end, tile, self.areas, cloud))

    def _plan(self, planner: Planner, pairs: tuple[Pair, ...]) -> list[SceneDownload]:
        if any(planner.needs_login(pair) for pair in pairs):
            self.transport.log_in()  # here, and not in a worker: a user may be asked, and may prefer to leave
        log.info("%d scene(s) found; reading the list of their files", len({pair.key for pair in pairs}))
        with ThreadPoolExecutor(self.config.download.concurrency) as pool:
            futures = [pool.submit(planner.plan, pair) for pair in pairs]
            try:
                return without_lone_halves([future.result() for future in futures])
            except BaseException:
                self.transport.stop.set()
                pool.shutdown(wait=True, cancel_futures=True)
                raise

    def _announce(self, plans: list[SceneDownload]) -> None:
        """Count and print what the run is about to do."""
        good = [plan for plan in plans if plan.error is None]
        missing = sum(plan.bytes_missing for plan in good)
        rate = RATE_PER_CONNECTION * self.config.download.concurrency
        totals = {
            "scenes": len({plan.key for plan in plans}),
            "files": sum(len(plan.scene.assets) for plan in good),
            "bytes": sum(plan.bytes_total for plan in good),
            "files_to_fetch": sum(len(plan.tasks) for plan in good),
            "bytes_to_fetch": missing,
            "bytes_are_upper_bound": any(plan.estimated for plan in good),
            "seconds_at_least": round(missing / rate, 1),
            "disk_free_bytes": free_bytes(self.root),
        }
        self.record.totals = totals
        for plan in plans:
            if plan.error is None:
                log.info("  %s: %d file(s), %s", plan.key, len(plan.tasks), size_text(plan.bytes_missing))
            else:
                log.error("%s failed: %s", plan.key, plan.error)
            for warning in plan.warnings:
                log.warning("%s", warning)
        log.info(
            "to fetch: %d scene(s), %d file(s), %s%s; %s at %s/s at least; the disk has %s free",
            len({plan.key for plan in good if plan.tasks or plan.estimated}),
            totals["files_to_fetch"],
            "up to " if totals["bytes_are_upper_bound"] else "",
            size_text(missing),
            duration_text(missing / rate),
            size_text(rate),
            size_text(free_bytes(self.root)),
        )

    def _refuse_too_large(self) -> None:
        needed, free = self.record.totals["bytes_to_fetch"], self.record.totals["disk_free_bytes"]
        # What unfinished files hold already need not fit again.
        needed -= sum(_size_of(task.part) for job in self.record.jobs for task in job.plan.tasks.values())
        if needed > free and self.record.totals["bytes_are_upper_bound"]:
            log.warning("%s: the disk may be too small for the whole products", self.root)
        elif needed > free:
            msg = (
                f"{self.root}: the disk has {size_text(free)} free, but {size_text(needed)} are to be fetched; "
                "nothing was fetched: make room, or limit control.max_scenes, the dates or the selection"
            )
            raise DiskFullError(msg)

    def _is_described(self, job: SceneJob) -> bool:
        """Tell whether the index holds what only the L2A product's own metadata tell."""
        known = None if self.index is None else self.index.scene(job.plan.key)
        hit = job.plan.pair.l2a
        products = [part.l2a for part in known.parts if part.l2a is not None] if known is not None else []
        return any(
            product.scl_percentages is not None
            for product in products
            if hit is not None and product.product_name == hit.name.safe_name
        )

    def _fetch(self, planner: Planner) -> None:
        self._refuse_too_large()
        if self.record.totals["files_to_fetch"]:
            self.transport.log_in()
        jobs, download = self.record.jobs, self.config.download
        good = [job for job in jobs if job.plan.error is None]
        for job in good:
            if not job.plan.tasks and not self._is_described(job):
                read_metadata(job, self.root)  # a killed run fetched the last file, and did not get to this
        if good:
            self.recorder.add_planned([job.entry() for job in good])
        progress = ByteProgress(self.record.totals["bytes_to_fetch"], self.record.totals["files_to_fetch"])
        options = FetchOptions(
            open=self.transport.open,
            backoff=self.transport.backoff,
            chunk_size=download.chunk_size,
            overwrite=download.overwrite,
            count=progress.add,
        )
        transfer = Transfer(
            options, progress, self.root, self.transport.stop, self.recorder.add, planner.renewed
        )
        try:
            transfer.run(good, download.concurrency)
            log.info("%s", progress.text())
        except DiskFullError:
            with suppress(DiskFullError):  # said once, of the file that did not fit
                self.recorder.close()
            raise
        except BaseException:
            self.recorder.close()
            raise
        finally:
            progress.close()
        self.recorder.close()

    def _failed(self) -> list[FailedScene]:
        found = (scene.failed for scene in outcomes(self.record.jobs))
        return [failure for failure in found if failure is not None]

    def _result(self) -> DownloadResult:
        record, scenes = self.record, outcomes(self.record.jobs)
        is_dry = self.config.download.dry_run
        present = {asset.path for scene in scenes for asset in scene.scene.assets if asset.present}
        fetched = set() if is_dry else present
        return DownloadResult(
            run_id=record.run_id,
            manifest_path=self.recorder.path,
            run_manifest_path=record.directory / "manifest.json",
            dry_run=is_dry,
            scenes=[scene.scene for scene in scenes],
            done=[] if is_dry else [scene.key for scene in scenes if scene.status == "done"],
            up_to_date=[scene.key for scene in scenes if scene.status == "up_to_date"],
            failed=self._failed(),
            passed_over=[(item.name, item.reason) for item in record.rejected],
            damaged=[path for path in self.damaged if path not in fetched],
            totals=record.totals,
        )


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _warn_of_plain_http(endpoints: Endpoints) -> None:
    for url in (endpoints.identity, endpoints.download):
        parts = urlsplit(url)
        if parts.scheme == "http" and parts.hostname not in ("localhost", "127.0.0.1", "::1"):
            log.warning("%s is not encrypted: others on the network can read the login", url)
