"""Items as NumPy arrays: what PyTorch's dataset gets, without PyTorch."""

from __future__ import annotations

import io
import json
import tarfile
from typing import TYPE_CHECKING

import numpy as np
import pytest

from s2pipe.errors import ManifestError, PathEscapeError
from s2pipe.patches.cfg import PatchConfig, ShardConfig, SplitConfig
from s2pipe.patches.readers import set_document, shard_items, window_items, window_samples
from s2pipe.patches.run import run_patches
from tests.patches.patchdata import Scene, pixels, write_step2
from tests.patches.test_shards import array, config, samples_of
from tests.paths import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytest.importorskip("pyarrow")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("made")
    index = write_step2(root, [Scene(angles=True, shape_yx=(130, 200))])
    run_patches(
        config(index, root / "out", split=SplitConfig(1.0, 0.0, 0.0), shards=ShardConfig(max_count=4))
    )
    return root


def index_of(root: Path) -> Path:
    return root / "meta" / "step2" / "index.json"


def windows(index: Path, size: int = 64) -> PatchConfig:
    return PatchConfig(index, index.parent, patch_size=size, stride=size)


def test_items_of_a_shard_are_what_tarfile_finds(made: Path) -> None:
    path = made / "out" / "train" / "shard-000000.tar"
    plain, found = samples_of(path), list(shard_items(path))
    assert [item["key"] for item in found] == list(plain)
    for item in found:
        files = plain[item["key"]]
        for name in ("x", "y", "angles"):
            np.testing.assert_array_equal(item[name], array(files[f"{name}.npy"]))
        assert item["json"] == json.loads(files["json"])


def test_windows_show_their_own_ground(made: Path) -> None:
    (sample,) = window_samples(index_of(made))
    x, y = pixels(Scene(shape_yx=(130, 200)), 0)
    found = list(window_items(sample, windows(index_of(made))))
    assert len(found) == 6
    for item in found:
        row, col = item["json"]["row"], item["json"]["col"]
        np.testing.assert_array_equal(item["x"], x[:, row : row + 64, col : col + 64])
        np.testing.assert_array_equal(item["y"], y[row : row + 64, col : col + 64])
        np.testing.assert_array_equal(item["angles"], x[:2, row : row + 64, col : col + 64] * np.float32(0.5))


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
        window_samples(index)
    with pytest.raises(ManifestError, match=r"assets\.angles\.grid"):
        run_patches(config(index, tmp_path / "out"))
    assert not (tmp_path / "out" / "shards.json").exists()


def test_the_torch_dataset_reads_through_these_alone() -> None:
    text = (ROOT / "s2pipe" / "torch.py").read_text(encoding="utf-8")
    assert "window_samples(" in text
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
        lambda data: b"\xff" * 2000 + data,
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
def test_damaged_shards_give_the_documented_error(
    made: Path, tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    whole = (made / "out" / "train" / "shard-000000.tar").read_bytes()
    path = tmp_path / "train" / "shard-000000.tar"
    path.parent.mkdir()
    path.write_bytes(damage(whole))
    with pytest.raises(ManifestError, match="cannot be read as a shard"):
        list(shard_items(path))


def test_only_sets_of_patches_are_opened(made: Path, tmp_path: Path) -> None:
    assert set_document(made / "out" / "shards.json")["shards"]
    assert set_document(index_of(made))["samples"]
    for number, text in enumerate(("", "[]", "{}", "[" * 100_000, '{"shards": []}', '{"samples": 5}')):
        path = tmp_path / f"{number}.json"
        path.write_text(text)
        with pytest.raises(ManifestError):
            set_document(path)
    with pytest.raises(ManifestError, match="cannot be read"):
        set_document(tmp_path / "missing.json")
    document = json.loads((made / "out" / "shards.json").read_text())
    document["shards"][0]["path"] = "../secret.tar"
    (tmp_path / "shards.json").write_text(json.dumps(document))
    with pytest.raises(PathEscapeError):
        set_document(tmp_path / "shards.json")
