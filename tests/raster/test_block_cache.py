"""The size of GDAL's block cache, whoever uses it and whoever leaves first."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from osgeo import gdal

from s2pipe.raster.block_cache import block_cache

if TYPE_CHECKING:
    from collections.abc import Iterator

MIB = 1 << 20


@pytest.fixture(autouse=True)
def size_before() -> Iterator[int]:
    """Give the cache a size that only this test knows, and put the real one back."""
    real = gdal.GetCacheMax()
    gdal.SetCacheMax(77 * MIB)
    yield 77 * MIB
    gdal.SetCacheMax(real)


class User:
    """A thread that uses the cache until it is told to leave."""

    def __init__(self, size_bytes: int) -> None:
        self._entered, self._leave = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._use, args=(size_bytes,))
        self._thread.start()
        assert self._entered.wait(10)

    def _use(self, size_bytes: int) -> None:
        with block_cache(size_bytes):
            self._entered.set()
            assert self._leave.wait(10)

    def leave(self) -> None:
        self._leave.set()
        self._thread.join(10)
        assert not self._thread.is_alive()


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["first in, first out", "last in, first out"])
def test_two_threads_may_leave_in_either_order(size_before: int, order: tuple[int, int]) -> None:
    sizes = (30 * MIB, 50 * MIB)
    users = [User(size) for size in sizes]
    assert gdal.GetCacheMax() == sum(sizes)
    users[order[0]].leave()
    assert gdal.GetCacheMax() == sizes[order[1]]
    users[order[1]].leave()
    assert gdal.GetCacheMax() == size_before


def test_contexts_of_one_thread_may_nest_and_fail(size_before: int) -> None:
    with block_cache(30 * MIB):
        with pytest.raises(RuntimeError, match="stopped"), block_cache(20 * MIB):
            assert gdal.GetCacheMax() == 50 * MIB
            msg = "stopped"
            raise RuntimeError(msg)
        assert gdal.GetCacheMax() == 30 * MIB
    assert gdal.GetCacheMax() == size_before


def test_many_users_leave_nothing_behind(size_before: int) -> None:
    def use(number: int) -> None:
        for _ in range(200):
            with block_cache((number + 1) * MIB):
                assert gdal.GetCacheMax() >= (number + 1) * MIB

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(use, range(8)))
    assert gdal.GetCacheMax() == size_before


def test_a_size_that_was_set_between_two_uses_is_kept() -> None:
    with block_cache(30 * MIB):
        pass
    gdal.SetCacheMax(99 * MIB)
    with block_cache(30 * MIB):
        assert gdal.GetCacheMax() == 30 * MIB
    assert gdal.GetCacheMax() == 99 * MIB
