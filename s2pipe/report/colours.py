"""Values to colours: stretches of reflectance, a scale for quantities, colours for classes that have none."""

from __future__ import annotations

import colorsys
import re
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from s2pipe.dataset.label_meaning import LabelMeaning

REFLECTANCE = (0.02, 0.35)
"""Reflectance shown as black and as white, the same for all scenes, so that they can be compared."""
DEVIATIONS = (-1.5, 1.5)
"""Standard deviations shown as black and as white."""
_GAMMA = 1.6
_SCALE = ("#440154", "#3e4989", "#26828e", "#35b779", "#b5de2b", "#fde725")
"""Stops of the scale of quantities: viridis (CC0)."""
_MISSING = "#7f7f7f"
_STEPS = 255
_GOLDEN = 0.618033988749895
TRUE_COLOUR = ("B04", "B03", "B02")
FALSE_COLOUR = ("B08", "B04", "B03")


def band_places(names: Sequence[str], wanted: Sequence[str]) -> list[int] | None:
    """Positions of bands among those of a raster, of any level; None where one is missing."""
    places = []
    for band in wanted:
        pattern = re.compile(rf"(?:^|[.]){band}(?:_|$)")
        found = [place for place, name in enumerate(names) if pattern.search(name)]
        if not found:
            return None
        places.append(found[0])
    return places


def stretched(values: np.ndarray, limits: tuple[float, float], gamma: float = 1.0) -> np.ndarray:
    """Scale (band, y, x) between two limits to (y, x, band) uint8; NaN is black."""
    low, high = limits
    share = np.clip((np.nan_to_num(values, nan=low) - low) / (high - low), 0, 1)
    pixels: np.ndarray = np.rint(255 * share ** (1 / gamma)).astype(np.uint8).transpose(1, 2, 0)
    return pixels


def reflectance_rgb(values: np.ndarray, valid: np.ndarray, unit: str) -> np.ndarray:
    """Show three bands before normalization; digital numbers and unknown units between percentiles of the scene."""
    if unit.endswith("reflectance"):
        return stretched(values * valid, REFLECTANCE, _GAMMA)
    inside = values[:, valid > 0]
    low, high = np.percentile(inside, (2, 98)) if inside.size else (0.0, 1.0)
    return stretched(values * valid, (float(low), float(max(high, low + 1e-6))), _GAMMA)


def scaled(values: np.ndarray) -> tuple[np.ndarray, list[str], tuple[float, float] | None]:
    """Show a quantity: places in a palette, the palette, and least and greatest value; None without any value."""
    known = np.isfinite(values)
    palette = [_MISSING, *_gradient()]
    if not known.any():
        return np.zeros(values.shape, np.uint8), palette, None
    low, high = float(values[known].min()), float(values[known].max())
    share = (np.where(known, values, low) - low) / max(high - low, 1e-12)
    places = np.where(known, 1 + np.rint(share * (_STEPS - 1)), 0).astype(np.uint8)
    return places, palette, (low, high)


def _gradient() -> list[str]:
    stops = np.array([tuple(bytes.fromhex(stop[1:])) for stop in _SCALE], np.float64)
    at = np.linspace(0, len(stops) - 1, _STEPS)
    channels = [np.interp(at, np.arange(len(stops)), stops[:, place]) for place in range(3)]
    return ["#{:02x}{:02x}{:02x}".format(*rgb) for rgb in np.rint(np.stack(channels, 1)).astype(int).tolist()]


def class_colour(value: int, meaning: LabelMeaning) -> str:
    """Colour of a class: its own, else one that its number alone decides."""
    if value == meaning.ignore_index and value not in meaning.colors:
        return _MISSING
    if value in meaning.colors:
        return meaning.colors[value]
    red, green, blue = colorsys.hsv_to_rgb((value * _GOLDEN) % 1.0, 0.62, 0.86)
    return f"#{round(255 * red):02x}{round(255 * green):02x}{round(255 * blue):02x}"


def class_name(value: int, meaning: LabelMeaning) -> str:
    """Name of a class, with its number."""
    if value == meaning.ignore_index and value not in meaning.names:
        return f"{value} no label"
    name = meaning.names.get(value, "")
    return f"{value} {name}" if name else f"class {value}"


def classified(values: np.ndarray, meaning: LabelMeaning) -> tuple[np.ndarray, list[str]]:
    """Show classes: places in a palette, and the palette; more than 256 classes share places."""
    found = np.unique(values)
    places = (np.searchsorted(found, values) % 256).astype(np.uint8)
    return places, [class_colour(int(value), meaning) for value in found[:256]]
