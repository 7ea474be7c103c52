"""Angle rasters: sun and view directions of every pixel, from the nodes of the tile metadata.

View directions are those of the detector that saw the pixel, never of a mixture; see docs/angles.md.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from s2pipe.preprocess.angles.directions import (
    band_directions,
    mean_over_detectors,
    node_outlines,
    sun_vectors,
)
from s2pipe.preprocess.angles.footprints import MaskReader, OutlineReader
from s2pipe.preprocess.pixels.blocks import Background, stream_windows
from s2pipe.raster.gdalenv import crs_wkt, gdal_module
from s2pipe.raster.grid import Grid, Window
from s2pipe.raster.reader import inspect_raster
from s2pipe.raster.transform import same_crs, transform_points
from s2pipe.raster.vrt import WarpSpec, warped_vrt
from s2pipe.raster.writer import TILE_PX, TiffSpec, TiffStorage, TiffWriter
from s2pipe.sentinel2.safe.detectors import read_detector_outlines
from s2pipe.sentinel2.safe.tile import ANGLE_STEP_M, TileAngles, TileMetadata, read_tile_angles

if TYPE_CHECKING:
    from s2pipe.preprocess.cfg import AngleAssetConfig
    from s2pipe.preprocess.inputs import AngleInput, SceneFile

_WINDOW_BYTES = 96 << 20
"""Most that a window's channels take; two windows are in memory at once."""
_LATTICE_PX = 64
"""Target pixels between exactly computed positions, in another CRS than the tile's."""
_LATTICE_ERROR = 1e-4
"""Largest error of positions between them, in node steps: half a metre."""
_MASK_CACHE = 256 << 20


@dataclass(frozen=True)
class AngleRaster:
    """One raster file of angles."""

    name: str
    """File name in the scene's directory."""
    dtype: str
    """NumPy name of the pixel type."""
    band_names: tuple[str, ...]
    """Channel names."""
    nodata: float
    """Declared nodata value."""
    grid: Grid
    """Where its pixels lie."""


@dataclass(frozen=True)
class AngleResult:
    """What was written."""

    rasters: Mapping[str, AngleRaster]
    """By kind: ``angles``, and ``angles_native`` where that is a VRT over it."""
    document: Mapping[str, Any]
    """How they were made, for ``meta.json``."""


class _IdReader(Protocol):
    cost: int

    def read(self, window: Window, out: np.ndarray) -> None: ...


@dataclass(frozen=True)
class _Group:
    """Channels of one direction: the sun's, one band's, or the mean over bands."""

    prefix: str
    field: Any
    bands: slice
    """Which of the bands' detector ids the field takes; an empty slice for a field without detectors."""


def channel_names(prefix: str, encode: str) -> tuple[str, ...]:
    """Names of the channels of one direction: ``sun_zen_sin`` ..., ``view_B02_azi_deg``."""
    kinds = ("deg",) if encode == "deg" else ("sin", "cos")
    return tuple(f"{prefix}_{angle}_{kind}" for angle in ("zen", "azi") for kind in kinds)


def write_angles(
    work: Path, inputs: AngleInput, target: Grid, config: AngleAssetConfig, bands: Sequence[str], threads: int
) -> AngleResult:
    """Write the angle raster of a scene.

    Parameters
    ----------
    work : Path
        Directory to write to.
    inputs : AngleInput
        Tile metadata and detector footprints.
    target : Grid
        Target grid.
    config : AngleAssetConfig
        What to write.
    bands : sequence of str
        Bands whose view angles are used.
    threads : int
        Reading and compression threads; results do not depend on it.

    Raises
    ------
    MetadataError
        Tile metadata or a footprint mask is damaged; names file and element.
    """
    angles = read_tile_angles(inputs.metadata.read(), inputs.metadata.label)
    scene = _SceneAngles(angles, inputs, config, tuple(bands) if config.include_view else ())
    if config.grid == "target":
        rasters = {"angles": _write_target(work / config.output_name, scene, target, threads)}
    else:
        native = _write_native(work / config.output_name, scene)
        rasters = {"angles": native}
        if config.grid == "vrt":
            rasters = {"angles": _write_vrt(work, native, target), "angles_native": native}
    return AngleResult(rasters, scene.document())


class _SceneAngles:
    """A scene's node vectors, and where its detectors are."""

    def __init__(
        self, angles: TileAngles, inputs: AngleInput, config: AngleAssetConfig, bands: tuple[str, ...]
    ) -> None:
        self.angles = angles
        self.config = config
        self.bands = bands
        self._inputs = inputs
        self._merged = config.detector_aggregate == "nanmean"
        self.views = {} if self._merged else {band: band_directions(angles, band) for band in bands}
        self.tile_crs = crs_wkt(angles.tile.epsg)

    def groups(self) -> list[_Group]:
        """Directions in the order of the channels."""
        from s2kernels import DirectionField

        none = slice(0, 0)
        groups = []
        if self.config.include_sun:
            vectors = sun_vectors(self.angles)[np.newaxis]
            groups.append(_Group("sun", DirectionField(vectors, np.zeros((1, 256), np.int16)), none))
        if self.bands and self.config.view_mode == "single":
            groups.append(_Group("view", self._field(self.bands), none if self._merged else slice(None)))
        elif self.bands:
            for index, band in enumerate(self.bands):
                where = none if self._merged else slice(index, index + 1)
                groups.append(_Group(f"view_{band}", self._field((band,)), where))
        return groups

    def _field(self, bands: Sequence[str]) -> Any:
        from s2kernels import DirectionField

        slots = np.full((len(bands), 256), -1, np.int16)
        vectors: list[np.ndarray] = []
        for index, band in enumerate(bands):
            if self._merged:
                found = {0: mean_over_detectors(self.angles, band)}
            else:
                found = dict(self.views[band].vectors)
            for detector, grid in found.items():
                slots[index, detector] = len(vectors)
                vectors.append(grid)
        if not vectors:  # no detector has a node here: no slot is ever used
            vectors = [np.full((*self.angles.sun_zenith.shape, 3), np.nan)]
        return DirectionField(np.stack(vectors), slots)

    def readers(self, target: Grid) -> list[_IdReader]:
        """Detector ids of every band on the target grid."""
        return [] if self._merged else [self._reader(band, target) for band in self.bands]

    def _reader(self, band: str, target: Grid) -> _IdReader:
        mask = self._mask(band)
        if mask is not None and not mask.is_gml:
            return MaskReader(inspect_raster(mask.gdal_path), target)
        if mask is not None:
            outlines = read_detector_outlines(mask.read(), band, self.angles.tile.epsg, mask.label)
        else:
            outlines = node_outlines(self.angles, band)
        if same_crs(self.tile_crs, target.crs_wkt):
            return OutlineReader(outlines, target)
        return OutlineReader(
            outlines, target, functools.partial(transform_points, self.tile_crs, target.crs_wkt)
        )

    def _mask(self, band: str) -> SceneFile | None:
        return self._inputs.footprints.get(band) if self.config.detector_aggregate == "footprint" else None

    def document(self) -> dict[str, Any]:
        """How the angles were made."""
        return {
            "enabled": True,
            "metadata": self._inputs.metadata.asset.role,
            "sensing_time": self.angles.tile.sensing_time,
            "encode": self.config.encode,
            "grid": self.config.grid,
            "view_mode": self.config.view_mode if self.bands else None,
            "detector_source_by_band": {band: self._source(band) for band in self.bands},
            "extrapolated_detectors_by_band": {
                band: list(view.borrowed) for band, view in self.views.items() if view.borrowed
            },
        }

    def _source(self, band: str) -> str:
        if self._merged:
            return "node_mean"
        mask = self._mask(band)
        return "node_seam" if mask is None else "footprint_polygons" if mask.is_gml else "footprint_mask"


def _write_target(path: Path, scene: _SceneAngles, target: Grid, threads: int) -> AngleRaster:
    """Stream the windows of the target grid: detector ids in, channels out."""
    from s2kernels import AngleEncoding, interpolate_directions

    encoding = AngleEncoding.of(scene.config.encode, scene.config.dtype)
    groups = scene.groups()
    names = tuple(name for group in groups for name in channel_names(group.prefix, scene.config.encode))
    offsets = [encoding.azimuth_offset if name.endswith("azi_deg") else 0.0 for name in names]
    scales = tuple((encoding.scale, offset) for offset in offsets) if encoding.dtype == "int16" else None
    # Values are multiples of a step (see AngleEncoding): a full 10 m tile of sun and mean view direction then takes
    # 103 MB with predictor 2, 152 MB with 3, and 858 MB with 3 if all bits were kept.
    storage = TiffStorage(predictor=2)
    spec = TiffSpec(target, names, encoding.dtype, encoding.missing, storage, scales)
    place = placement(scene.angles.tile, target)
    windows = _windows(target, len(names) * np.dtype(encoding.dtype).itemsize)
    largest = max(window.height * window.width for window in windows)
    buffers = [np.empty(len(names) * largest, encoding.dtype) for _ in range(2)]
    gdal = gdal_module()
    with ExitStack() as stack:
        stack.callback(gdal.SetCacheMax, gdal.GetCacheMax())
        gdal.SetCacheMax(_MASK_CACHE)
        readers = scene.readers(target)
        for reader in readers:
            if isinstance(reader, MaskReader):
                stack.callback(reader.close)
        writer = stack.enter_context(TiffWriter(path, spec, threads))
        background = Background()
        stack.callback(background.close)
        for index, (window, ids) in enumerate(_ids(readers, windows, threads, stack)):
            out = buffers[index % 2][: len(names) * window.height * window.width]
            out = out.reshape(len(names), *window.shape_yx)
            here = place._replace(origin_yx=(window.row, window.col))
            for number, group in enumerate(groups):
                detectors = ids[group.bands] if group.bands != slice(0, 0) else None
                part = out[number * encoding.channels : (number + 1) * encoding.channels]
                interpolate_directions(group.field, here, detectors, encoding, part)
            background.submit(functools.partial(writer.write, window, out))
    return AngleRaster(path.name, encoding.dtype, names, encoding.missing, target)


def _ids(
    readers: Sequence[_IdReader], windows: Sequence[Window], threads: int, stack: ExitStack
) -> Iterator[tuple[Window, np.ndarray]]:
    """Stream the windows with the detector ids of every band, of which there may be none."""
    if not readers:
        return ((window, np.empty((0, *window.shape_yx), np.uint8)) for window in windows)
    stream = stream_windows(readers, windows, workers=threads, look_ahead=2, dtype="uint8")
    stack.callback(stream.close)  # type: ignore[attr-defined]
    return stream


def _windows(grid: Grid, bytes_per_pixel: int) -> list[Window]:
    """Cover a grid with windows of one row of file tiles, as many columns as memory allows."""
    tiles = max(1, _WINDOW_BYTES // (bytes_per_pixel * TILE_PX * TILE_PX))
    return grid.block_windows(TILE_PX, min(tiles * TILE_PX, max(grid.width, 1)))


def placement(tile: TileMetadata, grid: Grid) -> Any:
    """Place the pixels of a grid between the nodes of a tile, as :func:`s2kernels.interpolate_directions` takes it.

    Parameters
    ----------
    tile : TileMetadata
        Node [i, j] lies at (ULX + 5000 j, ULY - 5000 i) in its CRS.
    grid : Grid
        A raster in any CRS.

    Returns
    -------
    s2kernels.Placement
        With the window's origin at the first pixel.
    """
    from s2kernels import Placement

    tile_crs = crs_wkt(tile.epsg)
    ulx, uly = tile.upper_left[10]
    x0, dx, rx, y0, ry, dy = grid.geotransform
    is_same = same_crs(tile_crs, grid.crs_wkt)

    def nodes_at(rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
        col, row = np.meshgrid(cols + 0.5, rows + 0.5)
        points = np.stack((x0 + dx * col + rx * row, y0 + ry * col + dy * row), axis=-1).reshape(-1, 2)
        if not is_same:
            points = transform_points(grid.crs_wkt, tile_crs, points)
            points = np.where(np.isfinite(points), points, -1e9)  # no such place: far outside
        nodes = np.stack((points[:, 0] - ulx, uly - points[:, 1])) / ANGLE_STEP_M
        return nodes.reshape(2, *col.shape)

    if is_same:
        step_yx = max(grid.height - 1, 1), max(grid.width - 1, 1)
        return Placement(nodes_at(np.array((0, step_yx[0])), np.array((0, step_yx[1]))), step_yx, (0, 0))
    step = _LATTICE_PX
    while True:
        rows, cols = (np.arange(0, size + step, step) for size in grid.shape_yx)
        nodes = nodes_at(rows, cols)
        if (
            step == 1
            or _lattice_error(nodes, nodes_at(rows[:-1] + step / 2, cols[:-1] + step / 2)) < _LATTICE_ERROR
        ):
            return Placement(nodes, (step, step), (0, 0))
        step //= 2


def _lattice_error(nodes: np.ndarray, middles: np.ndarray) -> float:
    """Largest difference in cells that touch the tile between bilinear and exact middles, in node steps."""
    corners = [nodes[:, :-1, :-1], nodes[:, :-1, 1:], nodes[:, 1:, :-1], nodes[:, 1:, 1:]]
    lowest, highest = np.minimum.reduce(corners), np.maximum.reduce(corners)
    touching = ((-1e8 < lowest) & (lowest < 30) & (highest > -8)).all(axis=0)
    error = np.abs(sum(corners) / 4 - middles).max(axis=0)
    return float(error[touching].max(initial=0.0))


def node_grid(tile: TileMetadata, shape_yx: tuple[int, int]) -> Grid:
    """The raster whose pixel centres are the nodes: it begins half a step outside the tile."""
    ulx, uly = tile.upper_left[10]
    half, step = ANGLE_STEP_M / 2, float(ANGLE_STEP_M)
    return Grid(crs_wkt(tile.epsg), (ulx - half, step, 0.0, uly + half, 0.0, -step), shape_yx)


def _write_native(path: Path, scene: _SceneAngles) -> AngleRaster:
    """Write the metadata's own values at the nodes, each of the detector that sees the node."""
    from s2kernels import AngleEncoding, Placement, interpolate_directions

    shape_yx = scene.angles.sun_zenith.shape
    grid = node_grid(scene.angles.tile, (shape_yx[0], shape_yx[1]))
    encoding = AngleEncoding.of(scene.config.encode)
    ids = _node_ids(scene, grid)
    i, j = np.indices(shape_yx, dtype=float)
    place = Placement(np.stack((j, i)), (1, 1), (0, 0))
    parts: list[np.ndarray] = []
    names: list[str] = []
    for group in scene.groups():
        part = np.empty((encoding.channels, *shape_yx), np.float32)
        detectors = None if group.bands == slice(0, 0) else np.ascontiguousarray(ids[group.bands])
        # A neighbour's NaN would get into a node even with the weight 0: nodes that are NaN are told apart after.
        field = group.field._replace(vectors=np.nan_to_num(group.field.vectors))
        interpolate_directions(field, place, detectors, encoding, part)
        if detectors is None:
            part[:, np.isnan(group.field.vectors[..., 0]).all(axis=0)] = np.nan
        parts.append(part)
        names += channel_names(group.prefix, scene.config.encode)
    with TiffWriter(path, TiffSpec(grid, tuple(names), "float32", encoding.missing)) as writer:
        writer.write(Window(0, 0, *grid.shape_yx), np.concatenate(parts))
    return AngleRaster(path.name, "float32", tuple(names), encoding.missing, grid)


def _node_ids(scene: _SceneAngles, grid: Grid) -> np.ndarray:
    """Detector of each node and band: the one that has a value there; of two, the one that saw the ground."""
    ids = np.zeros((len(scene.bands), *grid.shape_yx), np.uint8)
    whole = Window(0, 0, *grid.shape_yx)
    for index, reader in enumerate(scene.readers(grid)):
        reader.read(whole, ids[index])
        band = scene.bands[index]
        chosen = ids[index].copy()
        for detector in scene.angles.detectors(band):
            seen = np.isfinite(scene.angles.view[band, detector][0])
            others = np.zeros_like(seen)
            for other in scene.angles.detectors(band):
                if other != detector:
                    others |= np.isfinite(scene.angles.view[band, other][0]) & (chosen == other)
            ids[index][seen & ~others] = detector
        finite = np.logical_or.reduce(
            [np.isfinite(scene.angles.view[band, d][0]) for d in scene.angles.detectors(band)]
        )
        ids[index][~finite] = 0
    return ids


def _write_vrt(work: Path, native: AngleRaster, target: Grid) -> AngleRaster:
    """Declare the node raster on the target grid."""
    spec = WarpSpec(
        "bilinear",
        source_nodata=native.nodata,
        fill=native.nodata,
        band_names=native.band_names,
        max_error=0.0,
    )
    path = work / Path(native.name).with_suffix(".vrt")
    source = inspect_raster(str(work / native.name))
    path.write_text(warped_vrt(source, target, spec, vrt_dir=work), encoding="utf-8")
    return AngleRaster(path.name, "float32", native.band_names, native.nodata, target)
