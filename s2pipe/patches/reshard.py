"""New shards from existing ones: patches chosen by a query and balanced, samples copied byte for byte."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np

from s2pipe.config.fields import to_plain
from s2pipe.dataset.scene_choice import SceneChoice
from s2pipe.errors import ConfigError, Fault, UsageError
from s2pipe.ground.split import load_plan, save_plan
from s2pipe.patches.candidates.assign import SPLIT_NAME
from s2pipe.patches.candidates.balance import balance
from s2pipe.patches.candidates.windows import REASONS
from s2pipe.patches.database import (
    DATABASE_NAME,
    Places,
    class_metadata,
    place_columns,
    query_rows,
    row_groups,
)
from s2pipe.patches.geoparquet import GEOMETRY, optional_module, write_geoparquet
from s2pipe.patches.result import PatchResult
from s2pipe.patches.run import RUN_ONLY_KEYS, checked_config
from s2pipe.patches.shards.layout import Groups, Order, ShardPlan, plan_shards
from s2pipe.patches.shards.publish import Origin, Publication, Query, published_files, sole_run
from s2pipe.patches.shards.records import ShardRecord, finish_shard, known_record, new_part, record_of
from s2pipe.patches.shards.tarball import archive_size
from s2pipe.patches.shards.writer import SHARD_VERSION
from s2pipe.patches.source import Source, check_files, load_source, polygons_of, read_item
from s2pipe.patches.summary import summary_document
from s2pipe.runtime.cores import core_count
from s2pipe.runtime.draws import mix, text_seed
from s2pipe.runtime.files import named_errors
from s2pipe.runtime.hashing import document_fingerprint
from s2pipe.runtime.paths import InsidePath

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from s2pipe.patches.cfg import PatchConfig
    from s2pipe.patches.shards.facts import SharedFacts


def reshard(config: PatchConfig, database: Path, query: str) -> PatchResult:
    """Make new shards from those beside a patch database: ``s2pipe patches --from-db CONDITION``.

    Parameters
    ----------
    config : PatchConfig
        ``out_dir``, ``balance``, ``shards`` and ``seed`` apply; everything else was decided before.
    database : Path
        ``patches.parquet`` beside its shards.
    query : str
        Condition on its columns, as a ``WHERE`` clause of DuckDB has it. Only patches that are in shards are looked
        at; a time stack is taken when all its dates are.

    Returns
    -------
    PatchResult
        Shards and counts.

    Raises
    ------
    S2PipeError
        The query is not a condition or selects nothing, the database or a shard is missing or damaged, or the output
        directory is the source's.
    """
    config = checked_config(config)
    if database.parent.resolve() == config.out_dir.resolve():
        message = f"is the directory of {database}; give another one (--out-dir DIR)"
        msg = "PatchConfig"
        raise ConfigError(msg, [Fault("patches.out_dir", message)])
    unused = {"only": config.only != SceneChoice(), "scheduler": config.scheduler is not None}
    if any(unused.values()):
        message = "has no effect with --from-db, which copies what the condition selects; leave it out"
        msg = "PatchConfig"
        raise ConfigError(msg, [Fault(f"patches.{key}", message) for key, is_set in unused.items() if is_set])
    source = load_source(database)
    _check_copies(config, source)
    chosen = query_rows(source.rows, query)
    if not len(chosen):
        raise _refuse_nothing(query, source, because="is true of none")
    run = _Copy(config, source, query)
    groups = run.choose(chosen)
    if not len(groups):
        raise _refuse_nothing(query, source, because="with balance and whole time stacks, keeps none")
    with sole_run(config.out_dir):
        return run.work(groups)


def _check_copies(config: PatchConfig, source: Source) -> None:
    """Refuse options of the arrays that those of the source do not have."""
    shards = source.document["config"].get("shards")
    was = shards if isinstance(shards, dict) else {}
    wanted: dict[str, str | bool] = {"dtype": config.shards.dtype}
    if "keep_nan" in was and _may_hold_nan(source.facts):  # earlier versions do not say it
        wanted["keep_nan"] = config.shards.keep_nan
    faults = [
        Fault(f"patches.shards.{name}", f"samples are copied as they are, with {was.get(name)}, got {value}")
        for name, value in wanted.items()
        if was.get(name) != value
    ]
    if faults:
        msg = "PatchConfig"
        raise ConfigError(msg, faults)


def _may_hold_nan(facts: SharedFacts) -> bool:
    return bool(facts.angle_bands) or (facts.labels or {}).get("dtype") == "float32"


def _refuse_nothing(query: str, source: Source, *, because: str) -> UsageError:
    places = source.places.shard
    return UsageError(
        f"--from-db {query!r}: {because} of the {np.count_nonzero(places >= 0)} patch(es) in the shards of "
        f"{source.directory}; expected one at least, and nothing was written: choose a condition or limits that keep "
        "some"
    )


class _Copy:
    """One run of copying."""

    def __init__(self, config: PatchConfig, source: Source, query: str) -> None:
        self.config = config
        self.source = source
        self._query = query

    def work(self, groups: Groups) -> PatchResult:
        """Pack and copy what was chosen."""
        config, source, table = self.config, self.source, self.source.table
        plans = plan_shards(table, groups, self._order(groups), config, self._largest(groups))
        used = np.unique(source.places.shard[groups.first]).tolist()
        files = published_files(source.document)
        check_files(source.directory, [files[number] for number in used])
        publication = Publication(config.out_dir, keep_known=not config.overwrite)
        with ThreadPoolExecutor(core_count(config.num_workers), "s2pipe-copy") as pool:
            copied = list(pool.map(lambda plan: self._copy(plan, groups, publication.known), plans))
        records = [record for record, _, _ in copied]
        offsets = {record.path: offset for record, offset, _ in copied}
        self._write_database(plans, Places.of(len(table), groups, plans, offsets))
        plan = load_plan(source.directory / SPLIT_NAME)
        save_plan(config.out_dir / SPLIT_NAME, plan)
        tiles, months = [t for t, _ in source.scenes], [s[:7] for _, s in source.scenes]
        summary = summary_document(table, tiles, months, plan, [])
        publication.finish(records, source.facts, summary, self._origin(plan.rule_fingerprint))
        result = PatchResult(config.out_dir, config.out_dir / SPLIT_NAME, len(table), int(table.kept.sum()))
        result.shards, result.shards_written = records, sum(is_new for *_, is_new in copied)
        return result

    def _origin(self, split: str) -> Origin:
        """What the outputs depend on, and where they are from."""
        taken = Query(self._query, self.source.fingerprint)
        effective = {key: value for key, value in to_plain(self.config).items() if key not in RUN_ONLY_KEYS}
        return Origin(document_fingerprint([effective, split, vars(taken)]), self.config, split, taken)

    def choose(self, chosen: np.ndarray) -> Groups:
        """Drop what the query leaves out, balance the rest, and put the dates of a time stack together."""
        table, places, config = self.source.table, self.source.places, self.config
        selected = np.zeros(len(table), bool)
        selected[chosen] = True
        sample = places.shard.astype(np.int64) << 32 | places.index
        partly = np.isin(sample, np.unique(sample[(places.shard >= 0) & ~selected]))
        table.drop((~selected | partly) & (table.reason == 0), "query")
        names = [f"{config.seed}/balance/{name}" for name in self._names()]
        tiles, times = [tile for tile, _ in self.source.scenes], [time[:7] for _, time in self.source.scenes]
        balance(table, names, times, tiles, config.balance)
        # A stack of which a date was dropped is left out as a whole.
        dropped = np.unique(sample[(places.shard >= 0) & ~table.kept])
        table.drop(np.isin(sample, dropped) & (places.shard >= 0), "balance")
        kept = np.flatnonzero(table.kept & (places.shard >= 0))
        order = np.lexsort((places.t[kept], sample[kept]))
        ordered = kept[order]
        starts = np.flatnonzero(np.diff(sample[ordered], prepend=-1))
        return Groups(np.append(starts, len(ordered)).astype(np.int64), ordered)

    def _names(self) -> list[str]:
        return [f"{tile}_{time[:19].replace('-', '').replace(':', '')}Z" for tile, time in self.source.scenes]

    def _order(self, groups: Groups) -> Order:
        """Full shuffle: samples are whole already, so that neighbours need not stay together."""
        table = self.source.table
        seeds = np.array([text_seed(f"{self.config.seed}/{name}") for name in self._names()], np.uint64)
        first = groups.first
        window = (table.row[first].astype(np.uint64) << np.uint64(32)) | table.col[first].astype(np.uint64)
        numbers = mix(window ^ seeds[table.scene[first]]) if len(first) else window
        return Order(np.argsort(numbers, kind="stable"), numbers)

    def _largest(self, groups: Groups) -> int:
        return int(self.source.places.nbytes[groups.patches].max(initial=1))

    def _copy(
        self, plan: ShardPlan, groups: Groups, known: dict[str, ShardRecord]
    ) -> tuple[ShardRecord, np.ndarray, bool]:
        source, out_dir = self.source, self.config.out_dir
        first = groups.first[plan.groups]
        shards = source.document["shards"]
        parts = list(
            zip(
                source.places.shard[first].tolist(),
                source.places.offset[first].tolist(),
                source.places.nbytes[first].tolist(),
                strict=True,
            )
        )
        offsets = np.cumsum([0, *(size for *_, size in parts)], dtype=np.int64)
        origin = [SHARD_VERSION, [(shards[n]["sha256"], start, size) for n, start, size in parts]]
        size = archive_size(int(offsets[-1]))
        record = record_of(plan, source.table, groups, (size, document_fingerprint(origin)))
        found = known_record(out_dir, known, record)
        if found is not None:
            return found, offsets, False
        part = new_part(out_dir, plan.path)
        streams: dict[int, Any] = {}
        try:
            with named_errors(part), part.open("wb") as target:
                for number, start, nbytes in parts:
                    shard = InsidePath(source.directory, shards[number]["path"]).path
                    if number not in streams:
                        streams[number] = shard.open("rb")
                    target.write(read_item(streams[number], start, nbytes, shard))
                target.truncate(size)
        finally:
            for stream in streams.values():
                stream.close()
        return finish_shard(out_dir, part, record), offsets, True

    def _write_database(self, plans: Sequence[ShardPlan], places: Places) -> None:
        """The source's database with other places and reasons."""
        pa = optional_module("pyarrow")
        rows, table, paths = self.source.rows, self.source.table, [plan.path for plan in plans]
        reasons = pa.array([*REASONS], pa.string())

        def columns(part: slice) -> tuple[dict[str, Any], np.ndarray]:
            chosen = rows.slice(part.start, part.stop - part.start)
            values = {name: chosen[name] for name in chosen.column_names if name != GEOMETRY}
            values["kept"] = pa.array(table.kept[part])
            values["reject_reason"] = reasons.take(pa.array(table.reason[part]))
            values |= place_columns(pa, paths, places, part)
            return values, polygons_of(chosen, self.source.directory / DATABASE_NAME)

        write_geoparquet(
            self.config.out_dir / DATABASE_NAME,
            (columns(part) for part in row_groups(len(table))),
            class_metadata(self.source.facts),
        )
