"""Indexes as GeoParquet."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from s2pipe.cli import main
from s2pipe.dataset.scene_key import SceneKey
from s2pipe.dataset.step1_index import Scene, index_path, load_index, new_index, save_index
from s2pipe.sharing.index_table import export_index
from tests.patches.patchdata import Scene as Sample
from tests.patches.patchdata import write_step2

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Dataset

parquet = pytest.importorskip("pyarrow.parquet")
shapely = pytest.importorskip("shapely")


def test_scenes_with_their_products_and_footprints(dataset: Dataset, tmp_path: Path) -> None:
    target = tmp_path / "scenes.parquet"
    assert main(["export", str(dataset.root), "--to", str(target), "--quiet"]) == 0
    table = parquet.read_table(target)
    rows, scenes = table.to_pylist(), load_index(dataset.index_json).scenes
    assert [row["tile_id"] for row in rows] == [scene.key.tile_id for scene in scenes]
    for row, scene in zip(rows, scenes, strict=True):
        assert scene.l1c is not None
        assert row["sensing_start"].isoformat() == scene.key.sensing_start_utc.replace("Z", "+00:00")
        assert row["l1c_product"] == scene.l1c.product_name
        assert row["l1c_bytes"] == sum(item.size for item in scene.files_l1c.items if item.present)  # type: ignore[union-attr,misc]
        outline = shapely.from_wkb(row["geometry"])
        assert json.loads(shapely.to_geojson(outline)) == scene.l1c.geofootprint
        assert (row["bbox"]["xmin"], row["bbox"]["ymax"]) == (outline.bounds[0], outline.bounds[3])
    assert json.loads(parquet.read_metadata(target).metadata[b"geo"])["columns"]["geometry"][
        "geometry_types"
    ] == ["Polygon"]


def test_samples_and_a_choice_where_there_are_both(tmp_path: Path) -> None:
    write_step2(tmp_path, [Sample(shape_yx=(20, 30))])
    assert export_index(tmp_path, tmp_path / "a.parquet") == 1
    (row,) = parquet.read_table(tmp_path / "a.parquet").to_pylist()
    assert (row["rows"], row["columns"], row["crs"][:8]) == (20, 30, "EPSG:326")
    assert (tmp_path / row["x_path"]).is_file()
    save_index(new_index(tmp_path, [Scene(SceneKey("T33UWQ", "2025-12-10T10:03:19Z"))]), index_path(tmp_path))
    arguments = ["export", str(tmp_path), "--to", str(tmp_path / "b.parquet"), "--quiet"]
    assert main(arguments) == 2
    assert main([*arguments, "--step", "1"]) == 0
    (row,) = parquet.read_table(tmp_path / "b.parquet").to_pylist()
    assert (row["geometry"], row["bbox"], row["l1c_product"]) == (None, None, None)


def test_nothing_to_export_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["--to", "x.parquet"], [], ["--to", "x.parquet", "--step", "3"]):
        assert main(["export", str(tmp_path), *arguments]) == 2
        assert capsys.readouterr().err.startswith("s2pipe export: ")
    assert list(tmp_path.iterdir()) == []
