"""What commands print: the log on stderr, plain, with colours or as JSON; a summary as JSON on stdout."""

from __future__ import annotations

import json
import logging
import os
import sys
from datetime import UTC, datetime
from typing import Any

from s2pipe.runtime.progress import TerminalHandler

_COLOURS = {logging.WARNING: "\033[33m", logging.ERROR: "\033[31m"}
_PLAIN = "\033[0m"


def set_up_logging(level: int, *, as_json: bool = False) -> None:
    """Send the log of s2pipe to stderr.

    Parameters
    ----------
    level : int
        Least level that is shown.
    as_json : bool
        Write one JSON object a line instead of text.
    """
    root = logging.getLogger("s2pipe")
    handler: logging.Handler
    if as_json:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(_JsonFormatter())
    elif is_terminal():
        handler = TerminalHandler(sys.stderr)
        handler.setFormatter(_ColourFormatter() if has_colours() else logging.Formatter("%(message)s"))
    else:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(message)s"))
    root.handlers[:] = [handler]
    root.setLevel(level)
    root.propagate = False


def is_terminal() -> bool:
    """Tell whether stderr is a terminal that can draw."""
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


def has_colours() -> bool:
    """Tell whether messages may have colours: on a terminal, unless NO_COLOR is set (see no-color.org)."""
    return is_terminal() and not os.environ.get("NO_COLOR")


def print_error(text: str, *, as_json: bool = False) -> None:
    """Print why a command ends, as the log would."""
    if as_json:
        record = logging.LogRecord("s2pipe", logging.ERROR, "", 0, text, None, None)
        print(_JsonFormatter().format(record), file=sys.stderr)
    elif has_colours():
        print(f"{_COLOURS[logging.ERROR]}{text}{_PLAIN}", file=sys.stderr)
    else:
        print(text, file=sys.stderr)


class _ColourFormatter(logging.Formatter):
    """Warnings yellow, errors red."""

    def __init__(self) -> None:
        super().__init__("%(message)s")

    def format(self, record: logging.LogRecord) -> str:
        colour = _COLOURS.get(min(record.levelno, logging.ERROR))
        text = super().format(record)
        return text if colour is None else f"{colour}{text}{_PLAIN}"


class _JsonFormatter(logging.Formatter):
    """One object a line: time, level, logger, message, and progress where there is some."""

    def format(self, record: logging.LogRecord) -> str:
        document = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if hasattr(record, "progress"):
            document["progress"] = record.progress
        if record.exc_info:
            document["traceback"] = self.formatException(record.exc_info)
        return json.dumps(document)


def print_json(summary: Any) -> None:
    """Print a summary as JSON on stdout; names of files that are no UTF-8 are escaped."""
    text = json.dumps(summary, indent=2, ensure_ascii=False)
    print(text.encode("utf-8", "backslashreplace").decode("utf-8"))
