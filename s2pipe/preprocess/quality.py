"""The raster ``q.tif``: scene classes and cloud probability on the target grid, whatever the labels are."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import numpy as np

from s2pipe.dataset.label_meaning import LabelMeaning
from s2pipe.dataset.samples import NO_QUALITY
from s2pipe.preprocess.pixels.blocks import TargetReader, scene_windows, stream_windows
from s2pipe.raster.reader import RasterReader
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
    from pathlib import Path

    from s2pipe.preprocess.inputs import QualityInput
    from s2pipe.raster.grid import Grid, RasterInfo, TargetGrid

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


def write_quality(path: Path, quality: QualityInput, target: TargetGrid) -> dict[str, Any]:
    """Write ``q.tif``: the nearest scene class and cloud probability of every pixel.

    Parameters
    ----------
    path : Path
        GeoTIFF to make.
    quality : QualityInput
        Scene classification and, where the products have it, cloud probability.
    target : TargetGrid
        Target grid.

    Returns
    -------
    dict
        What ``meta.json`` says of it.
    """
    rasters = quality.rasters
    counts = np.zeros(256, np.int64)
    windows = scene_windows(target.grid)
    with ExitStack() as stack:
        readers = [_open_source(raster, target.reference) for raster in rasters]
        for reader in readers:
            stack.callback(reader.close)
        spec = TiffSpec(target.grid, QUALITY_BANDS, "uint8", nodata=NO_QUALITY)
        writer = stack.enter_context(TiffWriter(path, spec))
        on_target = [TargetReader(reader, target) for reader in readers]
        stream = stream_windows(on_target, windows, workers=1, look_ahead=2, dtype="uint8")
        stack.callback(stream.close)
        for window, found in stream:
            out = np.full((len(QUALITY_BANDS), *window.shape_yx), NO_QUALITY, np.uint8)
            out[: len(found)] = found
            counts += np.bincount(out[0].ravel(), minlength=256)
            writer.write(window, out)
    return {
        "enabled": True,
        "classes": _CLASSES.to_document(),
        "cloud_probability": None if quality.cloud_probability is None else roles.L2A_CLOUD_PROBABILITY,
        "resampling": {
            name: "none" if raster.grid == target.reference else "nearest"
            for name, raster in zip(QUALITY_BANDS, rasters, strict=False)
        },
        "counts": {str(value): int(counts[value]) for value in np.flatnonzero(counts)},
    }


def _open_source(raster: RasterInfo, target: Grid) -> RasterReader:
    """Open a raster of bytes on the target grid, with 255 outside of it."""
    if raster.grid == target:
        return RasterReader(raster.path, formats=raster.formats)
    spec = WarpSpec("nearest", "Byte", None, float(NO_QUALITY), max_error=0.0)
    return RasterReader(warped_vrt(raster, target, spec), raster.path, formats=raster.formats)
