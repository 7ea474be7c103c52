"""The command line: ``s2pipe STEP CONFIG [--option value ...]``.

This module stays light, so that ``s2pipe --help`` answers at once. The module of a command is imported when the
command runs.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from s2pipe.cli.commands import COMMANDS
from s2pipe.runtime.nearest import did_you_mean
from s2pipe.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

USAGE = 2
"""Exit code of usage and configuration errors, and of missing input."""
INTERRUPTED = 130
"""Exit code after Ctrl-C or SIGTERM, as shells use it."""


def help_text() -> str:
    """Return the text of ``s2pipe --help``."""
    width = max(map(len, COMMANDS))
    lines = [f"  {command.name:<{width}}  {command.summary}" for command in COMMANDS.values()]
    return "\n".join(
        [
            "usage: s2pipe COMMAND [CONFIG] [--option value ...]",
            "",
            "Turns Copernicus Sentinel-2 products into machine-learning datasets, reproducibly.",
            "",
            "commands:",
            *lines,
            "",
            "`s2pipe COMMAND --help` describes a command, and --help-all every option.",
            "Options override the configuration file.",
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

    def say(text: str) -> None:
        from s2pipe.cli.output import print_error

        who = f"s2pipe {arguments[0]}" if arguments and arguments[0] in COMMANDS else "s2pipe"
        print_error(f"{who}: {text}", as_json="--log-json" in arguments)

    code = _exit_code(lambda: _run(arguments), say)
    _let_go_of_output()
    return code


def _run(arguments: list[str]) -> int:
    """Run the command that the arguments name, or tell what there is."""
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
        hint = did_you_mean(name, COMMANDS) or f"; expected one of {', '.join(COMMANDS)}"
        print(f"s2pipe: unknown command {name!r}{hint}", file=sys.stderr)
        return USAGE
    with _termination_interrupts():
        try:
            return COMMANDS[name].run(arguments[1:])
        except SystemExit:  # of --help and of usage errors
            _flush_output()
            raise


def _exit_code(run: Callable[[], int], say: Callable[[str], None]) -> int:
    """Run; say what is raised, and turn it into an exit code."""
    from s2pipe.errors import S2PipeError

    try:
        code = run()
        _flush_output()
    except S2PipeError as error:
        say(str(error))
        return USAGE
    except KeyboardInterrupt:
        say("interrupted; finished scenes are complete, run again to continue")
        return INTERRUPTED
    except BrokenPipeError:  # the reader of the output has gone, as in `s2pipe ... | head`
        sys.stderr.close()
        return 1
    except OSError as error:
        where = " -> ".join(str(path) for path in (error.filename, error.filename2) if path is not None)
        say(
            f"{where or 'a file, or the output'}: {error.strerror or error}; check the path, its permissions and the "
            "free disk space, then run again"
        )
        return USAGE
    return code


def _flush_output() -> None:
    """Write what was printed: where it goes to a file or a pipe, only now it is known whether that takes it."""
    if sys.stdout is not None:
        sys.stdout.flush()


def _let_go_of_output() -> None:
    """Drop output that nobody can take: Python would try it once more at its end, and fail with words of its own."""
    try:
        _flush_output()
    except OSError:
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextmanager
def _termination_interrupts() -> Iterator[None]:
    """Let SIGTERM end a command as Ctrl-C does: temporary files are removed and the index is written."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set signal handlers
        return

    def interrupt(_signal: int, _frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL if before is None else before)
