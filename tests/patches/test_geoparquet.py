"""The database as GeoParquet 1.1: its metadata, its covering, and that re-sharding keeps both."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import jsonschema
import numpy as np
import pytest

from s2pipe.patches.cfg import PatchConfig, SplitConfig
from s2pipe.patches.run import run_patches
from tests.patches.patchdata import Scene, write_step2
from tests.patches.test_shards import KEEP_ALL, config

if TYPE_CHECKING:
    from pathlib import Path

parquet = pytest.importorskip("pyarrow.parquet")
shapely = pytest.importorskip("shapely")
pytest.importorskip("duckdb")

ALL_TRAIN = SplitConfig(1.0, 0.0, 0.0)
_BOX_ITEM = {"type": "array", "minItems": 2, "maxItems": 2, "items": {"type": "string"}}
GEO_SCHEMA = {
    "type": "object",
    "required": ["version", "primary_column", "columns"],
    "properties": {
        "version": {"const": "1.1.0"},
        "primary_column": {"type": "string", "minLength": 1},
        "columns": {
            "type": "object",
            "minProperties": 1,
            "patternProperties": {
                ".+": {
                    "type": "object",
                    "required": ["encoding", "geometry_types", "covering", "bbox"],
                    "properties": {
                        "encoding": {"const": "WKB"},
                        "geometry_types": {
                            "type": "array",
                            "uniqueItems": True,
                            "items": {"enum": ["Polygon", "MultiPolygon"]},
                        },
                        "bbox": {"type": "array", "items": {"type": "number"}, "minItems": 4, "maxItems": 4},
                        "covering": {
                            "type": "object",
                            "required": ["bbox"],
                            "properties": {
                                "bbox": {
                                    "type": "object",
                                    "required": ["xmin", "xmax", "ymin", "ymax"],
                                    "properties": dict.fromkeys(["xmin", "xmax", "ymin", "ymax"], _BOX_ITEM),
                                }
                            },
                        },
                    },
                }
            },
        },
    },
}
"""What the JSON Schema of GeoParquet 1.1.0 asks of a file like this one."""


def check_geoparquet(path: Path) -> tuple[Any, dict[str, Any]]:
    """Check a file against the specification with pyarrow and shapely; return its rows and its ``geo``."""
    rows = parquet.read_table(path)
    geo = json.loads(parquet.read_metadata(path).metadata[b"geo"])
    jsonschema.validate(geo, GEO_SCHEMA)
    column = geo["columns"][geo["primary_column"]]
    for name, place in column["covering"]["bbox"].items():
        assert place == ["bbox", name]
    kind = rows.schema.field("bbox").type
    assert [(field.name, str(field.type)) for field in kind] == [
        (name, "double") for name in ("xmin", "ymin", "xmax", "ymax")
    ]
    shapes = shapely.from_wkb(rows["geometry"].to_pylist())
    boxes = np.array([list(box.values()) for box in rows["bbox"].to_pylist()])
    np.testing.assert_array_equal(boxes, shapely.bounds(shapes))
    assert column["bbox"] == [*boxes[:, :2].min(axis=0), *boxes[:, 2:].max(axis=0)]
    assert {shape.geom_type for shape in shapes} == set(column["geometry_types"])
    statistics = parquet.read_metadata(path).row_group(0)
    names = [statistics.column(i).path_in_schema for i in range(statistics.num_columns)]
    assert statistics.column(names.index("bbox.xmin")).statistics.min == boxes[:, 0].min()
    return rows, geo


@pytest.mark.parametrize("ulx", [499_980.0, 665_000.0], ids=["usual", "antimeridian"])
def test_new_shards_have_the_database_of_the_first_run(tmp_path: Path, ulx: float) -> None:
    from s2pipe.patches.reshard import reshard

    scene = Scene("T60VXX", epsg=32660, ulx=ulx, uly=6_660_000.0)
    index = write_step2(tmp_path / "step2", [scene])
    run_patches(config(index, tmp_path / "a", split=ALL_TRAIN))
    first, geo = check_geoparquet(tmp_path / "a" / "patches.parquet")
    assert ("MultiPolygon" in geo["columns"]["geometry"]["geometry_types"]) == (ulx > 600_000)
    reshard(config(index, tmp_path / "b"), tmp_path / "a" / "patches.parquet", "row < 128")
    second, geo_again = check_geoparquet(tmp_path / "b" / "patches.parquet")
    assert geo_again == geo
    assert second.schema == first.schema
    placed = {"kept", "reject_reason", "shard", "index_in_shard", "t", "offset", "nbytes"}
    for name in set(first.column_names) - placed:
        assert second[name].equals(first[name]), name
    assert {r["kept"] for r in second.to_pylist() if r["row"] >= 128} == {False}
    files = [tmp_path / name / "patches.parquet" for name in ("a", "c")]
    reshard(config(index, tmp_path / "c"), files[0], "")
    assert check_geoparquet(files[1])[0].num_rows == first.num_rows


def test_a_database_without_a_covering_gets_one(tmp_path: Path) -> None:
    from s2pipe.patches.reshard import reshard

    index = write_step2(tmp_path / "step2", [Scene(shape_yx=(128, 128))])
    cfg = PatchConfig(index, tmp_path / "a", patch_size=64, quality=KEEP_ALL, split=ALL_TRAIN)
    run_patches(cfg)
    rows = parquet.read_table(tmp_path / "a" / "patches.parquet")
    older = (
        tmp_path / "a" / "older.parquet"
    )  # as earlier versions wrote it, and with a column of the user's own
    own = rows.drop_columns(["bbox"]).append_column("score", [list(range(rows.num_rows))])
    parquet.write_table(own.replace_schema_metadata(None), older)
    reshard(config(index, tmp_path / "b"), older, "score > 1")
    made, _ = check_geoparquet(tmp_path / "b" / "patches.parquet")
    assert [row["kept"] for row in made.to_pylist()] == [False, False, True, True]
    assert made.column_names[-3:] == ["score", "bbox", "geometry"]
