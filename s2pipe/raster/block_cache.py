"""GDAL's block cache. The whole process shares one, so its size has one owner: this module.

GDAL keeps decoded blocks so that two windows of one JPEG 2000 tile do not decode it twice. By default the cache may
grow to 5 % of the machine's memory. That is too much beside the buffers of a scene, and too little on a small machine.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from s2pipe.raster._gdal import gdal_module

if TYPE_CHECKING:
    from collections.abc import Iterator


class _BlockCache:
    """Counts who uses the cache and how much of it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._requested_bytes = 0
        self._bytes_before = 0

    def enter(self, size_bytes: int) -> None:
        gdal = gdal_module()
        with self._lock:
            if self._users == 0:
                self._bytes_before = gdal.GetCacheMax()
            self._users += 1
            self._requested_bytes += size_bytes
            gdal.SetCacheMax(self._requested_bytes)

    def leave(self, size_bytes: int) -> None:
        gdal = gdal_module()
        with self._lock:
            self._users -= 1
            self._requested_bytes -= size_bytes
            gdal.SetCacheMax(self._requested_bytes if self._users else self._bytes_before)


_CACHE = _BlockCache()


@contextmanager
def block_cache(size_bytes: int) -> Iterator[None]:
    """Reserve a part of the block cache while the context lasts.

    Contexts may overlap, in one thread or in several, and may end in any order. The cache is as large as all of them
    together ask for. When the last one ends, it gets the size back that it had before the first one.

    Parameters
    ----------
    size_bytes : int
        Bytes that the datasets read or written inside the context need.

    Raises
    ------
    DependencyError
        GDAL is missing.
    """
    _CACHE.enter(size_bytes)
    try:
        yield
    finally:
        _CACHE.leave(size_bytes)
