from __future__ import annotations

import hashlib
import json
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from osgeo import gdal, osr

from s2pipe.errors import ManifestError, MissingInputError, PathEscapeError, UsageError
from s2pipe.raster.grid import Grid
from s2pipe.sharing.bands import class_objects
from s2pipe.sharing.card import write_card
from s2pipe.sharing.footprint import footprint, projection_fields
from s2pipe.sharing.stac import StacOptions, write_stac
from tests.cli.cli_support import run_command
from tests.patches.patchdata import (
    LAND_COVER,
    Scene,
    make_mosaic,
    record_again,
    write_quantities,
    write_step2,
)

if TYPE_CHECKING:
    from tests.conftest import Dataset

SCENES = [
    Scene(quality=True, angles=True),
    Scene(sensing="2025-08-01T10:00:00Z", quality=True, shape_yx=(300, 420)),
    Scene(tile_id="T01VAA", epsg=32601, ulx=340000.0, uly=6900000.0, quality=True),
]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_step2(tmp_path / "out", SCENES)
    return tmp_path / "out"


def read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def files_of(directory: Path) -> dict[str, bytes]:
    return {
        path.relative_to(directory).as_posix(): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file()
    }


def test_items_say_what_the_rasters_are(root: Path) -> None:
    result = write_stac(root)
    assert result.items == ("T01VAA_20250701T100000Z", "T33UWQ_20250701T100000Z", "T33UWQ_20250801T100000Z")
    path = root / "stac" / "items" / f"{result.items[1]}.json"
    item = read(path)
    assert list(item["assets"]) == ["image", "labels", "angles", "quality", "meta"]
    for asset in item["assets"].values():
        data = (path.parent / asset["href"]).read_bytes()
        assert asset["file:size"] == len(data)
        assert asset["file:checksum"] == "1220" + hashlib.sha256(data).hexdigest()
    for key, asset in item["assets"].items():
        if key == "meta":
            continue
        raster = gdal.Open(str(path.parent / asset["href"]))
        names = [raster.GetRasterBand(n + 1).GetDescription() for n in range(raster.RasterCount)]
        types = {gdal.GDT_Float32: "float32", gdal.GDT_Byte: "uint8"}
        assert [band["name"] for band in asset["bands"]] == names
        assert {band["data_type"] for band in asset["bands"]} == {types[raster.GetRasterBand(1).DataType]}
        assert [band.get("nodata") for band in asset["raster:bands"]] == [
            raster.GetRasterBand(n + 1).GetNoDataValue() for n in range(raster.RasterCount)
        ]
        transform = item["properties"]["proj:transform"]
        assert raster.GetGeoTransform() == (*transform[2:3], *transform[:2], *transform[5:], *transform[3:5])
    assert item["properties"]["proj:code"] == "EPSG:32633"
    assert item["properties"]["proj:shape"] == [300, 420]
    blue = item["assets"]["image"]["eo:bands"][0]
    assert (blue["name"], blue["common_name"], blue["center_wavelength"]) == ("B02", "blue", 0.4924)
    assert item["assets"]["image"]["raster:bands"][0]["scale"] == 1.0


def test_classes_have_their_names_and_pixels(root: Path, read_band: Any) -> None:
    write_stac(root)
    path = root / "stac" / "items" / "T33UWQ_20250701T100000Z.json"
    asset = read(path)["assets"]["labels"]
    found = dict(
        zip(*np.unique(read_band(path.parent / asset["href"], 1, "uint8"), return_counts=True), strict=True)
    )
    assert {
        entry["value"]: entry["count"] for entry in asset["classification:classes"] if entry["count"]
    } == found
    assert sum(entry["percentage"] for entry in asset["classification:classes"]) == pytest.approx(
        100.0, abs=1e-4
    )
    named = {entry["value"]: entry["title"] for entry in asset["classification:classes"]}
    assert named[4] == "vegetation"
    assert named[9] == "class 9"  # it occurs, and has no name
    assert [entry["value"] for entry in asset["classification:classes"] if entry.get("nodata")] == [255]


def test_several_targets_have_classes_and_quantities_of_their_own(tmp_path: Path) -> None:
    scene = Scene(shape_yx=(40, 50))
    root = tmp_path / "out"
    write_step2(root, [scene])
    height, width = scene.shape_yx
    classes = np.full((height, width), 3, np.float32)
    write_quantities(root, scene, {"class_cover": classes, "height": np.where(classes > 0, 2.5, np.nan)})
    index = root / "meta/step2/index.json"
    index.write_text(index.read_text())
    write_stac(root)
    bands = read(next((root / "stac/items").glob("*.json")))["assets"]["labels"]
    assert [band["name"] for band in bands["bands"]] == ["class_cover", "height"]
    assert [entry["value"] for entry in bands["bands"][0]["classification:classes"]] == [3, 255]
    assert "classification:classes" not in bands["bands"][1]
    assert "classification:classes" not in bands
    assert bands["raster:bands"][1]["nodata"] == "nan"


def test_collection_sums_up_its_items(root: Path) -> None:
    result = write_stac(root, StacOptions(title="A title", license="CC-BY-4.0"))
    collection = read(result.collection)
    assert (collection["id"], collection["title"], collection["license"]) == ("out", "A title", "CC-BY-4.0")
    assert collection["summaries"]["proj:code"] == ["EPSG:32601", "EPSG:32633"]
    interval = ["2025-07-01T10:00:00Z", "2025-08-01T10:00:00Z"]
    assert collection["extent"]["temporal"]["interval"] == [interval]
    links = [link["href"] for link in collection["links"] if link["rel"] == "item"]
    items = [read(result.collection.parent / link) for link in links]
    assert [item["id"] for item in items] == list(result.items)
    assert {item["collection"] for item in items} == {"out"}
    mirror = collection["assets"]["items"]
    data = (result.collection.parent / mirror["href"]).read_bytes()
    assert mirror["file:checksum"] == "1220" + hashlib.sha256(data).hexdigest()
    assert "Contains modified Copernicus Sentinel data 2025" in collection["description"]


def test_table_of_items_holds_the_same(root: Path) -> None:
    import pyarrow.parquet as parquet
    import shapely

    result = write_stac(root)
    rows = parquet.read_table(result.parquet)
    documents = [read(root / "stac" / "items" / f"{name}.json") for name in result.items]
    assert rows["id"].to_pylist() == list(result.items)
    assert rows["proj:code"].to_pylist() == [item["properties"]["proj:code"] for item in documents]
    times = [time.strftime("%Y-%m-%dT%H:%M:%SZ") for time in rows["datetime"].to_pylist()]
    assert times == [item["properties"]["datetime"] for item in documents]
    shapes = shapely.from_wkb(rows["geometry"].to_pylist())
    assert [shape.geom_type for shape in shapes] == [item["geometry"]["type"] for item in documents]
    for assets in rows["assets"].to_pylist():
        assert (root / "stac" / assets["image"]["href"]).is_file()
    about = json.loads(parquet.ParquetFile(result.parquet).metadata.metadata[b"stac-geoparquet"])
    assert list(about["collections"]) == ["out"]


def test_same_samples_give_the_same_bytes_and_gone_samples_go(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_stac(root)
    first = files_of(root / "stac")
    monkeypatch.chdir(root.parent)
    write_stac(Path("out"))
    assert files_of(root / "stac") == first
    (root / "stac" / "items" / "notes.json").write_text("mine")
    index = read(root / "meta/step2/index.json")
    index["samples"] = index["samples"][:2]
    (root / "meta/step2/index.json").write_text(json.dumps(index))
    write_stac(root, StacOptions(geoparquet=False))
    kept = {path.name for path in (root / "stac").rglob("*.*") if not path.name.startswith(".")}
    assert kept == {
        "collection.json",
        "notes.json",
        "T33UWQ_20250701T100000Z.json",
        "T33UWQ_20250801T100000Z.json",
    }


def test_antimeridian_cuts_outlines(root: Path) -> None:
    result = write_stac(root)
    item = read(root / "stac" / "items" / f"{result.items[0]}.json")
    west, _, east, _ = item["bbox"]
    lons = [x for part in item["geometry"]["coordinates"] for x, _ in part[0]]
    assert item["geometry"]["type"] == "MultiPolygon"
    assert west > 179.0
    assert east < -179.0
    assert (min(lons), max(lons)) == (-180.0, 180.0)
    whole = read(result.collection)["extent"]["spatial"]["bbox"][0]
    assert whole[0] <= 15.0 < 179.0 < 180.0 >= whole[2]
    beyond = Scene(epsg=32601, ulx=99960.0, uly=5500020.0, shape_yx=(549, 549))
    outline = footprint(beyond.grid)
    assert outline.geometry["type"] == "Polygon"
    assert 176.0 < outline.bbox[0] < outline.bbox[2] < 180.0


@settings(max_examples=25, deadline=None)
@given(
    epsg=st.sampled_from([32601, 32633, 32660, 32733, 3035]),
    x=st.floats(2e5, 7e5),
    y=st.floats(1.5e6, 4e6),
    side=st.integers(1, 6000),
)
def test_outlines_hold_the_corners_that_gdal_finds(epsg: int, x: float, y: float, side: int) -> None:
    if epsg == 3035:
        x += 4e6
    system = osr.SpatialReference()
    system.ImportFromEPSG(epsg)
    system.SetAxisMappingStrategy(osr.OAMS_TRADITIONAL_GIS_ORDER)
    lonlat = osr.SpatialReference()
    lonlat.ImportFromEPSG(4326)
    lonlat.SetAxisMappingStrategy(osr.OAMS_TRADITIONAL_GIS_ORDER)
    to_lonlat = osr.CoordinateTransformation(system, lonlat)
    grid = Grid(system.ExportToWkt(), (x, 20.0, 0.0, y, 0.0, -20.0), (side, side + 1))
    outline = footprint(grid)
    points = (
        outline.geometry["coordinates"][0]
        if outline.geometry["type"] == "Polygon"
        else [point for part in outline.geometry["coordinates"] for point in part[0]]
    )
    west, south, east, north = grid.bounds
    for corner in ((west, south), (east, south), (east, north), (west, north)):
        lon, lat, _ = to_lonlat.TransformPoint(*corner)
        assert min(abs(px - lon) % 360.0 + abs(py - lat) for px, py in points) < 2e-6
    assert projection_fields(grid)["proj:code"] == f"EPSG:{epsg}"


def test_directions_are_the_means_of_the_tiles_metadata(dataset: Dataset, tmp_path: Path) -> None:
    root = tmp_path / "out"
    scene = Scene(sensing="2025-12-10T10:03:19Z")
    write_step2(root, [scene])
    meta_path = root / scene.directory / "meta.json"
    meta = read(meta_path)
    meta["config"]["index_json"] = str(dataset.index_json)
    meta_path.write_text(json.dumps(meta))
    write_stac(root)
    fields = read(root / "stac/items/T33UWQ_20251210T100319Z.json")["properties"]
    (tile,) = dataset.products.glob("S2A_MSIL1C_20251210*/GRANULE/*/MTD_TL.xml")
    stated = ET.parse(tile).getroot().find(".//Mean_Sun_Angle")
    assert fields["view:sun_elevation"] == pytest.approx(
        90.0 - float(stated.find("ZENITH_ANGLE").text), abs=0.05
    )
    assert fields["view:sun_azimuth"] == pytest.approx(float(stated.find("AZIMUTH_ANGLE").text), abs=0.05)
    means = ET.parse(tile).getroot().findall(".//Mean_Viewing_Incidence_Angle")
    zenith = np.mean([float(mean.find("ZENITH_ANGLE").text) for mean in means])
    assert fields["view:incidence_angle"] == pytest.approx(zenith, abs=1.0)
    assert 0.0 < fields["view:off_nadir"] < fields["view:incidence_angle"]


def test_names_of_classes_are_unique_and_as_the_extension_wants_them() -> None:
    from dataclasses import replace

    meaning = replace(LAND_COVER, names={1: "Wald, dicht", 2: "wald dicht", 3: "森林", 4: "ok"})
    classes = class_objects(meaning)
    names = [entry["name"] for entry in classes]
    assert names == ["wald-dicht", "wald-dicht-2", "3", "ok", "class-10", "no-label"]
    assert classes[2]["title"] == "森林"


def test_what_is_not_there_is_named_and_nothing_is_written(root: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match=r"meta/step2/index\.json"):
        write_stac(tmp_path)
    assert not (tmp_path / "stac").exists()
    (root / SCENES[0].directory / "x.tif").write_bytes(b"short")
    with pytest.raises(ManifestError, match=r"x\.tif: expected \d+ bytes"):
        write_stac(root)
    (root / SCENES[0].directory / "x.tif").unlink()
    with pytest.raises(MissingInputError, match="rasters are missing"):
        write_stac(root)
    assert not (root / "stac").exists()


@pytest.mark.parametrize(
    "options", [StacOptions(id="a/b"), StacOptions(license="my licence"), StacOptions(id="../x")]
)
def test_bad_options_are_refused(root: Path, options: StacOptions) -> None:
    with pytest.raises(UsageError, match="expected"):
        write_stac(root, options)
    assert not (root / "stac").exists()


def test_a_link_out_of_the_dataset_is_not_followed(root: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (root / "stac").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PathEscapeError):
        write_stac(root)
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_command(root: Path, tmp_path: Path) -> None:
    record_again(root / SCENES[0].directory)
    done = run_command("stac", str(root), "--json", "--no-geoparquet", "--id", "fields")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["items"][1] == "T33UWQ_20250701T100000Z"
    assert read(root / "stac/collection.json")["id"] == "fields"
    refused = run_command("stac", str(tmp_path / "nowhere"))
    assert refused.returncode == 2
    assert "expected the output directory" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_mosaic_names_all_of_its_scenes(root: Path) -> None:
    make_mosaic(
        root / SCENES[0].directory,
        {"T33UWQ": 30, "T33UXQ": 10, "T33UXR": 0},
        {"T33UWQ": 20.0, "T33UXQ": 60.0, "T33UXR": 100.0},
    )
    result = write_stac(root)
    properties = read(root / "stac" / "items" / "T33UWQ_20250701T100000Z.json")["properties"]
    assert properties["title"] == "Mosaic of tiles T33UWQ, T33UXQ, 2025-07-01"
    assert [name[38:44] for name in properties["s2pipe:source_products"]] == ["T33UWQ"] * 2 + ["T33UXQ"] * 2
    assert "T33UXQ" in properties["processing:lineage"]
    assert properties["eo:cloud_cover"] == 30.0
    assert read(result.collection)["title"].startswith("Sentinel-2 samples of T01VAA, T33UWQ, T33UXQ, ")
    write_card(root)
    text = (root / "README.md").read_text(encoding="utf-8")
    assert "Sentinel-2 data of 4 scene(s) on 3 tile(s)" in text
    assert "| T33UXQ | 1 | 2025-07-01 |" in text


def test_pixels_in_degrees_are_stated_in_metres(tmp_path: Path) -> None:
    scene = Scene(epsg=4326, ulx=15.0, uly=60.003, pixel=0.0002, shape_yx=(30, 40))
    write_step2(tmp_path, [scene])
    (name,) = write_stac(tmp_path, StacOptions(geoparquet=False)).items
    item = read(tmp_path / "stac" / "items" / f"{name}.json")
    assert item["properties"]["gsd"] == pytest.approx((22.239 + 11.12) / 2, abs=0.01)
    pixels = item["assets"]["image"]["raster:bands"][0]["spatial_resolution"]
    assert pixels == item["properties"]["gsd"]
