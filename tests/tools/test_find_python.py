"""tools/find-python, run by a real shell on a PATH whose Pythons are small shell scripts."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.paths import ROOT

FINDER = ROOT / "tools" / "find-python"

pytestmark = pytest.mark.skipif(shutil.which("sh") is None, reason="needs a POSIX shell")

REFUSES = 'echo "pyenv: $(basename "$0"): command not found" >&2; exit 127'


def answers(version: str) -> str:
    """Return a script that answers as a usable Python of that version would."""
    return f'echo "ok {version} $0"'


def says_no(reason: str) -> str:
    return f'echo "no {reason}"; exit 1'


@pytest.fixture
def machine(tmp_path: Path) -> "Machine":
    return Machine(tmp_path)


class Machine:
    """Directories of pretended Pythons, and a run of the finder that sees nothing else."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.path: list[Path] = []
        tools = self.directory("tools")
        for name in ("sh", "cat", "grep", "head", "tail", "basename"):
            found = shutil.which(name)
            assert found is not None
            (tools / name).symlink_to(found)

    def directory(self, name: str) -> Path:
        """Add a directory to the end of PATH."""
        self.path.append(self.root / name)
        self.path[-1].mkdir()
        return self.path[-1]

    def find(self, *order: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["sh", str(FINDER), *order],
            env={"PATH": os.pathsep.join(map(str, self.path)), "HOME": str(self.root), **environment},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


def python(path: Path, script: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


def test_prefers_what_the_wheel_is_known_to_work_with(machine: Machine) -> None:
    usr = machine.directory("usr")
    for version in ("3.11", "3.12", "3.13", "3.14"):
        python(usr / f"python{version}", answers(version))
    assert machine.find().stdout == f"{usr / 'python3.13'}\n"
    (usr / "python3.13").unlink()
    assert machine.find().stdout == f"{usr / 'python3.12'}\n"
    (usr / "python3.12").unlink()
    assert machine.find().stdout == f"{usr / 'python3.14'}\n"
    (usr / "python3.14").unlink()
    assert machine.find().stdout == f"{usr / 'python3.11'}\n"


def test_order_can_be_given(machine: Machine) -> None:
    usr = machine.directory("usr")
    for version in ("3.11", "3.12", "3.13"):
        python(usr / f"python{version}", answers(version))
    assert machine.find("3.11", "3.12").stdout == f"{usr / 'python3.11'}\n"


def test_a_python_newer_than_all_known_is_the_last_resort(machine: Machine) -> None:
    usr = machine.directory("usr")
    newest = python(usr / "python3", answers("3.19"))
    assert machine.find().stdout == f"{newest}\n"
    older = python(usr / "python3.11", answers("3.11"))
    assert machine.find().stdout == f"{older}\n"


def test_looks_behind_a_shim_that_refuses(machine: Machine) -> None:
    shims, usr = machine.directory("shims"), machine.directory("usr")
    for name in ("python3.13", "python3.12", "python3.11", "python3"):
        python(shims / name, REFUSES)
    behind = python(usr / "python3.12", answers("3.12"))
    assert machine.find().stdout == f"{behind}\n"


def test_pyenv_versions_that_no_shim_offers(machine: Machine) -> None:
    shims = machine.directory("shims")
    python(shims / "python3.12", REFUSES)
    python(shims / "python3.11", answers("3.11"))
    versions = machine.root / ".pyenv" / "versions"
    python(versions / "2.7.18" / "bin" / "python", "exit 2")
    wanted = python(versions / "3.12.1" / "bin" / "python", answers("3.12"))
    assert machine.find().stdout == f"{wanted}\n"

    elsewhere = machine.root / "my pyenv"
    wanted = python(elsewhere / "versions" / "miniforge3" / "bin" / "python", answers("3.13"))
    assert machine.find(PYENV_ROOT=str(elsewhere)).stdout == f"{wanted}\n"


def test_none_is_usable(machine: Machine) -> None:
    usr = machine.directory("usr")
    python(usr / "python3.12", REFUSES)
    python(usr / "python3", says_no("is Python 3.9, older than 3.11"))
    result = machine.find()
    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr.splitlines() == [
        "s2pipe needs Python 3.11 or newer; no usable one was found. Tried:",
        f"  {usr / 'python3.12'} does not start: pyenv: python3.12: command not found",
        f"  {usr / 'python3'} is Python 3.9, older than 3.11",
        "install Python 3.12 or newer, or name one: make PYTHON=/path/to/python3",
    ]


def test_there_is_no_python_at_all(machine: Machine) -> None:
    result = machine.find()
    assert result.returncode == 1
    assert result.stderr.startswith("s2pipe needs Python 3.11 or newer; no usable one was found.\n")


def test_names_the_package_that_brings_venv(machine: Machine) -> None:
    python(
        machine.directory("usr") / "python3", says_no("is Python 3.11 without the venv and ensurepip modules")
    )
    result = machine.find()
    assert result.returncode == 1
    assert "system package python3.11-venv" in result.stderr


def test_python_without_venv_gives_way_to_the_next(machine: Machine) -> None:
    usr = machine.directory("usr")
    python(usr / "python3.13", says_no("is Python 3.13 without the venv and ensurepip modules"))
    wanted = python(usr / "python3.12", answers("3.12"))
    assert machine.find().stdout == f"{wanted}\n"


def test_named_python_is_the_only_candidate(machine: Machine) -> None:
    usr = machine.directory("usr")
    python(usr / "python3.13", answers("3.13"))
    named = python(machine.root / "a place with blanks" / "python", answers("3.11"))
    assert machine.find(PYTHON=named).stdout == f"{named}\n"
    assert machine.find(PYTHON="python3.13").stdout == f"{usr / 'python3.13'}\n"
    assert machine.find(PYTHON="").stdout == f"{usr / 'python3.13'}\n"


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (says_no("is Python 3.8, older than 3.11"), "is Python 3.8, older than 3.11"),
        (REFUSES, "does not start: pyenv: python: command not found"),
        (None, "does not start: "),
    ],
)
def test_named_python_is_rejected_with_the_reason(machine: Machine, script: str | None, reason: str) -> None:
    python(machine.directory("usr") / "python3.13", answers("3.13"))
    named = machine.root / "named" / "python"
    if script is not None:
        python(named, script)
    result = machine.find(PYTHON=str(named))
    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr.startswith(f"PYTHON={named} cannot be used:\n  {named} {reason}")


def test_the_probe_works_on_a_real_python(machine: Machine) -> None:
    """Given an environment's Python, it names the one below: the environment may be the one to be rebuilt."""
    result = machine.find(PYTHON=sys.executable)
    assert result.returncode == 0, result.stderr
    assert Path(result.stdout.strip()).samefile(sys._base_executable)  # type: ignore[attr-defined]
