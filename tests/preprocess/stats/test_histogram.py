"""Statistics from histograms against NumPy computations of their definitions."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2pipe.errors import ManifestError, S2PipeError, StatsMismatchError
from s2pipe.preprocess.cfg import NormalizeConfig, bin_count
from s2pipe.preprocess.stats.histogram import (
    Histogram,
    HistogramSettings,
    band_stats,
    bin_edges,
    load_histogram,
    merge_histograms,
    save_histogram,
    scene_record,
    stats_document,
    write_stats,
)
from s2pipe.preprocess.stats.stats_file import check_stats_match, load_stats
from s2pipe.runtime.files import json_bytes

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Dataset

SETTINGS = HistogramSettings(
    bands=("B02", "B8A"),
    hist_range=(-0.2, 0.3),
    hist_bin_width=0.01,
    to_toa_reflectance=True,
    target_grid_ref="scl_20m",
    upsample_method="bilinear",
    downsample_method="average",
    valid_min_fraction=0.0,
    max_pixels_per_scene=None,
    sampling=None,
    seed=0,
)
COUNTS = st.lists(st.integers(0, 50), min_size=50, max_size=50).filter(any)


def _histogram(counts: np.ndarray, day: int = 1, settings: HistogramSettings = SETTINGS) -> Histogram:
    key = {"tile_id": "T33UWQ", "sensing_start_utc": f"2025-12-{day:02}T10:03:19Z"}
    ends = counts[:, 0] // 2, counts[:, -1] // 2
    return Histogram(settings, counts, *ends, (scene_record(key, [f"product {day}"]),), f"inputs {day}")


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
    counts: list[list[list[int]]], random: np.random.Generator
) -> None:  # type: ignore[no-untyped-def]
    parts = [_histogram(np.array(c, np.int64), day) for day, c in enumerate(counts, 1)]
    expected = json_bytes(stats_document(merge_histograms(parts), (1.0, 99.0)))
    random.shuffle(parts)
    cut = random.randrange(len(parts)) + 1
    groups = [merge_histograms(group) for group in (parts[:cut], parts[cut:]) if group]
    assert json_bytes(stats_document(merge_histograms(groups), (1.0, 99.0))) == expected


def test_merging_refuses_other_settings_and_repeated_scenes() -> None:
    one = _histogram(np.ones((2, 50), np.int64))
    other = replace(SETTINGS, downsample_method="nearest")
    with pytest.raises(StatsMismatchError, match="downsample_method: expected 'average', got 'nearest'"):
        merge_histograms([one, _histogram(one.counts, 2, other)])
    with pytest.raises(S2PipeError, match="more than one histogram"):
        merge_histograms([one, one])
    with pytest.raises(S2PipeError, match="no histogram"):
        merge_histograms([])


def test_a_band_without_valid_pixels_is_an_error_that_names_it() -> None:
    counts = np.ones((2, 50), np.int64)
    counts[1] = 0
    with pytest.raises(S2PipeError, match="no valid pixel of B8A"):
        stats_document(_histogram(counts), (1.0, 99.0))


def test_a_histogram_survives_its_file_and_loads_without_pickle(tmp_path: Path) -> None:
    histogram = _histogram(np.arange(100, dtype=np.int64).reshape(2, 50))
    save_histogram(tmp_path / "h.npz", histogram)
    loaded = load_histogram(tmp_path / "h.npz")
    for name in ("counts", "underflow", "overflow"):
        assert np.array_equal(getattr(loaded, name), getattr(histogram, name))
    assert (loaded.settings, loaded.scenes) == (histogram.settings, histogram.scenes)
    assert loaded.inputs_fingerprint == histogram.inputs_fingerprint
    with np.load(tmp_path / "h.npz", allow_pickle=False) as arrays:
        assert list(arrays["bands"]) == ["B02", "B8A"]
        assert np.array_equal(arrays["edges"], bin_edges(SETTINGS))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 not a zip", b"{}"])
def test_a_damaged_histogram_is_a_clear_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "h.npz").write_bytes(content)
    with pytest.raises(ManifestError, match=r"h\.npz: is not a histogram"):
        load_histogram(tmp_path / "h.npz")


def test_a_histogram_without_keys_is_a_clear_error(tmp_path: Path) -> None:
    histogram = replace(_histogram(np.ones((2, 50), np.int64)), scenes=({"products": []},))
    save_histogram(tmp_path / "h.npz", histogram)
    with pytest.raises(ManifestError, match=r"h\.npz: is not a histogram .* make it again with pass 1"):
        load_histogram(tmp_path / "h.npz")


def test_stats_must_match_what_they_are_applied_to(dataset: Dataset, tmp_path: Path) -> None:
    normalize = NormalizeConfig(mode="apply_with_stats", stats_path=tmp_path / "stats.json")
    config = dataset.config(tmp_path, normalize=normalize)
    settings = HistogramSettings.of(config)
    histogram = _histogram(np.ones((6, settings.bin_count), np.int64), settings=settings)
    write_stats(tmp_path / "stats.json", stats_document(histogram, (1.0, 99.0)))
    document = load_stats(tmp_path / "stats.json")
    check_stats_match(document, config, "stats.json")
    changed = [
        replace(config, l1c_bands=("B03", "B02", "B04", "B08", "B11", "B12")),
        replace(config, to_toa_reflectance=False),
        replace(config, upsample_method="cubic"),
        replace(config, downsample_method="nearest"),
        replace(config, target_grid_ref="B02"),
        replace(config, valid_min_fraction=0.5),
        replace(config, normalize=replace(normalize, clip_percentiles=(2.0, 98.0))),
        replace(config, normalize=replace(normalize, clip_percentiles=None)),
        replace(config, normalize=replace(normalize, hist_range=(-0.1, 2.0))),
        replace(config, normalize=replace(normalize, hist_bin_width=2e-4)),
    ]
    for other in changed:
        with pytest.raises(StatsMismatchError, match="the configuration says"):
            check_stats_match(document, other, "stats.json")


@pytest.mark.parametrize(
    ("hist_range", "width", "count"),
    [((-0.2, 2.0), 1e-4, 22000), ((0.0, 1.0), 0.1, 10), ((0.0, 1.0), 0.3, None), ((0, 10000), 1, 10000)],
)
def test_bins_must_divide_the_range_as_decimals(
    hist_range: tuple[float, float], width: float, count: int | None
) -> None:
    assert bin_count(hist_range, width) == count
