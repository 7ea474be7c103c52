"""Samples of one grid as one xarray Dataset along time; imported by what needs xarray."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray

from s2pipe.dataset import conventions as cf
from s2pipe.dataset.label_credit import label_lines
from s2pipe.dataset.lazy_raster import RasterSeries, lazy_variable
from s2pipe.dataset.samples import NO_QUALITY, Labels, Sample
from s2pipe.errors import Fault, ManifestError
from s2pipe.sentinel2.channels import Channel

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from s2pipe.raster.grid import Grid

ANGLE_DIMS = ("angle_y", "angle_x")
"""Axes of angles that lie on a grid of their own."""


@dataclass(frozen=True)
class CubeVariable:
    """One variable of a cube: its axes, where its pixels are, and what it says of itself."""

    name: str
    """Its name."""
    dims: tuple[str, ...]
    """Its axes, time first."""
    series: RasterSeries
    """Its pixels."""
    attributes: dict[str, Any]
    """Its attributes, without that of the grid mapping."""


def cube_variables(samples: Sequence[Sample]) -> list[CubeVariable]:
    """Return the variables of the cube of samples that share a grid, ``image`` and ``valid`` first."""
    return [*_stack(samples), *_labels(samples), *_angles(samples), *_quality(samples)]


def cube_coordinates(samples: Sequence[Sample]) -> dict[str, xarray.Variable]:
    """Return the coordinates of the cube of samples that share a grid."""
    first = samples[0]
    grid, bands = first.grid, first.x_bands[: first.mask_channels[0]]
    y, x = cf.pixel_centres(grid)
    about_y, about_x = cf.axis_attributes(grid)
    spectral = [Channel.parse(name).spectral_band for name in bands]
    times = np.array([np.datetime64(sample.key.sensing_start_utc.rstrip("Z"), "ns") for sample in samples])
    coordinates = {
        "time": xarray.Variable("time", times, cf.TIME_ATTRIBUTES, dict(cf.TIME_ENCODING)),
        "scene": xarray.Variable("time", _texts(sample.name for sample in samples), {"long_name": "scene"}),
        "band": xarray.Variable("band", _texts(bands), {"long_name": "bands"}),
        "wavelength": xarray.Variable(
            "band", np.array([band.wavelength_nm for band in spectral]), cf.WAVELENGTH_ATTRIBUTES
        ),
        "bandwidth": xarray.Variable(
            "band", np.array([band.bandwidth_nm for band in spectral]), cf.BANDWIDTH_ATTRIBUTES
        ),
        "mask": xarray.Variable("mask", _texts(first.x_bands[first.mask_channels[0] :])),
        "y": xarray.Variable("y", y, about_y),
        "x": xarray.Variable("x", x, about_x),
        cf.GRID_MAPPING: xarray.Variable((), np.int64(0), cf.grid_mapping_attributes(grid)),
    }
    with_angles = next((sample for sample in samples if sample.angles_path is not None), None)
    if with_angles is not None:
        coordinates["angle"] = xarray.Variable("angle", _texts(with_angles.angle_bands))
        own = with_angles.rasters["angles"].grid
        if own != grid:
            axes = zip(ANGLE_DIMS, cf.pixel_centres(own), (about_y, about_x), strict=True)
            for name, values, about in axes:
                coordinates[name] = xarray.Variable(name, values, {"units": about["units"]})
    with_quality = next((sample for sample in samples if sample.quality is not None), None)
    if with_quality is not None:
        coordinates["layer"] = xarray.Variable("layer", _texts(with_quality.rasters["quality"].band_names))
    return coordinates


def cube_attributes(samples: Sequence[Sample]) -> dict[str, Any]:
    """Return the attributes of the cube of samples that share a grid."""
    first = samples[0]
    tiles = sorted({sample.key.tile_id for sample in samples})
    sources = {band.meaning.source for sample in samples for band in sample.label_bands}
    return {
        "Conventions": cf.CONVENTIONS,
        "tile_id": ", ".join(tiles),
        "crs_wkt": first.grid.crs_wkt,
        "geotransform": list(first.grid.geotransform),
        "unit": first.unit,
        "normalization": first.normalization.mode,
        "attribution": "; ".join(
            [*sorted({sample.attribution for sample in samples}), *label_lines(sources)]
        ),
    }


def open_cube(samples: Sequence[Sample]) -> xarray.Dataset:
    """Open samples that share a grid as one Dataset whose pixels are read when they are used.

    Raises
    ------
    ManifestError
        They differ in their bands, unit or normalization.
    """
    check_alike(samples)
    variables = {}
    for item in cube_variables(samples):
        variable = lazy_variable(item.dims, item.series, dict(item.attributes))
        if item.dims[-1] == "x":
            variable.encoding["grid_mapping"] = cf.GRID_MAPPING
        variables[item.name] = variable
    return xarray.Dataset(variables, cube_coordinates(samples), cube_attributes(samples))


def check_alike(samples: Sequence[Sample]) -> None:
    """Check that samples have the same bands, in the same unit, normalized alike."""
    first = samples[0]
    for sample in samples[1:]:
        parts = {
            "the bands of x.tif": (first.x_bands, sample.x_bands),
            "units": (first.unit, sample.unit),
            "normalization": (first.normalization, sample.normalization),
        }
        if first.angles_path is not None and sample.angles_path is not None:
            parts["angles"] = (
                (first.angle_bands, first.rasters["angles"].grid),
                (sample.angle_bands, sample.rasters["angles"].grid),
            )
        different = [name for name, (one, other) in parts.items() if one != other]
        if different:
            fault = Fault(
                "",
                f"{sample.name} and {first.name} differ in {', '.join(different)}; expected samples of one "
                "configuration, run `s2pipe preprocess` for all of them",
            )
            raise ManifestError(str(sample.root), [fault])


def _texts(values: Any) -> np.ndarray:
    return np.array(list(values), dtype=np.str_)


def _series(
    paths: Sequence[Path | None], bands: Sequence[int], grid: Grid, kind: tuple[str, float]
) -> RasterSeries:
    named = tuple(None if path is None else str(path) for path in paths)
    return RasterSeries(named, tuple(bands), grid.shape_yx, *kind)


def _stack(samples: Sequence[Sample]) -> Iterator[CubeVariable]:
    first, paths = samples[0], [sample.x_path for sample in samples]
    masks = first.mask_channels
    about = cf.image_attributes(first.unit, is_normalized=first.normalization.is_applied)
    image = _series(paths, range(masks[0]), first.grid, ("float32", 0))
    yield CubeVariable("image", ("time", "band", "y", "x"), image, about)
    valid = _series(paths, masks, first.grid, ("bool", 0))
    yield CubeVariable("valid", ("time", "mask", "y", "x"), valid, dict(cf.MASK_ATTRIBUTES))


def _labels(samples: Sequence[Sample]) -> Iterator[CubeVariable]:
    labelled = [sample for sample in samples if sample.y_path is not None and sample.label_bands]
    if not labelled:
        return
    names = [band.name for band in labelled[0].label_bands]
    paths = [sample.y_path if sample in labelled else None for sample in samples]
    for place, title in enumerate(names):
        bands = [sample.label_bands[place] for sample in labelled]
        first = bands[0]
        dtype = "float32" if first.kind == "regression" else _class_type(bands)
        kind = (dtype, math.nan if first.kind == "regression" else first.no_value)
        about = {"kind": first.kind, **cf.class_attributes(first.meaning, dtype)}
        name = "label" if title is None else f"label_{title}"
        yield CubeVariable(name, ("time", "y", "x"), _series(paths, [place], samples[0].grid, kind), about)


def _class_type(bands: Sequence[Labels]) -> str:
    """Smallest type that holds the labels of a band, which may lie beside quantities in one float raster."""
    most = max(max([band.ignore_index or 0, *band.found]) for band in bands)
    return "uint8" if most <= 255 else "uint16"


def _angles(samples: Sequence[Sample]) -> Iterator[CubeVariable]:
    first = next((sample for sample in samples if sample.angles_path is not None), None)
    if first is None:
        return
    own = first.rasters["angles"].grid
    dims = ("y", "x") if own == first.grid else ANGLE_DIMS
    paths = [sample.angles_path for sample in samples]
    series = _series(paths, range(len(first.angle_bands)), own, ("float32", math.nan))
    about = {"long_name": "directions to the sun and to the satellite"}
    yield CubeVariable("angles", ("time", "angle", *dims), series, about)


def _quality(samples: Sequence[Sample]) -> Iterator[CubeVariable]:
    first = next((sample.quality for sample in samples if sample.quality is not None), None)
    if first is None:
        return
    paths = [None if sample.quality is None else sample.quality.path for sample in samples]
    series = _series(paths, (0, 1), samples[0].grid, ("uint8", NO_QUALITY))
    yield CubeVariable(
        "quality", ("time", "layer", "y", "x"), series, cf.class_attributes(first.meaning, "uint8")
    )
