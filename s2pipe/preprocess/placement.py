"""Where the rasters of a scene lie: that they lie anywhere, and where the metadata of their tile put them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from s2pipe.dataset.input_file import InputFile
from s2pipe.errors import RasterError
from s2pipe.preprocess.verify_inputs import read_checked
from s2pipe.raster.grid import Grid, RasterInfo
from s2pipe.raster.transform import crs_wkt, same_crs
from s2pipe.sentinel2.bands import BAND_NAMES, BY_NAME
from s2pipe.sentinel2.roles import l1c_band
from s2pipe.sentinel2.safe import TileMetadata, read_tile_metadata

if TYPE_CHECKING:
    from collections.abc import Iterable

_RESOLUTIONS = {l1c_band(band): BY_NAME[band].resolution_m for band in BAND_NAMES}
_IN_ROLE = re.compile(r"_(\d+)m", re.ASCII)
_TOLERANCE_M = 1e-6
"""For geotransforms that went through text with a few digits."""


@dataclass(frozen=True)
class RasterInTile:
    """A raster of a tile, and the metadata that say where it lies."""

    raster: RasterInfo
    """The raster."""
    resolution_m: int
    """Its pixel size in metres."""
    tile: InputFile
    """Tile metadata of its product."""


def resolution_of(role: str) -> int | None:
    """Return the pixel size in metres of a raster of the whole tile; None for other roles."""
    if role in _RESOLUTIONS:
        return _RESOLUTIONS[role]
    named = _IN_ROLE.search(role) if role.startswith("l2a.") else None
    return None if named is None else int(named[1])


def check_on_ground(raster: RasterInfo) -> None:
    """Check that a raster can be placed on the ground.

    Raises
    ------
    RasterError
        It has no reference system or geotransform, or is not north-up.
    """
    if not raster.grid.crs_wkt:
        msg = (
            f"{raster.path}: the raster has no coordinate reference system or geotransform; expected a georeferenced "
            "Sentinel-2 raster, fetch the file again"
        )
        raise RasterError(msg)
    if not raster.grid.is_north_up:
        msg = (
            f"{raster.path}: the raster is rotated or flipped (geotransform {raster.grid.geotransform}); expected a "
            "north-up raster"
        )
        raise RasterError(msg)


def check_places(rasters: Iterable[RasterInTile], *, by_checksum: bool) -> None:
    """Check that rasters lie where the metadata of their tiles say.

    Raises
    ------
    RasterError
        One does not.
    MetadataError, ChecksumError, MissingInputError
        The metadata cannot be used, are not as the index says, or cannot be read.
    """
    tiles: dict[InputFile, TileMetadata] = {}
    for item in rasters:
        if item.tile not in tiles:
            data = read_checked(item.tile, by_checksum=by_checksum)
            tiles[item.tile] = read_tile_metadata(data, item.tile.label)
        check_in_tile(item.raster, item.resolution_m, tiles[item.tile])


def check_in_tile(raster: RasterInfo, resolution_m: int, tile: TileMetadata) -> None:
    """Check that a raster has the size and the place that the metadata of its tile state.

    Raises
    ------
    RasterError
        It has not.
    """
    expected = tile.sizes_yx[resolution_m], tile.geotransform(resolution_m)
    differences = []
    if raster.grid.shape_yx != expected[0]:
        differences.append(f"expected {_size(expected[0])} pixels, got {_size(raster.grid.shape_yx)}")
    if not _is_close(raster.grid, expected[1]):
        differences.append(f"expected the geotransform {expected[1]}, got {raster.grid.geotransform}")
    if not same_crs(raster.grid.crs_wkt, crs_wkt(tile.epsg)):
        name = raster.grid.crs_wkt.split('"')[1:2]
        differences.append(f"expected EPSG:{tile.epsg}, got {name[0] if name else 'another CRS'}")
    if differences:
        msg = (
            f"{raster.path}: does not lie where {tile.source} says: {'; '.join(differences)}; they are not of one "
            "product, or one is damaged: fetch the product again"
        )
        raise RasterError(msg)


def _size(shape_yx: tuple[int, int]) -> str:
    return f"{shape_yx[0]} x {shape_yx[1]}"


def _is_close(grid: Grid, geotransform: tuple[float, ...]) -> bool:
    return all(
        abs(one - other) <= _TOLERANCE_M for one, other in zip(grid.geotransform, geotransform, strict=True)
    )
