"""The order of an epoch: shuffled from a seed, divided among processes and workers. Numbers of items, never data.

An order is a function of seed, epoch and the number of items, and the same on every machine. So a buffer of any size
takes no memory for data, and resuming in the middle of an epoch reads nothing twice.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from s2pipe.runtime.draws import mix, text_seed, unit


@dataclass(frozen=True)
class Shuffle:
    """How items are mixed."""

    seed: int | None
    """Seed; None keeps the order of the shards."""
    buffer: int
    """How many items are mixed with one another across shards."""

    def order(self, units: np.ndarray, epoch: int) -> np.ndarray:
        """Numbers of all items in the order of an epoch, int64.

        Parameters
        ----------
        units : ndarray
            Shard (or scene) of each item; the items of one follow one another.
        epoch : int
            Number of the epoch.
        """
        items = np.arange(len(units), dtype=np.int64)
        if self.seed is None or not len(items):
            return items
        draw = np.uint64(text_seed(f"{self.seed}/{epoch}"))
        number = mix(items.astype(np.uint64) ^ draw)
        # Shards in random order, and the items of each.
        stream = np.lexsort((number, mix(units.astype(np.uint64) ^ ~draw)))
        # Then each item may fall back by up to the size of the buffer, as out of a buffer that is drawn from.
        late = unit(mix(number[stream])) * self.buffer
        mixed: np.ndarray = stream[np.argsort(items + late, kind="stable")]
        return mixed


def share_of(order: np.ndarray, share: tuple[int, int], *, uneven: bool = False) -> np.ndarray:
    """What one of several processes gets.

    All get equally many, and fewer than there are processes are left over; or, if ``uneven``, nothing is left over.
    """
    rank, world = share
    whole = len(order) if uneven else len(order) - len(order) % world
    return order[:whole][rank::world]


def worker_part(order: np.ndarray, worker: tuple[int, int]) -> np.ndarray:
    """What one of several workers of a process reads; nothing is left over."""
    number, workers = worker
    return order[number::workers]
