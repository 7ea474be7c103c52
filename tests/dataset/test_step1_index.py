"""The Step-1 index."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from s2pipe.config.schema import STEP1_INDEX, load_schema
from s2pipe.dataset.entry_document import document_pieces, entry_line
from s2pipe.dataset.proof import sealed_pieces
from s2pipe.dataset.scene_key import SceneKey
from s2pipe.dataset.step1_index import (
    Asset,
    AssetGroup,
    Checksum,
    Index,
    Product,
    Scene,
    index_path,
    load_index,
    merge,
    new_index,
    save_index,
    update_index,
)
from s2pipe.dataset.stored_raster import GEOMETRY_KEYS
from s2pipe.errors import ManifestError

KEY = SceneKey("T33UWQ", "2025-12-10T10:03:19Z")


def earlier_document() -> dict:
    """An index as an earlier user's run left it: another machine's out_dir, keys unknown here."""
    return {
        "schema": "s2pipe.step1.index.v2",
        "created_utc": "2026-01-10T19:45:22Z",
        "pipeline": {"name": "s2pipe", "stage": "download"},
        "query": {"aggregate": True},
        "output": {"out_dir": "elsewhere/out", "layout": "raw/<LEVEL>/..."},
        "scenes": [
            {
                "key": {"tile_id": "T33UWQ", "sensing_start_utc": "2025-12-10T10:03:19.024Z"},
                "l1c": {
                    "product_id": "92574407",
                    "product_name": "S2B_MSIL1C_20251210T100319_N0511_R122_T33UWQ_20251212T162649.SAFE",
                    "baseline": "N0511",
                    "rel_orbit": "R122",
                    "cloud_cover": 16.5,
                    "geofootprint": None,
                    "coverage_ratio": 0.99,
                    "scl_percentages": None,
                },
                "l2a": None,
                "files_l1c": {
                    "root_dir": "raw/L1C",
                    "items": [
                        {
                            "role": "l1c.band.B02",
                            "path": "raw\\L1C\\B02.jp2",
                            "planned": False,
                            "present": True,
                        }
                    ],
                },
                "files_l2a": None,
            }
        ],
    }


def write(path: Path, document: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))
    return path


def test_an_earlier_users_index_loads(tmp_path: Path) -> None:
    index = load_index(write(index_path(tmp_path / "moved"), earlier_document()))
    assert index.root == tmp_path / "moved"
    (scene,) = index.scenes
    assert scene.key.sensing_start_utc == "2025-12-10T10:03:19.024Z"
    assert (scene.key.compact_start, scene.key.sample_dir.name) == (
        "20251210T100319Z",
        "sensing=2025-12-10T100319.024Z",
    )
    assert (scene.l1c.baseline, scene.l1c.rel_orbit, scene.l2a) == ("N0511", "R122", None)
    assert index.file(scene.asset("l1c.band.B02")).path == tmp_path / "moved" / "raw" / "L1C" / "B02.jp2"
    assert scene.asset("l2a.scl_20m") is None
    document = index.to_document()
    assert document["pipeline"] == {"name": "s2pipe", "stage": "download"}
    assert document["scenes"][0]["l1c"] == earlier_document()["scenes"][0]["l1c"]


def test_optional_keys_may_be_missing(tmp_path: Path) -> None:
    key = {"tile_id": "T33UWQ", "sensing_start_utc": "2025-12-10T10:03:19Z"}
    files = {"items": [{"role": "l1c.band.B02", "path": "a.jp2"}]}
    document = {"schema": "s2pipe.step1.index.v2", "scenes": [{"key": key, "files_l1c": files}]}
    index = load_index(write(index_path(tmp_path), document))
    asset = index.scenes[0].asset("l1c.band.B02")
    assert (asset.planned, asset.present, asset.size, asset.checksum) == (False, True, None, None)


def test_nulls_and_nan_of_other_writers_load(tmp_path: Path) -> None:
    document = earlier_document()
    scene = document["scenes"][0]
    scene["key"]["sensing_start_utc"] = "2025-12-10T10:03:19+00:00"
    scene["l1c"] |= {"cloud_cover": float("nan"), "coverage_ratio": float("-inf")}
    scene["files_l1c"]["items"][0] |= {"planned": None, "present": None, "size": float("nan")}
    path = index_path(tmp_path)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(document | {"output": None}).encode())
    index = load_index(path)
    (scene,) = index.scenes
    assert scene.key == KEY
    assert (scene.l1c.cloud_cover, scene.l1c.coverage_ratio) == (None, None)
    (asset,) = scene.assets
    assert (asset.planned, asset.present, asset.size) == (False, True, None)
    save_index(index, path)
    assert load_index(path).scenes == index.scenes


def test_the_root_of_an_index_elsewhere_is_out_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path / "index.json", earlier_document())
    assert load_index(path).root == tmp_path / "elsewhere" / "out"
    assert load_index(Path("index.json")).root == tmp_path / "elsewhere" / "out"
    document = earlier_document()
    del document["output"]
    with pytest.raises(ManifestError, match=r"output\.out_dir"):
        load_index(write(path, document))


def test_the_root_of_a_runs_manifest(tmp_path: Path) -> None:
    path = tmp_path / "meta" / "step1" / "runs" / "r1" / "manifest.json"
    assert load_index(write(path, earlier_document())).root == tmp_path


def test_all_faults_are_listed(tmp_path: Path) -> None:
    document = earlier_document()
    scene = document["scenes"][0]
    scene["key"]["tile_id"] = "33UWQ"
    scene["l1c"]["cloud_cover"] = "low"
    scene["files_l1c"]["items"][0]["size"] = -1
    del document["schema"]
    with pytest.raises(ManifestError) as error:
        load_index(write(index_path(tmp_path), document))
    assert {fault.path for fault in error.value.faults} == {
        "schema",
        "scenes[0].key.tile_id",
        "scenes[0].l1c.cloud_cover",
        "scenes[0].files_l1c.items[0].size",
    }


def test_a_scene_or_role_listed_twice_is_a_fault(tmp_path: Path) -> None:
    document = earlier_document()
    document["scenes"].append(json.loads(json.dumps(document["scenes"][0])))
    document["scenes"][1]["key"]["sensing_start_utc"] = "2025-12-10T10:03:19Z"
    document["scenes"][0]["files_l1c"]["items"] *= 2
    with pytest.raises(ManifestError) as error:
        load_index(write(index_path(tmp_path), document))
    assert [fault.path for fault in error.value.faults] == [
        "scenes[0].files_l1c.items[1].role",
        "scenes[1].key",
    ]


@pytest.mark.parametrize("content", [None, b"", b"{", b"\xff\xfe", b"[]", b"[" * 100_000])
def test_what_is_no_index_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "index.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ManifestError, match=r"index\.json: "):
        load_index(path)


text = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8)
maybe_number = st.none() | st.integers(0, 10**12)
checksums = st.none() | st.builds(Checksum, st.sampled_from(["MD5", "SHA3-256"]), st.just("00ff"))
paths = st.from_regex(r"[a-z]{1,5}(/[A-Za-z0-9_.]{1,5}){0,3}", fullmatch=True)
assets = st.builds(
    Asset,
    role=st.sampled_from(["l1c.band.B02", "l1c.later", "l2a.scl_20m", "l2a.later"]),
    path=paths,
    planned=st.booleans(),
    present=st.booleans(),
    size=maybe_number,
    checksum=checksums,
    product_path=st.none() | paths,
    member=st.none() | paths,
    extra=st.dictionaries(
        text.filter(lambda key: key not in {f.name for f in fields(Asset)}), text, max_size=2
    ),
)


def groups(level: str) -> st.SearchStrategy[AssetGroup | None]:
    own = assets.filter(lambda asset: asset.role.startswith(level))
    items = st.lists(own, max_size=3, unique_by=lambda asset: asset.role).map(tuple)
    return st.none() | st.builds(AssetGroup, root_dir=paths, items=items, extra=st.just({}))


percent = st.none() | st.floats(0, 100)
products = st.none() | st.builds(
    Product,
    product_id=st.none() | text,
    product_name=st.none() | text,
    baseline=st.none() | text,
    rel_orbit=st.none() | text | st.integers(1, 143),
    cloud_cover=percent,
    geofootprint=st.just(None),
    coverage_ratio=st.none() | st.floats(0, 1),
    scl_percentages=st.none() | st.dictionaries(text, st.floats(0, 100), max_size=2),
    extra=st.just({"later": [1]}),
)
keys = st.builds(
    SceneKey,
    st.sampled_from(["T33UWQ", "T01WCP"]),
    st.sampled_from([f"2025-12-1{d}T10:03:19Z" for d in range(9)]),
)
scenes = st.lists(
    st.builds(Scene, keys, products, products, groups("l1c"), groups("l2a"), extra=st.just({})),
    max_size=4,
    unique_by=lambda scene: scene.key,
)


@settings(max_examples=40, deadline=None)  # every example writes a file and waits for the disk
@given(scenes)
def test_an_index_survives_saving_and_loading(tmp_path_factory: pytest.TempPathFactory, scenes: Any) -> None:
    root = tmp_path_factory.mktemp("dataset")
    index = new_index(root, scenes, query={"tile_id": "33UWQ"})
    save_index(index, index_path(root))
    assert load_index(index_path(root)) == index
    assert update_index(index_path(root), index) == (index, False)


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(scenes, scenes)
def test_merging_twice_is_merging_once(old: str, new: str) -> None:
    root = Path("/no/such/dataset")
    once = merge(new_index(root, old), added := new_index(root, new))
    assert merge(once, added).scenes == once.scenes
    assert {scene.key for scene in once.scenes} == {scene.key for scene in (*old, *new)}


def index_of(root: Path, product: Product, *items: Asset) -> Index:
    return new_index(root, [Scene(KEY, l1c=product, files_l1c=AssetGroup("raw", items))])


def test_merging_adds_roles_and_keeps_what_is_not_known_anew(tmp_path: Path) -> None:
    b02, b03 = Asset("l1c.band.B02", "B02.jp2"), Asset("l1c.band.B03", "B03.jp2")
    old = index_of(tmp_path, Product("id", "name", cloud_cover=1.0), b02)
    merged = merge(old, index_of(tmp_path, Product(None, "name", cloud_cover=2.0), b03))
    (scene,) = merged.scenes
    assert scene.assets == (b02, b03)
    assert (scene.l1c.product_id, scene.l1c.cloud_cover) == ("id", 2.0)


def test_merging_replaces_another_product_with_its_files(tmp_path: Path) -> None:
    b02, b03 = Asset("l1c.band.B02", "B02.jp2"), Asset("l1c.band.B03", "B03.jp2")
    old = index_of(tmp_path, Product("id", "old"), b02)
    (scene,) = merge(old, index_of(tmp_path, Product(None, "new"), b03)).scenes
    assert (scene.assets, scene.l1c) == ((b03,), Product(None, "new"))


def test_merging_does_not_forget_a_file_that_is_there(tmp_path: Path) -> None:
    there, planned = Asset("l1c.band.B02", "B02.jp2"), Asset("l1c.band.B02", "B02.jp2", True, False)
    old, new = (index_of(tmp_path, Product(product_name="name"), item) for item in (there, planned))
    assert merge(old, new).scenes[0].assets == (planned,)
    (tmp_path / "B02.jp2").touch()
    assert merge(old, new).scenes[0].assets == (there,)


def test_the_schema_and_the_records_have_the_same_keys() -> None:
    definitions = load_schema("step1_index")["$defs"]
    for name, record in (("product", Product), ("item", Asset), ("scene", Scene), ("files", AssetGroup)):
        properties = set(definitions[name]["properties"]).difference(
            GEOMETRY_KEYS
        )  # these are part of raster
        names = {"others": "other_halves"}  # in a document, where halves stand inside their scene
        assert properties == {names.get(f.name, f.name) for f in fields(record)} - {"extra"}


ROLES = frozenset({"l1c.band.B02", "l2a.scl_20m", "l2a.later"})


@settings(max_examples=20, deadline=None)
@given(scenes)
def test_files_are_found_without_the_rest_of_their_scenes(
    tmp_path_factory: pytest.TempPathFactory, scenes: Any
) -> None:
    root = tmp_path_factory.mktemp("dataset")
    save_index(new_index(root, scenes), index_path(root))
    table = load_index(index_path(root)).table
    for scene in scenes:
        wanted = [asset for asset in scene.assets if asset.role in ROLES]
        assert list(table.files(scene.key, ROLES)) == sorted(wanted, key=lambda asset: asset.role)
    assert list(table.files(SceneKey("T60XXX", "2025-12-10T10:03:19Z"), ROLES)) == []


def sealed_line(root: Path, change: Any) -> Path:
    """Write an index of one scene whose entry was changed as bytes, with the seal that belongs to it."""
    asset = Asset("l1c.band.B02", "raw/x.jp2", size=5)
    scene = Scene(KEY, files_l1c=AssetGroup(items=(asset,)))
    line = change(entry_line(scene.to_document()))
    path = index_path(root)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"".join(sealed_pieces(document_pieces({"schema": STEP1_INDEX}, "scenes", [line]))))
    return path


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'{"role":"l1c.band.B02",', b'{"role": "l1c.band.B02",'),
        (b'{"role":"l1c.band.B02",', b'{"later":5,"role":"l1c.band.B02",'),
        (b'"root_dir":""', b'"root_dir":"{\\"role\\":\\"l1c.band.B02\\"}"'),
        (b"l1c.band.B02", b"\\u006c1c.band.B02"),
    ],
)
def test_files_that_are_spelled_otherwise_are_found_as_well(tmp_path: Path, old: bytes, new: bytes) -> None:
    path = sealed_line(tmp_path, lambda line: line.replace(old, new))
    (asset,) = load_index(path).table.files(KEY, ROLES)
    assert (asset.role, asset.path) == ("l1c.band.B02", "raw/x.jp2")


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        (b'"size":5', b'"size":-5', r"scenes\[0\]\.files_l1c\.items\[0\]\.size"),
        (b'"size":5', b'"size":5,"size":6', "more than once"),
        (b'"size":5', b'"size":5x', "is not JSON"),
        (b'{"role":', b'{"role":"l1c.band.B02","path":"y"},{"role":', "is listed already"),
    ],
)
def test_faults_of_files_that_are_asked_for_are_told(
    tmp_path: Path, old: bytes, new: bytes, fault: str
) -> None:
    path = sealed_line(tmp_path, lambda line: line.replace(old, new))
    with pytest.raises(ManifestError, match=fault):
        list(load_index(path).table.files(KEY, ROLES))
