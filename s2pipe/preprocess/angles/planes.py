"""How view directions change over a tile: one plane for each detector and band.

A plane gives the satellite's horizontal place over its height, against grid north, as a linear function of the node's
row and column. Its slope belongs to the instrument and the orbit: it is nearly the same for all bands and detectors,
so that a detector with too few nodes for a plane of its own takes the slope of the others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from s2pipe.ground.projection import convergence_deg, utm_to_lonlat
from s2pipe.sentinel2.safe.tile import ANGLE_STEP_M

if TYPE_CHECKING:
    from collections.abc import Sequence

    from s2pipe.sentinel2.safe.tile import TileAngles

FloatArray = np.ndarray

_ACROSS_CHANGE = 5000.0 / 786_000.0 * (1.0 + 786.0 / 6371.0)
"""Change of tan z over one node step across the track: the orbit's height, and the curvature of the Earth."""
_INCLINATION_DEG = 98.62
_EARTH_TO_ORBIT_RATE = 0.07
"""Surface speed of the equator over the satellite's ground speed."""
_BETWEEN_SIDES = 6.5
"""Detectors with lower numbers look to one side of the ground track, those with higher ones to the other."""


def unit_vectors(zenith_deg: FloatArray, azimuth_deg: FloatArray) -> FloatArray:
    """Turn angles into unit vectors east, north, up, (..., 3); NaN stays NaN."""
    zenith, azimuth = np.radians(zenith_deg), np.radians(azimuth_deg)
    flat = np.sin(zenith)
    return np.stack((flat * np.sin(azimuth), flat * np.cos(azimuth), np.cos(zenith)), axis=-1)


class TilePlanes:
    """Planes of all detectors and bands of a tile.

    Parameters
    ----------
    angles : TileAngles
        Angle grids of the tile.
    """

    def __init__(self, angles: TileAngles) -> None:
        self.angles = angles
        places: FloatArray = np.indices(angles.sun_zenith.shape).astype(float)
        rows: FloatArray = places[0]
        cols: FloatArray = places[1]
        ulx, uly = angles.tile.upper_left[10]
        x, y = ulx + cols * ANGLE_STEP_M, uly - rows * ANGLE_STEP_M
        self._grid_north: FloatArray = convergence_deg(x, y, angles.tile.epsg)
        self._latitude = float(utm_to_lonlat(x, y, angles.tile.epsg)[1].mean())
        self._basis = np.stack((np.ones(rows.shape), rows, cols), axis=-1)
        self.seen = {key: np.isfinite(zenith) for key, (zenith, _) in angles.view.items()}
        """Nodes at which each band and detector has a direction."""
        self.planes = {key: plane for key in self.seen if (plane := self._fitted(*key)) is not None}
        """Coefficients (1, row, column; east, north) where there are three nodes that are not in line."""

    def _horizontal(self, band: str, detector: int) -> FloatArray:
        """(tan z sin a, tan z cos a) against grid north at a detector's own nodes."""
        nodes = self.seen[band, detector]
        zenith, azimuth = (grid[nodes] for grid in self.angles.view[band, detector])
        vectors = unit_vectors(zenith, azimuth - self._grid_north[nodes])
        horizontal: FloatArray = vectors[..., :2] / vectors[..., 2:]
        return horizontal

    def _fitted(self, band: str, detector: int) -> FloatArray | None:
        places = self._basis[self.seen[band, detector]]
        if len(places) < 3 or np.linalg.matrix_rank(places, tol=1e-6) < 3:
            return None
        plane: FloatArray = np.linalg.lstsq(places, self._horizontal(band, detector), rcond=None)[0]
        return plane

    def plane(self, band: str, detector: int) -> FloatArray | None:
        """Return a detector's plane: its own, or one with the others' slope through its nodes.

        A detector without any node takes the plane of the nearest one that looks the same way, forward or backward:
        their direction differs by the place only. None where there is no such detector either.
        """
        own = self.planes.get((band, detector))
        if own is not None:
            return own
        if not self.seen.get((band, detector), np.zeros(1, bool)).any():
            same = [d for b, d in self.planes if b == band and (d - detector) % 2 == 0]
            return self.planes[band, min(same, key=lambda d: abs(d - detector))] if same else None
        places = self._basis[self.seen[band, detector]]
        slope = self.slope(detector)
        level = (self._horizontal(band, detector) - places[:, 1:] @ slope).mean(axis=0)
        return np.concatenate((level[np.newaxis], slope))

    def slope(self, detector: int) -> FloatArray:
        """Slope by row and column, (2, 2): the detector's own in other bands, else the others', else the orbit's."""
        others = [(key[1], plane[1:], self.seen[key].sum()) for key, plane in self.planes.items()]
        if not others:
            return self._orbit_slope()
        numbers, slopes, weights = (np.array(part) for part in zip(*others, strict=True))
        if (own := numbers == detector).any():
            mean: FloatArray = np.average(slopes[own], axis=0, weights=weights[own])
            return mean
        if len(np.unique(numbers)) < 3:  # too few for a trend
            near = np.abs(numbers - detector) == np.abs(numbers - detector).min()
            nearest: FloatArray = np.average(slopes[near], axis=0, weights=weights[near])
            return nearest
        away = (
            np.stack((np.ones(len(numbers)), numbers - detector), axis=-1) * np.sqrt(weights)[:, np.newaxis]
        )
        flat = slopes.reshape(-1, 4) * np.sqrt(weights)[:, np.newaxis]
        trend: FloatArray = np.linalg.lstsq(away, flat, rcond=None)[0][0]
        return trend.reshape(2, 2)

    def across_deg(self) -> float:
        """Direction across the track, in degrees from the columns' direction towards rising rows.

        View angles change across the track and stay the same along it.
        """
        total = np.zeros((2, 2))
        for key, plane in self.planes.items():
            total += plane[1:] @ plane[1:].T * self.seen[key].sum()
        if not total.any():
            return self._orbit_across_deg()
        row, col = np.linalg.eigh(total)[1][:, -1]
        return float(np.degrees(np.arctan2(row, col)))

    def _orbit_across_deg(self) -> float:
        """Direction across the track by the orbit: it descends unless the detectors' sides say the contrary."""
        side = 0.0
        for (band, detector), nodes in self.seen.items():
            if nodes.any():
                side += (detector - _BETWEEN_SIDES) * float(self._horizontal(band, detector)[:, 0].mean())
        cosine = max(float(np.cos(np.radians(self._latitude))), 0.15)
        slant = np.degrees(np.arcsin(min(1.0, -np.cos(np.radians(_INCLINATION_DEG)) / cosine)))
        slant += np.degrees(np.arctan(_EARTH_TO_ORBIT_RATE * cosine))
        turned = slant if side <= 0 else -slant
        return float(turned - self._grid_north.mean())

    def _orbit_slope(self) -> FloatArray:
        turned = np.radians(self._orbit_across_deg())
        across = np.array((np.sin(turned), np.cos(turned)))  # row, column
        return np.outer(across, (-across[1], across[0])) * _ACROSS_CHANGE

    def vectors_on(self, plane: FloatArray) -> FloatArray:
        """Unit vectors against true north at all nodes, of a plane."""
        horizontal = self._basis @ plane
        zenith = np.degrees(np.arctan(np.hypot(horizontal[..., 0], horizontal[..., 1])))
        azimuth = np.degrees(np.arctan2(horizontal[..., 0], horizontal[..., 1])) + self._grid_north
        return unit_vectors(zenith, azimuth)

    def bands(self) -> Sequence[str]:
        """Bands with at least one node."""
        return tuple(dict.fromkeys(band for (band, _), nodes in self.seen.items() if nodes.any()))
