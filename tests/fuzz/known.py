"""What was once wrong and is too large to keep as a file: it is made when it is tried."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from typing import TYPE_CHECKING

import numpy as np

from tests.fuzz import seeds

if TYPE_CHECKING:
    from collections.abc import Callable


def _elements() -> bytes:
    return b"<a>" + b"<b/>" * 1_000_000 + b"</a>"


def _keys() -> bytes:
    return json.dumps({"preprocess": {f"l1c_band{number}": number for number in range(60_000)}}).encode()


def _repeated_keys() -> bytes:
    return b"{" + b",".join(b'"a%d": 1' % (number % 30_000) for number in range(60_000)) + b"}"


def _bomb() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{seeds.PRODUCT}/manifest.safe", bytes(64 << 20))
    return stream.getvalue()


def _patched_zip(offset: int, value: bytes) -> Callable[[], bytes]:
    """An archive with other bytes in the central record of its first member."""

    def make() -> bytes:
        data = bytearray(seeds.zip_archive()[1])
        place = data.index(b"PK\x01\x02") + offset
        data[place : place + len(value)] = value
        return bytes(data)

    return make


def _corrupt_deflate() -> bytes:
    data = bytearray(seeds.zip_archive()[1])
    start = 30 + len(f"{seeds.PRODUCT}/manifest.safe")
    data[start : start + 4] = b"\xff" * 4
    return bytes(data)


def _undecodable_name() -> bytes:
    data = bytearray(_patched_zip(8, b"\x00\x08")())
    data[data.rindex(b"manifest.safe")] = 0xFF
    return bytes(data)


def _vast_histogram() -> bytes:
    """Arrays that claim a terabyte."""
    stream = io.BytesIO()
    header = b"{'descr': '<i8', 'fortran_order': False, 'shape': (2, 70000000000), }"
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    with zipfile.ZipFile(io.BytesIO(seeds.histogram())) as old, zipfile.ZipFile(stream, "w") as new:
        for name in old.namelist():
            vast = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header
            new.writestr(name, vast if name == "counts.npy" else old.read(name))
    return stream.getvalue()


def _counts_of_text() -> bytes:
    stream = io.BytesIO()
    with np.load(io.BytesIO(seeds.histogram())) as old:
        arrays = {name: old[name] for name in old.files}
    np.savez(stream, **{**arrays, "counts": np.full(arrays["counts"].shape, "a")})
    return stream.getvalue()


KNOWN: tuple[tuple[str, str, Callable[[], bytes]], ...] = (
    ("product_xml", "a million elements", _elements),
    ("product_xml", "nested", lambda: b"<a>" * 100_000),
    ("config", "60,000 keys", _keys),
    ("validate", "60,000 keys", _keys),
    ("json", "60,000 keys, each twice", _repeated_keys),
    ("json", "nested", lambda: b'{"a":' * 100_000),
    ("yaml", "nested", lambda: b"[" * 100_000),
    ("step1_index", "nested", lambda: b"[" * 100_000),
    ("zip", "bomb", _bomb),
    ("zip", "version 25.5", _patched_zip(6, b"\xff\x00")),
    ("zip", "method 93", _patched_zip(10, b"\x5d\x00")),
    ("zip", "encrypted", _patched_zip(8, b"\x01\x00")),
    ("zip", "corrupt deflate", _corrupt_deflate),
    ("zip", "undecodable name", _undecodable_name),
    ("histogram", "a terabyte", _vast_histogram),
    ("histogram", "counts that are text", _counts_of_text),
)
"""Target, what it is, and a function that makes it."""
