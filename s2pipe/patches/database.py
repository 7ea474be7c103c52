"""The patch database: one row per candidate, kept or not, as GeoParquet with their footprints."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from s2pipe.dataset.label_meaning import CONDITIONS
from s2pipe.dataset.samples import Sample
from s2pipe.ground.cells import CellGrid
from s2pipe.ground.split import SPLITS
from s2pipe.patches.candidates.polygons import patch_polygons
from s2pipe.patches.candidates.windows import REASONS, PatchTable, patch_ids
from s2pipe.patches.condition import checked_condition, condition_error
from s2pipe.patches.geoparquet import (
    COVERING_FIELDS,
    GEOMETRY,
    ROWS_PER_GROUP,
    optional_module,
    write_geoparquet,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from s2pipe.patches.shards.facts import SharedFacts
    from s2pipe.patches.shards.layout import Groups, ShardPlan

DATABASE_NAME = "patches.parquet"
_ROW_NUMBER = "s2pipe row"
"""Column beside those of the database; conditions cannot name it."""
_LOCKED_SETTINGS = (
    "enable_external_access = false",
    "autoinstall_known_extensions = false",
    "autoload_known_extensions = false",
    "lock_configuration = true",
)
"""What DuckDB runs conditions with: it reaches no file, network or extension, whatever it is asked."""


@dataclass(frozen=True)
class Places:
    """Where patches lie in shards; -1 where they do not."""

    shard: np.ndarray
    """Position in the list of shards, int32."""
    index: np.ndarray
    """Position of the sample in its shard, int32."""
    t: np.ndarray
    """Position on the time axis, int32; 0 without one."""
    offset: np.ndarray
    """First byte of the item in the shard, int64."""
    nbytes: np.ndarray
    """Bytes of the item, int64."""

    @classmethod
    def none(cls, size: int) -> Places:
        """No patch is in any shard."""
        small, large = np.full(size, -1, np.int32), np.full(size, -1, np.int64)
        return cls(small, small.copy(), small.copy(), large, large.copy())

    @classmethod
    def of(
        cls, size: int, groups: Groups, plans: Sequence[ShardPlan], offsets: Mapping[str, np.ndarray]
    ) -> Places:
        """Work out the places of all patches."""
        places = cls.none(size)
        for number, plan in enumerate(plans):
            length = groups.lengths(plan.groups)
            total = int(length.sum())
            index = np.repeat(np.arange(len(plan.groups)), length)
            t = np.arange(total) - np.repeat(np.cumsum(length) - length, length)
            patches = groups.patches[np.repeat(groups.starts[plan.groups], length) + t]
            starts = offsets[plan.path]
            places.shard[patches], places.index[patches], places.t[patches] = number, index, t
            places.offset[patches] = starts[:-1][index]
            places.nbytes[patches] = np.diff(starts)[index]
        return places


@dataclass(frozen=True)
class Scenes:
    """What the rows of a table of patches refer to."""

    samples: Sequence[Sample]
    """Samples, by the table's number of the scene."""
    cells: CellGrid
    """Grid of the cell numbers."""
    size: int
    """Side of a patch in pixels."""


def write_database(
    path: Path,
    table: PatchTable,
    scenes: Scenes,
    shards: tuple[Sequence[str], Places],
    more: Mapping[str, Any],
    facts: SharedFacts,
) -> None:
    """Write the database atomically, in row groups, so that memory does not grow with it.

    Parameters
    ----------
    path : Path
        GeoParquet file to write.
    table : PatchTable
        Candidates with their scores.
    scenes : Scenes
        Samples, grid of the cells, size of the patches.
    shards : (sequence of str, Places)
        Paths of the shards, and where the patches lie in them.
    more : mapping
        Arrow arrays by column, one value per candidate, written after its scores.
    facts : SharedFacts
        Content of ``shards.json``; what labels and classes mean goes into the file's metadata.
    """
    pa = optional_module("pyarrow")

    def rows(part: slice) -> tuple[dict[str, Any], np.ndarray]:
        columns = _columns(pa, table, scenes.samples, scenes.cells, part)
        columns |= {name: values[part] for name, values in more.items()}
        columns |= place_columns(pa, shards[0], shards[1], part)
        return columns, patch_polygons(table, scenes.samples, scenes.size, part)

    write_geoparquet(path, (rows(part) for part in row_groups(len(table))), class_metadata(facts))


def class_metadata(facts: SharedFacts) -> dict[str, str]:
    """Metadata of the file: under ``s2pipe``, what labels and classes mean, as ``shards.json`` says it."""
    return {"s2pipe": json.dumps({"labels": facts.labels, "quality": facts.quality}, sort_keys=True)}


def row_groups(rows: int) -> Iterator[slice]:
    """Slice rows into row groups; no rows are one empty group."""
    for start in range(0, max(1, rows), ROWS_PER_GROUP):
        yield slice(start, min(start + ROWS_PER_GROUP, rows))


def _columns(
    pa: Any, table: PatchTable, samples: Sequence[Sample], cells: CellGrid, part: slice
) -> dict[str, Any]:
    scene, split = table.scene[part], table.split[part]
    everything = np.arange(part.start, part.stop)

    def named(names: Sequence[Any], codes: np.ndarray) -> Any:
        values = pa.array(list(names), pa.string())
        return values.take(pa.array(codes, mask=codes < 0))

    unique, inverse = np.unique(table.cell[part], return_inverse=True)
    columns = {
        "patch_id": pa.array(patch_ids(table, samples, everything), pa.string()),
        "tile_id": named([s.key.tile_id for s in samples], scene),
        "sensing_start_utc": named([s.key.sensing_start_utc for s in samples], scene),
        "month": named([s.key.month for s in samples], scene),
        "row": pa.array(table.row[part]),
        "col": pa.array(table.col[part]),
        "cell_id": named(cells.ids(unique), inverse),
        "split": named(SPLITS, split),
        "kept": pa.array(table.kept[part]),
        "reject_reason": named(REASONS, table.reason[part]),
        "valid_fraction": pa.array(table.valid[part]),
        "ignore_fraction": pa.array(table.ignore[part], from_pandas=True),
        **{f"{name}_fraction": pa.array(table.share(name)[part], from_pandas=True) for name in CONDITIONS},
        "missing_angles_fraction": pa.array(table.missing_angles[part], from_pandas=True),
        "n_classes": pa.array((table.counts[part] > 0).sum(axis=1).astype(np.int32)),
    }
    for column, label in enumerate(table.labels):
        columns[f"class_{label}"] = pa.array(np.ascontiguousarray(table.counts[part, column]))
    return columns


def place_columns(pa: Any, paths: Sequence[str], places: Places, part: slice) -> dict[str, Any]:
    """Columns that say where some patches lie in shards."""

    def numbers(values: np.ndarray) -> Any:
        return pa.array(values[part], mask=values[part] < 0)

    return {
        "shard": pa.array(list(paths), pa.string()).take(numbers(places.shard)),
        "index_in_shard": numbers(places.index),
        "t": numbers(places.t),
        "offset": numbers(places.offset),
        "nbytes": numbers(places.nbytes),
    }


def query_rows(rows: Any, query: str) -> np.ndarray:
    """Return the rows (int64) that a condition selects among the patches that are in shards.

    Parameters
    ----------
    rows : pyarrow.Table
        The database.
    query : str
        Condition on its columns, as a ``WHERE`` clause of DuckDB has it; empty for all.

    Raises
    ------
    UsageError
        It is not a condition, or DuckDB refuses it; the message says why, and which columns there are.
    """
    duckdb, pa = optional_module("duckdb"), optional_module("pyarrow")
    condition = query.strip() or "true"
    columns = [name for name in rows.column_names if name not in (GEOMETRY, _ROW_NUMBER)]
    checked = checked_condition(condition, columns, COVERING_FIELDS)
    looked_at = rows.select(columns).append_column(_ROW_NUMBER, pa.array(np.arange(len(rows))))
    with duckdb.connect() as connection:
        for setting in _LOCKED_SETTINGS:
            connection.execute(f"SET {setting}")
        connection.register("patches", looked_at)
        try:
            found = connection.execute(
                f'SELECT "{_ROW_NUMBER}" FROM patches '  # noqa: S608 - checked to be a condition on columns
                f"WHERE shard IS NOT NULL AND ({checked}) ORDER BY 1"
            ).fetchnumpy()
        except duckdb.Error as error:
            raise condition_error(condition, str(error).strip(), columns) from error
    return np.asarray(found[_ROW_NUMBER], np.int64)
