"""The command line: ``s2pipe STEP CONFIG [--option value ...]``.

This module stays light, so that ``s2pipe --help`` answers at once; each command's module is imported when the
command runs.
"""

from __future__ import annotations

import importlib
import signal
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from s2pipe import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

COMMANDS: dict[str, tuple[str, str]] = {
    "download": (
        "s2pipe.cli.step",
        "search, pair, fetch and verify products of the Copernicus Data Space Ecosystem",
    ),
    "index": ("s2pipe.cli.index", "link and index products that are already on disk"),
    "preprocess": ("s2pipe.cli.step", "resample, mask, calibrate and normalise the scenes of a manifest"),
    "patches": ("s2pipe.cli.patches", "cut patches, split them by ground, and pack them into shards"),
    "stats": ("s2pipe.cli.stats", "merge the histograms of scenes into statistics, without reading a pixel"),
    "demo": ("s2pipe.cli.demo", "make two small products and run the whole pipeline on them"),
    "validate": ("s2pipe.cli.validate", "check configurations, manifests and statistics"),
    "doctor": ("s2pipe.cli.doctor", "check GDAL, its JPEG 2000 driver, Numba and this machine"),
}
"""Command -> module with ``main(name, argv) -> exit code``, and its summary."""

USAGE = 2
INTERRUPTED = 130


def help_text() -> str:
    """Return the text of ``s2pipe --help``."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {summary}" for name, (_, summary) in COMMANDS.items()]
    return "\n".join(
        [
            "usage: s2pipe COMMAND [CONFIG] [--option value ...]",
            "",
            "Turns Copernicus Sentinel-2 products into machine-learning datasets, reproducibly.",
            "",
            "commands:",
            *lines,
            "",
            "`s2pipe COMMAND --help` describes a command and every option. Options override the configuration file.",
            "Exit codes: 0 done; 1 some scenes failed; 2 usage, configuration or missing input; 130 interrupted.",
        ]
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments without the program's name; by default those of the process.

    Returns
    -------
    int
        Exit code: 0 done, 1 some scenes failed, 2 usage, configuration or missing input, 130 interrupted.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments:
        print(help_text(), file=sys.stderr)
        return USAGE
    if arguments[0] in ("-h", "--help", "help"):
        print(help_text())
        return 0
    if arguments[0] in ("-V", "--version"):
        print(f"s2pipe {__version__}")
        return 0
    name = arguments[0]
    if name not in COMMANDS:
        print(f"s2pipe: {name!r} is no command; expected one of {', '.join(COMMANDS)}", file=sys.stderr)
        return USAGE
    run: Callable[[str, list[str]], int] = importlib.import_module(COMMANDS[name][0]).main
    return _guarded(run, name, arguments[1:])


def _guarded(run: Callable[[str, list[str]], int], name: str, arguments: list[str]) -> int:
    """Run a command and map what it raises to exit codes."""
    from s2pipe.errors import S2PipeError

    try:
        with _termination_interrupts():
            return run(name, arguments)
    except S2PipeError as error:
        print(f"s2pipe {name}: {error}", file=sys.stderr)
        return USAGE
    except KeyboardInterrupt:
        print(
            f"s2pipe {name}: interrupted; finished scenes are complete, run again to go on", file=sys.stderr
        )
        return INTERRUPTED
    except BrokenPipeError:  # the reader of our output went away, e.g. `s2pipe ... | head`
        sys.stderr.close()
        return 1
    except OSError as error:
        where = " -> ".join(str(path) for path in (error.filename, error.filename2) if path is not None)
        print(
            f"s2pipe {name}: {where or 'a file'}: {error.strerror or error}; check that the path is right, that it may "
            "be read and written, and that its disk has room, then run again",
            file=sys.stderr,
        )
        return USAGE


@contextmanager
def _termination_interrupts() -> Iterator[None]:
    """Make a polite kill (SIGTERM) end a command as Ctrl-C does: files are cleaned up, the index is written."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set handlers
        return

    def interrupt(_signal: int, _frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL if before is None else before)
