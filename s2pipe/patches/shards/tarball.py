"""The bytes of a shard: a POSIX (ustar) archive as the webdataset library expects it.

The files of an item (a patch, or a time stack) follow one another and share the part of their name before the first
dot. Times, owners and modes are constant, so that equal items make equal bytes.
"""

from __future__ import annotations

import io
import tarfile
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

_BLOCK = tarfile.BLOCKSIZE
_MOST_JSON_BYTES, _MOST_LABEL_BYTES, _MOST_DATE_BYTES = 2048, 20, 512


def padded(size: int) -> int:
    """Bytes that a file's content takes in an archive."""
    return -(-size // _BLOCK) * _BLOCK


def header(name: str, size: int) -> bytes:
    """Header of one file."""
    info = tarfile.TarInfo(name)
    info.size = size
    info.mode = 0o644
    return info.tobuf(tarfile.USTAR_FORMAT)


@dataclass(frozen=True)
class ArrayMember:
    """An array of an item."""

    suffix: str
    """What comes after the key in the file's name: ``x.npy``."""
    dtype: str
    """NumPy name of the type."""
    shape: tuple[int, ...]
    """Shape, C order."""

    @cached_property
    def npy_header(self) -> bytes:
        """First bytes of the ``.npy`` file."""
        stream = io.BytesIO()
        about = {
            "descr": np.dtype(self.dtype).newbyteorder("<").str,
            "fortran_order": False,
            "shape": self.shape,
        }
        np.lib.format.write_array_header_1_0(stream, about)
        return stream.getvalue()

    @cached_property
    def nbytes(self) -> int:
        """Size of the ``.npy`` file."""
        return len(self.npy_header) + int(np.prod(self.shape)) * np.dtype(self.dtype).itemsize


class ItemBuffer:
    """The bytes of one item, with its arrays as views, so that rasters are read into their final place.

    Parameters
    ----------
    members : sequence of ArrayMember
        Arrays, in the order of the files.
    json_bytes : int
        Size of the JSON file, which comes last.
    """

    def __init__(self, members: Sequence[ArrayMember], json_bytes: int) -> None:
        self._members = members
        self._json_bytes = json_bytes
        self._bytes = np.zeros(item_size(members, json_bytes), np.uint8)
        self.arrays: dict[str, np.ndarray] = {}
        """Arrays by suffix."""
        offset = 0
        for member in members:
            start = offset + _BLOCK + len(member.npy_header)
            end = offset + _BLOCK + member.nbytes
            self._bytes[offset + _BLOCK : start] = np.frombuffer(member.npy_header, np.uint8)
            view = self._bytes[start:end].view(np.dtype(member.dtype).newbyteorder("<"))
            self.arrays[member.suffix] = view.reshape(member.shape)
            offset += _BLOCK + padded(member.nbytes)
        self._json_at = offset

    def finish(self, key: str, document: bytes) -> memoryview:
        """Name the files, fill in the JSON, and return all the bytes."""
        offset = 0
        for member in self._members:
            self._put(offset, header(f"{key}.{member.suffix}", member.nbytes))
            offset += _BLOCK + padded(member.nbytes)
        self._put(offset, header(f"{key}.json", len(document)))
        self._put(offset + _BLOCK, document.ljust(padded(len(document)), b"\0"))
        return self._bytes.data

    def fits(self, members: Sequence[ArrayMember], json_bytes: int) -> bool:
        """Whether the buffer can be used again for another item."""
        return self._members == members and padded(self._json_bytes) == padded(json_bytes)

    def _put(self, offset: int, data: bytes) -> None:
        self._bytes[offset : offset + len(data)] = np.frombuffer(data, np.uint8)


def item_size(members: Sequence[ArrayMember], json_bytes: int) -> int:
    """Bytes that an item takes in an archive."""
    sizes = [*(member.nbytes for member in members), json_bytes]
    return sum(_BLOCK + padded(size) for size in sizes)


def most_item_bytes(members: Sequence[ArrayMember], labels: int, dates: int, target_bytes: int) -> int:
    """Bound on the bytes of an item with these arrays, labels and dates, and so much of targets a date."""
    of_dates = (_MOST_DATE_BYTES + target_bytes) * dates
    return item_size(members, _MOST_JSON_BYTES + _MOST_LABEL_BYTES * labels + of_dates)


def archive_size(item_bytes: int) -> int:
    """Size of an archive whose items take this many bytes: two zero blocks more, in whole records."""
    record = tarfile.RECORDSIZE
    return -(-(item_bytes + 2 * _BLOCK) // record) * record
