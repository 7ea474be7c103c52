"""What the header of a JPEG 2000 file says about its compression, without decoding."""

from __future__ import annotations

from s2pipe.raster._gdal import gdal_module, quiet_errors

_START = b"\xff\x4f\xff\x51"
"""Start of a code stream and its first marker segment (ISO/IEC 15444-1, A.4 and A.5)."""
_CODING_STYLE = b"\xff\x52"
_TRANSFORM_AT = 9
"""Place of the wavelet transform in the coding style segment, after its length (A.6.1)."""
_REVERSIBLE = 1
_HEAD_BYTES = 64 << 10


def read_head(path: str) -> bytes:
    """Read the first bytes of a file as GDAL opens it; nothing when it cannot be read."""
    gdal = gdal_module()
    with quiet_errors():
        try:
            stream = gdal.VSIFOpenL(path, "rb")
        except RuntimeError:
            return b""
        if stream is None:
            return b""
        try:
            return bytes(gdal.VSIFReadL(1, _HEAD_BYTES, stream) or b"")
        finally:
            gdal.VSIFCloseL(stream)


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
