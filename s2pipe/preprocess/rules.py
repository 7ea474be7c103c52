"""Rules of the configuration of ``preprocess`` that its JSON Schema cannot express."""

from __future__ import annotations

import re
import string
from typing import TYPE_CHECKING

from s2pipe.dataset.scene_choice import choice_faults
from s2pipe.distributed.address import scheduler_fault
from s2pipe.errors import Fault, PathEscapeError
from s2pipe.preprocess.cfg import (
    LABEL_BACKENDS,
    MAX_BINS,
    BrdfConfig,
    LabelRasterConfig,
    bin_count,
)
from s2pipe.preprocess.grid_cfg import grid_faults
from s2pipe.runtime.addresses import RemoteAddress
from s2pipe.runtime.paths import path_fault
from s2pipe.sentinel2.brdf import BRDF_PARAMETERS

if TYPE_CHECKING:
    from s2pipe.preprocess.cfg import (
        AngleAssetConfig,
        LabelConfig,
        NormalizeConfig,
        OutputConfig,
        PreprocessConfig,
        RemoteConfig,
    )


def rule_faults(config: PreprocessConfig) -> list[Fault]:
    """Return the faults of a configuration that its JSON Schema cannot express.

    Parameters
    ----------
    config : PreprocessConfig
        A configuration whose types and choices are already right.

    Returns
    -------
    list of Fault
        Paths are relative to the configuration (``normalize.hist_range``).
    """
    return [
        *_band_faults(config),
        *grid_faults(config.target_grid, config.target_grid_ref, has_area=config.aoi is not None),
        *_brdf_faults(config),
        *_normalize_faults(config.normalize),
        *_labels_faults(config.labels),
        *_output_faults(config.output),
        *_angle_faults(config.angles),
        *_quality_faults(config),
        *_area_faults(config),
        *_group_faults(config),
        *choice_faults(config.only),
        *_remote_faults(config.remote),
        *_scheduler_faults(config),
    ]


def _remote_faults(remote: RemoteConfig) -> list[Fault]:
    faults = []
    for number, text in enumerate(remote.allow):
        try:
            RemoteAddress.parse(text)
        except PathEscapeError as error:
            faults.append(Fault(f"remote.allow[{number}]", str(error)))
    if remote.stage and not remote.allow:
        faults.append(
            Fault("remote.stage", "expected places in remote.allow: without them nothing is read from afar")
        )
    return faults


def _scheduler_faults(config: PreprocessConfig) -> list[Fault]:
    fault = scheduler_fault(config.scheduler)
    return [] if fault is None else [Fault("scheduler", fault)]


def _band_faults(config: PreprocessConfig) -> list[Fault]:
    if (config.l1c_bands is None) == (config.bands is None):
        got = "neither" if config.bands is None else "both"
        return [Fault("l1c_bands", f"expected either l1c_bands or bands, got {got}")]
    return []


def _area_faults(config: PreprocessConfig) -> list[Fault]:
    """Options of an area that is not there."""
    if config.aoi is not None:
        return []
    plain = (("aoi_crs", None), ("aoi_margin_m", 0.0), ("aoi_mask", False))
    return [
        Fault(name, "has no effect without aoi") for name, value in plain if getattr(config, name) != value
    ]


def _group_faults(config: PreprocessConfig) -> list[Fault]:
    """Options that mean nothing for a mosaic of scenes."""
    if config.group_by is None:
        return []
    faults = []
    normalize = config.normalize
    if normalize.max_pixels_per_scene is not None and normalize.sampling == "blocks":
        message = "expected pixels with group_by: the blocks of a mosaic are those of several files; or take all pixels"
        faults.append(Fault("normalize.sampling", message))
    if config.angles.enabled and config.angles.grid != "target":
        message = f"expected target with group_by: a mosaic has no nodes of its own, got {config.angles.grid}"
        faults.append(Fault("angles.grid", message))
    return faults


def _brdf_faults(config: PreprocessConfig) -> list[Fault]:
    if not config.brdf.is_on:
        if config.brdf == BrdfConfig():
            return []
        return [Fault("brdf.sun_zenith", "has no effect with brdf.model none; set brdf.model to c_factor")]
    faults = []
    if not config.to_toa_reflectance:
        faults.append(Fault("brdf.model", "expected none without to_toa_reflectance: DN are no reflectance"))
    if config.channels and not config.nbar_bands:
        bands = ", ".join(map(str, config.channels))
        message = f"expected at least one of {', '.join(BRDF_PARAMETERS)} among the bands, got {bands}"
        faults.append(Fault("brdf.model", message))
    return faults


def _angle_faults(angles: AngleAssetConfig) -> list[Fault]:
    if not angles.enabled:
        return []
    faults = []
    if not (angles.include_sun or angles.include_view):
        faults.append(Fault("angles.include_sun", "expected include_sun or include_view, got neither"))
    if angles.view_bands is not None and not angles.view_bands:
        faults.append(
            Fault("angles.view_bands", "expected at least one band, or null for the configured bands")
        )
    if angles.require_footprints and not (angles.include_view and angles.detector_aggregate == "footprint"):
        faults.append(
            Fault(
                "angles.require_footprints",
                "expected false without include_view or with a detector_aggregate other than footprint: masks are "
                "not used then",
            )
        )
    if angles.grid != "target" and angles.dtype != "float32":
        faults.append(
            Fault(
                "angles.dtype",
                f"expected float32 with angles.grid {angles.grid} (the nodes are few), got int16",
            )
        )
    if angles.grid != "target" and angles.fill == 0:
        faults.append(
            Fault(
                "angles.fill",
                f"expected nan with angles.grid {angles.grid}: zeros at nodes would be taken for angles",
            )
        )
    if angles.grid == "vrt" and angles.encode != "sin_cos":
        faults.append(
            Fault(
                "angles.encode",
                "expected sin_cos with angles.grid vrt: GDAL would average azimuths across 0/360",
            )
        )
    fault = path_fault(angles.output_name)
    if fault is not None:
        faults.append(Fault("angles.output_name", f"{angles.output_name!r} {fault}; choose another name"))
    stem = angles.output_name.rpartition(".")[0].lower()
    if stem in ("x", "y", "q", "stack"):
        faults.append(
            Fault(
                "angles.output_name",
                f"{angles.output_name!r} is the name of another file of the sample; choose another name",
            )
        )
    return faults


def _quality_faults(config: PreprocessConfig) -> list[Fault]:
    if config.quality.require_cloud_probability and not config.quality.enabled:
        message = "expected false without quality.enabled: the cloud probability is not used then"
        return [Fault("quality.require_cloud_probability", message)]
    return []


def _labels_faults(labels: LabelConfig) -> list[Fault]:
    """Faults of one label raster, or of each of several."""
    if labels.targets is None:
        return _label_faults(labels)
    plain = LabelRasterConfig()
    message = "has no effect with labels.targets: state it in the targets that it is for"
    faults = [
        Fault(f"labels.{name}", message)
        for name, value in vars(plain).items()
        if getattr(labels, name) != value
    ]
    names = [target.name for target in labels.targets]
    for place, target in enumerate(labels.targets):
        where = f"labels.targets.{place}"
        faults += [
            Fault(fault.path.replace("labels", where, 1), fault.message) for fault in _label_faults(target)
        ]
        if target.name in names[:place]:
            faults.append(Fault(f"{where}.name", f"{target.name!r} is there more than once"))
    return faults


def _kind_faults(labels: LabelRasterConfig) -> list[Fault]:
    """Faults of what the kind of labels does not allow."""
    if labels.kind == "classes":
        if labels.resampling in (None, "nearest", "mode"):
            return []
        return [Fault("labels.resampling", f"expected nearest or mode for classes, got {labels.resampling}")]
    plain, faults = LabelRasterConfig(), []
    if labels.backend in ("scl", "cloud_probability"):
        message = (
            f"{labels.backend} gives classes; regression needs raster, or a class of your own with measure"
        )
        faults.append(Fault("labels.backend", message))
    if labels.resampling == "mode":
        faults.append(Fault("labels.resampling", "mode is for classes; expected null or another method"))
    faults += [
        Fault(
            f"labels.{name}", "has no effect with kind: regression, whose pixels have values and no classes"
        )
        for name in ("ignore_index", "mapping", "class_names", "class_colors", "cloud_labels")
        if getattr(labels, name) != getattr(plain, name)
    ]
    return faults


def _label_faults(labels: LabelRasterConfig) -> list[Fault]:
    faults = _kind_faults(labels)
    highest = 255 if labels.backend in ("scl", "cloud_probability") else 65534
    for source, target in (labels.mapping or {}).items():
        if not (0 <= source <= highest and 0 <= target <= 65535):
            faults.append(
                Fault(
                    f"labels.mapping.{source}",
                    f"expected a class 0..{highest} -> label 0..65535, got {source} -> {target}",
                )
            )
    faults += _meaning_faults(labels)
    faults += _outside_faults(labels)
    if (labels.backend == "raster") != (labels.path is not None):
        faults.append(
            Fault(
                "labels.path", "expected a path with labels.backend raster, and null with every other backend"
            )
        )
    elif labels.path is not None:
        faults += _template_faults(labels.path)
    if labels.options is not None and labels.backend in LABEL_BACKENDS:
        faults.append(
            Fault(
                "labels.options",
                f"expected null: options are for your own label classes, not for {labels.backend}",
            )
        )
    return faults


def _meaning_faults(labels: LabelRasterConfig) -> list[Fault]:
    """Faults of what is stated of labels that there cannot be."""
    stated = {
        "class_names": labels.class_names or {},
        "class_colors": labels.class_colors or {},
        "cloud_labels": labels.cloud_labels or (),
    }
    made = None if labels.mapping is None else {*labels.mapping.values(), labels.ignore_index}
    faults = []
    for name, found in stated.items():
        for label in found:
            if not 0 <= label <= 65535:
                faults.append(Fault(f"labels.{name}.{label}", f"expected a label 0..65535, got {label}"))
            elif made is not None and label not in made:
                message = f"labels.mapping makes no label {label}, but {', '.join(map(str, sorted(made)))}"
                faults.append(Fault(f"labels.{name}.{label}", message))
    if labels.ignore_index in (labels.cloud_labels or ()):
        message = f"expected labels other than ignore_index, {labels.ignore_index}"
        faults.append(Fault("labels.cloud_labels", message))
    return faults


def _outside_faults(labels: LabelRasterConfig) -> list[Fault]:
    """Faults of a mapping of class 255, which in byte sources marks the pixels outside their coverage."""
    target = (labels.mapping or {}).get(255, labels.ignore_index)
    if labels.backend not in ("scl", "cloud_probability") or target == labels.ignore_index:
        return []
    return [
        Fault(
            "labels.mapping.255",
            f"class 255 marks pixels outside the source's coverage, which become ignore_index ({labels.ignore_index}); "
            f"set ignore_index to {target}, or leave 255 out",
        )
    ]


def _output_faults(output: OutputConfig) -> list[Fault]:
    highest = {"zstd": 22, "deflate": 9}.get(output.compression)
    if output.level is None or (highest is not None and output.level <= highest):
        return []
    wanted = f"at most {highest}" if highest else "null, since this compression has no levels"
    return [Fault("output.level", f"expected {wanted} for {output.compression}, got {output.level}")]


def _template_faults(path: str) -> list[Fault]:
    try:
        fields = [name for _, name, _, _ in string.Formatter().parse(path) if name is not None]
    except ValueError as error:
        return [Fault("labels.path", f"is not a template: {error}; write {{{{ for a brace")]
    unknown = [name for name in fields if not re.fullmatch("tile_id|date", name)]
    return [Fault("labels.path", f"{{{name}}} is not one of {{tile_id}}, {{date}}") for name in unknown]


def _normalize_faults(normalize: NormalizeConfig) -> list[Fault]:
    faults = []
    low, high = normalize.hist_range
    if not low < high:
        faults.append(
            Fault("normalize.hist_range", f"expected [low, high] with low < high, got [{low}, {high}]")
        )
    elif bin_count(normalize.hist_range, normalize.hist_bin_width) is None:
        faults.append(
            Fault(
                "normalize.hist_bin_width",
                f"expected a width that divides hist_range [{low}, {high}] into a whole number of bins "
                f"(at most {MAX_BINS}), got {normalize.hist_bin_width}",
            )
        )
    if normalize.clip_percentiles is not None:
        first, last = normalize.clip_percentiles
        if not 0.0 <= first < last <= 100.0:
            faults.append(
                Fault("normalize.clip_percentiles", f"expected 0 <= low < high <= 100, got [{first}, {last}]")
            )
    if normalize.mode != "none" and normalize.stats_path is None:
        faults.append(Fault("normalize.stats_path", f"is needed when normalize.mode is {normalize.mode}"))
    if (normalize.split is None) != (normalize.split_plan is None):
        lacking = "split" if normalize.split is None else "split_plan"
        faults.append(Fault(f"normalize.{lacking}", "is needed: split and split_plan go together"))
    return faults
