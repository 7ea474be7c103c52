"""Full disks: a limit on the size of files stands for them, in a process of its own."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from s2pipe.errors import DiskFullError
from s2pipe.runtime.disk import full_disk_ends, is_full, lack_of_room
from tests.patches.patchdata import Scene, write_step2
from tests.paths import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Dataset

LIMITED = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
limit = int(sys.argv.pop(1))
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
from s2pipe.cli import main
sys.exit(main(sys.argv[1:]))
"""


def limited(most_bytes: int, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a command in a process that cannot write files larger than this."""
    pytest.importorskip("resource")
    path = os.pathsep.join([str(ROOT), str(ROOT / "kernels")])
    command = [sys.executable, "-c", LIMITED, str(most_bytes), *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": path}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def check_said_once(done: subprocess.CompletedProcess[str], file: str) -> None:
    """A full disk ends the run with code 2 and one line, which names the file."""
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.count("the disk is full") == 1, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if "the disk is full" in line]
    assert file in line
    assert "failed" not in done.stderr


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_errors_without_room_are_full_disks(tmp_path: Path, code: int) -> None:
    with pytest.raises(DiskFullError, match=r"b\.tif: the disk is full"), full_disk_ends(tmp_path):
        raise OSError(code, "no room", str(tmp_path / "b.tif"))
    with pytest.raises(DiskFullError, match=f"{tmp_path.name}: the disk is full"), full_disk_ends(tmp_path):
        raise OSError(code, "no room")


def test_other_errors_stay_what_they_are(tmp_path: Path) -> None:
    with pytest.raises(PermissionError), full_disk_ends(tmp_path):
        raise PermissionError(errno.EACCES, "no")
    assert not is_full(ValueError())


def test_a_file_that_can_grow_keeps_its_content(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert lack_of_room(tmp_path / "a") is None
    assert (tmp_path / "a").read_bytes() == b"abc"


@pytest.mark.parametrize(("most", "bands"), [(60_000, ["B02", "B03"]), (4_200, ["B01"])])
def test_preprocess_says_once_that_the_disk_is_full(
    dataset: Dataset, tmp_path: Path, most: int, bands: list[str]
) -> None:
    done = limited(
        *(most, "preprocess", "--index-json", dataset.index_json, "--out-dir", tmp_path / "out", "--quiet"),
        *("--target-grid-ref", bands[0], "--l1c-bands", *bands, "--output.compression", "zstd"),
    )
    check_said_once(done, "x.tif")
    assert not list((tmp_path / "out").rglob("meta.json"))
    assert not list((tmp_path / "out").rglob("x.tif"))


def test_pass_1_says_once_that_the_disk_is_full(dataset: Dataset, tmp_path: Path) -> None:
    done = limited(
        *(4_200, "preprocess", "--index-json", dataset.index_json, "--out-dir", tmp_path / "out", "--quiet"),
        *("--target-grid-ref", "B01", "--l1c-bands", "B01", "--normalize.mode", "compute_only"),
        *("--normalize.stats-path", tmp_path / "stats.json"),
    )
    check_said_once(done, "histogram.npz")


def test_patches_say_once_that_the_disk_is_full(tmp_path: Path) -> None:
    index = write_step2(tmp_path / "in", [Scene(), Scene(tile_id="T33UWP")])
    config = {"index_json": str(index), "out_dir": str(tmp_path / "out"), "patch_size": 64}
    (tmp_path / "config.json").write_text(json.dumps({"patches": config}))
    done = limited(100_000, "patches", tmp_path / "config.json", "--quiet")
    check_said_once(done, ".tar")
    assert not (tmp_path / "out/shards.json").exists()
    again = limited(1 << 30, "patches", tmp_path / "config.json", "--quiet")
    assert again.returncode == 0, again.stderr
