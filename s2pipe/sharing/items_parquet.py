"""The Items of a collection as one GeoParquet file, in the layout of stac-geoparquet (version 1.1)."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

from s2pipe.errors import DependencyError
from s2pipe.patches.geoparquet import optional_module, write_geoparquet

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

LAYOUT_VERSION = "1.1.0"
MEDIA_TYPE = "application/vnd.apache.parquet"
_TIMES = ("datetime", "created")
"""Properties that the layout stores as timestamps; readers take others for texts."""


def require_pyarrow() -> None:
    """Refuse to begin without pyarrow.

    Raises
    ------
    DependencyError
        It is not installed.
    """
    try:
        import pyarrow as pa  # noqa: F401 - whether it is there is the question
    except ImportError as error:
        msg = (
            f"pyarrow cannot be imported: {error}\nitems.parquet needs it: `pip install 's2pipe[shards]'`; "
            "--no-geoparquet leaves it out."
        )
        raise DependencyError(msg) from error


def write_items_parquet(
    path: Path, items: Sequence[Mapping[str, Any]], collection: Mapping[str, Any]
) -> None:
    """Write Items, one a row: their properties are columns, and assets and links nested ones.

    Parameters
    ----------
    path : Path
        File to write.
    items : sequence of mapping
        Items whose relative paths are those from the file's own directory; at least one.
    collection : mapping
        Their Collection, which is stored beside them.

    Raises
    ------
    DependencyError
        pyarrow is not installed.
    """
    import numpy as np
    import shapely

    pa = optional_module("pyarrow")
    rows = [_row(item) for item in items]
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns = {name: _column(pa, name, [row.get(name) for row in rows]) for name in names}
    outlines = np.array([shapely.from_geojson(json.dumps(item["geometry"])) for item in items])
    about = {"version": LAYOUT_VERSION, "collections": {collection["id"]: collection}}
    write_geoparquet(path, [(columns, outlines)], {"stac-geoparquet": json.dumps(about)})


def _row(item: Mapping[str, Any]) -> dict[str, Any]:
    """Return an Item without its geometry and box, which have columns of their own, and its properties at the top."""
    top = {key: value for key, value in item.items() if key not in ("properties", "geometry", "bbox")}
    return {**top, **item["properties"]}


def _column(pa: Any, name: str, values: list[Any]) -> Any:
    if name in _TIMES:
        times = [None if value is None else datetime.fromisoformat(value) for value in values]
        return pa.array(times, pa.timestamp("us", tz="UTC"))
    return pa.array(values)
