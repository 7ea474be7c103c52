"""What all items of a set of shards have in common, as ``shards.json`` says it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from s2pipe.dataset.agreement import check_grids, shared_labels, shared_quality, shared_value
from s2pipe.dataset.label_credit import label_lines
from s2pipe.dataset.sample_records import AppliedBrdf, AppliedNormalization
from s2pipe.dataset.samples import Sample, labels_document
from s2pipe.errors import ConfigError, Fault

if TYPE_CHECKING:
    from s2pipe.patches.cfg import PatchConfig


@dataclass(frozen=True)
class SharedFacts:
    """What all items have in common. The fields are the keys of ``shards.json``."""

    bands: tuple[str, ...]
    """Bands and mask channels of ``x.npy``."""
    unit: str
    """Unit of the bands."""
    pixel_size_m: tuple[float, ...] | None
    """Pixel width and height; None where shards of an earlier version do not say it."""
    normalization: AppliedNormalization
    """How the bands were normalized."""
    brdf: AppliedBrdf | None
    """How reflectance was brought to a view from nadir; None for reflectance as the satellite saw it."""
    angle_bands: tuple[str, ...]
    """Channels of ``angles.npy``."""
    labels: Mapping[str, Any] | None
    """JSON form of the labels; None without them."""
    quality: Mapping[str, Any] | None
    """JSON form of the classes that patches were screened by; None without them."""
    attribution: tuple[str, ...]
    """Whom users of the data have to name."""
    sources: Mapping[str, str]
    """Fingerprints of the samples, by their names."""
    targets: Mapping[str, Any] | None
    """JSON form of the table of targets; None without it."""
    patch_size: int
    """Side of a patch in pixels."""
    stride: int
    """Step between patches in pixels."""
    group: str
    """What an item holds: a patch, or a time stack of patches."""

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> SharedFacts:
        """Read them from the (valid) content of a ``shards.json``."""
        pixel_size = document.get("pixel_size_m")
        return cls(
            bands=tuple(document["bands"]),
            unit=document["unit"],
            pixel_size_m=None if pixel_size is None else tuple(pixel_size),
            normalization=AppliedNormalization.from_document(document["normalization"]),
            brdf=AppliedBrdf.from_document(document.get("brdf")),
            angle_bands=tuple(document["angle_bands"]),
            labels=document["labels"],
            quality=document.get("quality"),
            attribution=tuple(document.get("attribution", ())),
            sources=document.get("sources", {}),
            targets=document.get("targets"),
            patch_size=document["patch_size"],
            stride=document["stride"],
            group=document["group"],
        )

    def to_document(self) -> dict[str, Any]:
        """Return their part of ``shards.json``."""
        document = {
            **vars(self),
            "bands": list(self.bands),
            "pixel_size_m": self.pixel_size_m and list(self.pixel_size_m),
            "normalization": self.normalization.to_document(),
            "brdf": self.brdf and asdict(self.brdf),
            "angle_bands": list(self.angle_bands),
            "attribution": list(self.attribution),
        }
        return {k: v for k, v in document.items() if v is not None or k not in ("pixel_size_m", "brdf")}


def shared_facts(
    samples: Sequence[Sample], config: PatchConfig, targets: Mapping[str, Any] | None = None
) -> SharedFacts:
    """Find out what all samples have in common.

    Parameters
    ----------
    samples : sequence of Sample
        Samples of Step 2.
    config : PatchConfig
        What is cut from them.
    targets : mapping, optional
        JSON form of the table of targets.

    Raises
    ------
    ManifestError
        The samples were made with different configurations.
    ConfigError
        The values cannot be stored as float16.
    """
    normalization: AppliedNormalization = shared_value(
        samples, "normalization", [sample.normalization for sample in samples]
    )
    unit: str = shared_value(samples, "radiometry.unit", [sample.unit for sample in samples])
    brdf = shared_value(samples, "brdf", [sample.brdf for sample in samples])
    bands = shared_value(samples, "assets.x.band_names", [list(sample.x_bands) for sample in samples])
    angles = shared_value(
        samples, "assets.angles.band_names", [list(sample.angle_bands) for sample in samples]
    )
    pixel = shared_value(samples, "grid", [list(sample.grid.pixel_size) for sample in samples])
    labels, quality = shared_labels(samples), shared_quality(samples)
    check_grids(samples)
    if config.shards.dtype == "float16" and unit == "dn" and not normalization.is_applied:
        message = "float16 cannot hold DN exactly; use float32, or reflectance (to_toa_reflectance)"
        msg = "PatchConfig"
        raise ConfigError(msg, [Fault("patches.shards.dtype", message)])
    if labels and labels[0].kind == "regression" and config.balance.class_weights is not None:
        message = "needs classes, and the samples' (first) labels are of kind regression; leave it out"
        msg = "PatchConfig"
        raise ConfigError(msg, [Fault("patches.balance.class_weights", message)])
    return SharedFacts(
        bands=tuple(bands),
        unit="standard deviations" if normalization.is_applied else unit,
        pixel_size_m=tuple(pixel),
        normalization=normalization,
        brdf=brdf,
        angle_bands=tuple(angles),
        labels=labels_document(labels),
        quality=None if quality is None else quality.to_document(),
        attribution=(
            *sorted({sample.attribution for sample in samples}),
            *label_lines(band.meaning.source for band in labels),
        ),
        sources={sample.name: sample.fingerprint for sample in samples},
        targets=targets,
        patch_size=config.patch_size,
        stride=config.step_px,
        group=config.group,
    )
