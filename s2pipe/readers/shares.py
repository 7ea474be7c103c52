"""What each process of distributed training gets: equal shares, or an error with the numbers that would fit.

Processes that read unequally many batches wait for each other at the end of an epoch, some of them for ever.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from s2pipe.errors import ConfigError, Fault
from s2pipe.patches.shards.publish import checked_shards
from s2pipe.readers.items import split_code
from s2pipe.readers.storage import store_of

if TYPE_CHECKING:
    from pathlib import Path

_MOST_FITTING = 12


def check_share(items: int, share: tuple[int, int], *, drops: bool, where: str) -> None:
    """Refuse shares of single items that are empty, or that always leave out the same items.

    Parameters
    ----------
    items : int
        Items of the split.
    share : (int, int)
        Rank and number of processes.
    drops : bool
        Others are left out in every epoch.
    where : str
        What messages call the split.

    Raises
    ------
    ConfigError
        With the numbers of processes that fit.
    """
    world = share[1]
    left = items % world
    if items < world:
        message = (
            f"{items} item(s) cannot be divided among {world} processes; take at most {items} process(es)"
        )
    elif left and not drops:
        message = (
            f"{items} items are {items // world} for each of {world} processes, and the last {left} would never be "
            f"read; numbers of processes that fit: {_fitting(items)}. uneven=True reads all, with unequal shares (for "
            "evaluation); with shuffle, others are left out in every epoch"
        )
    else:
        return
    raise ConfigError(where, [Fault("share", message)])


def check_shares(path: str | Path, split: str, processes: int, workers: int = 1) -> None:
    """Refuse shards that do not divide into equal shares, for loaders that hand out whole shards, such as webdataset.

    :class:`s2pipe.torch.PatchDataset` divides items and does not need it.

    Parameters
    ----------
    path : str or Path
        ``shards.json``, local or at an address.
    split : str
        ``train``, ``val`` or ``test``.
    processes, workers : int
        Processes, and loading workers of each.

    Raises
    ------
    ConfigError
        With the numbers that fit these shards, and the configuration of shards that fit these numbers.
    """
    split_code(split, str(path))
    store, name = store_of(path)
    document = checked_shards(store.read(name), store.name_of(name))
    counts = [record["count"] for record in document["shards"] if record["split"] == split]
    parts = processes * workers
    faults = []
    if not counts or len(counts) % parts:
        faults.append(
            Fault(
                "shards",
                f"{len(counts)} shard(s) of {split} do not divide among {processes} process(es) with {workers} "
                f"worker(s) each; make shards with shards.multiple_of: {parts}, or take a product of processes and "
                f"workers that fits: {_fitting(len(counts))}",
            )
        )
    if len(set(counts)) > 1:
        faults.append(
            Fault(
                "shards",
                f"those of {split} hold {min(counts)} to {max(counts)} items; make shards with "
                "shards.equal_counts: true",
            )
        )
    if faults:
        raise ConfigError(str(path), faults)


def _fitting(count: int) -> str:
    """Numbers that divide another one, the greatest first."""
    found = [number for number in range(count, 0, -1) if count % number == 0]
    return ", ".join(map(str, found[-_MOST_FITTING:])) or "none"
