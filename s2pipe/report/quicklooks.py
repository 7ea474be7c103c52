"""Quicklooks of samples: what each raster shows, as small pictures."""

from __future__ import annotations

import base64
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from s2pipe.errors import RasterError
from s2pipe.raster.picture import encode_jpeg, encode_png, media_type
from s2pipe.raster.thumbnail import MAX_BLOCKS, read_thumbnail
from s2pipe.report.colours import (
    DEVIATIONS,
    FALSE_COLOUR,
    TRUE_COLOUR,
    band_places,
    classified,
    reflectance_rgb,
    scaled,
    stretched,
)
from s2pipe.report.model import Problem
from s2pipe.report.values import mapping, number
from s2pipe.runtime.cores import core_count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from s2pipe.report.model import SampleFacts

LARGE_SCENES = 24
"""Scenes with large quicklooks, evenly spread over the dataset; the others have small ones."""
FEWER_LARGE_SCENES, _MANY = 16, 600
"""As many in datasets of more samples: a page of 1,000 scenes of noise, which compresses worst, stays below 20 MB."""
_LARGE = (320, 76, MAX_BLOCKS)
_SMALL_SIDES = ((300, 64), (600, 48), (1200, 40))
"""Sides of small quicklooks, by the number of samples up to which they are so large: the page has to stay small."""
_LEAST_SIDE = 32
_SMALL_QUALITY, _SMALL_BLOCKS = 60, 25
_MASK_COLOURS = 5
_MOSAIC = "from some blocks of the raster, as it has no overviews"


@dataclass(frozen=True)
class Layer:
    """One picture of a scene."""

    kind: str
    """``true``, ``false``, ``normalized``, ``mask``, ``labels``, ``classes`` or ``angles``; numbered if several."""
    title: str
    """What it shows."""
    note: str
    """How it is drawn."""
    data: str
    """The picture as a ``data:`` address."""


@dataclass
class Quicklook:
    """The pictures of a sample, and some of its values."""

    layers: list[Layer] = field(default_factory=list)
    """Its pictures."""
    values: dict[str, np.ndarray] = field(default_factory=dict)
    """Valid values of bands, as they are in ``x.tif``; of scenes with large quicklooks alone."""
    problems: list[Problem] = field(default_factory=list)
    """Rasters that cannot be read."""
    is_large: bool = False
    """Whether its pictures are large."""


def make_quicklooks(samples: Sequence[SampleFacts], workers: int = 0) -> list[Quicklook]:
    """Draw all samples, in their order; the pictures do not depend on the number of threads."""
    sizes = sizes_of(len(samples))
    # Decoding releases the interpreter lock, so threads suffice.
    with ThreadPoolExecutor(core_count(workers), "s2pipe-report") as pool:
        try:
            return list(pool.map(_draw, samples, sizes))
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def sizes_of(count: int) -> list[tuple[int, int, int]]:
    """Return the side of pictures, their quality and the blocks to decode, for each of so many samples."""
    large = spread(count, LARGE_SCENES if count <= _MANY else FEWER_LARGE_SCENES)
    side = next((side for most, side in _SMALL_SIDES if count <= most), _LEAST_SIDE)
    return [_LARGE if place in large else (side, _SMALL_QUALITY, _SMALL_BLOCKS) for place in range(count)]


def spread(count: int, most: int) -> set[int]:
    """Return up to ``most`` of ``count`` positions, evenly spread."""
    return set(range(count)) if count <= most else {place * count // most for place in range(most)}


def _draw(sample: SampleFacts, size: tuple[int, int, int]) -> Quicklook:
    """Draw a sample; ``size`` is the side of pictures, their quality, and the blocks to decode."""
    look = Quicklook(is_large=size is _LARGE)
    for kind, draw in (
        ("x", _draw_bands),
        ("y", _draw_labels),
        ("quality", _draw_classes),
        ("angles", _draw_angles),
    ):
        if kind in sample.rasters:
            try:
                draw(sample, look, size)
            except RasterError as error:
                look.problems.append(Problem("damaged", sample.rasters[kind], str(sample.key), str(error)))
    return look


def _draw_bands(sample: SampleFacts, look: Quicklook, size: tuple[int, int, int]) -> None:
    names = sample.bands.get("x", ())
    masks = [place for place, name in enumerate(names) if name == "valid" or name.startswith("valid_")]
    bands = [place for place in range(len(names)) if place not in masks]
    true, false = band_places(names, TRUE_COLOUR), band_places(names, FALSE_COLOUR)
    first = (bands * 3)[:3]
    shown = sorted({*(true or first), *(false or []), *(bands if look.is_large else []), *masks})
    if not bands:
        return
    pixels, is_mosaic = read_thumbnail(str(sample.rasters["x"]), shown, size[0], size[2])
    of = {place: pixels[row] for row, place in enumerate(shown)}
    share = (
        np.mean([of[place] for place in masks], axis=0) if masks else np.ones(pixels.shape[1:], np.float32)
    )
    valid = (share >= 1.0).astype(np.float32)
    how = [_MOSAIC] if is_mosaic else []
    plain = {place: _plain(of[place], names[place], sample) for place in of if place not in masks}
    combinations = [("true", "True colour", true)] if true else [("true", "First bands", first)]
    combinations += [("false", "False colour", false)] if false else []
    for kind, title, places in combinations:
        rgb = reflectance_rgb(np.stack([plain[place] for place in places or first]), valid, sample.unit)
        note = ", ".join([" ".join(dict.fromkeys(names[place] for place in places or first)), *how])
        look.layers.append(Layer(kind, title, note, _address(encode_jpeg(rgb, size[1]))))
    if sample.is_normalized:
        rgb = stretched(np.stack([of[place] for place in true or first]), DEVIATIONS)
        rgb *= valid[..., np.newaxis].astype(np.uint8)
        note = ", ".join([f"{DEVIATIONS[0]:g} to {DEVIATIONS[1]:g} standard deviations", *how])
        look.layers.append(Layer("normalized", "Normalised", note, _address(encode_jpeg(rgb, size[1]))))
    if masks:
        levels = np.rint(share * (_MASK_COLOURS - 1)).astype(np.uint8)
        palette = ["#101418", "#40474f", "#79828c", "#b3bbc3", "#f4f6f8"]
        note = "black: no data" if len(masks) == 1 else "white: all bands valid; black: none"
        look.layers.append(Layer("mask", "Validity", note, _address(encode_png(levels, palette))))
    if look.is_large:
        own = {place: of[place][_own_mask(names, place, masks, of, valid) > 0] for place in bands}
        look.values = {names[place]: found for place, found in own.items()}


def _own_mask(
    names: Sequence[str], place: int, masks: Sequence[int], of: dict[int, np.ndarray], valid: np.ndarray
) -> np.ndarray:
    """Mask of a band, or that of all bands."""
    own = [mask for mask in masks if names[mask] == f"valid_{names[place]}"]
    return of[own[0]] if own else valid


def _plain(values: np.ndarray, band: str, sample: SampleFacts) -> np.ndarray:
    """Values of a band before normalization; what was clipped stays so."""
    if not sample.is_normalized:
        return values
    mean = number(mapping(sample.normalization.get("mean_by_band")).get(band)) or 0.0
    std = number(mapping(sample.normalization.get("std_by_band")).get(band)) or 1.0
    return values * np.float32(std) + np.float32(mean)


def _draw_labels(sample: SampleFacts, look: Quicklook, size: tuple[int, int, int]) -> None:
    places = list(range(len(sample.targets)))
    if not places:
        return
    pixels, is_mosaic = read_thumbnail(str(sample.rasters["y"]), places, size[0], size[2])
    for place, (target, values) in enumerate(zip(sample.targets, pixels, strict=True)):
        kind = "labels" if place == 0 else f"labels{place + 1}"
        title = f"Labels: {target.name}" if target.name else "Labels"
        if target.meaning.ignore_index is None:
            indices, palette, limits = scaled(values)
            note = "no value" if limits is None else f"{limits[0]:.4g} to {limits[1]:.4g}"
        else:
            indices, palette = classified(values.astype(np.int64), target.meaning)
            note = target.meaning.source
        note = ", ".join([part for part in (note, _MOSAIC if is_mosaic else "") if part])
        look.layers.append(Layer(kind, title, note, _address(encode_png(indices, palette))))


def _draw_classes(sample: SampleFacts, look: Quicklook, size: tuple[int, int, int]) -> None:
    if sample.quality is None:
        return
    pixels, _ = read_thumbnail(str(sample.rasters["quality"]), [0], size[0], size[2])
    indices, palette = classified(pixels[0].astype(np.int64), sample.quality)
    note = f"{sample.quality.source}; patches are screened by them"
    look.layers.append(Layer("classes", "Scene classes", note, _address(encode_png(indices, palette))))


def _draw_angles(sample: SampleFacts, look: Quicklook, size: tuple[int, int, int]) -> None:
    names = sample.bands.get("angles", ())
    chosen = [
        place
        for direction in ("sun", "view")
        for place in [next((p for p, name in enumerate(names) if name.startswith(direction)), None)]
        if place is not None
    ]
    if not chosen:
        return
    pixels, _ = read_thumbnail(str(sample.rasters["angles"]), chosen, size[0], size[2])
    for order, (place, values) in enumerate(zip(chosen, pixels, strict=True), 1):
        indices, palette, limits = scaled(values)
        note = "no value" if limits is None else f"{limits[0]:.4g} to {limits[1]:.4g}"
        kind = "angles" if order == 1 else f"angles{order}"
        title = f"Angles: {names[place]}"
        look.layers.append(Layer(kind, title, note, _address(encode_png(indices, palette))))


def _address(data: bytes) -> str:
    return f"data:{media_type(data)};base64,{base64.b64encode(data).decode()}"
