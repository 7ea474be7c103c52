"""Statistics from histograms against NumPy computations of their definitions."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2pipe.errors import S2PipeError
from s2pipe.preprocess.stats.histogram import (
    merge_histograms,
)
from s2pipe.preprocess.stats.statistics import NormalizationStats, band_stats
from s2pipe.runtime.files import json_bytes
from tests.preprocess.stats.stats_support import SETTINGS, histogram_of

if TYPE_CHECKING:
    from random import Random


COUNTS = st.lists(st.integers(0, 50), min_size=50, max_size=50).filter(any)


@given(COUNTS, st.floats(0, 49), st.floats(51, 100))
def test_percentiles_and_moments_follow_their_definitions(counts: list[int], low: float, high: float) -> None:
    centres = -0.2 + (np.arange(50) + 0.5) * 0.01
    values = np.repeat(centres, counts)
    n = len(values)
    ranks = [max(1, math.ceil(round(p / 100 * n, 9))) for p in (low, high)]
    expected_low, expected_high = (values[rank - 1] for rank in ranks)
    kept = values[(values >= expected_low - 1e-9) & (values <= expected_high + 1e-9)]
    stats = band_stats(np.array(counts), SETTINGS, (low, high))
    assert stats.clip_low == pytest.approx(expected_low, abs=1e-12)
    assert stats.clip_high == pytest.approx(expected_high, abs=1e-12)
    assert stats.mean == pytest.approx(kept.mean(), abs=1e-12)
    assert stats.std == pytest.approx(max(kept.std(), 1e-6), abs=1e-9)


def test_without_clipping_all_bins_are_kept() -> None:
    counts = np.zeros(50, np.int64)
    counts[[0, 49]] = 1
    stats = band_stats(counts, SETTINGS, None)
    assert (stats.clip_low, stats.clip_high) == (None, None)
    assert stats.mean == pytest.approx(0.05)
    assert stats.std == pytest.approx(0.245)


def test_a_constant_band_keeps_a_positive_deviation() -> None:
    counts = np.zeros(50, np.int64)
    counts[7] = 10
    assert band_stats(counts, SETTINGS, (1.0, 99.0)).std == 1e-6


@given(st.lists(st.lists(COUNTS, min_size=2, max_size=2), min_size=1, max_size=4), st.randoms())
def test_merging_in_any_order_and_grouping_gives_the_same_bytes(
    counts: list[list[list[int]]], random: Random
) -> None:
    parts = [histogram_of(np.array(c, np.int64), day) for day, c in enumerate(counts, 1)]
    expected = json_bytes(NormalizationStats.of(merge_histograms(parts), (1.0, 99.0)).to_document())
    random.shuffle(parts)
    cut = random.randrange(len(parts)) + 1
    groups = [merge_histograms(group) for group in (parts[:cut], parts[cut:]) if group]
    assert json_bytes(NormalizationStats.of(merge_histograms(groups), (1.0, 99.0)).to_document()) == expected


def test_a_band_without_valid_pixels_is_an_error_that_names_it() -> None:
    counts = np.ones((2, 50), np.int64)
    counts[1] = 0
    with pytest.raises(S2PipeError, match="no valid pixel of B8A"):
        NormalizationStats.of(histogram_of(counts), (1.0, 99.0))


def test_statistics_survive_their_document() -> None:
    counts = np.arange(100, dtype=np.int64).reshape(2, 50)
    for clip in ((1.0, 99.0), None):
        stats = NormalizationStats.of(histogram_of(counts), clip, 3)
        again = NormalizationStats.from_document(json.loads(json_bytes(stats.to_document())))
        assert again == stats
        assert replace(again, source=None).to_document() == stats.to_document()


def test_a_document_of_another_tool_stays_as_it_is() -> None:
    document = {
        **NormalizationStats.of(histogram_of(np.ones((2, 50), np.int64)), (1.0, 99.0)).to_document(),
        "hist_range": [0, 1],
        "made_by": "another tool",
    }
    for name in ("scenes", "fingerprint", "seed", "target_grid_ref", "pixel_count_by_band"):
        del document[name]
    stats = NormalizationStats.from_document(document)
    assert stats.to_document() == document
    assert stats.settings.target_grid_ref is None
    assert stats.bands[0].pixel_count is None


def test_kernels_clip_nothing_without_clip_values() -> None:
    stats = NormalizationStats.of(histogram_of(np.ones((2, 50), np.int64)), None)
    low, high, mean, std = stats.normalization().checked(2)
    limit = np.finfo(np.float32).max
    assert (low == -limit).all()
    assert (high == limit).all()
    np.testing.assert_allclose(mean, 0.05, rtol=1e-6)
    np.testing.assert_allclose(std, 0.144309, rtol=1e-5)
