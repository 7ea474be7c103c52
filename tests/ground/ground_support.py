"""Places that tests of ground share."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from s2pipe.ground.cells import Rectangles
from s2pipe.ground.projection import utm_to_lonlat


def inner_points(ground: Rectangles, side: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Longitudes and latitudes all over each rectangle, edges included, (points, n)."""
    share = np.linspace(0.0, 1.0, side)
    x = ground.left + (ground.right - ground.left) * np.repeat(share, side)[:, np.newaxis]
    y = ground.bottom + (ground.top - ground.bottom) * np.tile(share, side)[:, np.newaxis]
    return utm_to_lonlat(x, y, ground.epsg)


def rectangle(epsg: int, left: float, bottom: float, width: float, height: float) -> Rectangles:
    return Rectangles(epsg, *(np.array([v]) for v in (left, bottom, left + width, bottom + height)))


epsgs = st.integers(1, 60).flatmap(lambda zone: st.sampled_from([32600 + zone, 32700 + zone]))
northings = st.floats(0.0, 9_300_000.0)
eastings = st.floats(160_000.0, 840_000.0)
