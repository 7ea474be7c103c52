"""The raster ``y.tif``: sources brought onto the target grid, classified and mapped to labels."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import numpy as np

from s2pipe.errors import S2PipeError
from s2pipe.preprocess.pixels.blocks import scene_windows, stream_windows
from s2pipe.raster.reader import RasterReader
from s2pipe.raster.vrt import WarpSpec, warped_vrt
from s2pipe.raster.writer import TiffSpec, TiffWriter

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from s2pipe.dataset.label_meaning import LabelMeaning
    from s2pipe.preprocess.cfg import LabelConfig
    from s2pipe.preprocess.labels.backends import LabelBackend, LabelInput, LabelSource
    from s2pipe.raster.grid import Grid

_GDAL_DTYPES = {"uint8": "Byte", "uint16": "UInt16", "float32": "Float32"}


def label_table(config: LabelConfig, dtype: str = "uint8", class_limit: int = 255) -> np.ndarray:
    """Return the lookup table from class to label.

    Parameters
    ----------
    config : LabelConfig
        Mapping and ignore index.
    dtype : str
        Type of the classes, uint8 or uint16; the largest value means that there is none.
    class_limit : int
        Largest class that keeps its number when there is no mapping.

    Returns
    -------
    ndarray (256,) or (65536,)
        uint8, or uint16 when a label or the ignore index does not fit: the type of ``y.tif``.
    """
    size = int(np.iinfo(dtype).max) + 1
    table = np.full(size, config.ignore_index, np.int64)
    if config.mapping is None:
        kept = min(class_limit + 1, size)
        table[:kept] = np.arange(kept)
    else:
        for source, target in config.mapping.items():
            if source < size:
                table[source] = target
    table[size - 1] = config.ignore_index
    highest = max(int(table.max()), config.ignore_index)
    return table.astype(np.uint8 if highest <= 255 else np.uint16)


def write_labels(
    path: Path, labels: LabelInput, target: Grid, config: LabelConfig
) -> tuple[dict[str, Any], str]:
    """Write the label raster of a scene.

    Parameters
    ----------
    path : Path
        GeoTIFF to make.
    labels : LabelInput
        Backend and rasters.
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

    backend = labels.backend
    limit = backend.class_limit(labels.rasters)
    tables = {kind: label_table(config, kind, limit) for kind in ("uint8", "uint16")}
    dtype = tables["uint8" if backend.dtype == "uint8" else "uint16"].dtype
    counts = np.zeros(max(int(table.max()) for table in tables.values()) + 1, np.int64)
    windows = scene_windows(target)
    with ExitStack() as stack:
        readers = [
            _open_source(source, target, backend, config) for source in backend.sources(labels.rasters)
        ]
        for reader in readers:
            stack.callback(reader.close)
        spec = TiffSpec(target, ("label",), dtype.name, nodata=config.ignore_index)
        writer = stack.enter_context(TiffWriter(path, spec))
        stream = stream_windows(readers, windows, workers=1, look_ahead=2, dtype=backend.dtype)
        stack.callback(stream.close)
        for window, sources in stream:
            classes = _checked(backend.classify(*sources), window.shape_yx, backend)
            if config.mapping is None and backend.dtype != "uint8":
                _check_limit(classes, limit, backend)
            table = tables[classes.dtype.name].astype(dtype, copy=False)
            out = np.empty((1, *window.shape_yx), dtype)
            map_labels(classes, table, out[0], counts)
            writer.write(window, out)
    return label_stats(counts, labels.meaning), dtype.name


def _open_source(
    source: LabelSource, target: Grid, backend: LabelBackend, config: LabelConfig
) -> RasterReader:
    """Open a source on the target grid, with a value outside of it that no class has."""
    raster = source.raster
    label = raster.path if not raster.path.startswith("<") else f"source of labels {config.backend}"
    if raster.grid == target and source.nodata is None:
        return RasterReader(raster.path, label, formats=raster.formats)
    fill = float("nan") if backend.dtype == "float32" else float(np.iinfo(backend.dtype).max)
    spec = WarpSpec(config.resampling, _GDAL_DTYPES[backend.dtype], source.nodata, fill, max_error=0.0)
    return RasterReader(warped_vrt(raster, target, spec), label, formats=raster.formats)


def _checked(classes: np.ndarray, shape_yx: tuple[int, int], backend: LabelBackend) -> np.ndarray:
    name = type(backend).__name__
    if not isinstance(classes, np.ndarray) or classes.shape != shape_yx:
        got = getattr(classes, "shape", type(classes).__name__)
        msg = f"{name}.classify: expected classes of shape {shape_yx}, got {got}"
        raise S2PipeError(msg)
    if classes.dtype not in (np.uint8, np.uint16):
        msg = f"{name}.classify: expected uint8 or uint16, got {classes.dtype}; convert it with astype"
        raise S2PipeError(msg)
    return np.ascontiguousarray(classes)


def _check_limit(classes: np.ndarray, limit: int, backend: LabelBackend) -> None:
    none = np.iinfo(classes.dtype).max
    if none <= limit:
        return
    highest = int(np.max(classes, where=classes != none, initial=0))
    if highest > limit:
        msg = (
            f"{type(backend).__name__}.classify: class {highest} is above {limit}; name it in class_names, or map it "
            "with labels.mapping"
        )
        raise S2PipeError(msg)


def label_stats(counts: np.ndarray, meaning: LabelMeaning) -> dict[str, Any]:
    """Turn counts by label into the statistics of ``meta.json``; ratios are of all pixels of the grid."""
    total = int(counts.sum())
    found: Mapping[int, int] = {int(label): int(counts[label]) for label in np.flatnonzero(counts)}
    stats: dict[str, Any] = {
        "pixels": total,
        "ignore_index": meaning.ignore_index,
        "ignored": found.get(meaning.ignore_index, 0),
        "counts": {str(label): count for label, count in found.items()},
        "ratios": {str(label): count / total for label, count in found.items()} if total else {},
    }
    if meaning.names:
        stats["class_names"] = {str(label): meaning.names[label] for label in found if label in meaning.names}
    return stats
