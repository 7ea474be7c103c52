"""What stats.json must hold before it is applied."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from s2pipe.cli import main
from s2pipe.errors import ManifestError
from s2pipe.preprocess.stats.stats_file import content_faults, load_stats

if TYPE_CHECKING:
    from pathlib import Path

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


def test_all_faults_are_listed(tmp_path: Path) -> None:
    document = _with("mean_by_band", 1e300) | {"std_by_band": {}, "moments_after_clipping": False}
    paths = [fault.path for fault in content_faults(document)]
    assert paths == ["moments_after_clipping", "std_by_band.B04", "mean_by_band.B05", "std_by_band.B05"]
