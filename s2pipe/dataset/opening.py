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
    import xarray


def open_scene(meta_path: str | Path) -> xarray.Dataset:
    """Open a sample of Step 2 with its bands, masks, labels and angles as coordinates say.

    Parameters
    ----------
    meta_path : Path
        The sample's ``meta.json``, where Step 2 wrote it: ``<root>/processed/tile=.../sensing=.../meta.json``.

    Returns
    -------
    xarray.Dataset
        ``image`` (band, y, x), ``valid`` (mask, y, x), ``label`` (y, x) and ``angles`` (angle, y, x) where there
        are any. Coordinates ``x`` and ``y`` are pixel centres in metres; attributes hold key, CRS and unit. The
        rasters are read whole.

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
    if sample.y_path is not None and sample.labels is not None:
        labels = _read(sample.y_path, 1, sample.labels.dtype)[0]
        data["label"] = (("y", "x"), labels, {"ignore_index": sample.labels.ignore_index})
    if sample.angles_path is not None:
        data["angles"] = (("angle", "y", "x"), _read(sample.angles_path, len(sample.angle_bands), "float32"))
        coords["angle"] = list(sample.angle_bands)
    attributes = {
        **sample.key.to_document(),
        "crs_wkt": sample.grid.crs_wkt,
        "geotransform": list(sample.grid.geotransform),
        "unit": sample.meta["radiometry"]["unit"],
        "normalization": sample.meta["normalization"]["mode"],
        "attribution": sample.meta["attribution"],
    }
    return xarray.Dataset(data, coords, attributes)


def sample_of(path: Path) -> Sample:
    """Load the sample of a ``meta.json`` that lies where Step 2 wrote it."""
    if len(path.parents) < 4:
        raise ManifestError(
            str(path), [Fault("", "expected <root>/processed/tile=.../sensing=.../meta.json")]
        )
    paths = _paths(path)
    entry = {"x_path": paths["x"], "y_path": paths.get("y"), "angles_path": paths.get("angles")}
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
