"""What stats.json must hold before it is applied."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from s2pipe.cli import main
from s2pipe.dataset.proof import FileRecord
from s2pipe.errors import ManifestError, S2PipeError, StatsMismatchError
from s2pipe.preprocess.cfg import NormalizeConfig
from s2pipe.preprocess.stats.histogram import (
    HistogramSettings,
    load_histogram,
    merge_histograms,
    save_histogram,
)
from s2pipe.preprocess.stats.merge import histogram_paths, merge_to_stats
from s2pipe.preprocess.stats.statistics import NormalizationStats
from s2pipe.preprocess.stats.stats_file import check_stats_match, load_stats, save_stats, stats_to_apply
from s2pipe.preprocess.stats.stats_rules import content_faults
from tests.preprocess.stats.stats_support import histogram_of

if TYPE_CHECKING:
    from pathlib import Path

    from s2pipe.preprocess.cfg import PreprocessConfig
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


def _counts(pixels: int, under: int, over: int) -> dict[str, Any]:
    names = ("pixel_count_by_band", "underflow_count_by_band", "overflow_count_by_band")
    return {name: {"B04": n, "B05": n} for name, n in zip(names, (pixels, under, over), strict=True)}


SCENE = {"key": {"tile_id": "T33UWQ", "sensing_start_utc": "2025-12-10T10:03:19Z"}, "products": []}


def test_good_statistics_have_no_fault() -> None:
    assert content_faults(GOOD) == []
    none = dict.fromkeys(("B04", "B05"))
    unclipped = {"clip_percentiles": None, "clip_low_by_band": none, "clip_high_by_band": none}
    assert content_faults({**GOOD, **unclipped}) == []


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
        ({**GOOD, "made_by": "hand"}, "made_by: unknown key"),
        ({**GOOD, "hist_range": [2.0, -0.2]}, "hist_range: expected [low, high] with low < high"),
        ({**GOOD, "hist_bin_width": 0.3}, "hist_bin_width: expected a whole number of bins"),
        ({**GOOD, "clip_percentiles": [99.0, 1.0]}, "clip_percentiles: expected [low, high] with low < high"),
        ({**GOOD, "clip_percentiles": None}, "clip_low_by_band.B04: expected null"),
        (
            {**GOOD, "mean_by_band": {**GOOD["mean_by_band"], "B06": 0.1}},
            "mean_by_band.B06: is none of bands",
        ),
        (_with("mean_by_band", 0.6), "mean_by_band.B05: expected a mean of the values from clip_low_by_band"),
        (_with("clip_high_by_band", 2.5), "clip_high_by_band.B05: expected a value within hist_range"),
        ({**GOOD, "pixel_count_by_band": {"B04": 9}}, "pixel_count_by_band.B05: is missing"),
        (
            {**GOOD, "pixel_count_by_band": {"B04": 9, "B05": 0}},
            "pixel_count_by_band.B05: expected a number >= 1",
        ),
        ({**GOOD, **_counts(9, 5, 5)}, "pixel_count_by_band.B05: expected at least the 10 pixels"),
        ({**GOOD, **_counts(9, -1, 5)}, "underflow_count_by_band.B04: expected a number >= 0"),
        ({**GOOD, "scenes_processed": 2, "scenes": [SCENE]}, "scenes_processed: expected 1"),
        ({**GOOD, "scenes": [SCENE, SCENE]}, "scenes: T33UWQ/2025-12-10T10:03:19Z is listed 2 times"),
        ({**GOOD, "sampling": "blocks"}, "sampling: expected null"),
        ({**GOOD, "histogram": {"path": "../a.npz", "size": 1, "sha256": "0" * 64}}, "histogram.path: "),
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
    paths = list(dict.fromkeys(fault.path for fault in content_faults(document)))
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


SETTINGS = (
    *("bands", "hist_range", "hist_bin_width", "clip_percentiles", "to_toa_reflectance", "target_grid_ref"),
    *("upsample_method", "downsample_method", "valid_min_fraction", "moments_after_clipping"),
)


def _saved(
    dataset: Dataset, tmp_path: Path, *, accept: bool = False
) -> tuple[PreprocessConfig, dict[str, Any]]:
    """A configuration of pass 2, and the document of statistics that fit it."""
    path = tmp_path / "stats.json"
    normalize = NormalizeConfig(mode="apply_with_stats", stats_path=path, accept_foreign_stats=accept)
    config = dataset.config(tmp_path, normalize=normalize, l1c_bands=("B04", "B05"))
    settings = HistogramSettings.of(config)
    histogram = histogram_of(np.ones((2, settings.bin_count), np.int64), settings=settings)
    save_stats(path, NormalizationStats.of(histogram, (1.0, 99.0)))
    return config, json.loads(path.read_text())


@pytest.mark.parametrize("name", SETTINGS)
def test_statistics_that_do_not_say_what_they_are_of_are_refused(
    dataset: Dataset, tmp_path: Path, name: str
) -> None:
    config, document = _saved(dataset, tmp_path)
    assert not stats_to_apply(config).is_foreign
    del document[name]
    (tmp_path / "stats.json").write_text(json.dumps(document))
    with pytest.raises((ManifestError, StatsMismatchError), match=f"{name}: .*(do not say|is missing)"):
        stats_to_apply(config)


@pytest.mark.parametrize("name", [name for name in SETTINGS if name != "bands"])
def test_who_knows_better_may_apply_foreign_statistics(dataset: Dataset, tmp_path: Path, name: str) -> None:
    config, document = _saved(dataset, tmp_path, accept=True)
    expected = stats_to_apply(config).normalization()
    del document[name]
    (tmp_path / "stats.json").write_text(json.dumps({**document, "made_by": "another tool"}))
    stats = stats_to_apply(config)
    assert stats.is_foreign
    assert stats.normalization() == expected


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bands": ["B05", "B04"]}, r"bands: .* says \['B04', 'B05'\], .* with \['B05', 'B04'\]"),
        ({"bands": 4}, "bands: expected array"),
        ({"bands": ["B04"]}, r"bands: .* says \['B04', 'B05'\]"),
        ({"mean_by_band": {"B04": 0.1}}, "mean_by_band.B05: is missing"),
        ({"std_by_band": {"B04": 0, "B05": 1}}, "std_by_band.B04: expected a number > 0"),
        ({"clip_low_by_band": None}, "clip_low_by_band: expected object, got null"),
    ],
)
def test_foreign_statistics_must_still_normalize_these_bands(
    dataset: Dataset, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    config, document = _saved(dataset, tmp_path, accept=True)
    (tmp_path / "stats.json").write_text(json.dumps({**document, "schema": "other", **change}))
    with pytest.raises((ManifestError, StatsMismatchError), match=message):
        stats_to_apply(config)


def test_foreign_statistics_need_no_clip_values(dataset: Dataset, tmp_path: Path) -> None:
    config, document = _saved(dataset, tmp_path, accept=True)
    none = dict.fromkeys(("B04", "B05"))
    names = ("bands", "mean_by_band", "std_by_band")
    bare = {name: document[name] for name in names}
    (tmp_path / "stats.json").write_text(
        json.dumps({**bare, "clip_low_by_band": none, "clip_high_by_band": none})
    )
    assert [band.clip_low for band in stats_to_apply(config).bands] == [None, None]


def test_every_statistics_file_has_a_histogram_of_its_own(tmp_path: Path) -> None:
    made = {}
    for name, height in (("stats.json", 1), ("train.json", 2), ("train", 3)):
        total = merge_histograms([histogram_of(np.full((2, 50), height, np.int64))])
        save_stats(tmp_path / name, NormalizationStats.of(total, (1.0, 99.0)), total)
        made[name] = total
    assert load_stats(tmp_path / "stats.json").histogram == FileRecord.of(
        tmp_path / "histogram.npz", "histogram.npz"
    )
    for name in ("stats.json", "train.json"):
        (path,) = histogram_paths([tmp_path / name])
        assert (load_histogram(path).counts == made[name].counts).all()
        merge_to_stats([path], tmp_path / "new" / name, (1.0, 99.0), save_histograms=True)
        assert (tmp_path / "new" / name).read_bytes() == (tmp_path / name).read_bytes()
    assert len(list(tmp_path.glob("*.npz"))) == 3


def test_a_histogram_that_is_not_the_one_of_the_statistics_is_refused(tmp_path: Path) -> None:
    total = histogram_of(np.ones((2, 50), np.int64))
    stats = NormalizationStats.of(total, (1.0, 99.0))
    save_stats(tmp_path / "stats.json", stats, total)
    save_histogram(tmp_path / "histogram.npz", histogram_of(np.full((2, 50), 2, np.int64)))
    with pytest.raises(ManifestError, match=r"histogram.npz: expected \d+ bytes with SHA-256"):
        histogram_paths([tmp_path / "stats.json"])
    (tmp_path / "histogram.npz").unlink()
    with pytest.raises(ManifestError, match=r"histogram.npz: cannot be read"):
        histogram_paths([tmp_path / "stats.json"])
    save_stats(tmp_path / "stats.json", stats)
    with pytest.raises(ManifestError, match="histogram: no histogram was kept"):
        histogram_paths([tmp_path / "stats.json"])


@pytest.mark.parametrize(
    "name", ["../secret.npz", "/etc/passwd", "sub/missing.npz", "NUL", "a\udc80.npz", "."]
)
def test_statistics_name_no_histogram_elsewhere(tmp_path: Path, name: str) -> None:
    total = histogram_of(np.ones((2, 50), np.int64))
    place = tmp_path / "in" / "stats.json"
    save_stats(place, NormalizationStats.of(total, (1.0, 99.0)), total)
    save_histogram(tmp_path / "secret.npz", total)
    document = json.loads(place.read_text())
    document.pop("document_sha256")
    document["histogram"]["path"] = name
    place.write_text(json.dumps(document))
    with pytest.raises(S2PipeError):
        histogram_paths([place])


def test_statistics_that_changed_since_they_were_written_are_refused(
    dataset: Dataset, tmp_path: Path
) -> None:
    config, document = _saved(dataset, tmp_path)
    band = document["bands"][0]
    document["mean_by_band"][band] += 0.25
    (tmp_path / "stats.json").write_text(json.dumps(document))
    with pytest.raises(
        ManifestError, match="document_sha256: the statistics are not those that were written"
    ):
        stats_to_apply(config)
    known_better = replace(config.normalize, accept_foreign_stats=True)
    assert stats_to_apply(replace(config, normalize=known_better)).is_foreign
