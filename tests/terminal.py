"""A pseudo-terminal for tests: programs run in it, and what would be on the screen."""

from __future__ import annotations

import fcntl
import os
import re
import struct
import subprocess
import sys
import termios
from typing import TYPE_CHECKING

from tests.paths import ROOT

if TYPE_CHECKING:
    from pathlib import Path


def run_in_terminal(
    *command: str, cwd: Path | None = None, columns: int = 100, **variables: str
) -> tuple[int, str]:
    """Run Python with these arguments and stderr on a terminal; return its exit code and all that it wrote there."""
    import pty

    control, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    path = os.pathsep.join([str(ROOT), str(ROOT / "kernels")])
    environment = {**os.environ, "PYTHONPATH": path, "TERM": "xterm", **variables}
    process = subprocess.Popen(
        [sys.executable, *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=terminal,
        cwd=cwd,
        env=environment,
    )
    os.close(terminal)
    written = b""
    while True:
        try:
            piece = os.read(control, 65536)
        except OSError:  # Linux says so when the last writer has gone
            break
        if not piece:
            break
        written += piece
    os.close(control)
    return process.wait(timeout=60), written.decode()


def screen(written: str) -> list[str]:
    """Return the lines that are left to see: a carriage return goes back to the start of a line."""
    lines: list[list[str]] = [[]]
    row = column = 0
    for token in re.findall(r"\x1b\[\d*[A-Za-z]|.", written, re.DOTALL):
        if token == "\r":
            column = 0
        elif token == "\n":
            row, column = row + 1, 0
            if row == len(lines):
                lines.append([])
        elif token == "\x1b[A":
            row -= 1
        elif token[0] != "\x1b":
            line = lines[row]
            line += [" "] * (column + 1 - len(line))
            line[column] = token
            column += 1
    return ["".join(line).rstrip() for line in lines]
