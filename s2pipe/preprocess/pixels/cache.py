"""The stack cache: pass 1 keeps the resampled DN of a scene, so that pass 2 decodes nothing.

An entry is one file, named by the fingerprint of everything that its pixels depend on; a changed input or option leads
to another name. Entries may be removed at any time. A damaged entry is dropped and the scene is decoded again.
"""

from __future__ import annotations

import json
import os
import re
import zlib
from contextlib import suppress
from typing import IO, TYPE_CHECKING

import numpy as np

from s2pipe.errors import S2PipeError
from s2pipe.runtime.files import atomic_path
from s2pipe.runtime.locks import try_hold

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from s2pipe.raster.grid import Window

SUFFIX = ".dnstack"
_ENTRY = re.compile(rf"[0-9a-f]{{64}}{re.escape(SUFFIX)}", re.ASCII)
_MAGIC = b"s2pipe DN stack 1\n"
_HEADER_BYTES = 4096


class CacheDamagedError(S2PipeError):
    """A cache entry cannot be read or fails its checksum."""


class StackCache:
    """A directory of entries, bounded in size.

    Parameters
    ----------
    directory : Path
        Directory of the entries; made when the first is written.
    max_bytes : int
        Entries are removed, least recently used first, until they fit with the one to be written.
    """

    def __init__(self, directory: Path, max_bytes: int) -> None:
        self._directory = directory
        self._max_bytes = max_bytes

    def path(self, fingerprint: str) -> Path:
        """Return the path of a fingerprint's entry."""
        return self._directory / (fingerprint.removeprefix("sha256:") + SUFFIX)

    def find(self, fingerprint: str, size: int) -> Path | None:
        """Return the entry of a fingerprint, marking it as used, or None. One of another size in bytes is dropped."""
        path = self.path(fingerprint)
        try:
            if path.stat().st_size != size:
                path.unlink()
                return None
            os.utime(path)
        except OSError:
            return None
        return path

    def make_room(self, size: int) -> bool:
        """Remove the entries used longest ago until ``size`` bytes fit; False if they never will."""
        self._sweep()
        if size > self._max_bytes:
            return False
        entries = []
        for path in self._directory.glob(f"*{SUFFIX}"):
            if not _ENTRY.fullmatch(path.name):
                continue  # someone else's
            try:
                status = path.stat()
            except FileNotFoundError:  # another run removed it
                continue
            entries.append((status.st_mtime_ns, status.st_size, path))
        total = sum(entry_size for _, entry_size, _ in entries)
        for _, entry_size, path in sorted(entries):
            if total + size <= self._max_bytes:
                break
            path.unlink(missing_ok=True)
            total -= entry_size
        return True

    def _sweep(self) -> None:
        """Remove entries that killed runs left unfinished: those that nobody holds."""
        for path in self._directory.glob(f".*{SUFFIX}"):
            if path.is_symlink():
                continue  # entries are files
            with suppress(FileNotFoundError), path.open("r+b") as stream:
                if try_hold(stream):
                    path.unlink(missing_ok=True)


def entry_bytes(bands: int, windows: Sequence[Window]) -> int:
    """Size of an entry in bytes."""
    return (
        len(_MAGIC) + _HEADER_BYTES + 4 * bands * sum(w.height * w.width for w in windows) + 4 * len(windows)
    )


class StackWriter:
    """Writes an entry window by window; the file appears when it is complete.

    Parameters
    ----------
    path : Path
        Entry to make.
    bands : int
        Bands of every window.
    windows : sequence of Window
        All windows, in the order in which they will be added.
    """

    def __init__(self, path: Path, bands: int, windows: Sequence[Window]) -> None:
        self._windows = list(windows)
        self._bands = bands
        self._place = atomic_path(path)
        self._stream: IO[bytes] = self._place.__enter__().open("wb")
        try_hold(self._stream)  # says to others that somebody is writing it
        self._stream.write(_MAGIC + _header(bands, self._windows))
        self._count = 0

    def add(self, dn: np.ndarray) -> None:
        """Append the next window, float32 (band, y, x)."""
        data = memoryview(np.ascontiguousarray(dn)).cast("B")
        self._stream.write(data)
        self._stream.write(zlib.crc32(data).to_bytes(4, "little"))
        self._count += 1

    def finish(self) -> None:
        """Move the complete entry into place."""
        self._stream.close()
        if self._count != len(self._windows):
            msg = f"expected {len(self._windows)} windows, got {self._count}"
            raise ValueError(msg)
        self._place.__exit__(None, None, None)

    def abandon(self) -> None:
        """Drop the unfinished entry."""
        self._stream.close()
        error = CacheDamagedError("abandoned")
        try:
            self._place.__exit__(type(error), error, None)
        except CacheDamagedError:
            return


def read_stack(path: Path, bands: int, windows: Sequence[Window]) -> Iterator[tuple[Window, np.ndarray]]:
    """Yield the windows of an entry, float32 (band, y, x), overwritten when the next one is asked for.

    Raises
    ------
    CacheDamagedError
        The file is cut short, of another layout, or fails a checksum.
    """
    size = max(w.height * w.width for w in windows)
    buffer = np.empty(bands * size, np.float32)
    with path.open("rb") as stream:
        expected = _MAGIC + _header(bands, windows)
        if stream.read(len(expected)) != expected:
            msg = f"{path}: expected an entry of this layout, got something else"
            raise CacheDamagedError(msg)
        for window in windows:
            part = buffer[: bands * window.height * window.width]
            data = memoryview(part).cast("B")
            if stream.readinto(data) != len(data) or stream.read(4) != zlib.crc32(data).to_bytes(4, "little"):
                msg = f"{path}: fails its checksum at row {window.row}"
                raise CacheDamagedError(msg)
            yield window, part.reshape(bands, *window.shape_yx)


def _header(bands: int, windows: Sequence[Window]) -> bytes:
    last = windows[-1]
    layout = {
        "bands": bands,
        "windows": len(windows),
        "rows": windows[0].height,
        "shape_yx": [last.row_end, last.col_end],
        "dtype": "<f4",
    }
    return json.dumps(layout, sort_keys=True).encode().ljust(_HEADER_BYTES)
