"""Step 3 from a configuration to shards: candidates, scores, split, balance, packing, database."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from s2pipe.config.absent import refuse_absent
from s2pipe.config.checks import check_config
from s2pipe.config.documents import read_json
from s2pipe.config.fields import to_plain
from s2pipe.config.schema import STEP1_INDEX
from s2pipe.dataset.entry_document import read_head
from s2pipe.dataset.samples import Sample, load_samples, load_targets
from s2pipe.dataset.step1_index import load_index
from s2pipe.distributed.cluster import open_cluster
from s2pipe.ground.split import SPLITS, SplitPlan
from s2pipe.patches.candidates.assign import (
    PlannedScene,
    candidate_table,
    drop_by_ground,
    grounds_of_samples,
    resolve_plan,
    scenes_of_manifest,
    write_plan,
)
from s2pipe.patches.candidates.balance import balance
from s2pipe.patches.candidates.counts import describe_counts, split_counts, split_warnings
from s2pipe.patches.candidates.kept_scores import KeptScores
from s2pipe.patches.candidates.laid import lay_windows
from s2pipe.patches.candidates.quality import ScoreSettings, apply_filters, score_settings
from s2pipe.patches.candidates.scoring import Scoring
from s2pipe.patches.candidates.screens import Screens
from s2pipe.patches.candidates.twins import drop_duplicates
from s2pipe.patches.cfg import PatchConfig, rule_faults
from s2pipe.patches.database import DATABASE_NAME, Places, Scenes, write_database
from s2pipe.patches.geoparquet import optional_module
from s2pipe.patches.result import PatchResult
from s2pipe.patches.shards.documents import Dataset
from s2pipe.patches.shards.facts import SharedFacts, shared_facts
from s2pipe.patches.shards.layout import (
    Groups,
    ShardPlan,
    has_whole_tiles,
    plan_shards,
    shuffled,
    single_groups,
    time_groups,
)
from s2pipe.patches.shards.publish import (
    SUMMARY_NAME,
    Origin,
    Publication,
    is_published,
    read_shards_json,
    sole_run,
    sweep_shards,
)
from s2pipe.patches.shards.records import ShardRecord
from s2pipe.patches.shards.spread import SpreadWriter
from s2pipe.patches.shards.tarball import most_item_bytes
from s2pipe.patches.shards.writer import ShardWriter
from s2pipe.patches.summary import summary_document
from s2pipe.patches.targets.join import Targets, describe_targets, join_targets
from s2pipe.patches.targets.table import read_targets
from s2pipe.raster.block_cache import block_cache
from s2pipe.raster.capabilities import require_gdal
from s2pipe.runtime.cores import core_count
from s2pipe.runtime.hashing import document_fingerprint
from s2pipe.runtime.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from s2pipe.distributed.cluster import Cluster
    from s2pipe.errors import S2PipeError
    from s2pipe.patches.candidates.laid import LaidWindows, Placed
    from s2pipe.patches.candidates.windows import PatchTable
    from s2pipe.patches.targets.table import TargetTable

log = logging.getLogger("s2pipe.patches")
_CACHE_BYTES = {"shared": 64 << 20, "whole": 8 << 20}
"""GDAL's block cache for each worker: the tiles that neighbouring windows of a chunk share, or the ones being read
where windows are made of whole tiles. GDAL's default is 5 % of memory; more than is used costs time as well."""
_BORDER_WARNING = 0.25


def checked_config(config: PatchConfig) -> PatchConfig:
    """Check a configuration and bring its values to their types.

    Raises
    ------
    ConfigError
        With every fault.
    """
    return check_config(config, "patches", rule_faults)


def plan_patches(config: PatchConfig) -> PatchResult:
    """Write the split of a dataset without reading a pixel: ``s2pipe patches --plan``.

    Parameters
    ----------
    config : PatchConfig
        ``index_json`` may be the Step-1 manifest or the Step-2 index.

    Returns
    -------
    PatchResult
        With the path of the split, which Step 2's ``normalize.split_plan`` takes, and what it gives to each part.

    Raises
    ------
    S2PipeError
        The configuration, or the split that is there already, does not allow it.
    """
    config = checked_config(config)
    scenes: Sequence[Placed]
    if _is_manifest(config.index_json):
        scenes = config.only.matching(
            scenes_of_manifest(load_index(config.index_json)),
            lambda scene: scene.key,
            str(config.index_json),
            "patches.only.scenes",
        )
    else:
        targets = load_targets(config.index_json, config.only)
        scenes = [PlannedScene(key, target) for key, target in targets]
    with sole_run(config.out_dir):
        plan = resolve_plan(config, grounds_of_samples(scenes))
        laid = lay_windows(scenes, config, plan)
        counts = split_counts(laid, config.patch_size)
        path = write_plan(config, plan, counts)
    log.info("%s: split of %d scene(s) by %s", path, len(scenes), config.split.by)
    for line in describe_counts(counts):
        log.info("  %s", line)
    for line in split_warnings(counts, plan):
        log.warning("%s", line)
    return PatchResult(config.out_dir, path, sum(map(len, laid)), split_counts=counts)


def _is_manifest(path: Path) -> bool:
    try:
        with path.open("rb") as stream:
            head = read_head(stream, "samples")  # of a large index no more is read
            stream.seek(0)
            document = head or read_head(stream, "scenes") or read_json(path)
    except (OSError, ValueError):
        return False  # the loader of the Step-2 index says what is wrong
    return isinstance(document, dict) and document.get("schema") == STEP1_INDEX


def run_patches(config: PatchConfig) -> PatchResult:
    """Run Step 3 over the samples of a Step-2 index.

    Parameters
    ----------
    config : PatchConfig
        What to do.

    Returns
    -------
    PatchResult
        Shards and counts. A sample that cannot be read does not stop the others.

    Raises
    ------
    S2PipeError
        Anything that is wrong before the first pixel: configuration, missing inputs, a split planned otherwise.
    """
    config = checked_config(config)
    optional_module("pyarrow.parquet")
    require_gdal()
    refuse_absent(config.named_files, "Run `s2pipe preprocess` first for an index, or correct these keys.")
    samples = load_samples(config.index_json, config.max_scenes, config.only)
    rows = read_targets(config.targets)
    facts = shared_facts(samples, config, describe_targets(rows, config.targets))
    screens = Screens.of(samples, config.quality)
    workers = core_count(config.num_workers)
    with sole_run(config.out_dir, config.only.shard), block_cache(cache_bytes(config, workers)):
        plan = resolve_plan(config, grounds_of_samples(samples))
        return _Run(config, samples, plan, facts).work(screens, workers, rows)


def cache_bytes(config: PatchConfig, workers: int) -> int:
    """GDAL's block cache for a number of threads."""
    return min(3, workers) * _CACHE_BYTES["whole" if has_whole_tiles(config) else "shared"]


class _Run:
    """One run."""

    def __init__(
        self, config: PatchConfig, samples: list[Sample], plan: SplitPlan, facts: SharedFacts
    ) -> None:
        self.config = config
        self.samples = samples
        self.plan = plan
        self.facts = facts
        self.scenes = Scenes(samples, plan.grid, config.patch_size)
        self.targets = Targets()
        self.fingerprint = run_fingerprint(config, plan, facts)
        self.result = PatchResult(config.out_dir)

    def work(self, screens: Screens, workers: int, rows: TargetTable | None) -> PatchResult:
        """Do everything that is not there yet."""
        config = self.config
        if not config.overwrite and is_published(config.out_dir, self.fingerprint):
            return self._unchanged()
        with ExitStack() as stack:
            cluster = None
            if config.scheduler is not None:
                cluster = stack.enter_context(open_cluster(config.scheduler, config.num_workers))
            return self._make(screens, workers, rows, cluster)

    def _make(
        self, screens: Screens, workers: int, rows: TargetTable | None, cluster: Cluster | None
    ) -> PatchResult:
        """Choose patches and write their shards."""
        config = self.config
        laid = lay_windows(self.samples, config, self.plan)
        table = candidate_table(self.samples, laid, self.plan)
        self._warn_of_leaking_statistics()
        settings = score_settings(table, self.samples, screens, config.patch_size)
        if rows is not None:
            self.targets = join_targets(rows, config.targets, table, self.scenes)
        counts = self._count(laid)
        self.result.split_path = write_plan(config, self.plan, counts)
        self._score(table, settings, workers, cluster)
        groups = self._choose(table)
        plans, dataset = self._pack(table, groups)
        publication = Publication(config.out_dir, keep_known=not config.overwrite)
        writer: ShardWriter | SpreadWriter
        if cluster is None:
            writer = ShardWriter(dataset, workers, publication.known)
        else:
            writer = SpreadWriter(cluster, dataset, publication.known, cache_bytes(config, workers))
        own = config.only.share(plans, lambda plan: plan.path)
        with Progress("shards", len(own)) as progress:
            records = writer.write(own, lambda record: progress.step(record.path))
        if config.only.shard is not None:
            return self._unpublished(len(table), int(table.kept.sum()), records, writer.written)
        places = Places.of(len(table), groups, plans, writer.offsets)
        write_database(
            config.out_dir / DATABASE_NAME,
            table,
            self.scenes,
            ([plan.path for plan in plans], places),
            self.targets.database_columns,
            self.facts,
        )
        tiles, months = sample_tiles(self.samples), sample_months(self.samples)
        summary = summary_document(table, tiles, months, self.plan, self.result.failed, counts)
        # A run with failed samples is not complete: the next one tries them again.
        fingerprint = None if self.result.failed else self.fingerprint
        origin = Origin(fingerprint, config, self.plan.rule_fingerprint)
        publication.finish(records, self.facts, summary, origin)
        self.result.candidates, self.result.kept = len(table), int(table.kept.sum())
        self.result.shards, self.result.shards_written = records, writer.written
        return self.result

    def _unpublished(
        self, candidates: int, kept: int, records: list[ShardRecord], written: int
    ) -> PatchResult:
        """End a job of an array: its shards wait for the run that publishes all."""
        self.result.candidates, self.result.kept = candidates, kept
        self.result.shards, self.result.shards_written = records, written
        log.info(
            "share %s of the shards is written; when all are, run without --shard to publish them",
            self.config.only.shard,
        )
        return self.result

    def _count(self, laid: Sequence[LaidWindows]) -> dict[str, dict[str, Any]]:
        """Count what each split is given, and warn of empty ones before any pixel is read."""
        counts = self.result.split_counts = split_counts(laid, self.config.patch_size)
        for line in split_warnings(counts, self.plan):
            log.warning("%s", line)
        return counts

    def _warn_of_leaking_statistics(self) -> None:
        normalization = self.facts.normalization
        if not normalization.is_applied or self.config.split.train == 1.0:
            return
        if normalization.split != self.plan.rule_fingerprint:
            log.warning(
                "the samples were normalised with statistics that were not restricted to the training ground of this "
                "split; to restrict them, run pass 1 with normalize.split train and normalize.split_plan %s",
                self.config.out_dir / "split.json",
            )

    def _unchanged(self) -> PatchResult:
        document = read_shards_json(self.config.out_dir)
        if self.config.only.shard is None:
            sweep_shards(self.config.out_dir)
        self.result.split_path = write_plan(self.config, self.plan)
        self.result.shards = [ShardRecord(**record) for record in document["shards"]]
        self.result.candidates, self.result.kept = document["candidates"], document["kept"]
        self.result.split_counts = read_json(self.config.out_dir / SUMMARY_NAME)["split"].get("counts", {})
        log.info("%s is up to date: %d shard(s)", self.config.out_dir, len(self.result.shards))
        return self.result

    def _score(
        self, table: PatchTable, settings: ScoreSettings, workers: int, cluster: Cluster | None
    ) -> None:
        """Score all candidates; jobs of an array share the work, and the run that publishes takes what they left."""
        config, failed = self.config, set()
        with Progress("samples", len(self.samples)) as progress:

            def report(sample: Sample, error: S2PipeError | None) -> None:
                if error is not None:
                    log.error("%s failed: %s", sample.name, error)
                    failed.add(sample.name)
                progress.step(sample.name)

            scoring = Scoring(table, self.samples, settings, report)
            share = config.only.share_numbers
            kept = None
            if share is not None or KeptScores.are_in(config.out_dir):
                kept = KeptScores(config.out_dir, self.fingerprint, table)
            if cluster is not None:
                scoring.on_cluster(cluster, kept, cache_bytes(config, 1))
            elif kept is not None:
                scoring.with_others(kept, share or (1, 1), workers)
            else:
                scoring.here(workers)
        self.result.failed = [sample.name for sample in self.samples if sample.name in failed]

    def _choose(self, table: PatchTable) -> Groups:
        """Drop what is not wanted, and say so; group the rest."""
        config = self.config
        apply_filters(table, config.quality)
        if config.targets.require:
            table.drop(self.targets.missing(len(table)), "no_target")
        wanted = int(table.kept.sum())
        drop_by_ground(table)
        lost = wanted - int(table.kept.sum())
        if lost > _BORDER_WARNING * wanted:
            log.warning(
                "%d of %d good patches show ground of several splits and are dropped; larger split.cell_m (now %d), "
                "smaller patches or a smaller stride lose fewer",
                lost,
                wanted,
                config.split.cell_m,
            )
        if config.split.same_ground:
            log.warning("split.same_ground: the same ground is in several splits, at different times")
        if config.group == "time_stack" and config.max_t is None:
            log.warning(
                "the time stacks differ in length, so that loaders cannot make batches of them; to pad them, set max_t"
            )
        if config.dedupe:
            drop_duplicates(table, self.samples, config)
        names = [f"{config.seed}/balance/{sample.name}" for sample in self.samples]
        balance(table, names, sample_months(self.samples), sample_tiles(self.samples), config.balance)
        if config.group == "time_stack":
            return time_groups(table, self.samples, config.max_t)
        return single_groups(table)

    def _pack(self, table: PatchTable, groups: Groups) -> tuple[list[ShardPlan], Dataset]:
        dataset = Dataset(self.config, self.samples, table, groups, self.plan.grid, self.targets)
        longest = max((int(n) for n in groups.starts[1:] - groups.starts[:-1]), default=1)
        longest = self.config.max_t or longest
        most = most_item_bytes(dataset.members(longest), len(table.labels), longest, self.targets.most_bytes)
        order = shuffled(table, groups, self.samples, self.config)
        plans = plan_shards(table, groups, order, self.config, most)
        for name in SPLITS:
            if getattr(self.config.split, name) > 0 and not any(plan.split == name for plan in plans):
                log.warning("no patch is left for %s; see %s", name, self.config.out_dir / "summary.json")
        return plans, dataset


RUN_ONLY_KEYS = ("index_json", "out_dir", "num_workers", "overwrite", "only", "scheduler")


def run_fingerprint(config: PatchConfig, plan: SplitPlan, facts: SharedFacts) -> str:
    """Identify everything that the outputs depend on."""
    effective = {key: value for key, value in to_plain(config).items() if key not in RUN_ONLY_KEYS}
    effective["targets"] = {**effective["targets"], "path": None}  # facts hold the checksum of the table
    return document_fingerprint([effective, plan.rule_fingerprint, facts.to_document()])


def sample_months(samples: Sequence[Sample]) -> list[str]:
    """Calendar month of each sample, ``2025-12``."""
    return [sample.key.month for sample in samples]


def sample_tiles(samples: Sequence[Sample]) -> list[str]:
    """Tile of each sample."""
    return [sample.key.tile_id for sample in samples]
