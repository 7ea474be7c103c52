"""The picture of a demonstration: input, validity, labels and normalised output side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from s2pipe.raster.grid import Window
from s2pipe.raster.png import text_mask, write_png
from s2pipe.raster.reader import RasterReader, band_count, inspect_raster

if TYPE_CHECKING:
    from pathlib import Path

_SCL_COLOURS = np.array(
    [
        (0, 0, 0), (255, 0, 0), (64, 64, 64), (110, 75, 40), (60, 160, 60), (235, 215, 120),
        (40, 90, 200), (130, 130, 130), (200, 200, 200), (250, 250, 250), (150, 205, 240), (250, 150, 250),
    ],
    np.uint8,
)  # fmt: skip
_PANEL_PX = 366
_MARGIN_PX = 12
_TITLE_PX = 34


def draw_panels(path: Path, plain: Path, normalised: Path, rgb_bands: tuple[int, int, int]) -> None:
    """Draw two samples of one scene.

    Parameters
    ----------
    path : Path
        PNG to make.
    plain : Path
        Directory of a sample with plain reflectance and labels.
    normalised : Path
        Directory of the same scene, normalised.
    rgb_bands : (int, int, int)
        Numbers, from 1, of the bands to show as red, green and blue.
    """
    bands = band_count(str(plain / "x.tif"))
    input_rgb = np.stack([_thumbnail(plain / "x.tif", band) for band in rgb_bands])
    valid = _thumbnail(plain / "x.tif", bands)
    labels = _thumbnail(plain / "y.tif", 1).astype(np.int64)
    z = np.stack([_thumbnail(normalised / "x.tif", band) for band in rgb_bands])
    inside = (valid > 0)[np.newaxis]
    panels: dict[str, np.ndarray] = {
        "INPUT": _stretch(input_rgb, 0.02, 0.35) * inside,
        "VALID": np.repeat((valid * 255).astype(np.uint8)[np.newaxis], 3, axis=0),
        "LABEL": np.moveaxis(_SCL_COLOURS[np.clip(labels, 0, len(_SCL_COLOURS) - 1)], 2, 0),
        "NORMALIZED": _stretch(z, -1.5, 1.5) * inside,
    }
    write_png(path, _side_by_side(panels))


def _thumbnail(path: Path, band: int) -> np.ndarray:
    """Every n-th pixel of a band, at most _PANEL_PX a side."""
    grid = inspect_raster(str(path)).grid
    out = np.empty(grid.shape_yx, np.float32)
    reader = RasterReader(str(path), band=band)
    reader.read(Window(0, 0, *grid.shape_yx), out)
    reader.close()
    step = max(1, -(-max(grid.shape_yx) // _PANEL_PX))
    return out[::step, ::step]


def _stretch(values: np.ndarray, low: float, high: float) -> np.ndarray:
    share = np.clip((values - low) / (high - low), 0, 1)
    return (255 * share ** (1 / 1.6)).astype(np.uint8)


def _side_by_side(panels: dict[str, np.ndarray]) -> np.ndarray:
    height, width = next(iter(panels.values())).shape[1:]
    total = len(panels) * (width + _MARGIN_PX) + _MARGIN_PX
    sheet = np.full((3, height + _TITLE_PX + _MARGIN_PX, total), 225, np.uint8)
    for number, (title, panel) in enumerate(panels.items()):
        left = _MARGIN_PX + number * (width + _MARGIN_PX)
        sheet[:, _TITLE_PX : _TITLE_PX + height, left : left + width] = panel
        mask = text_mask(title, 2)[:, :width]
        sheet[:, 10 : 10 + mask.shape[0], left : left + mask.shape[1]][:, mask] = 40
    return sheet
