"""Where pixels lie between the nodes of a tile's angle grids."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from s2pipe.raster.grid import Grid
from s2pipe.raster.transform import crs_wkt, same_crs, transform_points
from s2pipe.sentinel2.safe.tile import ANGLE_STEP_M, TileMetadata

if TYPE_CHECKING:
    from s2kernels import Placement

_LATTICE_PX = 64
"""Target pixels between exactly computed positions, in another CRS than the tile's."""
_LATTICE_ERROR = 1e-4
"""Largest error of the positions between them, in node steps: half a metre."""
_NOWHERE_M = -1e9
"""Coordinate that stands for a point which the tile's CRS does not have: far outside."""


def placement(tile: TileMetadata, grid: Grid) -> Placement:
    """Place the pixels of a grid between the nodes of a tile, as :func:`s2kernels.interpolate_directions` takes it.

    Parameters
    ----------
    tile : TileMetadata
        Node [i, j] lies at (ULX + 5000 j, ULY - 5000 i) in its CRS.
    grid : Grid
        A raster in any CRS.

    Returns
    -------
    s2kernels.Placement
        With the window's origin at the first pixel.
    """
    from s2kernels import Placement

    tile_crs = crs_wkt(tile.epsg)
    ulx, uly = tile.upper_left[10]
    x0, dx, rx, y0, ry, dy = grid.geotransform
    is_same = same_crs(tile_crs, grid.crs_wkt)

    def nodes_at(rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
        col, row = np.meshgrid(cols + 0.5, rows + 0.5)
        points = np.stack((x0 + dx * col + rx * row, y0 + ry * col + dy * row), axis=-1).reshape(-1, 2)
        if not is_same:
            points = transform_points(grid.crs_wkt, tile_crs, points)
            points = np.where(np.isfinite(points), points, _NOWHERE_M)
        nodes = np.stack((points[:, 0] - ulx, uly - points[:, 1])) / ANGLE_STEP_M
        return nodes.reshape(2, *col.shape)

    if is_same:
        step_yx = max(grid.height - 1, 1), max(grid.width - 1, 1)
        return Placement(nodes_at(np.array((0, step_yx[0])), np.array((0, step_yx[1]))), step_yx, (0, 0))
    step = _LATTICE_PX
    while True:
        rows, cols = (np.arange(0, size + step, step) for size in grid.shape_yx)
        nodes = nodes_at(rows, cols)
        middles = nodes_at(rows[:-1] + step / 2, cols[:-1] + step / 2)
        if step == 1 or _lattice_error(nodes, middles) < _LATTICE_ERROR:
            return Placement(nodes, (step, step), (0, 0))
        step //= 2


def _lattice_error(nodes: np.ndarray, middles: np.ndarray) -> float:
    """Largest difference in cells that touch the tile between bilinear and exact middles, in node steps."""
    corners = [nodes[:, :-1, :-1], nodes[:, :-1, 1:], nodes[:, 1:, :-1], nodes[:, 1:, 1:]]
    lowest, highest = np.minimum.reduce(corners), np.maximum.reduce(corners)
    touching = ((-1e8 < lowest) & (lowest < 30) & (highest > -8)).all(axis=0)
    error = np.abs(sum(corners) / 4 - middles).max(axis=0)
    return float(error[touching].max(initial=0.0))


def node_grid(tile: TileMetadata, shape_yx: tuple[int, int]) -> Grid:
    """Return the raster whose pixel centres are the nodes: it begins half a step outside the tile."""
    ulx, uly = tile.upper_left[10]
    half, step = ANGLE_STEP_M / 2, float(ANGLE_STEP_M)
    return Grid(crs_wkt(tile.epsg), (ulx - half, step, 0.0, uly + half, 0.0, -step), shape_yx)
