"""What a scene's rasters are made from, as the plan hands it to the modules that read pixels and angles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from s2pipe.dataset.assets import Asset
from s2pipe.raster.grid import Grid, RasterInfo
from s2pipe.sentinel2.channels import Channel


@dataclass(frozen=True)
class SceneFile:
    """A file of a scene that is read when the scene is processed."""

    asset: Asset
    """Its record in the manifest."""
    root: Path
    """Root of the dataset."""
    allow_absolute: bool
    """Whether the path may be absolute."""

    @property
    def label(self) -> str:
        """What messages call it."""
        return self.asset.display(self.root)

    @property
    def is_gml(self) -> bool:
        """True for vector masks, which baselines before 04.00 have."""
        return (self.asset.member or self.asset.path).lower().endswith(".gml")

    @property
    def gdal_path(self) -> str:
        """Path as GDAL opens it."""
        return self.asset.gdal_path(self.root, allow_absolute=self.allow_absolute)

    def read(self) -> bytes:
        """Read it whole, plain or from its archive."""
        return self.asset.read_bytes(self.root, allow_absolute=self.allow_absolute)


@dataclass(frozen=True)
class AngleInput:
    """What the angles of one scene are made from."""

    metadata: SceneFile
    """Tile metadata of the L1C product."""
    footprints: Mapping[str, SceneFile]
    """Detector footprint masks by band, for the bands whose masks the scene has."""


@dataclass(frozen=True)
class BandInput:
    """One band of a scene: its raster, and how it is brought onto the target grid."""

    channel: Channel
    """Level, band and pixel size."""
    raster: RasterInfo
    """The file."""
    method: str | None
    """Resampling method; None when the raster is on the target grid already."""


@dataclass(frozen=True)
class BandStack:
    """The bands of a scene and the grid that they are brought onto."""

    target: Grid
    """Target grid."""
    bands: tuple[BandInput, ...]
    """Bands in the configured order."""
