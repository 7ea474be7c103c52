"""``--help``: short by default, complete with ``--help-all``; groups, types, defaults, examples."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import pytest

from s2pipe.cli import main
from s2pipe.cli.arguments import parser_of
from s2pipe.cli.commands import COMMANDS
from s2pipe.cli.step import step_options
from s2pipe.config.fields import field_infos
from s2pipe.config.options import option_of
from s2pipe.config.steps import STEPS

if TYPE_CHECKING:
    from collections.abc import Iterator


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 0
    return capsys.readouterr().out


def keys(config: type, prefix: str = "") -> Iterator[str]:
    for info in field_infos(config):
        if info.nested is not None:
            yield from keys(info.nested, f"{prefix}{info.name}.")
        else:
            yield prefix + info.name


@pytest.mark.parametrize("name", STEPS)
def test_short_help_fits_and_the_whole_has_every_key(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    short, whole = shown(capsys, name, "--help"), shown(capsys, name, "--help-all")
    assert len(short.splitlines()) < 130 < len(whole.splitlines())
    for key in keys(STEPS[name].config_class):
        assert f"  {option_of(key)}" in whole
    for key in STEPS[name].usual:
        assert f"  {option_of(key)}" in short
    assert "--help-all" in short
    assert max(map(len, short.splitlines())) <= 120


def test_types_defaults_groups_and_examples(capsys: pytest.CaptureFixture[str]) -> None:
    whole = shown(capsys, "preprocess", "--help-all")
    assert "Normalization (--normalize.*):" in whole
    assert "--normalize.mode {none,compute_only,apply_with_stats}\n" in whole
    assert "--normalize.hist-range NUMBER NUMBER\n" in whole
    assert "--labels.mapping JSON|null\n" in whole
    assert "--output.cog, --no-output.cog\n" in whole
    words = " ".join(whole.split())
    assert "(default: -0.2 2.0)" in words
    assert "(default: bilinear)" in words
    assert "examples:\n  s2pipe preprocess stats.yaml" in whole


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_has_examples_of_itself(name: str) -> None:
    assert COMMANDS[name].examples
    for example in COMMANDS[name].examples:
        assert shlex.split(example)[:2] == ["s2pipe", name]


@pytest.mark.parametrize("name", sorted({*STEPS} - {"patches"}))  # which has options of its own
def test_examples_of_steps_parse(name: str) -> None:
    parser = parser_of(step_options(STEPS[name]))
    for example in COMMANDS[name].examples:
        parser.parse_args(shlex.split(example)[2:])
