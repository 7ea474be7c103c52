"""The raster ``y.tif``: sources brought onto the target grid, classified and mapped to labels."""

from __future__ import annotations

import functools
import math
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import numpy as np

from s2pipe.dataset.label_credit import label_lines
from s2pipe.errors import S2PipeError
from s2pipe.preprocess.pixels.blocks import TargetReader, scene_windows, stream_windows
from s2pipe.preprocess.pixels.chosen import Chosen
from s2pipe.preprocess.raster_tags import PLAIN_FORM, RasterForm
from s2pipe.raster.class_table import ClassTable, write_sidecar
from s2pipe.raster.reader import RasterReader
from s2pipe.raster.tags import BandStatistics, BandTags
from s2pipe.raster.transform import kernel_scale, same_crs, transform_points
from s2pipe.raster.vrt import SCALED_METHODS, WarpSpec, warped_vrt
from s2pipe.raster.writer import TiffSpec, TiffWriter

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from s2pipe.dataset.label_meaning import LabelMeaning
    from s2pipe.ground.area_mask import AreaMask
    from s2pipe.preprocess.cfg import LabelRasterConfig
    from s2pipe.preprocess.labels.backends import LabelBackend, LabelInput, LabelSource
    from s2pipe.raster.grid import Grid, RasterInfo, TargetGrid, Window

_GDAL_DTYPES = {"uint8": "Byte", "uint16": "UInt16", "float32": "Float32"}


def label_table(config: LabelRasterConfig, dtype: str = "uint8", class_limit: int = 255) -> np.ndarray:
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


class _ClassBand:
    """A band of classes while it is written: labels and their counts."""

    def __init__(self, labels: LabelInput) -> None:
        self._labels, self._backend, config = labels, labels.backend, labels.backend.config
        self._limit = labels.backend.class_limit(labels.rasters)
        tables = {kind: label_table(config, kind, self._limit) for kind in ("uint8", "uint16")}
        self.dtype = tables["uint8" if self._backend.dtype == "uint8" else "uint16"].dtype
        self._tables = {kind: table.astype(self.dtype, copy=False) for kind, table in tables.items()}
        self._counts = np.zeros(max(int(table.max()) for table in tables.values()) + 1, np.int64)

    def fill(self, sources: np.ndarray, out: np.ndarray, outside: np.ndarray | None) -> None:
        """Turn a window of the sources into labels; pixels outside the area have no class."""
        from s2kernels import map_labels

        backend = self._backend
        classes = _checked(backend.classify(*sources), out.shape, backend)
        if backend.config.mapping is None and backend.dtype != "uint8":
            _check_limit(classes, self._limit, backend)
        if outside is not None:
            classes = np.where(outside, np.iinfo(classes.dtype).max, classes)
        labels = out if out.dtype == self.dtype else np.empty(out.shape, self.dtype)
        map_labels(classes, self._tables[classes.dtype.name], labels, self._counts)
        if labels is not out:
            out[:] = labels

    def stats(self) -> dict[str, Any]:
        """Statistics of what was written."""
        return label_stats(self._counts, self._labels.meaning)

    @property
    def _found(self) -> dict[int, int]:
        return {int(label): int(self._counts[label]) for label in np.flatnonzero(self._counts)}

    def statistics(self) -> BandStatistics:
        """Statistics of the labels as numbers, for viewers that stretch by them."""
        return BandStatistics.of_counts(self._found, self._labels.meaning.ignore_index)

    def table(self, *, with_palette: bool) -> ClassTable | None:
        """Names, colours and counts of the labels."""
        meaning = self._labels.meaning
        return ClassTable(
            *(meaning.names, meaning.colors, self._found, meaning.ignore_index), with_palette=with_palette
        )


class _ValueBand:
    """A band of a quantity while it is written: values, and their moments so far."""

    dtype = np.dtype("float32")

    def __init__(self, labels: LabelInput) -> None:
        self._backend = labels.backend
        self._pixels = self._count = 0
        self._mean = self._squares = 0.0
        self._least, self._greatest = math.inf, -math.inf

    def fill(self, sources: np.ndarray, out: np.ndarray, outside: np.ndarray | None) -> None:
        """Turn a window of the sources into values; what is not finite, or outside the area, is no value."""
        name = type(self._backend).__name__
        values = self._backend.measure(*sources)
        if not isinstance(values, np.ndarray) or values.shape != out.shape or values.dtype.kind != "f":
            got = f"{getattr(values, 'dtype', type(values).__name__)} {getattr(values, 'shape', '')}".strip()
            msg = f"{name}.measure: expected float32 values of shape {out.shape}, got {got}"
            raise S2PipeError(msg)
        known = np.isfinite(values) if outside is None else np.isfinite(values) & ~outside
        out[:] = np.where(known, values, np.float32("nan"))
        self._pixels += values.size
        self._add(out[known].astype(np.float64))

    def _add(self, values: np.ndarray) -> None:
        """Merge the moments of a window into those of the windows before (Chan, Golub and LeVeque, 1979)."""
        if not len(values):
            return
        count = self._count + len(values)
        mean = float(values.mean())
        apart = mean - self._mean
        self._squares += float(((values - mean) ** 2).sum()) + apart**2 * self._count * len(values) / count
        self._mean += apart * len(values) / count
        self._count = count
        self._least = min(self._least, float(values.min()))
        self._greatest = max(self._greatest, float(values.max()))

    def stats(self) -> dict[str, Any]:
        """Statistics of the values that there are; without any, they are None."""
        known = self._count > 0
        return {
            "pixels": self._pixels,
            "ignored": self._pixels - self._count,
            "count": self._count,
            "mean": self._mean if known else None,
            "std": math.sqrt(self._squares / self._count) if known else None,
            "min": self._least if known else None,
            "max": self._greatest if known else None,
        }

    def statistics(self) -> BandStatistics:
        """The same for the file."""
        spread = math.sqrt(self._squares / self._count) if self._count else math.nan
        return BandStatistics(self._count, self._pixels, self._least, self._greatest, self._mean, spread)

    def table(self, *, with_palette: bool) -> ClassTable | None:  # noqa: ARG002 - of classes
        """Return None: quantities have no classes."""
        return None


def write_labels(
    path: Path,
    by_source: Sequence[Sequence[LabelInput]],
    target: TargetGrid,
    mask: AreaMask | None = None,
    chosen: Chosen = Chosen(),  # noqa: B008 - frozen
    form: RasterForm = PLAIN_FORM,
) -> tuple[list[dict[str, Any]], str, float | None]:
    """Write the label raster of a scene.

    Parameters
    ----------
    path : Path
        GeoTIFF to make, one band an input.
    by_source : sequence of sequence of LabelInput
        Backends and rasters of each band: of one scene, or of each source of a mosaic.
    target : TargetGrid
        Target grid.
    mask : AreaMask, optional
        Pixels outside have no label.
    chosen : Chosen
        Which source each pixel of a mosaic is from.
    form : RasterForm, optional
        What all rasters of the scene have in common.

    Returns
    -------
    (list of dict, str, float or None)
        Statistics of each band for ``meta.json`` (of classes: pixels, counts and ratios by label, ignored pixels; of
        quantities: mean, standard deviation, least and greatest value), the pixel type, which is the smallest that
        holds all bands, and the nodata value, where the bands share one.
    """
    labels = by_source[0]
    bands = [_ValueBand(item) if _is_quantity(item) else _ClassBand(item) for item in labels]
    dtype = np.result_type(*(band.dtype for band in bands))
    ignored = {math.nan if _is_quantity(item) else float(item.backend.config.ignore_index) for item in labels}
    nodata = ignored.pop() if len({str(value) for value in ignored}) == 1 else None
    windows = scene_windows(target.grid)
    spec = _spec(labels, target.grid, dtype, nodata, form)
    with ExitStack() as stack:
        writer = stack.enter_context(TiffWriter(path, spec))
        streams = [_stream(items, target, windows, chosen, stack) for items in zip(*by_source, strict=True)]
        for parts in zip(*streams, strict=True):
            window = parts[0][0]
            out = np.empty((len(bands), *window.shape_yx), dtype)
            outside = None if mask is None else ~mask.inside(window)
            for band, (_, sources), values in zip(bands, parts, out, strict=True):
                band.fill(sources, values, outside)
            writer.write(window, out)
        writer.state([band.statistics() for band in bands])
    # Where the file has a palette, one beside it would take its place.
    with_palette = dtype.kind == "u" and not writer.has_palette
    tables = [band.table(with_palette=with_palette) for band in bands]
    write_sidecar(path, {number: table for number, table in enumerate(tables, 1) if table is not None})
    return [band.stats() for band in bands], dtype.name, nodata


def _spec(
    labels: Sequence[LabelInput], grid: Grid, dtype: np.dtype[Any], nodata: float | None, form: RasterForm
) -> TiffSpec:
    """Return what the file is to be, with its palette and its credits."""
    # A colour table of uint16 would have 65536 entries, and GeoTIFF has one for a single band only.
    colors = labels[0].meaning.colors if len(labels) == 1 and dtype == np.uint8 else {}
    palette = {value: color for value, color in colors.items() if value <= 255}
    names = tuple(item.name for item in labels)
    spec = TiffSpec(grid, names, dtype.name, nodata=nodata, palette=palette)
    credited = form.crediting(label_lines(item.meaning.source for item in labels))
    return credited.apply(spec, _title(labels), [_tags(item) for item in labels])


def _title(labels: Sequence[LabelInput]) -> str:
    return "Labels: " + "; ".join(dict.fromkeys(item.meaning.source for item in labels))


def _tags(labels: LabelInput) -> BandTags:
    return BandTags(metadata={"": {"source": labels.meaning.source, "kind": labels.backend.config.kind}})


def _is_quantity(labels: LabelInput) -> bool:
    return labels.backend.config.kind == "regression"


def _stream(
    labels: Sequence[LabelInput],
    target: TargetGrid,
    windows: Sequence[Window],
    chosen: Chosen,
    stack: ExitStack,
) -> Iterator[tuple[Window, np.ndarray]]:
    """Sources of one band on the target grid, window by window; of a mosaic those of all its scenes."""
    backend = labels[0].backend
    sources = [item.backend.sources(item.rasters) for item in labels]

    def open_source(number: int, scene: int) -> TargetReader:
        reader = _open_source(sources[scene][number], target.reference, labels[scene].backend)
        stack.callback(reader.close)
        return TargetReader(reader, target)

    on_target = [
        chosen.reader(len(labels), functools.partial(open_source, number), _no_value(backend), stack)
        for number in range(len(sources[0]))
    ]
    stream = stream_windows(on_target, windows, workers=1, look_ahead=2, dtype=backend.dtype)
    stack.callback(stream.close)
    return stream


def label_resampling(config: LabelRasterConfig, raster: RasterInfo, target: Grid) -> str:
    """Return the method that brings a source of labels onto the target grid."""
    if config.resampling is not None:
        return config.resampling
    if config.kind == "classes":
        return "nearest"
    return "average" if _source_pixels(raster.grid, target) > 1.0 + 1e-6 else "bilinear"


def _source_pixels(source: Grid, target: Grid) -> float:
    """How many source pixels lie in a target pixel, in the middle of the target grid."""
    left, bottom, right, top = target.bounds
    middle = np.array([(left + right) / 2, (bottom + top) / 2])
    width, height = target.pixel_size
    corners = middle + np.array([[0.0, 0.0], [width, 0.0], [0.0, height]])
    if not same_crs(source.crs_wkt, target.crs_wkt):
        corners = transform_points(target.crs_wkt, source.crs_wkt, corners)
    across, down = (corners[1:] - corners[0]) / np.array(source.pixel_size)
    return abs(float(across[0] * down[1] - across[1] * down[0]))


def _open_source(source: LabelSource, target: Grid, backend: LabelBackend) -> RasterReader:
    """Open a source on the target grid, with a value outside of it that no class has."""
    raster, config = source.raster, backend.config
    label = raster.path if not raster.path.startswith("<") else f"source of labels {config.backend}"
    if raster.grid == target and (source.nodata is None or math.isnan(source.nodata)):
        return RasterReader(raster.path, label, formats=raster.formats)
    method = label_resampling(config, raster, target)
    left, bottom, right, top = target.bounds
    middle = np.array([(left + right) / 2, (bottom + top) / 2])
    spec = WarpSpec(
        method,
        _GDAL_DTYPES[backend.dtype],
        source.nodata,
        _no_value(backend),
        max_error=0.0,
        scale_xy=kernel_scale(raster.grid, target, middle) if method in SCALED_METHODS else None,
    )
    return RasterReader(warped_vrt(raster, target, spec), label, formats=raster.formats)


def _no_value(backend: LabelBackend) -> float:
    """Value of a source's pixels that no class or quantity has."""
    return math.nan if backend.dtype == "float32" else float(np.iinfo(backend.dtype).max)


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
        "ignored": 0 if meaning.ignore_index is None else found.get(meaning.ignore_index, 0),
        "counts": {str(label): count for label, count in found.items()},
        "ratios": {str(label): count / total for label, count in found.items()} if total else {},
    }
    if meaning.names:
        stats["class_names"] = {str(label): meaning.names[label] for label in found if label in meaning.names}
    return stats
