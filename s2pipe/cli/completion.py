"""``s2pipe completion SHELL``: a script with which a shell completes commands, options and their values."""

from __future__ import annotations

import argparse
import dataclasses
from typing import TYPE_CHECKING, Any

from s2pipe.cli.arguments import OUTPUT_OPTIONS, option, parse, parser_of
from s2pipe.cli.commands import COMMANDS
from s2pipe.cli.step import step_options
from s2pipe.config.steps import STEPS
from s2pipe.errors import DependencyError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from s2pipe.cli.commands import Command

_SHELLS = ("bash", "zsh", "fish", "tcsh", "powershell")

Options = dataclasses.make_dataclass(
    "Options",
    [
        (
            "shell",
            str,
            option(
                "bash, zsh, fish, tcsh or powershell.", "shell", metavar="SHELL", type=str, values=_SHELLS
            ),
        ),
        *OUTPUT_OPTIONS,
    ],
)
_DIRECTORIES = ("DIR", "OUT_DIR")


def main(command: Command, arguments: list[str]) -> int:
    """Run ``s2pipe completion``: the script goes to stdout."""
    options = parse(command, Options, arguments)
    shtab = _shtab()
    if options.shell not in shtab.SUPPORTED_SHELLS:
        msg = f"expected one of {', '.join(shtab.SUPPORTED_SHELLS)}, got {options.shell!r}"
        raise UsageError(msg)
    print(shtab.complete(whole_parser(), shell=options.shell))
    return 0


def _shtab() -> Any:
    try:
        import shtab
    except ImportError as error:
        msg = 's2pipe completion needs shtab, which is not installed: pip install "s2pipe[completion]"'
        raise DependencyError(msg) from error
    return shtab


def whole_parser() -> argparse.ArgumentParser:
    """Return one parser of all commands, as shtab reads it."""
    parser = argparse.ArgumentParser(prog="s2pipe")
    commands = parser.add_subparsers()
    for command in COMMANDS.values():
        options = options_of(command)
        if command.name == "stats":
            merge = commands.add_parser("stats", help=command.summary).add_subparsers()
            _add(merge, "merge", command.summary, options)
        else:
            _add(commands, command.name, command.summary, options)
    return parser


def options_of(command: Command) -> type:
    """Return the options dataclass of a command."""
    module = command.load()
    if command.name in STEPS:
        make = getattr(module, "all_options", step_options)
        options: type = make(STEPS[command.name])
    else:
        options = module.Options
    return options


def _add(commands: Any, name: str, summary: str, options: type) -> None:
    parser = commands.add_parser(name, help=summary, parents=[parser_of(options)], add_help=False)
    parser.add_argument("-h", "--help", action="store_true", help="Show this help.")
    if name in STEPS:
        parser.add_argument("--help-all", action="store_true", help="Show every option of every group.")
    metadata = {field.name: field.metadata for field in dataclasses.fields(options)}
    for action in parser._actions:  # noqa: SLF001 - shtab reads them there too
        meta: Mapping[str, Any] = metadata.get(action.dest, {})
        if meta.get("values"):
            action.choices = list(meta["values"])
        elif meta.get("metavar") in _DIRECTORIES:
            action.complete = _shtab().DIRECTORY
        elif meta.get("metavar") in ("CONFIG", "FILE", "PATH") or "PATH" in meta.get("type_text", ""):
            action.complete = _shtab().FILE
