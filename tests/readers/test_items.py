"""Items of shards as NumPy arrays: what PyTorch's datasets get, without PyTorch."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from s2pipe.errors import ConfigError, ManifestError, PathEscapeError
from s2pipe.patches.cfg import QualityConfig, ShardConfig, SplitConfig
from s2pipe.patches.run import run_patches
from s2pipe.readers.items import ShardItems, _fill_targets, decoded_item
from s2pipe.readers.opening import open_items
from s2pipe.readers.options import Reading
from s2pipe.readers.storage import LocalStore
from tests.patches.patchdata import IGNORE, Scene, write_step2
from tests.patches.test_shards import array, config, samples_of
from tests.paths import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

parquet = pytest.importorskip("pyarrow.parquet")
ALL_TRAIN = SplitConfig(1.0, 0.0, 0.0)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("made")
    index = write_step2(root, [Scene(angles=True, shape_yx=(130, 200))])
    run_patches(config(index, root / "out", split=ALL_TRAIN, shards=ShardConfig(max_count=4)))
    return root


def index_of(root: Path) -> Path:
    return root / "meta" / "step2" / "index.json"


def shard_items(path: Path, split: str = "train", **options: Any) -> ShardItems:
    return ShardItems(LocalStore(path), "shards.json", split, Reading(**options))


def test_items_of_shards_are_what_tarfile_finds(made: Path) -> None:
    plain: dict[str, dict[str, bytes]] = {}
    for number in range(2):
        plain |= samples_of(made / "out" / "train" / f"shard-{number:06d}.tar")
    items = shard_items(made / "out")
    found = items.read(range(len(items.units)))
    assert [item["key"] for item in found] == list(plain)
    for item in found:
        files = plain[item["key"]]
        for name in ("x", "y", "angles", "angles_valid"):
            np.testing.assert_array_equal(item[name], array(files[f"{name}.npy"]))
        assert item["json"] == json.loads(files["json"])
    assert [item["key"] for item in items.read([3, 0, 3])] == [list(plain)[n] for n in (3, 0, 3)]
    assert items.read([]) == []


def test_columns_have_the_order_of_the_items(made: Path) -> None:
    items = shard_items(made / "out")
    for item, valid, patch in zip(
        items.read(range(len(items.units))), items.column("class_4"), items.column("patch_id"), strict=True
    ):
        assert (item["json"]["class_counts"]["4"], item["key"]) == (valid, patch)
    with pytest.raises(ManifestError, match="no such column; there are patch_id"):
        items.column("clas_4")


def test_the_json_of_all_items_has_the_same_keys_and_no_null(made: Path) -> None:
    items = shard_items(made / "out")
    found = [item["json"] for item in items.read(range(len(items.units)))]
    assert len({(tuple(d), tuple(d["class_counts"])) for d in found}) == 1
    assert all(value is not None for document in found for value in document.values())


def test_a_wrong_split_is_an_error(made: Path) -> None:
    with pytest.raises(ConfigError, match="expected one of train, got 'val'"):
        shard_items(made / "out", "val")


def test_a_database_of_other_shards_is_refused(made: Path, tmp_path: Path) -> None:
    copy = tmp_path / "out"
    shutil.copytree(made / "out", copy)
    rows = parquet.read_table(copy / "patches.parquet")
    parquet.write_table(rows.slice(1), copy / "patches.parquet")
    with pytest.raises(ManifestError, match=r"5 items of train, shards\.json another number"):
        shard_items(copy)
    (copy / "patches.parquet").unlink()
    with pytest.raises(ManifestError, match=r"patches.parquet: .*no such patch database"):
        shard_items(copy)


def test_time_stacks_of_different_length_are_refused_unless_asked_for(tmp_path: Path) -> None:
    scenes = [Scene(), Scene(sensing="2025-08-03T10:00:00Z", nodata_right=300)]
    index = write_step2(tmp_path, scenes)
    for max_t in (None, 2):
        quality = QualityConfig(min_valid=0.5)
        out = tmp_path / str(max_t)
        run_patches(config(index, out, group="time_stack", max_t=max_t, split=ALL_TRAIN, quality=quality))
    with pytest.raises(ConfigError, match=r"config.max_t: is needed for batches.*ragged=True"):
        shard_items(tmp_path / "None")
    ragged = shard_items(tmp_path / "None", ragged=True)
    lengths = {len(item["x"]) for item in ragged.read(range(len(ragged.units)))}
    assert lengths == {1, 2}
    padded = shard_items(tmp_path / "2")
    for item in padded.read(range(len(padded.units))):
        assert len(item["x"]) == len(item["json"]["dates"]) == 2
        assert item["date_mask"].tolist() == [1, int(item["json"]["length"] == 2)]
        assert [date["sensing_start_utc"] != "" for date in item["json"]["dates"]] == item[
            "date_mask"
        ].tolist()
        assert (item["x"][item["date_mask"] == 0] == 0).all()
        assert (item["y"][item["date_mask"] == 0] == IGNORE).all()


def test_missing_targets_are_filled_and_told() -> None:
    targets = {"columns": {"count": "int64", "share": "double", "crop": "string"}}
    known = {"target": {"count": 3, "share": 0.5, "crop": "rye"}}
    unknown: dict[str, Any] = {"target": dict.fromkeys(targets["columns"])}
    document = {"length": 1, "dates": [known, unknown]}
    _fill_targets(document, targets)
    assert known["target"] == {"count": 3, "share": 0.5, "crop": "rye"}
    assert known["target_known"] == dict.fromkeys(targets["columns"], True)
    assert unknown["target"] == {"count": 0, "share": 0.0, "crop": ""}
    assert unknown["target_known"] == dict.fromkeys(targets["columns"], False)


@pytest.mark.parametrize(
    ("shape", "step", "shown"),
    [((23, 23), 5000.0, "23, 23"), ((130, 200), 5000.0, "5000 x 5000 m")],
    ids=["fewer", "as many"],
)
def test_angles_on_their_own_grid_are_refused(
    tmp_path: Path, shape: tuple[int, int], step: float, shown: str
) -> None:
    """``angles.grid: native`` has nodes of 5 km, at whose first 64 x 64 a patch does not lie."""
    index = write_step2(tmp_path, [Scene(angles=True, shape_yx=(130, 200))])
    path = next(tmp_path.rglob("meta.json"))
    meta = json.loads(path.read_text())
    meta["assets"]["angles"]["shape"][1:] = shape
    grid = meta["assets"]["angles"]["grid"]
    grid["shape_yx"], grid["geotransform"][1], grid["geotransform"][5] = list(shape), step, -step
    path.write_text(json.dumps(meta))
    with pytest.raises(ManifestError, match=rf"assets\.angles\.grid.*{shown}.*angles\.grid target"):
        open_items(index, "train", Reading(windows=(64, 64)))
    with pytest.raises(ManifestError, match=r"assets\.angles\.grid"):
        run_patches(config(index, tmp_path / "out"))
    assert not (tmp_path / "out" / "shards.json").exists()


def test_the_torch_dataset_reads_through_these_alone() -> None:
    text = (ROOT / "s2pipe" / "torch.py").read_text(encoding="utf-8")
    assert "open_items(" in text
    assert not any(name in text for name in ("load_samples", "StackReader", "tarfile", "read_bytes"))


def tar_with(*members: tarfile.TarInfo) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for member in members:
            archive.addfile(member, io.BytesIO(bytes(member.size)))
    return stream.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, size: int = 0, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.size, info.linkname = kind, size, link
    return info


def pickled() -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.array([{"a": 1}], object))
    info = member("a.x.npy", size=len(stream.getvalue()))
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        archive.addfile(info, io.BytesIO(stream.getvalue()))
    return content.getvalue()


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[: len(data) // 3],
        lambda data: data[:700],
        lambda data: b"\xff" * 2000 + data[2000:],
        lambda _: tar_with(member("a.x.npy", tarfile.SYMTYPE, link="/etc/passwd")),
        lambda _: tar_with(member("a.x.npy", tarfile.LNKTYPE, link="../secret")),
        lambda _: tar_with(member("a.x.npy", tarfile.CHRTYPE)),
        lambda _: tar_with(member("a.x.npy", size=100)),
        lambda _: tar_with(member("a.json", size=3)),
        lambda _: pickled(),
    ],
    ids=[
        "cut",
        "cut in the header",
        "no tar",
        "link",
        "hard link",
        "device",
        "no array",
        "no JSON",
        "pickle",
    ],
)
def test_damaged_items_give_the_documented_error(made: Path, damage: Callable[[bytes], bytes]) -> None:
    whole = (made / "out" / "train" / "shard-000000.tar").read_bytes()
    first = whole[: int(shard_items(made / "out")._nbytes[0])]
    assert decoded_item(bytearray(first), "whole")["key"]
    with pytest.raises(ManifestError, match="cannot be read as a shard"):
        decoded_item(bytearray(damage(first)), "damaged")


def test_a_shard_that_is_cut_short_is_an_error(made: Path, tmp_path: Path) -> None:
    shutil.copytree(made / "out", tmp_path / "out")
    path = tmp_path / "out" / "train" / "shard-000000.tar"
    path.write_bytes(path.read_bytes()[:100_000])
    items = shard_items(tmp_path / "out")
    assert items.read([0])
    with pytest.raises(ManifestError, match=r"shard-000000.tar: expected \d+ bytes from byte \d+ on, got"):
        items.read(range(4))
    path.unlink()
    with pytest.raises(ManifestError, match=r"shard-000000.tar: cannot be read as a shard: .*restore it"):
        items.read([0])


def test_only_sets_of_patches_are_opened(made: Path, tmp_path: Path) -> None:
    assert len(open_items(made / "out" / "shards.json", "train", Reading()).units)
    assert len(open_items(index_of(made), "train", Reading(windows=(64, 64))).units)
    for number, text in enumerate(("", "[]", "{}", "[" * 100_000, '{"shards": []}', '{"samples": 5}')):
        path = tmp_path / f"{number}.json"
        path.write_text(text)
        with pytest.raises(ManifestError):
            open_items(path, "train", Reading())
    with pytest.raises(ManifestError, match="cannot be read"):
        open_items(tmp_path / "missing.json", "train", Reading())
    document = json.loads((made / "out" / "shards.json").read_text())
    document["shards"][0]["path"] = "../secret.tar"
    (tmp_path / "shards.json").write_text(json.dumps(document))
    with pytest.raises(PathEscapeError):
        open_items(tmp_path / "shards.json", "train", Reading())
