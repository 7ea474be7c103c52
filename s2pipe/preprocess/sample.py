"""All files of one sample: bands, labels, quality and angles, then ``meta.json``."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from s2pipe.dataset.sample_records import SampleRaster
from s2pipe.dataset.samples import NO_QUALITY
from s2pipe.preprocess.angles.raster import MosaicAngles, write_angles
from s2pipe.preprocess.finish import UNFINISHED, finish_sample
from s2pipe.preprocess.labels.raster import write_labels
from s2pipe.preprocess.pixels.chosen import NO_SOURCE, SOURCE_BAND, SOURCE_NAME, Chosen
from s2pipe.preprocess.pixels.stack_vrt import write_stack_vrt
from s2pipe.preprocess.quality import QUALITY_BANDS, QUALITY_NAME, write_quality
from s2pipe.preprocess.raster_tags import RasterForm
from s2pipe.preprocess.record import SampleResult, sample_meta
from s2pipe.preprocess.scene import ValidCoverage, mask_names, write_stack
from s2pipe.preprocess.staging import staged
from s2pipe.runtime.cores import core_count

if TYPE_CHECKING:
    from collections.abc import Callable

    from s2pipe.preprocess.cfg import PreprocessConfig
    from s2pipe.preprocess.inputs import AngleInput
    from s2pipe.preprocess.scene_plan import ScenePlan
    from s2pipe.preprocess.stats.statistics import NormalizationStats


@dataclass
class _Side:
    """What was written beside the bands."""

    assets: dict[str, SampleRaster] = field(default_factory=dict)
    """Rasters by kind."""
    label_stats: Sequence[Mapping[str, Any]] = ()
    """Statistics of each band of the labels."""
    angles: tuple[Mapping[str, Any], ...] = ()
    """What ``meta.json`` says about the angles of each source; nothing without angles."""
    quality: Mapping[str, Any] | None = None
    """What it says about ``q.tif``."""


def write_sample(
    scene: ScenePlan,
    config: PreprocessConfig,
    stats: NormalizationStats | None,
    prove_again: Callable[[], None],
) -> None:
    """Write all files of a sample beside their final places, then move them there, ``meta.json`` last.

    Parameters
    ----------
    scene : ScenePlan
        What to read.
    config : PreprocessConfig
        What to write.
    stats : NormalizationStats or None
        Statistics to normalize with.
    prove_again : callable
        Called when everything is read, before anything is moved into place; raises if an input changed meanwhile.
    """
    final = config.out_dir / scene.directory
    with tempfile.TemporaryDirectory(dir=final, prefix=UNFINISHED) as name:
        work = Path(name)
        bands = tuple(map(str, config.channels))
        assets = {"x": _asset(scene, "x.tif", "float32", (*bands, *mask_names(config)), None)}
        with staged(scene, config) as ready:
            coverage, side = _rasters(work, ready, config, stats)
        assets.update(side.assets)
        if scene.sources:  # no VRT chooses between sources pixel by pixel
            assets["source"] = _asset(scene, SOURCE_NAME, "uint8", (SOURCE_BAND,), NO_SOURCE)
        else:
            write_stack_vrt(work, final, scene.stack)
            assets["stack"] = _asset(scene, "stack.vrt", "float32", bands, 0)
        result = SampleResult(
            assets,
            coverage.by_channel,
            side.label_stats,
            side.angles,
            side.quality,
            coverage.nbar,
            coverage.by_source,
        )
        prove_again()
        finish_sample(work, config.out_dir, scene.directory, sample_meta(scene, config, result, stats))


def _rasters(
    work: Path, scene: ScenePlan, config: PreprocessConfig, stats: NormalizationStats | None
) -> tuple[ValidCoverage, _Side]:
    """Write bands, labels, quality and angles."""
    path = work / "x.tif"
    if scene.sources:  # the bands decide which source a pixel is from
        coverage = write_stack(path, scene, config, stats)
        return coverage, _side_rasters(work, scene, config)
    # In a thread beside the bands, whose decoding would else wait.
    with ThreadPoolExecutor(1, "s2pipe-side") as pool:
        future = pool.submit(_side_rasters, work, scene, config)
        coverage = write_stack(path, scene, config, stats)
        return coverage, future.result()


def _side_rasters(work: Path, scene: ScenePlan, config: PreprocessConfig) -> _Side:
    """Write labels, quality and angles."""
    side = _Side()
    form = RasterForm.of(scene.scene, config, core_count(config.num_workers))
    chosen = Chosen(work / SOURCE_NAME if scene.sources else None)
    if scene.labels:
        side.label_stats, dtype, nodata = write_labels(
            work / "y.tif",
            [source.labels for source in scene.each],
            scene.stack.target,
            scene.mask,
            chosen,
            form,
        )
        side.assets["y"] = _asset(scene, "y.tif", dtype, tuple(item.name for item in scene.labels), nodata)
    if scene.quality is not None:
        further = [other.quality for other in scene.each[1:] if other.quality is not None]
        target = scene.stack.target
        side.quality = write_quality(work / QUALITY_NAME, scene.quality, target, chosen, further, form)
        side.assets["quality"] = _asset(scene, QUALITY_NAME, "uint8", QUALITY_BANDS, NO_QUALITY)
    if scene.angles is not None:
        inputs: AngleInput | MosaicAngles = scene.angles
        if scene.sources:
            inputs = MosaicAngles(
                tuple(item.angles for item in scene.each if item.angles is not None), chosen
            )
        made = write_angles(work, inputs, scene.stack.target, config.angles, config.view_bands, form)
        side.angles = made.documents
        for kind, raster in made.rasters.items():
            record = _asset(scene, raster.name, raster.dtype, raster.band_names, raster.nodata)
            side.assets[kind] = replace(record, grid=raster.grid)
    return side


def _asset(
    scene: ScenePlan, name: str, dtype: str, bands: tuple[str, ...], nodata: float | None
) -> SampleRaster:
    return SampleRaster((scene.directory / name).as_posix(), dtype, tuple(bands), nodata, scene.target)
