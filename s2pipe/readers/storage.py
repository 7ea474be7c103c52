"""Where a set of patches lies: a directory, or a place that fsspec reaches, of which ranges of bytes are read."""

from __future__ import annotations

import os
import time
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from s2pipe.errors import DependencyError, Fault, ManifestError, ServiceError
from s2pipe.runtime.paths import InsidePath

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_TRIES = 3
_PAUSE_S = 0.5


class LocalStore:
    """A directory.

    Parameters
    ----------
    directory : Path
        What names are relative to.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def name_of(self, name: str) -> str:
        """Full name of a file, for messages."""
        return str(self._directory / name)

    def read(self, name: str) -> bytes:
        """Content of a file.

        Raises
        ------
        OSError
            It cannot be read.
        """
        return InsidePath(self._directory, name).path.read_bytes()

    def open(self, name: str) -> Any:
        """Open a file for reading anywhere in it."""
        return InsidePath(self._directory, name).path.open("rb")

    def ranges(self, places: Sequence[tuple[str, int, int]]) -> list[bytearray]:
        """Read parts of files, given as name, first byte and number of bytes, in this order.

        Raises
        ------
        ManifestError
            A file cannot be read, or ends before.
        """
        # Files are opened for each call: a position in an open file would be shared with forked workers.
        found: dict[int, bytearray] = {}
        order = sorted(range(len(places)), key=lambda number: places[number])
        for name, numbers in groupby(order, key=lambda number: places[number][0]):
            path = InsidePath(self._directory, name).path
            try:
                with path.open("rb", buffering=0) as stream:
                    for number in numbers:
                        found[number] = _read_at(stream, *places[number][1:])
            except OSError as error:
                raise _unreadable(str(path), error) from error
        return [_whole(found[n], places[n], self) for n in range(len(places))]


def _read_at(stream: Any, start: int, size: int) -> bytearray:
    """Read bytes from a place on; fewer where the file ends."""
    data = bytearray(size)
    view, done = memoryview(data), 0
    stream.seek(start)
    while done < size and (count := stream.readinto(view[done:])):
        done += count
    view.release()
    del data[done:]
    return data


class RemoteStore:
    """A place that fsspec reaches: ``https://``, ``s3://`` and others.

    Parameters
    ----------
    url : str
        What names are relative to.
    options : mapping, optional
        What fsspec's file system takes: ``{"anon": True}`` for public data in S3.
    """

    def __init__(self, url: str, options: Mapping[str, Any] | None = None) -> None:
        self._url = url.rstrip("/")
        self._options = dict(options or {})
        self._opened: tuple[int, Any, str] | None = None
        self._system()

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_opened": None}

    def name_of(self, name: str) -> str:
        """Full name of a file, for messages."""
        return f"{self._url}/{name}"

    def read(self, name: str) -> bytes:
        """Content of a file.

        Raises
        ------
        ServiceError
            It cannot be had.
        """
        system, root = self._system()
        return bytes(self._tried(name, lambda: system.cat_file(f"{root}/{name}")))

    def open(self, name: str) -> Any:
        """Open a file for reading anywhere in it; only what is looked at is fetched."""
        system, root = self._system()
        return self._tried(name, lambda: system.open(f"{root}/{name}", "rb"))

    def ranges(self, places: Sequence[tuple[str, int, int]]) -> list[bytearray]:
        """Read parts of files, given as name, first byte and number of bytes, side by side, in this order.

        Raises
        ------
        ServiceError
            A part cannot be had.
        ManifestError
            A file ends before, or the server does not send the parts that it is asked for.
        """
        system, root = self._system()
        paths = [f"{root}/{name}" for name, _, _ in places]
        starts, ends = [p[1] for p in places], [p[1] + p[2] for p in places]
        found = self._tried(places[0][0], lambda: system.cat_ranges(paths, starts, ends, on_error="raise"))
        return [_whole(bytearray(data), place, self) for data, place in zip(found, places, strict=True)]

    def _system(self) -> tuple[Any, str]:
        """The file system of this process: connections do not survive a fork."""
        if self._opened is None or self._opened[0] != os.getpid():
            try:
                from fsspec.core import url_to_fs

                system, root = url_to_fs(self._url, skip_instance_cache=True, **self._options)
            except ImportError as error:
                msg = (
                    f"{self._url} cannot be reached: {error}\nInstall `pip install 's2pipe[remote]'`, and for s3:// "
                    "'s2pipe[s3]'."
                )
                raise DependencyError(msg) from error
            except ValueError as error:
                raise ManifestError(
                    self._url, [Fault("", f"is no place that fsspec knows: {error}")]
                ) from error
            self._opened = (os.getpid(), system, root)
        return self._opened[1:]

    def _tried(self, name: str, act: Callable[[], Any]) -> Any:
        """Do something with the network, a few times if need be."""
        failures = _network_failures()
        for rest in reversed(range(_TRIES)):
            try:
                return act()
            except FileNotFoundError as error:
                raise _unreadable(self.name_of(name), error) from error
            except failures as error:
                if rest == 0:
                    msg = (
                        f"{self.name_of(name)}: cannot be read in {_TRIES} tries: {type(error).__name__}: {error}; "
                        "look at the network and at the access rights, and run again"
                    )
                    raise ServiceError(msg) from error
                time.sleep(_PAUSE_S * (_TRIES - rest))
        raise AssertionError


def _network_failures() -> tuple[type[BaseException], ...]:
    try:
        from aiohttp import ClientError
    except ImportError:
        return (OSError,)
    return (OSError, ClientError)


def _whole(data: bytearray, place: tuple[str, int, int], store: LocalStore | RemoteStore) -> bytearray:
    """Refuse a part that is not as long as asked for."""
    name, start, size = place
    if len(data) != size:
        message = f"expected {size} bytes from byte {start} on, got {len(data)}; it is cut short, and `s2pipe verify` "
        message += "tells what else is damaged; a server must serve ranges of bytes (HTTP status 206)"
        raise ManifestError(store.name_of(name), [Fault("", message)])
    return data


def _unreadable(name: str, error: OSError) -> ManifestError:
    return ManifestError(
        name, [Fault("", f"cannot be read as a shard: {error}; restore it, or correct the path")]
    )


def store_of(
    path: str | Path, options: Mapping[str, Any] | None = None
) -> tuple[LocalStore | RemoteStore, str]:
    """Split the address of a file into the place of its directory and its name.

    Parameters
    ----------
    path : str or Path
        Local path, or an address that fsspec knows: ``https://host/patches/shards.json``.
    options : mapping, optional
        What fsspec's file system takes.
    """
    if isinstance(path, str) and "://" in path:
        base, _, name = path.rpartition("/")
        return RemoteStore(base, options), name
    local = Path(path)
    return LocalStore(local.parent), local.name
