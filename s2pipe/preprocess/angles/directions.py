"""Directions at the nodes of the angle grids, complete enough for bilinear interpolation near every seam.

Angles become unit vectors (east, north, up): those interpolate across the 0/360 wrap and near nadir. A
detector's grid is NaN outside its footprint; there, its plane continues it.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from s2pipe.preprocess.angles.planes import TilePlanes, unit_vectors

if TYPE_CHECKING:
    from s2pipe.sentinel2.safe.tile import TileAngles

FloatArray = np.ndarray


@dataclass(frozen=True, eq=False)
class BandDirections:
    """View directions of one band."""

    vectors: Mapping[int, FloatArray]
    """Unit vectors (node row, node column, 3) by detector, finite at every node."""
    borrowed: tuple[int, ...]
    """Detectors with one or two nodes, or nodes in line, continued with the slope of other bands or detectors."""


def sun_vectors(angles: TileAngles) -> FloatArray:
    """Unit vectors to the sun at the nodes, (node row, node column, 3)."""
    return unit_vectors(angles.sun_zenith, angles.sun_azimuth)


def band_directions(planes: TilePlanes, band: str) -> BandDirections:
    """Complete a band's grids, detector by detector.

    Own values stay as they are; a detector's plane continues them. Neighbours of detectors with nodes are completed as
    well, because the tile may touch them between two nodes.

    Parameters
    ----------
    planes : TilePlanes
        Planes of the tile's detectors.
    band : str
        The band.

    Raises
    ------
    MetadataError
        There are no view angles for the band.
    """
    view = planes.angles.view
    own = [detector for detector in planes.angles.detectors(band) if planes.seen[band, detector].any()]
    touched = {near for detector in own for near in (detector - 1, detector + 1) if 1 <= near <= 12}
    vectors = {}
    for detector in sorted(touched.union(own)):
        plane = planes.plane(band, detector)
        if plane is None:
            continue
        vectors[detector] = planes.vectors_on(plane)
        if detector in own:
            nodes = planes.seen[band, detector]
            vectors[detector][nodes] = unit_vectors(*view[band, detector])[nodes]
    borrowed = tuple(d for d in own if (band, d) not in planes.planes)
    return BandDirections(vectors, borrowed)


def mean_over_detectors(angles: TileAngles, band: str) -> FloatArray:
    """Unit vectors of the plain means of zenith and azimuth over a band's detectors, NaN where none is.

    Wrong at seams and where azimuths wrap; only for comparison with data that were made in this way.
    """
    grids = [angles.view[band, detector] for detector in angles.detectors(band)]
    if not grids:  # stubs
        return np.full((*angles.sun_zenith.shape, 3), np.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # nodes outside every footprint
        zenith, azimuth = (np.nanmean([pair[which] for pair in grids], axis=0) for which in (0, 1))
    return unit_vectors(zenith, azimuth)
