"""Killed at random moments, the downloader loses nothing, trusts nothing and fetches little twice."""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from s2pipe.dataset.proof import write_sealed
from s2pipe.dataset.step1_index import load_index
from s2pipe.download.cfg import SelectionConfig
from s2pipe.download.pipeline import run_download
from s2pipe.runtime.hashing import hash_file
from s2pipe.testing import Fault, Service, stored
from s2pipe.testing.fake import L1C, L2A, make_safe
from tests.paths import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from s2pipe.download.auth import Auth
    from s2pipe.download.cfg import PipelineConfig

CHUNK = 16 << 10
_RANGE = re.compile(r"bytes=(\d+)-")


def run(service: Service, out: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "s2pipe", "download", "--quiet", "--query.tile-id", "33UWQ"]
    command += ["--selection.l1c-bands", "B02", "B03", "B04"]
    command += ["--query.date-from-utc", "2025-12-01", "--query.date-to-utc", "2025-12-31"]
    command += ["--download.out-dir", str(out), "--download.chunk-size", str(CHUNK)]
    command += ["--download.retry.base-delay-s", "0.01", "--download.retry.max-attempts", "20"]
    account = {"CDSE_USERNAME": service.tokens.username, "CDSE_PASSWORD": service.tokens.password}
    path = f"{ROOT}{os.pathsep}{ROOT / 'kernels'}"
    environment = {**os.environ, **service.environment, **account, "PYTHONPATH": path}
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE)


def kill_again_and_again(tmp_path: Path, kills: int, size: int, rate: float) -> None:
    chance = random.Random(kills)
    held = tmp_path / "held"
    products = [stored(make_safe(held, name, size=size, bands=("B02", "B03", "B04"))) for name in (L1C, L2A)]
    out = tmp_path / "out"
    with Service(products) as service:
        service.rate, service.piece = rate, 8 << 10
        for _ in range(kills):
            service.faults.add(
                Fault("truncate", "_B0", 1, at=chance.randrange(size)),
                Fault("reset", "_SCL", 1, at=chance.randrange(size)),
                Fault("status", "DETFOO", 1, status=503),
            )
            on_disk = {part.name.split(".")[0]: part.stat().st_size for part in (out / "raw").rglob("*.part")}
            seen = len(service.requests("$value"))
            process = run(service, out)
            deadline = time.monotonic() + 20
            while (
                len(service.requests("$value")) == seen
                and process.poll() is None
                and time.monotonic() < deadline
            ):
                time.sleep(0.01)
            time.sleep(chance.uniform(0.0, 0.8))
            process.kill()
            process.communicate()
            service.faults.clear()
            assert_continued(service, on_disk, seen)
            assert_true(out / "meta/step1/index.json")
        service.rate = None
        process = run(service, out)
        _, said = process.communicate(timeout=60)
        assert process.returncode == 0, said.decode()
        check(out, service, kills)


def assert_continued(service: Service, on_disk: dict[str, int], seen: int) -> None:
    """The first request for an unfinished file begins where the file on disk ends."""
    for entry in service.requests("$value")[seen:]:
        name = entry.path.split("Nodes(")[-1].split(".")[0]
        size = on_disk.pop(name, 0)
        if size:
            assert entry.range == f"bytes={size}-"


def assert_true(path: Path) -> None:
    """The index is whole at any moment, and every file that it calls present is right."""
    index = load_index(path)
    for asset in (asset for scene in index.scenes for asset in scene.assets if asset.present):
        assert asset.checksum
        assert hash_file(index.file(asset).path, asset.checksum.algorithm) == asset.checksum.value


def check(out: Path, service: Service, kills: int) -> None:
    index = load_index(out / "meta/step1/index.json")
    (scene,) = index.scenes
    assert len(scene.assets) == 13
    assert all(asset.present for asset in scene.assets)
    listed = set()
    for asset in scene.assets:
        path = index.file(asset).path
        listed.add(path)
        assert asset.checksum
        assert hash_file(path, asset.checksum.algorithm) == asset.checksum.value
    assert {path for path in (out / "raw").rglob("*") if path.is_file()} == listed
    # What was on disk when a run was killed is not asked for again: ranges begin where the last one ended, less what
    # was on its way (the pieces of four connections and the buffers of their sockets).
    twice = 0
    for name in {entry.path for entry in service.requests("$value")}:
        place = 0
        for entry in service.requests(name):
            match = _RANGE.match(entry.range or "")
            begin = int(match[1]) if match else 0
            twice += max(0, place - begin)
            place = max(place, begin + entry.sent)
    assert twice <= kills * 4 * (CHUNK + (256 << 10)), twice


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_five_kills(tmp_path: Path) -> None:
    kill_again_and_again(tmp_path, 5, 300_000, 150_000)


@pytest.mark.faults
@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_twenty_kills(tmp_path: Path) -> None:
    kill_again_and_again(tmp_path, 20, 3_000_000, 1_000_000)


def test_what_only_metadata_tell_is_read_after_a_kill(
    service: Service, auth: Auth, configure: Callable[..., PipelineConfig]
) -> None:
    """A run may be killed between its last file and the metadata of the scene."""
    config = configure(selection=SelectionConfig(l1c_bands=("B02",)))
    run_download(config, auth)
    path = config.download.out_dir / "meta/step1/index.json"
    index = load_index(path)
    (scene,) = index.scenes
    assert scene.l2a.scl_percentages
    killed = replace(scene, l2a=replace(scene.l2a, scl_percentages=None))
    write_sealed(path, replace(index, scenes=(killed,)).to_document())
    result = run_download(config, auth)
    assert result.up_to_date
    assert load_index(path).scenes == (scene,)
