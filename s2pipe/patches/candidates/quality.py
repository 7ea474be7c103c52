"""Scores of every candidate, and the filters on them. Only masks, labels and quality are read, each strip once."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from s2pipe.dataset.label_meaning import CONDITIONS
from s2pipe.dataset.sample_proof import check_files
from s2pipe.dataset.samples import NO_QUALITY
from s2pipe.errors import RasterError, S2PipeError
from s2pipe.patches.missing_angles import known_angles, witness_channels
from s2pipe.raster.grid import Window
from s2pipe.raster.reader import StackReader
from s2pipe.raster.writer import TILE_PX
from s2pipe.sentinel2.angle_channels import ANGLE_MASK

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from s2pipe.dataset.samples import Sample
    from s2pipe.patches.candidates.screens import Screens
    from s2pipe.patches.candidates.windows import PatchTable
    from s2pipe.patches.cfg import QualityConfig

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
    by_label: Mapping[str, np.ndarray]
    """Condition -> columns that mean it, bool (width + 1)."""
    by_class: Mapping[str, int]
    """Condition -> its number, from 1, where ``q.tif`` tells it."""
    numbers: np.ndarray
    """Class of ``q.tif`` -> number of its condition, or 0, uint8 (256)."""
    cloud_probability: int | None
    """Least cloud probability in percent that is cloud; None takes the classes."""

    @property
    def has_labels(self) -> bool:
        """False where samples have no y.tif."""
        return len(self.columns) > 1


def score_settings(
    table: PatchTable, samples: Sequence[Sample], screens: Screens, size: int
) -> ScoreSettings:
    """Work out what the pixels of samples are counted as; ``size`` is the side of a patch."""
    labels, width = samples[0].labels, len(table.labels)
    # The smallest type that holds a code: strips of int64 took twice as long.
    code_type = np.uint8 if 2 * width + 1 <= np.iinfo(np.uint8).max else np.uint32
    columns = np.zeros(1, code_type)
    if labels is not None and labels.ignore_index is None:
        columns, width = np.arange(2, dtype=code_type), 1  # pixels with a value, and those without
    elif labels is not None:
        # A band of classes beside quantities is of float32.
        labels_end = 65536 if labels.dtype == "float32" else np.iinfo(labels.dtype).max + 1
        columns = np.full(labels_end, width, code_type)
        for column, label in enumerate(table.labels):
            columns[label] = column
        columns[labels.ignore_index] = width
    by_label = {name: np.isin([*table.labels, -1], found) for name, found in screens.by_label.items()}
    by_class = {name: number for number, name in enumerate(screens.by_class, 1)}
    numbers = np.zeros(256, np.uint8)
    for name, classes in screens.by_class.items():
        if name != "cloud" or screens.cloud_probability is None:
            numbers[list(classes)] = by_class[name]
    return ScoreSettings(size, columns, width, by_label, by_class, numbers, screens.cloud_probability)


def score_all(
    table: PatchTable,
    samples: Sequence[Sample],
    settings: ScoreSettings,
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
    settings : ScoreSettings
        See :func:`score_settings`.
    workers : int
        Threads.
    report : callable
        Told of every sample, with its error if it has one, from the calling thread.
    """
    edges = np.searchsorted(table.scene, np.arange(len(samples) + 1))

    def work(place: int) -> S2PipeError | None:
        part = slice(int(edges[place]), int(edges[place + 1]))
        return score_sample(table, part, samples[place], settings)

    with ThreadPoolExecutor(workers, "s2pipe-score") as pool:
        for place, error in enumerate(pool.map(work, range(len(samples)))):
            if error is not None:
                table.drop(table.scene == place, "unreadable")
            report(samples[place], error)


def score_sample(
    table: PatchTable, part: slice, sample: Sample, settings: ScoreSettings
) -> S2PipeError | None:
    """Score the candidates of one sample; return why it cannot be read, else None."""
    try:
        check_files(sample.root, sample.files)
        _score_sample(table, part, sample, settings)
    except RasterError as error:
        return error
    return None


def _score_sample(table: PatchTable, part: slice, sample: Sample, settings: ScoreSettings) -> None:
    """Score one sample strip by strip; a strip is a row of windows."""
    part_of = sample.target.window
    rows, cols = table.row[part] - part_of.row, table.col[part] - part_of.col
    if not len(rows):
        return
    readers = _open(sample, settings)
    angles = None if sample.angles_path is None else _AngleReader(sample)
    starts = np.flatnonzero(np.diff(table.row[part], prepend=-1))
    for start, stop in zip(starts.tolist(), [*starts[1:].tolist(), len(rows)], strict=True):
        row = int(rows[start])
        bottom = min(row + settings.size, sample.grid.height)
        strip = Window(max(row, 0), 0, bottom - max(row, 0), sample.grid.width)
        is_valid = _valid(readers["x"], strip, len(sample.mask_channels))
        codes = _label_codes(readers.get("y"), strip, settings, sample)
        codes += is_valid
        conditions = _condition_codes(readers.get("quality"), strip, settings)
        if conditions is not None:
            conditions += is_valid
        missing = None if angles is None else angles.missing(strip) & is_valid
        for place in range(start, stop):
            patch = part.start + place
            columns = slice(max(int(cols[place]), 0), int(cols[place]) + settings.size)
            valid = _score_patch(table, patch, codes[:, columns], settings)
            if conditions is not None:
                _screen_patch(table, patch, conditions[:, columns], settings, valid)
            if missing is not None:
                table.missing_angles[patch] = np.count_nonzero(missing[:, columns]) / max(1, valid)


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


def _open(sample: Sample, settings: ScoreSettings) -> dict[str, StackReader]:
    """Open the rasters of a sample that scores are made from."""
    paths = {"x": sample.x_path}
    if sample.y_path is not None:
        paths["y"] = sample.y_path  # of several bands the first
    if settings.by_class and sample.quality is not None:
        paths["quality"] = sample.quality.path
    readers = {}
    for kind, path in paths.items():
        bands = {"x": sample.mask_channels, "y": (0,)}.get(kind)
        reader = readers[kind] = StackReader(str(path), bands)
        if reader.shape_yx != sample.grid.shape_yx:
            msg = f"{path}: has {reader.shape_yx} pixels, meta.json says {sample.grid.shape_yx}; run Step 2 again"
            raise RasterError(msg)
    return readers


def _valid(mask: StackReader, window: Window, channels: int) -> np.ndarray:
    """Where all mask channels are 1, bool (y, x)."""
    valid = np.empty((channels, *window.shape_yx), np.float32)
    mask.read(window, valid)
    result: np.ndarray = valid[0] > 0 if channels == 1 else np.all(valid > 0, axis=0)
    return result


def _label_codes(
    labels: StackReader | None, window: Window, settings: ScoreSettings, sample: Sample
) -> np.ndarray:
    """Twice the label's column, (y, x)."""
    if labels is None or sample.labels is None:
        return np.zeros(window.shape_yx, np.uint8)
    found = np.empty((1, *window.shape_yx), sample.labels.dtype)
    labels.read(window, found)
    values = found[0]
    if values.dtype.kind == "f":
        values = np.isnan(values) if sample.labels.ignore_index is None else values.astype(np.uint16)
    result: np.ndarray = np.take(
        2 * settings.columns, values.astype(np.uint8) if values.dtype == bool else values
    )
    return result


def _condition_codes(
    quality: StackReader | None, window: Window, settings: ScoreSettings
) -> np.ndarray | None:
    """Twice the number of the condition, (y, x); None where ``q.tif`` is not read."""
    if quality is None:
        return None
    found = np.empty((2, *window.shape_yx), np.uint8)
    quality.read(window, found)
    codes: np.ndarray = np.take(2 * settings.numbers, found[0])
    if settings.cloud_probability is not None and "cloud" in settings.by_class:
        is_cloud = (found[1] >= settings.cloud_probability) & (found[1] != NO_QUALITY)
        codes[is_cloud] = 2 * settings.by_class["cloud"]
    return codes


def _score_patch(table: PatchTable, place: int, codes: np.ndarray, settings: ScoreSettings) -> int:
    """Score a patch by its labels; return the number of valid pixels."""
    pixels = settings.size**2
    counts = np.bincount(codes.ravel(), minlength=2 * (settings.width + 1)).reshape(-1, 2)
    valid = int(counts[:, 1].sum())
    table.valid[place] = valid / pixels
    if settings.has_labels:
        labelled = counts[: settings.width].sum(axis=1)
        table.counts[place] = labelled[: len(table.labels)]
        # Padding has no label either.
        table.ignore[place] = (pixels - int(labelled.sum())) / pixels
        for name, columns in settings.by_label.items():
            table.share(name)[place] = int(counts[columns, 1].sum()) / valid if valid else 0.0
    return valid


def _screen_patch(
    table: PatchTable, place: int, codes: np.ndarray, settings: ScoreSettings, valid: int
) -> None:
    """Score a patch by ``q.tif``."""
    counts = np.bincount(codes.ravel(), minlength=2 * (len(settings.by_class) + 1))
    for name, number in settings.by_class.items():
        table.share(name)[place] = int(counts[2 * number + 1]) / valid if valid else 0.0


def apply_filters(table: PatchTable, quality: QualityConfig) -> None:
    """Drop the patches that are not worth training on."""
    table.drop(table.valid < quality.min_valid, "min_valid")
    table.drop(table.ignore > quality.max_ignore, "max_ignore")
    for name in CONDITIONS:
        table.drop(table.share(name) > quality.limit(name), f"max_{name}")
    if quality.max_missing_angles is not None:
        table.drop(table.missing_angles > quality.max_missing_angles, "missing_angles")
    table.drop((table.counts > 0).sum(axis=1) < quality.min_classes, "min_classes")
