"""One scene through the engine: its windows into a histogram (pass 1), or into ``x.tif`` (pass 2)."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from s2pipe.preprocess.mosaic import MosaicWindow, Part, nadir_view, opened, radiometry_of
from s2pipe.preprocess.pixels.blocks import Background, scene_windows
from s2pipe.preprocess.pixels.chosen import NO_SOURCE, SOURCE_BAND, SOURCE_NAME, inside
from s2pipe.preprocess.raster_tags import RasterForm, stack_bands, stack_title
from s2pipe.preprocess.staging import staged
from s2pipe.preprocess.stats.histogram import BandHistograms, ContributingScene, HistogramSettings
from s2pipe.preprocess.stats.pixel_draw import DrawPool, PixelDraw, draw_from_blocks, drawn_of
from s2pipe.raster.tags import BandStatistics
from s2pipe.raster.writer import TiffSpec, TiffStorage, TiffWriter
from s2pipe.runtime.cores import core_count

if TYPE_CHECKING:
    from pathlib import Path

    from s2pipe.preprocess.cfg import PreprocessConfig
    from s2pipe.preprocess.scene_plan import ScenePlan
    from s2pipe.preprocess.stats.statistics import NormalizationStats


@dataclass(frozen=True)
class ValidCoverage:
    """How much of a scene is valid."""

    pixels: int
    """Pixels of the target grid."""
    by_channel: Mapping[str, float]
    """Valid share, 0 to 1, by mask channel."""
    nbar: tuple[Mapping[str, Any] | None, ...] = (None,)
    """How the reflectance of each source was adjusted to a view from nadir; None where it was not."""
    by_source: tuple[int, ...] = ()
    """Pixels that are from each source of a mosaic."""


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
    names = (*map(str, config.channels), *mask_names(config))
    bands, output = len(config.channels), config.output
    storage = TiffStorage(output.compression, output.level, output.predictor, output.tile_px)
    form = RasterForm.of(plan.scene, config, core_count(config.num_workers))
    spec = TiffSpec(plan.target, names, "float32", storage=storage, mask=True)
    spec = form.apply(spec, stack_title(plan.key, config), stack_bands(config, len(names) - bands))
    largest = scene_windows(plan.target, output.tile_px)[0]
    sums = _Moments()
    valid = np.zeros(len(names) - bands, np.int64)
    pixels = np.zeros(256, np.int64)
    values = _Values(plan, stats, len(names))
    # Two buffers: one is being written while the kernels fill the other.
    buffers = [np.empty(len(names) * largest.height * largest.width, np.float32) for _ in range(2)]
    with ExitStack() as stack:
        stream = stack.enter_context(opened(plan, config, plan.mask))
        writer = stack.enter_context(TiffWriter(path, spec, form.threads))
        numbers = _numbers_writer(path, plan, form, stack)
        background = Background()
        stack.callback(background.close)
        for index, found in enumerate(stream.windows):
            window = found.window
            out = buffers[index % 2][: len(names) * window.height * window.width].reshape(
                len(names), *window.shape_yx
            )
            values.fill(found, out)
            valid += [np.count_nonzero(mask) for mask in out[bands:]]
            everywhere = out[bands] if len(valid) == 1 else out[bands:].min(axis=0)
            sums.add(out, everywhere)
            writer.mask(window, everywhere > 0)
            if numbers is not None and found.numbers is not None:
                numbers.write(window, found.numbers[np.newaxis])
                pixels += np.bincount(found.numbers.ravel(), minlength=256)
            background.submit(functools.partial(writer.write, window, out))
        writer.state(sums.statistics())
    size = plan.target.height * plan.target.width
    shares = (float(count / size) for count in valid)
    return ValidCoverage(
        size,
        dict(zip(names[bands:], shares, strict=True)),
        tuple(None if view is None else view.to_document() for view in stream.nadir),
        tuple(pixels[1 : len(plan.sources) + 1].tolist()),
    )


class _Moments:
    """Statistics of bands while they are written."""

    def __init__(self) -> None:
        self._parts: list[np.ndarray] = []
        self._pixels = 0

    def add(self, values: np.ndarray, valid: np.ndarray) -> None:
        """Add a window (band, y, x) of whole rows, of which the pixels count that are valid in all bands."""
        from s2kernels import row_moments

        self._pixels += valid.size
        self._parts.append(row_moments(values, valid))

    def statistics(self) -> list[BandStatistics]:
        """Statistics of every band."""
        found = []
        for rows in np.concatenate(self._parts, axis=1):
            count, total, squares = (math.fsum(rows[:, column]) for column in (0, 3, 4))
            mean = total / count if count else math.nan
            variance = max(0.0, squares / count - mean * mean) if count else math.nan
            least, greatest = float(rows[:, 1].min()), float(rows[:, 2].max())
            found.append(BandStatistics(int(count), self._pixels, least, greatest, mean, math.sqrt(variance)))
        return found


class _Values:
    """Turns windows of DN into values and masks."""

    def __init__(self, plan: ScenePlan, stats: NormalizationStats | None, channels: int) -> None:
        self._bands = len(plan.stack.bands)
        self._channels = channels
        self._radiometry = [radiometry_of(source) for source in plan.each]
        self._normalization = None if stats is None else stats.normalization()

    def fill(self, found: MosaicWindow, out: np.ndarray) -> None:
        """Fill ``out`` (channel, y, x): values of every band, then the mask channels; 0 where no source is."""
        if found.numbers is None:
            self._convert(found.parts[0], out)
            return
        out[...] = 0
        for part in found.parts:
            values = np.empty((self._channels, *part.window.shape_yx), np.float32)
            self._convert(part, values)
            here = (slice(None), *inside(part.window, found.window))
            np.copyto(out[here], values, where=part.chosen)

    def _convert(self, part: Part, out: np.ndarray) -> None:
        from s2kernels import reflectance_standardize, reflectance_valid

        radiometry, values, masks = self._radiometry[part.source], out[: self._bands], out[self._bands :]
        if self._normalization is None:
            reflectance_valid(part.dn, radiometry, values, masks)
        else:
            reflectance_standardize(part.dn, radiometry, self._normalization, values, masks)


def _numbers_writer(path: Path, plan: ScenePlan, form: RasterForm, exits: ExitStack) -> TiffWriter | None:
    """Open ``source.tif`` of a mosaic for writing; None for a scene of its own."""
    if not plan.sources:
        return None
    spec = TiffSpec(plan.target, (SOURCE_BAND,), "uint8", nodata=NO_SOURCE)
    tagged = form.apply(spec, "Which scene of a mosaic each pixel is from")
    return exits.enter_context(TiffWriter(path.with_name(SOURCE_NAME), tagged))


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
            accumulators = _count_all(ready, config, settings)
        else:
            accumulators = []
            for source, drawn in zip(ready.each, _draw(ready, config), strict=True):
                accumulators.append(_accumulator(source, settings))
                for band, dn in enumerate(drawn):
                    accumulators[-1].add(dn.reshape(1, 1, -1), first_band=band)
    results = [accumulator.result() for accumulator in accumulators]
    with_l2a = any(channel.level == "L2A" for channel in config.channels)
    products = [
        product.product_name
        for source in plan.each
        for product in ((source.scene.l1c, source.scene.l2a) if with_l2a else (source.scene.l1c,))
        if product is not None and product.product_name
    ]
    return BandHistograms(
        settings,
        sum(result.counts for result in results),
        sum(result.underflow for result in results),
        sum(result.overflow for result in results),
        (ContributingScene(plan.key, tuple(products)),),
        inputs_fingerprint,
    )


def _count_all(plan: ScenePlan, config: PreprocessConfig, settings: HistogramSettings) -> list[Any]:
    accumulators: dict[int, Any] = {}
    with opened(plan, config, plan.counted) as stream:
        for found in stream.windows:
            for part in found.parts:
                # Made when the first window is there: importing Numba overlaps with decoding.
                if part.source not in accumulators:
                    accumulators[part.source] = _accumulator(plan.each[part.source], settings)
                accumulators[part.source].add(part.dn)
    return list(accumulators.values())


def _draw(plan: ScenePlan, config: PreprocessConfig) -> list[list[np.ndarray]]:
    """Drawn DN of each band, float32 (n), by source; drawing from all pixels decodes every window."""
    draw = PixelDraw.of(plan.key, config)
    if config.normalize.sampling == "blocks":
        nadir = nadir_view(plan, config)
        adjusting = None if nadir is None else nadir.adjusting
        return [draw_from_blocks(draw, plan.stack, plan.counted, config, adjusting)]
    pools = [DrawPool(draw) for _ in plan.each]
    with opened(plan, config, plan.counted) as stream:
        for found in stream.windows:
            for part in found.parts:
                pools[part.source].add(part.window, plan.target.width, part.dn)
    return drawn_of(pools)


def _accumulator(plan: ScenePlan, settings: HistogramSettings) -> Any:
    from s2kernels import HistogramAccumulator, HistogramSpec

    spec = HistogramSpec.from_range(*settings.hist_range, settings.hist_bin_width)
    return HistogramAccumulator(spec, radiometry_of(plan))
