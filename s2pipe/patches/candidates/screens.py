"""What tells of clouds, shadows, snow and water in samples: their labels, or ``q.tif`` beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from s2pipe.dataset.agreement import shared_labels, shared_quality
from s2pipe.dataset.label_meaning import CONDITIONS
from s2pipe.errors import ConfigError, Fault

if TYPE_CHECKING:
    from s2pipe.dataset.samples import Labels, Sample
    from s2pipe.patches.cfg import QualityConfig

_CURE = "run Step 2 with preprocess.quality.enabled, which writes q.tif beside the samples"


@dataclass(frozen=True)
class Screens:
    """Where each condition of a pixel is read from; a condition in neither is not known."""

    by_label: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Condition -> labels of ``y.tif`` that mean it."""
    by_class: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Condition -> classes of ``q.tif`` that mean it."""
    cloud_probability: int | None = None
    """Least probability in percent that is cloud; None takes the classes."""

    @property
    def reads_quality(self) -> bool:
        """Whether ``q.tif`` is read."""
        return bool(self.by_class)

    @classmethod
    def of(cls, samples: Sequence[Sample], quality: QualityConfig) -> Screens:
        """Choose the sources: ``q.tif`` where there is one, else the labels; stated cloud labels win.

        Raises
        ------
        ConfigError
            A limit is set on what nothing tells, or needs labels that there are not.
        ManifestError
            Samples differ in what they tell.
        """
        labels, layer = next(iter(shared_labels(samples)), None), shared_quality(samples)
        by_class = {} if layer is None else dict(layer.conditions)
        by_label = {}
        if labels is not None:
            by_label = {
                name: found for name, found in labels.meaning.conditions.items() if name not in by_class
            }
            if quality.cloud_labels is not None:
                by_label["cloud"] = quality.cloud_labels
                by_class.pop("cloud", None)
        faults = [
            *_label_faults(labels, quality),
            *_limit_faults(labels, quality, {*by_label, *by_class}),
            *_probability_faults(samples, quality),
        ]
        if faults:
            msg = "PatchConfig"
            raise ConfigError(msg, faults)
        return cls(by_label, by_class, quality.cloud_probability)


def _label_faults(labels: Labels | None, quality: QualityConfig) -> list[Fault]:
    """Faults of filters on labels where there are none, or which are no classes."""
    given = {
        "max_ignore": quality.max_ignore < 1.0,
        "min_classes": quality.min_classes > 0,
        "cloud_labels": quality.cloud_labels is not None,
    }
    message, needing = "needs labels, and the samples have none; run Step 2 with labels.enabled", [*given]
    if labels is not None:
        needing = ["min_classes", "cloud_labels"] if labels.kind == "regression" else []
        message = "needs classes, and the samples' (first) labels are of kind regression"
    return [Fault(f"patches.quality.{name}", message) for name in needing if given[name]]


def _limit_faults(labels: Labels | None, quality: QualityConfig, known: set[str]) -> list[Fault]:
    faults = []
    for name in CONDITIONS:
        if quality.limit(name) >= 1.0 or name in known:
            continue
        why = "the samples have neither labels nor q.tif"
        if labels is not None:
            why = f"no label of the samples ({labels.meaning.source}) means {name} alone, and they have no q.tif"
        or_else = ", or name the labels that mean cloud in quality.cloud_labels" if name == "cloud" else ""
        faults.append(
            Fault(
                f"patches.quality.max_{name}",
                f"nothing tells {name}: {why}; {_CURE}{or_else if labels is not None else ''}",
            )
        )
    return faults


def _probability_faults(samples: Sequence[Sample], quality: QualityConfig) -> list[Fault]:
    if quality.cloud_probability is None:
        return []
    where = "patches.quality.cloud_probability"
    if quality.cloud_labels is not None:
        return [Fault(where, "expected null with quality.cloud_labels, which says by labels what is cloud")]
    lacking = [s.name for s in samples if s.quality is None or not s.quality.has_cloud_probability]
    if not lacking:
        return []
    message = (
        f"{len(lacking)} of {len(samples)} samples have no cloud probability ({', '.join(lacking[:3])}"
        f"{', ...' if len(lacking) > 3 else ''}); run Step 2 with preprocess.quality.enabled and "
        "preprocess.quality.require_cloud_probability, or leave it out to take the scene classification"
    )
    return [Fault(where, message)]
