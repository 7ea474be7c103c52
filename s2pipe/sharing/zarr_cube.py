"""The cube of one grid as a Zarr group, written piece by piece; imported by what needs zarr."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr
from zarr.codecs import ZstdCodec

from s2pipe.dataset import conventions as cf
from s2pipe.dataset.cube import CubeVariable, check_alike, cube_attributes, cube_coordinates, cube_variables
from s2pipe.raster.grid import Grid
from s2pipe.raster.transform import epsg_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from s2pipe.dataset.samples import Sample

_LEVEL = 3
"""Compression level of Zstandard."""
_COORDINATES = ("scene", "wavelength", "bandwidth", cf.GRID_MAPPING)
"""Coordinates that no axis is named by, which variables have to list."""


def write_cube(
    path: Path,
    samples: Sequence[Sample],
    sizes: tuple[int, int],
    extra: dict[str, Any],
    done: Callable[[str], None],
) -> None:
    """Write the cube of samples that share a grid into a directory that does not exist yet.

    Parameters
    ----------
    path : Path
        Directory to make.
    samples : sequence of Sample
        Samples in order of time.
    sizes : (int, int)
        Sides of chunks and of shards in pixels; the second is a multiple of the first.
    extra : dict
        Attributes of the group beside those of the cube.
    done : callable
        Told the name of each sample that is written.

    Raises
    ------
    ManifestError
        The samples differ in their bands, unit or normalization.
    RasterError
        A raster cannot be read.
    """
    check_alike(samples)
    attributes = {**cube_attributes(samples), **_geozarr(samples[0].grid), **extra}
    group = zarr.create_group(str(path), zarr_format=3, attributes=_plain(attributes))
    coordinates = cube_coordinates(samples)
    for name, coordinate in coordinates.items():
        _write_coordinate(group, name, coordinate)
    listed = " ".join(name for name in _COORDINATES if name in coordinates)
    arrays = [(variable, _make_array(group, variable, sizes, listed)) for variable in cube_variables(samples)]
    for time, sample in enumerate(samples):
        for variable, array in arrays:
            _write_time(variable, array, time, sizes[1])
        done(sample.name)
    with warnings.catch_warnings():  # readers of before know nothing of it and lose nothing
        warnings.filterwarnings("ignore", message="Consolidated metadata", category=UserWarning)
        zarr.consolidate_metadata(str(path))


def _geozarr(grid: Grid) -> dict[str, Any]:
    """Return where the pixels lie as the proj: and spatial: conventions of GeoZarr say it."""
    left, dx, rx, top, ry, dy = grid.geotransform
    code = epsg_of(grid.crs_wkt)
    return {
        **({} if code is None else {"proj:code": f"EPSG:{code}"}),
        "proj:wkt2": grid.crs_wkt,
        "spatial:dimensions": ["y", "x"],
        "spatial:transform": [dx, rx, left, ry, dy, top],
        "spatial:shape": list(grid.shape_yx),
        "spatial:bbox": list(grid.bounds),
        "spatial:registration": "pixel",
    }


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """Return attributes as JSON has them."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        found[name] = value.tolist() if isinstance(value, np.ndarray | np.generic) else value
    return found


def _write_coordinate(group: Any, name: str, variable: Any) -> None:
    values, attributes = variable.values, dict(variable.attrs)
    if values.dtype.kind == "M":
        values = values.astype("datetime64[ms]").astype(np.int64)
        attributes |= {key: value for key, value in cf.TIME_ENCODING.items() if key != "dtype"}
    is_text = values.dtype.kind == "U"
    array = group.create_array(
        name,
        shape=values.shape,
        dtype=str if is_text else values.dtype,
        chunks=tuple(max(1, size) for size in values.shape),
        dimension_names=variable.dims,
        attributes=_plain(attributes),
        compressors=ZstdCodec(level=_LEVEL),
    )
    array[...] = values.astype(object) if is_text else values


def _make_array(group: Any, variable: CubeVariable, sizes: tuple[int, int], listed: str) -> zarr.Array[Any]:
    series = variable.series
    has_bands = len(variable.dims) == 4
    times, bands, *pixels = series.shape
    # No larger than the raster needs, and shards of whole chunks.
    chunks = [min(sizes[0], size) for size in pixels]
    shards = [
        chunk * max(1, min(sizes[1] // chunk, -(-size // chunk)))
        for chunk, size in zip(chunks, pixels, strict=True)
    ]
    ones = (1, 1) if has_bands else (1,)
    attributes = {**variable.attributes, "coordinates": listed}
    if variable.dims[-1] == "x":
        attributes["grid_mapping"] = cf.GRID_MAPPING
    return group.create_array(
        variable.name,
        shape=(times, bands, *pixels) if has_bands else (times, *pixels),
        dtype=series.dtype,
        chunks=(*ones, *chunks),
        shards=(*ones, *shards),
        fill_value=series.fill,
        dimension_names=variable.dims,
        attributes=_plain(attributes),
        compressors=ZstdCodec(level=_LEVEL),
    )


def _write_time(variable: CubeVariable, array: zarr.Array[Any], time: int, shard_px: int) -> None:
    """Write one time, shard by shard."""
    series = variable.series
    if series.paths[time] is None:
        return  # the array's fill value says it
    for band, window in _shards(series.shape[1], series.shape_yx, array.shards or (shard_px,)):
        (values,) = series.read(time, [band], window)
        rows, cols = slice(window.row, window.row_end), slice(window.col, window.col_end)
        place = (time, band, rows, cols) if len(variable.dims) == 4 else (time, rows, cols)
        array[place] = values


def _shards(bands: int, shape_yx: tuple[int, int], shard: tuple[int, ...]) -> Iterator[tuple[int, Any]]:
    grid = Grid("", (0.0, 1.0, 0.0, 0.0, 0.0, -1.0), shape_yx)
    for window in grid.block_windows(shard[-2], shard[-1]):
        for band in range(bands):
            yield band, window
