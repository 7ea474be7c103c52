"""What is known of an angle raster that was written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from s2pipe.raster.grid import Grid
from s2pipe.raster.tags import BandTags

if TYPE_CHECKING:
    from collections.abc import Sequence

ANGLE_TITLE = "Directions to the sun and to the satellite"
"""What an angle raster says that it holds."""


@dataclass(frozen=True)
class AngleRaster:
    """One raster file of angles."""

    name: str
    """File name in the scene's directory."""
    dtype: str
    """NumPy name of the pixel type."""
    band_names: tuple[str, ...]
    """Channel names."""
    nodata: float | None
    """Declared nodata value; None if missing angles are told by a mask channel."""
    grid: Grid
    """Where its pixels lie."""


def angle_tags(names: Sequence[str]) -> tuple[BandTags, ...]:
    """Say what the channels of an angle raster are measured in."""
    return tuple(BandTags("degree" if name.endswith("_deg") else "1") for name in names)
