"""DEFLATE data comes out whole, or not at all."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2pipe.runtime.inflate import inflate, with_zlib


def deflated(content: bytes, level: int = 6) -> bytes:
    packer = zlib.compressobj(level, zlib.DEFLATED, -zlib.MAX_WBITS)
    return packer.compress(content) + packer.flush()


@given(content=st.binary(max_size=2000), repeat=st.integers(1, 50), level=st.integers(0, 9))
def test_what_was_packed_comes_out(content: bytes, repeat: int, level: int) -> None:
    whole = content * repeat
    packed = deflated(whole, level)
    assert inflate(packed, len(whole)) == whole
    assert with_zlib(packed, len(whole)) == whole  # whichever is installed


@pytest.mark.parametrize(
    ("packed", "size"),
    [
        (deflated(bytes(1000)), 999),
        (deflated(bytes(1000)), 1001),
        (deflated(bytes(1000))[:-3], 1000),
        (b"\xff\xff\xff", 10),
        (b"", 10),
    ],
)
def test_damaged_data_and_other_sizes_are_refused(packed: bytes, size: int) -> None:
    with pytest.raises(ValueError, match="compressed data is damaged"):
        inflate(packed, size)


def test_a_bomb_is_not_unpacked() -> None:
    packed = deflated(bytes(50_000_000))
    assert len(with_zlib(packed, 100)) == 101
    with pytest.raises(ValueError, match="damaged"):
        inflate(packed, 100)
