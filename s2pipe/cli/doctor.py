"""``s2pipe doctor``: check the libraries and the machine that the pipeline runs on."""

from __future__ import annotations

import dataclasses
import platform
from typing import TYPE_CHECKING

from s2pipe.cli.arguments import OUTPUT_OPTIONS, parse
from s2pipe.cli.output import print_json
from s2pipe.errors import DependencyError
from s2pipe.runtime.cores import core_count
from s2pipe.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable

    from s2pipe.cli.commands import Command

Options = dataclasses.make_dataclass("Options", OUTPUT_OPTIONS)


def main(command: Command, arguments: list[str]) -> int:
    """Run ``s2pipe doctor``; the exit code is 2 when something is missing that every run needs."""
    options = parse(command, Options, arguments)
    checks: list[tuple[str, Callable[[], str]]] = [
        ("Python", platform.python_version),
        ("cores", lambda: str(core_count())),
        ("GDAL", _gdal),
        ("JPEG 2000", _jpeg2000),
        ("GeoTIFF ZSTD", _zstd),
        ("Numba", _numba),
    ]
    report, healthy = {"s2pipe": __version__}, True
    for what, check in checks:
        try:
            report[what] = check()
        except DependencyError as error:
            report[what] = f"MISSING: {error}"
            healthy = False
    if options.json:
        print_json({"healthy": healthy, **report})
    else:
        for what, text in report.items():
            print(f"{what + ':':<14} " + text.replace("\n", "\n" + " " * 15))
        print("Everything is there." if healthy else "Something is missing; see above.")
    return 0 if healthy else 2


def _gdal() -> str:
    from s2pipe.raster.capabilities import gdal_version

    return gdal_version()


def _jpeg2000() -> str:
    from s2pipe.raster.capabilities import jpeg2000_driver

    return jpeg2000_driver()


def _zstd() -> str:
    from s2pipe.raster.capabilities import require_zstd

    require_zstd()
    return "yes"


def _numba() -> str:
    """Compile and run a kernel, since Numba chooses its threading layer at the first launch."""
    try:
        import numba
        import numpy as np

        from s2kernels import valid_single
    except ImportError as error:
        msg = f"Numba cannot be imported: {error}; run `pip install numba`"
        raise DependencyError(msg) from error
    valid_single(np.ones((1, 2, 2), np.float32), np.empty((2, 2), np.float32))
    return (
        f"{numba.__version__}, threading layer {numba.threading_layer()}, {numba.get_num_threads()} threads"
    )
