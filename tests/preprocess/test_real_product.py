"""A real product: one band of 2018 with 41 % nodata, no manifest.safe, no other band."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np

from s2pipe.indexing.run import index_products
from s2pipe.preprocess.cfg import NormalizeConfig, PreprocessConfig
from s2pipe.preprocess.run import run_preprocess
from tests.conftest import read_whole_band

SAMPLE = Path("processed/tile=T31TDH/sensing=2018-01-01T105441Z")


def test_a_real_band_through_both_passes(shared_data: Path, tmp_path: Path) -> None:
    index_products([shared_data / "real"], tmp_path / "out")
    dn = read_whole_band(next((shared_data / "real").rglob("*_B01.jp2")))
    config = PreprocessConfig(tmp_path / "out/meta/step1/index.json", tmp_path / "out", "B01", ("B01",))
    assert run_preprocess(config).exit_code == 0
    x, valid = (read_whole_band(tmp_path / "out" / SAMPLE / "x.tif", band) for band in (1, 2))
    expected = np.where(dn != 0, dn / np.float32(10000), np.float32(0))
    assert np.array_equal(x, expected)
    assert np.array_equal(valid, (dn != 0).astype(np.float32))
    assert 0.40 < np.mean(dn == 0) < 0.42

    stats_path = tmp_path / "out/normalize/stats.json"
    normalize = NormalizeConfig(mode="compute_only", stats_path=stats_path, save_histograms=True)
    assert run_preprocess(replace(config, normalize=normalize)).exit_code == 0
    with np.load(stats_path.with_name("histogram.npz"), allow_pickle=False) as arrays:
        counts = arrays["counts"][0]
    values = dn[dn != 0].astype(int)
    assert np.array_equal(counts, np.bincount(np.clip(values + 2000, 0, 21999), minlength=22000))

    stats = json.loads(stats_path.read_text())
    bins = np.sort(np.clip(values + 2000, 0, 21999))
    low, high = (bins[math.ceil(p * len(bins) / 100) - 1] for p in (1, 99))
    kept = -0.2 + (bins[(bins >= low) & (bins <= high)] + 0.5) * 1e-4
    assert math.isclose(stats["clip_low_by_band"]["B01"], -0.2 + (low + 0.5) * 1e-4, rel_tol=1e-12)
    assert math.isclose(stats["clip_high_by_band"]["B01"], -0.2 + (high + 0.5) * 1e-4, rel_tol=1e-12)
    assert math.isclose(stats["mean_by_band"]["B01"], kept.mean(), rel_tol=1e-9)
    assert math.isclose(stats["std_by_band"]["B01"], kept.std(), rel_tol=1e-9)

    normalize = NormalizeConfig(mode="apply_with_stats", stats_path=stats_path)
    assert run_preprocess(replace(config, out_dir=tmp_path / "norm", normalize=normalize)).exit_code == 0
    z = read_whole_band(tmp_path / "norm" / SAMPLE / "x.tif")
    clip = np.clip(expected, stats["clip_low_by_band"]["B01"], stats["clip_high_by_band"]["B01"])
    wanted = np.where(dn != 0, (clip - stats["mean_by_band"]["B01"]) / stats["std_by_band"]["B01"], 0)
    np.testing.assert_allclose(z, wanted, rtol=1e-5, atol=1e-6)
