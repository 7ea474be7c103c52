"""The order of an epoch: a permutation from a seed, mixed within and across shards, in equal shares."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from s2pipe.readers.order import Shuffle, share_of, worker_part

UNITS = np.repeat(np.arange(10), 100)


@given(
    counts=st.lists(st.integers(1, 30), max_size=12),
    seed=st.none() | st.integers(0, 2**40),
    buffer=st.integers(0, 1000),
    epoch=st.integers(0, 1000),
)
def test_every_item_comes_once(counts: list[int], seed: int | None, buffer: int, epoch: int) -> None:
    units = np.repeat(np.arange(len(counts)), counts)
    order = Shuffle(seed, buffer).order(units, epoch)
    assert sorted(order.tolist()) == list(range(len(units)))
    np.testing.assert_array_equal(order, Shuffle(seed, buffer).order(units, epoch))


@given(total=st.integers(0, 200), world=st.integers(1, 9), workers=st.integers(1, 5))
def test_shares_are_equal_and_workers_leave_nothing_over(total: int, world: int, workers: int) -> None:
    order = np.arange(total)
    shares = [share_of(order, (rank, world)) for rank in range(world)]
    assert {len(share) for share in shares} == {total // world}
    parts = [worker_part(share, (number, workers)) for share in shares for number in range(workers)]
    taken = np.concatenate(parts)
    assert sorted(taken.tolist()) == list(range(total - total % world))


def test_without_a_seed_the_order_is_that_of_the_shards() -> None:
    np.testing.assert_array_equal(Shuffle(None, 100).order(UNITS, 3), np.arange(1000))


def test_epochs_and_seeds_differ() -> None:
    orders = [Shuffle(seed, 50).order(UNITS, epoch) for seed in (0, 1) for epoch in (0, 1, 2)]
    same = [(a == b).mean() for n, a in enumerate(orders) for b in orders[:n]]
    assert max(same) < 0.02


def test_a_buffer_mixes_as_far_as_it_reaches() -> None:
    plain = UNITS[Shuffle(1, 0).order(UNITS, 0)]
    assert np.count_nonzero(np.diff(plain)) == 9  # shard after shard, each of them shuffled
    assert not (np.diff(Shuffle(1, 0).order(UNITS, 0)[:100]) == 1).all()
    mixed = UNITS[Shuffle(1, 300).order(UNITS, 0)]
    batches = mixed.reshape(-1, 20)
    assert np.mean([len(set(batch.tolist())) for batch in batches]) > 3
    before, after = (np.argsort(Shuffle(1, buffer).order(UNITS, 0)) for buffer in (0, 300))
    assert np.abs(before - after).max() <= 300
