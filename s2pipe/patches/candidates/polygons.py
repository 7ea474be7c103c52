"""Footprints of patches in longitude and latitude, as the database holds them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from s2pipe.patches.candidates.windows import PatchTable, footprints
from s2pipe.sentinel2.safe.footprint import cut_at_antimeridian

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from s2pipe.dataset.samples import Sample
    from s2pipe.ground.cells import Rectangles
    from s2pipe.raster.grid import Grid


def _grounds(
    table: PatchTable, samples: Sequence[Sample], size: int, part: slice
) -> Iterator[tuple[np.ndarray, np.ndarray, Rectangles]]:
    """Yield, grid by grid, positions of patches, which window each shows, and the ground of the windows."""
    scene, row, col = table.scene[part], table.row[part], table.col[part]
    by_grid: dict[Grid, list[int]] = {}
    for number in np.unique(scene).tolist():
        by_grid.setdefault(samples[number].target.reference, []).append(number)
    for grid, numbers in by_grid.items():
        chosen = np.flatnonzero(np.isin(scene, numbers))
        windows = (row[chosen].astype(np.int64) << 32) | col[chosen]
        found, inverse = np.unique(windows, return_inverse=True)
        yield chosen, inverse, footprints(grid, found >> 32, found & 0xFFFFFFFF, size)


def patch_polygons(table: PatchTable, samples: Sequence[Sample], size: int, part: slice) -> np.ndarray:
    """Return the footprints of some patches as shapely has them, cut where they cross the antimeridian."""
    import shapely

    result = np.empty(part.stop - part.start, object)
    for chosen, inverse, ground in _grounds(table, samples, size, part):
        xy = ring(ground)
        crossing = np.flatnonzero((xy[:, :, 0].min(axis=1) < 180.0) & (xy[:, :, 0].max(axis=1) > 180.0))
        polygons: Any = shapely.polygons(xy)
        for place in crossing.tolist():
            polygons[place] = shapely.MultiPolygon(cut_at_antimeridian(polygons[place]))
        result[chosen] = polygons[inverse]
    return result


def patch_centres(table: PatchTable, samples: Sequence[Sample], size: int, part: slice) -> np.ndarray:
    """Return longitude and latitude of the centres of some patches' footprints, (n, 2), within +-180 degrees."""
    lonlat = np.empty((part.stop - part.start, 2))
    for chosen, inverse, ground in _grounds(table, samples, size, part):
        lonlat[chosen] = np.stack(ground.centres(), axis=-1)[inverse]
    lonlat[:, 0] = (lonlat[:, 0] + 180.0) % 360.0 - 180.0
    return lonlat


def ring(ground: Rectangles) -> np.ndarray:
    """Corners in longitude and latitude, counter-clockwise and closed, (n, 5, 2).

    Rings lie within [-180, 180], or cross 180 degrees and then go on beyond it.
    """
    lon, lat = ground.boundary()
    corners = [0, 2, 4, 6, 0]
    lon, lat = lon[corners].T, lat[corners].T
    turn = np.floor((lon.min(axis=1) + 180.0) / 360.0)[:, np.newaxis]
    return np.stack([lon - 360.0 * turn, lat], axis=-1)
