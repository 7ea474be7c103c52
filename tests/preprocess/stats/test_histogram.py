"""Histograms survive their files, and add up."""

from __future__ import annotations

import json
import weakref
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from s2pipe.errors import ManifestError, S2PipeError, StatsMismatchError
from s2pipe.preprocess.stats.histogram import (
    HistogramSum,
    bin_edges,
    is_intact_histogram,
    load_histogram,
    merge_histograms,
    save_histogram,
)
from tests.preprocess.stats.stats_support import SETTINGS, histogram_of

if TYPE_CHECKING:
    from pathlib import Path


def test_merging_refuses_other_settings_and_repeated_scenes() -> None:
    one = histogram_of(np.ones((2, 50), np.int64))
    other = replace(SETTINGS, downsample_method="nearest")
    with pytest.raises(StatsMismatchError, match="downsample_method: expected 'average', got 'nearest'"):
        merge_histograms([one, histogram_of(one.counts, 2, other)])
    with pytest.raises(S2PipeError, match="more than one histogram"):
        merge_histograms([one, one])
    with pytest.raises(S2PipeError, match="no histogram"):
        merge_histograms([])


def test_a_sum_keeps_no_histogram_that_was_added() -> None:
    total, kept = HistogramSum(), []
    for number in range(3):
        histogram = histogram_of(np.full((2, 50), number, np.int64), number)
        kept += [weakref.ref(histogram), weakref.ref(histogram.counts)]
        total.add(histogram)
        del histogram
    assert [ref() for ref in kept] == [None] * 6
    assert (total.total().counts == 0 + 1 + 2).all()
    assert len(total) == 3


def test_a_refused_histogram_changes_no_sum() -> None:
    total = HistogramSum()
    total.add(histogram_of(np.ones((2, 50), np.int64), 0))
    both = merge_histograms([histogram_of(np.ones((2, 50), np.int64), number) for number in (0, 1)])
    with pytest.raises(S2PipeError, match="more than one histogram"):
        total.add(both)
    assert (total.total().counts == 1).all()
    assert len(total) == len(total.total().scenes) == 1


def test_a_histogram_survives_its_file_and_loads_without_pickle(tmp_path: Path) -> None:
    histogram = histogram_of(np.arange(100, dtype=np.int64).reshape(2, 50))
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


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scenes": [{"products": []}]}, "'key'"),
        (
            {"settings": {"bands": ["B02", "B8A"], "hist_range": [0, 1]}},
            "settings lack downsample_method, hist_bin",
        ),
        (
            {"settings": {**SETTINGS.to_document(), "bands": ["B02", "B99"]}},
            "expected a band such as B04.*'B99'",
        ),
        ({"format": "other"}, "format 'other' is not"),
    ],
)
def test_a_histogram_with_another_description_is_a_clear_error(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    path = tmp_path / "h.npz"
    save_histogram(path, histogram_of(np.ones((2, 50), np.int64)))
    with np.load(path) as stored:
        arrays = dict(stored)
    np.savez(
        path, **{**arrays, "about": np.array(json.dumps({**json.loads(str(arrays["about"])), **change}))}
    )
    with pytest.raises(
        ManifestError, match=rf"h\.npz: is not a histogram .*{message}.* make it again with pass 1"
    ):
        load_histogram(path)


def test_no_byte_of_a_stored_histogram_changes_unnoticed(tmp_path: Path) -> None:
    path = tmp_path / "h.npz"
    histogram = histogram_of(np.ones((2, 50), np.int64))
    save_histogram(path, histogram)
    data = path.read_bytes()
    assert is_intact_histogram(data)
    for place in range(len(data)):
        changed = bytearray(data)
        changed[place] ^= 1
        assert not is_intact_histogram(bytes(changed))
    for place in (100, len(data) // 2, len(data) - 80):  # a header, counts, the central directory
        path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        with pytest.raises(ManifestError, match="is not a histogram"):
            load_histogram(path)
