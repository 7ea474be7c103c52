"""Throughput of every kernel in the comparison table, beside a plain parallel copy and beside NumPy.

Sizes: S2PIPE_BENCH_SIZE=small takes seconds and is for seeing that everything runs; the default is large
enough that neither input nor output stays in the caches.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import numba
import numpy as np
import pytest
from numpy.typing import NDArray

from s2kernels.reference import COMPARISONS, Comparison, sample_dn
from s2kernels.reference_resample import RESAMPLING

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_benchmark.fixture import BenchmarkFixture

Float32 = NDArray[np.float32]
SMALL = os.environ.get("S2PIPE_BENCH_SIZE") == "small"
SHAPE_BYX = (3, 128, 200) if SMALL else (4, 2048, 2048)
# One byte per pixel: a larger window, or it would be timed in the caches.
LABEL_SHAPE_BYX = (1, 128, 200) if SMALL else (1, 10980, 10980)
ROUNDS = 3 if SMALL else 15
NUMPY_ROUNDS = 1 if SMALL else 3


@numba.njit(parallel=True)
def plain_copy(source: Float32, target: Float32) -> None:
    """Yardstick: each thread copies its share."""
    for line in numba.prange(source.shape[0]):
        from_row = source[line]
        to_row = target[line]
        for x in range(source.shape[1]):
            to_row[x] = from_row[x]


def seconds(call: Callable[[], object]) -> float:
    """Time of one call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


@pytest.mark.parametrize("comparison", COMPARISONS + RESAMPLING, ids=lambda comparison: comparison.name)
def test_kernel(
    benchmark: BenchmarkFixture, kernel_rows: list[dict[str, object]], comparison: Comparison
) -> None:
    """Time a kernel, and a copy of as many bytes before each of its rounds."""
    shape_byx = LABEL_SHAPE_BYX if comparison.name.startswith("map_labels") else SHAPE_BYX
    rng = np.random.default_rng(20)
    inputs = comparison.inputs(sample_dn(shape_byx, rng), rng)
    outputs = comparison.outputs(inputs)
    expected = comparison.reference(**{**inputs, **outputs})
    returned = comparison.kernel(**{**inputs, **outputs})
    for got, want in zip(comparison.collect(outputs, returned), expected, strict=True):
        np.testing.assert_array_equal(got, want)

    moved = comparison.streams(inputs, outputs)
    source = np.ones((shape_byx[1], moved // 8 // shape_byx[1]), np.float32)
    target = np.empty_like(source)
    plain_copy(source, target)
    copies: list[float] = []
    arguments = {**inputs, **outputs}

    def yardstick() -> None:
        # Before each round, so that a busy neighbour slows both. What is reported is the kernel's own time.
        copies.append(seconds(lambda: plain_copy(source, target)))

    benchmark.pedantic(comparison.kernel, kwargs=arguments, setup=yardstick, rounds=ROUNDS, warmup_rounds=1)
    reference = min(seconds(lambda: comparison.reference(**arguments)) for _ in range(NUMPY_ROUNDS))
    best, copy_rate = benchmark.stats.stats.min, 2 * source.nbytes / min(copies)
    row = {
        "name": comparison.name,
        "shape": " x ".join(map(str, shape_byx)),
        "ms": best * 1e3,
        "gb_s": moved / best / 1e9,
        "share": moved / best / copy_rate,
        "aim": comparison.copy_share,
        "factor": reference / best,
    }
    kernel_rows.append(row)
    benchmark.extra_info.update(row)
