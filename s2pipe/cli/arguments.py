"""The arguments of commands: fields as options, the switches that every command has, parsing."""

from __future__ import annotations

import dataclasses
import logging
import re
from typing import TYPE_CHECKING, Any

from s2pipe.cli.output import set_up_logging
from s2pipe.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from s2pipe.cli.commands import Command


def option(help_text: str, *flags: str, default: Any = None, **metadata: Any) -> Any:
    """Return a dataclass field that argparse-dataclass turns into an option or a positional argument."""
    extra = {"args": list(flags)} if flags else {}
    return dataclasses.field(default=default, metadata={"help": help_text, **extra, **metadata})


_UNSIGNED = r"(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|inf|nan)"
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
        ``--quiet`` and ``--verbose`` are given together.
    """
    from argparse_dataclass import ArgumentParser

    program = f"s2pipe {command.name} {subcommand}".rstrip()
    # No abbreviations: they would change their meaning when options are added.
    parser = ArgumentParser(options, prog=program, description=command.description, allow_abbrev=False)
    # argparse takes -0.1 for a number, but -1e-1, -inf and -1,2,3,4 for options.
    parser._negative_number_matcher = _NEGATIVE_NUMBER  # noqa: SLF001 - argparse has no public name for it
    parsed = parser.parse_args(list(arguments))
    if parsed.quiet and parsed.verbose:
        msg = "--quiet and --verbose exclude each other; give only one of them"
        raise UsageError(msg)
    level = logging.WARNING if parsed.quiet else logging.DEBUG if parsed.verbose else logging.INFO
    set_up_logging(level, as_json=parsed.log_json)
    return parsed
