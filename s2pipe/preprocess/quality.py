"""The raster ``q.tif``: scene classes and cloud probability on the target grid, whatever the labels are."""

from __future__ import annotations

import functools
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import numpy as np

from s2pipe.dataset.label_meaning import LabelMeaning
from s2pipe.dataset.samples import NO_QUALITY
from s2pipe.preprocess.pixels.blocks import TargetReader, scene_windows, stream_windows
from s2pipe.preprocess.pixels.chosen import Chosen
from s2pipe.preprocess.raster_tags import PLAIN_FORM, RasterForm
from s2pipe.raster.class_table import ClassTable, write_sidecar
from s2pipe.raster.reader import RasterReader
from s2pipe.raster.tags import BandStatistics, BandTags
from s2pipe.raster.vrt import WarpSpec, warped_vrt
from s2pipe.raster.writer import TiffSpec, TiffWriter
from s2pipe.sentinel2 import roles
from s2pipe.sentinel2.bands import (
    SCL_CLASSES,
    SCL_CLOUD,
    SCL_COLORS,
    SCL_SHADOW,
    SCL_SNOW,
    SCL_WATER,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from s2pipe.preprocess.inputs import QualityInput
    from s2pipe.preprocess.pixels.blocks import BandReader
    from s2pipe.raster.grid import RasterInfo, TargetGrid

QUALITY_NAME = "q.tif"
QUALITY_BANDS = ("scl", "cloud_probability")
"""Bands of ``q.tif``."""
_CLASSES = LabelMeaning(
    "L2A scene classification",
    NO_QUALITY,
    SCL_CLASSES,
    SCL_COLORS,
    {"cloud": SCL_CLOUD, "shadow": SCL_SHADOW, "snow": SCL_SNOW, "water": SCL_WATER},
)

_TAGS = (BandTags(metadata={"": {"source": _CLASSES.source}}), BandTags("%"))


def write_quality(
    path: Path,
    quality: QualityInput,
    target: TargetGrid,
    chosen: Chosen = Chosen(),  # noqa: B008 - frozen
    others: Sequence[QualityInput] = (),
    form: RasterForm = PLAIN_FORM,
) -> dict[str, Any]:
    """Write ``q.tif``: the nearest scene class and cloud probability of every pixel.

    Parameters
    ----------
    path : Path
        GeoTIFF to make.
    quality : QualityInput
        Scene classification and, where the products have it, cloud probability.
    target : TargetGrid
        Target grid.
    chosen : Chosen
        Which source each pixel of a mosaic is from.
    others : sequence of QualityInput
        Inputs of its further sources.
    form : RasterForm, optional
        What all rasters of the scene have in common.

    Returns
    -------
    dict
        What ``meta.json`` says of it.
    """
    sources = [item.rasters for item in (quality, *others)]
    rasters = max(sources, key=len)
    counts = np.zeros((len(QUALITY_BANDS), 256), np.int64)
    windows = scene_windows(target.grid)
    with ExitStack() as stack:
        spec = TiffSpec(target.grid, QUALITY_BANDS, "uint8", nodata=NO_QUALITY, palette=SCL_COLORS)
        spec = form.apply(spec, "Scene classification and cloud probability", _TAGS)
        writer = stack.enter_context(TiffWriter(path, spec))

        def open_band(band: int, source: int) -> BandReader | None:
            own = sources[source][band : band + 1]
            return _open_source(own[0], target, stack) if own else None

        on_target = [
            chosen.reader(len(sources), functools.partial(open_band, band), NO_QUALITY, stack)
            for band in range(len(rasters))
        ]
        stream = stream_windows(on_target, windows, workers=1, look_ahead=2, dtype="uint8")
        stack.callback(stream.close)
        for window, read in stream:
            out = np.full((len(QUALITY_BANDS), *window.shape_yx), NO_QUALITY, np.uint8)
            out[: len(read)] = read
            counts += [np.bincount(values.ravel(), minlength=256) for values in out]
            writer.write(window, out)
        found = [{int(value): int(band[value]) for value in np.flatnonzero(band)} for band in counts]
        writer.state([BandStatistics.of_counts(band, NO_QUALITY) for band in found])
    table = ClassTable(SCL_CLASSES, SCL_COLORS, found[0], NO_QUALITY, with_palette=not writer.has_palette)
    write_sidecar(path, {1: table})
    return _document(rasters, target, found[0])


def _document(
    rasters: Sequence[RasterInfo], target: TargetGrid, class_counts: dict[int, int]
) -> dict[str, Any]:
    return {
        "enabled": True,
        "classes": _CLASSES.to_document(),
        "cloud_probability": None if len(rasters) < len(QUALITY_BANDS) else roles.L2A_CLOUD_PROBABILITY,
        "resampling": {
            name: "none" if raster.grid == target.reference else "nearest"
            for name, raster in zip(QUALITY_BANDS, rasters, strict=False)
        },
        "counts": {str(value): count for value, count in class_counts.items()},
    }


def _open_source(raster: RasterInfo, target: TargetGrid, exits: ExitStack) -> TargetReader:
    """Open a raster of bytes on the target grid, with 255 outside of it."""
    text = raster.path
    if raster.grid != target.reference:
        spec = WarpSpec("nearest", "Byte", None, float(NO_QUALITY), max_error=0.0)
        text = warped_vrt(raster, target.reference, spec)
    reader = RasterReader(text, raster.path, formats=raster.formats)
    exits.callback(reader.close)
    return TargetReader(reader, target)
