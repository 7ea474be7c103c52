"""Configuration of Step 2 (``preprocess``). The text under a field feeds ``--help``, the schema and the docs."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal

from s2pipe.config.fields import Rule
from s2pipe.dataset.scene_choice import SceneChoice
from s2pipe.preprocess.grid_cfg import TargetGridConfig
from s2pipe.sentinel2.bands import BAND_NAMES, BandName
from s2pipe.sentinel2.brdf import BRDF_PARAMETERS, MAX_SUN_ZENITH_DEG
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
_LABEL = {"type": "integer", "minimum": 0, "maximum": 65535}
_TEXT = {"type": "string", "minLength": 1, "maxLength": 200}
_COLOR = {"type": "string", "pattern": "^#[0-9a-fA-F]{6}$"}


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
    """How the detector of a pixel is found: footprint takes the footprint masks, and acts as nearest where the
    manifest has none; nearest places the seams between the nodes of the grids; nanmean averages over detectors, which
    is wrong at seams and only for comparison."""
    require_footprints: bool = False
    """A missing footprint mask counts as a missing input: the run stops, or skip_incomplete leaves the scene out."""
    grid: Literal["target", "native", "vrt"] = "target"
    """Pixels of the target grid, the 5 km nodes, or the nodes with a warped VRT onto the target grid."""
    dtype: Literal["float32", "int16"] = "float32"
    """Pixel type on the target grid; int16 is scaled, with scale and offset in the file: it is accurate to 0.007
    degrees and takes a quarter of the space."""
    fill: Literal["nan", 0] = "nan"
    """What missing angles are: NaN (-32768 in int16), or 0 with a last channel valid_angles that is 1 where all angles
    are known and 0 elsewhere."""
    output_name: Annotated[str, _TIFF_NAME] = "angles.tif"
    """File name of the raster in the scene's directory, with the extension .tif; the VRT has the same stem."""


@dataclass(frozen=True, kw_only=True)  # so that LabelConfig(True) goes on meaning enabled
class LabelRasterConfig:
    """What one label raster is made from."""

    kind: Literal["classes", "regression"] = "classes"
    """classes are whole numbers, one class per pixel; regression is a float32 quantity with NaN for no value."""
    backend: Annotated[str, _BACKEND] = "scl"
    """Where labels come from: scl (L2A scene classification), raster (any georeferenced raster, see path),
    cloud_probability (L2A cloud probability, see threshold), or your own class: my_package.labels:Burned."""
    resampling: ResampleMethod | None = None
    """How labels are brought onto the target grid: nearest or mode for classes, any but mode for regression. Null means
    nearest for classes, and for regression average where source pixels are smaller than the target's, else bilinear."""
    path: str | None = None
    """Raster for the backend raster: a path in which {tile_id} and {date} (or {date:%Y%m%d}) stand for those of the
    scene; null for other backends."""
    allow_vrt: bool = False
    """Open rasters of path, or of your own label class, in every format that GDAL knows, such as VRT, whose files may
    refer to others and to the network; false opens GeoTIFF, JPEG 2000 and PNG."""
    threshold: Annotated[int, Rule({"minimum": 1, "maximum": 100})] = 50
    """Least probability in percent at which the backend cloud_probability labels a pixel cloud (1), else clear (0)."""
    options: dict[str, float | int | str | bool] | None = None
    """Values for your own label class, which reads them from its config; null means none."""
    ignore_index: Annotated[int, Rule({"minimum": 0, "maximum": 65535})] = 255
    """Label of pixels outside the source's coverage, and of classes that mapping leaves out."""
    mapping: dict[int, int] | None = None
    """Source class to label; classes that are left out become ignore_index. Null keeps the source's classes."""
    class_names: Annotated[dict[int, str] | None, Rule({"additionalProperties": _TEXT})] = None
    """Label to name. Labels that are left out have the name of their class, or of several classes joined (a / b); those
    of rasters of your own come from the file (category names or attribute table). Null names none."""
    class_colors: Annotated[dict[int, str] | None, Rule({"additionalProperties": _COLOR})] = None
    """Label to colour (#rrggbb). Labels that are left out have the colour of their first class, as in the source or
    its colour table. Null states none."""
    cloud_labels: Annotated[tuple[int, ...] | None, Rule({"items": _LABEL, "uniqueItems": True})] = None
    """Labels that mean cloud, such as those of a cloud mask of your own; null takes what the source's cloud classes
    became, and an empty list says that labels do not tell clouds."""
    source: Annotated[str | None, Rule({"minLength": 1, "maxLength": 200})] = None
    """What the labels are, for the record: ESA WorldCover 2021 v200. Null takes the backend's title or name, or the
    name of the file that path gives."""


@dataclass(frozen=True)
class BrdfConfig:
    """Reflectance as seen from nadir (NBAR): directional effects of the view taken out."""

    model: Literal["none", "c_factor"] = "none"
    """none leaves reflectance as the satellite saw it; c_factor multiplies it by the c-factor of Roy et al. (2016,
    2017), computed from every pixel's own sun and view direction. Bands without published parameters (B01, B09, B10)
    stay as they are, and pixels whose direction is unknown become invalid."""
    sun_zenith: Annotated[
        float | Literal["scene_mean", "latitude"], Rule({"minimum": 0.0, "maximum": MAX_SUN_ZENITH_DEG})
    ] = "scene_mean"
    """Zenith of the sun that reflectance is brought to: scene_mean, the mean over the tile's grid of sun angles;
    latitude, the polynomial of HLS 1.4, which is the same all year; or degrees, 0 to 80."""

    @property
    def is_on(self) -> bool:
        """Whether reflectance is adjusted."""
        return self.model != "none"


@dataclass(frozen=True)
class LabelTargetConfig(LabelRasterConfig):
    """One of several label rasters: a band of y.tif."""

    name: Annotated[str, Rule({"pattern": "^[A-Za-z][A-Za-z0-9_]{0,63}$"})] = field(kw_only=True)
    """Name of the band and of the channel of y.npy."""


@dataclass(frozen=True)
class LabelConfig(LabelRasterConfig):
    """Label raster y.tif."""

    enabled: bool = False
    """Write a label raster for every scene."""
    targets: Annotated[tuple[LabelTargetConfig, ...] | None, Rule({"minItems": 1})] = None
    """Several label rasters at once, as named bands of y.tif in this order; the keys beside this one must then be left
    out. Scores and limits of patches go by the first. Null makes one raster from the keys beside it."""

    @property
    def rasters(self) -> tuple[tuple[str, LabelRasterConfig], ...]:
        """Name and configuration of each band of ``y.tif``."""
        if self.targets is None:
            return (("label", self),)
        return tuple((target.name, target) for target in self.targets)


@dataclass(frozen=True)
class ScreeningConfig:
    """Raster q.tif: scene classes and cloud probability for screening patches, whatever the labels are."""

    enabled: bool = False
    """Write q.tif for every scene: the L2A scene classification and, where the product has it, the cloud probability
    in percent, nearest neighbour on the target grid. It makes l2a.scl_20m a needed role."""
    require_cloud_probability: bool = False
    """A missing cloud probability counts as a missing input: the run stops, or skip_incomplete leaves the scene out."""


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
    """Where those pixels are drawn from: a few blocks, so that little is decoded, or all pixels."""
    seed: Annotated[int, Rule({"minimum": 0})] = 0
    """Seed of that draw."""
    save_histograms: bool = False
    """Write the histogram of all scenes beside the statistics: histogram.npz for stats.json, else
    NAME.histogram.npz for statistics called NAME."""
    accept_foreign_stats: bool = False
    """In pass 2, take statistics that were computed otherwise than the configuration says, or do not say how, as if
    they fitted; only their bands must match."""
    scenes: tuple[str, ...] | Path | None = None
    """Scenes that enter the statistics: keys such as T33UWQ/2025-12-10T10:03:19Z, or a text file with one key
    per line; null takes all."""
    split: Literal["train"] | None = None
    """train: only pixels on training ground enter the statistics, so that nothing of validation and test leaks into
    them; null takes all ground."""
    split_plan: Path | None = None
    """The split (split.json) that s2pipe patches --plan wrote; needed with split."""


@dataclass(frozen=True)
class CacheConfig:
    """Resampled stacks kept by pass 1, so that pass 2 decodes nothing."""

    enabled: bool = False
    """Keep stacks in pass 1, and use kept ones in any pass."""
    dir: Path | None = None
    """Directory for them; null means cache in the root of the Step-1 dataset. It may be removed at any time."""
    max_gb: Annotated[float, Rule({"exclusiveMinimum": 0.0})] = 50.0
    """Most space that they take, in GB (10^9 bytes); the least recently used are removed first."""
    keep: bool = True
    """Keep a stack after pass 2 has used it; false removes it then."""


@dataclass(frozen=True)
class OutputConfig:
    """How rasters are stored: x.tif, and for cog all others too."""

    compression: Literal["zstd", "deflate", "lzw", "none"] = "zstd"
    """Compression of its tiles."""
    level: Annotated[int | None, Rule({"minimum": 1, "maximum": 22})] = None
    """Compression level of zstd (1 to 22) or deflate (1 to 9); null means 1 for zstd and 6 for deflate."""
    predictor: Annotated[int, Rule({"enum": [1, 2, 3]})] = 2
    """1 none, 2 horizontal differences, 3 differences of floating-point bytes."""
    tile_px: Annotated[int, Rule({"enum": [128, 256, 512, 1024]})] = 256
    """Side of its square tiles."""
    cog: bool = False
    """Write every raster as a Cloud Optimized GeoTIFF with overviews (nearest neighbour, so that classes stay
    classes)."""


@dataclass(frozen=True)
class RemoteConfig:
    """Input files that stay in object storage (s3://) or on web servers (https://)."""

    allow: Annotated[tuple[str, ...], Rule({"items": {"type": "string", "maxLength": 1024}})] = ()
    """Places that files of the manifest may be read from, such as s3://eodata/Sentinel-2; nothing else off this machine
    is opened. Credentials come from the environment alone."""
    stage: bool = False
    """Copy the files of a scene to this machine first, compare their checksums, and remove them when the scene is done;
    otherwise they are read where they are, and their sizes and entity tags are compared."""
    stage_dir: Path | None = None
    """Directory for those copies; null means that of the system for temporary files (TMPDIR)."""


@dataclass(frozen=True)
class PreprocessConfig:
    """Step 2: bring the bands of every scene onto one grid, with masks, labels and normalization."""

    index_json: Path
    """Step-1 manifest (meta/step1/index.json)."""
    out_dir: Path
    """Directory for all outputs."""
    target_grid_ref: Annotated[str | None, Rule({"enum": [SCL_GRID, *BAND_NAMES, *L2A_BANDS, None]})] = None
    """Raster that defines the target grid: scl_20m, the name of an L1C band, or an L2A one such as l2a.B04_10m. Null
    where target_grid defines one grid for all scenes."""
    l1c_bands: Annotated[tuple[BandName, ...] | None, Rule({"minItems": 1, "uniqueItems": True})] = None
    """L1C bands of x.tif, in this order; null where bands names them instead."""
    bands: Annotated[
        tuple[str, ...] | None,
        Rule({"minItems": 1, "uniqueItems": True, "items": {"type": "string", "enum": list(INPUT_BANDS)}}),
    ] = None
    """Bands of both levels instead of l1c_bands, such as l1c.B02 and l2a.B04_10m; null means l1c_bands."""
    to_toa_reflectance: bool = True
    """Convert DN to reflectance with the product's own offsets and quantification value: top-of-atmosphere for L1C
    bands, surface reflectance for L2A bands."""
    upsample_method: ResampleMethod = "bilinear"
    """Resampling where source pixels are larger than the target's, or equal but on another grid."""
    downsample_method: ResampleMethod = "average"
    """Resampling where source pixels are smaller than the target's."""
    valid_pixel_mask: ValidMask = "single"
    """Append one mask, valid, for all bands together, or valid_<BAND> for each."""
    valid_min_fraction: Annotated[float, _FRACTION] = 0.0
    """Least valid share of a target pixel's source area, 0 to 1; 0 means that any valid source pixel counts."""
    aoi: Annotated[tuple[float, float, float, float] | str | None, Rule({"examples": ["area.geojson"]})] = (
        None
    )
    """Area of interest: a GeoJSON, GeoPackage (FILE.gpkg|layername=NAME where it has several layers) or .wkt file, WKT,
    or left,bottom,right,top. Of each scene, the fewest whole pixels of the target grid around the area are written;
    scenes that it misses are left out. Null takes whole tiles."""
    aoi_crs: str | None = None
    """Reference system of the coordinates of aoi, such as EPSG:32633; x comes before y, and longitude before latitude,
    whatever it defines. Null takes the one that they state, else longitude and latitude (EPSG:4326)."""
    aoi_margin_m: Annotated[float, Rule({"minimum": 0.0, "maximum": 200_000.0})] = 0.0
    """Metres by which the area is grown on every side."""
    aoi_mask: bool = False
    """Make pixels whose centres lie outside the area invalid, and their labels ignore_index; false keeps all pixels of
    the rectangle around it."""
    target_grid: TargetGridConfig = field(default_factory=TargetGridConfig)
    """One grid for all scenes, in place of target_grid_ref."""
    group_by: Literal["datatake"] | None = None
    """datatake makes one sample of all scenes of a datatake that lie on one grid: several tiles, or the halves of a
    product that was cut in two. Each pixel is from one of them, which source.tif names: the one with the most valid
    bands; of several, the one the middle of whose tile is nearest. Null makes a sample of each scene."""
    brdf: BrdfConfig = field(default_factory=BrdfConfig)
    """Reflectance as seen from nadir."""
    angles: AngleAssetConfig = field(default_factory=AngleAssetConfig)
    """Sun and view angles."""
    labels: LabelConfig = field(default_factory=LabelConfig)
    """Labels."""
    quality: ScreeningConfig = field(default_factory=ScreeningConfig)
    """Clouds, shadows, snow and water for screening patches."""
    normalize: NormalizeConfig = field(default_factory=NormalizeConfig)
    """Normalization."""
    cache: CacheConfig = field(default_factory=CacheConfig)
    """Cache of resampled stacks."""
    output: OutputConfig = field(default_factory=OutputConfig)
    """Storage of x.tif."""
    verify_inputs: Literal["checksum", "size"] = "checksum"
    """Compare every input file with the index before its pixels are used: its size, and its checksum where the index
    has one (once: files that did not change since are not hashed again); size compares sizes alone."""
    skip_incomplete: bool = False
    """Leave out scenes with missing roles or files (recorded with the reason) instead of stopping."""
    allow_absolute_paths: bool = False
    """Follow absolute paths in the manifest, which may lead out of the dataset's directory."""
    remote: RemoteConfig = field(default_factory=RemoteConfig)
    """Input files off this machine."""
    num_workers: Annotated[int, Rule({"minimum": 0})] = 0
    """Threads that decode and resample; 0 means all cores. Results do not depend on it."""
    max_scenes: Annotated[int | None, Rule({"minimum": 1})] = None
    """Process only the first scenes of the manifest (ordered by tile and time); null takes all."""
    run_id: Annotated[str | None, Rule({"pattern": "^[A-Za-z0-9._-]{1,100}$"})] = None
    """Name of the run's record in meta/step2/runs; null makes one from the time."""
    overwrite: bool = False
    """Rebuild scenes even when their outputs are complete and up to date."""
    only: SceneChoice = field(default_factory=SceneChoice)
    """Scenes that this run is for; what is made of each scene does not depend on it."""
    scheduler: str | None = None
    """Where scenes are processed, with s2pipe[dask]: processes:N (of this machine), the address of a Dask scheduler
    (tcp://HOST:PORT), or the file that one was started with. num_workers is then the threads of one worker, which has
    one scene at a time for each thread that Dask gives it. Null processes scenes one by one in this process."""

    @property
    def grid_name(self) -> str:
        """What the target grid is called: statistics apply to pixels of the same grid only."""
        return self.target_grid.name or self.target_grid_ref or ""

    @property
    def channels(self) -> tuple[Channel, ...]:
        """Bands of ``x.tif`` in order."""
        return tuple(map(Channel.parse, self.l1c_bands or self.bands or ()))

    @property
    def view_bands(self) -> tuple[str, ...]:
        """Bands whose view angles are used."""
        own = dict.fromkeys(channel.band for channel in self.channels)
        return tuple(self.angles.view_bands or own)

    @property
    def nbar_bands(self) -> tuple[str, ...]:
        """Bands whose reflectance is brought to a view from nadir; none where that is off."""
        own = dict.fromkeys(channel.band for channel in self.channels if channel.band in BRDF_PARAMETERS)
        return tuple(own) if self.brdf.is_on else ()


MAX_BINS = 10_000_000
"""Limit of the number of bins; more of them point to a mistake in the width."""


def bin_count(hist_range: tuple[float, float], width: float) -> int | None:
    """Number of bins, or None when the range is not a whole number of bins.

    The decimal notation of the numbers decides, not their binary approximations: [-0.2, 2.0] / 1e-4 is 22000.
    """
    low, high, step = (Decimal(repr(float(value))) for value in (*hist_range, width))
    count = (high - low) / step
    if count != count.to_integral_value() or not 1 <= count <= MAX_BINS:
        return None
    return int(count)
