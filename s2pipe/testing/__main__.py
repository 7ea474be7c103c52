"""Run the service by itself: ``python -m s2pipe.testing [--products DIR] [--port PORT]``.

It prints the variables that point s2pipe at it, and serves until it is interrupted. Without products it makes the
demo's.
"""

from __future__ import annotations

import argparse
import contextlib
import tempfile
import threading
from pathlib import Path

from s2pipe.testing.faults import Fault
from s2pipe.testing.products import stored
from s2pipe.testing.server import Service


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m s2pipe.testing", description=__doc__.splitlines()[0])
    parser.add_argument("--products", type=Path, help="directory of SAFE products to serve")
    parser.add_argument(
        "--port", type=int, default=0, help="port of the catalogue; the next two serve the others"
    )
    parser.add_argument("--token-life", type=float, default=600.0, help="seconds")
    parser.add_argument("--rate", type=float, help="bytes a second and connection")
    parser.add_argument(
        "--fault", action="append", default=[], metavar="KIND[:MATCH[:STATUS]]", help="always on"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        directory = options.products
        if directory is None:
            from s2pipe.synthetic import make_products

            directory = Path(scratch)
            make_products(directory)
        port = options.port
        service = Service(
            [stored(path) for path in sorted(directory.glob("*.SAFE"))],
            token_life_s=options.token_life,
            signed=True,
            ports=(port, port + 1, port + 2) if port else (0, 0, 0),
        )
        service.rate, service.piece = options.rate, 1 << 18
        for text in options.fault:
            kind, match, status = (
                [*text.split(":"), "", "503"][:3] if text.count(":") < 2 else text.split(":")
            )
            service.faults.add(Fault(kind, match, None, status=int(status or 503)))
        with service:
            for name, value in service.environment.items():
                print(f"export {name}={value}")
            print(f"export CDSE_USERNAME={service.tokens.username}")
            print(f"export CDSE_PASSWORD='{service.tokens.password}'", flush=True)
            with contextlib.suppress(KeyboardInterrupt):
                threading.Event().wait()


if __name__ == "__main__":
    main()
