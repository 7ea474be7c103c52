"""GeoParquet 1.1 (https://geoparquet.org): WKB in longitude and latitude (OGC:CRS84), with a bounding box per row.

The column ``bbox`` is the covering of the geometry: readers find the row groups of an area from its statistics alone.
"""

from __future__ import annotations

import importlib
import json
from typing import TYPE_CHECKING, Any

import numpy as np

from s2pipe.errors import DependencyError
from s2pipe.runtime.files import atomic_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

GEOMETRY, COVERING = "geometry", "bbox"
COVERING_FIELDS = ("xmin", "ymin", "xmax", "ymax")
ROWS_PER_GROUP = 65_536
_POLYGON, _MULTIPOLYGON, _ABSENT = 3, 6, -1


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


def write_geoparquet(
    path: Path, parts: Iterable[tuple[Mapping[str, Any], np.ndarray]], metadata: Mapping[str, str]
) -> None:
    """Write rows atomically, one row group a part, so that memory does not grow with the file.

    Parameters
    ----------
    path : Path
        File to write.
    parts : iterable of (mapping, ndarray)
        Arrow arrays by column, and the rows' polygons or multipolygons as shapely has them, None where a row has none;
        at least one part.
    metadata : mapping
        Texts to store beside those of GeoParquet, by key.
    """
    import shapely

    pa, parquet = optional_module("pyarrow"), optional_module("pyarrow.parquet")
    about = _About()
    with atomic_path(path) as temporary:
        writer = None
        for columns, polygons in parts:
            bounds = shapely.bounds(polygons).reshape(-1, 4)
            about.add(shapely.get_type_id(polygons), bounds)
            boxes = [pa.array(np.ascontiguousarray(values)) for values in bounds.T]
            absent = pa.array(np.isnan(bounds[:, 0]))
            covering = pa.StructArray.from_arrays(boxes, COVERING_FIELDS, mask=absent)
            wkb = pa.array(shapely.to_wkb(polygons, byte_order=1), pa.binary())
            batch = pa.table({**columns, COVERING: covering, GEOMETRY: wkb})
            if writer is None:
                writer = parquet.ParquetWriter(temporary, batch.schema, compression="zstd")
            writer.write_table(batch)
        assert writer is not None
        writer.add_key_value_metadata({**metadata, "geo": json.dumps(about.document())})
        writer.close()


class _About:
    """Kinds and bounding box of the geometries written so far."""

    def __init__(self) -> None:
        self._types: set[str] = set()
        self._low = np.full(2, np.inf)
        self._high = np.full(2, -np.inf)

    def add(self, types: np.ndarray, bounds: np.ndarray) -> None:
        names = {_POLYGON: "Polygon", _MULTIPOLYGON: "MultiPolygon"}
        self._types |= {names[number] for number in np.unique(types[types != _ABSENT]).tolist()}
        bounds = bounds[~np.isnan(bounds[:, 0])]
        if len(bounds):
            self._low = np.minimum(self._low, bounds[:, :2].min(axis=0))
            self._high = np.maximum(self._high, bounds[:, 2:].max(axis=0))

    def document(self) -> dict[str, Any]:
        """Value of the file's ``geo`` key."""
        column: dict[str, Any] = {
            "encoding": "WKB",
            "geometry_types": sorted(self._types),
            "covering": {"bbox": {name: [COVERING, name] for name in COVERING_FIELDS}},
        }
        if np.isfinite(self._low).all():
            column["bbox"] = [*self._low.tolist(), *self._high.tolist()]
        return {"version": "1.1.0", "primary_column": GEOMETRY, "columns": {GEOMETRY: column}}
