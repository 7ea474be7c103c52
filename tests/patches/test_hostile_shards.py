"""What may be planted beside shards: nothing outside the directory is read into them, written or deleted."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from s2pipe.errors import LockedError, ManifestError, PathEscapeError
from s2pipe.patches.cfg import PatchConfig, ShardConfig, SplitConfig
from s2pipe.patches.run import run_patches
from s2pipe.patches.shards.publish import read_shards_json
from s2pipe.patches.shards.records import known_shards
from tests.patches.patchdata import Scene, write_step2
from tests.patches.test_shards import KEEP_ALL

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytest.importorskip("pyarrow")
SECRET = b"root:x:0:0" + bytes(2038)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Step-2 dataset beside its shards, to be copied by each test."""
    root = tmp_path_factory.mktemp("hostile")
    run_patches(config(write_step2(root / "step2", [Scene(shape_yx=(96, 160))]), root / "out"))
    return root


@pytest.fixture
def place(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made / "out", tmp_path / "out")
    (tmp_path / "secret").write_bytes(SECRET)
    return tmp_path


def config(index: Path, out: Path, **options: Any) -> PatchConfig:
    options = {"shards": ShardConfig(max_count=2), **options}
    return PatchConfig(
        index, out, patch_size=32, quality=KEEP_ALL, split=SplitConfig(1.0, 0.0, 0.0), **options
    )


def index_of(made: Path) -> Path:
    return made / "step2" / "meta" / "step2" / "index.json"


def plant(out: Path, path: Any, **others: Any) -> None:
    """Make ``shards.json`` name a file of the planter's choice."""
    document = json.loads((out / "shards.json").read_text())
    document["shards"][-1] |= {"path": path, "bytes": len(SECRET), **others}
    document["splits"]["train"]["bytes"] = sum(record["bytes"] for record in document["shards"])
    (out / "shards.json").write_text(json.dumps(document))


@pytest.mark.parametrize(
    "path", ["../secret", "train/../../secret", "/etc/hostname", "..\\secret", "a\0b", "train/NUL", "a\udc80"]
)
def test_shards_json_reaches_no_other_file(made: Path, place: Path, path: str) -> None:
    out = place / "out"
    plant(out, path)
    with pytest.raises((PathEscapeError, ManifestError)):
        read_shards_json(out)
    assert path not in known_shards(out)
    run_patches(config(index_of(made), out, shards=ShardConfig(max_count=100)))
    assert (place / "secret").read_bytes() == SECRET
    assert [record["path"] for record in read_shards_json(out)["shards"]] == ["train/shard-000000.tar"]


@pytest.mark.parametrize("path", ["notes.txt", "train/notes.tar", "split.json", "train/shard-000000.tar"])
def test_shards_are_named_as_runs_name_them(place: Path, path: str) -> None:
    plant(place / "out", path)
    with pytest.raises(ManifestError, match=r"path: expected a path like|is listed 2 times"):
        read_shards_json(place / "out")


def test_files_of_others_stay_where_they_are(made: Path, place: Path) -> None:
    out = place / "out"
    plant(out, "notes.txt")
    others = ["notes.txt", ".patches.notes", "train/.shard-mine.tar.part", ".progress/notes.json"]
    for name in others:
        (out / name).parent.mkdir(exist_ok=True)
        (out / name).write_bytes(SECRET)
    killed = [
        ".shards.abcd_123.json",
        "train/.shard-000017.tar.part",
        ".progress/train-shard-000017.tar.json",
    ]
    for name in killed:
        (out / name).write_bytes(b"{}")
    run_patches(config(index_of(made), out, shards=ShardConfig(max_count=100)))
    assert all((out / name).read_bytes() == SECRET for name in others)
    assert not any((out / name).exists() for name in killed)


def test_a_run_that_finds_all_done_sweeps_what_a_kill_left(made: Path, place: Path) -> None:
    out = place / "out"
    mine, left = out / ".progress/notes.json", out / ".progress/train-shard-000000.tar.json"
    mine.parent.mkdir()
    for path in (mine, left, out / "train/.shard-000017.tar.part"):
        path.write_bytes(b"{}")
    assert run_patches(config(index_of(made), out)).shards_written == 0
    assert not left.exists()
    assert not (out / "train/.shard-000017.tar.part").exists()
    mine.unlink()
    left.write_bytes(b"{}")
    run_patches(config(index_of(made), out))
    assert not left.parent.exists()


def test_a_shard_that_is_not_what_was_recorded_is_kept_and_named(
    made: Path, place: Path, caplog: pytest.LogCaptureFixture
) -> None:
    out = place / "out"
    (out / "train" / "shard-000001.tar").write_bytes(b"mine now")
    run_patches(config(index_of(made), out, shards=ShardConfig(max_count=100)))
    assert (out / "train" / "shard-000001.tar").read_bytes() == b"mine now"
    assert "shard-000001.tar: is not part of these shards" in caplog.text
    assert not (out / "train" / "shard-000002.tar").exists()


@pytest.mark.parametrize(
    "record",
    [
        [],
        None,
        "train/shard-000000.tar",
        {"path": "../../secret"},
        {"path": ["train/shard-000000.tar"]},
        {"path": "train/shard-000000.tar", "bytes": "2048"},
        {"path": "train/shard-000000.tar", "bytes": -1},
        {"path": "../secret/shard-000000.tar"},
    ],
)
def test_progress_is_no_more_trusted(made: Path, place: Path, record: Any) -> None:
    out = place / "out"
    whole = json.loads((out / "shards.json").read_text())["shards"][0]
    (out / ".progress").mkdir()
    text = json.dumps({**whole, **record} if isinstance(record, dict) else record)
    (out / ".progress" / "planted.json").write_text(text)
    (out / ".progress" / "deep.json").write_text("[" * 200_000)
    run_patches(config(index_of(made), out, shards=ShardConfig(max_count=100)))
    assert (place / "secret").read_bytes() == SECRET


def link_directory(name: str) -> Callable[[Path, Path], None]:
    def plant_it(out: Path, outside: Path) -> None:
        shutil.rmtree(out / name, ignore_errors=True)
        (out / name).symlink_to(outside)

    return plant_it


def link_part(out: Path, outside: Path) -> None:
    (out / "train" / ".shard-000000.tar.part").symlink_to(outside / "kept")


def link_database(out: Path, outside: Path) -> None:
    (out / "patches.parquet").unlink()
    (out / "patches.parquet").symlink_to(outside / "kept")


def link_lock(out: Path, outside: Path) -> None:
    (out / ".lock").unlink()
    (out / ".lock").symlink_to(outside / "made")


@pytest.mark.parametrize(
    ("planted", "is_refused"),
    [
        (link_directory("train"), True),
        (link_directory(".progress"), True),
        (link_lock, True),
        (link_part, False),
        (link_database, False),
    ],
    ids=["train", "progress", "lock", "part", "database"],
)
def test_nothing_is_written_through_links(
    made: Path, place: Path, planted: Callable[..., None], *, is_refused: bool
) -> None:
    outside = place / "outside"
    outside.mkdir()
    (outside / "kept").write_bytes(SECRET)
    (outside / "shard-000000.tar").write_bytes(SECRET)
    planted(place / "out", outside)
    again = config(index_of(made), place / "out", shards=ShardConfig(max_count=100), overwrite=True)
    if is_refused:
        with pytest.raises((PathEscapeError, LockedError), match="link"):
            run_patches(again)
    else:
        assert run_patches(again).shards_written == 1
    assert {path.name: path.read_bytes() for path in outside.iterdir()} == {
        "kept": SECRET,
        "shard-000000.tar": SECRET,
    }


def test_a_sample_with_a_flipped_bit_gets_into_no_shard(tmp_path: Path) -> None:
    days = [Scene(shape_yx=(64, 64)), Scene(shape_yx=(64, 64), sensing="2025-08-03T10:00:00Z")]
    index = write_step2(tmp_path, days)
    path = tmp_path / days[0].directory / "x.tif"
    whole = path.read_bytes()
    path.write_bytes(
        whole[: len(whole) // 2] + bytes([whole[len(whole) // 2] ^ 1]) + whole[len(whole) // 2 + 1 :]
    )
    result = run_patches(config(index, tmp_path / "out"))
    assert (result.exit_code, result.failed, result.kept) == (1, ["T33UWQ_20250701T100000Z"], 4)
    path.write_bytes(whole)
    assert run_patches(config(index, tmp_path / "out")).kept == 8  # the next run tries it again
