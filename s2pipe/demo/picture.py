"""The picture of a demonstration: input, validity, labels and normalised output side by side.

Matplotlib draws it (extra ``figures``) and is imported only when it does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from s2pipe.config.documents import read_json
from s2pipe.dataset.label_meaning import LabelMeaning
from s2pipe.raster.formats import GEOTIFF
from s2pipe.raster.grid import Window
from s2pipe.raster.reader import RasterReader, band_count, inspect_raster
from s2pipe.runtime.files import atomic_path

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_VALIDITY_COLOURS = {0: "#000000", 1: "#ffffff"}
_NO_COLOUR = "#7f7f7f"
_SOURCE_COLOURS = {0: "#000000", 1: "#2f7fb8", 2: "#e0a030"}
_LAST_BAND = 4
_FACTOR_RANGE = (0.98, 1.08)
_MOST_NAME = 28
"""Characters of a name in a legend."""
_PANEL_PX = 366
_MARGIN_PX = 14
_TITLE_PX = 34
_LEGEND_PX = 96
_DPI = 100
_REFLECTANCE_RANGE = (0.02, 0.35)
_REFLECTANCE_GAMMA = 1.6
_NORMALISED_RANGE = (-1.5, 1.5)


def can_draw() -> bool:
    """Tell whether Matplotlib can be imported; the extra ``figures`` installs it."""
    try:
        import matplotlib as mpl  # noqa: F401 - only whether it is there
    except ImportError:
        return False
    return True


def draw_panels(path: Path, plain: Path, normalised: Path, rgb_bands: tuple[int, int, int]) -> None:
    """Draw two samples of one scene.

    The same samples give the same bytes with the same Matplotlib: the file holds no time and no version.

    Parameters
    ----------
    path : Path
        PNG to write.
    plain : Path
        Directory of a sample with plain reflectance and labels.
    normalised : Path
        Directory of the same scene, normalised.
    rgb_bands : (int, int, int)
        Band numbers, from 1, to show as red, green and blue.
    """
    true_colour = np.stack([_thumbnail(plain / "x.tif", band) for band in rgb_bands], axis=-1)
    valid = _thumbnail(plain / "x.tif", band_count(str(plain / "x.tif"))).astype(np.uint8)
    labels = _thumbnail(plain / "y.tif", 1).astype(np.int64)
    meaning = LabelMeaning.from_document(read_json(plain / "meta.json")["labels"]["meaning"])
    z = np.stack([_thumbnail(normalised / "x.tif", band) for band in rgb_bands], axis=-1)
    inside = valid[..., np.newaxis]

    figure, panels = _panels(4)
    _show(
        panels[0],
        "True colour (reflectance)",
        _stretch(true_colour, _REFLECTANCE_RANGE, _REFLECTANCE_GAMMA) * inside,
    )
    _show(panels[1], "Validity", _drawn(valid, _VALIDITY_COLOURS))
    _legend(panels[1], _VALIDITY_COLOURS, {0: "no data", 1: "valid"})
    found = np.unique(labels).tolist()
    colours = {label: meaning.colors.get(label, _NO_COLOUR) for label in found}
    names = {label: meaning.names.get(label, f"label {label}")[:_MOST_NAME] for label in found}
    if meaning.ignore_index in names:
        names[meaning.ignore_index] = "no label"
    _show(panels[2], f"Labels ({meaning.source})", _drawn(labels, colours))
    _legend(panels[2], colours, names)
    low, high = _NORMALISED_RANGE
    title = f"Normalised ({low:g} to {high:g} standard deviations)"
    _show(panels[3], title, _stretch(z, _NORMALISED_RANGE) * inside)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", metadata={"Software": None}, pil_kwargs={"optimize": True})


def draw_reach(
    path: Path,
    samples: tuple[Path, Path],
    rgb_bands: tuple[int, int, int],
    patches: Sequence[tuple[int, int, int]],
) -> None:
    """Draw a mosaic: which source its pixels are from, as observed, as seen from nadir, and what that changed.

    Parameters
    ----------
    path : Path
        PNG to write.
    samples : (Path, Path)
        Directories of the mosaic as observed, and as seen from nadir.
    rgb_bands : (int, int, int)
        Band numbers, from 1, to show as red, green and blue.
    patches : sequence of (int, int, int)
        Row, column and side of the patches to draw.
    """
    number = _thumbnail(samples[0] / "source.tif", 1).astype(np.uint8)
    sources = read_json(samples[0] / "meta.json")["mosaic"]["sources"]
    names = {0: "outside", **{item["number"]: item["key"]["tile_id"] for item in sources}}
    inside = (number > 0)[..., np.newaxis]
    images = [
        np.stack([_thumbnail(sample / "x.tif", band) for band in rgb_bands], axis=-1) for sample in samples
    ]
    figure, panels = _panels(4)
    _show(panels[0], "source.tif: tile of each pixel", _drawn(number, _SOURCE_COLOURS))
    _legend(panels[0], {code: _SOURCE_COLOURS[code] for code in names}, names)
    for axes, image, title in zip(panels[1:], images, ("As observed", "As seen from nadir"), strict=False):
        _show(axes, title, _stretch(image, _REFLECTANCE_RANGE, _REFLECTANCE_GAMMA) * inside)
    _outline(panels[2], patches, samples[1] / "x.tif")
    near_infrared = [_thumbnail(sample / "x.tif", _LAST_BAND) for sample in samples]
    with np.errstate(divide="ignore", invalid="ignore"):
        factor = np.where(number > 0, near_infrared[1] / near_infrared[0], 1.0)
    low, high = _FACTOR_RANGE
    _show(
        panels[3], f"c-factor of B8A ({low:g} dark to {high:g} bright)", _grey(factor, _FACTOR_RANGE) * inside
    )
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", metadata={"Software": None}, pil_kwargs={"optimize": True})


def _outline(axes: Axes, patches: Sequence[tuple[int, int, int]], path: Path) -> None:
    """Draw the sides of patches on a panel that shows a raster."""
    from matplotlib.patches import Rectangle

    step = _step(inspect_raster(str(path), GEOTIFF).grid.shape_yx)
    for row, col, side in patches:
        corner = (col / step - 0.5, row / step - 0.5)
        axes.add_patch(
            Rectangle(corner, side / step, side / step, fill=False, edgecolor="white", linewidth=0.8)
        )


def _step(shape_yx: tuple[int, int]) -> int:
    """Every how many pixels a panel shows one."""
    return max(1, -(-max(shape_yx) // _PANEL_PX))


def _grey(values: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
    return np.repeat(_stretch(values, limits)[..., np.newaxis], 3, axis=-1)


def _panels(count: int) -> tuple[Figure, list[Axes]]:
    """Axes side by side, one image pixel per pixel of the picture, with room for titles and legends."""
    from matplotlib.figure import Figure

    width = count * (_PANEL_PX + _MARGIN_PX) + _MARGIN_PX
    height = _TITLE_PX + _PANEL_PX + _LEGEND_PX
    # Not pyplot: its figures and their settings are the user's.
    figure = Figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI)
    lefts = [_MARGIN_PX + number * (_PANEL_PX + _MARGIN_PX) for number in range(count)]
    bottom, side_x, side_y = _LEGEND_PX / height, _PANEL_PX / width, _PANEL_PX / height
    return figure, [figure.add_axes((left / width, bottom, side_x, side_y)) for left in lefts]


def _thumbnail(path: Path, band: int) -> np.ndarray:
    """Every n-th pixel of a band, at most _PANEL_PX per side."""
    grid = inspect_raster(str(path), GEOTIFF).grid
    out = np.empty(grid.shape_yx, np.float32)
    reader = RasterReader(str(path), band=band, formats=GEOTIFF)
    reader.read(Window(0, 0, *grid.shape_yx), out)
    reader.close()
    step = _step(grid.shape_yx)
    return out[::step, ::step]


def _stretch(values: np.ndarray, limits: tuple[float, float], gamma: float = 1.0) -> np.ndarray:
    """Scale values between two limits to uint8; a gamma above 1 brightens the dark ones."""
    low, high = limits
    share = np.clip((values - low) / (high - low), 0, 1)
    stretched: np.ndarray = (255 * share ** (1 / gamma)).astype(np.uint8)
    return stretched


def _drawn(values: np.ndarray, colours: Mapping[int, str]) -> np.ndarray:
    """Values in their colours, (y, x, 3) uint8."""
    rgb = np.zeros((*values.shape, 3), np.uint8)
    for value, colour in colours.items():
        rgb[values == value] = tuple(bytes.fromhex(colour[1:]))
    return rgb


def _show(axes: Axes, title: str, rgb: np.ndarray) -> None:
    axes.imshow(rgb, interpolation="nearest")
    axes.set_title(title, fontsize=10)
    axes.set_xticks([])
    axes.set_yticks([])


def _legend(axes: Axes, colours: Mapping[int, str], names: Mapping[int, str]) -> None:
    """Explain a panel's colours beneath it."""
    from matplotlib.patches import Patch

    handles = [
        Patch(facecolor=colours[code], edgecolor="0.5", linewidth=0.5, label=name)
        for code, name in names.items()
    ]
    axes.legend(
        handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.02), ncols=2, fontsize=8, frameon=False
    )
