"""Print what the kernel benchmarks measured: machine, versions, each kernel beside copy and NumPy."""

from __future__ import annotations

import os
import platform
from typing import TYPE_CHECKING, Any

import pytest

from benchmarks.machine import processor

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter

KERNEL_ROWS: list[dict[str, Any]] = []


@pytest.fixture(scope="session")
def kernel_rows() -> list[dict[str, Any]]:
    """Rows for the table at the end of the run."""
    return KERNEL_ROWS


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    """Print the table."""
    if not KERNEL_ROWS:
        return
    import llvmlite
    import numba
    import numpy as np

    write = terminalreporter.write_line
    terminalreporter.section("s2kernels: throughput")
    write(
        f"{processor()}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}; "
        f"Python {platform.python_version()}, numba {numba.__version__}, llvmlite {llvmlite.__version__}, "
        f"numpy {np.__version__}; {numba.get_num_threads()} threads on {numba.threading_layer()}"
    )
    write("best of the rounds; copy: plain parallel copy of as many bytes, timed in turns with the kernel")
    write(f"{'kernel':36} {'shape':>16} {'ms':>8} {'GB/s':>7} {'of copy':>8} {'aim':>5} {'x NumPy':>8}")
    for row in KERNEL_ROWS:
        write(
            f"{row['name']:36} {row['shape']:>16} {row['ms']:8.2f} {row['gb_s']:7.1f} {row['share']:8.0%} "
            f"{row['aim']:5.0%} {row['factor']:8.1f}"
        )
