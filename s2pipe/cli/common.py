"""What commands share: the switches for output, logging, the summary for machines."""

from __future__ import annotations

import dataclasses
import json
import logging
import re
import sys
from typing import TYPE_CHECKING, Any

from s2pipe.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence


def option(help_text: str, *flags: str, default: Any = None, **metadata: Any) -> Any:
    """Return a dataclass field that argparse-dataclass turns into an option or positional argument."""
    extra = {"args": list(flags)} if flags else {}
    return dataclasses.field(default=default, metadata={"help": help_text, **extra, **metadata})


_NEGATIVE_NUMBER = re.compile(
    r"-(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|inf|nan)$", re.IGNORECASE
)

OUTPUT_OPTIONS: list[tuple[str, Any, Any]] = [
    ("quiet", bool, option("Print errors and warnings only.", "--quiet", "-q", default=False)),
    ("verbose", bool, option("Print details of every step.", "--verbose", "-v", default=False)),
    ("json", bool, option("Print a summary as JSON on stdout.", "--json", default=False)),
]
"""Switches that every command has."""


def parse(name: str, summary: str, options: type, arguments: Sequence[str]) -> Any:
    """Parse a command's arguments into its options dataclass and set up logging.

    Raises
    ------
    UsageError
        ``--quiet`` and ``--verbose`` together.
    """
    from argparse_dataclass import ArgumentParser

    # allow_abbrev off: an abbreviation would change its meaning when options are added.
    parser = ArgumentParser(options, prog=f"s2pipe {name}", description=summary, allow_abbrev=False)
    # argparse knows -0.1 for a number, but takes -1e-1 and -inf for options.
    parser._negative_number_matcher = _NEGATIVE_NUMBER
    parsed = parser.parse_args(list(arguments))
    if parsed.quiet and parsed.verbose:
        msg = "--quiet and --verbose exclude each other; give one of them"
        raise UsageError(msg)
    level = logging.WARNING if parsed.quiet else logging.DEBUG if parsed.verbose else logging.INFO
    set_up_logging(level)
    return parsed


def set_up_logging(level: int) -> None:
    """Send the log of s2pipe to stderr as plain lines."""
    root = logging.getLogger("s2pipe")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    root.handlers[:] = [handler]
    root.setLevel(level)
    root.propagate = False


def print_json(summary: Any) -> None:
    """Print a machine-readable summary on stdout."""
    print(json.dumps(summary, indent=2, ensure_ascii=False))
