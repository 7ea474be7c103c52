"""Opening a sample of Step 2 as an xarray Dataset."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from s2pipe.config.documents import read_json
from s2pipe.dataset.samples import Sample, load_sample
from s2pipe.errors import DependencyError, Fault, ManifestError
from s2pipe.raster.grid import Window
from s2pipe.raster.reader import StackReader

if TYPE_CHECKING:
    from collections.abc import Iterator

    import xarray

    from s2pipe.dataset.label_meaning import LabelMeaning
    from s2pipe.dataset.samples import Labels, Sample


def open_scene(meta_path: str | Path) -> xarray.Dataset:
    """Open a sample of Step 2 as a Dataset whose coordinates name bands, masks and angles.

    Parameters
    ----------
    meta_path : Path
        The sample's ``meta.json``, where Step 2 wrote it: ``<root>/processed/tile=.../sensing=.../meta.json``.

    Returns
    -------
    xarray.Dataset
        ``image`` (band, y, x), ``valid`` (mask, y, x), ``label`` (y, x; ``label_<name>`` for each of several),
        ``angles`` (angle, y, x) and ``quality`` (layer, y, x; the content of ``q.tif``), if it has them.
        Coordinates ``x`` and ``y`` are pixel centres in metres; attributes hold key, CRS and unit. Those of
        ``label`` and ``quality`` say what their classes mean: ``class_values``, ``class_names`` and
        ``class_colors`` go together. The rasters are read whole.

    Raises
    ------
    DependencyError
        xarray is not installed.
    ManifestError
        The file is no ``meta.json`` of Step 2, or its rasters are not below the same root.
    """
    try:
        import xarray
    except ImportError as error:
        msg = f"xarray cannot be imported: {error}\nopen_scene needs it: `pip install 's2pipe[xarray]'`."
        raise DependencyError(msg) from error
    sample = sample_of(Path(meta_path).absolute())
    left, dx, _, top, _, dy = sample.grid.geotransform
    height, width = sample.grid.shape_yx
    masks = sample.mask_channels
    values = _read(sample.x_path, len(sample.x_bands), "float32")
    data: dict[str, Any] = {
        "image": (("band", "y", "x"), values[: masks[0]]),
        "valid": (("mask", "y", "x"), values[masks[0] :] > 0),
    }
    coords: dict[str, Any] = {
        "band": list(sample.x_bands[: masks[0]]),
        "mask": list(sample.x_bands[masks[0] :]),
        "y": top + dy * (np.arange(height) + 0.5),
        "x": left + dx * (np.arange(width) + 0.5),
    }
    for name, dims, pixels, about in _optional_rasters(sample):
        data[name] = (dims, pixels, about)
    if sample.angles_path is not None:
        coords["angle"] = list(sample.angle_bands)
    if sample.quality is not None:
        coords["layer"] = list(sample.rasters["quality"].band_names)
    attributes = {
        **sample.key.to_document(),
        "crs_wkt": sample.grid.crs_wkt,
        "geotransform": list(sample.grid.geotransform),
        "unit": sample.unit,
        "normalization": sample.normalization.mode,
        "attribution": sample.attribution,
    }
    return xarray.Dataset(data, coords, attributes)


def _optional_rasters(sample: Sample) -> Iterator[tuple[str, tuple[str, ...], np.ndarray, dict[str, Any]]]:
    """Name, dimensions, pixels and attributes of what a sample may have beside its bands."""
    if sample.y_path is not None and sample.labels is not None:
        labels = _read(sample.y_path, len(sample.label_bands), sample.labels.dtype)
        for band, pixels in zip(sample.label_bands, labels, strict=True):
            name = "label" if band.name is None else f"label_{band.name}"
            whole = pixels if band.kind == "regression" else pixels.astype(_class_type(band), copy=False)
            yield name, ("y", "x"), whole, {"kind": band.kind, **_class_attributes(band.meaning)}
    if sample.angles_path is not None:
        values = _read(sample.angles_path, len(sample.angle_bands), "float32")
        yield "angles", ("angle", "y", "x"), values, {}
    if sample.quality is not None:
        values = _read(sample.quality.path, 2, "uint8")
        yield "quality", ("layer", "y", "x"), values, _class_attributes(sample.quality.meaning)


def _class_type(labels: Labels) -> str:
    """Smallest type that holds the labels of a band, which may lie beside quantities in one float raster."""
    return "uint8" if max([labels.ignore_index or 0, *labels.found]) <= 255 else "uint16"


def _class_attributes(meaning: LabelMeaning) -> dict[str, Any]:
    """What classes mean, in values that netCDF can hold: a value without a name or colour has an empty one."""
    values = sorted({*meaning.names, *meaning.colors})
    attributes: dict[str, Any] = {"source": meaning.source}
    if meaning.ignore_index is not None:
        attributes["ignore_index"] = meaning.ignore_index
    if values:
        attributes["class_values"] = values
        attributes["class_names"] = [meaning.names.get(value, "") for value in values]
        attributes["class_colors"] = [meaning.colors.get(value, "") for value in values]
    for name, found in meaning.conditions.items():
        attributes[f"{name}_labels"] = list(found)
    return attributes


def sample_of(path: Path) -> Sample:
    """Load the sample of a ``meta.json`` that lies where Step 2 wrote it."""
    if len(path.parents) < 4:
        raise ManifestError(
            str(path), [Fault("", "expected <root>/processed/tile=.../sensing=.../meta.json")]
        )
    paths = _paths(path)
    entry = {f"{kind}_path": paths.get(kind) for kind in ("x", "y", "angles", "quality")}
    return load_sample(path, path.parents[3], entry)


def _paths(path: Path) -> dict[str, str]:
    try:
        paths = read_json(path)["paths"]
        return {kind: str(name) for kind, name in paths.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ManifestError(str(path), [Fault("", f"is not a meta.json of Step 2: {error}")]) from error


def _read(path: Path, bands: int, dtype: str) -> np.ndarray:
    reader = StackReader(str(path))
    out = np.empty((bands, *reader.shape_yx), dtype)
    reader.read(Window(0, 0, *reader.shape_yx), out)
    reader.close()
    return out
