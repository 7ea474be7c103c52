"""tools/setup_venv.py: when it does nothing, when it refuses, and what it says; nothing is installed here."""

import os
import shutil
import subprocess
import sys
import sysconfig
from argparse import Namespace
from pathlib import Path

import pytest

from tests.paths import ROOT

SCRIPT = ROOT / "tools" / "setup_venv.py"
sys.path.insert(0, str(SCRIPT.parent))
import setup_venv  # noqa: E402

OPTIONS = Namespace(gdal="auto", extras="dev")


def run(directory: Path, *options: str, path: Path) -> subprocess.CompletedProcess[str]:
    """Run the script where PATH holds nothing but one directory and pip can reach nothing."""
    environment = {
        **os.environ,
        "PATH": str(path),
        "PIP_NO_INDEX": "1",
        "PIP_CONFIG_FILE": os.devnull,
        "CXX": "",
    }
    command = [sys.executable, str(SCRIPT), str(directory), *options]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


def executable(path: Path, script: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    """An environment as a finished set-up leaves it, as far as the check looks."""
    directory = tmp_path / "venv"
    python = setup_venv.venv_python(directory)
    python.parent.mkdir(parents=True)
    python.touch()
    (directory / setup_venv.STAMP).write_text(
        "wheel\n" + setup_venv.digest(directory, OPTIONS, "wheel") + "\n"
    )
    return directory


def test_a_finished_environment_is_kept(finished: Path) -> None:
    assert setup_venv.is_ready(finished, OPTIONS)


@pytest.mark.parametrize("stamp", [None, "", "wheel\n", "wheel\n0123\n"])
def test_without_a_matching_stamp_it_is_made_anew(finished: Path, stamp: str | None) -> None:
    (finished / setup_venv.STAMP).unlink()
    if stamp is not None:
        (finished / setup_venv.STAMP).write_text(stamp)
    assert not setup_venv.is_ready(finished, OPTIONS)


def test_it_is_made_anew_when_what_it_was_made_from_changes(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not setup_venv.is_ready(finished, Namespace(gdal="system", extras="dev"))
    for name in setup_venv.INPUTS:
        (tmp_path / "repo" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / "repo" / name)
    monkeypatch.setattr(setup_venv, "ROOT", tmp_path / "repo")
    assert setup_venv.is_ready(finished, OPTIONS)
    with (tmp_path / "repo" / "pyproject.toml").open("a") as file:
        file.write("# a word\n")
    assert not setup_venv.is_ready(finished, OPTIONS)


def test_it_is_made_anew_after_it_was_moved(finished: Path, tmp_path: Path) -> None:
    assert not setup_venv.is_ready(finished.rename(tmp_path / "elsewhere"), OPTIONS)


def test_a_directory_of_the_users_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "venv").mkdir()
    (tmp_path / "venv" / "mine").touch()
    result = run(tmp_path / "venv", path=tmp_path)
    assert result.returncode == 1
    assert "was not made by make, so it is left alone" in result.stderr
    assert [path.name for path in (tmp_path / "venv").iterdir()] == ["mine"]


@pytest.mark.parametrize(
    ("version", "compiler", "words"),
    [
        (
            None,
            False,
            ["missing: libgdal (no gdal-config on PATH), a C++ compiler", "install libgdal-dev g++"],
        ),
        (None, True, ["missing: libgdal (no gdal-config on PATH)", "install libgdal-dev"]),
        ("3.6.2", False, ["missing: a C++ compiler", "apt-get install g++"]),
        ("3.4.1", True, ["the system's GDAL is 3.4.1; s2pipe needs a release, 3.6 or newer"]),
    ],
)
def test_says_which_system_package_is_missing(
    tmp_path: Path, version: str | None, compiler: bool, words: list[str]
) -> None:
    if not Path(sysconfig.get_path("include"), "Python.h").exists():
        pytest.skip("this Python's own headers are missing")
    if version is not None:
        executable(tmp_path / "bin" / "gdal-config", f"echo {version}")
    if compiler:
        executable(tmp_path / "bin" / "g++", "exit 1")
    result = run(tmp_path / "venv", "--gdal", "system", path=tmp_path / "bin")
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 2
    assert all(word in result.stderr for word in words), result.stderr
    assert not (tmp_path / "venv").exists()
