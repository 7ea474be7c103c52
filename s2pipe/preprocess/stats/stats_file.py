"""``stats.json`` as pass 2 reads it: every check before the first pixel."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from s2pipe.config.schema import document_faults
from s2pipe.errors import ConfigError, Fault, ManifestError, StatsMismatchError
from s2pipe.preprocess.stats.histogram import HistogramSettings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from s2pipe.preprocess.cfg import PreprocessConfig

_BY_BAND = ("clip_low_by_band", "clip_high_by_band", "mean_by_band", "std_by_band")
_SAMPLING = ("max_pixels_per_scene", "sampling", "seed", "split")
"""Settings of which pixels were drawn, which do not change what the statistics mean."""


def load_stats(path: Path) -> dict[str, Any]:
    """Read and check ``stats.json``.

    Raises
    ------
    ConfigError
        The file does not exist.
    ManifestError
        It is not valid, or holds values that nothing can be normalised with; all faults are listed.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise ConfigError(
            str(path), [Fault("", "no such statistics; run pass 1 (normalize.mode: compute_only) first")]
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise ManifestError(str(path), [Fault("", f"cannot be read as JSON: {error}")]) from error
    faults = document_faults(document, "normalize_stats") or content_faults(document)
    if faults:
        raise ManifestError(str(path), faults)
    return document


def content_faults(document: Mapping[str, Any]) -> list[Fault]:
    """Return what makes statistics unusable although they fit their schema.

    Parameters
    ----------
    document : mapping
        Content of ``stats.json`` that fits its schema.
    """
    faults = []
    if document.get("moments_after_clipping") is False:
        faults.append(
            Fault(
                "moments_after_clipping", "expected true: mean and deviation must be those of clipped values"
            )
        )
    for band in document["bands"]:
        found = [_band_fault(document, name, band) for name in _BY_BAND]
        faults += [fault for fault in found if fault is not None]
        low, high = (document[name].get(band) for name in _BY_BAND[:2])
        if low is not None and high is not None and not low <= high:
            faults.append(
                Fault(f"clip_high_by_band.{band}", f"expected at least clip_low_by_band, {low}, got {high}")
            )
    return faults


def _band_fault(document: Mapping[str, Any], name: str, band: str) -> Fault | None:
    path = f"{name}.{band}"
    if band not in document[name]:
        return Fault(path, "is missing")
    value = document[name][band]
    if value is None:
        if document["clip_percentiles"] is None:
            return None
        return Fault(path, "expected a number, since clip_percentiles is not null, got null")
    with np.errstate(over="ignore", under="ignore"):
        stored = np.float32(value)
    if not np.isfinite(stored):
        return Fault(path, f"expected a number that float32 can hold, got {value}")
    if name == "std_by_band" and not stored > 0:
        return Fault(path, f"expected a number that is greater than 0 in float32, got {value}")
    return None


def check_stats_match(document: Mapping[str, Any], config: PreprocessConfig, source: str) -> None:
    """Refuse statistics that were computed for other values than those they are to be applied to.

    Raises
    ------
    StatsMismatchError
        With every difference in bands, order, range, width, clipping, reflectance and resampling.
    """
    wanted = {k: v for k, v in asdict(HistogramSettings.of(config)).items() if k not in _SAMPLING}
    clip = config.normalize.clip_percentiles
    wanted["clip_percentiles"] = None if clip is None else [float(value) for value in clip]
    faults = []
    for name, value in wanted.items():
        value = list(value) if isinstance(value, tuple) else value
        if document.get(name, value) != value:
            faults.append(
                Fault(
                    name,
                    f"the configuration says {value!r}, the statistics were computed with {document[name]!r}",
                )
            )
    if faults:
        faults.append(Fault("", "change the configuration, or run pass 1 again with it"))
        raise StatsMismatchError(source, faults)
