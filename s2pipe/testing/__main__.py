"""Start the local test service.

``python -m s2pipe.testing -- COMMAND`` starts the service, runs the command with the variables that point s2pipe at
it, and stops. Without a command, the variables are written to ``--env-file`` as soon as the service answers, and the
service runs until it is interrupted.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from s2pipe.runtime.files import write_bytes_atomic
from s2pipe.testing.faults import Fault, Kind
from s2pipe.testing.products import stored
from s2pipe.testing.service import Service

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Start the service, and run a command against it or wait.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments without the program's name; by default those of the process.

    Returns
    -------
    int
        Exit code of the command; 0 without one.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    command: list[str] = []
    if "--" in arguments:
        place = arguments.index("--")
        arguments, command = arguments[:place], arguments[place + 1 :]
    options = _parser().parse_args(arguments)
    with tempfile.TemporaryDirectory() as scratch, _service(options, Path(scratch)) as service:
        variables = {
            **service.environment,
            "CDSE_USERNAME": service.tokens.username,
            "CDSE_PASSWORD": service.tokens.password,
        }
        if command:
            return subprocess.run(command, env={**os.environ, **variables}, check=False).returncode  # noqa: S603 - the user's own command
        text = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in variables.items())
        with _stop_signal() as stopped:
            if options.env_file is None:
                print(text, end="", flush=True)
            else:
                # Whole or not at all: a shell that sourced half of it would talk to the real service.
                write_bytes_atomic(options.env_file, text.encode())
                print(f"ready; variables in {options.env_file}", flush=True)
            stopped.wait()
    return 0


@contextlib.contextmanager
def _stop_signal() -> Iterator[threading.Event]:
    """Yield an event that interrupts and requests to terminate set.

    A shell starts programs in the background with interrupts ignored; the service is to stop all the same.
    """
    stopped = threading.Event()
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, lambda *_: stopped.set()) for number in numbers]
    try:
        yield stopped
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def _parser() -> argparse.ArgumentParser:
    summary = (__doc__ or "").splitlines()[0]
    parser = argparse.ArgumentParser(
        prog="python -m s2pipe.testing",
        description=summary,
        epilog="-- COMMAND: run a command against the service",
    )
    parser.add_argument(
        "--products",
        type=Path,
        help="directory of SAFE products to serve; without it those of the demonstration",
    )
    parser.add_argument(
        "--port", type=int, default=0, help="port of the catalogue; the next two serve the other hosts"
    )
    parser.add_argument(
        "--env-file", type=Path, help="file for the variables, written when the service answers"
    )
    parser.add_argument("--token-life", type=float, default=600.0, help="life of access tokens in seconds")
    parser.add_argument("--rate", type=float, help="bytes per second on each connection")
    parser.add_argument(
        "--fault",
        action="append",
        default=[],
        type=_fault,
        metavar="KIND[:MATCH[:STATUS]]",
        help=f"always on; KIND is one of {', '.join(get_args(Kind))}",
    )
    return parser


def _fault(text: str) -> Fault:
    kind, match, status = [*text.split(":", 2), "", ""][:3]
    if kind not in get_args(Kind) or not (status or "503").isdecimal():
        msg = f"expected KIND[:MATCH[:STATUS]] with KIND one of {', '.join(get_args(Kind))}, got {text!r}"
        raise argparse.ArgumentTypeError(msg)
    return Fault(kind, match, None, status=int(status or "503"))  # type: ignore[arg-type]


def _service(options: argparse.Namespace, scratch: Path) -> Service:
    directory: Path = options.products or scratch
    if options.products is None:
        from s2pipe.synthetic import make_products

        make_products(scratch)
    port = options.port
    service = Service(
        [stored(path) for path in sorted(directory.glob("*.SAFE"))],
        token_life_s=options.token_life,
        signed=True,
        ports=(port, port + 1, port + 2) if port else (0, 0, 0),
    )
    service.rate, service.piece = options.rate, 1 << 18
    service.faults.add(*options.fault)
    return service


if __name__ == "__main__":
    raise SystemExit(main())
