"""``s2pipe doctor``: check what the pipeline stands on."""

from __future__ import annotations

import dataclasses
import os
import platform
from typing import TYPE_CHECKING

from s2pipe import __version__
from s2pipe.cli.common import OUTPUT_OPTIONS, parse, print_json
from s2pipe.errors import DependencyError

if TYPE_CHECKING:
    from collections.abc import Callable

Options = dataclasses.make_dataclass("Options", OUTPUT_OPTIONS)


def main(name: str, arguments: list[str]) -> int:
    """Run ``s2pipe doctor``; exit code 2 when something that every run needs is missing."""
    options = parse(name, "Check GDAL, its JPEG 2000 driver, Numba and this machine.", Options, arguments)
    checks: list[tuple[str, Callable[[], str]]] = [
        ("Python", platform.python_version),
        (
            "cores",
            lambda: str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()),
        ),
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
        print("All is well." if healthy else "Something is missing: see above.")
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
    try:
        import numba
        from numba.np.ufunc import parallel
    except ImportError as error:
        msg = f"Numba cannot be imported ({error}); pip install numba"
        raise DependencyError(msg) from error
    parallel._launch_threads()
    return (
        f"{numba.__version__}, threading layer {numba.threading_layer()}, {numba.get_num_threads()} threads"
    )
