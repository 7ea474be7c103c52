"""What commands print: the log on stderr, a summary as JSON on stdout."""

from __future__ import annotations

import json
import logging
import sys
from typing import Any


def set_up_logging(level: int) -> None:
    """Send the log of s2pipe to stderr as plain lines."""
    root = logging.getLogger("s2pipe")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    root.handlers[:] = [handler]
    root.setLevel(level)
    root.propagate = False


def print_json(summary: Any) -> None:
    """Print a summary as JSON on stdout; names of files that are no UTF-8 are escaped."""
    text = json.dumps(summary, indent=2, ensure_ascii=False)
    print(text.encode("utf-8", "backslashreplace").decode("utf-8"))
