"""Arrays of an ``.npz`` archive that is read whole: only those that are asked for, without a copy.

``numpy.load`` reads members in small pieces and checks each with CRC-32, which takes longer than everything else that
is done with a histogram. Archives that prove themselves with a checksum of their own need no second one.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from s2pipe.runtime.inflate import inflate
from s2pipe.runtime.limits import MAX_HISTOGRAM_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterable

_LOCAL_HEADER_BYTES = 30
_NAME_LENGTHS = slice(26, 30)
_MOST_HEADER_BYTES = 10_000
"""What NumPy takes for the header of an array as well."""


def read_arrays(data: bytes, names: Iterable[str], *, check: bool) -> dict[str, np.ndarray]:
    """Return arrays of an archive by their names; they cannot be written to.

    Parameters
    ----------
    data : bytes
        The archive.
    names : iterable of str
        Which arrays.
    check : bool
        Compare the CRC-32 of every member; false where the archive is known to be intact.

    Raises
    ------
    KeyError
        It has no array of such a name.
    ValueError, zipfile.BadZipFile
        It is no archive of arrays, is damaged, or unpacks to too much.
    """
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        if sum(member.file_size for member in archive.infolist()) > MAX_HISTOGRAM_BYTES:
            msg = f"it unpacks to more than {MAX_HISTOGRAM_BYTES} bytes"
            raise ValueError(msg)
        members = {name: archive.getinfo(f"{name}.npy") for name in names}
    return {name: _array(_content(data, member, check=check)) for name, member in members.items()}


def _content(data: bytes, member: zipfile.ZipInfo, *, check: bool) -> bytes:
    """Unpack a member; what an archive claims of itself is not trusted."""
    header = data[member.header_offset : member.header_offset + _LOCAL_HEADER_BYTES]
    lengths = np.frombuffer(header[_NAME_LENGTHS], "<u2")
    if len(lengths) != 2 or member.flag_bits & 1:
        msg = f"the member {member.filename} cannot be read"
        raise ValueError(msg)
    start = member.header_offset + _LOCAL_HEADER_BYTES + int(lengths.sum())
    packed = data[start : start + member.compress_size]
    if member.compress_type == zipfile.ZIP_DEFLATED:
        content = inflate(packed, member.file_size)
    elif member.compress_type == zipfile.ZIP_STORED:
        content = packed
    else:
        msg = f"the member {member.filename} is packed in an unknown way ({member.compress_type})"
        raise ValueError(msg)
    if check and zlib.crc32(content) != member.CRC:
        msg = f"the member {member.filename} is damaged"
        raise ValueError(msg)
    return content


def _array(content: bytes) -> np.ndarray:
    """Read ``.npy``, version 1.0 as NumPy writes it for all but headers of 64 KiB."""
    magic, length = content[:8], int.from_bytes(content[8:10], "little")
    if magic != b"\x93NUMPY\x01\x00" or length > _MOST_HEADER_BYTES:
        msg = "expected .npy of version 1.0"
        raise ValueError(msg)
    shape, is_fortran, dtype = _header(bytes(content[8 : 10 + length]))
    if dtype.hasobject:
        msg = "object arrays cannot be loaded"
        raise ValueError(msg)
    values = np.frombuffer(content, dtype, offset=10 + length)
    # A shape of more or fewer values than there are is a ValueError of reshape.
    return values.reshape(shape, order="F" if is_fortran else "C")


@lru_cache(maxsize=256)
def _header(header: bytes) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Parse a header; those of the scenes of one run are the same."""
    shape, is_fortran, dtype = np.lib.format.read_array_header_1_0(io.BytesIO(header))
    return shape, is_fortran, dtype
