"""Scores that jobs of an array leave for each other, so that each sample is scored by one of them.

Samples are scored in portions of a few, which all jobs count alike. What a portion came to is a file below
``.scores`` in the output directory: a digest of its bytes and of everything that they depend on, then column by column.
A file that is not exactly that is scored again.
"""

from __future__ import annotations

import hashlib
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from s2pipe.runtime.files import sweep, write_bytes_atomic
from s2pipe.runtime.locks import locked
from s2pipe.runtime.paths import InsidePath

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from s2pipe.patches.candidates.windows import PatchTable

SCORES = ".scores"
"""Directory of the files."""
SCORES_NAME = re.compile(r"[.]?[0-9]{7}[.]([a-z0-9_]{8}[.])?(bin|lock)", re.ASCII)
"""Names of the files, of their locks, and of what killed jobs left of them."""
_COLUMNS = ("valid", "ignore", "cloud", "shadow", "snow", "water", "missing_angles", "counts")
_MOST_SAMPLES = 64
_DIGEST = hashlib.sha256().digest_size


def portions(count: int) -> list[range]:
    """Share samples out into portions: single ones of a small dataset, up to 64 of a large one."""
    size = max(1, min(_MOST_SAMPLES, count // 256))
    return [range(start, min(start + size, count)) for start in range(0, count, size)]


def scores_of(table: PatchTable, part: slice) -> bytes:
    """Return the scores of some candidates, column by column."""
    return b"".join(_little(getattr(table, name)[part]).tobytes() for name in _COLUMNS)


def put_scores(table: PatchTable, part: slice, data: bytes) -> None:
    """Fill in what :func:`scores_of` returned of the same candidates.

    Raises
    ------
    ValueError
        It is of another size.
    """
    start = 0
    for name in _COLUMNS:
        column = getattr(table, name)[part]
        dtype = _little(column).dtype
        column[...] = np.frombuffer(data, dtype, column.size, start).reshape(column.shape)
        start += column.size * dtype.itemsize
    if start != len(data):
        msg = f"expected {start} bytes of scores, got {len(data)}"
        raise ValueError(msg)


def _little(values: np.ndarray) -> np.ndarray:
    return values.astype(values.dtype.newbyteorder("<"), copy=False)


class KeptScores:
    """The scores of a run's candidates on disk.

    Parameters
    ----------
    out_dir : Path
        Output directory of the patches.
    fingerprint : str
        Identifies everything that the run's outputs depend on.
    table : PatchTable
        The candidates.
    """

    def __init__(self, out_dir: Path, fingerprint: str, table: PatchTable) -> None:
        self._out_dir = out_dir
        self._fingerprint = fingerprint
        self._table = table

    @staticmethod
    def are_in(out_dir: Path) -> bool:
        """Tell whether jobs have left any."""
        return (out_dir / SCORES).is_dir()

    def load(self, first: int, part: slice) -> bool:
        """Fill in the scores of the portion that begins with a sample; False where they are not there."""
        try:
            data = self._path(first).read_bytes()
            if data[:_DIGEST] != self._digest(first, part, data[_DIGEST:]):
                return False
            put_scores(self._table, part, data[_DIGEST:])
        except (OSError, ValueError):
            return False
        return True

    def save(self, first: int, part: slice) -> None:
        """Keep the scores of a portion, whose lock is held."""
        data = scores_of(self._table, part)
        sweep(self._path(first))
        write_bytes_atomic(self._path(first), self._digest(first, part, data) + data)

    @contextmanager
    def locked(self, first: int, *, wait: bool) -> Iterator[None]:
        """Hold a portion.

        Raises
        ------
        LockedError
            Another job is at it, and ``wait`` is false.
        """
        with locked(self._path(first).with_suffix(".lock"), wait=wait):
            yield

    def _path(self, first: int) -> Path:
        return InsidePath(self._out_dir, f"{SCORES}/{first:07d}.bin").owned()

    def _digest(self, first: int, part: slice, data: bytes) -> bytes:
        head = f"{self._fingerprint} {first} {part.start} {part.stop} ".encode()
        return hashlib.sha256(head + data).digest()
