"""One scene through the engine: its windows into a histogram (pass 1), or into ``x.tif`` (pass 2)."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from s2pipe.groundmask import GroundMask
from s2pipe.preprocess.blocks import Background, scene_windows, stream_windows
from s2pipe.preprocess.cfg import PreprocessConfig
from s2pipe.preprocess.plan import BandInput, ScenePlan
from s2pipe.preprocess.sample import PixelSampler
from s2pipe.preprocess.stats import Histogram, HistogramSettings, scene_record
from s2pipe.raster.gdalenv import gdal_module
from s2pipe.raster.grid import Grid, Window
from s2pipe.raster.reader import RasterReader
from s2pipe.raster.vrt import WarpSpec, validity_vrt, warped_vrt
from s2pipe.raster.writer import TiffSpec, TiffWriter
from s2pipe.split import SplitPlan

LOOK_AHEAD = 3
"""Windows in memory at once."""
_CACHE_SLACK = 64 << 20


@dataclass(frozen=True)
class ValidCoverage:
    """How much of a scene is valid."""

    pixels: int
    """Pixels of the target grid."""
    by_channel: Mapping[str, float]
    """Valid share, 0 to 1, by mask channel."""


def core_count(num_workers: int) -> int:
    """Number of threads: the configured one, or the cores that this process may use for 0."""
    if num_workers:
        return num_workers
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS and Windows
        return os.cpu_count() or 1


def mask_names(config: PreprocessConfig) -> tuple[str, ...]:
    """Names of the mask channels of ``x.tif``."""
    if config.valid_pixel_mask == "single":
        return ("valid",)
    return tuple(f"valid_{band}" for band in config.l1c_bands)


def write_stack(
    path: Path, plan: ScenePlan, config: PreprocessConfig, stats: Mapping[str, Any] | None
) -> ValidCoverage:
    """Write ``x.tif``: values of every band, then the mask channels.

    Parameters
    ----------
    path : Path
        GeoTIFF to make.
    plan : ScenePlan
        What to read.
    config : PreprocessConfig
        Resampling, mask.
    stats : mapping or None
        Content of ``stats.json`` to normalise with; None writes plain values.
    """
    from s2kernels import reflectance_standardize, reflectance_valid

    names = (*config.l1c_bands, *mask_names(config))
    bands = len(config.l1c_bands)
    radiometry = _radiometry(plan)
    normalization = None if stats is None else _normalization(stats, config.l1c_bands)
    windows = scene_windows(plan.target)
    cores = core_count(config.num_workers)
    valid = np.zeros(len(names) - bands, np.int64)
    # Two buffers: one is being written while the kernels fill the other.
    buffers = [np.empty(len(names) * windows[0].height * windows[0].width, np.float32) for _ in range(2)]
    with TiffWriter(path, TiffSpec(plan.target, names, "float32"), cores) as writer, ExitStack() as stack:
        background = Background()
        stack.callback(background.close)
        for index, (window, dn) in enumerate(_windows_of(plan, config, windows, stack)):
            out = buffers[index % 2][: len(names) * window.height * window.width].reshape(
                len(names), *window.shape_yx
            )
            if normalization is None:
                reflectance_valid(dn, radiometry, out[:bands], out[bands:])
            else:
                reflectance_standardize(dn, radiometry, normalization, out[:bands], out[bands:])
            valid += [np.count_nonzero(mask) for mask in out[bands:]]
            background.submit(functools.partial(writer.write, window, out))
    pixels = plan.target.height * plan.target.width
    return ValidCoverage(
        pixels, dict(zip(names[bands:], (float(count / pixels) for count in valid), strict=True))
    )


def count_scene(
    plan: ScenePlan, config: PreprocessConfig, inputs_fingerprint: str, split: SplitPlan | None = None
) -> Histogram:
    """Count the valid values of one scene, band by band, without writing a raster.

    Parameters
    ----------
    plan : ScenePlan
        What to read.
    config : PreprocessConfig
        Resampling and histogram.
    inputs_fingerprint : str
        Identifies the inputs in the result.
    split : SplitPlan, optional
        Count training ground only.
    """
    from s2kernels import HistogramAccumulator, HistogramSpec

    settings = HistogramSettings.of(config, split)
    spec = HistogramSpec.from_range(*settings.hist_range, settings.hist_bin_width)
    accumulator = HistogramAccumulator(spec, _radiometry(plan))
    sampler = PixelSampler.of(plan.key, config)
    windows = scene_windows(plan.target)
    scene = (plan.key.tile_id, plan.key.sensing_start_utc)
    mask = None if split is None else GroundMask(split, scene, plan.target)
    with ExitStack() as stack:
        for window, dn in _windows_of(plan, config, windows, stack):
            if mask is not None:
                mask.apply(window, dn)
            if sampler is None:
                accumulator.add(dn)
            else:
                sampler.add(window, plan.target.width, dn)
    if sampler is not None:
        for band, drawn in enumerate(sampler.drawn()):
            accumulator.add(drawn.reshape(1, 1, -1), first_band=band)
    result = accumulator.result()
    products = [p.product_name for p in (plan.scene.l1c,) if p is not None and p.product_name]
    key = {"tile_id": plan.key.tile_id, "sensing_start_utc": plan.key.sensing_start_utc}
    return Histogram(
        settings,
        result.counts,
        result.underflow,
        result.overflow,
        (scene_record(key, products),),
        inputs_fingerprint,
    )


def _windows_of(plan: ScenePlan, config: PreprocessConfig, windows: list[Window], stack: ExitStack) -> Any:
    """Open the scene's bands and stream their windows; the stack closes them."""
    gdal = gdal_module()
    cores = core_count(config.num_workers)
    threads = max(1, cores // len(plan.bands))
    stack.callback(gdal.SetCacheMax, gdal.GetCacheMax())
    gdal.SetCacheMax(_cache_bytes(plan, windows[0]))
    readers = [open_band(band, plan.target, config.valid_min_fraction, threads) for band in plan.bands]
    for reader in readers:
        stack.callback(reader.close)
    stream = stream_windows(readers, windows, workers=cores, look_ahead=LOOK_AHEAD)
    stack.callback(stream.close)  # type: ignore[attr-defined]
    return stream


def _cache_bytes(plan: ScenePlan, window: Window) -> int:
    """Block cache that holds, for every band, the rows of JPEG 2000 tiles that windows are being cut from.

    With less, tiles would be decoded again for the next window.
    """
    strips = sum(band.raster.block_yx[0] * band.raster.grid.width * 2 for band in plan.bands)
    written = (2 * len(plan.bands)) * window.height * window.width * 4
    return 3 * strips + written + _CACHE_SLACK


class _BandSource:
    """A band on the target grid, with pixels dropped whose source area is not valid enough."""

    def __init__(self, values: RasterReader, fraction: RasterReader | None, minimum: float) -> None:
        self._values = values
        self._fraction = fraction
        self._minimum = minimum

    def read(self, window: Window, out: np.ndarray) -> None:
        """Fill ``out`` with DN; 0 where the band is not valid."""
        self._values.read(window, out)
        if self._fraction is not None:
            from s2kernels import drop_below_fraction

            share = np.empty_like(out)
            self._fraction.read(window, share)
            drop_below_fraction(out[np.newaxis], share[np.newaxis], self._minimum)

    def close(self) -> None:
        """Release the datasets."""
        self._values.close()
        if self._fraction is not None:
            self._fraction.close()


def open_band(band: BandInput, target: Grid, valid_min_fraction: float, threads: int) -> _BandSource:
    """Open a band as windows of the target grid.

    Parameters
    ----------
    band : BandInput
        The raster and its resampling method.
    target : Grid
        Target grid.
    valid_min_fraction : float
        Least valid share of a target pixel's source area; 0 keeps every pixel that has a value.
    threads : int
        Threads that GDAL may use within one read.
    """
    path = band.raster.path
    if band.method is None:
        return _BandSource(RasterReader(path, path, threads), None, 0.0)
    values = RasterReader(warped_vrt(band.raster, target, WarpSpec(band.method)), path, threads)
    if valid_min_fraction == 0.0:
        return _BandSource(values, None, 0.0)
    # The average of 0 and 1 over a pixel's source area is the valid share of that area, for any method.
    share = warped_vrt(validity_vrt(band.raster), target, WarpSpec("average", source_nodata=None))
    return _BandSource(values, RasterReader(share, path, threads), valid_min_fraction)


def _radiometry(plan: ScenePlan) -> Any:
    from s2kernels import Radiometry

    return Radiometry(offset=plan.radiometry.offset, quantification=plan.radiometry.quantification)


def _normalization(stats: Mapping[str, Any], bands: tuple[str, ...]) -> Any:
    from s2kernels import Normalization

    limit = float(np.finfo(np.float32).max)

    def values(name: str, none: float) -> list[float]:
        found = [stats[name][band] for band in bands]
        return [none if value is None else value for value in found]

    return Normalization(
        low=values("clip_low_by_band", -limit),
        high=values("clip_high_by_band", limit),
        mean=values("mean_by_band", 0.0),
        std=values("std_by_band", 1.0),
    )
