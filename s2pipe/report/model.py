"""What a report knows of a dataset, step by step; what could not be read is a problem, never an error."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from s2pipe.dataset.label_meaning import LabelMeaning
from s2pipe.dataset.scene_key import SceneKey

Ring = list[tuple[float, float]]
"""A closed line of longitudes and latitudes in degrees."""


@dataclass(frozen=True)
class Problem:
    """Something that is missing, damaged, or failed."""

    kind: str
    """``missing``, ``damaged``, ``failed``, ``failed before`` (and done since) or ``passed over``."""
    path: Path | None
    """File that it concerns; None where it is none."""
    what: str
    """Scene, product or document."""
    reason: str
    """Why."""
    time_utc: str = ""
    """When it was recorded; empty where that is unknown."""


@dataclass(frozen=True)
class Run:
    """One run of a step."""

    step: str
    """``download`` or ``preprocess``."""
    run_id: str
    """Name of the run."""
    path: Path
    """Its log or manifest."""
    time_utc: str
    """When it ended, as far as that is recorded."""
    status: str
    """In words."""
    scenes: dict[str, int]
    """Number of scenes by their status."""
    seconds: float | None = None
    """Time spent on scenes."""


@dataclass(frozen=True)
class SourceScene:
    """A scene of a Step-1 index."""

    root: Path
    """Root of the dataset."""
    key: SceneKey
    """Tile and sensing start."""
    products: tuple[str, ...]
    """Names of its products."""
    cloud_cover: float | None
    """Percent, as the product states it."""
    footprint: list[Ring]
    """Outer rings of the footprint."""
    files_present: int
    """Files on disk when the index was written."""
    files_planned: int
    """Files that were not."""


@dataclass(frozen=True)
class Target:
    """The labels of one band of ``y.tif`` in one sample."""

    name: str
    """Name of the band; empty where there is only one."""
    meaning: LabelMeaning
    """Names and colours of classes."""
    counts: dict[str, int]
    """Pixels by class; none of quantities."""
    ignored: int
    """Pixels without a label."""


@dataclass(frozen=True)
class SampleFacts:
    """A sample of Step 2, as its ``meta.json`` describes it."""

    root: Path
    """Output directory of Step 2."""
    key: SceneKey
    """Tile and sensing start."""
    scenes: tuple[SceneKey, ...]
    """Keys of the scenes that it is made of: its own, and those of a mosaic."""
    meta_path: Path
    """Its ``meta.json``."""
    rasters: dict[str, Path]
    """Rasters that are on disk, by kind."""
    bands: dict[str, tuple[str, ...]]
    """Names of the bands of each kind of raster."""
    outline: Ring
    """Its grid in longitude and latitude; empty where that is unknown."""
    unit: str
    """Unit of the bands before normalization."""
    normalization: dict[str, Any]
    """How they were normalized, as ``meta.json`` has it."""
    valid: dict[str, float]
    """Valid share by mask channel."""
    targets: tuple[Target, ...]
    """Its labels."""
    quality: LabelMeaning | None
    """What the classes of ``q.tif`` mean."""
    config: dict[str, Any]
    """Effective configuration."""
    versions: dict[str, str]
    """Versions of what made it."""
    attribution: str
    """Whom to name."""
    created_utc: str
    """When it was written."""
    nbytes: int
    """Size of its files."""

    @property
    def is_normalized(self) -> bool:
        """Whether its bands are in standard deviations."""
        return self.normalization.get("mode") == "apply_with_stats"


@dataclass(frozen=True)
class BandHistogram:
    """Values of one band before and after normalization."""

    name: str
    """The band."""
    edges: Any
    """Edges of the bins, ndarray."""
    counts: Any
    """Pixels of the bins, ndarray."""
    low: float | None
    """Lower clip value."""
    high: float | None
    """Upper clip value."""
    mean: float | None
    """Mean after clipping."""
    std: float | None
    """Standard deviation after clipping."""
    beyond: tuple[int, int] = (0, 0)
    """Pixels below and above the range."""


@dataclass(frozen=True)
class Statistics:
    """One ``stats.json`` with its histogram."""

    path: Path
    """The file."""
    document: dict[str, Any]
    """Its content."""
    bands: tuple[BandHistogram, ...]
    """Histograms by band; none where none was saved."""


@dataclass
class PatchSet:
    """What Step 3 wrote into one directory."""

    directory: Path
    """The directory."""
    shards: dict[str, Any] = field(default_factory=dict)
    """``shards.json``; empty without one."""
    summary: dict[str, Any] = field(default_factory=dict)
    """``summary.json``; empty without one."""
    split: dict[str, Any] = field(default_factory=dict)
    """``split.json``; empty without one."""
    outlines: dict[str, list[Ring]] = field(default_factory=dict)
    """Patches to draw, by split, or by ``dropped``."""
    is_every_patch_drawn: bool = True
    """False: there are more than are drawn."""
    valid_by_split: dict[str, float] = field(default_factory=dict)
    """Mean valid share of the kept patches."""
    reasons: dict[str, dict[str, int]] = field(default_factory=dict)
    """Patches by scene and reason (``kept`` for those that stay)."""


@dataclass
class Contents:
    """All that was found below a directory."""

    root: Path
    """The directory."""
    sources: list[SourceScene] = field(default_factory=list)
    """Scenes of Step 1."""
    samples: list[SampleFacts] = field(default_factory=list)
    """Samples of Step 2."""
    statistics: list[Statistics] = field(default_factory=list)
    """Statistics of pass 1."""
    patches: list[PatchSet] = field(default_factory=list)
    """Sets of patches of Step 3."""
    runs: list[Run] = field(default_factory=list)
    """Runs that left a record."""
    problems: list[Problem] = field(default_factory=list)
    """What is missing, damaged or failed."""
    configs: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    """Configurations of downloads, with what they are of."""
    steps: set[int] = field(default_factory=set)
    """Steps of which something is there."""

    @property
    def keys(self) -> list[SceneKey]:
        """Keys of all scenes and samples."""
        return [
            *(key for sample in self.samples for key in sample.scenes),
            *(scene.key for scene in self.sources),
        ]

    @property
    def done(self) -> set[tuple[str, str]]:
        """Identities of the scenes that samples were made of."""
        return {key.identity for sample in self.samples for key in sample.scenes}
