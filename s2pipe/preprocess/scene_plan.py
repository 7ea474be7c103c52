"""The plan of a scene, or of a mosaic of scenes: everything that is needed to process it."""

from __future__ import annotations

import pickle
import zlib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from s2pipe.dataset.input_file import InputFile, InputState
from s2pipe.dataset.step1_index import Scene
from s2pipe.ground.area_mask import AreaMask
from s2pipe.ground.mask import GroundMask, PixelMasks
from s2pipe.ground.split import SplitPlan
from s2pipe.preprocess.inputs import AngleInput, BandStack, QualityInput
from s2pipe.preprocess.labels.backends import LabelInput
from s2pipe.preprocess.pixels.radiometry import SceneRadiometry
from s2pipe.preprocess.placement import RasterInTile

if TYPE_CHECKING:
    from s2pipe.dataset.scene_key import SceneKey
    from s2pipe.raster.grid import Grid


@dataclass(frozen=True)
class ScenePlan:
    """Everything that is needed to process one scene."""

    root: Path
    """Root of the Step-1 dataset."""
    scene: Scene
    """The scene's record in the manifest, without its list of files."""
    stack: BandStack
    """Bands in the configured order, and the grid of all outputs."""
    radiometry: SceneRadiometry
    """How DN become values, by band."""
    labels: tuple[LabelInput, ...]
    """Source of each band of the labels; none without labels."""
    angles: AngleInput | None
    """Source of the angles; None without angles."""
    nbar: AngleInput | None
    """Source of the directions that reflectance is adjusted by; None where it is not."""
    quality: QualityInput | None
    """Source of ``q.tif``; None where it is not made."""
    files: tuple[InputFile, ...]
    """Every file that is read, those that only prove where the others lie among them."""
    in_tile: tuple[RasterInTile, ...]
    """Rasters of which the metadata of their tile say where they lie."""
    inputs: tuple[InputState, ...]
    """Files that the outputs depend on, sorted by role."""
    mask: AreaMask | None = None
    """Pixels outside the area of interest are dropped; None keeps all."""
    split: SplitPlan | None = None
    """Statistics count its training ground only; None counts all ground."""
    sources: tuple[ScenePlan, ...] = ()
    """Of a mosaic, the plans of its scenes, of which this is the first with the files of all; else none."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel small: paths, projections and names of roles repeat themselves."""
        values = [getattr(self, field.name) for field in fields(self)]
        return _unpacked, (zlib.compress(pickle.dumps(values, pickle.HIGHEST_PROTOCOL)),)

    @property
    def key(self) -> SceneKey:
        """The scene's key."""
        return self.scene.key

    @property
    def each(self) -> tuple[ScenePlan, ...]:
        """The plans that pixels are read by: those of the sources of a mosaic, or this one."""
        return self.sources or (self,)

    @property
    def target(self) -> Grid:
        """Grid of all outputs."""
        return self.stack.target.grid

    @property
    def counted(self) -> PixelMasks:
        """What drops the pixels that statistics do not count: those outside the area, and on other ground."""
        ground = None if self.split is None else GroundMask(self.split, self.key, self.target)
        return PixelMasks(tuple(mask for mask in (self.mask, ground) if mask is not None))

    @property
    def directory(self) -> Path:
        """Directory of the scene's outputs, relative to the output directory."""
        return self.key.sample_dir


def _unpacked(packed: bytes) -> ScenePlan:
    """Make a plan from what pickle hands over, which is as safe as what it came in."""
    return ScenePlan(*pickle.loads(zlib.decompress(packed)))  # noqa: S301 - see above
