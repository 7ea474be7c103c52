"""Labels: a source brought onto the target grid, classified and mapped to training classes.

A backend is a small class. Those of s2pipe are ``scl``, ``raster`` and ``cloud_probability``; configurations name
any other by its import path, ``my_package.labels:Burned``.
"""

from __future__ import annotations

import importlib
import inspect
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from s2pipe.errors import ConfigError, Fault, RasterError, S2PipeError
from s2pipe.preprocess.pixels.blocks import scene_windows, stream_windows
from s2pipe.raster.grid import Grid, RasterInfo
from s2pipe.raster.reader import RasterReader
from s2pipe.raster.vrt import WarpSpec, lut_vrt, warped_vrt
from s2pipe.raster.writer import TiffSpec, TiffWriter
from s2pipe.runtime.hashing import hash_file
from s2pipe.sentinel2 import roles
from s2pipe.sentinel2.bands import SCL_CLASSES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from s2pipe.dataset.scene_key import SceneKey
    from s2pipe.preprocess.cfg import LabelConfig

NO_LABEL = 65535
"""Class of a pixel that has none, in uint16 arrays; it becomes the ignore index."""
NO_LABEL_8 = 255
"""The same in uint8 arrays."""
_GDAL_DTYPES = {"uint8": "Byte", "uint16": "UInt16", "float32": "Float32"}


@dataclass(frozen=True)
class LabelSource:
    """A raster that labels are made from."""

    raster: RasterInfo
    """The file, or VRT text in its ``path``."""
    nodata: float | None = None
    """Source value without meaning; None when every value has one."""


class LabelBackend:
    """One way to make labels; write a subclass with ``roles`` and ``classify`` for labels of your own.

    Classes may depend on their own pixel only: images come window by window. Where a pixel lies outside a
    source (or on its nodata value), an array holds NaN, or the largest value of ``uint8`` and ``uint16``.
    """

    roles: ClassVar[tuple[str, ...]] = ()
    """Roles that every scene must have, such as ``l2a.band.B12_20m``."""
    class_names: ClassVar[Mapping[int, str]] = {}
    """Names of the classes, for ``meta.json``."""
    dtype: ClassVar[str] = "float32"
    """Type of the arrays that ``classify`` is given: uint8, uint16 or float32."""

    def __init__(self, config: LabelConfig) -> None:
        self.config = config

    def files(self, key: SceneKey) -> tuple[Path, ...]:  # noqa: ARG002 - for subclasses
        """Return files beside the manifest's that labels of a scene come from; they must exist."""
        return ()

    def sources(self, rasters: Sequence[RasterInfo]) -> tuple[LabelSource, ...]:
        """Turn the rasters of ``roles``, then those of ``files``, into the sources of ``classify``."""
        return tuple(LabelSource(raster) for raster in rasters)

    def class_limit(self, rasters: Sequence[RasterInfo]) -> int:  # noqa: ARG002 - for subclasses
        """Return the largest class, which decides the pixel type when there is no mapping."""
        return max([255, *self.class_names])

    def classify(self, *sources: np.ndarray) -> np.ndarray:
        """Turn a window of every source, (y, x), into classes, uint8 or uint16 (y, x)."""
        msg = f"{type(self).__name__} has no method classify"
        raise NotImplementedError(msg)


class SceneClassification(LabelBackend):
    """``scl``: the classes of the L2A scene classification."""

    roles = (roles.L2A_SCL,)
    class_names = SCL_CLASSES
    dtype = "uint8"

    def classify(self, *sources: np.ndarray) -> np.ndarray:
        """Leave the classes as they are."""
        return sources[0]


class LabelRaster(LabelBackend):
    """``raster``: the classes of any georeferenced raster, one for all scenes or one for each."""

    dtype = "uint16"

    def files(self, key: SceneKey) -> tuple[Path, ...]:
        """Put the scene's tile and date into the configured path."""
        return (Path((self.config.path or "").format(tile_id=key.tile_id, date=key.date)),)

    def sources(self, rasters: Sequence[RasterInfo]) -> tuple[LabelSource, ...]:
        """Check that the raster holds classes."""
        (raster,) = rasters
        if raster.dtype not in ("Byte", "UInt16"):
            msg = (
                f"{raster.path}: labels must be whole numbers from 0 to 65534: expected pixel type Byte or UInt16, "
                f"got {raster.dtype}; convert it, e.g. with gdal_translate -ot UInt16"
            )
            raise RasterError(msg)
        return (LabelSource(raster, raster.nodata),)

    def class_limit(self, rasters: Sequence[RasterInfo]) -> int:
        """255 for rasters of bytes."""
        return 255 if all(raster.dtype == "Byte" for raster in rasters) else NO_LABEL - 1

    def classify(self, *sources: np.ndarray) -> np.ndarray:
        """Leave the classes as they are."""
        return sources[0]


class CloudProbability(LabelBackend):
    """``cloud_probability``: 1 where the L2A cloud probability reaches the threshold, else 0.

    The probability is 0 outside the image too; the scene classification tells where the image is.
    """

    roles = (roles.L2A_CLOUD_PROBABILITY, roles.L2A_SCL)
    class_names: ClassVar[Mapping[int, str]] = {0: "clear", 1: "cloud"}
    dtype = "uint8"

    def sources(self, rasters: Sequence[RasterInfo]) -> tuple[LabelSource, ...]:
        """Apply the threshold to the source's own pixels, so that mode is the majority of cloud or clear."""
        probability, classes = rasters
        threshold = self.config.threshold
        table = ((0, 0), (threshold - 1, 0), (threshold, 1), (255, 1))
        cloud = lut_vrt(probability, table if threshold > 1 else table[1:], "Byte")
        return LabelSource(cloud), LabelSource(classes)

    def classify(self, *sources: np.ndarray) -> np.ndarray:
        """Take the label from pixels without image."""
        cloud, classes = sources
        return np.where((classes == 0) | (classes == NO_LABEL_8), np.uint8(NO_LABEL_8), cloud)


_BACKENDS: dict[str, type[LabelBackend]] = {
    "scl": SceneClassification,
    "raster": LabelRaster,
    "cloud_probability": CloudProbability,
}


def load_backend(config: LabelConfig) -> LabelBackend:
    """Make the backend that a configuration names.

    Raises
    ------
    ConfigError
        Its module cannot be imported, or has no such class.
    """
    if config.backend in _BACKENDS:
        return _BACKENDS[config.backend](config)
    module_name, _, name = config.backend.partition(":")
    reason = f"has no class {name} derived from s2pipe.preprocess.labels.backends.LabelBackend"
    try:
        found = getattr(importlib.import_module(module_name), name, None)
    except ImportError as error:
        found, reason = None, f"cannot be imported ({error}); is its directory in PYTHONPATH?"
    if not (isinstance(found, type) and issubclass(found, LabelBackend)):
        msg = "labels"
        raise ConfigError(msg, [Fault("preprocess.labels.backend", f"{module_name} {reason}")])
    return found(config)


def backend_checksum(backend: LabelBackend) -> str | None:
    """Identify the code of a backend that is not part of s2pipe, so that other code rebuilds the labels."""
    if type(backend) in _BACKENDS.values():
        return None
    try:
        path = inspect.getsourcefile(type(backend))
    except TypeError:  # a class made interactively has no file
        path = None
    return None if path is None else "SHA-256:" + hash_file(Path(path), "sha256")


@dataclass(frozen=True)
class LabelInput:
    """What labels of one scene are made from."""

    backend: LabelBackend
    """How they are made."""
    rasters: tuple[RasterInfo, ...]
    """Rasters of the backend's roles, then those of its files."""


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
    return label_stats(counts, config, backend.class_names), dtype.name


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


def label_stats(
    counts: np.ndarray, config: LabelConfig, class_names: Mapping[int, str] = SCL_CLASSES
) -> dict[str, Any]:
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
        stats["class_names"] = {str(label): class_names[label] for label in found if label in class_names}
    return stats
