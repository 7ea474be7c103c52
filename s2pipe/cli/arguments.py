"""The arguments of commands: fields as options, the switches that every command has, parsing."""

from __future__ import annotations

import dataclasses
import logging
import re
from typing import TYPE_CHECKING, Any

from s2pipe.cli.help import help_text
from s2pipe.cli.output import set_up_logging
from s2pipe.errors import UsageError
from s2pipe.runtime.nearest import nearest
from s2pipe.runtime.paths import user_path

if TYPE_CHECKING:
    from collections.abc import Sequence

    from s2pipe.cli.commands import Command


def option(help_text: str, *flags: str, default: Any = None, **metadata: Any) -> Any:
    """Return a dataclass field that argparse-dataclass turns into an option or a positional argument."""
    extra = {"args": list(flags)} if flags else {}
    return dataclasses.field(default=default, metadata={"help": help_text, **extra, **metadata})


_UNSIGNED = r"(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|inf|nan)"
_MAX_MEANT = 3
_NEGATIVE_NUMBER = re.compile(rf"-{_UNSIGNED}(?:,[-+]?{_UNSIGNED})*$", re.IGNORECASE)

OUTPUT_OPTIONS: list[tuple[str, Any, Any]] = [
    ("quiet", bool, option("Print errors and warnings only.", "--quiet", "-q", default=False)),
    ("verbose", bool, option("Print details of every step.", "--verbose", "-v", default=False)),
    (
        "log_json",
        bool,
        option("Write the log and its progress as JSON, one object a line.", "--log-json", default=False),
    ),
    ("json", bool, option("Print a summary as JSON on stdout.", "--json", default=False)),
]
"""Switches that every command has."""


def parser_of(options: type) -> Any:
    """Return the parser of an options dataclass."""
    from argparse_dataclass import ArgumentParser

    class Parser(ArgumentParser):  # type: ignore[misc]
        """Raises an error that names what was meant, where argparse prints all options and exits."""

        def error(self, message: str) -> Any:
            raise UsageError(_in_words(message, list(self._option_string_actions)))

    # No abbreviations: they would change their meaning when options are added.
    parser = Parser(options, add_help=False, allow_abbrev=False)
    # argparse takes -0.1 for a number, but -1e-1, -inf and -1,2,3,4 for options.
    parser._negative_number_matcher = _NEGATIVE_NUMBER  # noqa: SLF001 - argparse has no public name for it
    return parser


def switch_value(word: str) -> str:
    """Say how a switch is given, to who writes ``--overwrite true``."""
    return f"{word} follows a switch, which takes no value; give --NAME for true, or --no-NAME for false"


def _in_words(message: str, flags: list[str]) -> str:
    """Say what argparse found wrong, with what may have been meant."""
    unknown = message.removeprefix("unrecognized arguments: ")
    if unknown == message:
        plain = re.sub(r"/--[\w.-]*_[\w.-]*", "", message)  # --max-scenes/--max_scenes
        return f"{plain.removeprefix('argument ')}; see --help"
    words = unknown.split()
    options = [
        word.partition("=")[0] for word in words if word.startswith("-") and not _NEGATIVE_NUMBER.match(word)
    ]
    if not options and {"true", "false"} & set(words):
        return switch_value(next(word for word in words if word in ("true", "false")))
    if not options:
        return f"expected no more arguments, got {unknown}; see --help"
    return "\n".join(f"{name}: unknown option{_meant(name, flags)}" for name in options)


def _meant(name: str, flags: list[str]) -> str:
    leaf = name.lstrip("-").replace("_", "-")
    leaves = {flag: flag.lstrip("-").rpartition(".")[2] for flag in flags if flag.replace("_", "-") == flag}
    same = [flag for flag, own in leaves.items() if own == leaf]
    longer = same or [flag for flag, own in leaves.items() if own.startswith(f"{leaf}-")]
    if longer:
        return f"; did you mean {' or '.join(longer[:_MAX_MEANT])}?"
    close = nearest(
        leaf, (flag.lstrip("-") for flag in leaves)
    )  # without the dashes, which all have in common
    if close is None:
        return "; --help-all lists all options"
    return f"; did you mean {'-' if len(close) == 1 else '--'}{close}?"


def _expanded(options: Any) -> dict[str, Any]:
    """Expand ``~`` in what options say, as a shell does where it stands at the start of a word (not in --out=~/x)."""
    found: dict[str, Any] = {}
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        if isinstance(value, str) and value.startswith("~"):
            found[field.name] = str(user_path(value))
        elif isinstance(value, list) and all(isinstance(item, str) for item in value):
            found[field.name] = [str(user_path(item)) if item.startswith("~") else item for item in value]
    return found


def parse(command: Command, options: type, arguments: Sequence[str], subcommand: str = "") -> Any:
    """Parse a command's arguments and set up logging.

    Parameters
    ----------
    command : Command
        Gives ``--help`` its name and description.
    options : type
        Dataclass of the command's options.
    arguments : sequence of str
        What follows the command, and the subcommand, on the command line.
    subcommand : str
        Second word of the command: ``merge`` of ``s2pipe stats merge``.

    Returns
    -------
    object
        An instance of ``options``.

    Raises
    ------
    UsageError
        An option is unknown or lacks its value, or ``--quiet`` and ``--verbose`` are given together.
    SystemExit
        Help was asked for, and printed.
    """
    for flag in ("--help-all", "--help", "-h"):
        if flag in arguments:
            program = f"s2pipe {command.name} {subcommand}".rstrip()
            print(help_text(command, program, options, is_whole=flag == "--help-all"), end="")
            raise SystemExit(0)
    parsed = parser_of(options).parse_args(list(arguments))
    parsed = dataclasses.replace(parsed, **_expanded(parsed))
    if parsed.quiet and parsed.verbose:
        msg = "--quiet and --verbose exclude each other; give only one of them"
        raise UsageError(msg)
    level = logging.WARNING if parsed.quiet else logging.DEBUG if parsed.verbose else logging.INFO
    set_up_logging(level, as_json=parsed.log_json)
    return parsed
