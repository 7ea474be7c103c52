"""PyTorch datasets over what Step 3 wrote, here or at an address, or straight over the samples of Step 2.

Only this module imports PyTorch; ``import s2pipe`` does not.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from s2pipe.errors import ConfigError, DependencyError, Fault, ManifestError

try:
    import torch
    from torch.utils.data import DataLoader, Dataset, IterableDataset, get_worker_info
except ImportError as error:
    msg = (
        f"PyTorch cannot be imported: {error}\ns2pipe.torch needs it: see pytorch.org for the build of your machine, "
        "or read the shards with webdataset, which does without."
    )
    raise DependencyError(msg) from error

from s2pipe.readers.opening import open_items
from s2pipe.readers.options import Reading
from s2pipe.readers.order import Shuffle, share_of, worker_part
from s2pipe.readers.shares import check_share

if TYPE_CHECKING:
    from pathlib import Path

_MOST_WORKERS = 1023
_READ_AHEAD = 8
"""Items that are asked for together: their parts of remote shards are fetched side by side."""
_MASKS = ("angles_valid", "y_valid", "date_mask")


class PatchMap(Dataset):  # type: ignore[misc]  # Any without PyTorch
    """Items by number, for samplers: weighted, distributed, random.

    Items are dictionaries that PyTorch's default collation makes batches of: ``key`` (text), ``x`` and, where there
    are any, ``y`` (int64; float32 with ``y_valid`` where a channel is a quantity), ``angles`` (float32),
    ``angles_valid`` and, of time stacks, ``date_mask`` (masks are bool) as tensors, and ``json`` with the same keys in
    every item and no null.

    Parameters
    ----------
    path : str or Path
        ``shards.json`` of Step 3, on disk or at an address that fsspec knows (``https://``, ``s3://``), with
        ``patches.parquet`` beside it; or the index of Step 2, whose windows are then cut on the fly, unfiltered.
    split : str
        ``train``, ``val`` or ``test``. For an index of Step 2 it takes ``split_plan``; without one, all windows are
        there.
    **reading
        Options by name, see :class:`s2pipe.readers.options.Reading`: ``transform``, ``keep_nan``, ``ragged``,
        ``storage_options``, ``windows``, ``edges``, ``split_plan``.

    Raises
    ------
    ManifestError
        The file is neither, is damaged, does not fit the database, or angles of the samples are on a grid of their
        own (``angles.grid: native``), where the same window would show other ground.
    ConfigError
        There is no such split, or time stacks differ in length (``max_t: null``) without ``ragged=True``.
    """

    def __init__(self, path: str | Path, split: str = "train", **reading: Any) -> None:
        self._reading = Reading(**reading)
        self._items = open_items(path, split, self._reading)
        self.about: dict[str, Any] = self._items.about
        """Bands, unit, normalization, labels, class weights: what ``shards.json`` says of all samples."""

    def __len__(self) -> int:
        return len(self._items.units)

    def __getitem__(self, number: int) -> Any:
        if not -len(self) <= number < len(self):
            msg = f"expected a number below {len(self)}, got {number}"
            raise IndexError(msg)
        return self.__getitems__([number])[0]

    def __getitems__(self, numbers: Sequence[int]) -> list[Any]:
        """Read several items at once; loaders ask for the items of a batch this way."""
        places = [int(number) % len(self) for number in numbers]
        return [_finished(item, self._reading) for item in self._items.read(places)]

    def column(self, name: str) -> np.ndarray:
        """Return a column of the patch database, one value an item: for the weights of a sampler.

        Parameters
        ----------
        name : str
            ``valid_fraction``, ``class_6``, ``tile_id`` and so on (docs/patches.md). Of a time stack, the first date's.
        """
        return self._items.column(name)


class PatchDataset(IterableDataset):  # type: ignore[misc]  # Any without PyTorch
    """Items one after the other, shuffled anew in every epoch; the same items as those of :class:`PatchMap`.

    Parameters
    ----------
    path, split, **reading
        As for :class:`PatchMap`.
    shuffle : bool or int
        Seed of the order, which changes with every epoch: of the shards, of the items in each, and across shards as
        far as ``buffer`` allows. False keeps the order of the shards.
    buffer : int
        How many items are mixed with one another across shards. It takes no memory: what is mixed are numbers.
    share : (int, int), optional
        Rank and number of processes; by default those of ``torch.distributed`` where it is initialised, else all is
        one share. All get equally many items; with ``shuffle``, up to ``number - 1`` items are left over, others in
        every epoch, and without, items that do not divide are refused.
    uneven : bool
        Read all items, in shares that differ by one: for evaluation, where no process waits for another.

    Raises
    ------
    ManifestError, ConfigError
        As for :class:`PatchMap`, and where ``share`` is not what ``torch.distributed`` runs as or its items do not
        divide: here if it is known by now, else by ``len`` and in the first pass.

    Notes
    -----
    The items of a process are divided among the workers of its ``DataLoader``. Epochs count up with every pass, with
    persistent workers and without; :meth:`set_epoch` chooses one. The iterator and the dataset have ``state_dict``
    and ``load_state_dict``: torchdata's ``StatefulDataLoader`` resumes in the middle of an epoch, workers included.
    """

    def __init__(
        self,
        path: str | Path,
        split: str = "train",
        *,
        shuffle: bool | int = False,
        buffer: int = 2000,
        share: tuple[int, int] | None = None,
        uneven: bool = False,
        **reading: Any,
    ) -> None:
        if (share is not None and not 0 <= share[0] < share[1]) or buffer < 0:
            msg = f"expected 0 <= rank < number of processes and buffer >= 0, got {share} and {buffer}"
            raise ValueError(msg)
        self._reading = Reading(**reading)
        self._items = open_items(path, split, self._reading)
        self._shuffle = Shuffle(None if shuffle is False else int(shuffle), buffer)
        self._given_share = share
        self._seen_share: tuple[int, int] | None = None
        self._uneven = uneven
        self._where = f"{path}, {split}"
        self._epochs = _Epochs()
        self._resume: dict[str, Any] | None = None
        self._pass: _Pass | None = None
        self.about: dict[str, Any] = self._items.about
        """Bands, unit, normalization, labels, class weights: what ``shards.json`` says of all samples."""
        self._share()  # refused now, where it is known already

    def _share(self) -> tuple[int, int]:
        """Rank and number of processes, once they are known to fit the items and what runs."""
        share, running = self._given_share, _running_share()
        if share is not None and running is not None and share != running:
            message = (
                f"is {share}, and torch.distributed runs as {running}; leave share out, or take what runs"
            )
            raise ConfigError(self._where, [Fault("share", message)])
        share = share or running or self._seen_share or (0, 1)
        if not self._uneven:
            check_share(
                len(self._items.units), share, drops=self._shuffle.seed is not None, where=self._where
            )
        return share

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the next pass; later passes count up from it."""
        self._epochs.set_next(epoch)

    def __len__(self) -> int:
        """Number of items of this process."""
        rank, world = self._share()
        count = len(self._items.units)
        return len(range(rank, count if self._uneven else count - count % world, world))

    def __iter__(self) -> _Pass:
        self._pass = _Pass(self, self._epochs.begin())
        if self._resume is not None:
            self._pass.load_state_dict(self._resume)
            self._resume = None
        return self._pass

    def __getstate__(self) -> dict[str, Any]:
        # Workers that are spawned do not see torch.distributed.
        return {**vars(self), "_pass": None, "_seen_share": _running_share() or self._seen_share}

    def state_dict(self) -> dict[str, Any]:
        """Return the position of this process's pass, to resume from; at its end, the start of the next one."""
        if self._resume is not None:
            return dict(self._resume)
        if self._pass is None or self._pass.is_done:
            return {"epoch": self._epochs.next, "position": 0, "order": self.order_id}
        return self._pass.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume the next pass from a saved position.

        Raises
        ------
        ManifestError
            It was saved from other items, or with another order.
        """
        self._check(state)
        self._resume = dict(state)

    @property
    def order_id(self) -> str:
        """What an order depends on, beside the epoch and the workers."""
        return f"{self._items.identity}/{len(self._items.units)}/{self._shuffle}/{self._share()}"

    def numbers(self, epoch: int) -> np.ndarray:
        """Numbers of the items that this process, or this worker, reads in an epoch, in order."""
        worker = get_worker_info()
        order = share_of(self._shuffle.order(self._items.units, epoch), self._share(), uneven=self._uneven)
        return order if worker is None else worker_part(order, (worker.id, worker.num_workers))

    def read(self, numbers: np.ndarray) -> list[Any]:
        """Read items by number."""
        return [_finished(item, self._reading) for item in self._items.read(numbers.tolist())]

    def resumed(self, state: dict[str, Any]) -> tuple[int, int]:
        """Return epoch and position of a state, after checking it; later passes count up from that epoch."""
        self._check(state)
        self._epochs.note(state["epoch"])
        return state["epoch"], state["position"]

    def _check(self, state: dict[str, Any]) -> None:
        if state["order"] != self.order_id:
            message = (
                f"is of {state['order']}, this dataset is {self.order_id}; take the same shards and options"
            )
            msg = "state of a PatchDataset"
            raise ManifestError(msg, [Fault("order", message)])


class _Pass(Iterator[Any]):
    """One pass over the items of a process or worker."""

    def __init__(self, dataset: PatchDataset, epoch: int) -> None:
        self._dataset = dataset
        self._start(epoch, 0)

    def _start(self, epoch: int, position: int) -> None:
        self._epoch, self._position = epoch, position
        self._numbers = self._dataset.numbers(epoch)
        self._read: list[Any] = []

    @property
    def is_done(self) -> bool:
        return self._position >= len(self._numbers)

    def __next__(self) -> Any:
        if self.is_done:
            raise StopIteration
        if not self._read:
            ahead = self._numbers[self._position : self._position + _READ_AHEAD]
            self._read = self._dataset.read(ahead)[::-1]
        self._position += 1
        return self._read.pop()

    def state_dict(self) -> dict[str, Any]:
        return {"epoch": self._epoch, "position": self._position, "order": self._dataset.order_id}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._start(*self._dataset.resumed(state))


class _Epochs:
    """Counts passes, in memory that the workers share: theirs are copies of the dataset, which end with an epoch.

    A slot for the main process and one for each worker hold ``tag << 32 | epoch + 1`` of its last pass. Workers of one
    pass have the same tag, so that they agree on the epoch, whoever comes first; each slot is written by one process.
    """

    def __init__(self) -> None:
        self._slots = torch.zeros(_MOST_WORKERS + 1, dtype=torch.int64).share_memory_()
        self._passes = 0
        """Passes of this process."""

    @property
    def next(self) -> int:
        """Epoch of the next pass."""
        return int((self._slots & 0xFFFFFFFF).max())

    def set_next(self, epoch: int) -> None:
        """Choose the epoch of the next pass."""
        self._slots[:] = epoch

    def note(self, epoch: int) -> None:
        """Put the pass of this process into another epoch."""
        slot, tag = self._own()
        if slot == 0:
            self.set_next(epoch + 1)
        else:
            self._slots[slot] = tag << 32 | (epoch + 1)

    def begin(self) -> int:
        """Return the epoch of a new pass."""
        self._passes += 1
        slot, tag = self._own()
        slots = self._slots.clone()
        stored, before = slots & 0xFFFFFFFF, int(slots[slot])
        # Loaders that are seeded alike repeat a tag: then only an epoch after this worker's own last one counts.
        later = stored[(slots >> 32 == tag) & (stored > (before & 0xFFFFFFFF if before >> 32 == tag else 0))]
        epoch = int(later.max()) - 1 if len(later) and slot else int(stored.max())
        self._slots[slot] = tag << 32 | (epoch + 1)
        return epoch

    def _own(self) -> tuple[int, int]:
        """Slot and tag of the present pass of this process."""
        worker = get_worker_info()
        if worker is None:
            return 0, 0
        if worker.id >= _MOST_WORKERS:
            msg = f"expected at most {_MOST_WORKERS} workers, got {worker.num_workers}"
            raise ValueError(msg)
        common = f"{worker.seed - worker.id}/{self._passes}"
        return worker.id + 1, zlib.crc32(common.encode()) & 0x3FFFFFFF | 1


def batches(dataset: PatchMap | PatchDataset, batch_size: int, num_workers: int = 0) -> DataLoader[Any]:
    """Return a loader whose workers live on between epochs, with pinned memory where there is a GPU to copy it to.

    Parameters
    ----------
    dataset : PatchMap or PatchDataset
        What to read, in its order.
    batch_size, num_workers : int
        Items of a batch; loading workers.
    """
    return DataLoader(
        dataset,
        batch_size,
        num_workers=num_workers,
        persistent_workers=num_workers > 0,
        pin_memory=torch.cuda.is_available(),
    )


def _running_share() -> tuple[int, int] | None:
    """Rank and number of the processes of ``torch.distributed``; None where it does not run."""
    distributed = torch.distributed
    if not (distributed.is_available() and distributed.is_initialized()):
        return None
    return distributed.get_rank(), distributed.get_world_size()


def _finished(item: dict[str, Any], reading: Reading) -> Any:
    """An item as tensors, transformed."""
    tensors = {name: _tensor(value, is_mask=name in _MASKS) for name, value in item.items()}
    return tensors if reading.transform is None else reading.transform(tensors)


def _tensor(value: Any, *, is_mask: bool) -> Any:
    """Arrays as tensors; everything else as it is."""
    if not isinstance(value, np.ndarray):
        return value
    if is_mask:
        return torch.from_numpy(value.astype(bool))
    # Loss functions want signed labels, and PyTorch has no uint16.
    return torch.from_numpy(value.astype(np.int64) if value.dtype.kind == "u" else value)
