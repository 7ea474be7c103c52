"""Labels: the L2A scene classification, brought onto the target grid and mapped to training classes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from s2pipe.bands import SCL_CLASSES
from s2pipe.preprocess.blocks import scene_windows, stream_windows
from s2pipe.preprocess.cfg import LabelConfig
from s2pipe.raster.grid import Grid, RasterInfo
from s2pipe.raster.reader import RasterReader
from s2pipe.raster.vrt import WarpSpec, warped_vrt
from s2pipe.raster.writer import TiffSpec, TiffWriter

OUTSIDE = 255
"""Source value that stands for pixels outside the source's coverage while labels are read."""


def label_table(config: LabelConfig) -> np.ndarray:
    """Return the lookup table from source class to label.

    Returns
    -------
    ndarray (256,)
        uint8, or uint16 when a label or the ignore index does not fit: the type of ``y.tif``.
    """
    if config.mapping is None:
        table = np.arange(256, dtype=np.int64)
    else:
        table = np.full(256, config.ignore_index, np.int64)
        for source, target in config.mapping.items():
            table[source] = target
    table[OUTSIDE] = config.ignore_index
    return table.astype(np.min_scalar_type(max(int(table.max()), config.ignore_index)))


def write_labels(
    path: Path, source: RasterInfo, target: Grid, config: LabelConfig
) -> tuple[dict[str, Any], str]:
    """Write the label raster of a scene.

    Parameters
    ----------
    path : Path
        GeoTIFF to make.
    source : RasterInfo
        The scene classification.
    target : Grid
        Target grid.
    config : LabelConfig
        Mapping, ignore index, resampling.

    Returns
    -------
    (dict, str)
        Statistics for ``meta.json`` (pixels, counts and ratios by label, ignored pixels), and the pixel type.
    """
    from s2kernels import map_labels

    table = label_table(config)
    counts = np.zeros(int(table.max()) + 1, np.int64)
    spec = WarpSpec(config.resampling, dtype="Byte", source_nodata=None, fill=OUTSIDE)
    text = source.path if source.grid == target else warped_vrt(source, target, spec)
    reader = RasterReader(text, source.path)
    tiff = TiffSpec(target, ("label",), table.dtype.name, nodata=config.ignore_index)
    windows = scene_windows(target)
    with TiffWriter(path, tiff) as writer:
        for window, classes in stream_windows([reader], windows, workers=1, look_ahead=2, dtype="uint8"):
            labels = np.empty((1, *window.shape_yx), table.dtype)
            map_labels(classes[0], table, labels[0], counts)
            writer.write(window, labels)
    reader.close()
    return label_stats(counts, config), table.dtype.name


def label_stats(counts: np.ndarray, config: LabelConfig) -> dict[str, Any]:
    """Turn counts by label into the statistics of ``meta.json``; ratios are of all pixels of the grid."""
    total = int(counts.sum())
    found: Mapping[int, int] = {int(label): int(counts[label]) for label in np.flatnonzero(counts)}
    ignored = found.get(config.ignore_index, 0)
    stats: dict[str, Any] = {
        "pixels": total,
        "ignore_index": config.ignore_index,
        "ignored": ignored,
        "counts": {str(label): count for label, count in found.items()},
        "ratios": {str(label): count / total for label, count in found.items()} if total else {},
    }
    if config.mapping is None:
        stats["class_names"] = {str(label): SCL_CLASSES[label] for label in found if label in SCL_CLASSES}
    return stats
