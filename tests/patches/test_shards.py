"""Shards end to end: what is in them, that nothing depends on workers or interruptions, and the database."""

from __future__ import annotations

import hashlib
import io
import json
import os
import random
import subprocess
import sys
import tarfile
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from s2pipe.config.schema import document_faults
from s2pipe.errors import ConfigError, LockedError, ManifestError, MissingInputError
from s2pipe.ground.projection import lonlat_to_utm, utm_to_lonlat
from s2pipe.patches.cfg import BalanceConfig, PatchConfig, QualityConfig, ShardConfig, SplitConfig
from s2pipe.patches.run import plan_patches, run_patches
from s2pipe.runtime.locks import locked
from tests.patches.patchdata import IGNORE, Scene, pixels, record_again, write_step2

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")

KEEP_ALL = QualityConfig(min_valid=0.0)
SMALL_CELLS = SplitConfig(0.5, 0.25, 0.25, cell_m=2000)
MEMBERS = ["x.npy", "y.npy", "angles.npy", "angles_valid.npy", "json"]


def zone_neighbour(scene: Scene, epsg: int) -> Scene:
    """A scene of another UTM zone over (about) the same ground."""
    lon, lat = utm_to_lonlat(np.array([scene.ulx]), np.array([scene.uly]), scene.epsg)
    x, y = (float(v[0]) for v in lonlat_to_utm(lon, lat, epsg))
    return Scene(
        "T32UQA",
        scene.sensing,
        epsg,
        round(x / 20) * 20.0 + 500,
        round(y / 20) * 20.0 - 300,
        angles=scene.angles,
    )


@pytest.fixture(scope="module")
def step2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("step2")
    first = Scene(angles=True, nodata_right=100)
    return write_step2(
        root, [first, Scene(sensing="2025-08-03T10:00:00Z", angles=True), zone_neighbour(first, 32632)]
    )


SCENES = {"T33UWQ_20250701T100000Z": 0, "T33UWQ_20250803T100000Z": 1, "T32UQA_20250701T100000Z": 2}


def source(name: str) -> tuple[np.ndarray, np.ndarray]:
    number = SCENES[name]
    return pixels(Scene(nodata_right=100 if number == 0 else 0), number)


def config(step2: Path, out: Path, **options: Any) -> PatchConfig:
    options = {"patch_size": 64, "quality": KEEP_ALL, "split": SMALL_CELLS, **options}
    return PatchConfig(step2, out, **options)


def samples_of(path: Path) -> dict[str, dict[str, bytes]]:
    """Read a shard with nothing but tarfile; files of a sample follow one another."""
    found: dict[str, dict[str, bytes]] = {}
    order = []
    with tarfile.open(path) as archive:
        for member in archive:
            key, suffix = member.name.split(".", 1)
            assert (member.mtime, member.uid, member.gid, member.isreg()) == (0, 0, 0, True)
            if not order or order[-1] != key:
                order.append(key)
            stream = archive.extractfile(member)
            assert stream is not None
            found.setdefault(key, {})[suffix] = stream.read()
    assert len(order) == len(found)
    return found


def all_samples(out: Path) -> dict[str, dict[str, bytes]]:
    document = json.loads((out / "shards.json").read_text())
    return {k: v for record in document["shards"] for k, v in samples_of(out / record["path"]).items()}


def digests(out: Path) -> dict[str, str]:
    """Checksums of everything a run leaves, ``.lock`` aside."""
    return {
        path.relative_to(out).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(out.rglob("*"))
        if path.is_file() and path.name not in (".lock", "shards.json")
    }


def array(data: bytes) -> np.ndarray:
    return np.load(io.BytesIO(data), allow_pickle=False)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"stride": 40},
        {"edges": "pad", "patch_size": 100, "stride": 70},
        {"edges": "pad", "patch_size": 512},
        {"shards": ShardConfig(max_count=7)},
    ],
)
def test_every_sample_holds_the_pixels_of_its_window(step2: Path, tmp_path: Path, options: dict) -> None:
    cfg = config(step2, tmp_path, **options)
    result = run_patches(cfg)
    found = all_samples(tmp_path)
    assert result.kept == len(found) > 0 or cfg.patch_size == 512
    sums = {name: np.zeros(3) for name in SCENES}
    for key, files in found.items():
        about = json.loads(files["json"])
        name, row, col, size = key[:23], about["row"], about["col"], cfg.patch_size
        x, y = source(name)
        part = x[:, row : row + size, col : col + size]
        got = array(files["x.npy"])
        expected = np.zeros((3, size, size), np.float32)
        expected[:, : part.shape[1], : part.shape[2]] = part
        np.testing.assert_array_equal(got, expected)
        labels = np.full((size, size), IGNORE, np.uint8)
        labels[: part.shape[1], : part.shape[2]] = y[row : row + size, col : col + size]
        np.testing.assert_array_equal(array(files["y.npy"]), labels)
        np.testing.assert_array_equal(array(files["angles.npy"]), expected[:2] * np.float32(0.5))
        np.testing.assert_array_equal(array(files["angles_valid.npy"]), expected[2])
        assert (list(files), about["patch_id"], got.dtype) == (MEMBERS, key, np.float32)
        assert about["valid_fraction"] == expected[2].sum() / size**2
        assert about["ignore_fraction"] == (labels == IGNORE).sum() / size**2
        cloudy = np.isin(labels, [8, 9, 10]) & (expected[2] > 0)
        assert about["cloud_fraction"] == (cloudy.sum() / expected[2].sum() if expected[2].any() else 0.0)
        assert about["class_counts"] == {
            str(label): int((labels == label).sum()) for label in (4, 5, 6, 8, 9)
        }
        assert about["missing_angles_fraction"] == 0.0
        sums[name] += got.sum(axis=(1, 2), dtype=np.float64)
    expected_sums = {name: np.zeros(3) for name in SCENES}
    for row in parquet.read_table(tmp_path / "patches.parquet").to_pylist():
        if row["kept"]:
            x, _ = source(row["patch_id"][:23])
            window = x[:, row["row"] : row["row"] + cfg.patch_size, row["col"] : row["col"] + cfg.patch_size]
            expected_sums[row["patch_id"][:23]] += window.sum(axis=(1, 2), dtype=np.float64)
    for name in SCENES:
        np.testing.assert_allclose(sums[name], expected_sums[name], rtol=1e-12, atol=1e-9)


def test_webdataset_unmodified_reads_every_sample(step2: Path, tmp_path: Path) -> None:
    wds = pytest.importorskip("webdataset")
    run_patches(config(step2, tmp_path, shards=ShardConfig(max_count=11)))
    total = 0
    for record in json.loads((tmp_path / "shards.json").read_text())["shards"]:
        plain = samples_of(tmp_path / record["path"])
        read = list(wds.WebDataset(str(tmp_path / record["path"]), shardshuffle=False).decode())
        assert [sample["__key__"] for sample in read] == list(plain)
        for sample in read:
            np.testing.assert_array_equal(sample["x.npy"], array(plain[sample["__key__"]]["x.npy"]))
            np.testing.assert_array_equal(sample["y.npy"], array(plain[sample["__key__"]]["y.npy"]))
            assert sample["json"]["patch_id"] == sample["__key__"]
        total += len(read)
    assert total == len(all_samples(tmp_path))


def test_a_shard_is_what_tarfile_would_write(step2: Path, tmp_path: Path) -> None:
    run_patches(config(step2, tmp_path))
    record = json.loads((tmp_path / "shards.json").read_text())["shards"][0]
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for key, files in samples_of(tmp_path / record["path"]).items():
            for suffix, data in files.items():
                info = tarfile.TarInfo(f"{key}.{suffix}")
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
                if suffix.endswith("npy"):
                    again = io.BytesIO()
                    np.save(again, array(data))
                    assert again.getvalue() == data
    assert stream.getvalue() == (tmp_path / record["path"]).read_bytes()


def check_counts(out: Path) -> None:
    """shards.json, database, summary and archives tell the same story."""
    document = json.loads((out / "shards.json").read_text())
    summary = json.loads((out / "summary.json").read_text())
    assert not document_faults(document, "step3_shards")
    assert not document_faults(summary, "step3_summary")
    rows = parquet.read_table(out / "patches.parquet").to_pylist()
    assert len({row["patch_id"] for row in rows}) == len(rows) == summary["candidates"]
    assert sum(row["kept"] for row in rows) == summary["kept"] == document["kept"]
    assert all((row["reject_reason"] is None) == row["kept"] for row in rows)
    for part in ("by_split", "by_tile", "by_month"):
        assert sum(v["kept"] + v["dropped"] for v in summary[part].values()) == len(rows)
    on_disk = {path.relative_to(out).as_posix() for path in out.glob("*/shard-*.tar")}
    assert on_disk == {record["path"] for record in document["shards"]}
    in_shard = {}
    for record in document["shards"]:
        data = (out / record["path"]).read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (record["bytes"], record["sha256"])
        found = list(samples_of(out / record["path"]))
        assert len(found) == record["count"]
        in_shard |= {key: (record["path"], index) for index, key in enumerate(found)}
        assert all(key.startswith("T") for key in found)
        assert record["path"].startswith(record["split"] + "/")
    for name, total in document["splits"].items():
        assert total["samples"] == sum(r["count"] for r in document["shards"] if r["split"] == name)
        for label, count in total["class_histogram"].items():
            assert count == sum(r[f"class_{label}"] for r in rows if r["kept"] and r["split"] == name)
    kept = {row["patch_id"]: (row["shard"], row["index_in_shard"]) for row in rows if row["kept"]}
    assert kept == in_shard
    for row in rows:
        if row["kept"]:
            with (out / row["shard"]).open("rb") as stream:
                stream.seek(row["offset"])
                assert stream.read(100).rstrip(b"\0").decode() == f"{row['patch_id']}.x.npy"


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    size=st.integers(20, 200),
    step=st.one_of(st.none(), st.integers(20, 150)),
    edges=st.sampled_from(["drop", "pad"]),
    by=st.sampled_from(["cell", "tile", "time"]),
    cell_m=st.sampled_from([1000, 4000, 50_000]),
    max_count=st.integers(1, 40),
    equal=st.booleans(),
    seed=st.integers(0, 3),
)
def test_counts_agree_and_no_ground_is_in_two_splits(
    step2: Any,
    tmp_path_factory: pytest.TempPathFactory,
    size: int,
    step: Any,
    edges: Any,
    by: Any,
    cell_m: Any,
    max_count: Any,
    equal: Any,
    seed: int,
) -> None:
    out = tmp_path_factory.mktemp("out")
    cfg = config(
        step2,
        out,
        patch_size=size,
        stride=step,
        edges=edges,
        split=SplitConfig(0.5, 0.3, 0.2, by=by, cell_m=cell_m, seed=seed),
        shards=ShardConfig(max_count=max_count, equal_counts=equal),
        quality=QualityConfig(min_valid=0.3),
        seed=seed,
    )
    run_patches(cfg)
    check_counts(out)
    rows = [r for r in parquet.read_table(out / "patches.parquet").to_pylist() if r["kept"]]
    if equal:
        counts = {}
        for record in json.loads((out / "shards.json").read_text())["shards"]:
            counts.setdefault(record["split"], set()).add(record["count"])
        assert all(len(found) == 1 for found in counts.values())
    import struct

    rings = {r["patch_id"]: np.array(struct.unpack("<10d", r["geometry"][13:])).reshape(5, 2) for r in rows}
    boxes = [(r["split"], *rings[r["patch_id"]].min(axis=0), *rings[r["patch_id"]].max(axis=0)) for r in rows]
    names = np.array([b[0] for b in boxes])
    west, south, east, north = np.array([b[1:] for b in boxes]).reshape(-1, 4).T
    # Footprints lean by 2 degrees at most here: shrink the boxes by that to what surely overlaps.
    lean_x, lean_y = (east - west) * 0.04, (north - south) * 0.04
    for place in range(len(rows)):
        foe = names != names[place]
        meet = (west[place] + lean_x[place] < east - lean_x) & (east[place] - lean_x[place] > west + lean_x)
        meet &= (south[place] + lean_y[place] < north - lean_y) & (
            north[place] - lean_y[place] > south + lean_y
        )
        assert not (meet & foe).any()


def test_bytes_do_not_depend_on_workers(step2: Path, tmp_path: Path) -> None:
    found = []
    for workers in (1, 2, 5):
        out = tmp_path / str(workers)
        run_patches(config(step2, out, num_workers=workers, stride=50, shards=ShardConfig(max_count=9)))
        found.append(digests(out))
        assert (
            run_patches(
                config(step2, out, num_workers=workers, stride=50, shards=ShardConfig(max_count=9))
            ).shards_written
            == 0
        )
    assert found[0] == found[1] == found[2]
    other = tmp_path / "seed"
    run_patches(config(step2, other, seed=1, stride=50, shards=ShardConfig(max_count=9)))
    assert digests(other) != found[0]


CHILD = """
import sys
from pathlib import Path
from s2pipe.config.fields import from_plain
from s2pipe.patches.cfg import PatchConfig
from s2pipe.patches.run import run_patches
import json
print("go", flush=True)
run_patches(from_plain(PatchConfig, json.loads(sys.argv[1])))
"""


def test_a_killed_run_goes_on_to_the_same_bytes(step2: Path, tmp_path: Path) -> None:
    from s2pipe.config.fields import to_plain

    options = {"patch_size": 20, "stride": 8, "shards": ShardConfig(max_count=150), "num_workers": 2}
    run_patches(config(step2, tmp_path / "whole", **options))
    whole = digests(tmp_path / "whole")
    out = tmp_path / "killed"
    document = json.dumps(to_plain(config(step2, out, **options)))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    moments = random.Random(5)
    unfinished = resumed = 0
    for _ in range(4):
        command = [sys.executable, "-c", CHILD, document]
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as child:
            assert child.stdout is not None
            assert child.stdout.readline()
            present = set(out.glob("*/shard-*.tar"))
            while child.poll() is None and set(out.glob("*/shard-*.tar")) == present:
                time.sleep(
                    0.002
                )  # a run is worth killing once it has written something, however busy the machine
            time.sleep(moments.uniform(0.0, 0.05))
            child.kill()
        unfinished += not (out / "shards.json").exists()
        for path in out.glob("*/shard-*.tar"):  # whatever has its final name is complete
            name = path.relative_to(out).as_posix()
            assert hashlib.sha256(path.read_bytes()).hexdigest() == whole[name]
            resumed += 1
    result = run_patches(config(step2, out, **options))
    assert unfinished
    assert resumed
    assert result.shards_written < len(result.shards) or not resumed
    assert digests(out) == whole


def test_another_configuration_replaces_the_shards_of_the_first(step2: Path, tmp_path: Path) -> None:
    run_patches(config(step2, tmp_path, shards=ShardConfig(max_count=4)))
    many = len(list(tmp_path.glob("*/shard-*.tar")))
    run_patches(config(step2, tmp_path))
    assert len(list(tmp_path.glob("*/shard-*.tar"))) < many
    check_counts(tmp_path)


def test_float16_equal_counts_and_limits(step2: Path, tmp_path: Path) -> None:
    shards = ShardConfig(max_bytes=1_000_000, dtype="float16", equal_counts=True, multiple_of=2)
    run_patches(config(step2, tmp_path, shards=shards))
    document = json.loads((tmp_path / "shards.json").read_text())
    assert all(record["bytes"] <= 1_000_000 for record in document["shards"])
    for split in ("train", "val", "test"):
        counts = [record["count"] for record in document["shards"] if record["split"] == split]
        assert len(counts) % 2 == 0
        assert len(set(counts)) <= 1
    for key, files in all_samples(tmp_path).items():
        about = json.loads(files["json"])
        x, _ = source(key[:23])
        expected = x[:, about["row"] : about["row"] + 64, about["col"] : about["col"] + 64].astype(np.float16)
        np.testing.assert_array_equal(array(files["x.npy"]), expected)
        # Half precision would be wrong by up to 0.125 degrees.
        assert array(files["angles.npy"]).dtype == np.float32
    check_counts(tmp_path)


def test_filters_give_reasons_and_the_summary_counts_them(step2: Path, tmp_path: Path) -> None:
    quality = QualityConfig(min_valid=0.9, max_ignore=0.3, max_cloud=0.5, min_classes=4)
    run_patches(config(step2, tmp_path, quality=quality))
    check_counts(tmp_path)
    rows = parquet.read_table(tmp_path / "patches.parquet").to_pylist()
    for row in rows:
        expected = None
        if row["valid_fraction"] < 0.9:
            expected = "min_valid"
        elif row["ignore_fraction"] > 0.3:
            expected = "max_ignore"
        elif row["cloud_fraction"] > 0.5:
            expected = "max_cloud"
        elif row["n_classes"] < 4:
            expected = "min_classes"
        assert row["reject_reason"] == expected or row["reject_reason"] in ("split_border", None)
        assert expected is None or row["reject_reason"] == expected
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["dropped_by_reason"]["min_valid"] == sum(r["reject_reason"] == "min_valid" for r in rows)


def test_dedupe_keeps_one_of_two_tiles_at_a_time(tmp_path: Path) -> None:
    left = Scene("T33UVQ", ulx=499_980.0)
    right = Scene("T33UWQ", ulx=499_980.0 + 2000.0, uly=5_500_020.0 - 740.0)
    later = Scene("T33UXQ", sensing="2025-07-01T10:00:09Z")
    index = write_step2(tmp_path / "step2", [left, right, later])
    one_split = SplitConfig(1.0, 0.0, 0.0)
    run_patches(config(index, tmp_path / "out", dedupe=True, split=one_split))
    rows = parquet.read_table(tmp_path / "out" / "patches.parquet").to_pylist()
    by_tile = {t: [r for r in rows if r["tile_id"] == t] for t in ("T33UVQ", "T33UWQ", "T33UXQ")}
    assert all(r["kept"] for r in by_tile["T33UVQ"] + by_tile["T33UXQ"])
    for row in by_tile["T33UWQ"]:
        x, y = right.ulx + 20 * (row["col"] + 32), right.uly - 20 * (row["row"] + 32)
        covered = left.ulx <= x < left.ulx + 6 * 64 * 20 and left.uly - 4 * 64 * 20 < y <= left.uly
        assert (row["reject_reason"] == "duplicate") == covered
    assert {r["reject_reason"] for r in by_tile["T33UWQ"]} == {None, "duplicate"}


def test_time_stacks(step2: Path, tmp_path: Path) -> None:
    run_patches(config(step2, tmp_path, group="time_stack", max_t=3))
    found = all_samples(tmp_path)
    rows = {r["patch_id"]: r for r in parquet.read_table(tmp_path / "patches.parquet").to_pylist()}
    assert found
    lengths = set()
    for key, files in found.items():
        about = json.loads(files["json"])
        x, y = array(files["x.npy"]), array(files["y.npy"])
        assert x.shape == (3, 3, 64, 64)
        assert y.shape == (3, 64, 64)
        dates = [d["sensing_start_utc"] for d in about["dates"] if d["sensing_start_utc"]]
        lengths.add(about["length"])
        assert {tuple(d) for d in about["dates"]} == {tuple(about["dates"][0])}
        assert array(files["date_mask.npy"]).tolist() == [t < len(dates) for t in range(3)]
        assert dates == sorted(dates)
        assert len(dates) == about["length"]
        for t, date in enumerate(dates):
            name = f"{about['tile_id']}_{date.replace('-', '').replace(':', '')}"
            values, labels = source(name)
            window = slice(about["row"], about["row"] + 64), slice(about["col"], about["col"] + 64)
            np.testing.assert_array_equal(x[t], values[:, *window])
            np.testing.assert_array_equal(y[t], labels[window])
            row = rows[f"{name}_r{about['row']:05d}_c{about['col']:05d}"]
            assert row["t"] == t
            assert row["kept"]
        assert not x[len(dates) :].any()
        assert (y[len(dates) :] == IGNORE).all()
        assert key == about["patch_id"]
    assert lengths == {1, 2}
    capped = tmp_path / "capped"
    run_patches(config(step2, capped, group="time_stack", max_t=1))
    rows_capped = parquet.read_table(capped / "patches.parquet").to_pylist()
    assert any(r["reject_reason"] == "max_t" for r in rows_capped)
    assert sum(r["kept"] for r in rows_capped) == len(all_samples(capped))


def test_a_random_split_of_overlapping_patches_is_refused(step2: Path, tmp_path: Path) -> None:
    random_split = SplitConfig(by="random")
    with pytest.raises(ConfigError, match="overlapping patches"):
        run_patches(config(step2, tmp_path, split=random_split, stride=63))
    with pytest.raises(ManifestError, match="by: cell"):  # the two zones show the same ground
        run_patches(config(step2, tmp_path, split=random_split))
    index = write_step2(tmp_path / "one", [Scene(), Scene(sensing="2025-08-01T10:00:00Z")])
    run_patches(config(index, tmp_path / "out", split=SplitConfig(0.4, 0.3, 0.3, by="random")))
    rows = parquet.read_table(tmp_path / "out" / "patches.parquet").to_pylist()
    by_window: dict[tuple, set] = {}
    for row in rows:
        by_window.setdefault((row["row"], row["col"]), set()).add(row["split"])
    assert all(len(splits) == 1 for splits in by_window.values())
    assert len({next(iter(s)) for s in by_window.values()}) == 3


def test_a_split_that_is_there_is_obeyed_or_refused(step2: Path, tmp_path: Path) -> None:
    planned = plan_patches(config(step2, tmp_path))
    assert planned.split_path == tmp_path / "split.json"
    before = planned.split_path.read_bytes()
    run_patches(config(step2, tmp_path))
    assert planned.split_path.read_bytes() == before
    other = SplitConfig(0.5, 0.25, 0.25, cell_m=2000, seed=9)
    with pytest.raises(ConfigError, match=r"seed[\s\S]*--plan --overwrite"):
        run_patches(config(step2, tmp_path, split=other))
    run_patches(config(step2, tmp_path, split=other, overwrite=True))
    assert planned.split_path.read_bytes() != before


def test_what_is_wrong_is_said_before_anything_is_written(step2: Path, tmp_path: Path) -> None:
    bare = write_step2(tmp_path / "bare", [Scene(labels=False)])
    with pytest.raises(ConfigError, match=r"max_ignore.*needs labels"):
        run_patches(config(bare, tmp_path / "out", quality=QualityConfig(max_ignore=0.5)))
    run_patches(config(bare, tmp_path / "out"))
    assert list(next(iter(all_samples(tmp_path / "out").values()))) == ["x.npy", "json"]
    mixed = write_step2(tmp_path / "mixed", [Scene(), Scene(sensing="2025-08-01T10:00:00Z", mean=1.0)])
    with pytest.raises(ManifestError, match="normalization"):
        run_patches(config(mixed, tmp_path / "out2"))
    with pytest.raises(ConfigError, match=r"train \+ val \+ test = 1"):
        run_patches(config(step2, tmp_path / "out2", split=SplitConfig(0.5, 0.1, 0.1)))
    assert not list((tmp_path / "out2").glob("*.json"))
    with locked(tmp_path / "out" / ".lock"), pytest.raises(LockedError):
        run_patches(config(bare, tmp_path / "out"))
    native = write_step2(tmp_path / "native", [Scene(angles=True)])
    for meta in (tmp_path / "native").rglob("meta.json"):
        document = json.loads(meta.read_text())
        angles = document["assets"]["angles"]
        angles["shape"], angles["grid"]["shape_yx"] = [2, 23, 23], [23, 23]
        meta.write_text(json.dumps(document))
    with pytest.raises(ManifestError, match=r"angles\.grid target"):
        run_patches(config(native, tmp_path / "out2"))
    next((tmp_path / "bare").rglob("x.tif")).unlink()
    with pytest.raises(MissingInputError, match=r"x\.tif is not on disk"):
        run_patches(config(bare, tmp_path / "out"))


def test_a_sample_that_cannot_be_read_fails_alone(tmp_path: Path) -> None:
    index = write_step2(tmp_path / "step2", [Scene(), Scene(sensing="2025-08-01T10:00:00Z")])
    broken = next((tmp_path / "step2").rglob("sensing=2025-08*/y.tif"))
    whole = broken.read_bytes()
    broken.write_bytes(whole[: len(whole) // 3])
    result = run_patches(config(index, tmp_path / "out"))
    assert (result.failed, result.exit_code) == (["T33UWQ_20250801T100000Z"], 1)
    check_counts(tmp_path / "out")
    broken.write_bytes(whole)
    assert run_patches(config(index, tmp_path / "out")).exit_code == 0


def test_limits_per_cell_tile_and_month(step2: Path, tmp_path: Path) -> None:
    limits = BalanceConfig(max_per_cell=2, max_per_month=25, max_patches=40, class_weights={6: 0.0})
    run_patches(config(step2, tmp_path, balance=limits))
    check_counts(tmp_path)
    rows = [r for r in parquet.read_table(tmp_path / "patches.parquet").to_pylist() if r["kept"]]
    train = [r for r in rows if r["split"] == "train"]
    assert 0 < len(train) <= 40
    for column, most in (("cell_id", 2), ("month", 25)):
        names = [r[column] for r in train]
        assert max(names.count(name) for name in names) <= most
    assert any(r["split"] != "train" for r in rows)


def test_angles_that_are_stored_scaled_come_out_as_angles(tmp_path: Path) -> None:
    from osgeo import gdal

    index = write_step2(tmp_path / "step2", [Scene(angles=True)])
    path = next((tmp_path / "step2").rglob("angles.tif"))
    stored = np.arange(300 * 420, dtype=np.int64).reshape(300, 420) % 20000 - 10000
    stored[7, 9] = -32768
    raster = gdal.GetDriverByName("GTiff").Create(str(path), 420, 300, 2, gdal.GDT_Int16)
    for number in (1, 2):
        band = raster.GetRasterBand(number)
        band.SetScale(1e-4)
        band.SetOffset(0.5)
        band.SetNoDataValue(-32768)
        band.WriteRaster(0, 0, 420, 300, stored.astype(np.int16).tobytes(), buf_type=gdal.GDT_Int16)
    raster.FlushCache()
    del band, raster
    record_again(path.parent)
    quality = replace(KEEP_ALL, max_missing_angles=None)
    shards = ShardConfig(keep_nan=True)
    run_patches(
        config(index, tmp_path / "out", split=SplitConfig(1.0, 0.0, 0.0), quality=quality, shards=shards)
    )
    files = all_samples(tmp_path / "out")["T33UWQ_20250701T100000Z_r00000_c00000"]
    expected = (stored * 1e-4 + 0.5)[:64, :64]
    expected[7, 9] = np.nan
    np.testing.assert_allclose(array(files["angles.npy"])[1], expected, atol=1e-6)
