"""Configuration of Step 2 (``preprocess``). The text under a field feeds ``--help``, the schema and the docs."""

from __future__ import annotations

import re
import string
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal

from s2pipe.config.fields import Rule
from s2pipe.errors import Fault
from s2pipe.sentinel2.bands import BAND_NAMES, BandName
from s2pipe.sentinel2.channels import L1C_CHANNELS, L2A_CHANNELS, Channel

ResampleMethod = Literal[
    "nearest", "bilinear", "cubic", "average", "mode", "max", "min", "med", "q1", "q3", "sum"
]
ValidMask = Literal["single", "per_band"]
NormalizeMode = Literal["none", "compute_only", "apply_with_stats"]
SCL_GRID = "scl_20m"
"""Value of ``target_grid_ref`` that names the grid of the L2A scene classification."""
L2A_BANDS: tuple[str, ...] = tuple(channel.qualified_name for channel in L2A_CHANNELS)
"""Surface-reflectance bands as configurations name them, ``l2a.B04_10m``."""
INPUT_BANDS: tuple[str, ...] = (*(channel.qualified_name for channel in L1C_CHANNELS), *L2A_BANDS)
"""Bands of either level as ``bands`` names them."""
LABEL_BACKENDS = ("scl", "raster", "cloud_probability")
"""Label backends that come with s2pipe."""
_IMPORT_PATH = r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*"
_BACKEND = Rule({"pattern": f"^({'|'.join(LABEL_BACKENDS)}|{_IMPORT_PATH})$"})
_TIFF_NAME = Rule({"pattern": "^[A-Za-z0-9][A-Za-z0-9_-]{0,99}\\.tiff?$"})

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
    """How a pixel finds its detector: the footprint masks (where the manifest has none, as nearest), seams placed
    between the nodes of the grids, or (wrong at seams, for comparison only) the plain mean over detectors."""
    grid: Literal["target", "native", "vrt"] = "target"
    """Pixels of the target grid, the 5 km nodes, or the nodes with a warped VRT onto the target grid."""
    dtype: Literal["float32", "int16"] = "float32"
    """Pixel type on the target grid; int16 is scaled, with scale and offset in the file: right to 0.007 degrees in a
    quarter of the space."""
    output_name: Annotated[str, _TIFF_NAME] = "angles.tif"
    """File name of the raster in the scene's directory, with the extension .tif; the VRT is called likewise."""


@dataclass(frozen=True)
class LabelConfig:
    """Label raster y.tif."""

    enabled: bool = False
    """Write a label raster for every scene."""
    backend: Annotated[str, _BACKEND] = "scl"
    """Where labels come from: scl (L2A scene classification), raster (any georeferenced raster, see path),
    cloud_probability (L2A cloud probability, see threshold), or a class of yours: my_package.labels:Burned."""
    resampling: Literal["nearest", "mode"] = "nearest"
    """How labels are brought onto the target grid."""
    path: str | None = None
    """Raster of the backend raster: a path in which {tile_id} and {date} (or {date:%Y%m%d}) stand for the
    scene's; null otherwise."""
    threshold: Annotated[int, Rule({"minimum": 1, "maximum": 100})] = 50
    """Percent from which on the backend cloud_probability calls a pixel cloud (1); below it is clear (0)."""
    options: dict[str, float | int | str | bool] | None = None
    """Values for a label class of yours, which reads them from its config; null means none."""
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
    sampling: Literal["blocks", "pixels"] = "blocks"
    """How that many pixels are drawn: from a few blocks, so that little is decoded, or from all pixels."""
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
class CacheConfig:
    """Resampled stacks kept by pass 1, so that pass 2 decodes nothing."""

    enabled: bool = False
    """Keep stacks in pass 1, and use kept ones in any pass."""
    dir: Path | None = None
    """Where they are kept; null means cache in the root of the Step-1 dataset. May be removed at any time."""
    max_gb: Annotated[float, Rule({"exclusiveMinimum": 0.0})] = 50.0
    """Room for them in GB (10^9 bytes); those used longest ago are removed first."""
    keep: bool = True
    """Keep a stack after pass 2 has used it; false removes it then."""


@dataclass(frozen=True)
class OutputConfig:
    """How x.tif is stored."""

    compression: Literal["zstd", "deflate", "lzw", "none"] = "zstd"
    """Compression of its tiles."""
    level: Annotated[int | None, Rule({"minimum": 1, "maximum": 22})] = None
    """Effort of zstd (1 to 22) or deflate (1 to 9); null means 1 for zstd and 6 for deflate."""
    predictor: Annotated[int, Rule({"enum": [1, 2, 3]})] = 2
    """1 none, 2 horizontal differences, 3 differences of floating-point bytes."""
    tile_px: Annotated[int, Rule({"enum": [128, 256, 512, 1024]})] = 256
    """Side of its square tiles."""
    cog: bool = False
    """Write a Cloud Optimized GeoTIFF with overviews (by nearest neighbour, so that masks stay masks)."""


@dataclass(frozen=True)
class PreprocessConfig:
    """Step 2: bring the bands of every scene onto one grid, with masks, labels and normalization."""

    index_json: Path
    """Step-1 manifest (meta/step1/index.json)."""
    out_dir: Path
    """Directory for all outputs."""
    target_grid_ref: Annotated[str, Rule({"enum": [SCL_GRID, *BAND_NAMES, *L2A_BANDS]})]
    """Raster that defines the target grid: scl_20m, the name of an L1C band, or an L2A one such as l2a.B04_10m."""
    l1c_bands: Annotated[tuple[BandName, ...] | None, Rule({"minItems": 1, "uniqueItems": True})] = None
    """L1C bands of x.tif, in this order; null where bands names them instead."""
    bands: Annotated[
        tuple[str, ...] | None,
        Rule({"minItems": 1, "uniqueItems": True, "items": {"type": "string", "enum": list(INPUT_BANDS)}}),
    ] = None
    """Bands of both levels in the place of l1c_bands, such as l1c.B02 and l2a.B04_10m; null means l1c_bands."""
    to_toa_reflectance: bool = True
    """Turn DN into reflectance with the product's own offsets and quantification value: top-of-atmosphere for L1C
    bands, surface reflectance for L2A bands."""
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
    cache: CacheConfig = field(default_factory=CacheConfig)
    """Cache of resampled stacks."""
    output: OutputConfig = field(default_factory=OutputConfig)
    """Storage of x.tif."""
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

    @property
    def channels(self) -> tuple[Channel, ...]:
        """Bands of ``x.tif`` in order."""
        return tuple(map(Channel.parse, self.l1c_bands or self.bands or ()))

    @property
    def view_bands(self) -> tuple[str, ...]:
        """Bands whose view angles are used."""
        own = dict.fromkeys(channel.band for channel in self.channels)
        return tuple(self.angles.view_bands or own)


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
    return [
        *_band_faults(config),
        *_normalize_faults(config.normalize),
        *_label_faults(config.labels),
        *_output_faults(config.output),
        *_angle_faults(config.angles),
    ]


def _band_faults(config: PreprocessConfig) -> list[Fault]:
    if (config.l1c_bands is None) == (config.bands is None):
        got = "neither" if config.bands is None else "both"
        return [Fault("l1c_bands", f"expected either l1c_bands or bands, got {got}")]
    return []


def _angle_faults(angles: AngleAssetConfig) -> list[Fault]:
    if not angles.enabled:
        return []
    faults = []
    if not (angles.include_sun or angles.include_view):
        faults.append(Fault("angles.include_sun", "expected include_sun or include_view, got neither"))
    if angles.view_bands is not None and not angles.view_bands:
        faults.append(
            Fault("angles.view_bands", "expected at least one band, or null for the configured bands")
        )
    if angles.grid != "target" and angles.dtype != "float32":
        faults.append(
            Fault(
                "angles.dtype",
                f"expected float32 with angles.grid {angles.grid} (the nodes are few), got int16",
            )
        )
    if angles.grid == "vrt" and angles.encode != "sin_cos":
        faults.append(
            Fault(
                "angles.encode",
                "expected sin_cos with angles.grid vrt: GDAL would average azimuths across 0/360",
            )
        )
    stem = angles.output_name.rpartition(".")[0].lower()
    if stem in ("x", "y", "stack"):
        faults.append(Fault("angles.output_name", f"{angles.output_name!r} is another file of the sample"))
    return faults


def _label_faults(labels: LabelConfig) -> list[Fault]:
    faults = []
    highest = 255 if labels.backend in ("scl", "cloud_probability") else 65534
    for source, target in (labels.mapping or {}).items():
        if not (0 <= source <= highest and 0 <= target <= 65535):
            faults.append(
                Fault(
                    f"labels.mapping.{source}",
                    f"expected a class 0..{highest} -> label 0..65535, got {source} -> {target}",
                )
            )
    faults += _outside_faults(labels)
    if (labels.backend == "raster") != (labels.path is not None):
        faults.append(
            Fault("labels.path", "is the raster of labels.backend raster: expected both or neither of them")
        )
    elif labels.path is not None:
        faults += _template_faults(labels.path)
    if labels.options is not None and labels.backend in LABEL_BACKENDS:
        faults.append(Fault("labels.options", f"are for label classes of yours, not for {labels.backend}"))
    return faults


def _outside_faults(labels: LabelConfig) -> list[Fault]:
    """Class 255 of byte sources stands for pixels outside their coverage, which ignore_index is for."""
    target = (labels.mapping or {}).get(255, labels.ignore_index)
    if labels.backend not in ("scl", "cloud_probability") or target == labels.ignore_index:
        return []
    return [
        Fault(
            "labels.mapping.255",
            f"stands for pixels outside the source's coverage, which become ignore_index ({labels.ignore_index}); set "
            f"that to {target}, or leave 255 out",
        )
    ]


def _output_faults(output: OutputConfig) -> list[Fault]:
    highest = {"zstd": 22, "deflate": 9}.get(output.compression)
    if output.level is None or (highest is not None and output.level <= highest):
        return []
    wanted = f"at most {highest}" if highest else "null, since this compression has no levels"
    return [Fault("output.level", f"expected {wanted} for {output.compression}, got {output.level}")]


def _template_faults(path: str) -> list[Fault]:
    try:
        fields = [name for _, name, _, _ in string.Formatter().parse(path) if name is not None]
    except ValueError as error:
        return [Fault("labels.path", f"is no template: {error}; write {{{{ for a brace")]
    unknown = [name for name in fields if not re.fullmatch("tile_id|date", name)]
    return [Fault("labels.path", f"{{{name}}} is not one of {{tile_id}}, {{date}}") for name in unknown]


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
