"""PyTorch datasets over what Step 3 wrote, or straight over the samples of Step 2.

Only this module imports PyTorch; ``import s2pipe`` does not.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from s2pipe.errors import DependencyError, MissingInputError

try:
    import torch
    from torch.utils.data import IterableDataset, get_worker_info
except ImportError as error:
    msg = (
        f"PyTorch cannot be imported: {error}\ns2pipe.torch needs it: see pytorch.org for the build of your machine, "
        "or read the shards with webdataset, which does without."
    )
    raise DependencyError(msg) from error

from s2pipe.dataset.samples import Sample
from s2pipe.patches.candidates.windows import grid_windows
from s2pipe.patches.cfg import PatchConfig
from s2pipe.patches.readers import set_document, shard_items, window_items, window_samples
from s2pipe.runtime.paths import InsidePath

Transform = Callable[[dict[str, Any]], Any]


class PatchDataset(IterableDataset):  # type: ignore[misc]  # Any without PyTorch
    """Samples as dictionaries: ``key``, ``x`` and, where there are any, ``y``, ``angles`` (tensors), ``json`` (dict).

    Parameters
    ----------
    path : Path
        ``shards.json`` of Step 3; or the index of Step 2, whose windows are then cut on the fly, unfiltered and
        without a split: for looking around and for inference.
    split : str
        ``train``, ``val`` or ``test``; has no meaning for an index of Step 2.
    shuffle : bool or int
        Change the order of the shards (of the scenes) with every epoch, by this seed; the order inside a shard is
        random already.
    share : (int, int)
        Rank and number of processes: this one takes every so many-th shard. ``shards.equal_counts`` and
        ``multiple_of`` make all shares equal.
    transform : callable, optional
        Applied to every dictionary.
    windows : (int, int)
        For an index of Step 2: patch size and stride in pixels.

    Raises
    ------
    ManifestError
        The file is neither, a shard lies elsewhere, or angles of the samples are on a grid of their own
        (``angles.grid: native``), where the same window would show other ground.

    Notes
    -----
    The shards of a process are divided among the workers of its ``DataLoader``.
    """

    def __init__(
        self,
        path: str | Path,
        split: str = "train",
        *,
        shuffle: bool | int = False,
        share: tuple[int, int] = (0, 1),
        transform: Transform | None = None,
        windows: tuple[int, int] = (256, 256),
    ) -> None:
        self._path = Path(path)
        document = set_document(self._path)
        self._shuffle, self._transform, self._share = shuffle, transform, share
        self._epoch = 0
        size, stride = windows
        self._config = PatchConfig(self._path, self._path.parent, patch_size=size, stride=stride)
        self._units: Sequence[Any]
        if "shards" in document:
            records = [record for record in document["shards"] if record["split"] == split]
            self._units = [InsidePath(self._path.parent, record["path"]).path for record in records]
            self._counts = [record["count"] for record in records]
        else:
            self._units = window_samples(self._path)
            self._counts = [len(grid_windows(sample.grid, self._config)[0]) for sample in self._units]
        if not self._units:
            msg = f"{self._path}: there is no shard of {split}"
            raise MissingInputError(msg, [], "See summary.json beside it.")
        self.about: dict[str, Any] = {
            key: document[key] for key in document if key not in ("shards", "samples")
        }
        """Bands, unit, normalization, labels, class weights: what ``shards.json`` says of all samples."""

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of an epoch; without it every epoch has the first one's."""
        self._epoch = epoch

    def __len__(self) -> int:
        """Number of samples of this process."""
        rank, world = self._share
        return sum(self._counts[place] for place in self._order()[rank::world])

    def __iter__(self) -> Iterator[Any]:
        rank, world = self._share
        worker = get_worker_info()
        first, step = (0, 1) if worker is None else (worker.id, worker.num_workers)
        for place in self._order()[rank::world][first::step]:
            unit = self._units[place]
            read = window_items(unit, self._config) if isinstance(unit, Sample) else shard_items(unit)
            for arrays in read:
                item = {name: _tensor(value) for name, value in arrays.items()}
                yield item if self._transform is None else self._transform(item)

    def _order(self) -> list[int]:
        order = list(range(len(self._units)))
        if self._shuffle is not False:
            random.Random(f"{int(self._shuffle)}/{self._epoch}").shuffle(order)  # noqa: S311 - the order of an epoch
        return order


def _tensor(value: Any) -> Any:
    """Arrays as tensors; everything else as it is."""
    if not isinstance(value, np.ndarray):
        return value
    # Loss functions want signed labels, and PyTorch has no uint16.
    return torch.from_numpy(value.astype(np.int64) if value.dtype.kind == "u" else value)
