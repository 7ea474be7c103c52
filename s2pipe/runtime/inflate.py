"""DEFLATE data to bytes, with libdeflate where it is installed (`s2pipe[scale]`) and zlib elsewhere.

A histogram of pass 1 is a megabyte of which most is zeros: zlib takes 1.5 ms for it, libdeflate 0.2 ms.
"""

from __future__ import annotations

import zlib
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def inflate(data: bytes, size: int) -> bytes:
    """Decompress raw DEFLATE data, such as a member of a zip archive.

    Parameters
    ----------
    data : bytes
        Without header and checksum.
    size : int
        Bytes that come out.

    Raises
    ------
    ValueError
        It is damaged, or another number of bytes comes out.
    """
    decompress, damaged = _decompressor()
    try:
        found = decompress(data, size)
    except damaged as error:
        msg = f"compressed data is damaged ({error})"
        raise ValueError(msg) from error
    if len(found) != size:
        msg = f"compressed data is damaged (expected {size} bytes, got {len(found)})"
        raise ValueError(msg)
    return found


@cache
def _decompressor() -> tuple[Callable[[bytes, int], bytes], type[Exception]]:
    """Return what decompresses, and what it raises."""
    try:
        import deflate
    except ImportError:
        return with_zlib, zlib.error
    return deflate.deflate_decompress, deflate.DeflateError


def with_zlib(data: bytes, size: int) -> bytes:
    """Decompress with zlib; stops one byte past ``size``."""
    return zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, size + 1)
