"""Configuration of Step 3 (``patches``). The text under a field feeds ``--help``, the schema and the docs."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from s2pipe.config.fields import Rule
from s2pipe.dataset.scene_choice import SceneChoice, choice_faults
from s2pipe.distributed.address import scheduler_fault
from s2pipe.errors import Fault
from s2pipe.ground.split import SplitBy, SplitName

_FRACTION = Rule({"minimum": 0.0, "maximum": 1.0})
_AT_LEAST_ONE = Rule({"minimum": 1})
_NOT_NEGATIVE = Rule({"minimum": 0})
TargetKey = Literal["patch_id", "tile_id", "sensing_start_utc", "row", "col"]
"""Columns of the patch database that a table of targets may be joined by."""


@dataclass(frozen=True)
class QualityConfig:
    """Which patches are worth training on. Shares are of all pixels of a patch, padding included."""

    min_valid: Annotated[float, _FRACTION] = 0.5
    """Least share of valid pixels (all mask channels 1), 0 to 1."""
    max_ignore: Annotated[float, _FRACTION] = 1.0
    """Greatest share of pixels labelled ignore_index, 0 to 1; needs labels below 1."""
    max_cloud: Annotated[float, _FRACTION] = 1.0
    """Greatest cloudy share of the valid pixels, 0 to 1. Below 1, clouds must be known: from q.tif
    (preprocess.quality), from labels that tell clouds, or from cloud_labels."""
    max_shadow: Annotated[float, _FRACTION] = 1.0
    """Greatest share of the valid pixels in the shadow of clouds, 0 to 1; known as clouds are."""
    max_snow: Annotated[float, _FRACTION] = 1.0
    """Greatest share of the valid pixels under snow or ice, 0 to 1; known as clouds are."""
    max_water: Annotated[float, _FRACTION] = 1.0
    """Greatest share of the valid pixels that are water, 0 to 1; known as clouds are."""
    max_missing_angles: Annotated[float | None, _FRACTION] = 0.0
    """Greatest share of the valid pixels without all of their angles, 0 to 1; null sets no limit."""
    min_classes: Annotated[int, _NOT_NEGATIVE] = 0
    """Least number of different labels, ignore_index left out; needs labels above 0."""
    cloud_labels: tuple[int, ...] | None = None
    """Labels that mean cloud, instead of what q.tif and the labels themselves tell; null takes the latter."""
    cloud_probability: Annotated[int | None, Rule({"minimum": 1, "maximum": 100})] = None
    """Least cloud probability of q.tif, in percent, at which a pixel is cloud; null takes the cloud classes of the
    scene classification in q.tif."""

    def limit(self, condition: str) -> float:
        """Greatest share of the valid pixels with a condition: cloud, shadow, snow or water."""
        limits = {
            "cloud": self.max_cloud,
            "shadow": self.max_shadow,
            "snow": self.max_snow,
            "water": self.max_water,
        }
        return limits[condition]


@dataclass(frozen=True)
class SplitConfig:
    """Which ground trains, validates and tests. The three shares add up to 1."""

    train: Annotated[float, _FRACTION] = 0.8
    """Share of training, 0 to 1."""
    val: Annotated[float, _FRACTION] = 0.1
    """Share of validation, 0 to 1."""
    test: Annotated[float, _FRACTION] = 0.1
    """Share of testing, 0 to 1."""
    by: SplitBy = "cell"
    """What is drawn: ground cells, whole tiles, days (in order of time) together with cells, names listed in a
    file, or single patches (random: refused where patches may overlap)."""
    buffer_m: Annotated[float, _NOT_NEGATIVE] = 0.0
    """Least distance between patches of different splits in metres."""
    seed: Annotated[int, _NOT_NEGATIVE] = 0
    """Seed of the draw."""
    cell_m: Annotated[int, Rule({"minimum": 100, "maximum": 5_000_000})] = 20_000
    """Side of the ground cells in metres. Patches on the border of two splits are dropped: the larger the cells,
    the fewer they are, and the less mixed the splits."""
    file: Path | None = None
    """With by: file, a split that was planned before (split.json), or JSON or YAML with one of the keys cells or
    tiles, holding {name: train | val | test}."""
    same_ground: bool = False
    """With by: time, draw no cells: the same ground may then be in several splits, at different times."""


@dataclass(frozen=True)
class BalanceConfig:
    """Fewer patches where there are too many. What is left depends on names and the seed alone."""

    splits: tuple[SplitName, ...] = ("train",)
    """Splits that are balanced; validation and test usually keep their natural distribution."""
    class_weights: dict[int, float] | None = None
    """Label -> weight of its pixels (labels left out: 1): when patches are dropped, one with twice the mean weight
    is kept as readily as two; weight 0 drops it. Null treats all alike."""
    max_patches: Annotated[int | None, _AT_LEAST_ONE] = None
    """Most patches of a split; null sets no limit."""
    max_per_cell: Annotated[int | None, _AT_LEAST_ONE] = None
    """Most patches of one ground cell in a split; null sets no limit."""
    max_per_tile: Annotated[int | None, _AT_LEAST_ONE] = None
    """Most patches of one tile in a split; null sets no limit."""
    max_per_month: Annotated[int | None, _AT_LEAST_ONE] = None
    """Most patches of one calendar month (2025-07) in a split; null sets no limit."""


@dataclass(frozen=True)
class TargetsConfig:
    """Targets of whole patches, joined from a table: yields, counts, classes of scenes."""

    path: Path | None = None
    """Table as CSV, Parquet or GeoParquet; null joins none. Its values are in the JSON of items under target, and in
    the database as columns target_<name>."""
    join: Literal["key", "cell", "geometry"] = "key"
    """Rows and patches go together by equal keys, by the ground cell of the patch's centre (column cell_id), or by
    the row's place: the geometry of GeoParquet, else a point of two columns."""
    columns: tuple[str, ...] | None = None
    """Columns that hold the targets; null takes all numbers, texts and truth values that are no key or place."""
    keys: tuple[TargetKey, ...] | None = None
    """With join: key, columns that equal the patch's; null takes patch_id, or where the table has none, those of
    tile_id, sensing_start_utc, row and col that it has. Without sensing_start_utc a row holds for all dates."""
    lon: str = "lon"
    """With join: geometry and no GeoParquet, column of the longitude in degrees."""
    lat: str = "lat"
    """The same for the latitude."""
    match: Literal["intersects", "within", "centre"] = "intersects"
    """With join: geometry, rows belong to a patch whose footprint they meet, whose footprint they lie in, or whose
    centre they hold."""
    several: Literal["error", "first", "mean", "sum", "min", "max"] = "error"
    """What several rows of one patch become: an error, the first in the order of the file, or mean, sum, least or
    greatest of the values that there are, which must be numbers."""
    require: bool = False
    """Drop patches that lack a target, with the reason no_target; false keeps them with null."""


@dataclass(frozen=True)
class ShardConfig:
    """WebDataset shards."""

    max_count: Annotated[int, _AT_LEAST_ONE] = 1000
    """Most items of a shard; an item is one patch, or one time stack."""
    max_bytes: Annotated[int | None, Rule({"minimum": 1_000_000})] = None
    """Most bytes of a shard (at least one item all the same); null sets no limit."""
    dtype: Literal["float32", "float16"] = "float32"
    """Type of x.npy. Angles are float32 always: half precision would cost up to 0.125 degrees."""
    keep_nan: bool = False
    """Keep NaN in angles.npy and y.npy where angles and quantities are missing; false stores 0 there.
    angles_valid.npy and y_valid.npy say where, in both."""
    equal_counts: bool = False
    """Give every shard of a split the same number of items, dropping the few that are left over: ranks of
    distributed training then see equally many."""
    multiple_of: Annotated[int, _AT_LEAST_ONE] = 1
    """Make the number of shards of a split a multiple of this (ranks times loading workers)."""


@dataclass(frozen=True)
class PatchConfig:
    """Step 3: cut patches out of the samples of Step 2, split them by ground, and pack them into shards."""

    index_json: Path
    """Step-2 index (meta/step2/index.json); with --plan the Step-1 manifest will do."""
    out_dir: Path
    """Directory for shards, patch database and summary."""
    patch_size: Annotated[int, Rule({"minimum": 1, "maximum": 16384})] = 256
    """Side of a patch in pixels."""
    stride: Annotated[int | None, _AT_LEAST_ONE] = None
    """Distance between patches in pixels; less than patch_size makes them overlap, null means patch_size."""
    edges: Literal["drop", "pad"] = "drop"
    """Windows that reach over an edge of the raster are left out, or filled up with invalid pixels."""
    lattice: Literal["area", "tile"] = "area"
    """Where windows start in samples that preprocess.aoi cut out: at their own corner, or at multiples of the stride
    from the corner of the tile, so that the same ground gives the same patch whatever the area. Rows and columns are
    counted from the corner of the tile either way."""
    quality: QualityConfig = field(default_factory=QualityConfig)
    """Which patches are kept."""
    split: SplitConfig = field(default_factory=SplitConfig)
    """Training, validation, test."""
    balance: BalanceConfig = field(default_factory=BalanceConfig)
    """Limits and weights."""
    targets: TargetsConfig = field(default_factory=TargetsConfig)
    """Targets of whole patches."""
    shards: ShardConfig = field(default_factory=ShardConfig)
    """How patches are packed."""
    dedupe: bool = False
    """Of patches that different tiles cut from the same ground at the same time, keep one."""
    group: Literal["none", "time_stack", "cell"] = "none"
    """time_stack: one item of a shard holds all dates of one window of a tile's grid, (T, C, H, W). cell is its
    former name, taken until the next release."""
    max_t: Annotated[int | None, _AT_LEAST_ONE] = None
    """With group: time_stack, the length of the time axis: shorter series are padded, longer ones keep dates spread
    evenly. Null keeps all dates: such stacks differ in length, so that loaders cannot make batches of them."""
    seed: Annotated[int, _NOT_NEGATIVE] = 0
    """Seed of the shuffle and of balancing."""
    num_workers: Annotated[int, _NOT_NEGATIVE] = 0
    """Threads that read and write; 0 means all cores. Results do not depend on it."""
    max_scenes: Annotated[int | None, _AT_LEAST_ONE] = None
    """Use only the first samples of the index (ordered by tile and time); null takes all."""
    overwrite: bool = False
    """Write everything anew, the split as well."""
    only: SceneChoice = field(default_factory=SceneChoice)
    """Samples that patches are cut from. The exception is only.shard: it is this job's share of the shards that are
    written, whose patches are those of all scenes; a last run without it publishes what all jobs have written."""
    scheduler: str | None = None
    """Where shards are written, with s2pipe[dask]: processes:N (of this machine), the address of a Dask scheduler
    (tcp://HOST:PORT), or the file that one was started with. num_workers is then the threads of one worker. Null writes
    shards in this process."""

    def __post_init__(self) -> None:
        if self.group == "cell":  # its former name; cells are the ground cells that splits are made of
            warnings.warn("patches.group: cell is now called time_stack", FutureWarning, stacklevel=2)
            object.__setattr__(self, "group", "time_stack")

    @property
    def step_px(self) -> int:
        """Distance between patches in pixels."""
        return self.stride or self.patch_size

    @property
    def named_files(self) -> tuple[tuple[str, Path], ...]:
        """Keys that name files to read, and these files."""
        files = (
            ("index_json", self.index_json),
            ("targets.path", self.targets.path),
            ("split.file", self.split.file),
        )
        return tuple((f"patches.{key}", path) for key, path in files if path is not None)


def rule_faults(config: PatchConfig) -> list[Fault]:
    """Return the faults of a configuration that its JSON Schema cannot express.

    Parameters
    ----------
    config : PatchConfig
        A configuration whose types and choices are already right.

    Returns
    -------
    list of Fault
        Paths are relative to the configuration (``split.train``).
    """
    faults = [*_split_faults(config), *_target_faults(config.targets), *choice_faults(config.only)]
    if (fault := scheduler_fault(config.scheduler)) is not None:
        faults.append(Fault("scheduler", fault))
    if config.max_t is not None and config.group == "none":
        faults.append(Fault("max_t", "has no effect without group: time_stack; leave it out, or set group"))
    if any(weight < 0 for weight in (config.balance.class_weights or {}).values()):
        faults.append(Fault("balance.class_weights", "expected weights >= 0"))
    return faults


def _target_faults(targets: TargetsConfig) -> list[Fault]:
    plain = TargetsConfig()
    if targets.path is None:
        names = [name for name, value in vars(targets).items() if value != getattr(plain, name)]
        return [Fault(f"targets.{name}", "has no effect without targets.path") for name in names]
    needs = {"keys": "key", "lon": "geometry", "lat": "geometry", "match": "geometry"}
    faults = [
        Fault(f"targets.{name}", f"has no effect unless join is {join}")
        for name, join in needs.items()
        if getattr(targets, name) != getattr(plain, name) and targets.join != join
    ]
    for name in ("keys", "columns"):
        given = getattr(targets, name)
        if given is not None and (not given or len({*given}) < len(given)):
            faults.append(
                Fault(f"targets.{name}", f"expected different columns, one at least, got {[*given]}")
            )
    if targets.keys is not None and "sensing_start_utc" in targets.keys and "tile_id" not in targets.keys:
        faults.append(Fault("targets.keys", "expected tile_id beside sensing_start_utc"))
    return faults


def _split_faults(config: PatchConfig) -> list[Fault]:
    split, faults = config.split, []
    total = split.train + split.val + split.test
    if abs(total - 1.0) > 1e-9:
        faults.append(Fault("split", f"expected train + val + test = 1, got {total:g}"))
    if (split.file is not None) != (split.by == "file"):
        message = "is needed with by: file" if split.file is None else "has no effect unless by is file"
        faults.append(Fault("split.file", message))
    if split.same_ground and split.by != "time":
        faults.append(
            Fault("split.same_ground", f"is only for by: time, got by: {split.by}; the others divide ground")
        )
    if split.by == "random" and config.step_px < config.patch_size:
        faults.append(
            Fault(
                "split.by",
                f"a random split of overlapping patches (stride {config.step_px} < patch_size {config.patch_size}) "
                "would put the same ground into training and test; use by: cell, or stride >= patch_size",
            )
        )
    if split.by == "random" and split.buffer_m > 0:
        faults.append(
            Fault("split.buffer_m", "a random split cannot keep patches apart; use by: cell, or buffer_m: 0")
        )
    return faults
