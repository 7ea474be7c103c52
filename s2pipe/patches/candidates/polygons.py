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


def _grounds(
    table: PatchTable, samples: Sequence[Sample], size: int, part: slice
) -> Iterator[tuple[np.ndarray, Rectangles]]:
    """Yield which of some patches are of a sample (bool), and their ground."""
    scene, row, col = table.scene[part], table.row[part], table.col[part]
    for number in np.unique(scene).tolist():
        chosen = scene == number
        yield (
            chosen,
            footprints(
                samples[number].grid, row[chosen].astype(np.int64), col[chosen].astype(np.int64), size
            ),
        )


def patch_polygons(table: PatchTable, samples: Sequence[Sample], size: int, part: slice) -> np.ndarray:
    """Return the footprints of some patches as shapely has them, cut where they cross the antimeridian."""
    import shapely

    xy = np.empty((part.stop - part.start, 5, 2))
    for chosen, ground in _grounds(table, samples, size, part):
        xy[chosen] = ring(ground)
    crossing = np.flatnonzero((xy[:, :, 0].min(axis=1) < 180.0) & (xy[:, :, 0].max(axis=1) > 180.0))
    polygons: Any = shapely.polygons(xy)
    for place in crossing.tolist():
        polygons[place] = shapely.MultiPolygon(cut_at_antimeridian(polygons[place]))
    result: np.ndarray = polygons
    return result


def patch_centres(table: PatchTable, samples: Sequence[Sample], size: int, part: slice) -> np.ndarray:
    """Return longitude and latitude of the centres of some patches' footprints, (n, 2), within +-180 degrees."""
    lonlat = np.empty((part.stop - part.start, 2))
    for chosen, ground in _grounds(table, samples, size, part):
        lonlat[chosen] = np.stack(ground.centres(), axis=-1)
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
