"""Scores of every candidate, and the filters on them. Only masks and labels are read, each strip once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from s2pipe.dataset.samples import Labels, Sample, shared_value
from s2pipe.errors import ConfigError, Fault, RasterError, S2PipeError
from s2pipe.patches.missing_angles import known_angles, witness_channels
from s2pipe.raster.grid import Window
from s2pipe.raster.reader import StackReader
from s2pipe.raster.writer import TILE_PX
from s2pipe.sentinel2.angle_channels import ANGLE_MASK

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from s2pipe.patches.candidates.windows import PatchTable
    from s2pipe.patches.cfg import PatchConfig, QualityConfig

_ANGLE_COLUMNS = 4 * TILE_PX
"""Columns of angles that are read at a time: all channels of a whole strip would take much memory."""


@dataclass(frozen=True)
class ScoreSettings:
    """What pixels are counted as."""

    size: int
    """Side of a patch in pixels."""
    columns: np.ndarray
    """Label -> column of the counts; one past the last for ignore_index and labels that meta.json does not list."""
    width: int
    """Number of label columns."""
    cloud: np.ndarray
    """Columns that are cloud, bool (width + 1)."""

    @property
    def has_labels(self) -> bool:
        """False where samples have no y.tif."""
        return len(self.columns) > 1


def score_settings(
    table: PatchTable, samples: Sequence[Sample], config: PatchConfig
) -> dict[int, ScoreSettings]:
    """Work out, for every sample, what its labels are counted as.

    Raises
    ------
    ConfigError
        A filter needs labels that are not there, or it is unclear which of them are clouds.
    """
    shared_value(samples, "labels", [s.labels is None for s in samples])
    if samples[0].labels is None:
        _refuse_label_filters(config.quality)
        empty = ScoreSettings(config.patch_size, np.zeros(1, np.int64), 0, np.zeros(1, bool))
        return dict.fromkeys(range(len(samples)), empty)
    return {place: _settings(table, s.labels, config) for place, s in enumerate(samples) if s.labels}


def _settings(table: PatchTable, labels: Labels, config: PatchConfig) -> ScoreSettings:
    width = len(table.labels)
    # The smallest type that holds a code: strips of int64 took twice as long.
    code_type = np.uint8 if 2 * width + 1 <= np.iinfo(np.uint8).max else np.uint32
    columns = np.full(np.iinfo(labels.dtype).max + 1, width, code_type)
    for column, label in enumerate(table.labels):
        columns[label] = column
    columns[labels.ignore_index] = width
    clouds = config.quality.cloud_labels
    if clouds is None:
        clouds = labels.cloud_labels()
    if clouds is None:
        msg = "PatchConfig"
        raise ConfigError(
            msg,
            [
                Fault(
                    "patches.quality.cloud_labels",
                    "is needed: the labels' mapping gives clouds and other classes the same label",
                )
            ],
        )
    is_cloud = np.isin([*table.labels, -1], clouds)
    return ScoreSettings(config.patch_size, columns, width, is_cloud)


def _refuse_label_filters(quality: QualityConfig) -> None:
    given = {
        "max_ignore": quality.max_ignore < 1.0,
        "max_cloud": quality.max_cloud < 1.0,
        "min_classes": quality.min_classes > 0,
    }
    faults = [
        Fault(
            f"patches.quality.{name}",
            "needs labels, and the samples have none; run Step 2 with labels.enabled",
        )
        for name, is_given in given.items()
        if is_given
    ]
    if faults:
        msg = "PatchConfig"
        raise ConfigError(msg, faults)


def score_all(
    table: PatchTable,
    samples: Sequence[Sample],
    settings: Mapping[int, ScoreSettings],
    workers: int,
    report: Callable[[Sample, S2PipeError | None], None],
) -> None:
    """Score the candidates of all samples, in parallel over samples; those of an unreadable sample are dropped.

    Parameters
    ----------
    table : PatchTable
        Scores are filled in.
    samples : sequence of Sample
        The samples.
    settings : mapping
        Of each sample, see :func:`score_settings`.
    workers : int
        Threads.
    report : callable
        Told of every sample, with its error if it has one, from the calling thread.
    """
    edges = np.searchsorted(table.scene, np.arange(len(samples) + 1))

    def work(place: int) -> S2PipeError | None:
        part = slice(int(edges[place]), int(edges[place + 1]))
        try:
            _score_sample(table, part, samples[place], settings[place])
        except RasterError as error:
            return error
        return None

    with ThreadPoolExecutor(workers, "s2pipe-score") as pool:
        for place, error in enumerate(pool.map(work, range(len(samples)))):
            if error is not None:
                table.drop(table.scene == place, "unreadable")
            report(samples[place], error)


def _score_sample(table: PatchTable, part: slice, sample: Sample, settings: ScoreSettings) -> None:
    """Score one sample strip by strip; a strip is a row of windows."""
    rows, cols = table.row[part], table.col[part]
    if not len(rows):
        return
    mask = StackReader(str(sample.x_path), sample.mask_channels)
    labels = None if sample.y_path is None else StackReader(str(sample.y_path))
    for reader, path in ((mask, sample.x_path), (labels, sample.y_path)):
        if reader is not None and reader.shape_yx != sample.grid.shape_yx:
            msg = f"{path}: has {reader.shape_yx} pixels, meta.json says {sample.grid.shape_yx}; run Step 2 again"
            raise RasterError(msg)
    angles = None if sample.angles_path is None else _AngleReader(sample)
    starts = np.flatnonzero(np.diff(rows, prepend=-1))
    for start, stop in zip(starts.tolist(), [*starts[1:].tolist(), len(rows)], strict=True):
        row = int(rows[start])
        height = min(settings.size, sample.grid.height - row)
        strip = Window(row, 0, height, sample.grid.width)
        codes = _strip_codes(mask, labels, strip, settings, sample)
        missing = None if angles is None else angles.missing(strip) & (codes & 1).astype(bool)
        for place in range(start, stop):
            columns = slice(int(cols[place]), int(cols[place]) + settings.size)
            _score_patch(table, part.start + place, codes[:, columns], settings)
            if missing is not None:
                valid = max(1.0, table.valid[part.start + place] * settings.size**2)
                table.missing_angles[part.start + place] = np.count_nonzero(missing[:, columns]) / valid


class _AngleReader:
    """Reads where angles are missing, from as few channels as tell it."""

    def __init__(self, sample: Sample) -> None:
        self._has_mask = ANGLE_MASK in sample.angle_bands
        self._channels = witness_channels(sample.angle_bands)
        self._reader = StackReader(str(sample.angles_path), self._channels)

    def missing(self, strip: Window) -> np.ndarray:
        """Where angles are missing, bool (y, x)."""
        missing = np.empty(strip.shape_yx, bool)
        for col in range(0, strip.width, _ANGLE_COLUMNS):
            width = min(_ANGLE_COLUMNS, strip.width - col)
            values = np.empty((len(self._channels), strip.height, width), np.float32)
            self._reader.read(Window(strip.row, col, strip.height, width), values)
            missing[:, col : col + width] = ~known_angles(values, self._has_mask)
        return missing


def _strip_codes(
    mask: StackReader, labels: StackReader | None, window: Window, settings: ScoreSettings, sample: Sample
) -> np.ndarray:
    """Twice the label's column, plus 1 where the pixel is valid, (y, x)."""
    valid = np.empty((len(sample.mask_channels), *window.shape_yx), np.float32)
    mask.read(window, valid)
    is_valid = valid[0] > 0 if len(valid) == 1 else np.all(valid > 0, axis=0)
    if labels is None or sample.labels is None:
        return is_valid.view(np.uint8)
    found = np.empty((1, *window.shape_yx), sample.labels.dtype)
    labels.read(window, found)
    codes = np.take(2 * settings.columns, found[0])
    codes += is_valid
    result: np.ndarray = codes
    return result


def _score_patch(table: PatchTable, place: int, codes: np.ndarray, settings: ScoreSettings) -> None:
    pixels = settings.size**2
    counts = np.bincount(codes.ravel(), minlength=2 * (settings.width + 1)).reshape(-1, 2)
    valid = int(counts[:, 1].sum())
    table.valid[place] = valid / pixels
    if settings.has_labels:
        labelled = counts[: settings.width].sum(axis=1)
        table.counts[place] = labelled
        # Padding has no label either.
        table.ignore[place] = (pixels - int(labelled.sum())) / pixels
        table.cloud[place] = int(counts[settings.cloud, 1].sum()) / valid if valid else 0.0


def apply_filters(table: PatchTable, quality: QualityConfig) -> None:
    """Drop the patches that are not worth training on."""
    table.drop(table.valid < quality.min_valid, "min_valid")
    table.drop(table.ignore > quality.max_ignore, "max_ignore")
    table.drop(table.cloud > quality.max_cloud, "max_cloud")
    if quality.max_missing_angles is not None:
        table.drop(table.missing_angles > quality.max_missing_angles, "missing_angles")
    table.drop((table.counts > 0).sum(axis=1) < quality.min_classes, "min_classes")
