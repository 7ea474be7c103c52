"""Mean directions of sun and satellite over a scene, from the metadata of its tile."""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from s2pipe.dataset.step1_index import load_index
from s2pipe.errors import ManifestError, MetadataError, MissingInputError, PathEscapeError
from s2pipe.sentinel2.roles import L1C_TILE_METADATA, L2A_TILE_METADATA
from s2pipe.sentinel2.safe.tile import read_tile_angles

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from s2pipe.dataset.scene_key import SceneKey
    from s2pipe.dataset.step1_index import Index
    from s2pipe.sentinel2.safe.tile import TileAngles
    from s2pipe.sharing.scenes import SharedScene

log = logging.getLogger("s2pipe.stac")
_EARTH_M, _ORBIT_M = 6_371_000.0, 786_000.0
"""Radius of the Earth, and mean height of Sentinel-2 above it."""
_DIGITS = 3


class Directions:
    """The fields of STAC's view extension, scene by scene; Step-1 indexes are read once."""

    def __init__(self) -> None:
        self._indexes: dict[str, Index | None] = {}

    def fields(self, scene: SharedScene) -> dict[str, float]:
        """Return the view fields of a sample; none where the metadata of one of its tiles are not at hand."""
        index = self._index(str(scene.meta["config"].get("index_json") or ""))
        angles = [None if index is None else _angles(index, key) for key in scene.keys]
        known = [found for found in angles if found is not None]
        return _fields(known) if len(known) == len(angles) else {}

    def _index(self, path: str) -> Index | None:
        if path not in self._indexes:
            try:
                self._indexes[path] = load_index(Path(path)) if path else None
            except (ManifestError, OSError, ValueError) as error:
                log.debug("no view fields from %s: %s", path, error)
                self._indexes[path] = None
        return self._indexes[path]


def _angles(index: Index, key: SceneKey) -> TileAngles | None:
    found = index.scene(key)
    for role in (L1C_TILE_METADATA, L2A_TILE_METADATA):
        asset = None if found is None else found.asset(role)
        if asset is None:
            continue
        try:
            file = index.file(asset)
            return read_tile_angles(file.read(), file.label)
        except (MetadataError, MissingInputError, PathEscapeError, OSError) as error:
            log.debug("%s: no view fields from %s: %s", key, role, error)
    return None


def _fields(angles: Sequence[TileAngles]) -> dict[str, float]:
    fields: dict[str, float] = {}
    sun = _mean((one.sun_zenith, one.sun_azimuth) for one in angles)
    if sun is not None:
        fields |= {"view:sun_elevation": round(90.0 - sun[0], _DIGITS), "view:sun_azimuth": _azimuth(sun[1])}
    view = _mean(grids for one in angles for grids in one.view.values())
    if view is not None:
        # The triangle of ground, satellite and centre of the Earth: the angle at the satellite from that on the ground.
        off_nadir = math.asin(_EARTH_M / (_EARTH_M + _ORBIT_M) * math.sin(math.radians(view[0])))
        fields |= {
            "view:incidence_angle": round(view[0], _DIGITS),
            "view:off_nadir": round(math.degrees(off_nadir), _DIGITS),
            "view:azimuth": _azimuth(view[1]),
        }
    return fields


def _azimuth(degrees: float) -> float:
    return round(degrees, _DIGITS) % 360.0


def _mean(grids: Iterable[tuple[np.ndarray, np.ndarray]]) -> tuple[float, float] | None:
    """Zenith and azimuth in degrees of the mean of unit vectors; None where no node has a direction."""
    total = np.zeros(3)
    for zenith, azimuth in grids:
        known = np.isfinite(zenith) & np.isfinite(azimuth)
        zen, azi = np.radians(zenith[known]), np.radians(azimuth[known])
        total += [(np.sin(zen) * np.sin(azi)).sum(), (np.sin(zen) * np.cos(azi)).sum(), np.cos(zen).sum()]
    length = float(np.linalg.norm(total))
    if length == 0.0:
        return None
    east, north, up = (float(value) / length for value in total)
    return math.degrees(math.acos(min(1.0, max(-1.0, up)))), math.degrees(math.atan2(east, north)) % 360.0
