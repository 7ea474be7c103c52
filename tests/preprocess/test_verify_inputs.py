"""Inputs are as the index says when their pixels are used, or their scene fails; no pixel is ever wrong in silence."""

from __future__ import annotations

import json
import os
import re
import shutil
import threading
import zipfile
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from osgeo import gdal

from s2pipe.dataset.input_file import InputFile, Stamp
from s2pipe.dataset.verified import VERIFIED, VerifiedFiles
from s2pipe.indexing.run import index_products
from s2pipe.preprocess import one_scene as one_scene_module
from s2pipe.preprocess import run as run_module
from s2pipe.preprocess import sample as sample_module
from s2pipe.preprocess.cfg import NormalizeConfig, PreprocessConfig
from s2pipe.preprocess.run import PreprocessResult, run_preprocess
from s2pipe.synthetic import ProductSpec, make_products
from tests.conftest import read_whole_band
from tests.faults.damage import mutants

if TYPE_CHECKING:
    from collections.abc import Callable

MUTANTS = 40  # `make test-faults` tries 240
OLD_NS = 1_700_000_000_123_456_789


@dataclass(frozen=True)
class Small:
    """A dataset of one scene of 102 pixels, which tests may damage: files of its own, not links."""

    root: Path

    def config(self, out: Path, **changes: Any) -> PreprocessConfig:
        base = PreprocessConfig(self.root / "meta/step1/index.json", out, "B05", ("B05", "B11"))
        return replace(base, **changes)

    def run(self, out: Path, **changes: Any) -> PreprocessResult:
        return run_preprocess(self.config(out, **changes))

    def file(self, name: str) -> Path:
        return next(self.root.rglob(f"*{name}"))


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("pristine")
    for day in (10, 15):
        spec = ProductSpec(
            side_m=2_040, sensing_start=datetime(2025, 12, day, 10, 3, 19, tzinfo=UTC), quality_masks=False
        )
        make_products(base / "products", spec)
    index_products([base / "products"], base / "linked")
    shutil.copytree(base / "linked", base / "own")
    return base / "own"


@pytest.fixture
def small(pristine: Path, tmp_path: Path) -> Small:
    shutil.copytree(pristine, tmp_path / "data")
    return Small(tmp_path / "data")


def _settle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let files that were written a moment ago count as settled."""
    monkeypatch.setattr(Stamp, "is_settled", lambda _: True)


def _x(out: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted(out.rglob("x.tif"))]


def test_a_flipped_bit_fails_its_scene_with_the_cure_and_nothing_of_it_is_written(
    small: Small, tmp_path: Path
) -> None:
    path = small.file("20251210T100319_B11.jp2")
    data = bytearray(path.read_bytes())
    data[-100] ^= 4
    path.write_bytes(data)
    result = small.run(tmp_path / "out")
    assert (result.exit_code, len(result.done)) == (1, 1)
    (failed,) = result.failed
    assert f"{path}: expected SHA3-256 " in failed.error
    assert "s2pipe download CONFIG --verify" in failed.error
    assert "s2pipe index" in failed.error
    assert not list((tmp_path / "out").rglob("sensing=2025-12-10*"))
    pass_1 = NormalizeConfig(mode="compute_only", stats_path=tmp_path / "stats.json")
    assert len(small.run(tmp_path / "pass1", normalize=pass_1).failed) == 1
    assert not list((tmp_path / "pass1").rglob("sensing=2025-12-10*"))
    assert small.run(tmp_path / "size", verify_inputs="size").exit_code == 0  # what was asked for


def test_sizes_always_count(small: Small, tmp_path: Path) -> None:
    path = small.file("20251210T100319_B11.jp2")
    path.write_bytes(path.read_bytes() + b"\0")
    (failed,) = small.run(tmp_path / "out", verify_inputs="size").failed
    assert f"expected {path.stat().st_size - 1} bytes, got {path.stat().st_size}" in failed.error


def test_a_remembered_checksum_stands_for_no_other_size(
    small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _settle(monkeypatch)
    assert small.run(tmp_path / "out").exit_code == 0
    index = small.root / "meta/step1/index.json"
    document = json.loads(index.read_text())
    items = document["scenes"][0]["files_l1c"]["items"]
    next(item for item in items if item["role"] == "l1c.band.B11")["size"] = 1e300
    index.write_text(json.dumps(document))
    (failed,) = small.run(tmp_path / "again").failed
    assert "expected 1e+300 bytes" in failed.error


def test_a_band_without_its_end_fails_its_scene_even_by_size(small: Small, tmp_path: Path) -> None:
    """As after a full disk, or a download that reserved its space: the size is right, the rest is zeros."""
    path = small.file("20251210T100319_B11.jp2")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3].ljust(len(data), b"\0"))
    result = small.run(tmp_path / "out", verify_inputs="size")
    (failed,) = result.failed
    assert (result.exit_code, len(result.done)) == (1, 1)
    assert f"{path}: is damaged: it is cut short" in failed.error


@pytest.mark.parametrize("name", ["MTD_MSIL1C.xml", "MTD_TL.xml"])
def test_metadata_are_checked_too(small: Small, tmp_path: Path, name: str) -> None:
    for path in small.root.rglob(name):
        path.write_bytes(path.read_bytes().replace(b"10", b"11", 1))
    result = small.run(tmp_path / "out")
    assert len(result.failed) == 2
    assert all(f"{name}: expected SHA3-256" in failed.error for failed in result.failed)


def test_members_of_archives_are_checked(pristine: Path, tmp_path: Path) -> None:
    products = pristine.parent / "products"
    for path in products.iterdir():
        shutil.make_archive(str(tmp_path / "zip" / path.stem), "zip", products, path.name)
    index_products([tmp_path / "zip"], tmp_path / "data")
    small = Small(tmp_path / "data")
    assert small.run(tmp_path / "out").exit_code == 0
    path = next((tmp_path / "zip").glob("*MSIL1C_20251210*"))
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            changed = data[:-9] + b"\1" + data[-8:] if name.endswith("B11.jp2") else data
            archive.writestr(name, changed)
    (failed,) = small.run(tmp_path / "out2").failed
    assert "B11.jp2: expected SHA3-256" in failed.error


def test_files_are_hashed_once_and_again_when_their_state_changes(
    small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _settle(monkeypatch)
    pass_1 = NormalizeConfig(mode="compute_only", stats_path=tmp_path / "stats.json")
    first = small.run(tmp_path / "out", normalize=pass_1)
    assert first.inputs == {"checksum": 8, "earlier": 0, "etag": 0, "size": 0, "nothing": 0}
    again = small.run(tmp_path / "out", normalize=replace(pass_1, mode="apply_with_stats"))
    assert again.inputs == {"checksum": 0, "earlier": 8, "etag": 0, "size": 0, "nothing": 0}
    assert first.summary()["inputs"]["checksum"] == 8
    path = small.file("20251210T100319_B11.jp2")
    before = path.stat()
    data = bytearray(path.read_bytes())
    data[-100] ^= 4
    path.write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))  # whoever hides a change cannot set its ctime
    assert len(small.run(tmp_path / "out2").failed) == 1
    path.write_bytes(bytes([*data[:-100], data[-100] ^ 4, *data[-99:]]))
    third = small.run(tmp_path / "out3")
    assert (third.exit_code, third.inputs["checksum"], third.inputs["earlier"]) == (0, 1, 7)


@pytest.mark.parametrize("damage", [b"", b"[1]\n\xff{\n", b'["raw", null, 1, 2]\n[[], [], 1, 2, 3, "x"]\n'])
def test_a_damaged_memory_costs_time_alone(
    small: Small, tmp_path: Path, damage: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    _settle(monkeypatch)
    small.run(tmp_path / "out", max_scenes=1)
    memory = small.root / VERIFIED
    lines = memory.read_bytes().splitlines(keepends=True)
    memory.write_bytes(b"".join(lines[:2]) + damage + lines[2][:-9])
    result = small.run(tmp_path / "out2", max_scenes=1)
    assert (result.inputs["earlier"], result.inputs["checksum"]) == (2, 2)
    assert small.run(tmp_path / "out3", max_scenes=1).exit_code == 0


@pytest.mark.parametrize("obstacle", ["directory", "link", "pipe"])
def test_a_dataset_that_cannot_be_written_to_has_its_memory_in_the_output(
    small: Small, tmp_path: Path, obstacle: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _settle(monkeypatch)
    memory, victim = small.root / VERIFIED, tmp_path / "victim"
    victim.write_text("mine")
    if obstacle == "directory":
        memory.mkdir()
    elif obstacle == "link":
        memory.symlink_to(victim)
    else:
        os.mkfifo(memory)
    assert small.run(tmp_path / "out").inputs["checksum"] == 8
    assert victim.read_text() == "mine"
    assert small.run(tmp_path / "out", overwrite=True).inputs["earlier"] == 8


def test_runs_share_the_memory(tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.jp2" for number in range(40)]
    for path in paths:
        path.write_bytes(b"x")
        os.utime(path, ns=(OLD_NS, OLD_NS))
    stamp = Stamp(1, OLD_NS, OLD_NS)
    files = [InputFile("l1c.band.B02", path) for path in paths]

    def remember(some: list[InputFile]) -> None:
        memory = VerifiedFiles(tmp_path, tmp_path)
        for file in some:
            memory.add([(file, stamp)])

    threads = [threading.Thread(target=remember, args=(files[start::4],)) for start in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(VerifiedFiles(tmp_path, tmp_path).holds(file, stamp) for file in files)


def test_what_changes_at_once_is_not_remembered(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"1")
    memory, file = VerifiedFiles(tmp_path, tmp_path), InputFile("l1c.band.B02", path)
    memory.add([(file, Stamp.of(path))])
    assert not memory.holds(file, Stamp.of(path))


def test_a_file_that_is_swapped_while_it_is_read_fails_its_scene(
    small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def swap_after(function: Callable[..., Any]) -> Callable[..., Any]:
        def swapped(*arguments: Any) -> Any:
            made = function(*arguments)
            path = small.file("20251210T100319_B11.jp2")
            path.write_bytes(path.read_bytes())
            return made

        return swapped

    for module, name in ((sample_module, "write_stack"), (one_scene_module, "scene_histogram")):
        monkeypatch.setattr(module, name, swap_after(getattr(module, name)))
    pass_1 = NormalizeConfig(mode="compute_only", stats_path=tmp_path / "stats.json")
    for changes in ({}, {"normalize": pass_1}):
        (failed,) = small.run(tmp_path / "out", max_scenes=1, **changes).failed
        assert "was changed while the scene was processed" in failed.error
        assert not _x(tmp_path / "out")
        assert not list((tmp_path / "out").rglob("*.npz"))


def test_a_file_that_is_swapped_after_planning_fails_its_scene(
    small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def swapped(_: Any) -> None:
        path = small.file("20251215T100319_B11.jp2")
        os.utime(path, ns=(OLD_NS, OLD_NS))

    monkeypatch.setattr(run_module, "_check_outputs", swapped)
    (failed,) = small.run(tmp_path / "out").failed
    assert "was changed since the run began" in failed.error


def _edit_index(small: Small, change: Callable[[dict[str, Any]], None]) -> None:
    path = small.root / "meta/step1/index.json"
    document = json.loads(path.read_text())
    for scene in document["scenes"]:
        for item in scene["files_l1c"]["items"]:
            change(item)
    path.write_text(json.dumps(document))


def test_unknown_algorithms_and_missing_checksums_are_said(
    small: Small, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def change(item: dict[str, Any]) -> None:
        if item["role"] == "l1c.band.B11":
            item["checksum"]["algorithm"] = "SHAKE-128"
        elif item["role"] == "l1c.band.B05":
            del item["checksum"], item["size"]

    _edit_index(small, change)
    result = small.run(tmp_path / "out")
    assert result.inputs == {"checksum": 4, "earlier": 0, "etag": 0, "size": 2, "nothing": 2}
    assert caplog.text.count("unknown algorithm 'SHAKE-128'") == 1


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (b"EPSG:32633", b"EPSG:32632", "expected EPSG:32632, got WGS 84 / UTM zone 33N"),
        (b"<ULX>", b"<ULX>1", "expected the geotransform"),
        (b"<NROWS>", b"<NROWS>1", "pixels, got 102 x 102"),
        (b"EPSG:32633", b"EPSG:999999", "MTD_TL.xml"),
    ],
)
def test_rasters_lie_where_the_metadata_of_their_tile_say(
    small: Small, tmp_path: Path, old: bytes, new: bytes, words: str
) -> None:
    path = next((small.root / "raw/L1C").rglob("*20251210*/**/MTD_TL.xml"))
    assert old in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(old, new))

    def change(item: dict[str, Any]) -> None:
        if item["role"] == "l1c.tile_metadata":
            del item["checksum"], item["size"]

    _edit_index(small, change)
    (failed,) = small.run(tmp_path / "out").failed
    assert words in failed.error


@pytest.mark.parametrize("zipped", [False, True])
def test_a_band_that_is_vrt_text_is_not_followed(pristine: Path, tmp_path: Path, zipped: bool) -> None:
    products = tmp_path / "products"
    shutil.copytree(pristine.parent / "products", products)
    band = next(products.glob("*MSIL1C_20251210*/GRANULE/*/IMG_DATA/*_B11.jp2"))
    shutil.copyfile(band, tmp_path / "other.jp2")
    gdal.Translate(str(tmp_path / "b.vrt"), str(tmp_path / "other.jp2"))
    text = (tmp_path / "b.vrt").read_text()
    band.write_text(re.sub('relativeToVRT="1">[^<]*', f'relativeToVRT="0">{tmp_path}/other.jp2', text))
    assert gdal.Open(str(band)) is not None  # what a plain open would follow
    for manifest in products.glob("*/manifest.safe"):
        manifest.unlink()  # whoever makes such a product makes its checksums too
    if zipped:
        for path in list(products.iterdir()):
            shutil.make_archive(str(path.with_suffix("")), "zip", products, path.name)
            shutil.rmtree(path)
    index_products([products], tmp_path / "data")
    result = Small(tmp_path / "data").run(tmp_path / "out")
    assert (result.exit_code, len(result.done)) == (1, 1)
    assert "B11.jp2: GDAL cannot open it as JPEG 2000" in result.failed[0].error


def test_a_broken_link_is_called_one(pristine: Path, tmp_path: Path) -> None:
    root = tmp_path / "data"
    shutil.copytree(pristine.parent / "linked", root, symlinks=True)
    shutil.copytree(pristine.parent / "products", tmp_path / "products")
    path = next((root / "raw/L1C").rglob("*20251210*/**/T*_B11.jp2"))
    path.unlink()
    path.symlink_to("../gone.jp2")
    small = Small(root)
    with pytest.raises(Exception, match=r"_B11\.jp2 is a link to \.\./gone\.jp2, which does not exist"):
        small.run(tmp_path / "out")


def test_no_mutant_of_a_band_is_accepted_with_other_pixels(
    small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _settle(monkeypatch)
    path = small.file("20251210T100319_B11.jp2")
    data, out = path.read_bytes(), tmp_path / "out"
    changes: dict[str, Any] = {"max_scenes": 1, "l1c_bands": ("B11",), "target_grid_ref": "B11"}
    assert small.run(out, **changes).exit_code == 0
    before = _x(out)
    shutil.rmtree(out)
    undetected = 0
    for mutant in mutants(data, MUTANTS):
        path.write_bytes(mutant)
        undetected += _decodes_otherwise(path, data, mutant)
        result = small.run(out, **changes)
        assert result.exit_code == (1 if mutant != data else 0)
        assert _x(out) in ([], before)
    assert undetected > MUTANTS // 10  # GDAL alone would have taken these


def _decodes_otherwise(path: Path, data: bytes, mutant: bytes) -> bool:
    """Tell whether GDAL gives pixels of a changed file without a word."""
    if mutant == data:
        return False
    try:
        return bool(np.isfinite(read_whole_band(path, dtype="uint16")).all())
    except (RuntimeError, AssertionError, AttributeError):
        return False
