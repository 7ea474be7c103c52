"""What a run leaves behind beside rasters: fingerprints and ``meta.json``."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from s2pipe.config.documents import parse_json
from s2pipe.config.fields import to_plain
from s2pipe.config.schema import SAMPLE_META, validate_document
from s2pipe.dataset.proof import records_of, seal_fault, write_sealed
from s2pipe.dataset.sample_records import AppliedNormalization, SampleRaster
from s2pipe.preprocess.labels.raster import label_resampling
from s2pipe.preprocess.needs import grid_roles
from s2pipe.preprocess.pixels.chosen import CHOICE_RULE
from s2pipe.preprocess.pixels.sources import is_warped
from s2pipe.preprocess.raster_tags import attribution, unit_of
from s2pipe.preprocess.stats.histogram import HistogramSettings
from s2pipe.raster.capabilities import gdal_version, jpeg2000_driver, proj_version
from s2pipe.raster.class_table import SIDECAR_SUFFIX
from s2pipe.raster.grid import Window
from s2pipe.runtime.clock import utc_now
from s2pipe.runtime.hashing import document_fingerprint, is_known_algorithm
from s2pipe.runtime.paths import InsidePath
from s2pipe.version import __version__

if TYPE_CHECKING:
    from pathlib import Path

    from s2pipe.dataset.proof import FileRecord
    from s2pipe.dataset.step1_index import Product
    from s2pipe.preprocess.cfg import PreprocessConfig
    from s2pipe.preprocess.labels.backends import LabelInput
    from s2pipe.preprocess.scene_plan import ScenePlan
    from s2pipe.preprocess.stats.statistics import NormalizationStats

OUTPUT_VERSION = 1
"""Raised when the same inputs and configuration would give other pixels than before."""
RUN_ONLY_KEYS = (
    "index_json",
    "out_dir",
    *("aoi", "aoi_crs", "aoi_margin_m", "aoi_mask"),  # what became of them is part of the plan
    "cache",
    "verify_inputs",
    "skip_incomplete",
    "allow_absolute_paths",
    "only",
    "remote",
    "scheduler",
    "num_workers",
    "max_scenes",
    "run_id",
    "overwrite",
)
"""Keys that say how a run is done, and not what its outputs are."""
_STATS_ONLY_KEYS = (
    *("stats_path", "save_histograms", "scenes", "split", "split_plan"),
    *("max_pixels_per_scene", "sampling", "seed", "accept_foreign_stats"),
)


def sample_fingerprint(plan: ScenePlan, config: PreprocessConfig, stats: NormalizationStats | None) -> str:
    """Identify everything that a scene's outputs depend on: configuration, statistics and inputs."""
    effective = {key: value for key, value in to_plain(config).items() if key not in RUN_ONLY_KEYS}
    effective["normalize"] = {k: v for k, v in effective["normalize"].items() if k not in _STATS_ONLY_KEYS}
    del effective["target_grid"]
    if config.target_grid.is_on:  # what became of an area is part of the plan
        effective["target_grid"] = plan.stack.target.reference.to_document()
    if not config.brdf.is_on:  # samples of versions that had no such key stay up to date
        del effective["brdf"]
    if config.group_by is None:  # likewise
        del effective["group_by"]
    # Where labels lie does not matter: the files themselves are among the inputs.
    effective["labels"] = _without_paths(effective["labels"])
    parts = [OUTPUT_VERSION, effective, stats and stats.meaning(), _identities(plan, config)]
    parts.append(pixel_versions(plan))
    parts += [*_area_identity(plan), *_mosaic_identity(plan, config)]
    if config.output.cog:  # of versions before, x.tif alone was one
        parts.append("all rasters are COG")
    for labels in plan.labels:  # a legend beside the file is no input of its own
        meaning = labels.meaning.to_document()
        parts.append({key: value for key, value in meaning.items() if key != "source"})
    return document_fingerprint(parts)


def _area_identity(plan: ScenePlan) -> list[Any]:
    """What an area of interest made of the plan: nothing for a whole tile."""
    target = plan.stack.target
    window = [] if target.is_whole else [{"window": list(target.window)}]
    return window if plan.mask is None else [*window, {"mask": plan.mask.sha256}]


def _mosaic_identity(plan: ScenePlan, config: PreprocessConfig) -> list[Any]:
    """What a mosaic is made of, in this order: nothing for a scene of its own."""
    if not plan.sources:
        return []
    sources = [[str(source.key), _identities(source, config)] for source in plan.sources]
    return [{"rule": CHOICE_RULE, "sources": sources}]


def _area_document(plan: ScenePlan, config: PreprocessConfig) -> dict[str, Any] | None:
    """What ``meta.json`` says of the area of interest; None for whole tiles."""
    if config.aoi is None:
        return None
    target = plan.stack.target
    return {
        "window": dict(zip(Window._fields, target.window, strict=True)),
        "reference_grid": target.reference.to_document(),
        "margin_m": config.aoi_margin_m,
        "pixels_inside": None if plan.mask is None else plan.mask.pixels,
        "mask_sha256": None if plan.mask is None else plan.mask.sha256,
    }


def _without_paths(labels: dict[str, Any]) -> dict[str, Any]:
    """Return the configuration of labels without where they lie."""
    kept = {key: value for key, value in labels.items() if key != "path"}
    return {**kept, "targets": kept["targets"] and [_without_paths_of(item) for item in kept["targets"]]}


def _without_paths_of(target: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in target.items() if key != "path"}


def histogram_fingerprint(plan: ScenePlan, config: PreprocessConfig) -> str:
    """Identify everything that a scene's histogram depends on."""
    settings = HistogramSettings.of(config, plan.split).to_document()
    parts = [OUTPUT_VERSION, settings, _identities(plan, config), pixel_versions(plan)]
    return document_fingerprint([*parts, *_area_identity(plan), *_mosaic_identity(plan, config)])


def stack_fingerprint(plan: ScenePlan, config: PreprocessConfig) -> str:
    """Identify everything that a scene's resampled DN depend on: bands, grid, methods, rasters, versions."""
    bands = [(str(band.channel), band.method) for band in plan.stack.bands]
    read = {
        *grid_roles(config),
        *(channel.raster_role for channel in config.channels),
    }  # not those of labels, which pass 1 lacks
    rasters = [identity for identity in _identities(plan, config) if identity[0] in read]
    parts = [OUTPUT_VERSION, bands, config.target_grid_ref, config.valid_min_fraction, rasters, versions()]
    # The output's tiles decide the windows that a kept stack is stored by.
    return document_fingerprint([*parts, config.output.tile_px, plan.target.to_document()])


def _identities(plan: ScenePlan, config: PreprocessConfig) -> list[list[Any]]:
    """What inputs are recognised by: role, size and checksum; where that is not checked, name and time of change.

    Files at addresses have entity tags for times.
    A dataset that is copied or mounted elsewhere has the same inputs, wherever their checksums are known.
    """
    by_checksum = config.verify_inputs == "checksum"
    return [
        [item.role, item.size, item.checksum]
        if by_checksum and item.checksum and is_known_algorithm(item.checksum.partition(":")[0])
        else [item.role, item.size, PurePosixPath(item.name).name, item.etag or item.mtime_ns, item.checksum]
        for item in plan.inputs
    ]


def pixel_versions(plan: ScenePlan) -> dict[str, str]:
    """Return the versions of libraries that this scene's pixels depend on.

    The warper of GDAL rounds as its version does. Decoders of JPEG 2000 differ where the irreversible wavelet was
    used. Everything else (reading, kernels, writing) is exact, whatever the versions.
    """
    bands, reference = (
        [band for source in plan.each for band in source.stack.bands],
        plan.stack.target.reference,
    )
    rasters = [band.raster for band in bands]
    warped = any(is_warped(band, reference) for band in bands)
    beside = [raster for source in plan.each for labels in source.labels for raster in labels.rasters]
    for source in plan.each:
        if source.quality is not None:
            beside += source.quality.rasters
    rasters += beside
    warped = warped or any(raster.grid != reference for raster in beside)
    exact = all(raster.is_exact for raster in rasters)
    found = {} if exact and not warped else {"gdal": gdal_version()}
    if any(band.raster.grid.crs_wkt != reference.crs_wkt for band in bands):
        found["proj"] = proj_version()
    return found if exact else {**found, "jpeg2000_driver": jpeg2000_driver()}


def _input_documents(plan: ScenePlan) -> list[dict[str, Any]]:
    return [item.to_document() for item in plan.inputs]


@functools.cache
def versions() -> dict[str, str]:
    """Versions of everything that pixels depend on."""
    import numba
    import numpy as np

    return {
        "s2pipe": __version__,
        "gdal": gdal_version(),
        "jpeg2000_driver": jpeg2000_driver(),
        "numba": numba.__version__,
        "numpy": np.__version__,
    }


@dataclass(frozen=True)
class SampleResult:
    """What processing one scene made."""

    assets: Mapping[str, SampleRaster]
    """Rasters by kind: ``x``, ``y``, ``angles``, ``quality``, ``stack``, ``source``."""
    valid_coverage: Mapping[str, float]
    """Valid share by mask channel."""
    label_stats: Sequence[Mapping[str, Any]]
    """Statistics of each band of the labels."""
    angles: tuple[Mapping[str, Any], ...] = ()
    """How the angles of each source were made; nothing without angles."""
    quality: Mapping[str, Any] | None = None
    """What ``q.tif`` holds; None where it was not made."""
    nbar: tuple[Mapping[str, Any] | None, ...] = (None,)
    """How the reflectance of each source was adjusted to a view from nadir; None where it was not."""
    by_source: tuple[int, ...] = ()
    """Pixels that are from each source of a mosaic."""


def sample_meta(
    plan: ScenePlan, config: PreprocessConfig, result: SampleResult, stats: NormalizationStats | None
) -> dict[str, Any]:
    """Make the content of a sample's ``meta.json``."""
    bands = tuple(map(str, config.channels))
    radiometry = plan.radiometry
    return {
        "schema": SAMPLE_META,
        "created_utc": utc_now(),
        "key": plan.key.to_document(),
        "paths": {kind: asset.path for kind, asset in result.assets.items()},
        "assets": {kind: asset.to_document() for kind, asset in result.assets.items()},
        "grid": plan.target.to_document(),
        "area": _area_document(plan, config),
        "source_products": _products_document(plan),
        "mosaic": _mosaic_document(plan, config, result),
        "inputs": _input_documents(plan),
        "radiometry": {
            "unit": unit_of(config),
            "formula": f"{'c * ' if result.nbar[0] else ''}(DN + offset) / quantification",
            "offset_by_band": dict(zip(bands, radiometry.offset, strict=True)),
            "quantification_by_band": dict(zip(bands, radiometry.quantification, strict=True)),
            "metadata": ", ".join(dict.fromkeys(channel.metadata_role for channel in config.channels))
            if radiometry.source
            else None,
        },
        "brdf": result.nbar[0] or {"model": "none"},
        "resampling": {
            str(band.channel): {
                "method": band.method or "none",
                "source_pixel_size": list(band.raster.grid.pixel_size),
            }
            for band in plan.stack.bands
        },
        "normalization": _normalization(config, stats).to_document(),
        "valid_coverage": dict(result.valid_coverage),
        "labels": _labels_document(plan, config, result.label_stats),
        "quality": result.quality or {"enabled": False},
        "angles": result.angles[0] if result.angles else {"enabled": False},
        "config": to_plain(config),
        "fingerprint": sample_fingerprint(plan, config, stats),
        "versions": versions(),
        "attribution": attribution(plan.key),
    }


def _mosaic_document(
    plan: ScenePlan, config: PreprocessConfig, result: SampleResult
) -> dict[str, Any] | None:
    """What ``meta.json`` says of the sources of a mosaic; None of a scene of its own."""
    if not plan.sources:
        return None
    bands = tuple(map(str, config.channels))
    sources = []
    for number, source in enumerate(plan.sources):
        sources.append(
            {
                "number": number + 1,
                "key": source.key.to_document(),
                "source_products": _products_document(source),
                "pixels": result.by_source[number],
                "offset_by_band": dict(zip(bands, source.radiometry.offset, strict=True)),
                "quantification_by_band": dict(zip(bands, source.radiometry.quantification, strict=True)),
                "brdf": result.nbar[number] or {"model": "none"},
                "angles": result.angles[number] if result.angles else {"enabled": False},
            }
        )
    return {"group_by": config.group_by, "rule": CHOICE_RULE, "sources": sources}


def _labels_document(
    plan: ScenePlan, config: PreprocessConfig, stats: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """What ``meta.json`` says of labels: of one raster as such, of several under ``targets``."""
    bands = [
        {
            "kind": labels.backend.config.kind,
            "backend": labels.backend.config.backend,
            "meaning": labels.meaning.to_document(),
            "stats": found,
            "backend_stats": _backend_stats(plan, labels),
        }
        for labels, found in zip(plan.labels, stats, strict=True)
    ]
    nothing = dict.fromkeys(("kind", "backend", "meaning", "stats", "backend_stats"))
    targets = config.labels.targets
    named = [{"name": labels.name, **band} for labels, band in zip(plan.labels, bands, strict=True)]
    return {
        "enabled": config.labels.enabled,
        **(nothing if targets is not None or not bands else bands[0]),
        "targets": named if targets is not None and bands else None,
    }


def _backend_stats(plan: ScenePlan, labels: LabelInput) -> dict[str, Any]:
    product = None if plan.sources else plan.scene.l2a
    backend, rasters = labels.backend, labels.rasters
    reference = plan.stack.target.reference
    on_target = all(raster.grid == reference for raster in rasters)
    return {
        "role": backend.roles[0] if backend.roles else None,
        "roles": list(backend.roles),
        "files": [path.as_posix() for path in backend.files(plan.key)],
        "source_pixel_size": list(rasters[0].grid.pixel_size) if rasters else None,
        "resampling": "none" if on_target else label_resampling(backend.config, rasters[0], reference),
        "scl_percentages": None
        if product is None or product.scl_percentages is None
        else dict(product.scl_percentages),
    }


def _normalization(config: PreprocessConfig, stats: NormalizationStats | None) -> AppliedNormalization:
    if stats is None:
        return AppliedNormalization(config.normalize.mode)
    document = stats.to_document()
    keys = ("clip_low_by_band", "clip_high_by_band", "mean_by_band", "std_by_band", "split", "fingerprint")
    return AppliedNormalization(
        config.normalize.mode,
        **{key: document.get(key) for key in keys},
        foreign_stats=stats.is_foreign,
    )


def _products_document(plan: ScenePlan) -> dict[str, Any]:
    return {"l1c": _product_document(plan.scene.l1c), "l2a": _product_document(plan.scene.l2a)}


def _product_document(product: Product | None) -> dict[str, Any] | None:
    if product is None:
        return None
    names = ("product_id", "product_name", "baseline", "rel_orbit", "cloud_cover")
    return {name: getattr(product, name) for name in names}


def write_meta(path: Path, document: Mapping[str, Any]) -> None:
    """Check and write ``meta.json``, the mark that a sample is complete."""
    validate_document(document, "sample_meta", str(path))
    write_sealed(path, document)


def is_complete(out_dir: Path, directory: Path, fingerprint: str) -> bool:
    """Tell whether a sample's ``meta.json`` and all its files are complete and of this fingerprint."""
    try:
        data = (out_dir / directory / "meta.json").read_bytes()
        meta = parse_json(data)
    except (OSError, ValueError):
        return False
    if not isinstance(meta, dict) or meta.get("fingerprint") != fingerprint or seal_fault(data) is not None:
        return False
    files = records_of(meta.get("files"))
    return files is not None and all(_is_there(file, out_dir) for file in files)


def _is_there(file: FileRecord, out_dir: Path) -> bool:
    """Tell whether a file has its size; GDAL and QGIS add statistics to sidecars while people look at a raster."""
    if file.path.endswith(SIDECAR_SUFFIX):
        return InsidePath(out_dir, file.path).is_file()
    return file.is_at(out_dir)
