"""Damage to files: the kinds that disks, transfers and people do."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


def _flip(data: bytearray, draw: random.Random) -> bytes:
    data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    return bytes(data)


def _garble(data: bytearray, draw: random.Random) -> bytes:
    place, length = draw.randrange(len(data)), draw.choice((2, 16, 512))
    data[place : place + length] = draw.randbytes(len(data[place : place + length]))
    return bytes(data)


def _blank(data: bytearray, draw: random.Random) -> bytes:
    place, length = draw.randrange(len(data)), draw.choice((16, 512, 4096))
    data[place : place + length] = bytes(len(data[place : place + length]))
    return bytes(data)


KINDS: dict[str, Callable[[bytearray, random.Random], bytes]] = {
    "flipped bit": _flip,
    "other bytes": _garble,
    "zeroed": _blank,
    "truncated": lambda data, draw: bytes(data[: draw.randrange(len(data))]),
    "emptied": lambda _data, _draw: b"",
    "longer": lambda data, draw: bytes(data) + draw.randbytes(draw.choice((1, 100))),
}
WEIGHTS = (6, 3, 2, 5, 1, 1)


def damage(path: Path, draw: random.Random) -> bytes:
    """Damage a file so that it differs; return what it held before."""
    before = path.read_bytes()
    after = before
    while after == before:
        (kind,) = draw.choices([*KINDS], WEIGHTS)
        after = KINDS[kind](bytearray(before), draw)
    path.write_bytes(after)
    return before


def mutants(data: bytes, count: int) -> Iterator[bytes]:
    """Flipped bits, cut ends, zeroed and garbled ranges of a file, from a seed."""
    draw = random.Random(20251210)
    for number in range(count):
        place, length = draw.randrange(len(data)), draw.choice((1, 8, 100, 1000))
        changed = bytearray(data)
        if number % 4 == 0:
            changed[place] ^= 1 << draw.randrange(8)
        elif number % 4 == 1:
            del changed[place:]
        elif number % 4 == 2:
            changed[place : place + length] = bytes(len(changed[place : place + length]))
        else:
            changed[place : place + length] = draw.randbytes(len(changed[place : place + length]))
        yield bytes(changed)
