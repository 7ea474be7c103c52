"""Whether a GeoTIFF that was written is all there: its directories and every tile that they list, without decoding.

GDAL (3.13 and earlier) reports success when the last bytes of a file that it buffers cannot be written, as on a full
disk: libtiff only prints a line on stderr.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

_CLASSIC, _BIG = 42, 43
_TYPES = {3: "u2", 4: "u4", 16: "u8"}
"""Unsigned types of TIFF by their code: SHORT, LONG, LONG8."""
_OFFSETS, _COUNTS = (273, 324), (279, 325)
"""Tags of places and sizes of strips and tiles."""
_MAX_DIRECTORIES = 256
_NONE = np.empty(0, np.uint64)


@dataclass(frozen=True)
class _Kind:
    """What differs between classic TIFF and BigTIFF, in either byte order."""

    order: str
    header: int
    count: str
    entry: str
    place: str

    def number(self, stream: IO[bytes], code: str) -> int:
        """Read one number where the stream is."""
        dtype = np.dtype(self.order + code)
        return int(np.frombuffer(stream.read(dtype.itemsize), dtype)[0])


def layout_fault(path: Path) -> str | None:
    """Say what a finished GeoTIFF lacks; None when all of it is there.

    Parameters
    ----------
    path : Path
        TIFF or BigTIFF of which every tile was written.
    """
    size = path.stat().st_size
    with path.open("rb") as stream:
        try:
            return _fault(stream, size)
        except (ValueError, IndexError, OverflowError):  # the file ends where a number should be
            return f"a directory lies beyond its {size} bytes"


def _fault(stream: IO[bytes], size: int) -> str | None:
    kind = _kind(stream.read(8))
    if kind is None:
        return "it does not begin as a TIFF"
    stream.seek(kind.header)
    place, directories = kind.number(stream, kind.place), 0
    while place and directories < _MAX_DIRECTORIES:
        directories += 1
        stream.seek(place)
        arrays: dict[int, np.ndarray] = {}
        for _ in range(kind.number(stream, kind.count)):
            tag, values = _entry(stream, kind)
            if values is not None:
                arrays[tag] = values
        place = kind.number(stream, kind.place)
        offsets, counts = (
            np.concatenate([arrays.get(tag, _NONE) for tag in tags]) for tags in (_OFFSETS, _COUNTS)
        )
        missing = int(((offsets == 0) | (counts == 0) | (offsets + counts > size)).sum())
        if missing:
            return f"{missing} of {len(offsets)} tiles lie beyond its {size} bytes, or nowhere"
    return None if directories else "it has no directory"


def _kind(head: bytes) -> _Kind | None:
    order = {b"II": "<", b"MM": ">"}.get(head[:2])
    if order is None or len(head) < 8:
        return None
    version = int(np.frombuffer(head[2:4], f"{order}u2")[0])
    if version == _CLASSIC:
        return _Kind(order, 4, "u2", "u4", "u4")
    return _Kind(order, 8, "u8", "u8", "u8") if version == _BIG else None


def _entry(stream: IO[bytes], kind: _Kind) -> tuple[int, np.ndarray | None]:
    """Read one entry of a directory: its tag, and its values if it lists tiles."""
    tag, code = kind.number(stream, "u2"), kind.number(stream, "u2")
    length = kind.number(stream, kind.entry)
    after = stream.tell() + np.dtype(kind.place).itemsize
    values = None
    if tag in (*_OFFSETS, *_COUNTS) and code in _TYPES:
        dtype = np.dtype(kind.order + _TYPES[code])
        if length * dtype.itemsize > np.dtype(kind.place).itemsize:
            stream.seek(kind.number(stream, kind.place))
        values = np.frombuffer(stream.read(length * dtype.itemsize), dtype, length).astype(np.uint64)
    stream.seek(after, os.SEEK_SET)
    return tag, values
