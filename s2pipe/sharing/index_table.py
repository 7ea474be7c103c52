"""The indexes of a dataset as GeoParquet: a row a scene or a sample, for GIS, pandas and SQL."""

from __future__ import annotations

import json
from datetime import datetime
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from s2pipe.config.documents import read_json
from s2pipe.dataset import step1_index, step2_index
from s2pipe.dataset.scene_key import SceneKey
from s2pipe.errors import Fault, ManifestError, MissingInputError, RasterError, UsageError
from s2pipe.patches.geoparquet import optional_module, write_geoparquet
from s2pipe.raster.grid import Grid
from s2pipe.runtime.paths import InsidePath, if_absent
from s2pipe.sharing.footprint import footprint, projection_code

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from s2pipe.dataset.step1_index import AssetGroup, Product, Scene

Which = Literal["step1", "step2"]
"""An index: of scenes, or of samples."""
_ROWS = 10_000
"""Rows of a row group."""


def export_index(root: Path, target: Path, which: Which | None = None) -> int:
    """Write an index of a dataset as GeoParquet, atomically.

    Parameters
    ----------
    root : Path
        Root of the dataset.
    target : Path
        File to write.
    which : {"step1", "step2"}, optional
        The index; by default the only one there.

    Returns
    -------
    int
        Number of rows.

    Raises
    ------
    MissingInputError
        The dataset has no such index, or an empty one.
    UsageError
        It has both, and none was named.
    ManifestError
        The index is damaged.
    DependencyError
        pyarrow is not installed.
    """
    optional_module("pyarrow")
    step1 = step1_index.index_path(root)
    there = {"step1": step1_index.has_index(step1), "step2": step2_index.has_index(root)}
    if which is None and all(there.values()):
        msg = f"{root}: has indexes of both steps; name one, --step 1 (scenes) or --step 2 (samples)"
        raise UsageError(msg)
    which = which or ("step2" if there["step2"] else "step1")
    rows: Iterable[Mapping[str, Any]] = ()
    if there[which] and which == "step1":
        rows = map(_scene_row, step1_index.load_index(step1).scenes)
    elif there[which]:
        rows = (_sample_row(root, entry) for entry in step2_index.load_entries(root))
    types, count = _types(which), 0

    def parts() -> Iterator[tuple[dict[str, Any], np.ndarray]]:
        nonlocal count
        left = iter(rows)
        while batch := list(islice(left, _ROWS)):
            count += len(batch)
            yield _columns(batch, types)

    tables = parts()
    first = next(tables, None)
    if first is None:
        msg = f"{root}: there is nothing to export{if_absent(root)}:"
        gap = f"the index of {which} is {'empty' if there[which] else 'missing'}"
        raise MissingInputError(msg, [gap], "Run the step first, or name another directory.")
    write_geoparquet(target, chain([first], tables), {"s2pipe": json.dumps({"index": which})})
    return count


def _types(which: Which) -> dict[str, Any]:
    """Arrow types of the columns of an index."""
    pa = optional_module("pyarrow")
    text, number, count = pa.string(), pa.float64(), pa.int64()
    key = {"tile_id": text, "sensing_start": pa.timestamp("ms", tz="UTC")}
    products: dict[str, Any] = {}
    for level in ("l1c", "l2a"):
        products |= {f"{level}_product": text, f"{level}_baseline": text, f"{level}_cloud_cover": number}
        products |= {f"{level}_files": count, f"{level}_files_present": count, f"{level}_bytes": count}
    if which == "step1":
        return {**key, "rel_orbit": text, "coverage_ratio": number, **products}
    return {
        **key,
        **dict.fromkeys(("x_path", "y_path", "angles_path", "quality_path", "meta_path"), text),
        "fingerprint": text,
        "crs": text,
        "rows": count,
        "columns": count,
        "pixel_size": number,
        "valid_fraction": number,
        "bytes": count,
    }


def _columns(
    rows: Sequence[Mapping[str, Any]], types: Mapping[str, Any]
) -> tuple[dict[str, Any], np.ndarray]:
    import shapely

    pa = optional_module("pyarrow")
    columns = {name: pa.array([row[name] for row in rows], kind) for name, kind in types.items()}
    shapes = [row["geometry"] and shapely.from_geojson(json.dumps(row["geometry"])) for row in rows]
    return columns, np.array(shapes, dtype=object)


def _key_columns(key: SceneKey) -> dict[str, Any]:
    return {"tile_id": key.tile_id, "sensing_start": datetime.fromisoformat(key.sensing_start_utc)}


def _scene_row(scene: Scene) -> dict[str, Any]:
    products = [product for product in (scene.l1c, scene.l2a) if product is not None]

    def first(name: str) -> Any:
        values = (getattr(product, name) for product in products)
        return next((value for value in values if value is not None), None)

    orbit = first("rel_orbit")
    return {
        **_key_columns(scene.key),
        "rel_orbit": None if orbit is None else str(orbit),
        "coverage_ratio": first("coverage_ratio"),
        **_level_columns("l1c", scene.l1c, scene.files_l1c),
        **_level_columns("l2a", scene.l2a, scene.files_l2a),
        "geometry": first("geofootprint"),
    }


def _level_columns(level: str, product: Product | None, files: AssetGroup | None) -> dict[str, Any]:
    items = () if files is None else files.items
    present = [item for item in items if item.present]
    return {
        f"{level}_product": None if product is None else product.product_name,
        f"{level}_baseline": None if product is None else product.baseline,
        f"{level}_cloud_cover": None if product is None else product.cloud_cover,
        f"{level}_files": len(items),
        f"{level}_files_present": len(present),
        f"{level}_bytes": sum(item.size or 0 for item in present),
    }


def _sample_row(root: Path, entry: Mapping[str, Any]) -> dict[str, Any]:
    path = InsidePath(root, entry["meta_path"]).path
    try:
        meta = read_json(path)
        grid = Grid.from_document(meta["grid"])
        valid = meta["valid_coverage"]
        share = sum(valid.values()) / len(valid)
        code = projection_code(grid.crs_wkt)
        shape = footprint(grid).geometry
    except (
        OSError,
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        ZeroDivisionError,
        RasterError,
    ) as error:
        message = (
            f"cannot be used ({type(error).__name__}: {error}); run `s2pipe verify`, then preprocess again"
        )
        raise ManifestError(str(path), [Fault("", message)]) from error
    names = ("x_path", "y_path", "angles_path", "quality_path", "meta_path", "fingerprint")
    return {
        **_key_columns(SceneKey.from_document(entry["key"])),
        **{name: entry.get(name) for name in names},
        "crs": code,
        "rows": grid.height,
        "columns": grid.width,
        "pixel_size": grid.pixel_size[0],
        "valid_fraction": share,
        "bytes": sum(record["size"] for record in entry.get("files", ())),
        "geometry": shape,
    }
