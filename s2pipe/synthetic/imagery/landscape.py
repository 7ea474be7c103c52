"""The ground: fields, forest, water and towns, each with a spectrum. All of it invented.

The spectra are rounded, typical shapes (water dark and falling, vegetation with its red edge, soil rising
into the infrared); they are there to look right and to be told apart, not to be measured.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from s2pipe.synthetic.imagery.noise import fractal, mix, unit

WATER, CONIFERS, BROADLEAF, CROP, GRASS, SOIL, STUBBLE, TOWN, TRACK, SHORE = range(10)

SURFACE_REFLECTANCE = np.array(
    [
        # B01   B02   B03   B04   B05   B06   B07   B08   B8A   B09   B10   B11   B12
        (0.040, 0.043, 0.045, 0.027, 0.021, 0.015, 0.014, 0.012, 0.011, 0.010, 0.001, 0.006, 0.004),
        (0.016, 0.019, 0.033, 0.022, 0.050, 0.135, 0.170, 0.185, 0.195, 0.200, 0.001, 0.090, 0.040),
        (0.022, 0.026, 0.047, 0.032, 0.082, 0.220, 0.285, 0.305, 0.325, 0.330, 0.001, 0.155, 0.072),
        (0.028, 0.034, 0.072, 0.040, 0.105, 0.300, 0.400, 0.430, 0.450, 0.455, 0.001, 0.190, 0.090),
        (0.038, 0.046, 0.082, 0.066, 0.120, 0.240, 0.290, 0.310, 0.330, 0.335, 0.001, 0.240, 0.140),
        (0.066, 0.078, 0.108, 0.140, 0.165, 0.185, 0.205, 0.220, 0.235, 0.240, 0.001, 0.310, 0.260),
        (0.070, 0.085, 0.128, 0.168, 0.200, 0.235, 0.260, 0.280, 0.300, 0.305, 0.001, 0.380, 0.280),
        (0.105, 0.120, 0.138, 0.150, 0.160, 0.180, 0.192, 0.205, 0.212, 0.215, 0.001, 0.230, 0.200),
        (0.045, 0.052, 0.076, 0.078, 0.115, 0.190, 0.225, 0.240, 0.255, 0.260, 0.001, 0.245, 0.165),
        (0.110, 0.135, 0.180, 0.215, 0.240, 0.260, 0.270, 0.285, 0.295, 0.300, 0.001, 0.370, 0.320),
    ],
    np.float32,
)
"""Surface reflectance by material (row) and band id (column)."""

SCENE_CLASS = np.array([6, 4, 4, 4, 4, 5, 5, 5, 4, 5], np.uint8)
"""L2A scene class by material."""

_CROPS = np.array([CROP] * 5 + [GRASS] * 3 + [SOIL] * 5 + [STUBBLE] * 3, np.uint8)
"""What grows on a field, drawn evenly from this list."""
_TEXTURE = np.array([0.01, 0.09, 0.07, 0.02, 0.03, 0.025, 0.025, 0.10, 0.03, 0.03], np.float32)
"""Relative strength of fine texture by material."""
_REGION_M = 4_700.0
_TOWN_BLOCK_M = 90.0


@dataclass(frozen=True)
class Ground:
    """What lies on the ground in a strip."""

    material: np.ndarray
    """Material numbers ``(y, x)``, uint8."""
    brightness: np.ndarray
    """Factor on the material's reflectance ``(y, x)``, float32."""

    def reflectance(self, band_id: int) -> np.ndarray:
        """Surface reflectance of a band ``(y, x)``, float32."""
        reflectance: np.ndarray = SURFACE_REFLECTANCE[:, band_id][self.material] * self.brightness
        return reflectance


def ground(x: np.ndarray, y: np.ndarray, seed: int) -> Ground:
    """Lay out the ground at column coordinates ``x`` and row coordinates ``y`` (metres)."""
    relief = fractal(x, y, 9_000.0, 5, seed + 1)
    material, brightness = _fields(x, y, seed)
    woods = fractal(x, y, 2_900.0, 6, seed + 2, 0.6) + np.float32(0.45) * relief
    forest = woods > 0.75
    kind = np.where(fractal(x, y, 1_500.0, 3, seed + 3) > 0.1, CONIFERS, BROADLEAF).astype(np.uint8)
    material = np.where(forest, kind, material)
    brightness[forest] = 1.0
    _build_towns(x, y, seed, (material, brightness))
    # A river runs along the zero line of a wide noise; its width follows from the noise's slope.
    river = np.abs(fractal(x, y, 11_000.0, 5, seed + 4, 0.45))
    lakes = fractal(x, y, 3_500.0, 4, seed + 5) + np.float32(0.6) * relief
    shore = (river < 0.034) | (lakes < -2.25)
    material[shore] = np.where(forest[shore], BROADLEAF, SHORE)
    material[(river < 0.028) | (lakes < -2.3)] = WATER
    brightness[shore] = 1.0
    texture = fractal(x, y, 80.0, 2, seed + 6, 0.6)
    shading = np.float32(0.05) * fractal(x, y, 620.0, 3, seed + 7)
    shading += np.float32(0.04) * relief
    factor = 1 + _TEXTURE[material] * texture + np.where(material == WATER, np.float32(0), shading)
    return Ground(material, brightness * np.clip(factor, 0.3, 2.0))


def _fields(x: np.ndarray, y: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Farmland: regions of parallel fields, each region with its own direction and field size."""
    bend_x = np.float32(900.0) * fractal(x, y, 3_000.0, 3, seed + 11)
    bend_y = np.float32(900.0) * fractal(x, y, 3_000.0, 3, seed + 12)
    region = mix(
        seed + 13,
        np.floor((y[:, np.newaxis] + bend_y) / _REGION_M),
        np.floor((x[np.newaxis, :] + bend_x) / _REGION_M),
    )
    angle = unit(region) * np.float32(np.pi)
    cosine, sine = np.cos(angle), np.sin(angle)
    length = 330.0 + 560.0 * unit(mix(region, 1))
    width = 140.0 + 230.0 * unit(mix(region, 2))
    along = x[np.newaxis, :] * cosine + y[:, np.newaxis] * sine
    aside = (y[:, np.newaxis] * cosine - x[np.newaxis, :] * sine) / width
    lane = np.floor(aside)
    along = along / length + unit(mix(region, 3, lane))
    plot = np.floor(along)
    drawn = mix(region, lane, plot)
    material = _CROPS[drawn % np.uint32(len(_CROPS))]
    brightness = 0.78 + 0.44 * unit(mix(drawn, 5))
    track = (aside - lane) * width < 9.0
    material = np.where(track, np.uint8(TRACK), material)
    return material, brightness.astype(np.float32)


def _build_towns(x: np.ndarray, y: np.ndarray, seed: int, ground_yx: tuple[np.ndarray, np.ndarray]) -> None:
    """Put towns on the ground, in place: blocks of houses and gardens of uneven brightness."""
    material, brightness = ground_yx
    density = fractal(x, y, 3_400.0, 3, seed + 21, 0.5)
    density += np.float32(0.2) * fractal(x, y, 300.0, 2, seed + 22)
    town = density > 1.85
    if not town.any():
        return
    row, col = np.floor(y / _TOWN_BLOCK_M), np.floor(x / _TOWN_BLOCK_M)
    block = mix(seed + 23, row[:, np.newaxis], col[np.newaxis, :])
    garden = (block % np.uint32(7)) < 3
    streets_y, streets_x = np.mod(y, _TOWN_BLOCK_M) < 12.0, np.mod(x, _TOWN_BLOCK_M) < 12.0
    street = streets_y[:, np.newaxis] | streets_x[np.newaxis, :]
    material[town] = np.where(garden & ~street, np.uint8(GRASS), np.uint8(TOWN))[town]
    brightness[town] = np.where(street, np.float32(0.75), 0.72 + 0.5 * unit(mix(block, 1)) ** 2)[town]
