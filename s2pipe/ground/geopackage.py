"""Geometries of a GeoPackage, read with SQLite: https://www.geopackage.org/spec/."""

from __future__ import annotations

import sqlite3
import struct
from contextlib import closing
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

_ENVELOPE_BYTES = {0: 0, 1: 32, 2: 48, 3: 48, 4: 64}
_MAX_FEATURES = 200_000
_MAX_STEPS = 50
_STEP_INSTRUCTIONS = 1_000_000
_MAX_DEPTH = 8
"""Levels of collections in collections; real ones have two."""
_POINT, _POLYGON, _COLLECTIONS = 1, 3, range(4, 8)
"""Type numbers of WKB."""
_MORE_NUMBERS = (0, 1, 1, 2)
"""Numbers of a vertex beside x and y, by the thousands of its type number."""
_POLYGON_LIKE = range(8)
"""Type numbers of points, lines, polygons and their collections; beyond are curves."""


def read_geopackage(path: Path, layer: str | None = None) -> tuple[list[Any], str | None]:
    """Read all geometries of a layer.

    Parameters
    ----------
    path : Path
        The file.
    layer : str, optional
        Table of features; None takes the only one.

    Returns
    -------
    tuple of list and str or None
        Geometries, two-dimensional, and their reference system as PROJ takes it; None where the file says that it is
        undefined.

    Raises
    ------
    OSError
        The file cannot be opened.
    ValueError
        It is no GeoPackage, the layer is not in it or not named though there are several, or a geometry is damaged.
    """
    with path.open("rb") as stream:
        if stream.read(16) != b"SQLite format 3\0":
            msg = "is not a GeoPackage"
            raise ValueError(msg)
    steps = iter(range(_MAX_STEPS))
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
            # A view may ask for endless work.
            database.set_progress_handler(lambda: next(steps, None) is None, _STEP_INSTRUCTIONS)
            table, column, srs = _layer(database, layer)
            blobs = database.execute(
                f"SELECT {_quoted(column)} FROM {_quoted(table)} LIMIT {_MAX_FEATURES + 1}"  # noqa: S608 - quoted
            ).fetchall()
            crs = _reference_system(database, srs)
    except (sqlite3.Error, OverflowError) as error:
        msg = f"cannot be read as a GeoPackage: {error}"
        raise ValueError(msg) from None
    if len(blobs) > _MAX_FEATURES:
        msg = f"has more than {_MAX_FEATURES} features in {table!r}; an area has fewer"
        raise ValueError(msg)
    return [_geometry(blob, table) for (blob,) in blobs if blob is not None], crs


def _quoted(name: str) -> str:
    escaped = name.replace('"', '""')
    return f'"{escaped}"'


def _layer(database: sqlite3.Connection, wanted: str | None) -> tuple[str, str, int]:
    """Table, geometry column and number of the reference system of a layer."""
    layers = {
        str(table): (str(column), srs)
        for table, column, srs in database.execute(
            "SELECT g.table_name, g.column_name, g.srs_id FROM gpkg_geometry_columns g "
            "JOIN gpkg_contents c ON c.table_name = g.table_name WHERE c.data_type = 'features' LIMIT 1000"
        )
    }
    names = ", ".join(sorted(layers)) or "none"
    if wanted is None and len(layers) != 1:
        msg = f"expected one layer of features, got {names}"
        raise ValueError(f"{msg}; name one: FILE.gpkg|layername=NAME" if layers else msg)
    table = wanted if wanted is not None else next(iter(layers))
    if table not in layers:
        msg = f"has no layer {table!r} of features; there are {names}"
        raise ValueError(msg)
    return (table, *layers[table])


def _reference_system(database: sqlite3.Connection, srs: int) -> str | None:
    if srs in (-1, 0):  # undefined, by the standard
        return None
    row = database.execute(
        "SELECT organization, organization_coordsys_id, definition FROM gpkg_spatial_ref_sys WHERE srs_id = ?",
        (srs,),
    ).fetchone()
    if row is None:
        msg = f"does not define its reference system {srs}"
        raise ValueError(msg)
    organization, code, definition = row
    if str(organization).upper() == "EPSG":
        return f"EPSG:{code}"
    return str(definition)


def _is_shallow(wkb: bytes) -> bool:
    """Tell whether WKB is whole and nested no deeper than geometries are, which GEOS follows as deep as it goes."""
    place, open_counts = 0, [1]
    try:
        while open_counts:
            if open_counts[-1] == 0:
                open_counts.pop()
                continue
            open_counts[-1] -= 1
            order = "<" if wkb[place] == 1 else ">"
            (kind,) = struct.unpack_from(f"{order}I", wkb, place + 1)
            place += 5
            kind, flags = kind & 0xFFFFFFF, kind >> 28
            vertex = 8 * (2 + _MORE_NUMBERS[kind // 1000 % 4] + (flags >> 3 & 1) + (flags >> 2 & 1))
            place += 4 * (flags >> 1 & 1)
            kind %= 1000
            if kind in _COLLECTIONS:
                open_counts.append(struct.unpack_from(f"{order}I", wkb, place)[0])
                place += 4
            elif kind == _POINT:
                place += vertex
            else:
                lines = 1
                if kind == _POLYGON:
                    (lines,) = struct.unpack_from(f"{order}I", wkb, place)
                    place += 4
                for _ in range(lines):
                    place += 4 + vertex * struct.unpack_from(f"{order}I", wkb, place)[0]
            if len(open_counts) > _MAX_DEPTH or place > len(wkb):
                return False
    except (IndexError, struct.error):
        return False
    return True


def _geometry(blob: Any, table: str) -> Any:
    import shapely

    damaged = ValueError(
        f"holds a geometry in {table!r} that is damaged, or a curve; expected points, lines or polygons"
    )
    if not isinstance(blob, bytes) or len(blob) < 8 or blob[:2] != b"GP":
        raise damaged
    envelope = _ENVELOPE_BYTES.get((blob[3] >> 1) & 0b111)
    if envelope is None:
        raise damaged
    if not _is_shallow(blob[8 + envelope :]):
        raise damaged
    geometry: Any = shapely.from_wkb(blob[8 + envelope :], on_invalid="ignore")
    if geometry is None or shapely.get_type_id(geometry) not in _POLYGON_LIKE:
        raise damaged
    return shapely.force_2d(geometry)
