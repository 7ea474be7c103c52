"""STAC tools, Croissant's reader and a dataset hub's loader read what ``s2pipe stac`` and ``s2pipe card`` write.

Nothing here needs the network: the core schemas come with pystac, those of extensions with eopf. The extra ``clients``
has all of them: ``make test-clients``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from s2pipe.patches.run import run_patches
from s2pipe.sharing.card import CardOptions, write_card
from s2pipe.sharing.stac import write_stac
from tests.conftest import read_whole_band
from tests.patches.patchdata import Scene, write_quantities, write_step2
from tests.patches.test_shards import config

MISSING = "is not installed; `make test-clients` installs it into an environment of its own"
FILE_URI = "https://stac-extensions.github.io/file/v2.1.0/schema.json"
FILE_FIELDS = {
    "properties": {
        "file:size": {"type": "integer", "minimum": 0},
        "file:checksum": {"type": "string", "pattern": "^1220[a-f0-9]{64}$"},
    }
}
FILE_SCHEMA = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "$id": FILE_URI,
    "properties": {
        "stac_extensions": {"contains": {"const": FILE_URI}},
        "assets": {"additionalProperties": FILE_FIELDS},
    },
}
"""What the file extension says of the two fields that are written; eopf does not carry its schema."""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("clients") / "fields"
    scenes = [
        Scene(quality=True),
        Scene(sensing="2025-08-01T10:00:00Z", quality=True),
        Scene(tile_id="T01VAA", epsg=32601, ulx=340000.0, uly=6900000.0, quality=True),
    ]
    index = write_step2(root, scenes)
    write_stac(root)
    run_patches(config(index, root / "patches"))
    return root


def extension_schemas() -> dict[str, Any]:
    try:
        files = distribution("eopf").files or []
    except PackageNotFoundError:
        pytest.skip(f"eopf {MISSING}")
    documents = [
        json.loads(file.read_text(encoding="utf-8"))
        for file in files
        if file.suffix == ".json" and "extensions" in file.parts
    ]
    found = {document["$id"].rstrip("#"): document for document in documents}
    return {**found, FILE_URI: FILE_SCHEMA}


@pytest.fixture
def validator(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let pystac validate with schemas that are at hand; any other would need the network."""
    pystac = pytest.importorskip("pystac", reason=f"pystac {MISSING}")
    from pystac.validation import RegisteredValidator
    from pystac.validation.stac_validator import JsonSchemaSTACValidator

    offline = JsonSchemaSTACValidator()
    offline.schema_cache.update(extension_schemas())
    before = RegisteredValidator.get_validator()
    RegisteredValidator.set_validator(offline)

    def refuse(_self: Any, source: str, *_arguments: Any, **_options: Any) -> str:
        if str(source).startswith("http"):
            pytest.fail(f"{source} was asked for, which needs the network")
        return Path(source).read_text(encoding="utf-8")

    monkeypatch.setattr(type(pystac.StacIO.default()), "read_text", refuse)
    yield
    RegisteredValidator.set_validator(before)


def without_nulls(value: Any) -> Any:
    """Parquet has no key that is only sometimes there: what is missing comes back as null."""
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    return [without_nulls(item) for item in value] if isinstance(value, list) else value


def test_pystac_validates_collection_and_items(root: Path, validator: None) -> None:
    import pystac
    from pystac.extensions.classification import ClassificationExtension
    from pystac.extensions.eo import EOExtension
    from pystac.extensions.file import FileExtension
    from pystac.extensions.raster import RasterExtension

    collection = pystac.Collection.from_file(str(root / "stac" / "collection.json"))
    uris = set(collection.validate())
    items = list(collection.get_items())
    assert len(items) == 3
    for item in items:
        uris |= set(item.validate())
        image = item.assets["image"]
        assert [band.name for band in EOExtension.ext(image).bands] == ["B02", "B03", "valid"]
        assert [band.data_type for band in RasterExtension.ext(image).bands] == ["float32"] * 3
        assert FileExtension.ext(image).size == Path(image.get_absolute_href()).stat().st_size
        names = {
            entry.value: entry.name for entry in ClassificationExtension.ext(item.assets["labels"]).classes
        }
        assert names[4] == "vegetation"
    assert len([uri for uri in uris if "stac-extensions" in uri]) == 6  # view needs the metadata of tiles


def test_what_is_wrong_fails(root: Path, validator: None) -> None:
    import pystac

    document = json.loads(next((root / "stac" / "items").glob("T33*.json")).read_text())
    wrong = [
        ("image", "file:checksum", "1220xyz"),
        ("image", "eo:bands", []),
        ("labels", "classification:classes", [{}]),
    ]
    for asset, field, value in wrong:
        changed = {**document, "assets": {asset: {**document["assets"][asset], field: value}}}
        with pytest.raises(pystac.STACValidationError):
            pystac.Item.from_dict(changed).validate()


def test_pystac_validates_view_fields_and_quantities(tmp_path: Path, dataset: Any, validator: None) -> None:
    import pystac

    scene = Scene(sensing="2025-12-10T10:03:19Z", shape_yx=(40, 50))
    write_step2(tmp_path, [scene])
    write_quantities(tmp_path, scene, {"height": np.full((40, 50), 2.5, np.float32)})
    path = tmp_path / scene.directory / "meta.json"
    meta = json.loads(path.read_text())
    meta["config"]["index_json"] = str(dataset.index_json)
    path.write_text(json.dumps(meta))
    write_stac(tmp_path)
    collection = pystac.Collection.from_file(str(tmp_path / "stac" / "collection.json"))
    assert any("/view/" in uri for uri in collection.validate())
    (item,) = collection.get_items()
    assert any("/view/" in uri for uri in item.validate())


def test_stac_geoparquet_gives_the_items_back(root: Path, validator: None) -> None:
    arrow = pytest.importorskip("stac_geoparquet.arrow", reason=f"stac-geoparquet {MISSING}")
    import pyarrow.parquet as parquet
    import pystac

    table = parquet.read_table(root / "stac" / "items.parquet")
    for item in map(without_nulls, arrow.stac_table_to_items(table)):
        written = json.loads((root / "stac" / "items" / f"{item['id']}.json").read_text())
        pystac.Item.from_dict(item).validate()
        assert item["geometry"] == written["geometry"]
        assert item["properties"]["proj:code"] == written["properties"]["proj:code"]
        assert item["assets"]["image"]["bands"] == written["assets"]["image"]["bands"]
        assert (root / "stac" / item["assets"]["image"]["href"]).samefile(
            root / "stac" / "items" / written["assets"]["image"]["href"]
        )


def test_geopandas_reads_the_outlines(root: Path) -> None:
    geopandas = pytest.importorskip("geopandas", reason=f"geopandas {MISSING}")
    frame = geopandas.read_parquet(root / "stac" / "items.parquet")
    assert frame.crs == "OGC:CRS84"
    assert sorted(frame["proj:code"]) == ["EPSG:32601", "EPSG:32633", "EPSG:32633"]
    assert frame.geometry.is_valid.all()


LOAD = """
import sys, numpy, odc.stac, pystac
items = list(pystac.Collection.from_file(sys.argv[1]).get_items())
items = [item for item in items if item.properties["proj:code"] == "EPSG:32633"]
cube = odc.stac.load(items, bands=["B03", "blue", "labels", "scl"])
numpy.savez(sys.argv[2], **{name: cube[name].values for name in cube.data_vars}, time=cube.time.values.astype("M8[s]"))
"""


def test_odc_stac_loads_bands_by_name(root: Path, tmp_path: Path) -> None:
    pytest.importorskip("odc.stac", reason=f"odc-stac {MISSING}")
    # In a process of its own: rasterio brings another GDAL.
    command = [sys.executable, "-c", LOAD, str(root / "stac" / "collection.json"), str(tmp_path / "cube.npz")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    cube = np.load(tmp_path / "cube.npz")
    assert [str(time) for time in cube["time"]] == ["2025-07-01T10:00:00", "2025-08-01T10:00:00"]
    for number, scene in enumerate((Scene(), Scene(sensing="2025-08-01T10:00:00Z"))):
        directory = root / scene.directory
        for name, file, band in (("blue", "x", 1), ("B03", "x", 2), ("labels", "y", 1), ("scl", "q", 1)):
            expected = read_whole_band(directory / f"{file}.tif", band, cube[name].dtype.name)
            np.testing.assert_array_equal(cube[name][number], expected)


def test_mlcroissant_reads_the_tables(root: Path) -> None:
    croissant = pytest.importorskip("mlcroissant", reason=f"mlcroissant {MISSING}")
    about = CardOptions(url="https://example.org/fields", creator="A lab")
    write_card(root, about)
    read = croissant.Dataset(jsonld=root / "croissant.json")
    assert not read.metadata.ctx.issues.errors
    assert not read.metadata.ctx.issues.warnings
    shards = json.loads((root / "patches" / "shards.json").read_text())
    rows = list(read.records("patches-table"))
    assert len(rows) == shards["candidates"]
    assert sum(row["patches-table/kept"] for row in rows) == shards["kept"]
    splits = {
        row["patches-splits/name"]: row["patches-splits/patches"] for row in read.records("patches-splits")
    }
    assert splits == {name: split["samples"] for name, split in shards["splits"].items() if split["samples"]}
    assert {row["classes/value"]: row["classes/name"] for row in read.records("classes")}[6] == "water"
    assert len(list(read.records("samples"))) == 3


HUB = """
import json, sys, datasets
read = datasets.load_dataset(sys.argv[1], cache_dir=sys.argv[2])
print(json.dumps({name: part.num_rows for name, part in read.items()}))
"""


def test_hub_loader_finds_the_splits(root: Path, tmp_path: Path) -> None:
    pytest.importorskip("datasets", reason=f"datasets {MISSING}")
    write_card(root / "patches")
    done = subprocess.run(
        [sys.executable, "-c", HUB, str(root / "patches"), str(tmp_path)],
        capture_output=True,
        text=True,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    shards = json.loads((root / "patches" / "shards.json").read_text())
    counts = {name: split["samples"] for name, split in shards["splits"].items() if split["samples"]}
    assert json.loads(done.stdout.splitlines()[-1]) == counts
