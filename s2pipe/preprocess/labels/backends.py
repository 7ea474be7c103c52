"""Label backends: what labels are made from, how pixels are classified, and what the classes mean.

A backend is a small class. Those of s2pipe are ``scl``, ``raster`` and ``cloud_probability``; configurations name
any other by its import path, ``my_package.labels:Burned``.
"""

from __future__ import annotations

import functools
import importlib
import inspect
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from s2pipe.dataset.label_meaning import COLOR, LabelMeaning
from s2pipe.errors import ConfigError, Fault, RasterError
from s2pipe.raster.grid import RasterInfo
from s2pipe.raster.legend import Legend, read_legend
from s2pipe.raster.vrt import lut_vrt
from s2pipe.runtime.hashing import hash_file
from s2pipe.runtime.paths import user_path
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
    from collections.abc import Mapping, Sequence

    from s2pipe.dataset.scene_key import SceneKey
    from s2pipe.preprocess.cfg import LabelRasterConfig

NO_LABEL = 65535
"""Class of a pixel that has none, in uint16 arrays; it becomes the ignore index."""
NO_LABEL_8 = 255
"""The same in uint8 arrays."""


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
    """Names of the classes."""
    title: ClassVar[str] = ""
    """What the labels are, for the record; empty for the name that configurations call the class by."""
    class_colors: ClassVar[Mapping[int, str]] = {}
    """Colours of the classes, ``#rrggbb``."""
    cloud_classes: ClassVar[tuple[int, ...]] = ()
    """Classes that are cloud; none where the classes do not tell clouds."""
    shadow_classes: ClassVar[tuple[int, ...]] = ()
    """Classes that are shadow of clouds."""
    snow_classes: ClassVar[tuple[int, ...]] = ()
    """Classes that are snow or ice at the time of the image."""
    water_classes: ClassVar[tuple[int, ...]] = ()
    """Classes that are water at the time of the image."""
    dtype: ClassVar[str] = "float32"
    """Type of the arrays that ``classify`` is given: uint8, uint16 or float32."""

    def __init__(self, config: LabelRasterConfig) -> None:
        self.config = config

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and vars(other) == vars(self)

    def __hash__(self) -> int:
        return hash(type(self))

    def files(self, key: SceneKey) -> tuple[Path, ...]:  # noqa: ARG002 - for subclasses
        """Return files beside the manifest's that labels of a scene come from; they must exist."""
        return ()

    def sources(self, rasters: Sequence[RasterInfo]) -> tuple[LabelSource, ...]:
        """Turn the rasters of ``roles``, then those of ``files``, into the sources of ``classify``."""
        return tuple(LabelSource(raster) for raster in rasters)

    def legend(self, rasters: Sequence[RasterInfo]) -> Legend:  # noqa: ARG002 - for subclasses
        """Return names and colours of the classes."""
        return Legend(self.class_names, self.class_colors)

    def meaning(self, rasters: Sequence[RasterInfo]) -> LabelMeaning:
        """Return what the labels mean: the classes' own meaning after the mapping, with what the configuration states.

        Raises
        ------
        ConfigError
            A colour is none.
        """
        config = self.config
        if config.kind == "regression":
            return LabelMeaning(config.source or self.default_source, None)
        legend = self.legend(rasters)
        strange = [color for color in legend.colors.values() if not COLOR.fullmatch(str(color))]
        if strange:
            message = f"{type(self).__name__}: expected colours such as #1f77b4, got {strange[0]!r}"
            msg = "labels"
            raise ConfigError(msg, [Fault("preprocess.labels.backend", message)])
        conditions = {
            "cloud": self.cloud_classes,
            "shadow": self.shadow_classes,
            "snow": self.snow_classes,
            "water": self.water_classes,
        }
        classes = LabelMeaning(
            config.source or self.default_source, config.ignore_index, legend.names, legend.colors, conditions
        )
        return classes.mapped(config.mapping).stated(
            config.class_names, config.class_colors, config.cloud_labels
        )

    @property
    def default_source(self) -> str:
        """What labels are taken from, unless the configuration says."""
        return self.title or self.config.backend

    def class_limit(self, rasters: Sequence[RasterInfo]) -> int:  # noqa: ARG002 - for subclasses
        """Return the largest class, which decides the pixel type when there is no mapping."""
        return max([255, *self.class_names])

    def classify(self, *sources: np.ndarray) -> np.ndarray:
        """Turn a window of every source, (y, x), into classes, uint8 or uint16 (y, x)."""
        msg = f"{type(self).__name__} has no method classify"
        raise NotImplementedError(msg)

    def measure(self, *sources: np.ndarray) -> np.ndarray:
        """Turn a window of every source, (y, x), into values, float32 (y, x), NaN where there is none."""
        msg = f"{type(self).__name__} has no method measure"
        raise NotImplementedError(msg)


class SceneClassification(LabelBackend):
    """``scl``: the classes of the L2A scene classification."""

    roles = (roles.L2A_SCL,)
    title = "L2A scene classification"
    class_names = SCL_CLASSES
    class_colors = SCL_COLORS
    cloud_classes, shadow_classes = SCL_CLOUD, SCL_SHADOW
    snow_classes, water_classes = SCL_SNOW, SCL_WATER
    dtype = "uint8"

    def classify(self, *sources: np.ndarray) -> np.ndarray:
        """Leave the classes as they are."""
        return sources[0]


class LabelRaster(LabelBackend):
    """``raster``: the classes of any georeferenced raster, one for all scenes or one for each."""

    dtype = "uint16"

    def files(self, key: SceneKey) -> tuple[Path, ...]:
        """Put the scene's tile and date into the configured path."""
        return (user_path((self.config.path or "").format(tile_id=key.tile_id, date=key.date)),)

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

    def legend(self, rasters: Sequence[RasterInfo]) -> Legend:
        """Read the file's own names and colours."""
        (raster,) = rasters
        return read_legend(raster.path, replace(raster.formats, alone=False))  # names are often in .aux.xml

    @property
    def default_source(self) -> str:
        """Name of the file, or what names it."""
        return Path(self.config.path or "").name

    def class_limit(self, rasters: Sequence[RasterInfo]) -> int:
        """255 for rasters of bytes."""
        return 255 if all(raster.dtype == "Byte" for raster in rasters) else NO_LABEL - 1

    def classify(self, *sources: np.ndarray) -> np.ndarray:
        """Leave the classes as they are."""
        return sources[0]


class ValueRaster(LabelRaster):
    """``raster`` with ``kind: regression``: the values of any georeferenced raster."""

    dtype = "float32"

    def sources(self, rasters: Sequence[RasterInfo]) -> tuple[LabelSource, ...]:
        """Check that the raster holds numbers; NaN is no value, whatever nodata it declares."""
        (raster,) = rasters
        if raster.dtype.startswith("C"):
            msg = f"{raster.path}: expected real numbers, got {raster.dtype}; convert it to Float32"
            raise RasterError(msg)
        nodata = float("nan") if raster.nodata is None and raster.dtype.startswith("Float") else raster.nodata
        return (LabelSource(raster, nodata),)

    def measure(self, *sources: np.ndarray) -> np.ndarray:
        """Leave the values as they are."""
        return sources[0]


class CloudProbability(LabelBackend):
    """``cloud_probability``: 1 where the L2A cloud probability reaches the threshold, else 0.

    The probability is 0 outside the image too; the scene classification tells where the image is.
    """

    roles = (roles.L2A_CLOUD_PROBABILITY, roles.L2A_SCL)
    title = "L2A cloud probability"
    class_names: ClassVar[Mapping[int, str]] = {0: "clear", 1: "cloud"}
    class_colors: ClassVar[Mapping[int, str]] = {0: "#00a000", 1: "#ffffff"}
    cloud_classes = (1,)
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


_VALUE_BACKENDS: dict[str, type[LabelBackend]] = {"raster": ValueRaster}
"""Those of them that give quantities."""


def load_backend(config: LabelRasterConfig) -> LabelBackend:
    """Make the backend that a configuration names.

    Raises
    ------
    ConfigError
        Its module cannot be imported, or has no such class, or that has no method for this kind of labels.
    """
    is_regression = config.kind == "regression"
    known = _VALUE_BACKENDS if is_regression else _BACKENDS
    if config.backend in known:
        return known[config.backend](config)
    module_name, _, name = config.backend.partition(":")
    reason = f"has no class {name} derived from s2pipe.preprocess.labels.backends.LabelBackend"
    try:
        found = getattr(importlib.import_module(module_name), name, None)
    except ImportError as error:
        found, reason = None, f"cannot be imported ({error}); is its directory in PYTHONPATH?"
    if not (isinstance(found, type) and issubclass(found, LabelBackend)):
        msg = "labels"
        raise ConfigError(msg, [Fault("preprocess.labels.backend", f"{module_name} {reason}")])
    method = "measure" if is_regression else "classify"
    if getattr(found, method) is getattr(LabelBackend, method):
        msg = "labels"
        message = f"labels.kind {config.kind} needs a class with the method {method}, and {name} has none"
        raise ConfigError(msg, [Fault("preprocess.labels.backend", message)])
    return found(config)


def backend_checksum(backend: LabelBackend) -> str | None:
    """Identify the code of a backend that is not part of s2pipe, so that other code rebuilds the labels."""
    if type(backend) in (*_BACKENDS.values(), *_VALUE_BACKENDS.values()):
        return None
    try:
        path = inspect.getsourcefile(type(backend))
    except TypeError:  # a class made interactively has no file
        path = None
    return None if path is None else "SHA-256:" + hash_file(Path(path), "sha256")


@dataclass(frozen=True)
class LabelInput:
    """What a label raster of one scene is made from."""

    backend: LabelBackend
    """How they are made."""
    rasters: tuple[RasterInfo, ...]
    """Rasters of the backend's roles, then those of its files."""
    name: str = "label"
    """Name of its band of ``y.tif``."""

    @functools.cached_property
    def meaning(self) -> LabelMeaning:
        """What the labels mean."""
        return self.backend.meaning(self.rasters)
