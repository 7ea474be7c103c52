"""Damaged shards and what lies beside them: noticed before they are used, and made anew by the next run."""

from __future__ import annotations

import hashlib
import json
import shutil
from typing import TYPE_CHECKING

import pytest

from s2pipe.config.schema import document_faults
from s2pipe.dataset.proof import seal_fault
from s2pipe.errors import ManifestError
from s2pipe.patches.run import run_patches
from tests.patches.patchdata import Scene, write_step2
from tests.patches.test_hostile_shards import config, index_of

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("pyarrow")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Step-2 dataset beside its shards, to be copied by each test."""
    root = tmp_path_factory.mktemp("proofs")
    run_patches(config(write_step2(root / "step2", [Scene(shape_yx=(96, 160))]), root / "out"))
    return root


@pytest.fixture
def out(made: Path, tmp_path: Path) -> Path:
    return shutil.copytree(made / "out", tmp_path / "out")


def flip(path: Path, place: int = -1) -> None:
    """Change one bit of a file."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2 if place < 0 else place] ^= 1
    path.write_bytes(data)


def contents(directory: Path) -> dict[str, bytes]:
    """All files but locks, and ``shards.json``, which tells where it was made."""
    others = (".lock", "shards.json")
    files = (path for path in sorted(directory.rglob("*")) if path.is_file() and path.name not in others)
    return {path.relative_to(directory).as_posix(): path.read_bytes() for path in files}


def test_shards_json_records_every_file(out: Path) -> None:
    document = json.loads((out / "shards.json").read_bytes())
    assert document_faults(document, "step3_shards") == []
    assert seal_fault((out / "shards.json").read_bytes()) is None
    sizes = {item["path"]: (item["bytes"], item["sha256"]) for item in document["shards"]}
    sizes |= {item["path"]: (item["size"], item["sha256"]) for item in document["files"]}
    found = contents(out).items()
    assert sizes == {name: (len(data), hashlib.sha256(data).hexdigest()) for name, data in found}


@pytest.mark.parametrize("name", ["train/shard-000001.tar", "patches.parquet", "summary.json", "shards.json"])
def test_truncated_outputs_are_made_anew(made: Path, out: Path, name: str) -> None:
    before = contents(out)
    data = (out / name).read_bytes()
    (out / name).write_bytes(data[: len(data) // 2])
    result = run_patches(config(index_of(made), out))
    assert result.shards_written == {"shards.json": len(result.shards)}.get(name, int("shard-" in name))
    assert contents(out) == before
    assert run_patches(config(index_of(made), out)).shards_written == 0


def test_a_changed_shards_json_counts_for_nothing(made: Path, out: Path) -> None:
    before = contents(out)
    text = (out / "shards.json").read_text()
    (out / "shards.json").write_text(text.replace('"count": 2', '"count": 3', 1))
    run_patches(config(index_of(made), out))
    assert contents(out) == before


@pytest.mark.parametrize("name", ["train/shard-000001.tar", "patches.parquet", "split.json"])
@pytest.mark.parametrize("damage", ["flipped", "truncated", "missing"])
def test_nothing_is_copied_out_of_damaged_shards(out: Path, tmp_path: Path, name: str, damage: str) -> None:
    pytest.importorskip("duckdb")
    from s2pipe.patches.reshard import reshard

    path = out / name
    if damage == "flipped":
        flip(path)
    elif damage == "truncated":
        path.write_bytes(path.read_bytes()[:-1])
    elif name == "patches.parquet":
        pytest.skip("without a database there is nothing to query")
    else:
        path.unlink()
    new = config(tmp_path / "none.json", tmp_path / "new")
    with pytest.raises(ManifestError, match=rf"{name}: (expected|is missing).*--repair"):
        reshard(new, out / "patches.parquet", "true")
    assert contents(tmp_path) == {f"out/{key}": data for key, data in contents(out).items()}
