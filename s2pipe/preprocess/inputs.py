"""What a scene's rasters are made from, as the plan hands it to the modules that read pixels and angles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from s2pipe.dataset.input_file import InputFile
from s2pipe.raster.grid import RasterInfo, TargetGrid
from s2pipe.raster.vrt import WarpSpec
from s2pipe.sentinel2.channels import Channel


@dataclass(frozen=True)
class AngleInput:
    """What the angles of one scene are made from."""

    metadata: InputFile
    """Tile metadata of the L1C product, or of the L2A product where there is none."""
    footprints: Mapping[str, InputFile]
    """Detector footprint masks by band, of either product, for the bands whose masks the scene has."""


@dataclass(frozen=True)
class QualityInput:
    """What ``q.tif`` of one scene is made from."""

    classes: RasterInfo
    """Scene classification."""
    cloud_probability: RasterInfo | None
    """Cloud probability; None where the products have none."""

    @property
    def rasters(self) -> tuple[RasterInfo, ...]:
        """All that is read."""
        known = (self.classes, self.cloud_probability)
        return tuple(raster for raster in known if raster is not None)


@dataclass(frozen=True)
class BandInput:
    """One band of a scene: its raster, and how it is brought onto the target grid."""

    channel: Channel
    """Level, band and pixel size."""
    raster: RasterInfo
    """The file."""
    method: str | None
    """Resampling method; None when the raster is on the target grid already."""
    is_exact: bool = False
    """The place of every target pixel is computed, and none interpolated between others, as grids of other reference
    systems need for pixels that do not depend on how GDAL cuts its work."""

    scale_xy: tuple[float, float] | None = None
    """Target pixels along a source pixel, where that is not left to GDAL."""

    @property
    def warp(self) -> WarpSpec:
        """How GDAL's warper makes its pixels."""
        spec = WarpSpec(self.method or "nearest", scale_xy=self.scale_xy)
        return replace(spec, max_error=0.0) if self.is_exact else spec


@dataclass(frozen=True)
class BandStack:
    """The bands of a scene and the grid that they are brought onto."""

    target: TargetGrid
    """Target grid: the grid that bands are declared on, and the part of it that is written."""
    bands: tuple[BandInput, ...]
    """Bands in the configured order."""
