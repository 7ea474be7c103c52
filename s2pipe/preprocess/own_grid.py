"""A target grid of the user's own: its pixels, and which tiles have some of them."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from s2pipe.errors import ConfigError, Fault
from s2pipe.ground.scanlines import ring_spans
from s2pipe.raster.grid import Grid, RasterInfo
from s2pipe.raster.transform import crs_wkt, same_crs, transform_points, wkt_of

if TYPE_CHECKING:
    from s2pipe.ground.area import Area
    from s2pipe.preprocess.cfg import PreprocessConfig

_KEY = "preprocess"
_MAX_SIDE_PX = 200_000
"""Most rows or columns: more of them point to a mistake in the resolution."""
_SNAP_PX = 1e-6
"""Sides this close to those of pixels lie on them."""
_PIECES = 100
"""Pieces of each side of a tile that are straight in another reference system."""
_CLOSE_M = 1.0
"""Places that come back this far off have no place in the other reference system."""
_SAME_SIZE = 1.1
"""Source pixels in a target pixel that count as one: those of neighbouring zones differ a little in size."""


def own_grid(config: PreprocessConfig, area: Area | None) -> Grid | None:
    """Return the grid that the configuration defines for all scenes; None where each scene has that of a raster.

    Parameters
    ----------
    config : PreprocessConfig
        A checked configuration.
    area : Area or None
        Area of interest, which the grid covers where nothing else is stated.

    Raises
    ------
    ConfigError
        There is no such reference system, the area has no place in it, or the grid has too many pixels.
    """
    from s2pipe.ground.area_files import crs_of

    own = config.target_grid
    if own.crs is None or own.resolution is None:
        return None
    try:
        system = crs_of(own.crs)
    except ValueError as error:
        raise ConfigError(_KEY, [Fault("target_grid.crs", str(error))]) from None
    units = [axis.unit_conversion_factor for axis in system.axis_info]
    if len(units) != 2:
        message = f"{system.name} has heights; expected a reference system of two axes"
        raise ConfigError(_KEY, [Fault("target_grid.crs", message)])
    if (
        config.aoi is not None
        and config.aoi_margin_m > 0
        and not (system.is_projected and set(units) == {1.0})
    ):
        message = f"expected 0 with a target grid in {own.crs}, whose unit is not the metre"
        raise ConfigError(_KEY, [Fault("aoi_margin_m", message)])
    code = system.to_epsg(min_confidence=100)
    wkt = (
        wkt_of(system.to_wkt()) if code is None else crs_wkt(code)
    )  # spelled as in products where it is theirs
    bounds = own.bounds or _area_bounds(config, area, wkt)
    left, bottom, right, top = (side / own.resolution for side in bounds)
    width, height = right - left, top - bottom
    if not (width <= _MAX_SIDE_PX and height <= _MAX_SIDE_PX):
        message = (
            f"{width:g} x {height:g} pixels of {own.resolution:g} are more than {_MAX_SIDE_PX} along a side; "
            "resolution and bounds are in the unit of crs, metres or degrees"
        )
        raise ConfigError(_KEY, [Fault("target_grid.resolution", message)])
    return _cover(wkt, own.resolution, bounds, snap=own.snap, is_area=own.bounds is None)


def _area_bounds(config: PreprocessConfig, area: Area | None, wkt: str) -> tuple[float, float, float, float]:
    """Bounds of the area that the grid covers."""
    from s2pipe.ground.area import Area

    given = config.target_grid.aoi
    try:
        if given is not None:
            area = Area.read(given if isinstance(given, str) else ",".join(map(repr, given)))
        assert area is not None  # one of them is there, or the configuration has a fault
        return area.bounds_in(wkt)
    except ValueError as error:
        raise ConfigError(_KEY, [Fault("aoi" if given is None else "target_grid.aoi", str(error))]) from None


def _cover(
    wkt: str, step: float, bounds: tuple[float, float, float, float], *, snap: bool, is_area: bool
) -> Grid:
    """The grid of pixels of a size over bounds: as ``gdalwarp -tap``, or from the upper left corner."""
    left, bottom, right, top = bounds
    if snap:
        first, last = math.floor(left / step + _SNAP_PX), math.ceil(right / step - _SNAP_PX)
        upper, lower = math.ceil(top / step - _SNAP_PX), math.floor(bottom / step + _SNAP_PX)
        left, top, width, height = first * step, upper * step, last - first, upper - lower
    elif is_area:  # all of it
        width, height = (
            math.ceil((right - left) / step - _SNAP_PX),
            math.ceil((top - bottom) / step - _SNAP_PX),
        )
    else:  # as gdalwarp -te -tr
        width, height = int((right - left) / step + 0.5), int((top - bottom) / step + 0.5)
    return Grid(wkt, (left, step, 0.0, top, 0.0, -step), (max(height, 1), max(width, 1)))


def holds_pixel_of(tile: Grid, target: Grid) -> bool:
    """Tell whether the centre of a pixel of the target grid lies on a tile.

    Parameters
    ----------
    tile : Grid
        Grid of a raster of the whole tile.
    target : Grid
        Target grid, in any reference system.
    """
    ring = _outline(tile)
    if not same_crs(tile.crs_wkt, target.crs_wkt):
        placed = transform_points(tile.crs_wkt, target.crs_wkt, ring)
        if not np.isfinite(placed).all():
            return False
        back = transform_points(target.crs_wkt, tile.crs_wkt, placed)
        if not (np.abs(back - ring) < _CLOSE_M).all():
            return False
        ring = placed
    x0, dx, _, y0, _, dy = target.geotransform
    for turn in (0.0, -360.0, 360.0) if _is_geographic(target) else (0.0,):
        columns, rows = _unwrapped(ring[:, 0], target) + turn, ring[:, 1]
        pixels = np.stack(((columns - x0) / dx, (rows - y0) / dy), axis=-1)
        if len(ring_spans([pixels], target.shape_yx)):
            return True
    return False


def _outline(grid: Grid) -> np.ndarray:
    """Corners of a grid and points between them, as a closed ring (point, 2)."""
    left, bottom, right, top = grid.bounds
    corners = np.array([(left, top), (right, top), (right, bottom), (left, bottom), (left, top)])
    share = np.arange(_PIECES)[:, np.newaxis] / _PIECES
    sides = [start + (end - start) * share for start, end in itertools.pairwise(corners)]
    return np.concatenate([*sides, corners[:1]])


def _is_geographic(grid: Grid) -> bool:
    return grid.crs_wkt.startswith("GEOG")


def _unwrapped(longitudes: np.ndarray, target: Grid) -> np.ndarray:
    """Longitudes without jumps at the antimeridian; other coordinates as they are."""
    if not _is_geographic(target):
        return longitudes
    return np.asarray(np.rad2deg(np.unwrap(np.deg2rad(longitudes))))


def on_system_of(raster: RasterInfo, target: Grid) -> RasterInfo:
    """Return a raster whose reference system is spelled as the target grid's, where it is the same."""
    own = raster.grid.crs_wkt
    if own == target.crs_wkt or not same_crs(own, target.crs_wkt):
        return raster
    return replace(raster, grid=replace(raster.grid, crs_wkt=target.crs_wkt))


def is_finer(source: Grid, target: Grid) -> bool:
    """Tell whether source pixels are smaller than the target's; in the middle of the source, in another system."""
    (source_x, source_y), (target_x, target_y) = source.pixel_size, target.pixel_size
    if source.crs_wkt == target.crs_wkt:
        return source_x * source_y < target_x * target_y
    left, bottom, right, top = source.bounds
    middle = np.array([(left + right) / 2, (bottom + top) / 2])
    corners = middle + np.array([[0.0, 0.0], [source_x, 0.0], [0.0, source_y]])
    placed = transform_points(source.crs_wkt, target.crs_wkt, corners)
    across, down = (placed[1:] - placed[0]) / np.array([target_x, target_y])
    share = abs(float(across[0] * down[1] - across[1] * down[0]))
    return share * _SAME_SIZE < 1.0
