"""The patch database: one row a candidate, kept or not, as GeoParquet.

The format is that of https://geoparquet.org (1.0): WKB polygons in longitude and latitude (OGC:CRS84).
"""

from __future__ import annotations

import importlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from s2pipe.errors import ConfigError, DependencyError, Fault, UsageError
from s2pipe.ground.split import SPLITS
from s2pipe.patches.candidates.windows import REASONS, PatchTable, footprints, patch_ids
from s2pipe.runtime.files import atomic_path
from s2pipe.sentinel2.safe.footprint import cut_at_antimeridian

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from s2pipe.dataset.samples import Sample
    from s2pipe.ground.cells import CellGrid, Rectangles
    from s2pipe.patches.shards.layout import Groups, ShardPlan

DATABASE_NAME = "patches.parquet"
_ROWS_PER_GROUP = 65_536


def optional_module(module: str) -> Any:
    """Import an optional library.

    Raises
    ------
    DependencyError
        It is missing.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        msg = f"{module} cannot be imported: {error}\nThe patch database needs it: `pip install 's2pipe[shards]'`."
        raise DependencyError(msg) from error


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
            length = np.diff(groups.starts)[plan.groups]
            total = int(length.sum())
            index = np.repeat(np.arange(len(plan.groups)), length)
            t = np.arange(total) - np.repeat(np.cumsum(length) - length, length)
            patches = groups.patches[np.repeat(groups.starts[plan.groups], length) + t]
            starts = offsets[plan.path]
            places.shard[patches], places.index[patches], places.t[patches] = number, index, t
            places.offset[patches] = starts[:-1][index]
            places.nbytes[patches] = np.diff(starts)[index]
        return places


def write_database(
    path: Path,
    table: PatchTable,
    samples: Sequence[Sample],
    cells: CellGrid,
    size: int,
    shards: tuple[Sequence[str], Places],
) -> None:
    """Write the database atomically, in row groups, so that memory does not grow with it.

    Parameters
    ----------
    path : Path
        GeoParquet file to write.
    table : PatchTable
        Candidates with their scores.
    samples : sequence of Sample
        Samples that the table refers to.
    cells : CellGrid
        Grid of the cell numbers.
    size : int
        Side of a patch in pixels.
    shards : (sequence of str, Places)
        Paths of the shards, and where the patches lie in them.
    """
    pa, parquet = optional_module("pyarrow"), optional_module("pyarrow.parquet")
    first, wkb_bounds = None, _Bounds()
    with atomic_path(path) as temporary:
        writer = None
        for part in _parts(table):
            columns = _columns(pa, table, samples, cells, part)
            columns |= _place_columns(pa, shards[0], shards[1], part)
            columns["geometry"] = _geometry(pa, table, samples, size, part, wkb_bounds)
            batch = pa.table(columns)
            if writer is None:
                first = batch.schema
                writer = parquet.ParquetWriter(temporary, first, compression="zstd")
            writer.write_table(batch)
        assert writer is not None
        writer.add_key_value_metadata({"geo": json.dumps(wkb_bounds.metadata())})
        writer.close()


def _parts(table: PatchTable) -> Iterator[slice]:
    for start in range(0, max(1, len(table)), _ROWS_PER_GROUP):
        yield slice(start, min(start + _ROWS_PER_GROUP, len(table)))


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
        "cloud_fraction": pa.array(table.cloud[part], from_pandas=True),
        "n_classes": pa.array((table.counts[part] > 0).sum(axis=1).astype(np.int32)),
    }
    for column, label in enumerate(table.labels):
        columns[f"class_{label}"] = pa.array(np.ascontiguousarray(table.counts[part, column]))
    return columns


def _place_columns(pa: Any, paths: Sequence[str], places: Places, part: slice) -> dict[str, Any]:
    def numbers(values: np.ndarray) -> Any:
        return pa.array(values[part], mask=values[part] < 0)

    return {
        "shard": pa.array(list(paths), pa.string()).take(numbers(places.shard)),
        "index_in_shard": numbers(places.index),
        "t": numbers(places.t),
        "offset": numbers(places.offset),
        "nbytes": numbers(places.nbytes),
    }


class _Bounds:
    """Bounding box and kinds of the geometries written so far."""

    def __init__(self) -> None:
        self.types = {"Polygon"}
        self._low = np.full(2, np.inf)
        self._high = np.full(2, -np.inf)

    def add(self, xy: np.ndarray) -> None:
        if xy.size:
            self._low = np.minimum(self._low, xy.min(axis=(0, 1)))
            self._high = np.maximum(self._high, xy.max(axis=(0, 1)))

    def metadata(self) -> dict[str, Any]:
        """Value of the file's ``geo`` key."""
        column: dict[str, Any] = {"encoding": "WKB", "geometry_types": sorted(self.types)}
        if np.isfinite(self._low).all():
            column["bbox"] = [*self._low.tolist(), *self._high.tolist()]
        return {"version": "1.0.0", "primary_column": "geometry", "columns": {"geometry": column}}


def _geometry(
    pa: Any, table: PatchTable, samples: Sequence[Sample], size: int, part: slice, bounds: _Bounds
) -> Any:
    """WKB of the footprints of some patches."""
    import shapely

    xy = np.empty((part.stop - part.start, 5, 2))
    scene, row, col = table.scene[part], table.row[part], table.col[part]
    for number in np.unique(scene).tolist():
        chosen = scene == number
        ground = footprints(
            samples[number].grid, row[chosen].astype(np.int64), col[chosen].astype(np.int64), size
        )
        xy[chosen] = ring(ground)
    crossing = np.flatnonzero((xy[:, :, 0].min(axis=1) < 180.0) & (xy[:, :, 0].max(axis=1) > 180.0))
    polygons: Any = shapely.polygons(xy)
    if len(crossing):
        bounds.types.add("MultiPolygon")
        bounds.add(np.array([[[-180.0, xy[:, :, 1].min()], [180.0, xy[:, :, 1].max()]]]))
        for place in crossing.tolist():
            polygons[place] = shapely.MultiPolygon(cut_at_antimeridian(polygons[place]))
    else:
        bounds.add(xy)
    return pa.array(shapely.to_wkb(polygons, byte_order=1), pa.binary())


def ring(ground: Rectangles) -> np.ndarray:
    """Corners in longitude and latitude, counter-clockwise and closed, (n, 5, 2).

    Rings lie within [-180, 180], or cross 180 degrees and then go on beyond it.
    """
    lon, lat = ground.boundary()
    corners = [0, 2, 4, 6, 0]
    lon, lat = lon[corners].T, lat[corners].T
    turn = np.floor((lon.min(axis=1) + 180.0) / 360.0)[:, np.newaxis]
    return np.stack([lon - 360.0 * turn, lat], axis=-1)


def query_rows(path: Path, query: str) -> np.ndarray:
    """Return the rows (int64) that a DuckDB ``WHERE`` clause selects among the patches that are in shards.

    Raises
    ------
    ConfigError
        The database does not exist.
    UsageError
        DuckDB refuses the clause; its message says why.
    """
    if not path.is_file():
        raise ConfigError(str(path), [Fault("", "no such patch database; run `s2pipe patches` first")])
    duckdb = optional_module("duckdb")
    clause = query.strip() or "true"
    with duckdb.connect() as connection:
        try:
            found = connection.execute(
                "SELECT file_row_number FROM read_parquet(?, file_row_number=true) "  # noqa: S608 - the user's condition
                f"WHERE shard IS NOT NULL AND ({clause}\n) ORDER BY 1",
                [str(path)],
            ).fetchnumpy()
        except duckdb.Error as error:
            msg = f"--from-db {query!r}: {error}; expected a WHERE clause over the columns of {path}"
            raise UsageError(msg) from error
    return np.asarray(found["file_row_number"], np.int64)
