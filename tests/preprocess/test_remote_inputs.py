"""Inputs in object storage and on a web server: the same bytes as from disk, whatever the server does in between."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from s2pipe.cli import main
from s2pipe.config.fields import to_plain
from s2pipe.dataset.step1_index import load_index
from s2pipe.errors import AuthError, PathEscapeError, UntrustedServerError
from s2pipe.indexing.run import index_products
from s2pipe.patches.cfg import PatchConfig, SplitConfig
from s2pipe.patches.run import plan_patches, run_patches
from s2pipe.preprocess.cfg import (
    AngleAssetConfig,
    CacheConfig,
    LabelConfig,
    NormalizeConfig,
    PreprocessConfig,
    RemoteConfig,
)
from s2pipe.preprocess.run import PreprocessResult, run_preprocess
from s2pipe.runtime.locks import locked
from s2pipe.synthetic import ProductSpec, make_products
from tests.object_store import KEY_ID, SECRET, ObjectStore, hurry, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

PREFIX = "Sentinel-2/MSI/2025/12/10"


@dataclass(frozen=True)
class Bed:
    """One scene in object storage, the outputs that it gives when it lies on disk, and a server."""

    store: ObjectStore
    expected: dict[str, bytes]
    tmp_path: Path
    local_index: Path

    def index(self, *places: str) -> Path:
        return index_products(places or [f"s3://eodata/{PREFIX}/"], self.tmp_path / "data").index_path

    def web(self) -> list[str]:
        names = sorted(path.name for path in (self.store.root / "eodata" / PREFIX).iterdir())
        return [f"{self.store.url}/eodata/{PREFIX}/{name}" for name in names]

    def run(self, index_json: Path, name: str = "out", **remote: Any) -> tuple[PreprocessResult, Path]:
        out = self.tmp_path / name
        return run_preprocess(self.config(index_json, out, **remote)), out

    def config(self, index_json: Path, out: Path, **remote: Any) -> PreprocessConfig:
        remote = {"allow": ("s3://eodata/Sentinel-2", self.store.url), **remote}
        return replace(_config(index_json, out), remote=RemoteConfig(**remote))


def _config(index_json: Path, out: Path) -> PreprocessConfig:
    return PreprocessConfig(
        index_json=index_json,
        out_dir=out,
        target_grid_ref="scl_20m",
        l1c_bands=("B02", "B8A"),
        labels=LabelConfig(enabled=True),
    )


def _with_angles(config: PreprocessConfig) -> PreprocessConfig:
    return replace(config, angles=AngleAssetConfig(enabled=True, detector_aggregate="footprint"))


def _run_both(config: PreprocessConfig) -> list[PreprocessResult]:
    stats = config.out_dir / "stats.json"
    counted = NormalizeConfig("compute_only", stats_path=stats, save_histograms=True)
    applied = NormalizeConfig("apply_with_stats", stats_path=stats)
    return [run_preprocess(replace(config, normalize=normalize)) for normalize in (counted, applied)]


def _outputs(out: Path) -> dict[str, bytes]:
    """Everything but what names places and times; of meta.json the fingerprint."""
    kept = {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.suffix in (".tif", ".npz") or path.name == "stats.json"
    }
    for path in sorted(out.rglob("meta.json")):
        kept[path.relative_to(out).as_posix()] = json.loads(path.read_bytes())["fingerprint"].encode()
    return kept


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, bytes]]:
    base = tmp_path_factory.mktemp("remote")
    start = datetime(2025, 12, 10, 10, 3, 19, tzinfo=UTC)
    spec = ProductSpec(
        side_m=1_020, sensing_start=start, bands=("B02", "B8A"), l2a_resolutions=(20,), nodata_wedge=0.1
    )
    products = base / "store/eodata" / PREFIX
    make_products(products, spec)
    index = index_products([products], base / "local").index_path
    run_preprocess(_config(index, base / "out"))
    _run_both(_with_angles(_config(index, base / "both")))
    return base, _outputs(base / "out")


@pytest.fixture
def bed(
    local: tuple[Path, dict[str, bytes]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Bed]:
    shutil.copytree(local[0] / "store", tmp_path / "store")
    hurry(monkeypatch)
    with serving(tmp_path / "store") as store:
        for name, value in store.environment.items():
            monkeypatch.setenv(name, value)
        yield Bed(store, local[1], tmp_path, local[0] / "local/meta/step1/index.json")


def test_inputs_in_object_storage_give_the_same_bytes(bed: Bed, local: tuple[Path, Any]) -> None:
    index_json, out = bed.index(), bed.tmp_path / "both"
    results = _run_both(_with_angles(bed.config(index_json, out)))

    assert [result.failed for result in results] == [[], []]
    assert _outputs(out) == _outputs(local[0] / "both")
    assert results[1].inputs["etag"] > 5
    documents = b"".join(path.read_bytes() for path in bed.tmp_path.rglob("*.json*"))
    assert SECRET.encode() not in documents
    meta = json.loads(next(out.rglob("meta.json")).read_bytes())
    assert all(item["mtime_ns"] is None and item["etag"] for item in meta["inputs"])
    vrts = "".join(path.read_text() for path in out.rglob("*.vrt"))
    assert "/vsis3/eodata/" in vrts

    shards = []
    for samples, name in ((out, "a"), (local[0] / "both", "b")):
        target = bed.tmp_path / name
        run_patches(
            PatchConfig(
                samples / "meta/step2/index.json", target, patch_size=16, split=SplitConfig(1.0, 0.0, 0.0)
            )
        )
        shards.append({path.name: path.read_bytes() for path in sorted(target.rglob("*.tar"))})
    assert shards[0]
    assert shards[0] == shards[1]


def test_a_finished_run_has_nothing_to_do(bed: Bed, capsys: pytest.CaptureFixture[str]) -> None:
    index_json = bed.index()
    bed.run(index_json)
    sent = sum(bed.store.sent.values())

    again, _ = bed.run(index_json)

    assert len(again.up_to_date) == 1
    assert sum(bed.store.sent.values()) - sent < sent
    capsys.readouterr()
    assert main(["verify", str(index_json.parents[2]), "--json"]) == 0
    said = capsys.readouterr()
    count = len(load_index(index_json).scenes[0].assets)
    assert json.loads(said.out)["checked_by"]["remote"] == count
    assert f"{count} file(s) at addresses were not compared" in said.err


def test_a_server_with_faults_gives_the_same_bytes(bed: Bed) -> None:
    index_json = bed.index()
    bed.store.fault_share = 0.1

    result, out = bed.run(index_json)

    assert result.failed == []
    assert _outputs(out) == bed.expected


def test_staged_copies_give_the_same_bytes_and_are_removed(bed: Bed) -> None:
    index_json = bed.index()
    bed.store.fault_share = 0.2
    scratch = bed.tmp_path / "scratch"

    result, out = bed.run(index_json, stage=True, stage_dir=scratch)

    assert result.failed == []
    assert _outputs(out) == bed.expected
    assert list(scratch.iterdir()) == []
    assert "scratch" not in next(out.rglob("stack.vrt")).read_text()


def test_of_a_kept_stack_no_band_is_copied(bed: Bed) -> None:
    index_json, out = bed.index(), bed.tmp_path / "both"
    config = bed.config(index_json, out, stage=True, stage_dir=bed.tmp_path / "scratch")
    config = replace(config, cache=CacheConfig(enabled=True))
    counted = NormalizeConfig("compute_only", stats_path=out / "stats.json")
    run_preprocess(replace(config, normalize=counted))
    bed.store.sent.clear()

    result = run_preprocess(replace(config, normalize=replace(counted, mode="apply_with_stats")))

    assert len(result.done) == 1
    sent = {Path(path).name.split("_", 2)[-1] for path, count in bed.store.sent.items() if count}
    assert any("SCL" in name for name in sent)  # the labels' source
    assert not any(name.startswith(("B02", "B8A")) for name in sent)


def test_copies_of_a_killed_run_are_removed_by_the_next(bed: Bed) -> None:
    index_json, scratch = bed.index(), bed.tmp_path / "scratch"
    file = bed.tmp_path / "run.json"
    config = bed.config(index_json, bed.tmp_path / "killed", stage=True, stage_dir=scratch)
    file.write_text(json.dumps({"preprocess": to_plain(config)}))
    bed.store.pause_s = 0.2
    command = [sys.executable, "-m", "s2pipe", "preprocess", str(file)]
    with subprocess.Popen(command, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}) as process:
        while not any(copy.stat().st_size for copy in scratch.glob("*/*.jp2")):
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    bed.store.pause_s = 0.0
    assert list(scratch.iterdir())

    result, out = bed.run(index_json, stage=True, stage_dir=scratch)

    assert result.failed == []
    assert list(scratch.iterdir()) == []
    assert _outputs(out) == bed.expected


def test_copies_of_a_run_that_goes_on_are_left_alone(bed: Bed, tmp_path: Path) -> None:
    index_json, scratch = bed.index(), bed.tmp_path / "scratch"
    (scratch / "s2pipe-stage-new").mkdir(parents=True)  # its lock is not there yet
    with locked(scratch / "s2pipe-stage-held/lock"):
        bed.run(index_json, stage=True, stage_dir=scratch)
        assert sorted(path.name for path in scratch.iterdir()) == ["s2pipe-stage-held", "s2pipe-stage-new"]


@pytest.mark.parametrize("scheme", ["web", "s3"])
def test_a_server_that_points_elsewhere_when_it_is_read_in_place_is_not_followed(
    bed: Bed, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    """GDAL would follow; the server answers looks at its files as ever, so nothing else would tell."""
    index_json = bed.index(*(bed.web() if scheme == "web" else ()))
    monkeypatch.setenv("GDAL_HTTP_BEARER", "bEaReR")
    bed.store.requests.clear()
    with serving(bed.store.root) as other:
        bed.store.redirect_to, bed.store.redirect_agent = f"http://localhost:{other.port}", "s2pipe/"

        result, out = bed.run(index_json)

    assert "points elsewhere (HTTP 302)" in result.failed[0].error
    assert not list(out.rglob("x.tif"))
    assert other.requests == []
    sent = str(bed.store.requests)
    assert "bEaReR" not in sent
    assert SECRET not in sent
    assert (KEY_ID in sent) == (scheme == "s3")


@pytest.mark.parametrize("scheme", ["web", "s3"])
def test_a_server_that_points_elsewhere_while_it_is_indexed_is_not_followed(bed: Bed, scheme: str) -> None:
    with serving(bed.store.root) as other:
        bed.store.redirect_to, bed.store.redirect_agent = f"http://localhost:{other.port}", "s2pipe/"

        with pytest.raises(UntrustedServerError, match=r"points elsewhere \(HTTP 302\)"):
            bed.index(*(bed.web() if scheme == "web" else ()))

    assert other.requests == []


def test_copies_are_made_from_nowhere_else(bed: Bed) -> None:
    web = bed.index(*bed.web())
    with serving(bed.store.root) as other:
        bed.store.redirect_to = f"http://localhost:{other.port}"
        result, _ = bed.run(web, stage=True, stage_dir=bed.tmp_path / "scratch")

    assert "points elsewhere (HTTP 302)" in result.failed[0].error
    assert other.requests == []


def test_a_split_is_planned_from_the_headers_in_the_index(bed: Bed) -> None:
    index_json = bed.index()
    asked = len(bed.store.requests)
    plans = [
        plan_patches(PatchConfig(path, bed.tmp_path / name, patch_size=16)).split_path
        for path, name in ((index_json, "remote"), (bed.local_index, "local"))
    ]
    assert len(bed.store.requests) == asked
    assert plans[0].read_bytes() == plans[1].read_bytes()


def test_products_on_a_web_server_give_the_same_bytes(bed: Bed) -> None:
    index_json = bed.index(*bed.web())

    _, out = bed.run(index_json)

    assert _outputs(out) == bed.expected


def test_a_file_that_changed_in_its_place_fails_its_scene(bed: Bed) -> None:
    index_json = bed.index()
    file = next(bed.store.root.rglob("IMG_DATA/*_B8A.jp2"))
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 0x55
    file.write_bytes(data)

    result, out = bed.run(index_json, stage=False)
    assert "expected entity tag" in result.failed[0].error
    assert not list(out.rglob("x.tif"))

    document = json.loads(index_json.read_bytes())
    for scene in document["scenes"]:
        for item in (*scene["files_l1c"]["items"], *scene["files_l2a"]["items"]):
            item.pop("etag", None)
    document.pop("document_sha256")
    index_json.write_text(json.dumps(document))
    scratch = bed.tmp_path / "scratch"
    result, out = bed.run(index_json, "staged", stage=True, stage_dir=scratch)
    assert "expected SHA3-256" in result.failed[0].error
    assert not list(out.rglob("x.tif"))
    assert list(scratch.iterdir()) == []


def test_a_file_that_is_gone_fails_its_scene(bed: Bed) -> None:
    index_json = bed.index()
    next(bed.store.root.rglob("IMG_DATA/*_B8A.jp2")).unlink()

    result, _ = bed.run(index_json)

    assert "does not exist" in result.failed[0].error or "no such file" in result.failed[0].error


def test_only_allowed_places_are_opened(bed: Bed) -> None:
    index_json = bed.index()
    asked = len(bed.store.requests)

    for allow in ((), ("s3://eodata/Sentinel-1",), ("s3://eodata/Sentinel-2/MSI/2025/12/1",)):
        with pytest.raises(PathEscapeError, match=r"remote\.allow"):
            bed.run(index_json, allow=allow)

    assert len(bed.store.requests) == asked


def test_without_credentials_nothing_runs(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    index_json = bed.index()
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")

    with pytest.raises(AuthError, match="AWS_ACCESS_KEY_ID"):
        bed.run(index_json)


def test_the_index_names_addresses_sizes_checksums_and_entity_tags(bed: Bed) -> None:
    scene = load_index(bed.index()).scenes[0]

    assert scene.assets
    for asset in scene.assets:
        key = asset.path.removeprefix("s3://eodata/")
        assert asset.size == (bed.store.root / "eodata" / key).stat().st_size
        assert asset.etag
        assert asset.present
    assert not list((bed.tmp_path / "data").rglob("*.jp2"))
