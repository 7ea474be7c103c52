"""The table of commands, and what ``--help`` makes of it."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from s2pipe.cli import main
from s2pipe.cli.commands import COMMANDS
from s2pipe.config.steps import STEPS
from s2pipe.dataset.scene_key import SceneKey
from s2pipe.dataset.step1_index import IndexJournal, Scene, index_path
from tests.paths import ROOT
from tests.test_architecture import HEAVY

if TYPE_CHECKING:
    from pathlib import Path


def test_every_step_is_a_command_and_says_the_same() -> None:
    assert [name for name in COMMANDS if name in STEPS] == list(STEPS)
    for name, step in STEPS.items():
        assert COMMANDS[name].summary == step.summary


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_has_its_module(name: str) -> None:
    assert COMMANDS[name].name == name
    assert callable(importlib.import_module(COMMANDS[name].module).main)


def test_help_lists_every_command_with_its_summary(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    for command in COMMANDS.values():
        assert any(line.startswith(f"{command.name} ") and line.endswith(command.summary) for line in lines)


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_the_help_of_a_command_begins_with_its_summary(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([name, "--help"])
    assert caught.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    assert text.startswith(f"usage: s2pipe {name} ")
    assert COMMANDS[name].description in text
    assert "--quiet" in text


def test_a_description_keeps_names_as_they_are_written() -> None:
    assert COMMANDS["download"].description.startswith("Search, pair")
    assert COMMANDS["download"].description.endswith("Copernicus Data Space Ecosystem.")


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from s2pipe.cli import main; main(['--help']); "
        f"print('imported:', *(m for m in {HEAVY!r} if m in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.splitlines()[-1].split() == ["imported:"]


def test_compact_writes_the_index_of_a_killed_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compact", str(tmp_path)]) == 2
    assert "there is no index to compact" in capsys.readouterr().err
    path = index_path(tmp_path)
    IndexJournal(tmp_path, path, "killed").add([Scene(SceneKey("T33UWQ", "2025-12-10T10:03:19Z"))])
    for written in (True, False):
        assert main(["compact", str(tmp_path), "--json", "--quiet"]) == 0
        assert json.loads(capsys.readouterr().out) == {"indexes": [{"path": str(path), "written": written}]}
    assert len(json.loads(path.read_bytes())["scenes"]) == 1
