"""What all samples of a dataset have in common, or in which of them it differs."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from s2pipe.errors import Fault, ManifestError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from s2pipe.dataset.label_meaning import LabelMeaning
    from s2pipe.dataset.samples import Labels, Sample


def check_grids(samples: Sequence[Sample]) -> None:
    """Refuse labels and angles on another grid than the bands': the same window would show other ground there.

    Raises
    ------
    ManifestError
        Naming each such raster; angles are on another grid with ``angles.grid: native``.
    """
    faults = [
        Fault(
            f"assets.{kind}.grid",
            f"{sample.name} has {kind} of {list(grid.shape_yx)} pixels of {step[0]:g} x {step[1]:g} m, and bands of "
            f"{list(sample.grid.shape_yx)} pixels; run Step 2 with angles.grid target or vrt",
        )
        for sample in samples
        for kind, path in (("y", sample.y_path), ("angles", sample.angles_path))
        if path is not None
        and (grid := sample.rasters[kind].grid)
        and (step := grid.pixel_size)
        and (grid.geotransform, grid.shape_yx) != (sample.grid.geotransform, sample.grid.shape_yx)
    ]
    if faults:
        msg = "rasters of samples"
        raise ManifestError(msg, faults)


def shared_quality(samples: Sequence[Sample]) -> LabelMeaning | None:
    """Return what the classes of the samples' ``q.tif`` mean; None where samples have none.

    Raises
    ------
    ManifestError
        Only some samples have one, or its classes mean different things.
    """
    shared_value(samples, "quality.enabled", [sample.quality is not None for sample in samples])
    meaning: LabelMeaning | None = shared_value(
        samples, "quality.classes", [sample.quality and sample.quality.meaning for sample in samples]
    )
    return meaning


def shared_labels(samples: Sequence[Sample]) -> tuple[Labels, ...]:
    """Return what the bands of labels of all samples are; none without labels.

    Names and colours that only some samples have, such as those of rasters with and without a legend, hold for all.

    Raises
    ------
    ManifestError
        The samples' labels are of different kinds, or mean different things.
    """
    kinds = [
        [(band.name, band.dtype, band.ignore_index) for band in sample.label_bands] for sample in samples
    ]
    shared_value(samples, "labels", kinds)
    return tuple(_shared_band(samples, place) for place in range(len(samples[0].label_bands)))


def _shared_band(samples: Sequence[Sample], place: int) -> Labels:
    bands = [sample.label_bands[place] for sample in samples]
    shared_value(samples, "labels.mapping", [band.mapping for band in bands])
    meanings = [band.meaning for band in bands]
    shared_value(samples, "labels.meaning.source", [meaning.source for meaning in meanings])
    shared_value(samples, "labels.meaning", [dict(meaning.conditions) for meaning in meanings])
    whole = meanings[0]
    for meaning in meanings[1:]:
        whole = whole.with_legend_of(meaning)
    for what, own, common in (
        ("class_names", [meaning.names for meaning in meanings], whole.names),
        ("class_colors", [meaning.colors for meaning in meanings], whole.colors),
    ):
        for sample, found in zip(samples, own, strict=True):
            for label, text in found.items():
                if text != common[label]:
                    message = (
                        f"label {label} is {text!r}, and {common[label]!r} in another sample; state labels.{what}, and "
                        "run `s2pipe preprocess` again"
                    )
                    raise ManifestError(sample.name, [Fault(f"labels.meaning.{what}", message)])
    occurring = {label for band in bands for label in band.found}
    return replace(bands[0], meaning=whole, found=tuple(sorted(occurring)))


def shared_value(samples: Sequence[Sample], what: str, values: Sequence[Any]) -> Any:
    """Return the value that all samples share.

    Raises
    ------
    ManifestError
        They differ; samples of one dataset must be made with one configuration.
    """
    for sample, value in zip(samples, values, strict=True):
        if value != values[0]:
            raise ManifestError(
                sample.name,
                [
                    Fault(
                        what,
                        f"{value!r} differs from {values[0]!r} of {samples[0].name}; run `s2pipe preprocess` for all "
                        "scenes with one configuration",
                    )
                ],
            )
    return values[0]
