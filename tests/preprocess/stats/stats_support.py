"""Histograms made by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from s2pipe.dataset.scene_key import SceneKey
from s2pipe.preprocess.stats.histogram import BandHistograms, ContributingScene, HistogramSettings
from s2pipe.sentinel2.channels import Channel

if TYPE_CHECKING:
    import numpy as np

SETTINGS = HistogramSettings(
    bands=(Channel.l1c("B02"), Channel.l1c("B8A")),
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


def histogram_of(counts: np.ndarray, day: int = 1, settings: HistogramSettings = SETTINGS) -> BandHistograms:
    scene = ContributingScene(SceneKey("T33UWQ", f"2025-12-{day:02}T10:03:19Z"), (f"product {day}",))
    ends = counts[:, 0] // 2, counts[:, -1] // 2
    return BandHistograms(settings, counts, *ends, (scene,), f"inputs {day}")
