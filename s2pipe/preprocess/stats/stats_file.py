"""``stats.json``: written by pass 1, and checked before pass 2 reads the first pixel."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from s2pipe.config.schema import document_faults
from s2pipe.errors import ConfigError, Fault, ManifestError, StatsMismatchError
from s2pipe.preprocess.stats.histogram import HistogramSettings
from s2pipe.preprocess.stats.statistics import NormalizationStats
from s2pipe.runtime.files import write_json_atomic
from s2pipe.sentinel2.channels import Channel

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from s2pipe.preprocess.cfg import PreprocessConfig

_BY_BAND = ("clip_low_by_band", "clip_high_by_band", "mean_by_band", "std_by_band")
_DRAW = ("max_pixels_per_scene", "sampling", "seed", "split")
"""Settings of which pixels were counted, which do not change what the statistics mean."""


def save_stats(path: Path, stats: NormalizationStats) -> None:
    """Write ``stats.json`` atomically."""
    write_json_atomic(path, stats.to_document())


def load_stats(path: Path) -> NormalizationStats:
    """Read and check ``stats.json``.

    Raises
    ------
    ConfigError
        The file does not exist.
    ManifestError
        It is not valid, or holds values that cannot normalize anything; all faults are listed.
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
    return NormalizationStats.from_document(document)


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
            Fault("moments_after_clipping", "expected true: mean and std must be those of the clipped values")
        )
    for number, band in enumerate(document["bands"]):
        try:
            Channel.parse(band)
        except ValueError as error:
            faults.append(Fault(f"bands[{number}]", str(error)))
        faults += [fault for name in _BY_BAND for fault in _band_faults(document, name, band)]
        low, high = (document[name].get(band) for name in _BY_BAND[:2])
        if low is not None and high is not None and not low <= high:
            faults.append(
                Fault(f"clip_high_by_band.{band}", f"expected at least clip_low_by_band, {low}, got {high}")
            )
    return faults


def _band_faults(document: Mapping[str, Any], name: str, band: str) -> Iterator[Fault]:
    path = f"{name}.{band}"
    if band not in document[name]:
        yield Fault(path, "is missing")
        return
    value = document[name][band]
    if value is None:
        if document["clip_percentiles"] is not None:
            yield Fault(path, "expected a number, since clip_percentiles is not null, got null")
        return
    with np.errstate(over="ignore", under="ignore"):
        stored = np.float32(value)
    if not np.isfinite(stored):
        yield Fault(path, f"expected a number that float32 can hold, got {value}")
    elif name == "std_by_band" and not stored > 0:
        yield Fault(path, f"expected a number that is greater than 0 in float32, got {value}")


def check_stats_match(stats: NormalizationStats, config: PreprocessConfig, source: str) -> None:
    """Refuse statistics that were computed for other values than those they are to be applied to.

    Parameters
    ----------
    stats : NormalizationStats
        Settings that a file of another tool does not state are taken to match.
    config : PreprocessConfig
        Configuration of pass 2.
    source : str
        What messages call the statistics.

    Raises
    ------
    StatsMismatchError
        With every difference in bands, order, range, width, clipping, reflectance and resampling.
    """
    wanted = _meaning(HistogramSettings.of(config), config.normalize.clip_percentiles)
    computed = _meaning(stats.settings, stats.clip_percentiles)
    faults = [
        Fault(name, f"the configuration says {value!r}, the statistics were computed with {computed[name]!r}")
        for name, value in wanted.items()
        if computed[name] != value and (computed[name] is not None or name == "clip_percentiles")
    ]
    if faults:
        faults.append(Fault("", "change the configuration, or run pass 1 again with it"))
        raise StatsMismatchError(source, faults)


def _meaning(settings: HistogramSettings, clip: tuple[float, float] | None) -> dict[str, Any]:
    """Everything that decides what statistics mean."""
    document = {name: value for name, value in settings.to_document().items() if name not in _DRAW}
    return {**document, "clip_percentiles": None if clip is None else [float(value) for value in clip]}
