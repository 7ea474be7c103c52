"""Patches that different tiles cut from the same ground at the same time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from s2pipe.ground.overlap import overlaps
from s2pipe.ground.projection import ground_epsg, lonlat_to_utm
from s2pipe.patches.candidates.windows import PatchTable, footprints, lattice_shift

if TYPE_CHECKING:
    from collections.abc import Sequence

    from s2pipe.dataset.samples import Sample
    from s2pipe.patches.cfg import PatchConfig


def drop_duplicates(table: PatchTable, samples: Sequence[Sample], config: PatchConfig) -> None:
    """Keep one of several patches of the same ground and time.

    Tiles are gone through in the order of their names. A patch is dropped when its centre lies in a patch of an
    earlier tile that is kept and was sensed in the same datatake.
    """
    edges = np.searchsorted(table.scene, np.arange(len(samples) + 1))
    by_time: dict[str, list[int]] = {}
    for place, sample in enumerate(samples):
        by_time.setdefault(sample.key.second, []).append(place)
    for places in by_time.values():
        for position, place in enumerate(places):
            part = np.arange(edges[place], edges[place + 1])
            for earlier in places[:position]:
                part = part[table.kept[part]]
                if len(part):
                    other = slice(int(edges[earlier]), int(edges[earlier + 1]))
                    drop = _covered(table, part, other, (samples[place], samples[earlier]), config)
                    table.drop(part[drop], "duplicate")


def _covered(
    table: PatchTable, part: np.ndarray, other: slice, pair: tuple[Sample, Sample], config: PatchConfig
) -> np.ndarray:
    """Which patches have their centre in a kept patch of another sample: bool."""
    sample, earlier = pair
    frame, shift = earlier.target.reference, lattice_shift(earlier.target, config)
    ground = footprints(sample.target.reference, table.row[part], table.col[part], config.patch_size)
    epsg = ground_epsg(frame.crs_wkt)
    inside = overlaps(ground, epsg, frame.bounds)
    if not inside.any():
        return inside
    lon, lat = ground.centres()
    x, y = lonlat_to_utm(lon[inside], lat[inside], epsg)
    x0, dx, _, y0, _, dy = frame.geotransform
    row = np.floor((y - y0) / dy).astype(np.int64) - shift[0]
    col = np.floor((x - x0) / dx).astype(np.int64) - shift[1]
    size, stride = config.patch_size, config.step_px
    kept = np.zeros((frame.height // stride + 2, frame.width // stride + 2), bool)
    rows, cols = (table.row[other] - shift[0]) // stride, (table.col[other] - shift[1]) // stride
    kept[rows, cols] = table.kept[other]
    found = np.zeros(len(row), bool)
    # A pixel lies in the windows that start up to a patch's side before it.
    for up in range(-(-size // stride)):
        for left in range(-(-size // stride)):
            r, c = row // stride - up, col // stride - left
            near = (r >= 0) & (c >= 0) & (r < kept.shape[0]) & (c < kept.shape[1])
            near &= (row - r * stride < size) & (col - c * stride < size)
            found[near] |= kept[r[near], c[near]]
    inside[inside] = found
    return inside
