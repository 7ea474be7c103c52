"""``s2pipe completion``: scripts that shells take, and what bash completes with one."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from s2pipe.cli import main
from s2pipe.cli.commands import COMMANDS
from s2pipe.cli.completion import options_of, whole_parser

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("shtab")


@pytest.fixture(scope="module")
def bash_script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import shtab

    path = tmp_path_factory.mktemp("completion") / "s2pipe.bash"
    path.write_text(shtab.complete(whole_parser(), "bash"))
    return path


def completed(script: Path, *words: str) -> list[str]:
    if shutil.which("bash") is None:
        pytest.skip("bash is not on this machine")
    code = (
        'source "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_TYPE=9; _shtab_s2pipe; '
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )
    command = ["bash", "-c", code, str(script), "s2pipe", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [word.strip() for word in done.stdout.split("\n") if word.strip()]


def test_commands_are_completed(bash_script: Path) -> None:
    assert completed(bash_script, "pre") == ["preprocess"]
    assert set(COMMANDS) <= set(completed(bash_script, ""))


def test_options_and_their_values_are_completed(bash_script: Path) -> None:
    assert completed(bash_script, "preprocess", "--normalize.mo") == ["--normalize.mode"]
    assert completed(bash_script, "preprocess", "--normalize.mode", "app") == ["apply_with_stats"]
    assert "B8A" in completed(bash_script, "preprocess", "--l1c-bands", "B8")
    assert completed(bash_script, "patches", "--pl") == ["--plan"]
    assert completed(bash_script, "stats", "mer") == ["merge"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "tcsh"])
def test_every_shell_has_its_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    text = capsys.readouterr().out
    assert "normalize.mode" in text
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=text, text=True, check=True)


def test_other_shells_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "cmd"]) == 2
    assert "expected one of bash" in capsys.readouterr().err


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_has_options(name: str) -> None:
    assert hasattr(options_of(COMMANDS[name]), "__dataclass_fields__")
