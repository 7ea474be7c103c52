"""New shards from existing ones: patches chosen by a query and balanced, samples copied byte for byte."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from s2pipe.config.fields import to_plain
from s2pipe.errors import ConfigError, Fault, ManifestError
from s2pipe.ground.split import SPLITS, load_plan, save_plan
from s2pipe.patches.candidates.assign import SPLIT_NAME
from s2pipe.patches.candidates.balance import balance
from s2pipe.patches.candidates.windows import REASONS, PatchTable, reason_code
from s2pipe.patches.database import DATABASE_NAME, Places, optional_module, query_rows
from s2pipe.patches.run import PatchResult, checked_config, sole_run
from s2pipe.patches.shards.layout import Groups, Order, ShardPlan, plan_shards
from s2pipe.patches.shards.publish import Publication, published_files, read_shards_json
from s2pipe.patches.shards.tarball import archive_size
from s2pipe.patches.shards.writer import SHARD_VERSION, ShardRecord, finish_shard, known_record, record_of
from s2pipe.patches.summary import summary_document
from s2pipe.runtime.cores import core_count
from s2pipe.runtime.draws import mix, text_seed
from s2pipe.runtime.files import atomic_path
from s2pipe.runtime.hashing import document_fingerprint

if TYPE_CHECKING:
    from collections.abc import Sequence

    from s2pipe.dataset.proof import FileRecord
    from s2pipe.patches.cfg import PatchConfig


@dataclass(frozen=True)
class _Source:
    """An existing set of shards."""

    directory: Path
    """Directory of its ``shards.json``."""
    document: dict[str, Any]
    """Content of that."""
    rows: Any
    """The patch database, a pyarrow table."""
    table: PatchTable
    """The same as patches; the scene is a number for tile and sensing start."""
    scenes: list[tuple[str, str]]
    """Tile and sensing start by that number."""
    places: Places
    """Where the patches lie in the shards."""


def reshard(config: PatchConfig, database: Path, query: str) -> PatchResult:
    """Make new shards from those beside a patch database: ``s2pipe patches --from-db QUERY``.

    Parameters
    ----------
    config : PatchConfig
        ``out_dir``, ``balance``, ``shards`` and ``seed`` apply; everything else was decided before.
    database : Path
        ``patches.parquet`` beside its shards.
    query : str
        DuckDB ``WHERE`` clause over its columns. Only patches that are in shards are looked at; a time stack is
        taken when all its dates are.

    Returns
    -------
    PatchResult
        Shards and counts.

    Raises
    ------
    S2PipeError
        The query is refused, the database or a shard is missing, or the output directory is the source's.
    """
    config = checked_config(config)
    if database.parent.resolve() == config.out_dir.resolve():
        message = f"is the directory of {database}; give another one (--out-dir DIR)"
        msg = "PatchConfig"
        raise ConfigError(msg, [Fault("patches.out_dir", message)])
    _check_beside(database)
    chosen = query_rows(database, query)
    source = _load(database)
    was = source.document["config"]["shards"]["dtype"]
    if was != config.shards.dtype:
        message = f"samples are copied as they are, in {was}, got {config.shards.dtype}"
        msg = "PatchConfig"
        raise ConfigError(msg, [Fault("patches.shards.dtype", message)])
    with sole_run(config.out_dir):
        return _Copy(config, source, chosen).work()


def _check_beside(database: Path) -> None:
    """Check the database, and the split beside it, against what ``shards.json`` records of them."""
    if database.is_file():  # else the query says that it is not there
        names = (database.name, SPLIT_NAME)
        files = published_files(read_shards_json(database.parent))
        _check_files(database.parent, [file for file in files if file.path in names])


def _check_files(directory: Path, files: Sequence[FileRecord]) -> None:
    """Check files by size and SHA-256, before anything is copied out of them.

    Raises
    ------
    ManifestError
        Files are missing or damaged; all of them are listed, and how to get them again.
    """
    with ThreadPoolExecutor(core_count(), "s2pipe-check") as pool:
        differences = list(pool.map(lambda file: file.difference(directory), files))
    faults = [
        Fault(
            file.path,
            f"{difference}; restore it, or `s2pipe verify {directory} --repair` and run again what made it",
        )
        for file, difference in zip(files, differences, strict=True)
        if difference is not None
    ]
    if faults:
        raise ManifestError(str(directory), faults)


def _load(database: Path) -> _Source:
    parquet = optional_module("pyarrow.parquet")
    directory = database.parent
    document = read_shards_json(directory)
    rows = parquet.read_table(database, columns=None)
    table, scenes = _table_of(rows)
    paths = {record["path"]: number for number, record in enumerate(document["shards"])}
    shard = np.array([paths.get(path, -1) for path in _codes_names(rows, "shard")[1]], np.int32)
    code = _codes_names(rows, "shard")[0]
    places = Places(
        np.where(code >= 0, shard[code], -1).astype(np.int32)
        if len(shard)
        else np.full(len(table), -1, np.int32),
        *(_numbers(rows, name) for name in ("index_in_shard", "t", "offset", "nbytes")),
    )
    return _Source(directory, document, rows, table, scenes, places)


def _numbers(rows: Any, name: str) -> np.ndarray:
    """A column of integers, -1 for null."""
    result: np.ndarray = rows[name].combine_chunks().fill_null(-1).to_numpy(zero_copy_only=False)
    return result


def _codes_names(rows: Any, name: str) -> tuple[np.ndarray, list[str]]:
    """A column of texts as codes, -1 for null, and names."""
    encoded = rows[name].combine_chunks().dictionary_encode()
    codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    return codes, encoded.dictionary.to_pylist()


def _table_of(rows: Any) -> tuple[PatchTable, list[tuple[str, str]]]:
    tile, tiles = _codes_names(rows, "tile_id")
    time, times = _codes_names(rows, "sensing_start_utc")
    cell, _ = _codes_names(rows, "cell_id")
    split, splits = _codes_names(rows, "split")
    reason, reasons = _codes_names(rows, "reject_reason")
    keys, scene = np.unique(tile * len(times) + time, return_inverse=True)
    split_codes = np.array([*(SPLITS.index(name) for name in splits), -1], np.int8)
    reason_codes = np.array([*(reason_code(name) for name in reasons), 0], np.int8)
    labels = tuple(int(name[6:]) for name in rows.column_names if name.startswith("class_"))
    counts = [rows[f"class_{label}"].to_numpy() for label in labels]
    table = PatchTable(
        scene=scene.astype(np.int32),
        row=rows["row"].to_numpy(),
        col=rows["col"].to_numpy(),
        cell=cell,
        split=split_codes[split],
        ground=split_codes[split],
        reason=reason_codes[reason].copy(),
        valid=rows["valid_fraction"].to_numpy(),
        ignore=rows["ignore_fraction"].to_numpy(),
        cloud=rows["cloud_fraction"].to_numpy(),
        counts=np.stack(counts, axis=1) if counts else np.zeros((len(rows), 0), np.int32),
        labels=labels,
    )
    return table, [(tiles[k // len(times)], times[k % len(times)]) for k in keys.tolist()]


class _Copy:
    """One run of copying."""

    def __init__(self, config: PatchConfig, source: _Source, chosen: np.ndarray) -> None:
        self.config = config
        self.source = source
        self._chosen = chosen

    def work(self) -> PatchResult:
        """Choose, pack and copy."""
        config, source, table = self.config, self.source, self.source.table
        groups = self._choose()
        plans = plan_shards(table, groups, self._order(groups), config, self._largest(groups))
        used = np.unique(source.places.shard[groups.first]).tolist()
        files = published_files(source.document)
        _check_files(source.directory, [files[number] for number in used])
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
        kept = (
            "bands",
            "unit",
            "pixel_size_m",
            "normalization",
            "angle_bands",
            "labels",
            "attribution",
            "sources",
        )
        facts = {name: source.document[name] for name in (*kept, "patch_size", "stride", "group")}
        about = {"fingerprint": None, "config": to_plain(config), "split": plan.rule_fingerprint}
        publication.finish(records, facts, summary, about)
        result = PatchResult(config.out_dir, config.out_dir / SPLIT_NAME, len(table), int(table.kept.sum()))
        result.shards, result.shards_written = records, sum(is_new for *_, is_new in copied)
        return result

    def _choose(self) -> Groups:
        """Drop what the query leaves out, balance the rest, and put the dates of a time stack together."""
        table, places, config = self.source.table, self.source.places, self.config
        selected = np.zeros(len(table), bool)
        selected[self._chosen] = True
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
        path = out_dir / plan.path
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.part")
        streams: dict[int, Any] = {}
        try:
            with part.open("wb") as target:
                for number, start, nbytes in parts:
                    if number not in streams:
                        streams[number] = (source.directory / shards[number]["path"]).open("rb")
                    streams[number].seek(start)
                    target.write(streams[number].read(nbytes))
                target.truncate(size)
        finally:
            for stream in streams.values():
                stream.close()
        return finish_shard(out_dir, part, record), offsets, True

    def _write_database(self, plans: Sequence[ShardPlan], places: Places) -> None:
        """The source's database with other places and reasons."""
        pa, parquet = optional_module("pyarrow"), optional_module("pyarrow.parquet")
        rows, table = self.source.rows, self.source.table

        def numbers(values: np.ndarray) -> Any:
            return pa.array(values, mask=values < 0)

        columns = {
            "kept": pa.array(table.kept),
            "reject_reason": pa.array([*REASONS], pa.string()).take(pa.array(table.reason)),
            "shard": pa.array([plan.path for plan in plans], pa.string()).take(numbers(places.shard)),
            "index_in_shard": numbers(places.index),
            "t": numbers(places.t),
            "offset": numbers(places.offset),
            "nbytes": numbers(places.nbytes),
        }
        for name, values in columns.items():
            rows = rows.set_column(rows.column_names.index(name), name, values)
        with atomic_path(self.config.out_dir / DATABASE_NAME) as temporary:
            parquet.write_table(rows, temporary, compression="zstd", row_group_size=65_536)
