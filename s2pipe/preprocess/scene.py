"""One scene through the engine: its windows into a histogram (pass 1), or into ``x.tif`` (pass 2)."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from s2pipe.preprocess.nbar import NadirView
from s2pipe.preprocess.pixels.blocks import Background, scene_windows
from s2pipe.preprocess.pixels.dn import DnWindows, dn_windows
from s2pipe.preprocess.record import stack_fingerprint
from s2pipe.preprocess.staging import staged
from s2pipe.preprocess.stats.histogram import BandHistograms, ContributingScene, HistogramSettings
from s2pipe.preprocess.stats.pixel_draw import DrawPool, PixelDraw, draw_from_blocks
from s2pipe.raster.writer import TiffSpec, TiffStorage, TiffWriter, copy_as_cog
from s2pipe.runtime.cores import core_count
from s2pipe.runtime.progress import advance

if TYPE_CHECKING:
    from pathlib import Path

    from s2pipe.preprocess.cfg import PreprocessConfig
    from s2pipe.preprocess.plan import ScenePlan
    from s2pipe.preprocess.stats.statistics import NormalizationStats


@dataclass(frozen=True)
class ValidCoverage:
    """How much of a scene is valid."""

    pixels: int
    """Pixels of the target grid."""
    by_channel: Mapping[str, float]
    """Valid share, 0 to 1, by mask channel."""
    nbar: Mapping[str, Any] | None = None
    """How reflectance was adjusted to a view from nadir, for ``meta.json``; None where it was not."""


def mask_names(config: PreprocessConfig) -> tuple[str, ...]:
    """Names of the mask channels of ``x.tif``."""
    if config.valid_pixel_mask == "single":
        return ("valid",)
    return tuple(f"valid_{channel}" for channel in config.channels)


def write_stack(
    path: Path, plan: ScenePlan, config: PreprocessConfig, stats: NormalizationStats | None
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
    stats : NormalizationStats or None
        Statistics to normalize with; None writes plain values.
    """
    from s2kernels import reflectance_standardize, reflectance_valid

    names = (*map(str, config.channels), *mask_names(config))
    bands, output = len(config.channels), config.output
    radiometry, nadir = _radiometry(plan), _nadir_view(plan, config)
    normalization = None if stats is None else stats.normalization()
    storage = TiffStorage(output.compression, output.level, output.predictor, output.tile_px)
    # A COG is a copy of a finished raster; what is copied is not worth compressing.
    plain = path.with_name("plain-" + path.name) if output.cog else path
    temporary = TiffStorage("none", tile_px=output.tile_px) if output.cog else storage
    spec = TiffSpec(plan.target, names, "float32", storage=temporary)
    windows = scene_windows(plan.target, output.tile_px)
    cores = core_count(config.num_workers)
    valid = np.zeros(len(names) - bands, np.int64)
    # Two buffers: one is being written while the kernels fill the other.
    buffers = [np.empty(len(names) * windows[0].height * windows[0].width, np.float32) for _ in range(2)]
    with ExitStack() as stack:
        stream = stack.enter_context(_dn_windows(plan, config, nadir))
        writer = stack.enter_context(TiffWriter(plain, spec, cores))
        background = Background()
        stack.callback(background.close)
        for index, (window, dn) in enumerate(stream):
            if plan.mask is not None:
                plan.mask.apply(window, dn)
            out = buffers[index % 2][: len(names) * window.height * window.width].reshape(
                len(names), *window.shape_yx
            )
            if normalization is None:
                reflectance_valid(dn, radiometry, out[:bands], out[bands:])
            else:
                reflectance_standardize(dn, radiometry, normalization, out[:bands], out[bands:])
            valid += [np.count_nonzero(mask) for mask in out[bands:]]
            background.submit(functools.partial(writer.write, window, out))
            advance(window.height, dn.nbytes)
    if output.cog:
        copy_as_cog(plain, path, storage, cores)
        plain.unlink()
    pixels = plan.target.height * plan.target.width
    shares = (float(count / pixels) for count in valid)
    return ValidCoverage(
        pixels, dict(zip(names[bands:], shares, strict=True)), None if nadir is None else nadir.to_document()
    )


def scene_histogram(plan: ScenePlan, config: PreprocessConfig, inputs_fingerprint: str) -> BandHistograms:
    """Count the valid values of one scene, band by band, without writing a raster.

    Parameters
    ----------
    plan : ScenePlan
        What to read.
    config : PreprocessConfig
        Resampling and histogram.
    inputs_fingerprint : str
        Identifies the inputs in the result.
    """
    settings = HistogramSettings.of(config, plan.split)
    size = config.normalize.max_pixels_per_scene
    with staged(plan, config) as ready:
        if size is None:
            accumulator = _count_all(ready, config, settings)
        else:
            accumulator = _accumulator(ready, settings)
            for band, dn in enumerate(_draw(ready, config)):
                accumulator.add(dn.reshape(1, 1, -1), first_band=band)
    result = accumulator.result()
    with_l2a = any(channel.level == "L2A" for channel in config.channels)
    sources = (plan.scene.l1c, plan.scene.l2a) if with_l2a else (plan.scene.l1c,)
    products = tuple(p.product_name for p in sources if p is not None and p.product_name)
    return BandHistograms(
        settings,
        result.counts,
        result.underflow,
        result.overflow,
        (ContributingScene(plan.key, products),),
        inputs_fingerprint,
    )


def _nadir_view(plan: ScenePlan, config: PreprocessConfig) -> NadirView | None:
    if plan.nbar is None:
        return None
    return NadirView(plan.nbar, plan.stack, _radiometry(plan), config)


@contextmanager
def _dn_windows(plan: ScenePlan, config: PreprocessConfig, nadir: NadirView | None) -> Iterator[DnWindows]:
    """DN of the scene, window by window, through the stack cache if that is on, as seen from nadir if asked for."""
    fingerprint = stack_fingerprint(plan, config) if config.cache.enabled else None
    windows = scene_windows(plan.target, config.output.tile_px)
    with ExitStack() as stack:
        stream = stack.enter_context(dn_windows(plan.stack, config, windows, fingerprint))
        if nadir is not None:
            stream = stack.enter_context(nadir.windows(stream, windows, core_count(config.num_workers)))
        yield stream


def _count_all(plan: ScenePlan, config: PreprocessConfig, settings: HistogramSettings) -> Any:
    accumulator, masks = None, plan.counted
    with _dn_windows(plan, config, _nadir_view(plan, config)) as stream:
        for window, dn in stream:
            masks.apply(window, dn)
            # Made when the first window is there: importing Numba overlaps with decoding.
            accumulator = accumulator or _accumulator(plan, settings)
            accumulator.add(dn)
            advance(window.height, dn.nbytes)
    return accumulator


def _draw(plan: ScenePlan, config: PreprocessConfig) -> list[np.ndarray]:
    """Drawn DN of each band, float32 (n); drawing from all pixels decodes every window."""
    draw, nadir = PixelDraw.of(plan.key, config), _nadir_view(plan, config)
    if config.normalize.sampling == "blocks":
        adjusting = None if nadir is None else nadir.adjusting
        return draw_from_blocks(draw, plan.stack, plan.counted, config, adjusting)
    pool, masks = DrawPool(draw), plan.counted
    with _dn_windows(plan, config, nadir) as stream:
        for window, dn in stream:
            masks.apply(window, dn)
            pool.add(window, plan.target.width, dn)
            advance(window.height, dn.nbytes)
    return list(pool.drawn())


def _accumulator(plan: ScenePlan, settings: HistogramSettings) -> Any:
    from s2kernels import HistogramAccumulator, HistogramSpec

    spec = HistogramSpec.from_range(*settings.hist_range, settings.hist_bin_width)
    return HistogramAccumulator(spec, _radiometry(plan))


def _radiometry(plan: ScenePlan) -> Any:
    from s2kernels import Radiometry

    return Radiometry(offset=plan.radiometry.offset, quantification=plan.radiometry.quantification)
