"""Scenes on the workers of Dask, against one run."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from s2pipe.dataset.step2_index import load_entries
from tests.scale.conftest import Scenes, all_digests, command, digests, environment, run

if TYPE_CHECKING:
    from collections.abc import Iterator

distributed = pytest.importorskip("distributed", reason="Dask is not here; `make test-scale` has it")


@contextmanager
def cluster(tmp_path: Path, workers: int) -> Iterator[tuple[Path, list[int]]]:
    """A scheduler and its workers as users start them: its file, and the ids of the workers' processes."""
    file = tmp_path / "scheduler.json"
    python = [sys.executable, "-m"]
    scheduler = [
        *python,
        "distributed.cli.dask_scheduler",
        "--port",
        "0",
        "--host",
        "127.0.0.1",
        "--no-dashboard",
    ]
    worker = [*python, "distributed.cli.dask_worker", "--nthreads", "1", "--no-nanny", "--no-dashboard"]
    commands = [scheduler, *[[*worker, "--memory-limit", "0"]] * workers]
    started = [
        subprocess.Popen([*each, "--scheduler-file", str(file)], env=environment(), stderr=subprocess.DEVNULL)
        for each in commands
    ]
    try:
        with distributed.Client(scheduler_file=str(file), timeout=60) as client:
            client.wait_for_workers(workers, timeout=60)
        yield file, [process.pid for process in started[1:]]
    finally:
        for process in started:
            process.kill()
            process.wait()


def _samples(digests_of: dict[str, str]) -> dict[str, str]:
    return {name: digest for name, digest in digests_of.items() if "patches" not in name}


def test_two_processes_make_what_one_run_makes(scenes: Scenes, serial: Path, tmp_path: Path) -> None:
    workers = ("--scheduler", "processes:2", "--json", "--quiet")
    for arguments in (scenes.count(tmp_path), scenes.apply(tmp_path)):
        (said,) = run([*arguments, *workers])
        assert len(json.loads(said)["done"]) == 7
    assert digests(tmp_path) == _samples(digests(serial))
    (said,) = run([*scenes.apply(tmp_path), *workers])
    assert len(json.loads(said)["up_to_date"]) == 7


def test_a_worker_that_is_killed_is_made_up_for(scenes: Scenes, serial: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    shutil.copy(serial / "stats.json", out)
    with cluster(tmp_path, 2) as (file, pids):
        arguments = [*scenes.apply(out), "--scheduler", str(file), "--json", "--quiet"]
        process = subprocess.Popen(
            command(arguments), env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        while not list(out.glob("processed/*/*/meta.json")):
            assert process.poll() is None, process.communicate()
            time.sleep(0.02)
        os.kill(pids[0], signal.SIGKILL)
        said, error = process.communicate(timeout=300)
    assert process.returncode == 0, error
    assert len(json.loads(said)["done"] + json.loads(said)["up_to_date"]) == 7
    expected = {name: digest for name, digest in digests(serial).items() if "histogram" not in name}
    assert digests(out) == _samples(expected)
    assert not list(out.rglob(".unfinished-*"))


def test_a_scene_that_fails_stays_failed_and_the_others_go_on(scenes: Scenes, tmp_path: Path) -> None:
    root = tmp_path / "root"
    shutil.copytree(scenes.root, root)  # links are copied as files, which may be damaged
    band = next((root / "raw/L1C/tile=T33UWP").rglob("*_B02.jp2"))
    data = bytearray(band.read_bytes())
    data[len(data) // 2] ^= 255
    band.write_bytes(data)
    damaged = Scenes(root, scenes.products)
    arguments = [*damaged.apply(tmp_path / "out"), "--normalize.mode", "none", "--scheduler", "processes:2"]
    (said,) = run([*arguments, "--json", "--quiet"], expected=1)
    result = json.loads(said)
    (failed,) = result["failed"]
    assert failed["scene"].startswith("T33UWP/")
    assert "1 input file(s) are not as the index says" in failed["error"]
    assert len(result["done"]) == 6
    assert len(json.loads((tmp_path / "out/meta/step2/index.json").read_text())["samples"]) == 6
    log = Path(result["log_path"]).read_text().splitlines()
    assert any("ChecksumError" in json.loads(line)["error"] for line in log if "failed" in line)


@pytest.mark.parametrize("group", [True, False], ids=["terminal", "process"])
def test_an_interrupted_run_ends_its_workers_and_keeps_what_is_finished(
    scenes: Scenes, tmp_path: Path, group: bool
) -> None:
    """Ctrl-C on a terminal reaches the workers too; a signal may also come to the process alone."""
    # Where the tests run in the background, shells let them ignore it, and their processes with them.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    arguments = [*scenes.apply(tmp_path), "--normalize.mode", "none", "--scheduler", "processes:2"]
    process = subprocess.Popen(
        command(arguments), env=environment(), stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    while not any(log.stat().st_size for log in tmp_path.glob("meta/step2/runs/*.jsonl")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    (os.killpg if group else os.kill)(process.pid, signal.SIGINT)
    _, error = process.communicate(timeout=120)
    assert process.returncode == 130, error
    assert "interrupted" in error
    assert "Traceback" not in error
    for _ in range(100):
        if not _alive_in_session(process.pid):
            break
        time.sleep(0.1)
    assert _alive_in_session(process.pid) == []
    assert len(load_entries(tmp_path).keys) >= 1
    assert _listed(tmp_path) == set(tmp_path.glob("processed/*/*/meta.json"))


def _listed(out: Path) -> set[Path]:
    """The samples that an index lists with its journals."""
    return {out / entry["meta_path"] for entry in load_entries(out)}


def test_what_workers_finish_after_a_run_has_ended_is_listed(scenes: Scenes, tmp_path: Path) -> None:
    """A run that is killed cancels nothing: workers of a scheduler of its own go on with their scenes."""
    out = tmp_path / "out"
    with cluster(tmp_path, 2) as (file, _):
        arguments = [*scenes.apply(out), "--normalize.mode", "none", "--scheduler", str(file)]
        process = subprocess.Popen(command(arguments), env=environment(), stderr=subprocess.DEVNULL)
        while not list(out.glob("processed/*/*/.unfinished-*")):
            assert process.poll() is None
            time.sleep(0.01)
        process.kill()
        process.wait()
        for _ in range(300):
            if list(out.glob("processed/*/*/meta.json")) and not list(
                out.glob("processed/*/*/.unfinished-*")
            ):
                break
            time.sleep(0.1)
        time.sleep(0.5)
    finished = set(out.glob("processed/*/*/meta.json"))
    assert finished
    assert _listed(out) == finished
    run(["compact", str(out)])
    assert len(json.loads((out / "meta/step2/index.json").read_text())["samples"]) == len(finished)
    assert not (out / "meta/step2/index.journal").exists()


def _alive_in_session(session: int) -> list[str]:
    """Processes of a session that have not ended (proc_pid_stat(5))."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = stat.read_text().rpartition(") ")
        except OSError:  # ended meanwhile
            continue
        state, _parent, _group, its_session = rest.split()[:4]
        if int(its_session) == session and state != "Z":
            found.append(name)
    return found


def test_a_scheduler_that_is_not_there_is_named(scenes: Scenes, tmp_path: Path) -> None:
    arguments = [*scenes.apply(tmp_path), "--normalize.mode", "none", "--scheduler"]
    (said,) = run([*arguments, "no-such-file.json"], expected=2)
    assert "--scheduler: expected processes:N" in said


def test_shards_are_written_by_workers(scenes: Scenes, serial: Path, tmp_path: Path) -> None:
    arguments = scenes.patches(serial, "--out-dir", str(tmp_path / "patches"), "--scheduler", "processes:2")
    (said,) = run([*arguments, "--json", "--quiet"])
    assert json.loads(said)["shards_written"] >= 4
    (said,) = run([*arguments, "--json", "--quiet", "--seed", "1"])  # other shards, from a set that is there
    (said,) = run([*arguments, "--json", "--quiet"])
    assert json.loads(said)["shards_written"] >= 4
    expected = {name: digest for name, digest in all_digests(serial).items() if name.startswith("patches/")}
    assert all_digests(tmp_path) == expected


def test_shards_of_time_stacks_with_targets_are_written_by_workers(
    scenes: Scenes, serial: Path, tmp_path: Path
) -> None:
    table = tmp_path / "targets.csv"
    lines = [f"T33UW{tile},{row},{row / 7}" for tile in "QP" for row in range(0, 128, 32)]
    table.write_text("tile_id,row,yield\n" + "\n".join(lines) + "\n")
    more = ("--group", "time_stack", "--targets.path", str(table), "--shards.max-count", "4")
    for name, scheduler in (("here", ()), ("there", ("--scheduler", "processes:2"))):
        run(scenes.patches(serial, "--out-dir", str(tmp_path / name), *more, *scheduler))
    here = all_digests(tmp_path / "here")
    assert sum(name.endswith(".tar") for name in here) >= 3
    assert all_digests(tmp_path / "there") == here
