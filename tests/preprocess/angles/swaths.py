"""Tiles whose detectors are known everywhere: any heading, any latitude, datastrips that begin or end inside."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from s2pipe.sentinel2.safe.tile import TileAngles, TileMetadata
from s2pipe.synthetic.swath import Swath, nodes

BANDS = ("B01", "B02", "B8A", "B11")
STRIP_M = 25_500.0


@dataclass(frozen=True)
class Pass:
    """One overpass over a full-size tile."""

    slant_deg: float = 13.0
    """Angle of the strips against grid north."""
    epsg: int = 32633
    """UTM zone."""
    uly: float = 5_500_020.0
    """y of the tile's upper edge."""
    edge_m: float = 260_000.0
    """Across-track coordinate of the swath's eastern edge, from the upper-left corner."""
    along_m: tuple[float, float] = (-1e7, 1e7)
    """Along-track coordinates, growing southwards, between which the datastrip lies."""
    end_tilt: float = 0.04
    """How much further along the track the datastrip's ends lie for each metre eastwards across it."""
    stagger_m: float = 0.0
    """How much further along the ends of even detectors lie."""
    is_ascending: bool = False
    """Detector 1 lies in the east instead of the west."""

    @property
    def swath(self) -> Swath:
        """The detectors' strips."""
        time = datetime(2020, 6, 1, 10, tzinfo=UTC)
        return Swath(self.epsg, 499_980.0, self.uly, 109_800.0, self.slant_deg, self.edge_m, STRIP_M, time)

    def _lasts(self, x: np.ndarray, y: np.ndarray, detector: np.ndarray | int) -> np.ndarray:
        slant = np.radians(self.slant_deg)
        along = -(x - 499_980.0) * np.sin(slant) - (y - self.uly) * np.cos(slant)
        along = (
            along - self.end_tilt * self.swath.across(x, y) - self.stagger_m * (np.asarray(detector) % 2 == 0)
        )
        inside: np.ndarray = (along >= self.along_m[0]) & (along < self.along_m[1])
        return inside

    def detector_at(self, x: np.ndarray, y: np.ndarray, band: str) -> np.ndarray:
        """Detector of each point; 0 where none sees it."""
        slot = self.swath.detector_at(x, y, band)
        ids = np.where(self._lasts(x, y, slot) & (slot > 0), slot, 0)
        return np.where((ids > 0) & self.is_ascending, 13 - ids, ids).astype(np.uint8)

    def angles(self) -> TileAngles:
        """Angle grids of the tile metadata."""
        x, y = nodes(self.swath)
        corner = {10: (499_980.0, self.uly)}
        tile = TileMetadata(
            source="MTD_TL.xml", level="L1C", tile_id="T33UWQ", granule_id="", l1c_tile_id=None, datastrip_id=None,
            sensing_time="2020-06-01T10:00:00Z", epsg=self.epsg, sizes_yx={10: (10980, 10980)}, upper_left=corner,
            cloud_cover=None,
        )  # fmt: skip
        view = {}
        for band in BANDS:
            for slot in range(1, 13):
                seen = self.swath.covers(x, y, band, slot) & self._lasts(x, y, slot)
                if seen.any():
                    pair = self.swath.view_angles_at(x, y, band, slot)
                    detector = 13 - slot if self.is_ascending else slot
                    view[band, detector] = tuple(np.where(seen, grid, np.nan) for grid in pair)
        return TileAngles(tile, np.full(x.shape, 40.0), np.full(x.shape, 150.0), view)
