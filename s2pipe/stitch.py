"""Predictions for overlapping patches back onto the raster that the patches were cut from, as a GeoTIFF.

    from s2pipe.stitch import Stitcher

    with Stitcher("prediction.tif", "out/processed/tile=T33UWQ/sensing=.../meta.json", channels=10) as stitcher:
        for batch in loader:
            stitcher.add_batch(batch["json"], model(batch["x"]).softmax(dim=1))

Memory holds some rows of blocks, never the raster: patches wait in a temporary file beside the output, or, where they
come from top to bottom, only until the rows above them are written.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from s2pipe.dataset.opening import sample_of
from s2pipe.raster.grid import Grid, TargetGrid, Window
from s2pipe.raster.writer import TiffSpec, TiffStorage, TiffWriter
from s2pipe.runtime.disk import full_disk_ends
from s2pipe.runtime.files import atomic_path

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType
    from typing import IO

_BLOCK_COLUMNS = 2048
_ITEM_KEYS = ("tile_id", "sensing_start_utc", "row", "col")


@dataclass(frozen=True)
class Stitching:
    """How predictions are put together."""

    output: Literal["classes", "mean"] = "classes"
    """classes: the label of the channel with the greatest weighted mean, the first of equals; mean: the weighted mean
    of each channel, float32."""
    edge: Literal["hann", "linear", "none"] = "hann"
    """How the weight of a patch falls towards its edges, where it sees least around a pixel; never to 0."""
    labels: Sequence[int] | None = None
    """Label of each channel, with output classes; None numbers them from 0."""
    band_names: Sequence[str] | None = None
    """Names of the bands, with output mean; None numbers them from 0."""
    nodata: float | None = None
    """Value of pixels that no patch covers; None takes the greatest of the pixel type for classes, NaN for means."""
    from_top: bool = False
    """Patches come from top to bottom, each no higher than the one before: nothing waits in a file."""
    storage: TiffStorage = field(default_factory=lambda: TiffStorage(predictor=1))
    """Compression and tiles of the GeoTIFF."""


class Stitcher:
    """Puts predictions for patches of one raster together.

    A pixel is the mean of all predictions for it, weighted by how far it lies from the edge of each patch. Sums are
    float64 and their order is that of the patches' places, so that the result does not depend on the order in which
    they were added. Where patches do not overlap, float32 predictions come out as they went in.

    Parameters
    ----------
    path : str or Path
        GeoTIFF to write. It appears when the ``with`` block ends without an error.
    on : Grid, str or Path
        The grid, or ``meta.json`` of the sample that the patches are from.
    channels : int
        Channels of a prediction: classes, or continuous values.
    **stitching
        Options by name, see :class:`Stitching`: ``output``, ``edge``, ``labels``, ``band_names``, ``nodata``,
        ``from_top``, ``storage``.

    Raises
    ------
    ManifestError
        ``on`` is no ``meta.json`` of Step 2.
    ValueError
        The options do not fit each other, or the number of channels.
    """

    def __init__(self, path: str | Path, on: Grid | str | Path, channels: int, **stitching: Any) -> None:
        self._options = Stitching(**stitching)
        self._path = Path(path)
        self._key: tuple[str, str] | None = None
        if isinstance(on, Grid):
            self._target = TargetGrid.whole(on)
        else:
            sample = sample_of(Path(on).absolute())
            self._target, self._key = sample.target, (sample.key.tile_id, sample.key.sensing_start_utc)
        self._grid = self._target.grid
        self._channels = channels
        self._spec, self._labels = _spec_of(self._grid, channels, self._options)
        self._weights: dict[int, np.ndarray] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Stitcher:
        with ExitStack() as stack:
            stack.enter_context(full_disk_ends(self._path.parent))
            temporary = stack.enter_context(atomic_path(self._path))
            self._writer = stack.enter_context(TiffWriter(temporary, self._spec))
            self._waiting = _Waiting(None if self._options.from_top else _spool(stack, self._path.parent))
            self._stack = stack.pop_all()
        self._written = 0
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._stack.pop_all() as stack:
            if kind is None:
                self._write_rows(self._grid.height)
            else:
                stack.__exit__(kind, error, trace)

    def add(self, row: int, col: int, prediction: Any, where: Any = None) -> None:
        """Add the prediction for one patch.

        Parameters
        ----------
        row, col : int
            Place of its first pixel in the raster. What lies over an edge of the raster, as in padded patches, is left
            out.
        prediction : array or tensor, (channel, y, x)
            Probabilities of classes, or continuous values. Pixels that are not finite in all channels do not count.
            With one channel, (y, x) will do.
        where : array or tensor, (y, x), optional
            False where the prediction does not count.

        Raises
        ------
        ValueError
            It does not fit the channels or the raster, or lies above what is written, with ``from_top``.
        """
        values = _array(prediction)
        values = values[np.newaxis] if values.ndim == 2 and self._channels == 1 else values
        if values.ndim != 3 or len(values) != self._channels or 0 in values.shape:
            msg = f"expected a prediction of shape ({self._channels}, y, x), got {values.shape}"
            raise ValueError(msg)
        height, width = values.shape[1:]
        if not (-height < row < self._grid.height and -width < col < self._grid.width):
            msg = (
                f"expected a patch that lies on the raster of {self._grid.height} x {self._grid.width} pixels, "
                f"got row {row}, column {col}"
            )
            raise ValueError(msg)
        known = np.isfinite(values).all(axis=0)
        if where is not None:
            known &= _array(where, bool)
        if self._options.from_top:
            self._go_down_to(int(row))
        values = np.where(known, values, np.float32(np.nan))
        self._waiting.add(int(row), int(col), values)

    def add_batch(self, items: Mapping[str, Any], predictions: Any) -> int:
        """Add the predictions for a batch, by the JSON of its items; those of other scenes are passed over.

        Rows and columns of items are counted in the grid of whole tiles, of which ``meta.json`` says what part its
        sample is.

        Parameters
        ----------
        items : mapping
            ``batch["json"]`` of a loader, or the JSON of one item with a batch of one.
        predictions : array or tensor, (item, channel, y, x)
            One prediction an item.

        Returns
        -------
        int
            How many of them are of this raster.

        Raises
        ------
        ValueError
            As for :meth:`add`, or the items and predictions differ in number.
        """
        if missing := [name for name in _ITEM_KEYS if name not in items]:
            msg = f"expected the JSON of patches, got one without {', '.join(missing)}; add time stacks with add()"
            raise ValueError(msg)
        tiles, times, rows, cols = (_listed(items[name]) for name in _ITEM_KEYS)
        values = _array(predictions)
        if len(values) != len(rows):
            msg = f"expected predictions for {len(rows)} item(s), got {len(values)}"
            raise ValueError(msg)
        added = 0
        for tile, time, row, col, value in zip(tiles, times, rows, cols, values, strict=True):
            if self._key in (None, (tile, time)):
                self.add(*self._target.from_reference(int(row), int(col)), value)
                added += 1
        return added

    def _go_down_to(self, row: int) -> None:
        """Write the rows that a patch at this row, and those after it, do not reach."""
        if row < self._waiting.lowest:
            msg = (
                f"expected patches from top to bottom, got row {row} after {self._waiting.lowest}; "
                "leave out from_top=True to add them in any order"
            )
            raise ValueError(msg)
        self._write_rows(row)

    def _write_rows(self, end: int) -> None:
        """Write rows of blocks that end at or above a row."""
        tile = self._spec.storage.tile_px
        while self._written < self._grid.height:
            height = min(tile, self._grid.height - self._written)
            if self._written + height > end:
                break
            step = max(_BLOCK_COLUMNS // tile, 1) * tile
            for col in range(0, self._grid.width, step):
                window = Window(self._written, col, height, min(step, self._grid.width - col))
                self._writer.write(window, self._block(window))
            self._written += height
            self._waiting.forget_above(self._written)

    def _block(self, window: Window) -> np.ndarray:
        """Pixels of a block."""
        sums = np.zeros((self._channels, *window.shape_yx))
        weight_sum = np.zeros(window.shape_yx)
        for place in self._waiting.over(window):
            values = self._waiting.read(place)
            weight = self._weight(place.height)[:, np.newaxis] * self._weight(place.width)
            inside, part = _common(place, window)
            values, weight = values[:, part[0], part[1]], weight[part]
            known = ~np.isnan(values[0])
            sums[:, inside[0], inside[1]] += np.where(known, values * weight, 0.0)
            weight_sum[inside] += np.where(known, weight, 0.0)
        covered = weight_sum > 0
        if self._options.output == "classes":
            result = self._labels[sums.argmax(axis=0)][np.newaxis]
        else:
            result = sums / np.where(covered, weight_sum, 1.0)
        result = result.astype(self._spec.dtype)
        result[:, ~covered] = self._spec.nodata
        return np.ascontiguousarray(result)

    def _weight(self, size: int) -> np.ndarray:
        """Weights along one side of a patch."""
        if size not in self._weights:
            self._weights[size] = edge_weights(size, self._options.edge)
        return self._weights[size]


def edge_weights(size: int, edge: str) -> np.ndarray:
    """Return the weights of the pixels along one side of a patch, float64, all above 0.

    Parameters
    ----------
    size : int
        Pixels of the side.
    edge : str
        ``hann`` (a squared sine), ``linear`` (a ramp to the middle) or ``none`` (1).
    """
    middles = (np.arange(size) + 0.5) / size
    # The mirrored half is copied: sines differ in their last digits.
    nearest = np.minimum(middles, middles[::-1])
    if edge == "none":
        return np.ones(size)
    weights: np.ndarray = 2 * nearest if edge == "linear" else np.sin(np.pi * nearest) ** 2
    return weights


class _Place(NamedTuple):
    """A patch that waits; places sort by where they are, and then by content."""

    row: int
    col: int
    digest: bytes
    height: int
    width: int
    number: int


class _Waiting:
    """Patches that are not all written yet, in a file or in memory."""

    def __init__(self, spool: IO[bytes] | None) -> None:
        self._spool = spool
        self._places: list[_Place] = []
        self._held: dict[int, np.ndarray] = {}
        self._is_sorted = True
        self._count = 0
        self._bytes = 0
        self._channels = 0
        self.lowest = -(1 << 31)
        """Row of the lowest patch."""

    def add(self, row: int, col: int, values: np.ndarray) -> None:
        self._channels, height, width = values.shape
        data = values.tobytes()
        if self._spool is None:
            number = self._count
            self._held[number] = values
        else:
            number = self._bytes
            self._spool.seek(number)
            self._spool.write(data)
        digest = hashlib.blake2b(data, digest_size=8).digest()
        self._places.append(_Place(row, col, digest, height, width, number))
        self._is_sorted = False
        self._count += 1
        self._bytes += len(data)
        self.lowest = max(self.lowest, row)

    def over(self, window: Window) -> list[_Place]:
        """Patches over a window, in the order of their places."""
        if not self._is_sorted:
            self._places.sort()
            self._is_sorted = True
        return [
            place
            for place in self._places
            if place.row < window.row_end
            and place.row + place.height > window.row
            and place.col < window.col_end
            and place.col + place.width > window.col
        ]

    def read(self, place: _Place) -> np.ndarray:
        if self._spool is None:
            return self._held[place.number]
        shape = (self._channels, place.height, place.width)
        self._spool.seek(place.number)
        data = self._spool.read(4 * self._channels * place.height * place.width)
        return np.frombuffer(data, np.float32).reshape(shape)

    def forget_above(self, row: int) -> None:
        """Drop the patches that end above a row."""
        ended = [place for place in self._places if place.row + place.height <= row]
        for place in ended:
            self._held.pop(place.number, None)
        self._places = [place for place in self._places if place.row + place.height > row]


def _spool(stack: ExitStack, directory: Path) -> IO[bytes]:
    """A file without a name beside the output, which has room for what is to come."""
    return stack.enter_context(tempfile.TemporaryFile(dir=directory, prefix=".s2pipe-"))


def _common(place: _Place, window: Window) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """What a patch and a window share, as seen from the window and from the patch."""
    top, bottom = max(place.row, window.row), min(place.row + place.height, window.row_end)
    left, right = max(place.col, window.col), min(place.col + place.width, window.col_end)
    return (
        (slice(top - window.row, bottom - window.row), slice(left - window.col, right - window.col)),
        (slice(top - place.row, bottom - place.row), slice(left - place.col, right - place.col)),
    )


def _spec_of(grid: Grid, channels: int, options: Stitching) -> tuple[TiffSpec, np.ndarray]:
    """The file to write, and the label of each channel."""
    if channels < 1 or options.edge not in ("hann", "linear", "none"):
        msg = f"expected channels >= 1 and edge hann, linear or none, got {channels} and {options.edge!r}"
        raise ValueError(msg)
    if options.output == "mean":
        names = tuple(options.band_names or map(str, range(channels)))
        if len(names) != channels or options.labels is not None:
            msg = f"expected {channels} band_names and no labels with output='mean', got {names} and {options.labels}"
            raise ValueError(msg)
        nodata = float("nan") if options.nodata is None else options.nodata
        return TiffSpec(grid, names, "float32", nodata, options.storage), np.empty(0, np.int64)
    labels = np.array(range(channels) if options.labels is None else options.labels, np.int64)
    dtype = "uint8" if labels.max(initial=0) < 255 and (options.nodata or 0) <= 255 else "uint16"
    most = np.iinfo(dtype).max
    none = most if options.nodata is None else options.nodata
    fits = labels.min(initial=0) >= 0 and labels.max(initial=0) <= most and 0 <= none <= most
    if options.output != "classes" or len(labels) != channels or none in labels or not fits or none % 1:
        msg = (
            f"expected output classes or mean and, for classes, {channels} label(s) of 0 to 65535 that are not nodata, "
            f"got {options.output!r}, {labels.tolist()} and {none}"
        )
        raise ValueError(msg)
    return TiffSpec(grid, ("label",), dtype, float(none), options.storage), labels


def _array(value: Any, dtype: type = np.float32) -> np.ndarray:
    """An array of a tensor on any device, or of anything that NumPy takes."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        value = value.float() if dtype is np.float32 else value  # NumPy has no bfloat16
    return np.asarray(value, dtype)


def _listed(value: Any) -> list[Any]:
    """Values of a batch, or of one item, as a list."""
    if isinstance(value, str | int):
        return [value]
    return list(value.tolist() if hasattr(value, "tolist") else value)
