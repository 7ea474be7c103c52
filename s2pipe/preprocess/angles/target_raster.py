"""The angle raster on the target grid, window by window: detector ids in, channels out."""

from __future__ import annotations

import functools
from contextlib import ExitStack, closing
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from s2pipe.preprocess.angles.files import ANGLE_TITLE, AngleRaster, angle_tags
from s2pipe.preprocess.angles.footprints import MaskReader
from s2pipe.preprocess.angles.placement import placement
from s2pipe.preprocess.pixels.blocks import Background, TargetReader, stream_windows
from s2pipe.preprocess.pixels.chosen import Chosen, inside, part_of
from s2pipe.raster.block_cache import block_cache
from s2pipe.raster.writer import TILE_PX, TiffSpec, TiffStorage, TiffWriter
from s2pipe.sentinel2.angle_channels import ANGLE_MASK

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from pathlib import Path

    from s2kernels import AngleEncoding
    from s2pipe.preprocess.angles.scene_angles import ChannelGroup, SceneAngles
    from s2pipe.preprocess.cfg import AngleAssetConfig
    from s2pipe.preprocess.pixels.blocks import BandReader
    from s2pipe.preprocess.raster_tags import RasterForm
    from s2pipe.raster.grid import Grid, TargetGrid, Window

_WINDOW_BYTES = 96 << 20
"""Most that a window's channels take; two windows are in memory at once."""
_MASK_CACHE_BYTES = 256 << 20
"""Block cache for the detector footprint masks of all bands."""


def write_target_raster(
    path: Path,
    scenes: Sequence[SceneAngles],
    target: TargetGrid,
    form: RasterForm,
    chosen: Chosen = Chosen(),  # noqa: B008 - frozen
) -> AngleRaster:
    """Write the angles of every pixel of the target grid.

    Parameters
    ----------
    path : Path
        GeoTIFF to make.
    scenes : sequence of SceneAngles
        Directions and detectors: of one scene, or of each source of a mosaic.
    target : TargetGrid
        Target grid.
    form : RasterForm
        What all rasters of the scene have in common, and the threads for reading and compression.
    chosen : Chosen
        Which source each pixel of a mosaic is from.
    """
    from s2kernels import AngleEncoding

    config = scenes[0].config
    encoding = AngleEncoding.of(config.encode, config.dtype)
    fillers = [_Filler(scene, target, encoding) for scene in scenes]
    spec = _tiff_spec(fillers[0].groups, encoding, config, target.grid)
    channels = len(spec.band_names)
    windows = _windows(target.grid, channels * np.dtype(encoding.dtype).itemsize)
    largest = max(window.height * window.width for window in windows)
    # Two buffers: one is being written while the kernel fills the other.
    buffers = [np.empty(channels * largest, encoding.dtype) for _ in range(2)]
    with ExitStack() as exits:
        exits.enter_context(block_cache(_MASK_CACHE_BYTES))
        stream = exits.enter_context(closing(_detector_ids(scenes, target, windows, form.threads, chosen)))
        tagged = form.apply(spec, ANGLE_TITLE, angle_tags(spec.band_names))
        writer = exits.enter_context(TiffWriter(path, tagged, form.threads))
        background = Background()
        exits.callback(background.close)
        for index, (window, ids) in enumerate(stream):
            out = buffers[index % 2][: channels * window.height * window.width]
            out = out.reshape(channels, *window.shape_yx)
            if chosen.path is None:
                fillers[0].fill(window, ids, out)
            else:
                _fill_chosen(fillers, window, ids, encoding, out)
            if config.fill == 0:
                _mask_missing(spec, encoding, out)
            background.submit(functools.partial(writer.write, window, out))
    return AngleRaster(path.name, encoding.dtype, spec.band_names, spec.nodata, target.grid)


class _Filler:
    """Computes the channels of one scene."""

    def __init__(self, scene: SceneAngles, target: TargetGrid, encoding: AngleEncoding) -> None:
        self.groups = scene.groups()
        self._target = target
        self._encoding = encoding
        self._place = placement(scene.angles.tile, target.reference)

    def fill(self, window: Window, ids: np.ndarray, out: np.ndarray) -> None:
        """Compute the channels (channel, y, x) of a window from the detector ids (band, y, x)."""
        from s2kernels import interpolate_directions

        channels = self._encoding.channels
        place = self._place._replace(origin_yx=self._target.in_reference(window)[:2])
        for number, group in enumerate(self.groups):
            detectors = None if group.bands is None else ids[group.bands]
            part = out[number * channels : (number + 1) * channels]
            interpolate_directions(group.field, place, detectors, self._encoding, part)


def _fill_chosen(
    fillers: Sequence[_Filler], window: Window, ids: np.ndarray, encoding: AngleEncoding, out: np.ndarray
) -> None:
    """Compute the channels of a window of a mosaic, each pixel from its source, whose numbers are the last of ids."""
    numbers = ids[-1]
    out[...] = encoding.missing
    for number, filler in enumerate(fillers, start=1):
        wanted = numbers == number
        part = part_of(wanted, window)
        if part is None:
            continue
        here = (slice(None), *inside(part, window))
        values = np.empty((len(out), *part.shape_yx), out.dtype)
        filler.fill(part, np.ascontiguousarray(ids[here][:-1]), values)
        np.copyto(out[here], values, where=wanted[here[1:]])


def _mask_missing(spec: TiffSpec, encoding: AngleEncoding, out: np.ndarray) -> None:
    """Replace missing angles (channel, y, x) by the stored form of 0, and fill in the last channel, the mask."""
    known = out[-1]
    known[:] = 1
    scales = spec.scale_offset or [(1.0, 0.0)] * len(out)
    for channel, (scale, offset) in zip(out[:-1], scales, strict=False):
        missing = np.isnan(channel) if channel.dtype.kind == "f" else channel == encoding.missing
        channel[missing] = round(-offset / scale)
        known[missing] = 0


def _tiff_spec(
    groups: Sequence[ChannelGroup], encoding: AngleEncoding, config: AngleAssetConfig, target: Grid
) -> TiffSpec:
    names = tuple(name for group in groups for name in group.channel_names(config.encode))
    offsets = [encoding.azimuth_offset if name.endswith("azi_deg") else 0.0 for name in names]
    scales = tuple((encoding.scale, offset) for offset in offsets) if encoding.dtype == "int16" else None
    nodata: float | None = encoding.missing
    if config.fill == 0:
        names, nodata = (*names, ANGLE_MASK), None
        scales = None if scales is None else (*scales, (1.0, 0.0))
    # Values are multiples of a step (see AngleEncoding): a full 10 m tile of sun and mean view direction then takes
    # 103 MB with predictor 2, 152 MB with 3, and 858 MB with 3 if all bits were kept.
    return TiffSpec(target, names, encoding.dtype, nodata, TiffStorage(predictor=2), scales)


def _detector_ids(
    scenes: Sequence[SceneAngles],
    target: TargetGrid,
    windows: Sequence[Window],
    threads: int,
    chosen: Chosen,
) -> Generator[tuple[Window, np.ndarray], None, None]:
    """Yield the windows with the detector ids of every band, uint8 (band, y, x); of no band where none are needed.

    Those of a mosaic end with the numbers of the sources.
    """
    with ExitStack() as exits:
        readers = [scene.detector_readers(target.reference) for scene in scenes]
        for reader in chain(*readers):
            if isinstance(reader, MaskReader):
                exits.callback(reader.close)
        on_target: list[BandReader] = []
        for of_band in zip(*readers, strict=True):
            own = [TargetReader(reader, target) for reader in of_band]
            on_target.append(chosen.reader(len(own), own.__getitem__, 0, exits))
        if chosen.path is not None:
            on_target.append(chosen.numbers(exits))
        if on_target:
            stream = stream_windows(on_target, windows, workers=threads, look_ahead=2, dtype="uint8")
            yield from exits.enter_context(closing(stream))
        else:
            yield from ((window, np.empty((0, *window.shape_yx), np.uint8)) for window in windows)


def _windows(grid: Grid, bytes_per_pixel: int) -> list[Window]:
    """Cover a grid with windows of one row of file tiles, and as many columns as memory allows."""
    tiles = max(1, _WINDOW_BYTES // (bytes_per_pixel * TILE_PX * TILE_PX))
    return grid.block_windows(TILE_PX, min(tiles * TILE_PX, max(grid.width, 1)))
