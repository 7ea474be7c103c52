"""``stats.json``: written by pass 1, and checked before pass 2 reads the first pixel."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from s2pipe.config.documents import read_json
from s2pipe.config.schema import NORMALIZE_STATS, document_faults
from s2pipe.dataset.proof import SEAL, FileRecord, is_unchanged, write_sealed
from s2pipe.errors import ConfigError, Fault, ManifestError, StatsMismatchError
from s2pipe.preprocess.stats.histogram import HISTOGRAM_NAME, HistogramSettings, save_histogram
from s2pipe.preprocess.stats.statistics import NormalizationStats
from s2pipe.preprocess.stats.stats_rules import VALUES_BY_BAND
from s2pipe.runtime.files import sweep
from s2pipe.runtime.locks import locked
from s2pipe.runtime.paths import InsidePath, seen_from
from s2pipe.sentinel2.channels import Channel

if TYPE_CHECKING:
    from pathlib import Path

    from s2pipe.preprocess.cfg import PreprocessConfig
    from s2pipe.preprocess.stats.histogram import BandHistograms

log = logging.getLogger("s2pipe.preprocess")

_NEEDED = ("bands", *VALUES_BY_BAND)
_ALWAYS = {"moments_after_clipping": True}
"""What pass 1 has no setting for."""
_ANY = 1e300
"""Stands for the range of a histogram that foreign statistics need not have."""
_SINCE = ("brdf",)
"""Settings that files state only where they are not null."""
_DRAW = ("max_pixels_per_scene", "sampling", "seed", "split")
"""Settings of which pixels were counted, which do not change what the statistics mean."""


def histogram_beside(path: Path) -> Path:
    """Return where the histogram of statistics lies: ``histogram.npz`` for ``stats.json``.

    Statistics of other names have one of their own, ``train.json`` for example ``train.json.histogram.npz``.
    """
    is_usual = path.name == "stats.json"
    return path.with_name(HISTOGRAM_NAME if is_usual else f"{path.name}.{HISTOGRAM_NAME}")


def save_stats(path: Path, stats: NormalizationStats, histogram: BandHistograms | None = None) -> None:
    """Write ``stats.json`` atomically, after the histogram that it names, if one is to be kept.

    A lock beside it keeps the two of one run together.
    """
    beside = histogram_beside(path)
    with locked(path.with_name(f".{path.name}.lock")):
        sweep(path, beside)
        if histogram is not None:
            save_histogram(beside, histogram)
            stats = replace(stats, histogram=FileRecord.of(beside, beside.name))
        write_sealed(path, stats.to_document())


def histogram_of_stats(path: Path) -> Path:
    """Return the histogram that statistics were computed from, as they name it, unchanged.

    Raises
    ------
    ConfigError, ManifestError
        The statistics cannot be read, name no histogram, or another than is there.
    """
    record = load_stats(path).histogram
    if record is None:
        cure = "run pass 1 with normalize.save_histograms, or give the histograms of the scenes"
        raise ManifestError(
            str(path), [Fault("histogram", f"no histogram was kept with these statistics; {cure}")]
        )
    beside = InsidePath(path.parent, record.path).path
    try:
        found = FileRecord.of(beside, record.path)
    except OSError as error:
        raise ManifestError(str(beside), [Fault("", f"cannot be read: {error.strerror}")]) from error
    if found != record:
        stated = f"expected {record.size} bytes with SHA-256 {record.sha256}, as {path} says"
        raise ManifestError(str(beside), [Fault("", f"{stated}, got {found.size} bytes with {found.sha256}")])
    return beside


def load_stats(path: Path) -> NormalizationStats:
    """Read and check ``stats.json``.

    Raises
    ------
    ConfigError
        The file does not exist.
    ManifestError
        It is not valid, or holds values that cannot normalize anything; all faults are listed.
    """
    document = _read(path)
    faults = document_faults(document, "normalize_stats")
    if faults:
        raise ManifestError(str(path), faults)
    return NormalizationStats.from_document(document)


def stats_to_apply(config: PreprocessConfig) -> NormalizationStats:
    """Read the statistics that pass 2 applies, and refuse those that were not made for its values.

    Parameters
    ----------
    config : PreprocessConfig
        Configuration of pass 2. With ``normalize.accept_foreign_stats``, statistics that are not made for its
        values, or do not say so, are taken as :func:`load_foreign_stats` reads them.

    Raises
    ------
    ConfigError
        The file does not exist.
    ManifestError
        It is not valid.
    StatsMismatchError
        The statistics are of other values, or do not say of which.
    """
    path = config.normalize.stats_path
    assert path is not None  # a rule of the configuration
    try:
        stats = load_stats(path)
        check_stats_match(stats, config, str(path))
        _check_unchanged(stats, path)
    except (ManifestError, StatsMismatchError) as error:
        if not config.normalize.accept_foreign_stats:
            raise
        log.warning("foreign statistics are applied, as accept_foreign_stats says:\n%s", error)
        return load_foreign_stats(path, config)
    return stats


def _check_unchanged(stats: NormalizationStats, path: Path) -> None:
    if not is_unchanged(stats.to_document()):
        cure = "run pass 1 again, or use --accept-foreign-stats if they were changed on purpose"
        raise ManifestError(
            str(path), [Fault(SEAL, f"the statistics are not those that were written; {cure}")]
        )


def load_foreign_stats(path: Path, config: PreprocessConfig) -> NormalizationStats:
    """Read no more of a file than what is needed to apply its statistics; the rest is as the configuration says.

    Parameters
    ----------
    path : Path
        JSON file with ``bands``, ``clip_low_by_band``, ``clip_high_by_band``, ``mean_by_band`` and
        ``std_by_band``. Clip values may be null.
    config : PreprocessConfig
        Configuration of pass 2.

    Raises
    ------
    ManifestError
        These values are missing, or cannot normalize anything.
    StatsMismatchError
        The bands are others, or in another order.
    """
    document = _read(path)
    missing = [name for name in _NEEDED if not isinstance(document, dict) or name not in document]
    if missing:
        raise ManifestError(
            str(path), [Fault(name, "is missing, and is needed to apply") for name in missing]
        )
    settings = HistogramSettings.of(config).to_document()
    values = {name: document[name] for name in VALUES_BY_BAND}
    bands = document["bands"]
    if isinstance(bands, list) and all(isinstance(value, dict) for value in values.values()):
        values = {n: {b: v for b, v in value.items() if b in bands} for n, value in values.items()}
        lows, highs = (list(values[name].values()) for name in VALUES_BY_BAND[:2])
        limits = [value for value in (*lows, *highs) if value is not None]
    else:
        limits = []  # the schema says what is wrong
    known = {
        "schema": NORMALIZE_STATS,
        "bands": bands,
        "clip_percentiles": [0.0, 100.0] if limits else None,
        **values,
    }
    unused = {"hist_range": [-_ANY, _ANY], "hist_bin_width": _ANY, "to_toa_reflectance": True}
    faults = document_faults({**known, **unused}, "normalize_stats")
    if faults:
        raise ManifestError(str(path), faults)
    wanted = settings["bands"]
    stated = [str(Channel.parse(band)) for band in bands]
    if stated != wanted:
        raise StatsMismatchError(str(path), [_difference("bands", wanted, stated)])
    stats = NormalizationStats.from_document({**known, **unused})
    return replace(stats, settings=HistogramSettings.of(config), source=known, is_foreign=True)


def _read(path: Path) -> Any:
    try:
        return read_json(path, nan="keep")
    except FileNotFoundError:
        raise ConfigError(
            str(path),
            [
                Fault(
                    "",
                    f"no such statistics{seen_from(path)}; run pass 1 (normalize.mode: compute_only) first",
                )
            ],
        ) from None
    except (OSError, ValueError) as error:
        raise ManifestError(str(path), [Fault("", f"cannot be read as JSON: {error}")]) from error


def check_stats_match(stats: NormalizationStats, config: PreprocessConfig, source: str) -> None:
    """Refuse statistics that were computed for other values than those they are to be applied to.

    Parameters
    ----------
    stats : NormalizationStats
        A setting that their file does not state matches nothing.
    config : PreprocessConfig
        Configuration of pass 2.
    source : str
        What messages call the statistics.

    Raises
    ------
    StatsMismatchError
        With every difference in bands, order, range, width, clipping, reflectance and resampling.
    """
    wanted = {**_meaning(HistogramSettings.of(config), config.normalize.clip_percentiles), **_ALWAYS}
    computed = {**_meaning(stats.settings, stats.clip_percentiles), **_ALWAYS}
    stated = stats.to_document()
    faults = [
        _difference(name, value, computed[name], is_stated=name in stated or name in _SINCE)
        for name, value in wanted.items()
        if (name not in stated and name not in _SINCE) or computed[name] != value
    ]
    if faults:
        cure = "change the configuration, run pass 1 again with it, or use --accept-foreign-stats if you know better"
        faults.append(Fault("", cure))
        raise StatsMismatchError(source, faults)


def _difference(name: str, wanted: Any, computed: Any, *, is_stated: bool = True) -> Fault:
    says = f"were computed with {computed!r}" if is_stated else "do not say what they were computed with"
    return Fault(name, f"the configuration says {wanted!r}, the statistics {says}")


def _meaning(settings: HistogramSettings, clip: tuple[float, float] | None) -> dict[str, Any]:
    """Everything that decides what statistics mean."""
    stated = {**dict.fromkeys(_SINCE), **settings.to_document()}
    document = {name: value for name, value in stated.items() if name not in _DRAW}
    return {**document, "clip_percentiles": None if clip is None else [float(value) for value in clip]}
