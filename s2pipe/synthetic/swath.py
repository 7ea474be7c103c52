"""How the instrument saw the scene: analytic detectors, view and sun angles, all known exactly.

Twelve detectors lie side by side across the track, alternately looking a little ahead and a little back;
their strips on the ground are straight, slanted by the satellite's heading, and overlap a little.
The swath's eastern edge is the eastern edge of detector 12. Everything is a pure function of ground
coordinates, so that tests can ask for the truth at any point.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, cast

import numpy as np

from s2pipe.ground.projection import EARTH_RADIUS_M, convergence_deg, utm_to_lonlat
from s2pipe.sentinel2.bands import BAND_NAMES, TILE_SIDE_M
from s2pipe.synthetic.sun import sun_angles

if TYPE_CHECKING:
    import shapely

    from s2pipe.synthetic.spec import ProductSpec

DETECTORS = tuple(range(1, 13))
NODES = 23
"""Nodes of an angle grid along each axis."""
NODE_STEP_M = 5000.0

_ALTITUDE_M = 786_000.0
_INCLINATION_DEG = 98.62
_GROUND_SPEED_M_S = 6_740.0
_EARTH_TO_ORBIT_RATE = 0.0700
"""Surface speed of the equator over the satellite's ground speed: slants the strips a little more."""
_SWATH_EDGE_M = 145_000.0
"""Distance of the swath's edge from the ground track, at the edge of detector 12."""
_OVERLAP_SHARE = 0.04
"""Overlap of neighbouring strips as a share of their width; about 1 km in real footprints."""
_STAGGER_DEG = 0.65
_SCAN_TILT = 0.04
"""Slope of a scan line across the tile: time depends a little on the across-track position."""
_PARALLAX_DEG = dict(
    zip(BAND_NAMES, (1.25, 0.0, 0.29, 0.55, 0.7, 0.85, 0.95, 0.14, 1.05, 1.4, 0.4, 0.75, 1.15), strict=True)
)
"""Along-track angle between each band's line of detectors and B02's (rounded from real view grids)."""
_EDGE_SHIFT_M_PER_DEG = 180.0

Polygon = list[tuple[float, float]]


@dataclass(frozen=True)
class Swath:
    """Geometry of one overpass over one tile."""

    epsg: int
    """EPSG code of the tile's UTM zone."""
    ulx: float
    """x of the tile's upper-left corner in metres."""
    uly: float
    """y of the tile's upper-left corner in metres."""
    side_m: float
    """Side of the image in metres."""
    slant_deg: float
    """Angle of the strips against grid north: they lean to the east towards the north."""
    edge_m: float
    """Across-track coordinate of the swath's eastern edge for B02, from the upper-left corner, in metres."""
    strip_m: float
    """Ground width of one detector's strip in metres, without the overlap."""
    time: datetime
    """Moment at which the upper-left corner was sensed."""

    @property
    def overlap_m(self) -> float:
        """Ground width that two neighbouring detectors share."""
        return self.strip_m * _OVERLAP_SHARE

    def across(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Across-track coordinate in metres, growing eastwards."""
        slant = np.radians(self.slant_deg)
        return cast("np.ndarray", (x - self.ulx) * np.cos(slant) - (y - self.uly) * np.sin(slant))

    def edge_of(self, band: str) -> float:
        """Across-track coordinate of the swath's eastern edge for a band."""
        return self.edge_m + _PARALLAX_DEG[band] * _EDGE_SHIFT_M_PER_DEG

    def limits(self, band: str, detector: int) -> tuple[float, float]:
        """Across-track limits of a detector's footprint, overlaps with its neighbours included."""
        edge = self.edge_of(band)
        west = edge - (13 - detector) * self.strip_m - (self.overlap_m / 2 if detector > 1 else 0.0)
        east = edge - (12 - detector) * self.strip_m + (self.overlap_m / 2 if detector < 12 else 0.0)
        return west, east

    def covers(self, x: np.ndarray, y: np.ndarray, band: str, detector: int) -> np.ndarray:
        """Tell which points lie in a detector's footprint; two detectors may cover a point."""
        west, east = self.limits(band, detector)
        across = self.across(x, y)
        return cast("np.ndarray", (across >= west) & (across < east))

    def detector_at(self, x: np.ndarray, y: np.ndarray, band: str) -> np.ndarray:
        """Number of the detector that sees each point, uint8; 0 outside the swath.

        Inside an overlap the seam is in its middle, as in the footprint masks.
        """
        steps = np.floor((self.across(x, y) - self.edge_of(band)) / self.strip_m) + 13
        return np.where((steps >= 1) & (steps <= 12), steps, 0).astype(np.uint8)

    def view_angles_at(
        self, x: np.ndarray, y: np.ndarray, band: str, detector: int | np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Zenith and azimuth from the ground to the satellite for a detector, anywhere.

        Parameters
        ----------
        x, y : numpy.ndarray
            Ground coordinates in metres.
        band : str
            Band name.
        detector : int or numpy.ndarray
            Detector number, one for all points or one for each.

        Returns
        -------
        tuple of numpy.ndarray
            Zenith and azimuth (clockwise from true north) in degrees; defined outside footprints as well.
        """
        distance = _SWATH_EDGE_M + self.across(x, y) - self.edge_m
        centre_angle = distance / EARTH_RADIUS_M
        orbit_radius = EARTH_RADIUS_M + _ALTITUDE_M
        # Spherical Earth: horizontal and vertical distance of the satellite from the point's own horizon.
        west = orbit_radius * np.sin(centre_angle)
        above = orbit_radius * np.cos(centre_angle) - EARTH_RADIUS_M
        ahead = np.where(np.asarray(detector) % 2 == 0, 1.0, -1.0)
        ahead = above * np.tan(np.radians(ahead * (_STAGGER_DEG + _PARALLAX_DEG[band])))
        zenith = np.degrees(np.arctan2(np.hypot(west, ahead), above))
        # Flight is southwards, turned west by the slant; the satellite stands west of eastern strips.
        flight = 180.0 + self.slant_deg
        azimuth = flight + np.degrees(np.arctan2(west, ahead)) + convergence_deg(x, y, self.epsg)
        return zenith, azimuth % 360.0

    def sun_angles_at(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Zenith and azimuth (clockwise from true north) of the sun when each point was sensed, degrees."""
        slant = np.radians(self.slant_deg)
        south = -(x - self.ulx) * np.sin(slant) - (y - self.uly) * np.cos(slant)
        delay = (south + _SCAN_TILT * self.across(x, y)) / _GROUND_SPEED_M_S
        longitude, latitude = utm_to_lonlat(x, y, self.epsg)
        return sun_angles(longitude, latitude, self.time, delay)

    def footprint(self, band: str, detector: int, side_m: float = TILE_SIDE_M) -> Polygon:
        """Polygon of a detector's footprint inside the tile; empty where the detector does not reach it."""
        west, east = self.limits(band, detector)
        return _corners(self.strip(west, east, side_m))

    def image_footprint(self) -> Polygon:
        """Polygon of the image that the swath (of B02) covers."""
        west, _ = self.limits("B02", 1)
        return _corners(self.strip(west, self.edge_m, self.side_m))

    def strip(self, west: float, east: float, side_m: float) -> shapely.Polygon:
        """Part of a square tile between two across-track coordinates."""
        import shapely

        far = 4.0 * side_m  # beyond the tile in every direction
        slant = np.radians(self.slant_deg)
        across = np.clip([west, west, east, east], -far, far)
        along = np.array([-far, far, far, -far])
        x = self.ulx + across * np.cos(slant) + along * np.sin(slant)
        y = self.uly - across * np.sin(slant) + along * np.cos(slant)
        tile = shapely.box(self.ulx, self.uly - side_m, self.ulx + side_m, self.uly)
        return cast("shapely.Polygon", tile.intersection(shapely.Polygon(np.stack((x, y), axis=-1))))


def swath_of(spec: ProductSpec) -> Swath:
    """Lay out a specification's overpass: by its distance from the edge, its wedge, or a seam through the centre."""
    epsg, ulx, uly = spec.origin
    middle_x, middle_y = np.array(ulx + spec.side_m / 2.0), np.array(uly - spec.side_m / 2.0)
    _, latitude = utm_to_lonlat(middle_x, middle_y, epsg)
    cosine = max(float(np.cos(np.radians(latitude))), 0.2)
    heading = np.degrees(np.arcsin(min(1.0, -np.cos(np.radians(_INCLINATION_DEG)) / cosine)))
    slant = float(heading + np.degrees(np.arctan(_EARTH_TO_ORBIT_RATE * cosine)))
    rough = Swath(epsg, ulx, uly, spec.side_m, slant, 0.0, spec.strip_m, spec.tile_time)
    middle = float(rough.across(middle_x, middle_y))
    if spec.from_edge_m is not None:
        edge = middle + spec.from_edge_m
    elif spec.nodata_wedge > 0.0:
        edge = _edge_for_wedge(rough, spec.nodata_wedge)
    else:
        edge = middle + 5 * spec.strip_m
    return Swath(epsg, ulx, uly, spec.side_m, slant, edge, spec.strip_m, spec.tile_time)


def nodes(swath: Swath) -> tuple[np.ndarray, np.ndarray]:
    """Ground coordinates of the 23 x 23 nodes of the angle grids, each ``(y, x)`` in metres.

    Node [i, j] lies at (ULX + 5000 j, ULY - 5000 i); the last row and column lie just outside the tile.
    """
    steps = np.arange(NODES) * NODE_STEP_M
    x, y = np.meshgrid(swath.ulx + steps, swath.uly - steps)
    return x, y


def _edge_for_wedge(swath: Swath, share: float) -> float:
    """Across-track coordinate of a line that leaves ``share`` of the image east of it, by bisection."""
    low, high = 0.0, 2.0 * swath.side_m
    for _ in range(60):
        edge = (low + high) / 2.0
        covered = swath.strip(-np.inf, edge, swath.side_m).area / swath.side_m**2
        low, high = (edge, high) if covered < 1.0 - share else (low, edge)
    return round((low + high) / 2.0, 3)


def _corners(polygon: shapely.Polygon) -> Polygon:
    """Corners of a convex polygon, clockwise from the one nearest to the upper left; none of an empty polygon."""
    if not polygon.area > 0.0:
        return []
    import shapely

    ring = [(x, y) for x, y in shapely.orient_polygons(polygon, exterior_cw=True).exterior.coords[:-1]]
    first = min(range(len(ring)), key=lambda place: ring[place][0] - ring[place][1])
    return ring[first:] + ring[:first]
