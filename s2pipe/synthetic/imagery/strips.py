"""One scene, strip by strip: digital numbers, scene classes and masks at any resolution."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import cast

import numpy as np

from s2pipe.ground.projection import lonlat_to_utm, utm_to_lonlat
from s2pipe.sentinel2.bands import BY_NAME
from s2pipe.synthetic.imagery.directional import anisotropy
from s2pipe.synthetic.imagery.landscape import SCENE_CLASS, WATER, Ground, ground
from s2pipe.synthetic.imagery.noise import fractal, grain, mix, unit
from s2pipe.synthetic.imagery.sky import PATH_REFLECTANCE, TRANSMITTANCE, Air, Sky, sky_over
from s2pipe.synthetic.spec import ProductSpec
from s2pipe.synthetic.swath import Swath, swath_of

STRIP_ROWS = 128
"""Rows of a strip; a constant, since noise is drawn strip by strip."""
QUANTIFICATION = 10_000
OFFSET_DN = -1_000
"""RADIO_ADD_OFFSET and BOA_ADD_OFFSET of baselines from 04.00 on."""
_HIGHEST_DN = 32_767
_RAGGED_PX = 4.0
"""The swath's edge recedes by up to so many pixels, anew in every row."""


@dataclass(frozen=True)
class Scene:
    """Everything that determines a scene's pixels."""

    spec: ProductSpec
    """What to make."""
    swath: Swath
    """How it was seen."""
    sky: Sky
    """The clouds of that day."""
    land_seed: int
    """Seed of the ground."""

    def pixels(self, resolution_m: int) -> int:
        """Rows (and columns) of the image at a resolution."""
        return self.spec.side_m // resolution_m

    def strips(self, resolution_m: int) -> list[Strip]:
        """Strips that cover the image, in row order."""
        rows = self.pixels(resolution_m)
        return [
            Strip(self, resolution_m, row, min(row + STRIP_ROWS, rows)) for row in range(0, rows, STRIP_ROWS)
        ]


def scene_of(spec: ProductSpec) -> Scene:
    """Set up the scene of a specification."""
    swath = swath_of(spec)
    middle = np.array(swath.ulx + spec.side_m / 2), np.array(swath.uly - spec.side_m / 2)
    zenith, azimuth = swath.sun_angles_at(*middle)
    day = mix(spec.seed, 77, int(spec.sensing_start.timestamp()))
    extent = (swath.ulx, swath.uly, spec.side_m)
    sky = sky_over(extent, spec.clouds, (float(zenith), float(azimuth)), int(day))
    return Scene(spec, swath, sky, int(mix(spec.seed, spec.ground_epsg or spec.origin[0])))


def _sampled(x: np.ndarray, y: np.ndarray, step_m: float, seed: int) -> Ground:
    """Lay out the ground at any places (y, x): those of the nearest of a grid of the ground's own zone."""
    first_x, first_y = np.floor(x.min() / step_m), np.floor(y.min() / step_m)
    columns = (x / step_m - first_x).astype(np.intp)
    rows = (y / step_m - first_y).astype(np.intp)
    whole = ground(
        (first_x + np.arange(columns.max() + 1) + 0.5) * step_m,
        (first_y + np.arange(rows.max() + 1) + 0.5) * step_m,
        seed,
    )
    return Ground(whole.material[rows, columns], whole.brightness[rows, columns])


class Strip:
    """Some rows of a scene at one resolution; what several layers need is computed once."""

    def __init__(self, scene: Scene, resolution_m: int, row: int, row_end: int) -> None:
        self.scene = scene
        self.resolution_m = resolution_m
        self.row = row
        self.row_end = row_end
        width = scene.pixels(resolution_m)
        self.shape_yx = (row_end - row, width)
        self.x = scene.swath.ulx + (np.arange(width) + 0.5) * resolution_m
        self.y = scene.swath.uly - (np.arange(row, row_end) + 0.5) * resolution_m
        self._surface: dict[str, np.ndarray] = {}

    @cached_property
    def ground(self) -> Ground:
        """What lies on the ground."""
        own, other = self.scene.swath.epsg, self.scene.spec.ground_epsg
        if other in (None, own):
            return ground(self.x, self.y, self.scene.land_seed)
        assert other is not None
        here_x, here_y = np.broadcast_arrays(*self._mesh)
        lon, lat = utm_to_lonlat(here_x, here_y, own)
        x, y = lonlat_to_utm(lon, lat, other)
        return _sampled(x, y, float(self.resolution_m), self.scene.land_seed)

    @cached_property
    def air(self) -> Air:
        """What is in the air."""
        return self.scene.sky.air(self.x, self.y)

    @cached_property
    def _mesh(self) -> tuple[np.ndarray, np.ndarray]:
        return self.x[np.newaxis, :], self.y[:, np.newaxis]

    def detectors(self, band: str) -> np.ndarray:
        """Detector numbers of a band ``(y, x)``, uint8, 0 outside the swath."""
        return self.scene.swath.detector_at(*self._mesh, band)

    def valid(self, band: str) -> np.ndarray:
        """Where a band holds data: inside its footprint, short of the ragged edge ``(y, x)``, bool."""
        rows = np.arange(self.row, self.row_end)
        ragged = unit(mix(self.scene.spec.seed, 5, self.resolution_m, rows)) * _RAGGED_PX * self.resolution_m
        across = self.scene.swath.across(*self._mesh)
        west, _ = self.scene.swath.limits(band, 1)
        inside = (across >= west) & (across < self.scene.swath.edge_of(band) - ragged[:, np.newaxis])
        return cast("np.ndarray", inside)

    def reflectance(self, band: str) -> np.ndarray:
        """Surface reflectance of a band under its clouds ``(y, x)``, float32."""
        if band not in self._surface:
            band_id = BY_NAME[band].band_id
            surface = self.ground.reflectance(band_id)
            if self.scene.spec.directional:
                factor = anisotropy(self.scene.swath, *self._mesh, band)
                surface = surface if factor is None else surface * factor
            self._surface[band] = self.air.over(surface, band_id)
        return self._surface[band]

    def toa_dn(self, band: str) -> np.ndarray:
        """L1C digital numbers of a band, uint16."""
        band_id = BY_NAME[band].band_id
        surface = self.reflectance(band)
        haze = PATH_REFLECTANCE[band_id] * (1 - np.float32(0.8) * self.air.cloud)
        clear = TRANSMITTANCE[band_id] + (1 - TRANSMITTANCE[band_id]) * self.air.cloud
        if band == "B10":  # high cirrus is all that this band sees
            surface = np.float32(0.045) * self.air.cirrus + np.float32(0.006) * self.air.cloud
            clear = np.float32(1)
        return self._digital(haze + clear * surface, (1, band_id), self.valid(band))

    def boa_dn(self, band: str) -> np.ndarray:
        """L2A digital numbers of a band, uint16."""
        return self._digital(self.reflectance(band), (2, BY_NAME[band].band_id), self.valid("B02"))

    def _digital(self, reflectance: np.ndarray, stream: tuple[int, int], valid: np.ndarray) -> np.ndarray:
        spec = self.scene.spec
        dn = reflectance * np.float32(QUANTIFICATION)
        dn += grain(self.shape_yx, spec.noise_dn, self.scene.sky.seed, *stream, self.resolution_m, self.row)
        if spec.has_offsets:
            dn -= np.float32(OFFSET_DN)
        np.rint(dn, out=dn)
        np.clip(dn, 1, _HIGHEST_DN, out=dn)
        dn *= valid
        return dn.astype(np.uint16)

    def scene_classes(self) -> np.ndarray:
        """L2A scene classes, uint8."""
        classes: np.ndarray = SCENE_CLASS[self.ground.material]
        classes[(self.air.shadow > 0.5) & (self.ground.material != WATER)] = 3
        classes[self.air.cirrus > 0.12] = 10
        classes[self.air.cloud > 0.2] = 8
        classes[self.air.cloud > 0.6] = 9
        classes[~self.valid("B02")] = 0
        return classes

    def cloud_probability(self) -> np.ndarray:
        """Cloud probability in percent, uint8."""
        probability: np.ndarray = np.clip(100 * self.air.cloud + 35 * self.air.cirrus, 0, 100)
        probability = probability * self.valid("B02")
        return probability.astype(np.uint8)

    def snow_probability(self) -> np.ndarray:
        """Snow probability in percent, uint8: there is none."""
        return np.zeros(self.shape_yx, np.uint8)

    def aerosol(self) -> np.ndarray:
        """Aerosol optical thickness, DN of 0.001, uint16."""
        thickness = 120 + 14 * fractal(self.x, self.y, 15_000.0, 3, self.scene.sky.seed + 41)
        dn: np.ndarray = np.clip(thickness, 1, None) * self.valid("B02")
        return dn.astype(np.uint16)

    def water_vapour(self) -> np.ndarray:
        """Water vapour column, DN of 0.001 cm, uint16."""
        column = 1400 + 160 * fractal(self.x, self.y, 6_000.0, 4, self.scene.sky.seed + 42)
        dn: np.ndarray = np.clip(column, 1, None) * self.valid("B02")
        return dn.astype(np.uint16)

    def classification(self) -> np.ndarray:
        """L1C classification mask: opaque cloud, cirrus, snow ``(3, y, x)``, uint8 0 or 1."""
        opaque, cirrus = self.air.cloud > 0.2, self.air.cirrus > 0.12
        flags: np.ndarray = np.stack([opaque, cirrus, np.zeros_like(opaque)]) & self.valid("B02")
        return flags.astype(np.uint8)

    def quality(self, band: str) -> np.ndarray:
        """Quality mask of a band: eight flags, of which only the last (no data) is ever set ``(8, y, x)``."""
        flags = np.zeros((8, *self.shape_yx), np.uint8)
        flags[7] = ~self.valid(band)
        return flags

    def true_colour(self, level: str) -> np.ndarray:
        """True-colour image of a level, ``(3, y, x)`` uint8; 0 where there is no data."""
        dn = self.toa_dn if level == "L1C" else self.boa_dn
        offset = OFFSET_DN if self.scene.spec.has_offsets else 0
        planes = []
        for band in ("B04", "B03", "B02"):
            values = dn(band)
            scaled = np.clip((values.astype(np.float32) + offset) * np.float32(255 / 3558), 1, 255)
            planes.append((scaled * (values > 0)).astype(np.uint8))
        return np.stack(planes)
