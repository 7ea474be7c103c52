"""Locks between processes."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from s2pipe.errors import LockedError
from s2pipe.runtime.locks import _reason, file_system, locked, remove_held
from tests.paths import ROOT


def test_a_lock_has_one_holder(tmp_path: Path) -> None:
    path = tmp_path / "meta" / ".lock"
    with locked(path), pytest.raises(LockedError, match="another"), locked(path, wait=False):
        pass
    order: list[str] = []

    def wait() -> None:
        with locked(path):
            order.append("second")

    with locked(path):
        thread = threading.Thread(target=wait)
        thread.start()
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


def test_a_lock_is_seen_by_other_processes_and_freed_when_they_die(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    code = (
        "import sys, time, pathlib; from s2pipe.runtime.locks import locked\n"
        "with locked(pathlib.Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(LockedError, match="wait for it to end"), locked(path, wait=False):
            pass
        holder.kill()
    with locked(path, wait=False):
        pass


def test_a_file_system_without_locks_is_named(tmp_path: Path) -> None:
    reason = _reason(tmp_path / "x.lock", OSError(errno.ENOLCK, os.strerror(errno.ENOLCK)))
    assert f"cannot be locked (ENOLCK: {os.strerror(errno.ENOLCK)}; file system: " in reason
    assert "another" not in reason


@pytest.mark.skipif(sys.platform != "linux", reason="/proc/self/mounts is Linux's")
def test_the_file_system_of_a_path_is_that_of_the_nearest_mount(tmp_path: Path) -> None:
    assert file_system(Path("/proc/self/status")) == "proc"
    assert file_system(tmp_path) not in ("proc", "unknown")


def test_a_lock_that_its_holder_removed_is_made_anew(tmp_path: Path) -> None:
    """Whoever waited for the removed file must not hold it beside another who holds the new one."""
    path = tmp_path / "scene" / ".lock"
    entered, free = threading.Event(), threading.Event()
    inside: list[str] = []

    def second() -> None:
        with locked(path):
            inside.append("second")
            entered.set()
            free.wait(30)
            inside.remove("second")

    with locked(path):
        thread = threading.Thread(target=second)
        thread.start()
        time.sleep(0.05)  # it waits for the file that is removed now
        remove_held(path)
        path.parent.rmdir()
    assert entered.wait(30)
    with pytest.raises(LockedError), locked(path, wait=False):
        pass
    free.set()
    thread.join()
    with locked(path, wait=False):
        assert inside == []
