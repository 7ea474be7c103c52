"""What a JPEG 2000 file says about its compression, and whether it is there to its end, without decoding."""

from __future__ import annotations

import math
import os
import struct
from typing import TYPE_CHECKING, BinaryIO

from s2pipe.errors import RasterError
from s2pipe.raster._gdal import gdal_module, quiet_errors
from s2pipe.raster.relay import is_network

if TYPE_CHECKING:
    from pathlib import Path

_START = b"\xff\x4f\xff\x51"
"""Start of a code stream and its first marker segment (ISO/IEC 15444-1, A.4 and A.5)."""
_CODING_STYLE = b"\xff\x52"
_TRANSFORM_AT = 9
"""Place of the wavelet transform in the coding style segment, after its length (A.6.1)."""
_REVERSIBLE = 1
_SIZE, _TILE_PART, _END = b"\xff\x51", b"\xff\x90", b"\xff\xd9"
_FIRST_BOX = b"\0\0\0\x0cjP  "
_MAX_STEPS = 1 << 20
"""Boxes, marker segments and tile-parts that are followed; a full-size band has fewer than 1000."""
_HEAD_BYTES = 64 << 10


def read_head(path: str) -> bytes:
    """Read the first bytes of a file as GDAL opens it; nothing when it cannot be read.

    Raises
    ------
    RasterError
        It is on the network and does not arrive.
    """
    head, size = _head_and_size(path)
    if is_network(path) and len(head) < min(_HEAD_BYTES, size or 1):
        msg = f"{path}: its head did not arrive whole; look at the network, or run again"
        raise RasterError(msg)
    return head


def _head_and_size(path: str) -> tuple[bytes, int]:
    gdal = gdal_module()
    with quiet_errors():
        try:
            stream = gdal.VSIFOpenL(path, "rb")
            if stream is None:
                return b"", 0
            try:
                head = bytes(gdal.VSIFReadL(1, _HEAD_BYTES, stream) or b"")
                gdal.VSIFSeekL(stream, 0, os.SEEK_END)
                return head, gdal.VSIFTellL(stream)
            finally:
                gdal.VSIFCloseL(stream)
        except RuntimeError:  # of a damaged archive, for one
            return b"", 0


def is_reversible(head: bytes) -> bool:
    """Tell whether every decoder makes the same pixels of a JPEG 2000 file: it uses the integer 5-3 wavelet.

    Parameters
    ----------
    head : bytes
        First bytes of the file. What does not tell counts as not reversible.
    """
    start = head.find(_START)
    if start < 0:
        return False
    place = start + 2
    while head[place : place + 1] == b"\xff" and place + 4 <= len(head):
        marker, size = head[place : place + 2], int.from_bytes(head[place + 2 : place + 4], "big")
        if marker == _CODING_STYLE:
            return head[place + 4 + _TRANSFORM_AT : place + 5 + _TRANSFORM_AT] == bytes([_REVERSIBLE])
        place += 2 + size
    return False


def end_fault(path: Path) -> str | None:
    """Say why the code stream of a JPEG 2000 file is not there to its end; None when it is.

    Decoders take missing tile-parts, or what was left of them, for pixels without data. Here the tile-parts are
    followed from one to the next by the lengths that they state, to the mark of the end; their content is not
    looked at.

    Parameters
    ----------
    path : Path
        A plain file.
    """
    try:
        with path.open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            return _tile_parts_fault(stream, _start(stream, size), size)
    except (OSError, struct.error) as error:
        return f"it is cut short, or cannot be read ({error})"


def _at(stream: BinaryIO, place: int, count: int) -> bytes:
    stream.seek(place)
    return stream.read(count)


def _start(stream: BinaryIO, size: int) -> int:
    """Place of the code stream: that of the file, or of its box (ISO/IEC 15444-1, I.4)."""
    place = 0
    if _at(stream, 0, len(_FIRST_BOX)) != _FIRST_BOX:
        return place
    for _ in range(_MAX_STEPS):
        length, kind = struct.unpack(">I4s", _at(stream, place, 8))
        head = 8
        if length == 1:
            (length,), head = struct.unpack(">Q", stream.read(8)), 16
        if kind == b"jp2c":
            return place + head
        if not head <= length <= size - place:
            break
        place += length
    return size


def _tile_parts_fault(stream: BinaryIO, start: int, size: int) -> str | None:
    """Follow main header and tile-parts (A.4.2) to the end of the code stream."""
    if _at(stream, start, 2) != _START[:2]:
        return "it holds no code stream"
    place, tiles, expected = start + 2, set(), 0
    for _ in range(_MAX_STEPS):
        marker, length = _at(stream, place, 2), stream.read(2)
        if marker == _TILE_PART:
            tile, count = struct.unpack(">HI", stream.read(6))
            tiles.add(tile)
            place = place + count if count else size - 2  # 0: to the end
            if count and count < 12:
                break
        elif marker == _END:
            missing = expected - len(tiles)
            return f"{missing} of its {expected} tiles are missing" if missing else None
        elif tiles or marker[:1] != b"\xff":
            break
        else:
            if marker == _SIZE:
                right, bottom, _, _, width, height, x0, y0 = struct.unpack(">8I", _at(stream, place + 6, 32))
                if not (width and height):
                    break
                expected = math.ceil((right - x0) / width) * math.ceil((bottom - y0) / height)
            place += 2 + struct.unpack(">H", length)[0]
    return (
        f"it is cut short or damaged at byte {place} of {size}: expected a tile-part, or the mark of the end"
    )
