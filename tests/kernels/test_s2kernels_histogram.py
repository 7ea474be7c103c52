"""Histograms: exact counts, exact edges, and independence of windows and threads."""

from __future__ import annotations

import itertools
import sys
from typing import Any

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import s2kernels as k
from s2kernels.reference import reflectance_histogram as reference
from s2kernels.reference import sample_dn

ONE_DN = k.HistogramSpec.from_range(-0.2, 2.0, 1e-4)


def same(one: Any, other: Any) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_counts_equal_bincount_shifted_by_the_offset() -> None:
    dn = np.random.default_rng(1).integers(0, 21000, (1, 300, 301)).astype(np.float32)
    expected = np.zeros(22000, np.int64)
    seen = np.bincount(dn[dn != 0].astype(int))
    expected[1000 : 1000 + seen.size] = seen  # reflectance -0.2 is DN -1000 when the offset is -1000

    got = k.reflectance_histogram(dn, k.Radiometry([-1000.0], [10000.0]), ONE_DN)

    np.testing.assert_array_equal(got.counts[0], expected)
    assert (got.underflow[0], got.overflow[0]) == (0, 0)


@pytest.mark.parametrize("width", [1e-4, 2e-4, 5e-4, 1e-3, 0.1])
def test_every_dn_lands_in_its_bin(width: int) -> None:
    dn = np.arange(1, 20001, dtype=np.float32).reshape(1, 100, 200)
    spec = k.HistogramSpec.from_range(-0.1, 1.9, width)
    got = k.reflectance_histogram(dn, k.Radiometry([-1000], [10000]), spec)
    per_bin = round(width * 10000)
    expected = np.full(spec.n_bins, per_bin)
    expected[0] -= 1  # DN 0 is nodata
    expected[-1] += 1  # DN 20000 lies on the upper edge: overflow, counted into the end bin
    np.testing.assert_array_equal(got.counts[0], expected)
    assert (got.underflow[0], got.overflow[0]) == (0, 1)


def test_values_beyond_the_range_count_into_the_end_bins() -> None:
    dn = np.array([[[0, 1, 999, 1000, 1500, 2000, 65535, np.nan, np.inf]]], np.float32)
    got = k.reflectance_histogram(dn, k.Radiometry.identity(1), k.HistogramSpec(1000, 500, 2))
    np.testing.assert_array_equal(got.counts, [[3, 4]])
    np.testing.assert_array_equal(got.underflow, [2])
    np.testing.assert_array_equal(got.overflow, [3])


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param(k.HistogramSpec.from_range(0, 1, 1e-4), id="one DN"),
        pytest.param(k.HistogramSpec(0.00005, 3e-4, 3000), id="edges between DN"),
        pytest.param(k.HistogramSpec(0, 1e-6, 200_000), id="bins finer than a DN"),
        pytest.param(k.HistogramSpec(0, 10.0, 3), id="bins too wide for a table of DN"),
    ],
)
def test_resampled_dn_and_all_kinds_of_bins(spec: Any) -> None:
    dn = (np.random.default_rng(1).random((2, 90, 110), dtype=np.float32) * 12000).astype(np.float32)
    dn[:, ::7] = 0
    radiometry = k.Radiometry([-1000, -1010], [10000, 10000])
    assert same(k.reflectance_histogram(dn, radiometry, spec), reference(dn, radiometry, spec))


def test_bands_with_different_quantification() -> None:
    dn = sample_dn((2, 60, 70), np.random.default_rng(1))
    radiometry = k.Radiometry([-1000, 0], [10000, 4000])
    assert same(k.reflectance_histogram(dn, radiometry, ONE_DN), reference(dn, radiometry, ONE_DN))


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 97), max_size=6), st.lists(st.integers(0, 83), max_size=4), st.randoms())
def test_any_split_in_any_order_adds_up(rows: Any, columns: Any, random: np.random.Generator) -> None:
    dn = sample_dn((2, 97, 83), np.random.default_rng(1))
    radiometry = k.Radiometry([-1000, 0], [10000, 10000])
    whole = k.reflectance_histogram(dn, radiometry, ONE_DN)
    rows, columns = sorted({0, 97, *rows}), sorted({0, 83, *columns})
    windows = [
        (slice(top, bottom), slice(left, right))
        for top, bottom in itertools.pairwise(rows)
        for left, right in itertools.pairwise(columns)
    ]
    random.shuffle(windows)

    accumulator = k.HistogramAccumulator(ONE_DN, radiometry)
    merged = None
    for y, x in windows:
        window = np.ascontiguousarray(dn[:, y, x])
        accumulator.add(window)
        one = k.reflectance_histogram(window, radiometry, ONE_DN)
        merged = one if merged is None else merged.merged(one)

    assert same(accumulator.result(), whole)
    assert same(merged, whole)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.floats(-100, 70000, width=32, allow_subnormal=False), min_size=1, max_size=200),
    st.integers(-2000, 2000),
    st.sampled_from([1, 2, 7, 10, 50]),
)
def test_counts_add_up_to_the_valid_pixels(values: Any, lower: Any, width: int) -> None:
    dn = np.array(values, np.float32).reshape(1, 1, -1)
    spec = k.HistogramSpec(lower, width, 900)
    got = k.reflectance_histogram(dn, k.Radiometry.identity(1), spec)
    assert got.counts.sum() == np.count_nonzero(dn)
    assert got.underflow[0] == ((dn != 0) & (dn < lower)).sum()
    assert got.overflow[0] == ((dn != 0) & (dn >= lower + 900 * width)).sum()


def test_result_does_not_depend_on_the_number_of_threads() -> None:
    dn = sample_dn((3, 150, 170), np.random.default_rng(1))
    radiometry = k.Radiometry.identity(3)
    spec = k.HistogramSpec(0, 1, 10000)
    everyone = numba.get_num_threads()
    results = []
    try:
        for threads in range(1, everyone + 1):
            numba.set_num_threads(threads)
            accumulator = k.HistogramAccumulator(spec, radiometry)
            numba.set_num_threads(everyone)
            accumulator.add(dn)
            numba.set_num_threads(threads)
            accumulator.add(dn)
            results.append(accumulator.result())
    finally:
        numba.set_num_threads(everyone)
    expected = reference(dn, radiometry, spec)
    for result in results:
        assert same(result, [2 * part for part in expected])


def test_bands_may_arrive_one_by_one() -> None:
    dn = sample_dn((3, 50, 60), np.random.default_rng(1))
    radiometry = k.Radiometry([-1000, 0, -5], [10000, 10000, 10000])
    accumulator = k.HistogramAccumulator(ONE_DN, radiometry)
    for band in (2, 0, 1):
        accumulator.add(dn[band : band + 1], first_band=band)
    assert same(accumulator.result(), k.reflectance_histogram(dn, radiometry, ONE_DN))
    with pytest.raises(ValueError, match=r"bands 2 to 4 .*among the 3"):
        accumulator.add(dn, first_band=2)


def test_result_may_be_asked_for_in_between() -> None:
    dn = sample_dn((1, 30, 40), np.random.default_rng(1))
    accumulator = k.HistogramAccumulator(ONE_DN, k.Radiometry.identity(1))
    accumulator.add(dn)
    once = accumulator.result()
    accumulator.add(dn)
    assert same(accumulator.result(), [2 * part for part in once])


def test_private_counts_are_folded_before_they_can_overflow(monkeypatch: pytest.MonkeyPatch) -> None:
    dn = sample_dn((1, 30, 40), np.random.default_rng(1))
    monkeypatch.setattr(sys.modules["s2kernels.histogram"], "_MAX_PIXELS", 3 * 1200)
    accumulator = k.HistogramAccumulator(ONE_DN, k.Radiometry.identity(1))
    for _ in range(10):
        accumulator.add(dn)
    one = k.reflectance_histogram(dn, k.Radiometry.identity(1), ONE_DN)
    assert same(accumulator.result(), [10 * part for part in one])
    with pytest.raises(ValueError, match="split it"):
        accumulator.add(np.ones((1, 61, 60), np.float32))


def test_spec_is_exact_in_decimals() -> None:
    assert ONE_DN.n_bins == 22000
    assert ONE_DN.in_dn(-1000.0, 10000.0) == (-1000, 1)
    assert k.HistogramSpec.from_range(0, 0.3, 0.1).n_bins == 3
    np.testing.assert_array_equal(k.HistogramSpec.from_range(0, 0.3, 0.1).edges, [0, 0.1, 0.2, 0.3])
    np.testing.assert_array_equal(k.HistogramSpec.from_range(0, 0.3, 0.1).centres, [0.05, 0.15, 0.25])


@pytest.mark.parametrize(("low", "high", "width"), [(0, 1, 0.3), (0, 1, 0), (1, 0, 0.1), (0, 0, 0.1)])
def test_ranges_that_are_no_whole_number_of_bins_are_refused(low: Any, high: Any, width: int) -> None:
    with pytest.raises(ValueError, match="whole number of bins"):
        k.HistogramSpec.from_range(low, high, width)


def test_specs_without_bins_are_refused() -> None:
    for lower, width, n_bins in ((0, 0, 5), (0, -1, 5), (np.nan, 1, 5), (0, 1, 0)):
        with pytest.raises(ValueError, match="HistogramSpec: expected"):
            k.HistogramSpec(lower, width, n_bins)
