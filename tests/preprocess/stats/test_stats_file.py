"""What stats.json must hold before it is applied."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from s2pipe.cli import main
from s2pipe.errors import ManifestError, StatsMismatchError
from s2pipe.preprocess.cfg import NormalizeConfig
from s2pipe.preprocess.stats.histogram import (
    HistogramSettings,
)
from s2pipe.preprocess.stats.statistics import NormalizationStats
from s2pipe.preprocess.stats.stats_file import check_stats_match, content_faults, load_stats, save_stats
from tests.preprocess.stats.stats_support import histogram_of

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Dataset

GOOD: dict[str, Any] = {
    "schema": "s2pipe.normalize.stats.v1",
    "bands": ["B04", "B05"],
    "hist_range": [-0.2, 2.0],
    "hist_bin_width": 1e-4,
    "clip_percentiles": [1.0, 99.0],
    "moments_after_clipping": True,
    "to_toa_reflectance": True,
    "clip_low_by_band": {"B04": 0.0, "B05": 0.0},
    "clip_high_by_band": {"B04": 0.5, "B05": 0.5},
    "mean_by_band": {"B04": 0.1, "B05": 0.1},
    "std_by_band": {"B04": 0.1, "B05": 0.1},
}


def _with(name: str, value: Any) -> dict[str, Any]:
    return {**GOOD, name: {**GOOD[name], "B05": value}}


def test_good_statistics_have_no_fault() -> None:
    assert content_faults(GOOD) == []
    unclipped = dict.fromkeys(("B04", "B05"))
    assert content_faults({**GOOD, "clip_percentiles": None, "clip_low_by_band": unclipped}) == []


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({**GOOD, "mean_by_band": {"B04": 0.1}}, "mean_by_band.B05: is missing"),
        (_with("std_by_band", 1e-60), "std_by_band.B05: expected a number that is greater than 0 in float32"),
        (_with("mean_by_band", 1e300), "mean_by_band.B05: expected a number that float32 can hold"),
        (_with("mean_by_band", float("nan")), "mean_by_band.B05: expected a finite number, got nan"),
        (_with("clip_low_by_band", None), "clip_low_by_band.B05: expected a number, since clip_percentiles"),
        (_with("clip_low_by_band", 0.6), "clip_high_by_band.B05: expected at least clip_low_by_band, 0.6"),
        (
            {**GOOD, "bands": ["B04", "B05", "X"]},
            "bands[2]: expected a band such as B04, l1c.B04 or l2a.B04_10m, got",
        ),
        ({**GOOD, "moments_after_clipping": False}, "moments_after_clipping: expected true"),
    ],
)
def test_unusable_values_are_faults_with_their_paths(
    tmp_path: Path, document: dict[str, Any], message: str
) -> None:
    path = tmp_path / "stats.json"
    path.write_text(json.dumps(document))
    with pytest.raises(ManifestError) as caught:
        load_stats(path)
    assert message in str(caught.value)
    assert main(["validate", str(path)]) == 2


def test_all_faults_are_listed() -> None:
    document = _with("mean_by_band", 1e300) | {"std_by_band": {}, "moments_after_clipping": False}
    paths = [fault.path for fault in content_faults(document)]
    assert paths == ["moments_after_clipping", "std_by_band.B04", "mean_by_band.B05", "std_by_band.B05"]


def test_stats_must_match_what_they_are_applied_to(dataset: Dataset, tmp_path: Path) -> None:
    normalize = NormalizeConfig(mode="apply_with_stats", stats_path=tmp_path / "stats.json")
    config = dataset.config(tmp_path, normalize=normalize)
    settings = HistogramSettings.of(config)
    histogram = histogram_of(np.ones((6, settings.bin_count), np.int64), settings=settings)
    save_stats(tmp_path / "stats.json", NormalizationStats.of(histogram, (1.0, 99.0)))
    stats = load_stats(tmp_path / "stats.json")
    check_stats_match(stats, config, "stats.json")
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
            check_stats_match(stats, other, "stats.json")


def test_settings_that_another_tool_leaves_out_are_taken_to_match(dataset: Dataset, tmp_path: Path) -> None:
    normalize = NormalizeConfig(mode="apply_with_stats", stats_path=tmp_path / "stats.json")
    config = dataset.config(tmp_path, normalize=normalize, l1c_bands=("B04", "B05"))
    (tmp_path / "stats.json").write_text(json.dumps(GOOD))
    check_stats_match(load_stats(tmp_path / "stats.json"), config, "stats.json")
    with pytest.raises(StatsMismatchError, match=r"bands: .*says \['B05', 'B04'\], .* with \['B04', 'B05'\]"):
        check_stats_match(
            load_stats(tmp_path / "stats.json"), replace(config, l1c_bands=("B05", "B04")), "stats.json"
        )
