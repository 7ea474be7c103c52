"""Configuration of a target grid of one's own. The text under a field feeds ``--help``, the schema and the docs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from s2pipe.config.fields import Rule
from s2pipe.errors import Fault


@dataclass(frozen=True)
class TargetGridConfig:
    """A grid of your own that all scenes are brought onto, whatever their tiles and UTM zones."""

    crs: str | None = None
    """Reference system of the grid, such as EPSG:32633 or EPSG:3035; null means that target_grid_ref names a raster of
    each scene instead."""
    resolution: Annotated[float | None, Rule({"exclusiveMinimum": 0.0})] = None
    """Side of a pixel in the unit of crs: metres, or degrees."""
    bounds: tuple[float, float, float, float] | None = None
    """Left, bottom, right, top in crs, x before y whatever order it defines."""
    aoi: Annotated[tuple[float, float, float, float] | str | None, Rule({"examples": ["area.geojson"]})] = (
        None
    )
    """Area that the grid covers, in place of bounds: what preprocess.aoi takes, in the reference system that it states,
    else in longitude and latitude. Null, without bounds, means preprocess.aoi."""
    snap: bool = True
    """Put sides of pixels on multiples of the resolution, as gdalwarp -tap does: bounds grow to whole pixels, and in
    the UTM zone of a tile the pixels are those of its bands. false begins at left and top, and has as many pixels as
    gdalwarp -te -tr."""

    @property
    def is_on(self) -> bool:
        """Whether there is a grid of its own."""
        return self.crs is not None

    @property
    def name(self) -> str | None:
        """What pixels of the grid are recognised by: reference system and resolution; None without a grid."""
        if self.crs is None:
            return None
        origin = "" if self.snap or self.bounds is None else f" from {self.bounds[0]!r}, {self.bounds[3]!r}"
        return f"{self.crs.strip()} at {self.resolution!r}{origin}"


def grid_faults(own: TargetGridConfig, reference: str | None, *, has_area: bool) -> list[Fault]:
    """Return the faults of a target grid that the JSON Schema cannot express.

    Parameters
    ----------
    own : TargetGridConfig
        Grid of the user's own, or what stands for none.
    reference : str or None
        Raster that defines the target grid in its place.
    has_area : bool
        Whether there is an area of interest.
    """
    if not own.is_on:
        if reference is None:
            return [Fault("target_grid_ref", "expected either target_grid_ref or target_grid, got neither")]
        plain = TargetGridConfig()
        message = "has no effect without target_grid.crs, the reference system of the grid"
        return [
            Fault(f"target_grid.{name}", message)
            for name, value in vars(own).items()
            if value != getattr(plain, name)
        ]
    faults = []
    if reference is not None:
        faults.append(Fault("target_grid_ref", "expected either target_grid_ref or target_grid, got both"))
    if own.resolution is None:
        faults.append(Fault("target_grid.resolution", "is needed: the side of a pixel in the unit of crs"))
    if own.bounds is not None and own.aoi is not None:
        faults.append(Fault("target_grid.bounds", "expected either bounds or aoi, got both"))
    if own.bounds is None and own.aoi is None and not has_area:
        message = "is needed: bounds, an area in target_grid.aoi, or preprocess.aoi"
        faults.append(Fault("target_grid.bounds", message))
    if own.bounds is not None and not (own.bounds[0] < own.bounds[2] and own.bounds[1] < own.bounds[3]):
        shown = ", ".join(f"{value:g}" for value in own.bounds)
        faults.append(Fault("target_grid.bounds", f"expected left < right and bottom < top, got {shown}"))
    return faults
