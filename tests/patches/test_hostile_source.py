"""Re-sharding from shards that someone else prepared: what is copied is what a run wrote, or nothing is."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from s2pipe.dataset.proof import write_sealed
from s2pipe.errors import ManifestError, PathEscapeError, S2PipeError, UsageError
from s2pipe.patches.run import run_patches
from s2pipe.runtime.hashing import hash_file
from tests.patches.patchdata import Scene, write_step2
from tests.patches.test_hostile_shards import config
from tests.patches.test_shards import all_samples

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pa = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")
pytest.importorskip("duckdb")
SECRET = b"root:x:0:0:root:/root:/bin/bash\n" * 2000


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("source")
    run_patches(config(write_step2(root / "step2", [Scene(shape_yx=(96, 160))]), root / "out"))
    return root / "out"


@pytest.fixture
def planted(made: Path, tmp_path: Path) -> Path:
    """A copy to plant things in, beside a file that nobody is to read."""
    shutil.copytree(made, tmp_path / "in")
    (tmp_path / "secret").write_bytes(SECRET)
    return tmp_path / "in"


def reshard_into(planted: Path, query: str = "true", **options: Any) -> Any:
    from s2pipe.patches.reshard import reshard

    return reshard(config(planted, planted.parent / "new", **options), planted / "patches.parquet", query)


def seal(out: Path, change: Callable[[dict[str, Any]], None] = lambda _: None) -> None:
    """Make ``shards.json`` fit what is there now, as whoever plants files would."""
    document = json.loads((out / "shards.json").read_text())
    for record in document["files"]:
        path = out / record["path"]
        record |= {"size": path.stat().st_size, "sha256": hash_file(path, "sha256")}
    change(document)
    document["splits"]["train"]["bytes"] = sum(record["bytes"] for record in document["shards"])
    write_sealed(out / "shards.json", document)


def edit(out: Path, column: str, values: Any) -> None:
    """Replace a column of the database."""
    rows = parquet.read_table(out / "patches.parquet")
    if column in rows.column_names:
        values = values(rows[column].to_pylist()) if callable(values) else values
        rows = rows.set_column(rows.column_names.index(column), column, pa.array(values))
    parquet.write_table(rows, out / "patches.parquet")
    seal(out)


def nothing_got_in(planted: Path) -> None:
    new = planted.parent / "new"
    assert not (new / "shards.json").exists()
    assert not any(b"root:x" in path.read_bytes() for path in new.rglob("*") if path.is_file())


@pytest.mark.parametrize("path", ["../secret", "/etc/passwd", "train/../../secret"])
def test_no_other_file_gets_into_a_shard(planted: Path, path: str) -> None:
    size = len(SECRET)
    shard = {"path": path, "bytes": size, "sha256": hash_file(planted.parent / "secret", "sha256")}
    seal(planted, lambda document: document["shards"][0].update(shard))
    with pytest.raises(PathEscapeError):
        reshard_into(planted)
    nothing_got_in(planted)


def test_a_link_to_another_file_is_no_shard(planted: Path) -> None:
    name = "train/shard-000000.tar"
    (planted / name).unlink()
    (planted / name).symlink_to("../../secret")
    shard = {"bytes": len(SECRET), "sha256": hash_file(planted.parent / "secret", "sha256")}
    seal(planted, lambda document: document["shards"][0].update(shard))
    with pytest.raises(ManifestError, match="expected the files of one item"):
        reshard_into(planted)
    nothing_got_in(planted)


def shifted(number: int) -> Callable[[list[Any]], list[Any]]:
    return lambda values: [None if value is None else value + number for value in values]


IMPOSSIBLE: dict[str, tuple[str, Any]] = {
    "offset beyond the shard": ("offset", shifted(1 << 40)),
    "offset before the shard": ("offset", shifted(-(1 << 20))),
    "offset inside a block": ("offset", shifted(1)),
    "size beyond the shard": ("nbytes", shifted(1 << 30)),
    "no bytes": ("nbytes", lambda values: [0] * len(values)),
    "two items at once": ("nbytes", lambda values: [2 * value for value in values]),
    "in the middle of an item": ("offset", shifted(512)),
    "position": ("index_in_shard", shifted(1000)),
    "date": ("t", shifted(-1000)),
    "other shard": ("shard", lambda values: ["../../secret"] * len(values)),
    "other split": ("split", lambda values: ["test"] * len(values)),
    "no split": ("split", lambda values: ["../x"] * len(values)),
    "reason": ("reject_reason", lambda values: ["because"] * len(values)),
    "tile": ("tile_id", lambda values: ["../../x"] * len(values)),
    "time": ("sensing_start_utc", lambda values: ["yesterday"] * len(values)),
    "null": ("tile_id", lambda values: [None] * len(values)),
    "type": ("row", lambda values: ["x"] * len(values)),
    "range": ("row", lambda values: [1 << 40] * len(values)),
    "negative": ("col", lambda values: [-1] * len(values)),
    "geometry": ("geometry", lambda values: [b"POINT"] * len(values)),
    "geometry of another kind": ("geometry", lambda values: [bytes([1, 1]) + bytes(19)] * len(values)),
    "counts": ("class_4", lambda values: [None] * len(values)),
    "negative counts": ("class_4", lambda values: [-1] * len(values)),
    "no number": ("valid_fraction", lambda values: [float("nan")] * len(values)),
    "more than all": ("cloud_fraction", lambda values: [1e300] * len(values)),
    "twice": ("patch_id", lambda values: [values[0]] * len(values)),
}


@pytest.mark.parametrize("case", IMPOSSIBLE)
def test_columns_that_no_run_writes_are_refused(planted: Path, case: str) -> None:
    edit(planted, *IMPOSSIBLE[case])
    with pytest.raises(ManifestError):
        reshard_into(planted)
    assert not (planted.parent / "new" / "shards.json").exists()
    assert (planted.parent / "secret").read_bytes() == SECRET


def test_what_is_no_database_is_refused(planted: Path) -> None:
    database = planted / "patches.parquet"
    whole = database.read_bytes()
    rows = parquet.read_table(database)
    rng = np.random.default_rng(1)
    for number in range(20):
        if number == 0:
            parquet.write_table(rows.drop_columns(["offset", "row"]), database)
        elif number == 1:
            database.write_bytes(b"")
        else:
            damaged = bytearray(whole)
            for place in rng.integers(0, len(whole), 1 if number % 2 else 50).tolist():
                damaged[place] ^= int(rng.integers(1, 256))
            database.write_bytes(bytes(damaged))
        seal(planted)
        try:
            reshard_into(planted)  # a flipped bit of a value may go unseen once the checksum was made to fit
        except S2PipeError as error:
            assert str(error)  # noqa: PT017 - either is right


def test_a_query_that_selects_nothing_is_refused_before_anything_is_touched(planted: Path) -> None:
    reshard_into(planted)
    new = planted.parent / "new"
    before = {path: path.read_bytes() for path in new.rglob("*") if path.is_file()}
    with pytest.raises(UsageError, match=r"'row > 100000'.* is true of none of the 15 patch"):
        reshard_into(planted, "row > 100000")
    assert {path: path.read_bytes() for path in new.rglob("*") if path.is_file()} == before


def test_time_stacks_of_which_none_is_whole_are_nothing(tmp_path: Path) -> None:
    dates = [Scene(shape_yx=(64, 64)), Scene(shape_yx=(64, 64), sensing="2025-08-03T10:00:00Z")]
    run_patches(config(write_step2(tmp_path / "step2", dates), tmp_path / "in", group="time_stack"))
    with pytest.raises(UsageError, match="whole time stacks, keeps none of the 8 patch"):
        reshard_into(tmp_path / "in", "month = '2025-08'")
    assert not (tmp_path / "new").exists()


def test_query_and_source_are_recorded(planted: Path) -> None:
    reshard_into(planted, "row >= 32")
    new = planted.parent / "new"
    documents = [json.loads((new / name).read_text()) for name in ("shards.json", "summary.json")]
    assert documents[0]["from_db"] == documents[1]["from_db"]
    assert documents[0]["from_db"]["query"] == "row >= 32"
    once = documents[0]["from_db"]["source_fingerprint"]
    assert json.loads((planted / "shards.json").read_text())["from_db"] is None
    assert len(all_samples(new)) == 10
    edit(planted, "cloud_fraction", lambda values: [0.25] * len(values))
    reshard_into(planted, "row >= 32")
    again = json.loads((new / "shards.json").read_text())
    assert again["from_db"]["source_fingerprint"] != once
    assert again["fingerprint"] != documents[0]["fingerprint"]
