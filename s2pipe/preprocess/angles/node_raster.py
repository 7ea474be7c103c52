"""The angle raster at the nodes of the metadata's 5 km grid, and a VRT that declares it on the target grid."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from s2pipe.preprocess.angles.files import ANGLE_TITLE, AngleRaster, angle_tags
from s2pipe.preprocess.angles.placement import node_grid
from s2pipe.raster.formats import GEOTIFF
from s2pipe.raster.grid import Grid, Window
from s2pipe.raster.reader import inspect_raster
from s2pipe.raster.vrt import WarpSpec, warped_vrt
from s2pipe.raster.writer import TiffSpec, TiffWriter

if TYPE_CHECKING:
    from s2pipe.preprocess.angles.scene_angles import SceneAngles
    from s2pipe.preprocess.raster_tags import RasterForm


def write_node_raster(path: Path, scene: SceneAngles, form: RasterForm) -> AngleRaster:
    """Write the metadata's own values at the nodes, each of the detector that sees the node.

    Parameters
    ----------
    path : Path
        GeoTIFF to make.
    scene : SceneAngles
        Directions and detectors.
    form : RasterForm
        What all rasters of the scene have in common.
    """
    from s2kernels import AngleEncoding, Placement, interpolate_directions

    rows, cols = scene.angles.sun_zenith.shape
    grid = node_grid(scene.angles.tile, (rows, cols))
    encoding = AngleEncoding.of(scene.config.encode)
    ids = _node_ids(scene, grid)
    i, j = np.indices((rows, cols), dtype=float)
    place = Placement(np.stack((j, i)), (1, 1), (0, 0))
    parts: list[np.ndarray] = []
    names: list[str] = []
    for group in scene.groups():
        part = np.empty((encoding.channels, rows, cols), np.float32)
        detectors = None if group.bands is None else np.ascontiguousarray(ids[group.bands])
        # A neighbour's NaN would get into a node even with the weight 0: NaN nodes are set to NaN afterwards.
        field = group.field._replace(vectors=np.nan_to_num(group.field.vectors))
        interpolate_directions(field, place, detectors, encoding, part)
        if detectors is None:
            part[:, np.isnan(group.field.vectors[..., 0]).all(axis=0)] = np.nan
        parts.append(part)
        names += group.channel_names(scene.config.encode)
    spec = TiffSpec(grid, tuple(names), "float32", encoding.missing)
    with TiffWriter(path, form.apply(spec, ANGLE_TITLE, angle_tags(names))) as writer:
        writer.write(Window(0, 0, *grid.shape_yx), np.concatenate(parts))
    return AngleRaster(path.name, "float32", tuple(names), encoding.missing, grid)


def _node_ids(scene: SceneAngles, grid: Grid) -> np.ndarray:
    """Detector of each node and band: the one that has a value there; of two, the one that saw the ground."""
    ids = np.zeros((len(scene.bands), *grid.shape_yx), np.uint8)
    whole = Window(0, 0, *grid.shape_yx)
    for index, reader in enumerate(scene.detector_readers(grid)):
        reader.read(whole, ids[index])
        band = scene.bands[index]
        on_ground = ids[index].copy()
        seen = {d: np.isfinite(scene.angles.view[band, d][0]) for d in scene.angles.detectors(band)}
        by_ground = {d: nodes & (on_ground == d) for d, nodes in seen.items()}
        for detector, nodes in seen.items():
            others = [saw for other, saw in by_ground.items() if other != detector]
            ids[index][nodes & ~np.logical_or.reduce(others, initial=False)] = detector
        ids[index][~np.logical_or.reduce(list(seen.values()))] = 0
    return ids


def write_node_vrt(work: Path, native: AngleRaster, target: Grid) -> AngleRaster:
    """Declare the raster of the nodes on the target grid, as a VRT beside it."""
    spec = WarpSpec(
        "bilinear",
        source_nodata=math.nan,
        fill=math.nan,
        band_names=native.band_names,
        max_error=0.0,
    )
    path = work / Path(native.name).with_suffix(".vrt")
    source = inspect_raster(str(work / native.name), GEOTIFF)
    path.write_text(warped_vrt(source, target, spec, vrt_dir=work), encoding="utf-8")
    return AngleRaster(path.name, "float32", native.band_names, native.nodata, target)
