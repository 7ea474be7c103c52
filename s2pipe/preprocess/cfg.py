"""Configuration of Step 2 (``preprocess``). The text under a field feeds ``--help``, the schema and the docs."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal

from s2pipe.bands import BAND_NAMES, BandName
from s2pipe.config import Rule
from s2pipe.errors import Fault

ResampleMethod = Literal[
    "nearest", "bilinear", "cubic", "average", "mode", "max", "min", "med", "q1", "q3", "sum"
]
ValidMask = Literal["single", "per_band"]
NormalizeMode = Literal["none", "compute_only", "apply_with_stats"]
SCL_GRID = "scl_20m"
"""Value of ``target_grid_ref`` that names the grid of the L2A scene classification."""

_FRACTION = Rule({"minimum": 0.0, "maximum": 1.0})


@dataclass(frozen=True)
class AngleAssetConfig:
    """Sun and view angles as a raster beside the bands."""

    enabled: bool = False
    """Write an angle raster for every scene."""
    include_sun: bool = True
    """Include the sun's zenith and azimuth."""
    include_view: bool = True
    """Include the sensor's zenith and azimuth."""
    encode: Literal["sin_cos", "deg"] = "sin_cos"
    """Channels hold the sine and cosine of each angle, or degrees."""
    view_mode: Literal["per_band", "single"] = "per_band"
    """One view direction for each band of view_bands, or one mean direction over them."""
    view_bands: tuple[BandName, ...] | None = None
    """Bands whose view angles are used; null means the configured bands."""
    detector_aggregate: Literal["footprint", "nearest", "nanmean"] = "footprint"
    """How a pixel finds its detector: the footprint masks, the nearest node of the grids, or (for comparison
    only) the plain mean over detectors."""
    grid: Literal["target", "native", "vrt"] = "target"
    """Pixels of the target grid, the 5 km nodes, or the nodes with a warped VRT onto the target grid."""
    output_name: str = "angles.tif"
    """File name of the raster in the scene's directory."""


@dataclass(frozen=True)
class LabelConfig:
    """Label raster y.tif."""

    enabled: bool = False
    """Write a label raster for every scene."""
    backend: Literal["scl"] = "scl"
    """Where labels come from: scl is the L2A scene classification."""
    resampling: Literal["nearest", "mode"] = "nearest"
    """How labels are brought onto the target grid."""
    ignore_index: Annotated[int, Rule({"minimum": 0, "maximum": 65535})] = 255
    """Label of pixels that have none: outside the source's coverage, or left out of mapping."""
    mapping: dict[int, int] | None = None
    """Source class -> label; classes left out become ignore_index. Null keeps the source's classes."""


@dataclass(frozen=True)
class NormalizeConfig:
    """Dataset-wide normalization in two passes."""

    mode: NormalizeMode = "none"
    """none writes plain values; compute_only is pass 1 (statistics, no rasters); apply_with_stats is pass 2."""
    stats_path: Path | None = None
    """stats.json to write (pass 1) or to read (pass 2)."""
    clip_percentiles: tuple[float, float] | None = (1.0, 99.0)
    """Lower and upper percentile, 0 to 100, to which values are clipped; null keeps all."""
    hist_range: tuple[float, float] = (-0.2, 2.0)
    """Range of the histogram in the unit of the values: reflectance, or DN without to_toa_reflectance."""
    hist_bin_width: Annotated[float, Rule({"exclusiveMinimum": 0.0})] = 1e-4
    """Width of a histogram bin, same unit; the range must be a whole number of bins."""
    max_pixels_per_scene: Annotated[int | None, Rule({"minimum": 1})] = None
    """Up to this many valid pixels per band and scene enter the statistics; null takes all."""
    seed: Annotated[int, Rule({"minimum": 0})] = 0
    """Seed of that draw."""
    save_histograms: bool = False
    """Write histogram.npz beside stats.json."""
    scenes: tuple[str, ...] | Path | None = None
    """Scenes that enter the statistics: keys such as T33UWQ/2025-12-10T10:03:19Z, or a text file with one a
    line; null takes all."""
    split: Literal["train"] | None = None
    """train: only pixels on training ground enter the statistics, so that they know nothing of validation and
    test; null takes all ground."""
    split_plan: Path | None = None
    """The split (split.json) that s2pipe patches --plan wrote; needed with split."""


@dataclass(frozen=True)
class PreprocessConfig:
    """Step 2: bring the bands of every scene onto one grid, with masks, labels and normalization."""

    index_json: Path
    """Step-1 manifest (meta/step1/index.json)."""
    out_dir: Path
    """Directory for all outputs."""
    target_grid_ref: Annotated[str, Rule({"enum": [SCL_GRID, *BAND_NAMES]})]
    """Raster that defines the target grid: scl_20m, or the name of an L1C band."""
    l1c_bands: Annotated[tuple[BandName, ...], Rule({"minItems": 1, "uniqueItems": True})]
    """L1C bands of x.tif, in this order."""
    to_toa_reflectance: bool = True
    """Turn DN into top-of-atmosphere reflectance with the product's own offsets and quantification value."""
    upsample_method: ResampleMethod = "bilinear"
    """Resampling where source pixels are larger than the target's, or equal but on another grid."""
    downsample_method: ResampleMethod = "average"
    """Resampling where source pixels are smaller than the target's."""
    valid_pixel_mask: ValidMask = "single"
    """Append one mask, valid, for all bands together, or valid_<BAND> for each."""
    valid_min_fraction: Annotated[float, _FRACTION] = 0.0
    """Least valid share of a target pixel's source area, 0 to 1; 0 means that any valid source pixel counts."""
    angles: AngleAssetConfig = field(default_factory=AngleAssetConfig)
    """Sun and view angles."""
    labels: LabelConfig = field(default_factory=LabelConfig)
    """Labels."""
    normalize: NormalizeConfig = field(default_factory=NormalizeConfig)
    """Normalization."""
    skip_incomplete: bool = False
    """Leave out scenes with missing roles or files (recorded with the reason) instead of stopping."""
    allow_absolute_paths: bool = False
    """Follow absolute paths in the manifest, which may lead out of the dataset's directory."""
    num_workers: Annotated[int, Rule({"minimum": 0})] = 0
    """Threads that decode and resample; 0 means all cores. Results do not depend on it."""
    max_scenes: Annotated[int | None, Rule({"minimum": 1})] = None
    """Process only the first scenes of the manifest (ordered by tile and time); null takes all."""
    run_id: Annotated[str | None, Rule({"pattern": "^[A-Za-z0-9._-]{1,100}$"})] = None
    """Name of the run's record in meta/step2/runs; null makes one from the time."""
    overwrite: bool = False
    """Rebuild scenes even when their outputs are complete and up to date."""


def rule_faults(config: PreprocessConfig) -> list[Fault]:
    """Return the faults of a configuration that its JSON Schema cannot express.

    Parameters
    ----------
    config : PreprocessConfig
        A configuration whose types and choices are already right.

    Returns
    -------
    list of Fault
        Paths are relative to the configuration (``normalize.hist_range``).
    """
    faults = _normalize_faults(config.normalize)
    mapping = config.labels.mapping or {}
    for source, target in mapping.items():
        if not (0 <= source <= 255 and 0 <= target <= 65535):
            faults.append(
                Fault(
                    f"labels.mapping.{source}",
                    f"expected a class 0..255 -> label 0..65535, got {source} -> {target}",
                )
            )
    if config.angles.enabled:
        faults.append(
            Fault("angles.enabled", "angle rasters are not available in this version; set it to false")
        )
    return faults


def _normalize_faults(normalize: NormalizeConfig) -> list[Fault]:
    faults = []
    low, high = normalize.hist_range
    if not low < high:
        faults.append(
            Fault("normalize.hist_range", f"expected [low, high] with low < high, got [{low}, {high}]")
        )
    elif bin_count(normalize.hist_range, normalize.hist_bin_width) is None:
        faults.append(
            Fault(
                "normalize.hist_bin_width",
                f"expected a width that divides hist_range [{low}, {high}] into a whole number of bins "
                f"(at most {MAX_BINS}), got {normalize.hist_bin_width}",
            )
        )
    if normalize.clip_percentiles is not None:
        first, last = normalize.clip_percentiles
        if not 0.0 <= first < last <= 100.0:
            faults.append(
                Fault("normalize.clip_percentiles", f"expected 0 <= low < high <= 100, got [{first}, {last}]")
            )
    if normalize.mode != "none" and normalize.stats_path is None:
        faults.append(Fault("normalize.stats_path", f"is needed when normalize.mode is {normalize.mode}"))
    if (normalize.split is None) != (normalize.split_plan is None):
        lacking = "split" if normalize.split is None else "split_plan"
        faults.append(Fault(f"normalize.{lacking}", "is needed: split and split_plan go together"))
    return faults


MAX_BINS = 10_000_000
"""More bins than this are taken for a mistake in the width."""


def bin_count(hist_range: tuple[float, float], width: float) -> int | None:
    """Number of bins, or None when the range is not a whole number of bins.

    The decimal notation of the numbers decides, not their binary approximations: [-0.2, 2.0] / 1e-4 is 22000.
    """
    low, high, step = (Decimal(repr(float(value))) for value in (*hist_range, width))
    count = (high - low) / step
    if count != count.to_integral_value() or not 1 <= count <= MAX_BINS:
        return None
    return int(count)
