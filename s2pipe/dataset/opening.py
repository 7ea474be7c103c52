"""Opening samples of Step 2 as xarray Datasets: one scene, or the time series of a grid."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from s2pipe.config.documents import read_json
from s2pipe.dataset.samples import Sample, load_sample, load_samples
from s2pipe.errors import DependencyError, Fault, ManifestError, MissingInputError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

    import xarray

Chunks = Mapping[str, int] | str | None
CHUNK_PX = 2048
"""Side of the chunks that Dask reads at once, by default."""


def open_scene(meta_path: str | Path, chunks: Chunks = "auto") -> xarray.Dataset:
    """Open a sample of Step 2 as a Dataset whose coordinates name bands, masks and angles.

    Pixels are read when they are used, and only where.

    Parameters
    ----------
    meta_path : Path
        The sample's ``meta.json``, where Step 2 wrote it: ``<root>/processed/tile=.../sensing=.../meta.json``.
    chunks : mapping, "auto" or None
        Sizes of Dask's chunks by axis. "auto" makes chunks of one band and 2048 x 2048 pixels where Dask is installed,
        and nothing elsewhere. None keeps Dask out.

    Returns
    -------
    xarray.Dataset
        ``image`` (band, y, x), ``valid`` (mask, y, x), ``label`` (y, x; ``label_<name>`` for each of several),
        ``angles`` (angle, y, x; on axes of its own where it has another grid) and ``quality`` (layer, y, x; the
        content of ``q.tif``), if it has them. Coordinates ``x`` and ``y`` are pixel centres in the unit of the CRS,
        ``time`` is the start of sensing in UTC, ``wavelength`` that of each band, and ``spatial_ref`` holds the CRS for
        rioxarray and odc-geo; attributes hold key, CRS and unit. Those of ``label`` and ``quality`` say what their
        classes mean: as CF's ``flag_values`` and ``flag_meanings``, and as ``class_values``, ``class_names`` and
        ``class_colors``, which go together.

    Raises
    ------
    DependencyError
        xarray is not installed.
    ManifestError
        The file is no ``meta.json`` of Step 2, or its rasters are not below the same root.
    """
    _need_xarray("open_scene")
    from s2pipe.dataset.cube import open_cube

    sample = sample_of(Path(meta_path).absolute())
    scene = open_cube([sample]).isel(time=0)
    return _chunked(scene.assign_attrs(sample.key.to_document()), chunks)


def open_dataset(index: str | Path, tile: str | None = None, chunks: Chunks = "auto") -> xarray.Dataset:
    """Open the samples of a grid as one Dataset along time.

    Pixels are read when they are used, and only where.

    Parameters
    ----------
    index : Path
        Step 2's index, ``<root>/meta/step2/index.json``.
    tile : str, optional
        Take the samples of this tile (``T33UWQ``); needed where the samples lie on more than one grid.
    chunks : mapping, "auto" or None
        Sizes of Dask's chunks by axis, as for :func:`open_scene`; "auto" makes chunks of one time.

    Returns
    -------
    xarray.Dataset
        The variables of :func:`open_scene` with the axis ``time`` in front, in order of time. Where a sample lacks
        labels, angles or quality that others have, they are their value for pixels without one. The coordinate
        ``scene`` has the names of the samples.

    Raises
    ------
    DependencyError
        xarray is not installed.
    ManifestError
        The index or a ``meta.json`` is missing or invalid, samples lie on several grids, or were made by different
        configurations.
    MissingInputError
        There is no such sample, or a raster is not on disk.
    """
    _need_xarray("open_dataset")
    from s2pipe.dataset.cube import open_cube

    return _chunked(open_cube(_of_one_grid(Path(index), load_samples(Path(index)), tile)), chunks)


def by_grid(samples: Sequence[Sample]) -> list[list[Sample]]:
    """Group samples by their grid, each group in order of time."""
    groups: dict[Any, list[Sample]] = {}
    for sample in sorted(samples, key=lambda sample: (sample.key.sensing_start_utc, sample.key.tile_id)):
        groups.setdefault(sample.grid, []).append(sample)
    return sorted(groups.values(), key=lambda group: (group[0].key.tile_id, group[0].grid.geotransform))


def _of_one_grid(index: Path, samples: Sequence[Sample], tile: str | None) -> list[Sample]:
    known = sorted({sample.key.tile_id for sample in samples})
    chosen = [sample for sample in samples if tile in (None, sample.key.tile_id)]
    if not chosen:
        msg = f"{index}: there is no sample of tile {tile}; expected one of {', '.join(known)}"
        raise MissingInputError(msg, [], "Name one of them.")
    groups = by_grid(chosen)
    if len(groups) > 1:
        listed = "; ".join(f"{group[0].name} and {len(group) - 1} more" for group in groups[:5])
        fault = Fault(
            "",
            f"its samples lie on {len(groups)} grids ({listed}); expected one, choose a tile of {', '.join(known)} "
            "with tile=, or open scenes with open_scene",
        )
        raise ManifestError(str(index), [fault])
    return groups[0]


def _need_xarray(name: str) -> ModuleType:
    try:
        import xarray
    except ImportError as error:
        msg = f"xarray cannot be imported: {error}\n{name} needs it: `pip install 's2pipe[xarray]'`."
        raise DependencyError(msg) from error
    return xarray


def _chunked(data: xarray.Dataset, chunks: Chunks) -> xarray.Dataset:
    if chunks is None:
        return data
    if chunks != "auto":
        return data.chunk(chunks)
    try:
        import dask.array  # noqa: F401 - whether it is there
    except ImportError:
        return data
    sizes = {"y": CHUNK_PX, "x": CHUNK_PX, "angle_y": -1, "angle_x": -1}
    ones = dict.fromkeys(("time", "band", "mask", "angle", "layer"), 1)
    return data.chunk({name: size for name, size in {**sizes, **ones}.items() if name in data.dims})


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
