"""A made-up land cover of the ground that products show: what a map of classes knows, clouds or not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from s2pipe.raster.grid import Grid, Window
from s2pipe.raster.transform import crs_wkt
from s2pipe.raster.writer import TiffSpec, TiffStorage, TiffWriter
from s2pipe.runtime.files import atomic_path
from s2pipe.synthetic.imagery.strips import STRIP_ROWS, scene_of

if TYPE_CHECKING:
    from pathlib import Path

    from s2pipe.synthetic.spec import ProductSpec

COVER_CLASSES = {10: "tree cover", 30: "grassland", 40: "cropland", 50: "built-up", 60: "bare", 80: "water"}
"""Classes, with the codes that ESA WorldCover gives them."""
COVER_COLORS = {10: "#006400", 30: "#ffff4c", 40: "#f096ff", 50: "#fa0000", 60: "#b4b4b4", 80: "#0064c8"}
"""Colours that they are drawn in."""
_CODES = np.array([80, 10, 10, 40, 30, 40, 40, 50, 30, 60], np.uint8)
"""Class by material of the landscape."""
_RESOLUTION_M = 10


def write_land_cover(path: Path, spec: ProductSpec) -> None:
    """Write the land cover of a specification's ground as GeoTIFF with pixels of 10 m.

    Parameters
    ----------
    path : Path
        File to write.
    spec : ProductSpec
        Seed, place and size; day and clouds have no influence.
    """
    scene = scene_of(spec)
    epsg, left, top = spec.origin
    side = scene.pixels(_RESOLUTION_M)
    transform = (float(left), float(_RESOLUTION_M), 0.0, float(top), 0.0, -float(_RESOLUTION_M))
    grid = Grid(crs_wkt(epsg), transform, (side, side))
    layout = TiffSpec(grid, ("land_cover",), "uint8", nodata=0, storage=TiffStorage(tile_px=STRIP_ROWS))
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary, TiffWriter(temporary, layout) as writer:
        for strip in scene.strips(_RESOLUTION_M):
            window = Window(strip.row, 0, *strip.shape_yx)
            writer.write(window, _CODES[strip.ground.material][np.newaxis])
