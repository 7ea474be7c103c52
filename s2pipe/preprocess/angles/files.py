"""What is known of an angle raster that was written."""

from __future__ import annotations

from dataclasses import dataclass

from s2pipe.raster.grid import Grid


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
