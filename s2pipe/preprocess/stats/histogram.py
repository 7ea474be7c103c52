"""Histograms by band: counts with what was counted, of one scene or of several together.

Counts are integers, so that merging in any order gives the same bytes.
"""

from __future__ import annotations

import functools
import io
import json
import struct
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from s2pipe.config.documents import parse_json
from s2pipe.config.fields import to_plain
from s2pipe.dataset.scene_key import SceneKey
from s2pipe.errors import Fault, ManifestError, S2PipeError, StatsMismatchError
from s2pipe.preprocess.cfg import PreprocessConfig, bin_count
from s2pipe.preprocess.stats.archive import read_arrays
from s2pipe.runtime.files import write_bytes_atomic
from s2pipe.runtime.hashing import bytes_fingerprint
from s2pipe.runtime.paths import seen_from
from s2pipe.sentinel2.channels import Channel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from s2pipe.ground.split import SplitPlan

HISTOGRAM_NAME = "histogram.npz"
"""File name of a scene's histogram, and of the merged one beside ``stats.json``."""
HISTOGRAM_FORMAT = "s2pipe.normalize.histogram.v1"
_ARRAYS = ("counts", "underflow", "overflow", "about")
"""What is read of a histogram's file; bands and edges are there for people."""
_SEAL_BYTES = len(bytes_fingerprint(b""))
_UNREADABLE = (
    *(S2PipeError, OSError, EOFError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError),
    *(RuntimeError, MemoryError, struct.error, zipfile.BadZipFile, zlib.error),
)
"""What NumPy and the records raise for a file that is not a histogram, or is damaged."""


@dataclass(frozen=True)
class HistogramSettings:
    """Everything that decides what a histogram counts; statistics apply only where all of it is the same.

    A histogram states every setting. Files with statistics by other tools may leave out those that can be None.
    """

    bands: tuple[Channel, ...]
    """Bands in order."""
    hist_range: tuple[float, float]
    """Lower and upper end, in the unit of the values."""
    hist_bin_width: float
    """Bin width, same unit."""
    to_toa_reflectance: bool
    """Values are reflectance (true) or DN."""
    target_grid_ref: str | None
    """Raster that defines the target grid, or reference system and resolution of a grid of the user's own."""
    upsample_method: str | None
    """Resampling where source pixels are larger than the target's."""
    downsample_method: str | None
    """Resampling where source pixels are smaller than the target's."""
    valid_min_fraction: float | None
    """Least valid share of a target pixel's source area, 0 to 1."""
    max_pixels_per_scene: int | None
    """Pixels drawn per band and scene; None when all pixels count."""
    sampling: str | None
    """How pixels are drawn, ``blocks`` or ``pixels``; None when all pixels count."""
    seed: int | None
    """Seed of the draw; 0 when all pixels count."""
    split: str | None = None
    """Fingerprint of the split whose training ground counts; None counts all ground."""
    brdf: Mapping[str, Any] | None = None
    """Model and sun zenith of reflectance as seen from nadir; None for reflectance as the satellite saw it."""

    @classmethod
    def of(cls, config: PreprocessConfig, split: SplitPlan | None = None) -> HistogramSettings:
        """Take the settings that matter from a configuration, and from the split if there is one."""
        normalize = config.normalize
        low, high = normalize.hist_range
        return cls(
            bands=config.channels,
            hist_range=(float(low), float(high)),
            hist_bin_width=float(normalize.hist_bin_width),
            to_toa_reflectance=config.to_toa_reflectance,
            target_grid_ref=config.grid_name,
            upsample_method=config.upsample_method,
            downsample_method=config.downsample_method,
            valid_min_fraction=float(config.valid_min_fraction),
            max_pixels_per_scene=normalize.max_pixels_per_scene,
            sampling=normalize.sampling if normalize.max_pixels_per_scene is not None else None,
            seed=normalize.seed if normalize.max_pixels_per_scene is not None else 0,
            split=None if split is None else split.rule_fingerprint,
            brdf=to_plain(config.brdf) if config.brdf.is_on else None,
        )

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> HistogramSettings:
        """Read the settings among the keys of a document; keys that are not there become None.

        Raises
        ------
        ValueError
            A band is not the name of a channel.
        """
        low, high = document["hist_range"]
        values: dict[str, Any] = {field.name: document.get(field.name) for field in fields(cls)}
        values["bands"] = tuple(map(Channel.parse, document["bands"]))
        return cls(**{**values, "hist_range": (low, high)})

    def to_document(self) -> dict[str, Any]:
        """Return the JSON form; ``brdf`` is stated only where there is one, as before there was."""
        document = {**vars(self), "bands": list(map(str, self.bands)), "hist_range": list(self.hist_range)}
        if self.brdf is None:
            del document["brdf"]
        return document

    @property
    def bin_count(self) -> int:
        """Number of bins."""
        count = bin_count(self.hist_range, self.hist_bin_width)
        if count is None:
            msg = f"hist_range {self.hist_range} is not a whole number of bins of {self.hist_bin_width}"
            raise S2PipeError(msg)
        return count

    @property
    def exact_range(self) -> tuple[Fraction, Fraction]:
        """Lower end and bin width as the decimals of the configuration, not their binary approximations."""
        return (
            Fraction(Decimal(repr(self.hist_range[0]))),
            Fraction(Decimal(repr(self.hist_bin_width))),
        )


@dataclass(frozen=True)
class ContributingScene:
    """A scene whose pixels were counted."""

    key: SceneKey
    """The scene's key."""
    products: tuple[str, ...]
    """Names of the products whose bands were read."""

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> ContributingScene:
        """Read the JSON form."""
        return cls(SceneKey.from_document(document["key"]), tuple(document.get("products", ())))

    def to_document(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {"key": self.key.to_document(), "products": list(self.products)}


@dataclass(frozen=True)
class BandHistograms:
    """Histograms of all bands, of one scene or of several together."""

    settings: HistogramSettings
    """What was counted."""
    counts: np.ndarray
    """int64 (band, bin); values beyond the range are in the end bins."""
    underflow: np.ndarray
    """int64 (band): how many of the first bin's counts were below the range."""
    overflow: np.ndarray
    """int64 (band): how many of the last bin's counts were above the range."""
    scenes: tuple[ContributingScene, ...]
    """Contributing scenes, sorted by key."""
    inputs_fingerprint: str = ""
    """Of one scene: identifies the files that were read; empty for several scenes."""

    def __post_init__(self) -> None:
        shape = (len(self.settings.bands), self.settings.bin_count)
        if self.counts.shape != shape:
            msg = f"expected counts of shape {shape} (bands, bins), got {self.counts.shape}"
            raise S2PipeError(msg)


_SETTINGS = frozenset(field.name for field in fields(HistogramSettings)) - {"split", "brdf"}
"""What every histogram states."""


class HistogramSum:
    """Sum of the histograms of different scenes: however many they are, it takes the memory of one."""

    def __init__(self) -> None:
        self._total: BandHistograms | None = None
        self._scenes: dict[tuple[str, str], ContributingScene] = {}

    def __len__(self) -> int:
        return len(self._scenes)

    def add(self, histogram: BandHistograms) -> None:
        """Add the counts of further scenes.

        Raises
        ------
        StatsMismatchError
            Its settings are not those of the others.
        S2PipeError
            One of its scenes was added before.
        """
        new = {scene.key.identity: scene for scene in histogram.scenes}
        total = self._total
        if total is None:
            counted = (histogram.counts.copy(), histogram.underflow.copy(), histogram.overflow.copy())
            self._total = BandHistograms(histogram.settings, *counted, scenes=())
            self._scenes = new
            return
        faults = _setting_faults(total.settings, histogram.settings)
        if faults:
            msg = f"histogram of {scene_names(histogram.scenes)}"
            raise StatsMismatchError(msg, faults)
        twice = [str(scene.key) for identity, scene in new.items() if identity in self._scenes]
        if twice:
            msg = f"scene {', '.join(twice)} is in more than one histogram; give each scene once"
            raise S2PipeError(msg)
        for name in ("counts", "underflow", "overflow"):
            into = getattr(total, name)
            np.add(into, getattr(histogram, name), out=into)
        self._scenes |= new

    def total(self) -> BandHistograms:
        """Return the sum so far; its arrays grow with what is added later.

        Raises
        ------
        S2PipeError
            Nothing was added.
        """
        if self._total is None:
            msg = "there is no histogram to make statistics from; run pass 1 (normalize.mode: compute_only)"
            raise S2PipeError(msg)
        scenes = sorted(self._scenes.values(), key=lambda scene: scene.key)
        return replace(self._total, scenes=tuple(scenes))


def merge_histograms(histograms: Iterable[BandHistograms]) -> BandHistograms:
    """Add histograms of different scenes.

    Parameters
    ----------
    histograms : iterable of BandHistograms
        At least one, all with the same settings, no scene twice.

    Raises
    ------
    StatsMismatchError
        Settings differ.
    S2PipeError
        None given, or a scene is in more than one of them.
    """
    total = HistogramSum()
    for histogram in histograms:
        total.add(histogram)
    return total.total()


def scene_names(scenes: Sequence[ContributingScene]) -> str:
    """Name the first few scenes, for a message."""
    return ", ".join(str(scene.key) for scene in scenes[:3]) + (" ..." if len(scenes) > 3 else "")


def _setting_faults(expected: HistogramSettings, got: HistogramSettings) -> list[Fault]:
    if got == expected:
        return []
    wanted, stated = ({"brdf": None, **settings.to_document()} for settings in (expected, got))
    return [
        Fault(name, f"expected {value!r}, got {stated[name]!r}")
        for name, value in wanted.items()
        if stated[name] != value
    ]


def save_histogram(path: Path, histogram: BandHistograms) -> None:
    """Write a histogram as ``.npz`` (arrays and one JSON text; loads without pickle), atomically.

    The archive's comment, its last bytes, is the SHA-256 of everything before.
    """
    settings = histogram.settings
    about = {
        "format": HISTOGRAM_FORMAT,
        "settings": settings.to_document(),
        "scenes": [scene.to_document() for scene in histogram.scenes],
        "inputs_fingerprint": histogram.inputs_fingerprint,
    }
    arrays: dict[str, Any] = {
        "counts": histogram.counts,
        "underflow": histogram.underflow,
        "overflow": histogram.overflow,
        "bands": np.array(list(map(str, settings.bands))),
        "edges": bin_edges(settings),
        "about": np.array(json.dumps(about)),
    }
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)
    write_bytes_atomic(path, _sealed(stream.getvalue()))


def _sealed(archive: bytes) -> bytes:
    """Give an archive without a comment its checksum as one."""
    content = archive[:-2] + _SEAL_BYTES.to_bytes(2, "little")
    return content + bytes_fingerprint(content).encode()


def is_sealed_histogram(data: bytes) -> bool:
    """Tell whether bytes end with a checksum, as those of :func:`save_histogram` do."""
    return data[-_SEAL_BYTES:].startswith(b"sha256:")


def is_intact_histogram(data: bytes) -> bool:
    """Tell whether bytes are exactly what :func:`save_histogram` wrote."""
    return data[-_SEAL_BYTES:] == bytes_fingerprint(data[:-_SEAL_BYTES]).encode()


def load_histogram(path: Path, read: Callable[[], bytes] | None = None) -> BandHistograms:
    """Read a histogram written by :func:`save_histogram`.

    Parameters
    ----------
    path : Path
        Its file.
    read : callable, optional
        Returns the content of the file where that is being read already.

    Raises
    ------
    ManifestError
        The file is missing, damaged, or something else.
    """
    try:
        data = path.read_bytes() if read is None else read()
        is_sealed = is_sealed_histogram(data)
        if is_sealed and not is_intact_histogram(data):
            msg = "its content does not match the SHA-256 at its end"
            raise ValueError(msg)
        return _from_arrays(read_arrays(data, _ARRAYS, check=not is_sealed))
    except FileNotFoundError:
        raise ManifestError(
            str(path), [Fault("", f"no such histogram{seen_from(path)}; run pass 1 first")]
        ) from None
    except _UNREADABLE as error:
        expected = f"expected the {HISTOGRAM_NAME} of pass 1; give that file, or make it again with pass 1"
        raise ManifestError(
            str(path), [Fault("", f"is not a histogram of s2pipe ({error}); {expected}")]
        ) from error


def _from_arrays(arrays: Mapping[str, np.ndarray]) -> BandHistograms:
    about = parse_json(str(arrays["about"]).encode())
    if about["format"] != HISTOGRAM_FORMAT:
        msg = f"format {about['format']!r} is not {HISTOGRAM_FORMAT!r}"
        raise ValueError(msg)
    missing = _SETTINGS - about["settings"].keys()
    if missing:
        msg = f"settings lack {', '.join(sorted(missing))}"
        raise ValueError(msg)
    counts, underflow, overflow = (arrays[name] for name in ("counts", "underflow", "overflow"))
    for ends in (underflow, overflow):
        if {counts.dtype, ends.dtype} != {np.dtype(np.int64)} or ends.shape != counts.shape[:1]:
            msg = f"expected counts as int64, one of each end per band, got {counts.dtype}, {ends.dtype} {ends.shape}"
            raise ValueError(msg)
        if counts.min(initial=0) < 0 or ends.min(initial=0) < 0:
            msg = "counts are negative"
            raise ValueError(msg)
    return BandHistograms(
        _settings_of(json.dumps(about["settings"])),
        counts,
        underflow,
        overflow,
        tuple(map(ContributingScene.from_document, about["scenes"])),
        about["inputs_fingerprint"],
    )


@functools.lru_cache(maxsize=16)
def _settings_of(text: str) -> HistogramSettings:
    """Read settings; a hundred thousand scenes of one run state the same."""
    return HistogramSettings.from_document(json.loads(text))


def bin_edges(settings: HistogramSettings) -> np.ndarray:
    """Edges of the bins, float64 (bins + 1), each rounded once from its exact decimal value."""
    low, width = settings.exact_range
    return np.array([float(low + width * index) for index in range(settings.bin_count + 1)])
