"""Normalization statistics from histograms: exact for any order, any number of workers and any split of the scenes.

Everything is computed with rational numbers from integer counts and rounded once, so that merging in any order
gives the same bytes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from s2pipe.config.schema import NORMALIZE_STATS
from s2pipe.dataset.proof import SEAL, FileRecord
from s2pipe.errors import S2PipeError
from s2pipe.preprocess.stats.histogram import (
    BandHistograms,
    ContributingScene,
    HistogramSettings,
    scene_names,
)
from s2pipe.runtime.hashing import bytes_fingerprint

if TYPE_CHECKING:
    from s2kernels import Normalization

_OF_FILES = ("histogram", SEAL)
"""Keys about files, which say nothing about pixels."""
MIN_STD = 1e-6
"""Least standard deviation, so that a constant band does not divide by zero."""


@dataclass(frozen=True)
class BandStats:
    """Statistics of one band, in the unit of its values."""

    clip_low: float | None
    """Lower clip value; None when nothing is clipped."""
    clip_high: float | None
    """Upper clip value; None when nothing is clipped."""
    mean: float
    """Mean over the bins that are kept."""
    std: float
    """Population standard deviation over the bins that are kept, at least 1e-6."""
    pixel_count: int | None = None
    """Valid pixels that were counted; None where a file of another tool does not say."""
    underflow_count: int | None = None
    """How many of them were below the range; None where unknown."""
    overflow_count: int | None = None
    """How many of them were above the range; None where unknown."""


def band_stats(
    counts: np.ndarray, settings: HistogramSettings, clip_percentiles: tuple[float, float] | None
) -> BandStats:
    """Derive clip values and moments from one band's counts.

    Percentile p is the centre of the bin that holds rank ceil(p / 100 * N), at least 1. Mean and standard
    deviation are over the bins between the two, both included, from bin centres (docs/data-model.md, Statistics).

    Parameters
    ----------
    counts : ndarray, int64 (bin)
        Counts, at least one of them not 0.
    settings : HistogramSettings
        Range and width.
    clip_percentiles : (float, float) or None
        Percentiles, 0 to 100; None keeps all bins.

    Returns
    -------
    BandStats
        Without the counts of underflow and overflow.
    """
    low, width = settings.exact_range
    total = int(counts.sum())
    first, last = 0, len(counts) - 1
    clip_low, clip_high = None, None
    if clip_percentiles is not None:
        cumulative = np.cumsum(counts)
        first, last = (_percentile_bin(cumulative, total, percentile) for percentile in clip_percentiles)
        clip_low, clip_high = (float(low + width * (index + Fraction(1, 2))) for index in (first, last))
    bins = [(int(index), int(counts[index])) for index in np.flatnonzero(counts[first : last + 1]) + first]
    kept = sum(count for _, count in bins)
    mean_bin = Fraction(sum(index * count for index, count in bins), kept)
    square = Fraction(sum(index**2 * count for index, count in bins), kept)
    variance = (square - mean_bin**2) * width**2
    mean = low + width * (mean_bin + Fraction(1, 2))
    return BandStats(clip_low, clip_high, float(mean), max(math.sqrt(variance), MIN_STD), total)


def _percentile_bin(cumulative: np.ndarray, total: int, percentile: float) -> int:
    rank = max(1, math.ceil(Fraction(Decimal(repr(float(percentile)))) / 100 * total))
    return int(np.searchsorted(cumulative, rank, side="left"))


@dataclass(frozen=True)
class NormalizationStats:
    """The statistics of a dataset: the content of ``stats.json``."""

    settings: HistogramSettings
    """What was counted, and the bands in order."""
    clip_percentiles: tuple[float, float] | None
    """Percentiles, 0 to 100, that values are clipped to; None clips nothing."""
    bands: tuple[BandStats, ...]
    """Statistics of each band, in the order of the settings."""
    scenes: tuple[ContributingScene, ...] = ()
    """Contributing scenes, sorted by key."""
    scenes_skipped: int = 0
    """Scenes that were left out or failed."""
    fingerprint: str | None = None
    """SHA-256 over everything above and the counts; None where a file of another tool does not say."""
    histogram: FileRecord | None = field(default=None, compare=False)
    """The histogram kept beside the statistics; None when there is none."""
    is_foreign: bool = field(default=False, compare=False)
    """They were not made for the values that they are applied to, or do not say so; the user says that they fit."""
    source: Mapping[str, Any] | None = field(default=None, compare=False, repr=False)
    """The document that the statistics were read from; None for those computed now. Other tools may state less or
    more than s2pipe does, and samples are identified by the statistics as they were given."""

    @classmethod
    def of(
        cls,
        histogram: BandHistograms,
        clip_percentiles: tuple[float, float] | None,
        scenes_skipped: int = 0,
    ) -> NormalizationStats:
        """Compute the statistics of all scenes of a histogram.

        Parameters
        ----------
        histogram : BandHistograms
            Counts of all scenes.
        clip_percentiles : (float, float) or None
            Percentiles, 0 to 100; None keeps all values.
        scenes_skipped : int
            Scenes that were left out or failed.

        Raises
        ------
        S2PipeError
            A band has no valid pixel in any scene.
        """
        settings = histogram.settings
        empty = [
            str(band)
            for band, counts in zip(settings.bands, histogram.counts, strict=True)
            if not counts.any()
        ]
        if empty:
            msg = (
                f"no valid pixel of {', '.join(empty)} in {scene_names(histogram.scenes)}: nothing to make statistics "
                "from; choose other scenes, or check valid_min_fraction"
            )
            raise S2PipeError(msg)
        bands = tuple(
            replace(
                band_stats(counts, settings, clip_percentiles),
                underflow_count=int(underflow),
                overflow_count=int(overflow),
            )
            for counts, underflow, overflow in zip(
                histogram.counts, histogram.underflow, histogram.overflow, strict=True
            )
        )
        stats = cls(settings, clip_percentiles, bands, histogram.scenes, scenes_skipped)
        canonical = json.dumps(stats.to_document(), sort_keys=True).encode()
        counts = np.ascontiguousarray(histogram.counts).tobytes()
        return replace(stats, fingerprint=bytes_fingerprint(canonical + counts))

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> NormalizationStats:
        """Read the content of ``stats.json``.

        Parameters
        ----------
        document : mapping
            A document that fits its schema and has no fault of
            :func:`~s2pipe.preprocess.stats.stats_rules.content_faults`.
        """
        clip = document["clip_percentiles"]

        def band(name: str) -> BandStats:
            def optional(key: str) -> int | None:
                count: int | None = document.get(key, {}).get(name)
                return count

            return BandStats(
                clip_low=document["clip_low_by_band"][name],
                clip_high=document["clip_high_by_band"][name],
                mean=document["mean_by_band"][name],
                std=document["std_by_band"][name],
                pixel_count=optional("pixel_count_by_band"),
                underflow_count=optional("underflow_count_by_band"),
                overflow_count=optional("overflow_count_by_band"),
            )

        return cls(
            settings=HistogramSettings.from_document(document),
            clip_percentiles=None if clip is None else (clip[0], clip[1]),
            bands=tuple(map(band, document["bands"])),
            scenes=tuple(map(ContributingScene.from_document, document.get("scenes", ()))),
            scenes_skipped=document.get("scenes_skipped", 0),
            fingerprint=document.get("fingerprint"),
            histogram=FileRecord.from_document(document.get("histogram")),
            source=document,
        )

    def to_document(self) -> dict[str, Any]:
        """Return the content of ``stats.json``."""
        if self.source is not None:
            return dict(self.source)
        document: dict[str, Any] = {
            "schema": NORMALIZE_STATS,
            **self.settings.to_document(),
            "clip_percentiles": None
            if self.clip_percentiles is None
            else [float(value) for value in self.clip_percentiles],
            "moments_after_clipping": True,
            "scenes_processed": len(self.scenes),
            "scenes_skipped": self.scenes_skipped,
            "pixel_count_by_band": self._by_band("pixel_count"),
            "clip_low_by_band": self._by_band("clip_low"),
            "clip_high_by_band": self._by_band("clip_high"),
            "mean_by_band": self._by_band("mean"),
            "std_by_band": self._by_band("std"),
            "underflow_count_by_band": self._by_band("underflow_count"),
            "overflow_count_by_band": self._by_band("overflow_count"),
            "scenes": [scene.to_document() for scene in self.scenes],
        }
        if self.fingerprint is not None:
            document["fingerprint"] = self.fingerprint
        if self.histogram is not None:
            document["histogram"] = self.histogram.to_document()
        return document

    def meaning(self) -> dict[str, Any]:
        """Return the document without what pixels do not depend on."""
        return {key: value for key, value in self.to_document().items() if key not in _OF_FILES}

    def _by_band(self, name: str) -> dict[str, Any]:
        bands = zip(self.settings.bands, self.bands, strict=True)
        return {str(channel): getattr(stats, name) for channel, stats in bands}

    def normalization(self) -> Normalization:
        """Return what kernels clip and standardize with, band by band."""
        from s2kernels import Normalization

        limit = float(np.finfo(np.float32).max)  # clips nothing
        return Normalization(
            low=[-limit if band.clip_low is None else band.clip_low for band in self.bands],
            high=[limit if band.clip_high is None else band.clip_high for band in self.bands],
            mean=[band.mean for band in self.bands],
            std=[band.std for band in self.bands],
        )
