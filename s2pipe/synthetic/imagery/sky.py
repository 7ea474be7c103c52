"""Clouds, their shadows and the air: what stands between the ground and the satellite."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from s2pipe.synthetic.imagery.noise import fractal

PATH_REFLECTANCE = np.array(
    (0.105, 0.074, 0.044, 0.026, 0.021, 0.017, 0.014, 0.012, 0.010, 0.004, 0.0012, 0.002, 0.0015), np.float32
)
"""Reflectance of the clear air alone by band id (Rayleigh-like, invented)."""
TRANSMITTANCE = np.array(
    (0.80, 0.84, 0.88, 0.92, 0.93, 0.95, 0.96, 0.95, 0.97, 0.45, 0.02, 0.97, 0.97), np.float32
)
"""Two-way transmittance of the clear air by band id; B09 and B10 lie in water-vapour bands."""
CLOUD_REFLECTANCE = np.array(
    (0.70, 0.71, 0.70, 0.72, 0.73, 0.74, 0.75, 0.75, 0.76, 0.60, 0.02, 0.55, 0.42), np.float32
)
"""Reflectance of thick cloud by band id, as seen from above the air."""
CIRRUS_REFLECTANCE = np.array(
    (0.10, 0.10, 0.10, 0.10, 0.10, 0.10, 0.10, 0.10, 0.10, 0.08, 0.05, 0.06, 0.04), np.float32
)
"""Reflectance that full thin cirrus adds by band id."""

_CLOUD_BASE_M = 900.0
_LONGEST_SHADOW_M = 1_800.0
_SOFT = 0.7
_SHADE = 0.72
"""Share of sunlight that full shadow takes away; short waves keep more, through skylight."""


@dataclass(frozen=True)
class Air:
    """What is in the air over a strip; each ``(y, x)`` float32, 0 to 1."""

    cloud: np.ndarray
    """Opacity of cloud."""
    shadow: np.ndarray
    """Depth of cloud shadow on the ground."""
    cirrus: np.ndarray
    """Density of thin cirrus."""
    billow: np.ndarray
    """Factor on the brightness of cloud, about 1."""

    def over(self, surface: np.ndarray, band_id: int) -> np.ndarray:
        """Surface reflectance as an atmospheric correction that ignores clouds would return it."""
        lit = np.float32(_SHADE * (0.75 if band_id < 3 else 1.0)) * self.shadow
        seen = surface * (1 - lit)
        seen += CIRRUS_REFLECTANCE[band_id] * self.cirrus
        clouded: np.ndarray = seen + self.cloud * (CLOUD_REFLECTANCE[band_id] * self.billow - seen)
        return clouded


@dataclass(frozen=True)
class Sky:
    """The clouds of one overpass."""

    seed: int
    """Seed of this overpass's clouds."""
    threshold: float
    """Noise value above which there is cloud."""
    shift_xy: tuple[float, float]
    """From a shadow to the cloud that casts it, in metres."""
    cloudy: bool
    """False for a perfectly clear sky."""

    def air(self, x: np.ndarray, y: np.ndarray) -> Air:
        """Compute what is in the air over column coordinates ``x`` and row coordinates ``y`` (metres)."""
        if not self.cloudy:
            clear = np.zeros((y.size, x.size), np.float32)
            return Air(clear, clear, clear, clear)
        height = _cloud_noise(x, y, self.seed) - np.float32(self.threshold)
        cloud = _opacity(height)
        caster = _cloud_noise(x + self.shift_xy[0], y + self.shift_xy[1], self.seed)
        shadow = _opacity(caster - np.float32(self.threshold)) * (1 - cloud)
        veil = fractal(x * 0.4, y, 6_000.0, 5, self.seed + 31, 0.6)
        cirrus = np.clip((veil - np.float32(1.05)) * np.float32(0.5), 0, 1) * (1 - cloud)
        billow = np.clip(np.float32(0.86) + np.float32(0.16) * height, 0.8, 1.25)
        return Air(cloud, shadow, cirrus, billow)


def sky_over(
    extent: tuple[float, float, float], clouds: float, sun_deg: tuple[float, float], seed: int
) -> Sky:
    """Set up the clouds so that about the wanted share of the image lies under them.

    Parameters
    ----------
    extent : tuple of float
        x and y of the image's upper-left corner and its side in metres.
    clouds : float
        Share of the image, 0 to 1.
    sun_deg : tuple of float
        Zenith and azimuth of the sun in degrees.
    seed : int
        Seed of this overpass's clouds.
    """
    ulx, uly, side = extent
    steps = (np.arange(160) + 0.5) * side / 160
    sample = _cloud_noise(ulx + steps, uly - steps, seed)
    # Cloud counts from the middle of its soft rim on.
    threshold = float(np.quantile(sample, 1.0 - clouds)) - 0.3 * _SOFT
    length = min(_CLOUD_BASE_M * np.tan(np.radians(min(sun_deg[0], 85.0))), _LONGEST_SHADOW_M)
    azimuth = np.radians(sun_deg[1])
    shift = float(length * np.sin(azimuth)), float(length * np.cos(azimuth))
    return Sky(seed, threshold, shift, clouds > 0.0)


def _cloud_noise(x: np.ndarray, y: np.ndarray, seed: int) -> np.ndarray:
    return fractal(x, y, 2_600.0, 7, seed, 0.66)


def _opacity(height: np.ndarray) -> np.ndarray:
    rise = np.clip(height / np.float32(_SOFT), 0, 1)
    return rise * rise * (3 - 2 * rise)
