"""Writing shards: windows are read straight into the place that they have in their archive, in parallel.

A shard appears by rename when it is complete. What is known of it is kept in ``.progress`` until ``shards.json`` is
written, so that an interrupted run resumes at the next shard.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict, deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from s2pipe.errors import RasterError
from s2pipe.patches.missing_angles import settle
from s2pipe.patches.missing_labels import settle_labels
from s2pipe.patches.shards.documents import ANGLES_VALID, DATE_MASK, Y_VALID
from s2pipe.patches.shards.layout import ShardPlan
from s2pipe.patches.shards.records import (
    ShardRecord,
    finish_shard,
    known_record,
    new_part,
    progress_path,
    record_of,
)
from s2pipe.patches.shards.tarball import ItemBuffer, archive_size, item_size
from s2pipe.raster.grid import Window
from s2pipe.raster.reader import StackReader
from s2pipe.runtime.files import named_errors
from s2pipe.runtime.hashing import bytes_fingerprint
from s2pipe.runtime.locks import locked, remove_held

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from s2pipe.dataset.samples import Sample
    from s2pipe.patches.shards.documents import Dataset

SHARD_VERSION = 3
"""Raised when the same inputs and configuration would give other bytes than before."""
_OPEN_SAMPLES = 32
"""Samples of Step 2 that a thread keeps open: a chunk is of one scene, but a time stack of many."""


@dataclass(frozen=True)
class Contents:
    """The items of a shard: where each begins, and its JSON."""

    plan: ShardPlan
    """The shard."""
    documents: list[bytes]
    """JSON of each item."""
    offsets: np.ndarray
    """First byte of each item, and the end of the last, int64."""

    @classmethod
    def of(cls, dataset: Dataset, plan: ShardPlan) -> Contents:
        """Work out where the items of a shard lie."""
        groups = plan.groups.tolist()
        documents = [dataset.json(group) for group in groups]
        lengths = dataset.groups.lengths(plan.groups).tolist()
        members = {dates: dataset.members(dates) for dates in set(lengths)}
        sizes = [item_size(members[n], len(d)) for n, d in zip(lengths, documents, strict=True)]
        return cls(plan, documents, np.cumsum([0, *sizes], dtype=np.int64))

    def fingerprint(self, dataset: Dataset) -> str:
        """Identify everything that the bytes of the shard depend on."""
        config = dataset.config
        parts = [f"{SHARD_VERSION}/{config.shards.dtype}/{config.shards.keep_nan}/{config.max_t}".encode()]
        for group, document in zip(self.plan.groups.tolist(), self.documents, strict=True):
            parts.append(document)
            scenes = dataset.table.scene[dataset.groups.members(group)].tolist()
            parts += [dataset.samples[scene].fingerprint.encode() for scene in scenes]
        return bytes_fingerprint(b"".join(parts))


class ShardWriter:
    """Writes the shards of a dataset.

    Parameters
    ----------
    dataset : Dataset
        What to write.
    workers : int
        Threads; the bytes do not depend on it.
    known : mapping
        Finished shards of an earlier run by path.
    wait : bool
        Wait for another process that is at one of the shards; otherwise that is an error.
    """

    def __init__(
        self, dataset: Dataset, workers: int, known: Mapping[str, ShardRecord], *, wait: bool = False
    ) -> None:
        self._dataset = dataset
        self._out_dir = dataset.config.out_dir
        self._workers = workers
        self._known = known
        self._wait = wait
        self._claims: list[ExitStack] = []
        self._local = threading.local()
        self.written = 0
        """Shards written now, as opposed to found complete."""
        self.offsets: dict[str, np.ndarray] = {}
        """First byte of each item of each shard, and the end of its last."""

    def write(self, plans: Sequence[ShardPlan], report: Callable[[ShardRecord], None]) -> list[ShardRecord]:
        """Write those shards that are not there yet, in order; return what is known of all.

        Parameters
        ----------
        plans : sequence of ShardPlan
            The shards.
        report : callable
            Told of each finished shard.
        """
        records: list[ShardRecord] = []
        # Two shards at a time: the next one is read while the last chunks and the checksum of this one are done.
        running: deque[_Running] = deque()
        with ThreadPoolExecutor(self._workers, "s2pipe-shard") as pool:
            try:
                for plan in plans:
                    running.append(self._start(plan, pool))
                    while len(running) > 2:
                        records.append(running.popleft().wait())
                        report(records[-1])
                while running:
                    records.append(running.popleft().wait())
                    report(records[-1])
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)
                raise
            finally:
                for claim in self._claims:
                    claim.close()
        return records

    def _start(self, plan: ShardPlan, pool: ThreadPoolExecutor) -> _Running:
        dataset = self._dataset
        contents = Contents.of(dataset, plan)
        self.offsets[plan.path] = contents.offsets
        fingerprint = contents.fingerprint(dataset)
        size = archive_size(int(contents.offsets[-1]))
        record = record_of(plan, dataset.table, dataset.groups, (size, fingerprint))
        claim = self._claim(plan)
        known = known_record(self._out_dir, self._known, record)
        if known is not None:
            claim.close()
            return _Running(known, [], None)
        self.written += 1
        part = new_part(self._out_dir, plan.path)
        os.truncate(part, size)
        chunks = self._chunks(plan)
        futures = [pool.submit(self._write_chunk, part, contents, chunk) for chunk in chunks]
        # Queued behind the chunks; whoever comes to it waits for those still being written.
        return _Running(record, futures, pool.submit(self._finish, part, record, futures, claim))

    def _claim(self, plan: ShardPlan) -> ExitStack:
        """Hold a shard: a job of an array that was counted otherwise may be at it, or a worker that was given up."""
        path = progress_path(self._out_dir, plan.path).owned().with_suffix(".lock")
        claim = ExitStack()
        claim.enter_context(locked(path, wait=self._wait))
        claim.callback(remove_held, path)
        self._claims.append(claim)
        return claim

    def _chunks(self, plan: ShardPlan) -> list[np.ndarray]:
        """Places in the shard, put together so that neighbouring windows are read one after the other."""
        dataset, table = self._dataset, self._dataset.table
        first = dataset.groups.first[plan.groups]
        order = np.lexsort((table.col[first], table.row[first], table.scene[first]))
        if dataset.config.group == "time_stack":
            return np.array_split(order, len(order))
        edges = np.flatnonzero(np.diff(table.scene[first][order])) + 1
        return [
            part[start : start + 32] for part in np.split(order, edges) for start in range(0, len(part), 32)
        ]

    def _write_chunk(self, part: Path, contents: Contents, places: np.ndarray) -> None:
        dataset = self._dataset
        with named_errors(part), part.open("r+b", buffering=0) as stream:
            buffer: ItemBuffer | None = None
            for place in places.tolist():
                group = int(contents.plan.groups[place])
                patches = dataset.groups.members(group)
                members = dataset.members(len(patches))
                document = contents.documents[place]
                if buffer is None or not buffer.fits(members, len(document)):
                    buffer = ItemBuffer(members, len(document))
                self._fill(buffer, patches)
                stream.seek(int(contents.offsets[place]))
                _write_all(stream, buffer.finish(dataset.key(group), document))

    def _fill(self, buffer: ItemBuffer, patches: np.ndarray) -> None:
        table, stacked = self._dataset.table, self._dataset.config.group == "time_stack"
        keep_nan = self._dataset.config.shards.keep_nan
        for time, patch in enumerate(patches.tolist()):
            sample = self._dataset.samples[int(table.scene[patch])]
            window = sample.target.from_reference(int(table.row[patch]), int(table.col[patch]))
            of_date = {k: array[time] if stacked else array for k, array in buffer.arrays.items()}
            for suffix, reader in self._readers(sample).items():
                read_padded(reader, window, of_date[suffix], fill_value(sample, suffix))
            if ANGLES_VALID in of_date:
                of_date[ANGLES_VALID][:] = settle(
                    of_date["angles.npy"], sample.angle_bands, keep_nan=keep_nan
                )
        if stacked:
            for suffix, array in buffer.arrays.items():
                array[len(patches) :] = fill_value(self._dataset.samples[0], suffix)
            buffer.arrays[DATE_MASK][: len(patches)] = 1
        if Y_VALID in buffer.arrays:
            y, no_value = buffer.arrays["y.npy"], fill_value(self._dataset.samples[0], "y.npy")
            buffer.arrays[Y_VALID][:] = settle_labels(y, no_value, keep_nan=keep_nan)

    def _readers(self, sample: Sample) -> dict[str, StackReader]:
        """Rasters of a sample, opened by each thread for itself; the least recently used are closed."""
        opened: OrderedDict[str, dict[str, StackReader]] | None = getattr(self._local, "opened", None)
        if opened is None:
            opened = self._local.opened = OrderedDict()
        if sample.name not in opened:
            paths = {"x.npy": sample.x_path, "y.npy": sample.y_path, "angles.npy": sample.angles_path}
            opened[sample.name] = {
                suffix: open_raster(path, sample) for suffix, path in paths.items() if path is not None
            }
            if len(opened) > _OPEN_SAMPLES:
                for reader in opened.popitem(last=False)[1].values():
                    reader.close()
        opened.move_to_end(sample.name)
        return opened[sample.name]

    def _finish(
        self, part: Path, record: ShardRecord, futures: list[Future[None]], claim: ExitStack
    ) -> ShardRecord:
        for future in futures:
            future.result()
        with claim:
            return finish_shard(self._out_dir, part, record)


@dataclass(frozen=True)
class _Running:
    record: ShardRecord
    chunks: list[Future[None]]
    end: Future[ShardRecord] | None

    def wait(self) -> ShardRecord:
        """Wait for the shard, raising the first error of a chunk."""
        for chunk in self.chunks:
            chunk.result()
        return self.record if self.end is None else self.end.result()


def open_raster(path: Path, sample: Sample) -> StackReader:
    """Open a raster of a sample.

    Raises
    ------
    RasterError
        It is damaged, or has not as many pixels as ``meta.json`` says.
    """
    reader = StackReader(str(path))
    if reader.shape_yx != sample.grid.shape_yx:
        msg = (
            f"{path}: has {reader.shape_yx} pixels where x.tif has {sample.grid.shape_yx}; patches need all rasters on "
            "the target grid (for angles: angles.grid target)"
        )
        raise RasterError(msg)
    return reader


def fill_value(sample: Sample, suffix: str) -> float | np.ndarray:
    """Value of pixels outside the raster, and of missing dates; of named bands, (band, 1, 1)."""
    if suffix != "y.npy" or sample.labels is None:
        return 0
    if sample.labels.name is None:
        return sample.labels.no_value
    return np.array([band.no_value for band in sample.label_bands]).reshape(-1, 1, 1)


def read_padded(
    reader: StackReader, window: tuple[int, int], out: np.ndarray, fill: float | np.ndarray
) -> None:
    """Read a window into ``out``, (y, x) or (band, y, x), filling up what lies outside the raster."""
    bands = out[np.newaxis] if out.ndim == 2 else out
    row, col = (max(start, 0) for start in window)
    top, left = row - window[0], col - window[1]
    height = min(bands.shape[1] - top, reader.shape_yx[0] - row)
    width = min(bands.shape[2] - left, reader.shape_yx[1] - col)
    inside = Window(row, col, height, width)
    if (height, width) == bands.shape[1:] and bands.dtype != np.float16:
        reader.read(inside, bands)
        return
    read = np.empty((bands.shape[0], height, width), np.float32 if bands.dtype.kind == "f" else bands.dtype)
    reader.read(inside, read)
    bands[...] = fill
    bands[:, top : top + height, left : left + width] = read


def _write_all(stream: Any, data: memoryview) -> None:
    """Write everything: an unbuffered file may take less than it is given."""
    while len(data):
        data = data[stream.write(data) :]
