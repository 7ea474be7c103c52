"""Dataset statistics from histograms: exact, whatever the order, the workers or the split of the scenes.

Counts are integers, and everything derived from them is computed with rational numbers and rounded once, so
that merging in any order gives the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import math
import struct
import zipfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from s2pipe.config.schema import NORMALIZE_STATS
from s2pipe.dataset.step1_index import SceneKey
from s2pipe.errors import Fault, ManifestError, S2PipeError, StatsMismatchError
from s2pipe.preprocess.cfg import PreprocessConfig, bin_count
from s2pipe.runtime.files import atomic_path, write_json_atomic

if TYPE_CHECKING:
    from pathlib import Path

    from s2pipe.ground.split import SplitPlan

MIN_STD = 1e-6
"""Least standard deviation, so that a constant band does not divide by zero."""
HISTOGRAM_NAME = "histogram.npz"
"""File name of a scene's histogram, and of the merged one beside ``stats.json``."""
HISTOGRAM_FORMAT = "s2pipe.normalize.histogram.v1"
_UNREADABLE = (
    *(S2PipeError, OSError, EOFError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError),
    *(RuntimeError, struct.error, zipfile.BadZipFile, zlib.error),
)
"""What NumPy and the records raise for a file that is no histogram, or a damaged one."""


@dataclass(frozen=True)
class HistogramSettings:
    """Everything that decides what a histogram counts; statistics apply only where all of it is the same."""

    bands: tuple[str, ...]
    """Bands in order."""
    hist_range: tuple[float, float]
    """Lower and upper end, in the unit of the values."""
    hist_bin_width: float
    """Bin width, same unit."""
    to_toa_reflectance: bool
    """Values are reflectance (true) or DN."""
    target_grid_ref: str
    """Raster that defines the target grid."""
    upsample_method: str
    """Resampling from larger source pixels."""
    downsample_method: str
    """Resampling from smaller source pixels."""
    valid_min_fraction: float
    """Least valid share of a pixel's source area."""
    max_pixels_per_scene: int | None
    """Size of the draw per band and scene; None is all pixels."""
    sampling: str | None
    """How pixels are drawn, ``blocks`` or ``pixels``; None when all pixels count."""
    seed: int
    """Seed of the draw; 0 when all pixels count."""
    split: str | None = None
    """Fingerprint of the split whose training ground counts; None counts all ground."""

    @classmethod
    def of(cls, config: PreprocessConfig, split: SplitPlan | None = None) -> HistogramSettings:
        """Take the settings that matter from a configuration, and from the split if there is one."""
        normalize = config.normalize
        return cls(
            bands=tuple(map(str, config.channels)),
            hist_range=tuple(map(float, normalize.hist_range)),  # type: ignore[arg-type]
            hist_bin_width=float(normalize.hist_bin_width),
            to_toa_reflectance=config.to_toa_reflectance,
            target_grid_ref=config.target_grid_ref,
            upsample_method=config.upsample_method,
            downsample_method=config.downsample_method,
            valid_min_fraction=float(config.valid_min_fraction),
            max_pixels_per_scene=normalize.max_pixels_per_scene,
            sampling=normalize.sampling if normalize.max_pixels_per_scene is not None else None,
            seed=normalize.seed if normalize.max_pixels_per_scene is not None else 0,
            split=None if split is None else split.rule_fingerprint,
        )

    @property
    def bin_count(self) -> int:
        """Number of bins."""
        count = bin_count(self.hist_range, self.hist_bin_width)
        if count is None:
            msg = f"hist_range {self.hist_range} is not a whole number of bins of {self.hist_bin_width}"
            raise S2PipeError(msg)
        return count


@dataclass(frozen=True)
class Histogram:
    """Counts of one scene, or of several together."""

    settings: HistogramSettings
    """What was counted."""
    counts: np.ndarray
    """int64 (band, bin); values beyond the range are in the end bins."""
    underflow: np.ndarray
    """int64 (band): how many of the first bin's counts were below the range."""
    overflow: np.ndarray
    """int64 (band): how many of the last bin's counts were above the range."""
    scenes: tuple[Mapping[str, Any], ...]
    """Contributing scenes: ``key`` and ``products``, sorted by key."""
    inputs_fingerprint: str = ""
    """Of one scene: identifies the files that were read; empty for a merged histogram."""

    def __post_init__(self) -> None:
        shape = (len(self.settings.bands), self.settings.bin_count)
        if self.counts.shape != shape:
            msg = f"a histogram has shape {self.counts.shape}, expected {shape}"
            raise S2PipeError(msg)


def merge_histograms(histograms: Iterable[Histogram]) -> Histogram:
    """Add histograms of different scenes.

    Parameters
    ----------
    histograms : iterable of Histogram
        At least one, all with the same settings, no scene twice.

    Raises
    ------
    StatsMismatchError
        Settings differ.
    S2PipeError
        None given, or a scene is in more than one of them.
    """
    total: Histogram | None = None
    for histogram in histograms:
        if total is None:
            total = replace(histogram, counts=histogram.counts.copy(), inputs_fingerprint="")
            continue
        faults = _setting_faults(total.settings, histogram.settings)
        if faults:
            msg = f"histogram of {_names(histogram.scenes)}"
            raise StatsMismatchError(msg, faults)
        known = {key.identity for key in scene_keys(total.scenes)}
        twice = [key for key in scene_keys(histogram.scenes) if key.identity in known]
        if twice:
            msg = f"scene {', '.join(map(str, twice))} is in more than one histogram; give each scene once"
            raise S2PipeError(msg)
        total.counts[...] += histogram.counts
        total = replace(
            total,
            underflow=total.underflow + histogram.underflow,
            overflow=total.overflow + histogram.overflow,
            scenes=tuple(
                sorted((*total.scenes, *histogram.scenes), key=lambda scene: scene_keys([scene])[0])
            ),
        )
    if total is None:
        msg = "there is no histogram to make statistics from; run pass 1 (normalize.mode: compute_only)"
        raise S2PipeError(msg)
    return total


def scene_record(key: Mapping[str, str], products: Sequence[str]) -> dict[str, Any]:
    """Describe a contributing scene."""
    return {"key": dict(key), "products": list(products)}


def scene_keys(scenes: Iterable[Mapping[str, Any]]) -> list[SceneKey]:
    """Keys of contributing scenes."""
    return [SceneKey.from_document(scene["key"]) for scene in scenes]


def _names(scenes: Sequence[Mapping[str, Any]]) -> str:
    return ", ".join(map(str, scene_keys(scenes[:3]))) + (" ..." if len(scenes) > 3 else "")


def _setting_faults(expected: HistogramSettings, got: HistogramSettings) -> list[Fault]:
    return [
        Fault(name, f"expected {value!r}, got {getattr(got, name)!r}")
        for name, value in vars(expected).items()
        if getattr(got, name) != value
    ]


def save_histogram(path: Path, histogram: Histogram) -> None:
    """Write a histogram as ``.npz`` (arrays and one JSON text; loads without pickle), atomically."""
    about = {
        "format": HISTOGRAM_FORMAT,
        "settings": asdict(histogram.settings),
        "scenes": list(histogram.scenes),
        "inputs_fingerprint": histogram.inputs_fingerprint,
    }
    settings = histogram.settings
    arrays: dict[str, Any] = {
        "counts": histogram.counts,
        "underflow": histogram.underflow,
        "overflow": histogram.overflow,
        "bands": np.array(settings.bands),
        "edges": bin_edges(settings),
        "about": np.array(json.dumps(about)),
    }
    with atomic_path(path) as temporary, open(temporary, "wb") as stream:
        np.savez_compressed(stream, **arrays)


def load_histogram(path: Path) -> Histogram:
    """Read a histogram written by :func:`save_histogram`.

    Raises
    ------
    ManifestError
        The file is missing, damaged, or something else.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            about = json.loads(str(arrays["about"]))
            counts, underflow, overflow = (arrays[name] for name in ("counts", "underflow", "overflow"))
        if about["format"] != HISTOGRAM_FORMAT:
            msg = f"format {about['format']!r} is not {HISTOGRAM_FORMAT!r}"
            raise ValueError(msg)
        scene_keys(about["scenes"])
        raw = about["settings"]
        settings = HistogramSettings(
            **{**raw, "bands": tuple(raw["bands"]), "hist_range": tuple(raw["hist_range"])}
        )
        return Histogram(
            settings, counts, underflow, overflow, tuple(about["scenes"]), about["inputs_fingerprint"]
        )
    except FileNotFoundError:
        raise ManifestError(str(path), [Fault("", "no such histogram; run pass 1 first")]) from None
    except _UNREADABLE as error:
        expected = f"expected the {HISTOGRAM_NAME} of pass 1; give that file, or make it again with pass 1"
        raise ManifestError(
            str(path), [Fault("", f"is not a histogram of s2pipe ({error}); {expected}")]
        ) from error


def bin_edges(settings: HistogramSettings) -> np.ndarray:
    """Edges of the bins, float64 (bins + 1), each rounded once from its exact decimal value."""
    low, _, width = _exact(settings)
    return np.array([float(low + width * index) for index in range(settings.bin_count + 1)])


def _exact(settings: HistogramSettings) -> tuple[Fraction, Fraction, Fraction]:
    low, high = (Fraction(Decimal(repr(value))) for value in settings.hist_range)
    return low, high, Fraction(Decimal(repr(settings.hist_bin_width)))


@dataclass(frozen=True)
class BandStats:
    """Statistics of one band."""

    clip_low: float | None
    """Lower clip value; None when nothing is clipped."""
    clip_high: float | None
    """Upper clip value; None when nothing is clipped."""
    mean: float
    """Mean over the bins that are kept."""
    std: float
    """Population standard deviation over the bins that are kept, at least 1e-6."""


def band_stats(
    counts: np.ndarray, settings: HistogramSettings, clip_percentiles: tuple[float, float] | None
) -> BandStats:
    """Derive clip values and moments from one band's counts (spec of the project, 5.5).

    Percentile p is the centre of the bin that holds rank ceil(p / 100 * N), at least 1. Mean and standard
    deviation are over the bins between the two, both included, from bin centres.

    Parameters
    ----------
    counts : ndarray, int64 (bin)
        Counts, at least one of them not 0.
    settings : HistogramSettings
        Range and width.
    clip_percentiles : (float, float) or None
        Percentiles, 0 to 100; None keeps all bins.
    """
    low, _, width = _exact(settings)
    total = int(counts.sum())
    first, last = 0, len(counts) - 1
    clip: tuple[float | None, float | None] = (None, None)
    if clip_percentiles is not None:
        cumulative = np.cumsum(counts)
        first, last = (_percentile_bin(cumulative, total, percentile) for percentile in clip_percentiles)
        clip = tuple(float(low + width * (Fraction(index) + Fraction(1, 2))) for index in (first, last))  # type: ignore[assignment]
    bins = [(index, int(counts[index])) for index in np.flatnonzero(counts[first : last + 1]) + first]
    kept = sum(count for _, count in bins)
    mean_bin = Fraction(sum(int(index) * count for index, count in bins), kept)
    square = Fraction(sum(int(index) ** 2 * count for index, count in bins), kept)
    variance = (square - mean_bin**2) * width**2
    mean = low + width * (mean_bin + Fraction(1, 2))
    return BandStats(*clip, float(mean), max(math.sqrt(variance), MIN_STD))


def _percentile_bin(cumulative: np.ndarray, total: int, percentile: float) -> int:
    rank = max(1, math.ceil(Fraction(Decimal(repr(float(percentile)))) / 100 * total))
    return int(np.searchsorted(cumulative, rank, side="left"))


def stats_document(
    histogram: Histogram, clip_percentiles: tuple[float, float] | None, scenes_skipped: int = 0
) -> dict[str, Any]:
    """Make the content of ``stats.json`` from the histogram of all scenes.

    Raises
    ------
    S2PipeError
        A band has no valid pixel in any scene.
    """
    settings = histogram.settings
    totals = histogram.counts.sum(axis=1)
    empty = [band for band, total in zip(settings.bands, totals, strict=True) if total == 0]
    if empty:
        msg = (
            f"no valid pixel of {', '.join(empty)} in {_names(histogram.scenes)}: nothing to make statistics from; "
            "choose other scenes, or check valid_min_fraction"
        )
        raise S2PipeError(msg)
    stats = {
        band: band_stats(counts, settings, clip_percentiles)
        for band, counts in zip(settings.bands, histogram.counts, strict=True)
    }

    def by_band(values: Iterable[Any]) -> dict[str, Any]:
        return dict(zip(settings.bands, values, strict=True))

    document = {
        "schema": NORMALIZE_STATS,
        **asdict(settings),
        "bands": list(settings.bands),
        "hist_range": list(settings.hist_range),
        "clip_percentiles": None
        if clip_percentiles is None
        else [float(value) for value in clip_percentiles],
        "moments_after_clipping": True,
        "scenes_processed": len(histogram.scenes),
        "scenes_skipped": scenes_skipped,
        "pixel_count_by_band": by_band(map(int, totals)),
        "clip_low_by_band": by_band(s.clip_low for s in stats.values()),
        "clip_high_by_band": by_band(s.clip_high for s in stats.values()),
        "mean_by_band": by_band(s.mean for s in stats.values()),
        "std_by_band": by_band(s.std for s in stats.values()),
        "underflow_count_by_band": by_band(map(int, histogram.underflow)),
        "overflow_count_by_band": by_band(map(int, histogram.overflow)),
        "scenes": list(histogram.scenes),
    }
    canonical = (
        json.dumps(document, sort_keys=True).encode() + np.ascontiguousarray(histogram.counts).tobytes()
    )
    return {**document, "fingerprint": "sha256:" + hashlib.sha256(canonical).hexdigest()}


def write_stats(path: Path, document: Mapping[str, Any]) -> None:
    """Write ``stats.json`` atomically."""
    write_json_atomic(path, document)
