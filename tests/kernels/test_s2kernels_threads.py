"""Calls from several Python threads on every threading layer, and compiling beside them."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING, Any

import numba
import numpy as np
import pytest

import s2kernels as k
from s2kernels.reference import COMPARISONS, Comparison, sample_dn

if TYPE_CHECKING:
    from collections.abc import Callable

SEVERAL_THREADS = textwrap.dedent(
    """
    import threading
    import numba, numpy as np
    import s2kernels as k
    from s2kernels.reference import sample_dn, valid_single

    dn = sample_dn((3, 200, 210), np.random.default_rng(1))
    radiometry = k.Radiometry([-1000] * 3, [10000] * 3)
    spec = k.HistogramSpec.from_range(-0.2, 2.0, 1e-4)
    accumulator = k.HistogramAccumulator(spec, radiometry)
    expected = valid_single(dn, None)[0]
    faults, start = [], threading.Barrier(6)

    def work():
        start.wait()
        try:
            for _ in range(50):
                out, valid = np.empty_like(dn), np.empty((1, 200, 210), np.float32)
                k.reflectance_valid(dn, radiometry, out, valid)
                accumulator.add(dn)
                assert np.array_equal(valid[0], expected)
        except BaseException as error:
            faults.append(error)

    threads = [threading.Thread(target=work) for _ in range(5)]
    threads.append(threading.Thread(target=lambda: (start.wait(), k.warm_up(["valid_single"]))))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults, faults
    assert accumulator.result().counts.sum() == 5 * 50 * np.count_nonzero(dn)
    print(numba.threading_layer())
    """
)


@pytest.mark.parametrize("layer", ["workqueue", "omp", "tbb"])
def test_threads_may_call_kernels_at_once(
    layer: Any, kernel_environment: Callable[..., dict[str, str]]
) -> None:
    run = subprocess.run(
        [sys.executable, "-c", SEVERAL_THREADS],
        env=kernel_environment(NUMBA_THREADING_LAYER=layer, NUMBA_NUM_THREADS="2"),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    if layer != "workqueue" and "No threading layer could be loaded" in run.stderr:
        pytest.skip(f"Numba has no {layer} here")
    assert run.returncode == 0, run.stderr
    assert run.stdout.split() == [layer]


@pytest.mark.parametrize("comparison", COMPARISONS, ids=lambda comparison: comparison.name)
def test_one_thread_and_all_threads_agree(comparison: Comparison) -> None:
    inputs = comparison.inputs(sample_dn((3, 120, 333), np.random.default_rng(1)), np.random.default_rng(1))
    everyone = numba.get_num_threads()
    results = []
    try:
        for threads in (1, everyone):
            numba.set_num_threads(threads)
            outputs = comparison.outputs(inputs)
            returned = comparison.kernel(**{**inputs, **outputs})
            results.append(comparison.collect(outputs, returned))
    finally:
        numba.set_num_threads(everyone)
    for one, other in zip(*results, strict=True):
        assert one.tobytes() == other.tobytes()


def test_warm_up_knows_the_public_kernels() -> None:
    assert {"reflectance", "histogram", "map_labels", "valid_single"} <= set(k.kernel_names())
    k.warm_up(["reflectance"])
    k.warm_up()
    with pytest.raises(ValueError, match=r"no kernel called nonsense; expected any of .*reflectance"):
        k.warm_up(["nonsense"])
