"""One list of everything that reads what comes from outside, for hypothesis, ``make fuzz`` and Atheris alike.

A target takes any bytes. It may return, or raise one of the documented errors that it names; all else is a fault.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from s2pipe.cli.validate import file_faults
from s2pipe.config.documents import parse_json, parse_yaml, read_document
from s2pipe.config.steps import STEPS, build_config, read_step_document
from s2pipe.dataset.samples import load_samples
from s2pipe.dataset.scene_key import SceneKey
from s2pipe.dataset.scene_list import match_scenes, read_scene_list
from s2pipe.dataset.step1_index import load_index
from s2pipe.dataset.step2_index import check_index
from s2pipe.download.auth import password_auth
from s2pipe.download.files.nodes import manifest_files, walk
from s2pipe.download.search.catalogue import Catalogue, Search
from s2pipe.download.search.coverage import query_areas
from s2pipe.download.service.tokens import TokenKeeper
from s2pipe.errors import (
    AuthError,
    ConfigError,
    DocumentError,
    ManifestError,
    MetadataError,
    MissingInputError,
    PathEscapeError,
    ProductError,
    S2PipeError,
    ServiceError,
)
from s2pipe.ground.split import load_plan
from s2pipe.indexing.run import index_products
from s2pipe.patches.cfg import PatchConfig
from s2pipe.patches.reshard import reshard
from s2pipe.patches.shards.publish import read_shards_json
from s2pipe.patches.shards.records import known_shards
from s2pipe.preprocess.stats.histogram import load_histogram
from s2pipe.preprocess.stats.stats_file import load_stats
from s2pipe.sentinel2.safe import (
    ProductName,
    read_product_info,
    read_radiometry,
    read_safe_manifest,
    read_tile_angles,
)
from s2pipe.sentinel2.safe.container import open_container
from s2pipe.sentinel2.safe.detectors import read_detector_outlines
from s2pipe.sentinel2.safe.layout import role_of
from tests.fuzz import seeds
from tests.paths import ROOT

if TYPE_CHECKING:
    from pathlib import Path

XML_ERRORS = (MetadataError, ProductError, PathEscapeError)


@dataclass(frozen=True)
class Target:
    """One reader."""

    name: str
    """Name, and that of its directory in ``corpus/``."""
    kind: str
    """How its files are mutated, see :mod:`tests.fuzz.mutate`."""
    run: Callable[[bytes], object]
    """The reader."""
    allowed: tuple[type[Exception], ...]
    """Documented errors."""
    seeds: Callable[[], list[bytes]]
    """Valid files."""

    def try_out(self, data: bytes) -> None:
        """Run; errors that are not documented, or say nothing, come through."""
        try:
            self.run(data)
        except self.allowed as error:
            if not str(error).strip():
                raise
            str(error).encode("utf-8", "backslashreplace")


def _file(name: str, data: bytes) -> Path:
    path = seeds.scratch() / "input" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def _through_file(name: str, read: Callable[[Path], object]) -> Callable[[bytes], object]:
    return lambda data: read(_file(name, data))


def _product(data: bytes) -> None:
    """A directory with one damaged file after the other, indexed beside a good one: only it may fail."""
    products = seeds.products()
    root = seeds.scratch() / "input" / "archive"
    damaged = root / seeds.PRODUCT
    damaged.mkdir(parents=True, exist_ok=True)
    good = root / seeds.PRODUCT.replace("T33UWQ", "T33UXQ")
    good.mkdir(exist_ok=True)
    (good / "manifest.safe").write_bytes(products["manifest.safe"][0])
    for name in ("manifest.safe", "MTD_MSIL1C.xml"):
        (damaged / name).write_bytes(data)
        result = index_products([root], seeds.scratch() / "input" / "indexed")
        assert good not in {item.path for item in result.unusable}
        load_index(result.index_path)
        (damaged / name).unlink()


def _zip(data: bytes) -> None:
    container = open_container(_file("a.zip", data))
    for name in list(container.sizes)[:4]:
        role_of(name, "L1C")
        container.hash(name, "SHA3-256")
        container.read(name)


def _name(data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape")
    role_of(text, "L2A")
    name = ProductName.try_parse(text)
    if name is not None:
        assert name == ProductName.parse(name.safe_name)


def _yaml(data: bytes) -> object:
    return parse_yaml(data.decode("utf-8", "surrogateescape"))


def _config(data: bytes) -> None:
    path = _file("config.json", data)
    for step in STEPS.values():
        try:
            build_config(read_step_document(path, step), step, str(path))
        except ConfigError:
            continue


def _scene_list(data: bytes) -> None:
    listed = read_scene_list(_file("scenes.txt", data))
    match_scenes(listed, [SceneKey("T33UWQ", "2025-12-10T10:03:19Z")])


def _answer(data: bytes) -> Any:
    try:
        return parse_json(data)
    except ValueError as error:
        msg = f"no JSON: {error}"
        raise ServiceError(msg) from error


def _catalogue(data: bytes) -> None:
    day = datetime(2025, 12, 10, tzinfo=UTC), datetime(2025, 12, 11, tzinfo=UTC)
    Catalogue(lambda _url, _what: _answer(data), "https://a.invalid", 10).search(
        Search("L1C", *day, "T33UWQ")
    )


def _nodes(data: bytes) -> None:
    walk(lambda _url, _what: _answer(data), "https://a.invalid", "id", seeds.PRODUCT)


def _token(data: bytes) -> None:
    TokenKeeper(lambda _form: (200, _answer(data)), password_auth("a", "b"), "a.invalid").token()
    TokenKeeper(lambda _form: (401, _answer(data)), password_auth("a", "b"), "a.invalid").token()


def _wkt(data: bytes) -> None:
    query_areas(data.decode("utf-8", "surrogateescape"))


def _geojson(data: bytes) -> None:
    query_areas(str(_file("area.geojson", data)))


def _meta(data: bytes) -> None:
    """A sample whose ``meta.json`` is anything."""
    root = seeds.patches().parent
    index = root / "meta" / "step2" / "index.json"
    meta = next(root.glob("processed/*/*/meta.json"))
    kept = meta.read_bytes()
    try:
        meta.write_bytes(data)
        load_samples(index)
    finally:
        meta.write_bytes(kept)


def _step2(data: bytes) -> None:
    path = seeds.patches().parent / "meta" / "step2" / "fuzzed.json"  # beside its samples
    path.write_bytes(data)
    load_samples(path)
    _file("step2/meta/step2/index.json", data)
    check_index(seeds.scratch() / "input" / "step2")


def _progress(data: bytes) -> None:
    known_shards(_file("progress/.progress/train-shard-000000.json", data).parents[1])


def _shards(data: bytes) -> None:
    read_shards_json(_file("shards/shards.json", data).parent)


def _database(data: bytes) -> None:
    path = seeds.copied_shards() / "patches.parquet"
    path.write_bytes(data)
    reshard(PatchConfig(path, seeds.scratch() / "input" / "resharded", patch_size=32), path, "true")


def _document_seeds() -> list[bytes]:
    products, out = seeds.products(), seeds.patches()
    documents = [seeds.unsealed(out / name) for name in ("shards.json", "split.json", "summary.json")]
    return [
        products["index.json"][0],
        *documents,
        *(path.read_bytes() for path in (ROOT / "configs").glob("*.json")),
    ]


def _odata() -> list[bytes]:
    square = [[15.0, 48.0], [16.0, 48.0], [16.0, 49.0], [15.0, 49.0], [15.0, 48.0]]
    row = {
        "Id": "1",
        "Name": seeds.PRODUCT,
        "ContentLength": 10,
        "Online": True,
        "GeoFootprint": {"type": "Polygon", "coordinates": [square]},
        "Attributes": [
            {"Name": "cloudCover", "Value": 1.5},
            {"Name": "datastripId", "Value": "A_S20251210T100316_N"},
        ],
    }
    link = "https://a.invalid/odata/v1/Products?$skip=1"
    return [json.dumps({"@odata.count": 1, "value": [row], "@odata.nextLink": link}).encode()]


def _listing() -> list[bytes]:
    rows = [("manifest.safe", 0, 100), ("GRANULE", 1, 0), ("IMG_DATA", 1, 0)]
    listed = [{"Name": name, "ChildrenNumber": count, "ContentLength": size} for name, count, size in rows]
    return [json.dumps({"result": listed}).encode()]


def _xml(name: str) -> Callable[[], list[bytes]]:
    return lambda: seeds.products()[name]


def _statistics() -> list[bytes]:
    from tests.preprocess.stats.test_stats_file import GOOD

    return [json.dumps(GOOD).encode()]


def _geometry() -> list[bytes]:
    square = json.loads(_odata()[0])["value"][0]["GeoFootprint"]
    feature = {"type": "Feature", "geometry": square}
    return [
        json.dumps(item).encode() for item in (square, {"type": "FeatureCollection", "features": [feature]})
    ]


YAML = b"base: &b {a: 1, c: [1e-4, ~]}\nx: {<<: *b, a: 2}\ny: {<<: [*b, {d: 'e'}]}\n? k\n: !!str 1\n"
WKT = [
    b"POLYGON((15 48, 16 48, 16 49, 15 48))",
    b"SRID=4326;MULTIPOLYGON(((1 1,2 1,2 2,1 1)),((3 3,4 3,4 4,3 3)))",
]
SCENES = b"T33UWQ/2025-12-10T10:03:19Z\n# note\nT33UWQ 2025-12-10T10:03:19.024+00:00\n"


def _record() -> bytes:
    return json.dumps(json.loads(seeds.unsealed(seeds.patches() / "shards.json"))["shards"][0]).encode()


def _configs() -> list[bytes]:
    return [path.read_bytes() for path in sorted((ROOT / "configs").glob("*.json"))]


def _of_patches(name: str) -> Callable[[], list[bytes]]:
    return lambda: [seeds.unsealed(seeds.patches() / name)]


def _of_samples(pattern: str) -> Callable[[], list[bytes]]:
    return lambda: [path.read_bytes() for path in seeds.patches().parent.glob(pattern)]


JSON = b'{"a": [1, 2.5, "\\u00e4", null, true]}'
TOKEN = b'{"access_token": "a", "expires_in": 600, "refresh_token": "b"}'
SAMPLE_ERRORS = (ManifestError, MissingInputError, PathEscapeError)
PATH_ERRORS = (ManifestError, PathEscapeError)
FILE_ERRORS = (ManifestError, ConfigError)


def _gml(data: bytes) -> None:
    read_detector_outlines(data, "B02", 32633)


def _service_manifest(data: bytes) -> None:
    manifest_files(data, "manifest.safe")


_step1 = _through_file("index1/meta/step1/index.json", load_index)
_yaml_file = _through_file("a.yaml", read_document)
_validate = _through_file("a.json", file_faults)
_stats = _through_file("stats.json", load_stats)
_histogram = _through_file("histogram.npz", load_histogram)
_split = _through_file("split.json", load_plan)

TARGETS = (
    Target("product_xml", "xml", read_product_info, XML_ERRORS, _xml("MTD_MSIL2A.xml")),
    Target("radiometry", "xml", read_radiometry, XML_ERRORS, _xml("MTD_MSIL1C.xml")),
    Target("tile_xml", "xml", read_tile_angles, XML_ERRORS, _xml("MTD_TL.xml")),
    Target("manifest_safe", "xml", read_safe_manifest, XML_ERRORS, _xml("manifest.safe")),
    Target("service_manifest", "xml", _service_manifest, (*XML_ERRORS, ServiceError), _xml("manifest.safe")),
    Target("gml", "xml", _gml, XML_ERRORS, _xml("MSK_DETFOO")),
    Target("product", "xml", _product, (), _xml("MTD_MSIL1C.xml")),
    Target("zip", "bytes", _zip, (ProductError, PathEscapeError), seeds.zip_archive),
    Target("name", "text", _name, (), lambda: [seeds.PRODUCT.encode()]),
    Target("json", "json", parse_json, (ValueError,), lambda: [JSON]),
    Target("yaml", "text", _yaml, (ValueError,), lambda: [YAML]),
    Target("config", "json", _config, (), _configs),
    Target("document", "text", _yaml_file, (ConfigError,), lambda: [YAML]),
    Target("validate", "json", _validate, (DocumentError,), _document_seeds),
    Target("step1_index", "json", _step1, PATH_ERRORS, _xml("index.json")),
    Target("step2_index", "json", _step2, SAMPLE_ERRORS, _of_samples("meta/step2/index.json")),
    Target("sample_meta", "json", _meta, SAMPLE_ERRORS, _of_samples("processed/*/*/meta.json")),
    Target("stats", "json", _stats, FILE_ERRORS, _statistics),
    Target("histogram", "bytes", _histogram, (ManifestError,), lambda: [seeds.histogram()]),
    Target("shards", "json", _shards, PATH_ERRORS, _of_patches("shards.json")),
    Target("progress", "json", _progress, (), lambda: [_record()]),
    Target("split", "json", _split, FILE_ERRORS, _of_patches("split.json")),
    Target("database", "parquet", _database, (S2PipeError,), _of_samples("out/patches.parquet")),
    Target("scene_list", "text", _scene_list, (ConfigError,), lambda: [SCENES]),
    Target("catalogue", "json", _catalogue, (ServiceError,), _odata),
    Target("nodes", "json", _nodes, (ServiceError,), _listing),
    Target("token", "json", _token, (ServiceError, AuthError), lambda: [TOKEN]),
    Target("wkt", "text", _wkt, (ConfigError,), lambda: WKT),
    Target("geojson", "json", _geojson, (ConfigError,), _geometry),
)
"""Every target."""
