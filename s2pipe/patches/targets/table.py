"""The table that targets are taken from: CSV, Parquet or GeoParquet, checked before any raster is read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from s2pipe.errors import ConfigError, Fault
from s2pipe.patches.geoparquet import COVERING, optional_module
from s2pipe.runtime.hashing import hash_file

if TYPE_CHECKING:
    from collections.abc import Sequence

    from s2pipe.patches.cfg import TargetsConfig

PATCH_KEYS = ("patch_id", "tile_id", "sensing_start_utc", "row", "col")
"""Columns of the database that a table may be joined by."""
CELL_KEY = "cell_id"
_MAGIC = b"PAR1"
_CSV_BLOCK_BYTES = 256 << 20
"""The types of CSV columns follow from this much of the file, which is all of most."""
_NULLS = ["", "NA", "N/A", "NaN", "nan", "null", "NULL", "None"]
_MOST_TEXT = 10_000


@dataclass(frozen=True)
class TargetTable:
    """Rows of targets, in the order of the file."""

    path: Path
    """The file."""
    columns: Mapping[str, Any]
    """Values by name, Arrow arrays of int64, double, bool or string."""
    keys: Mapping[str, Any]
    """Columns that rows are joined by, Arrow arrays: row and col int64, the others string."""
    geometries: np.ndarray | None
    """Geometries in longitude and latitude as shapely has them, None where nothing is joined by them."""
    sha256: str
    """Checksum of the file."""

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))


def read_targets(config: TargetsConfig) -> TargetTable | None:
    """Read the table of a configuration; None where it names none.

    Raises
    ------
    ConfigError
        The file is missing or unreadable, or lacks columns; the columns that it has are listed.
    """
    path = config.path
    if path is None:
        return None
    if not path.is_file():
        raise refusal(at="path", message=f"{path} is no file; expected a table as CSV, Parquet or GeoParquet")
    with path.open("rb") as stream:
        is_parquet = stream.read(len(_MAGIC)) == _MAGIC
    rows = _read_parquet(path) if is_parquet else _read_csv(path)
    names = list(rows.column_names)
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise refusal(at="path", message=f"{path}: the column {twice[0]!r} is there more than once")
    if not len(rows):
        raise refusal(at="path", message=f"{path} has no rows; its columns are {_listed(names)}")
    geo = _geo(rows.schema.metadata, path) if config.join == "geometry" else None
    used = _key_names(config, names, path) if geo is None else [geo[0]]
    wanted = _value_names(config, rows, [*used, *([] if geo is None else [COVERING])], path)
    keys, geometries = {}, None
    if config.join != "geometry":
        keys = {name: _key(rows[name], name, path) for name in used}
    elif geo is not None:
        geometries = _stored_geometries(rows[geo[0]], geo, path)
    else:
        geometries = _points(rows, config, path)
    columns = {name: _values(rows[name], name, path) for name in wanted}
    texts = [name for name, values in columns.items() if str(values.type) not in ("int64", "double")]
    if texts and config.several not in ("error", "first"):
        message = (
            f"expected error or first, since {_listed(texts)} of {path} are no numbers, got {config.several}"
        )
        raise refusal(at="several", message=message)
    return TargetTable(path, columns, keys, geometries, hash_file(path, "sha256"))


def refusal(*, at: str, message: str) -> ConfigError:
    """Make the error of a table that does not fit; ``at`` is the key of the configuration to look at."""
    return ConfigError("PatchConfig", [Fault(f"patches.targets.{at}", message)])


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(str, names)) or "none"


def _read_parquet(path: Path) -> Any:
    pa, parquet = optional_module("pyarrow"), optional_module("pyarrow.parquet")
    try:
        rows = parquet.ParquetFile(path).read()
        rows.validate(full=True)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise refusal(at="path", message=f"{path} cannot be read as Parquet: {error}") from error
    return rows


def _read_csv(path: Path) -> Any:
    pa, csv = optional_module("pyarrow"), optional_module("pyarrow.csv")
    texts = {name: pa.string() for name in (*PATCH_KEYS[:3], CELL_KEY)}
    block = min(path.stat().st_size + 1, _CSV_BLOCK_BYTES)
    try:
        return csv.read_csv(
            path,
            csv.ReadOptions(block_size=block),
            csv.ParseOptions(newlines_in_values=True),
            csv.ConvertOptions(column_types=texts, null_values=_NULLS, strings_can_be_null=True),
        )
    except (pa.ArrowException, OSError, ValueError) as error:
        raise refusal(at="path", message=f"{path} cannot be read as CSV in UTF-8: {error}") from error


def _key_names(config: TargetsConfig, names: Sequence[str], path: Path) -> list[str]:
    """Columns that rows are found by, all of which the table has."""
    if config.join == "geometry":
        wanted, key = [config.lon, config.lat], "lon"
    elif config.join == "cell":
        wanted, key = [CELL_KEY], "join"
    elif config.keys is not None:
        wanted, key = list(config.keys), "keys"
    else:
        wanted = ["patch_id"] if "patch_id" in names else [name for name in PATCH_KEYS if name in names]
        key = "join"
        if not wanted:
            message = f"expected some of the columns {_listed(PATCH_KEYS)} in {path}, got {_listed(names)}"
            raise refusal(at=key, message=message)
    missing = [name for name in wanted if name not in names]
    if missing:
        or_else = ", or a GeoParquet file" if config.join == "geometry" else ""
        message = f"expected the columns {_listed(wanted)}{or_else} in {path}, got {_listed(names)}"
        raise refusal(at=key, message=message)
    return wanted


def _value_names(config: TargetsConfig, rows: Any, used: Sequence[str], path: Path) -> list[str]:
    """Columns of targets: those asked for, else all that nothing is joined by and whose values are scalars."""
    names = list(rows.column_names)
    if config.columns is not None:
        wanted = list(config.columns)
        missing = [name for name in wanted if name not in names]
        if missing:
            message = f"{path} has no column {_listed(missing)}; it has {_listed(names)}"
            raise refusal(at="columns", message=message)
    else:
        taken = {*used, *PATCH_KEYS, CELL_KEY}
        wanted = [name for name in names if name not in taken and _kind(rows.schema.field(name).type)]
    if not wanted:
        message = f"{path} has no column of targets beside {_listed(used)}; it has {_listed(names)}"
        raise refusal(at="columns", message=message)
    folded = [name.casefold() for name in wanted]
    alike = [name for name in wanted if folded.count(name.casefold()) > 1]
    if alike:  # conditions on the database do not tell case
        raise refusal(
            at="columns", message=f"{_listed(alike)} differ in case alone; rename them, or choose one"
        )
    return wanted


def _kind(kind: Any) -> str | None:
    """Type that values of an Arrow type are kept in; None for what is no scalar."""
    types = optional_module("pyarrow").types
    value = kind.value_type if types.is_dictionary(kind) else kind
    if types.is_boolean(value):
        return "bool"
    if types.is_integer(value):
        return "int64"
    if types.is_floating(value) or types.is_decimal(value):
        return "double"
    if types.is_string(value) or types.is_large_string(value):
        return "string"
    if types.is_timestamp(value) or types.is_date(value) or types.is_time(value):
        return "string"
    return "double" if types.is_null(value) else None


def _cast(column: Any, kind: str, name: str, path: Path) -> Any:
    """A column as one array of one of the types that values are kept in."""
    pa, compute = optional_module("pyarrow"), optional_module("pyarrow.compute")
    types = pa.types
    try:
        if types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        if types.is_float16(column.type):
            column = column.cast(pa.float32())
        is_time = types.is_timestamp(column.type)
        values = column.cast(pa.type_for_alias(kind)).combine_chunks()
        return compute.replace_substring(values, " ", "T", max_replacements=1) if is_time else values
    except pa.ArrowException as error:
        raise refusal(at="columns", message=f"{path}, column {name!r}: expected {kind}: {error}") from error


def _values(column: Any, name: str, path: Path) -> Any:
    pa, compute = optional_module("pyarrow"), optional_module("pyarrow.compute")
    kind = _kind(column.type)
    if kind is None:
        message = f"{path}, column {name!r}: expected numbers, texts or truth values, got {column.type}"
        raise refusal(at="columns", message=message)
    values = _cast(column, kind, name, path)
    if kind == "double":
        values = compute.if_else(compute.is_nan(values), pa.scalar(None, pa.float64()), values)
        if compute.any(compute.is_inf(values)).as_py():
            raise refusal(
                at="columns", message=f"{path}, column {name!r}: holds an infinite number, which JSON cannot"
            )
    if kind == "string":
        longest = compute.max(compute.utf8_length(values)).as_py() or 0
        if longest > _MOST_TEXT:
            message = (
                f"{path}, column {name!r}: a text has {longest} characters, at most {_MOST_TEXT} are taken"
            )
            raise refusal(at="columns", message=message)
    return values


def _key(column: Any, name: str, path: Path) -> Any:
    return _cast(column, "int64" if name in ("row", "col") else "string", name, path)


def _points(rows: Any, config: TargetsConfig, path: Path) -> np.ndarray:
    """Points of two columns; None where a row has no place."""
    import shapely

    lon, lat = (
        _cast(rows[name], "double", name, path).to_numpy(zero_copy_only=False)
        for name in (config.lon, config.lat)
    )
    known = np.isfinite(lon) & np.isfinite(lat)
    strange = np.flatnonzero(known & ((np.abs(lat) > 90.0) | (lon < -180.0) | (lon > 360.0)))
    if len(strange):
        row = int(strange[0])
        message = (
            f"{path}, row {row + 1}: ({lon[row]:g}, {lat[row]:g}) is no longitude and latitude in degrees; state which "
            "columns hold them (targets.lon, targets.lat)"
        )
        raise refusal(at="lon", message=message)
    points = np.full(len(rows), None, object)
    points[known] = shapely.points(np.where(lon > 180.0, lon - 360.0, lon)[known], lat[known])
    return points


def _geo(metadata: Mapping[bytes, bytes] | None, path: Path) -> tuple[str, Mapping[str, Any]] | None:
    """Primary geometry column of GeoParquet and what the file says of it; None of any other table."""
    if not metadata or b"geo" not in metadata:
        return None
    try:
        document = json.loads(metadata[b"geo"])
        name = document["primary_column"]
        about = document["columns"][name]
        encoding = about["encoding"]
    except (ValueError, KeyError, TypeError) as error:
        raise refusal(
            at="path", message=f"{path} is no valid GeoParquet: its metadata lack {error}"
        ) from error
    if encoding != "WKB":
        message = (
            f"{path}: expected geometries encoded as WKB, got {encoding!r}; write the file again with WKB"
        )
        raise refusal(at="path", message=message)
    return name, about


def _stored_geometries(column: Any, geo: tuple[str, Mapping[str, Any]], path: Path) -> np.ndarray:
    """Geometries of GeoParquet in longitude and latitude; None where a row has none."""
    import shapely
    from pyproj import CRS, Transformer
    from pyproj.exceptions import ProjError

    try:
        shapes: Any = shapely.from_wkb(column.combine_chunks().to_numpy(zero_copy_only=False))
    except (shapely.errors.ShapelyError, TypeError) as error:
        raise refusal(at="path", message=f"{path}, column {geo[0]!r}: is no WKB: {error}") from error
    if "crs" in geo[1]:
        if geo[1]["crs"] is None:
            message = f"{path}: the CRS of its geometries is not known; write it with one, such as OGC:CRS84"
            raise refusal(at="path", message=message)
        try:
            crs = CRS.from_user_input(geo[1]["crs"])
            change = Transformer.from_crs(crs, "OGC:CRS84", always_xy=True)
            shapes = shapely.transform(shapes, lambda xy: np.stack(change.transform(*xy.T), axis=-1))
        except ProjError as error:  # CRSError is one
            raise refusal(at="path", message=f"{path}: its CRS cannot be used: {error}") from error
    usable = ~(shapely.is_missing(shapes) | shapely.is_empty(shapes))
    usable &= np.isfinite(shapely.bounds(shapes)).all(axis=1)
    result = np.full(len(usable), None, object)
    result[usable] = shapes[usable]
    broken = np.flatnonzero(usable & ~shapely.is_valid(shapes))
    if len(broken):
        reason = shapely.is_valid_reason(shapes[broken[0]])
        message = f"{path}, row {broken[0] + 1}: invalid geometry ({reason}); repair it, e.g. with make_valid"
        raise refusal(at="path", message=message)
    return result
