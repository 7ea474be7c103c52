"""One file: streamed to a ``.part`` beside its target, resumed where possible, checked, and only then renamed."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from s2pipe.dataset.assets import Checksum
from s2pipe.download.service.answers import announced_length
from s2pipe.download.service.retry import Backoff, Stopped, TryAgain
from s2pipe.errors import ChecksumError, S2PipeError, ServiceError
from s2pipe.runtime.disk import disk_full, is_full
from s2pipe.runtime.hashing import hash_bytes, hash_file, new_hash

_PROGRESS_BYTES = 1 << 16
_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)", re.ASCII)
PART_NAME = re.compile(r"(.+)\.[0-9a-f]{12}\.part", re.ASCII)
"""Names of unfinished files: that of the file, which they may cut short, and a mark of its content."""
_JP2 = (b"\x00\x00\x00\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51")
_HASH_CHUNK = 1 << 20
_PART_STEM = 200
"""Characters of a file's name that the name of its unfinished part begins with."""
OWN_ALGORITHM = "SHA256"
"""Checksum that files get whose product states none."""


class _Body(Protocol):
    @property
    def status(self) -> int: ...
    @property
    def headers(self) -> Any: ...
    def read(self, count: int) -> bytes: ...


Open = Callable[[str, str, int], AbstractContextManager[_Body]]
"""``open(url, what, offset)``: one attempt to get a file's bytes from ``offset`` on."""


@dataclass(frozen=True)
class FetchTask:
    """One file to fetch."""

    what: str
    """What messages call it."""
    url: str
    """Where its bytes are."""
    target: Path
    """Where it goes."""
    quarantine: Path
    """Where it goes when its checksum is wrong again and again."""
    size: int | None
    """Bytes; None when unknown."""
    checksum: Checksum | None
    """Checksum of the raw bytes; None when unknown."""
    limit: int
    """Most bytes that are read when the size is unknown."""

    @property
    def part(self) -> Path:
        """The unfinished file. Its name depends on the content, so that another version never continues it."""
        known = self.url if self.checksum is None else f"{self.checksum.algorithm} {self.checksum.value}"
        tag = hash_bytes(f"{known} {self.size}".encode(), "sha256")[:12]
        return self.target.with_name(f"{self.target.name[:_PART_STEM]}.{tag}.part")

    def is_at_target(self) -> bool:
        """Tell whether the target holds exactly the wanted bytes; without a checksum that is unknown, so no."""
        if self.checksum is None:
            return False
        try:
            if self.size is not None and self.target.stat().st_size != self.size:
                return False
            return hash_file(self.target, self.checksum.algorithm) == self.checksum.value
        except (OSError, ValueError):
            return False


@dataclass(frozen=True)
class FetchOptions:
    """How files are fetched."""

    open: Open
    """Opens one attempt."""
    backoff: Callable[[], Backoff]
    """Makes a counter of attempts."""
    chunk_size: int
    """Bytes read and written at a time."""
    overwrite: bool
    """Fetch even what is there."""
    count: Callable[[int], None]
    """Told the bytes of every piece, negative when pieces are thrown away."""


@dataclass(frozen=True)
class Arrived:
    """A file that was fetched."""

    size: int
    """Bytes."""
    checksum: Checksum
    """Checksum of what was written: as stated, or SHA-256 where none is."""


class _MismatchError(Exception):
    """What arrived is not what the product's manifest states."""


class _Part:
    """The unfinished file and the checksum of what it holds."""

    def __init__(self, task: FetchTask, options: FetchOptions) -> None:
        self._task = task
        self._count = options.count
        self.size = 0
        self.known_size = task.size
        task.part.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(task.part, os.O_RDWR | os.O_CREAT | _BINARY | _NO_LINK, 0o666)
        self._stream = os.fdopen(handle, "r+b", buffering=0)
        self._digest = self._new_digest()
        found = os.fstat(self._stream.fileno()).st_size
        if found and (task.size is None or found > task.size or options.overwrite):
            self._stream.truncate(0)
            found = 0
        while self.size < found and (chunk := self._stream.read(min(_HASH_CHUNK, found - self.size))):
            self._digest.update(chunk)
            self.size += len(chunk)
        self._count(self.size)

    def _new_digest(self) -> Any:
        checksum = self._task.checksum
        return new_hash(OWN_ALGORITHM if checksum is None else checksum.algorithm)

    def checksum(self) -> Checksum:
        """Return the checksum of what has arrived."""
        known = self._task.checksum
        return Checksum(OWN_ALGORITHM if known is None else known.algorithm, self._digest.hexdigest())

    def write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[self._stream.write(rest) :]
        self._digest.update(data)
        self.size += len(data)
        self._count(len(data))

    def restart(self) -> None:
        self._stream.seek(0)
        self._stream.truncate(0)
        self._count(-self.size)
        self._digest, self.size, self.known_size = self._new_digest(), 0, self._task.size

    def difference(self) -> str | None:
        """Say how the whole file differs from what is wanted; None when it does not."""
        task = self._task
        if task.size is not None and self.size != task.size:
            return f"expected {task.size} bytes, got {self.size}"
        if task.checksum is None:
            return _content_fault(task.target.name, self._head())
        found = self._digest.hexdigest()
        if found == task.checksum.value:
            return None
        return f"expected {task.checksum.algorithm} {task.checksum.value}, got {found}"

    def _head(self) -> bytes:
        self._stream.seek(0)
        head = self._stream.read(512) or b""
        self._stream.seek(self.size)
        return head

    def sync(self) -> None:
        os.fsync(self._stream.fileno())

    def close(self) -> None:
        self._stream.close()


_NO_LINK: int = getattr(os, "O_NOFOLLOW", 0)
_BINARY: int = os.O_BINARY if os.name == "nt" else 0  # type: ignore[attr-defined,unused-ignore]


def fetch(task: FetchTask, options: FetchOptions) -> Arrived | None:
    """Fetch one file unless its target holds it already.

    Returns
    -------
    Arrived or None
        Size and checksum, computed while the bytes came; None when nothing was fetched.

    Raises
    ------
    ServiceError
        The service refuses it, or every attempt failed; what has arrived stays for the next run.
    ChecksumError
        It arrived twice with a wrong checksum; the second copy is in quarantine.
    DiskFullError
        The disk is full; what has arrived stays.
    Stopped
        The run is being stopped.
    """
    if not options.overwrite and task.is_at_target():
        options.count(task.size or 0)
        return None
    try:
        part = _Part(task, options)
    except ValueError:
        name = task.checksum.algorithm if task.checksum else ""
        msg = f"{task.what}: cannot be checked: unknown checksum algorithm {name[:40]!r}"
        raise ChecksumError(msg) from None
    except OSError as error:
        raise disk_error(task.part, error) from error
    try:
        try:
            _until_right(part, task, options)
            part.sync()
            arrived = Arrived(part.size, part.checksum())
        finally:
            part.close()
        task.part.replace(task.target)
        left = re.compile(rf"{re.escape(task.target.name[:_PART_STEM])}[.][0-9a-f]{{12}}[.]part", re.ASCII)
        for stale in task.target.parent.glob("*.part"):
            if left.fullmatch(stale.name):
                stale.unlink(missing_ok=True)  # what is left of other versions
        return arrived
    except OSError as error:
        raise disk_error(task.part, error) from error


def _until_right(part: _Part, task: FetchTask, options: FetchOptions) -> None:
    """Receive until size and checksum are right; a wrong checksum gets one more chance from the first byte."""
    backoff, best, wrong = options.backoff(), part.size, 0
    while True:
        try:
            if part.known_size is None or part.size < part.known_size:
                _receive(part, task, options)
            _check(part)
            return
        except ServiceError as error:
            if error.status != 416 or part.size == 0:
                raise
            part.restart()  # the file ends before the range that was asked for: begin again
            backoff.wait(TryAgain("the service has no such range", 416), task.what)
        except TryAgain as error:
            # Progress earns new attempts, but a server that sends a few bytes a connection does not go on forever.
            if part.size >= best + max(_PROGRESS_BYTES, (task.size or 0) // 100):
                best, backoff.attempts = part.size, 0
            backoff.wait(error, task.what)
        except _MismatchError as mismatch:
            wrong += 1
            if wrong > 1:
                raise _quarantined(part, task, str(mismatch)) from None
            part.restart()
            best = 0


def _check(part: _Part) -> None:
    fault = part.difference()
    if fault is not None:
        raise _MismatchError(fault)


def _receive(part: _Part, task: FetchTask, options: FetchOptions) -> None:
    """Receive what is missing, in one attempt, and not one byte more than announced."""
    with options.open(task.url, task.what, part.size) as body:
        packed = body.headers.get("Content-Encoding", "identity").strip().lower()
        if packed not in ("", "identity"):
            msg = f"{task.what}: the service packs the file ({packed[:40]!r}), unasked; try again later"
            raise ServiceError(msg)
        _place(part, task, body)
        announced = announced_length(body.headers)
        end = None if announced is None else part.size + announced
        if task.size is not None and end is not None and end != task.size:
            msg = f"expected {task.size} bytes, but the service announces {end}"
            raise _MismatchError(msg)
        if task.size is None and (end or 0) > task.limit:
            msg = f"{task.what}: the service announces {end} bytes, more than the product has"
            raise ServiceError(msg)
        wanted = task.size if task.size is not None else end
        stop = options.backoff().stop
        while wanted is None or part.size < wanted:
            room = (task.limit + 1 if wanted is None else wanted) - part.size
            data = body.read(min(options.chunk_size, room))
            if not data:
                break
            part.write(data)
            if part.size > task.limit and wanted is None:
                msg = f"{task.what}: the body does not end; the product is not that large"
                raise ServiceError(msg)
            if stop.is_set():
                raise Stopped
        if wanted is not None and part.size < wanted:
            msg = f"the body ended after {part.size} of {wanted} bytes"
            raise TryAgain(msg)
        part.known_size = part.size


def _place(part: _Part, task: FetchTask, body: _Body) -> None:
    """Make the part end where the body begins."""
    if part.size == 0 and body.status == 200:
        return
    match = _CONTENT_RANGE.fullmatch(body.headers.get("Content-Range", "").strip())
    fits = (
        body.status == 206
        and match is not None
        and int(match[1]) == part.size
        and (match[3] == "*" or task.size is None or int(match[3]) == task.size)
    )
    if fits:
        return
    part.restart()
    if body.status != 200:  # neither the whole file nor the range that was asked for
        msg = "the service sent another range than was asked for"
        raise TryAgain(msg, body.status)


def _quarantined(part: _Part, task: FetchTask, fault: str) -> ChecksumError:
    part.close()
    where = f"; the second copy is in {task.quarantine}"
    try:
        task.quarantine.parent.mkdir(parents=True, exist_ok=True)
        task.part.replace(task.quarantine)
    except OSError:
        where = ""
        with suppress(OSError):
            task.part.unlink(missing_ok=True)
    return ChecksumError(f"{task.what}: arrived twice with wrong content: {fault}{where}; run again later")


def disk_error(path: Path, error: OSError) -> S2PipeError:
    """Return what an error of the file system means for the run."""
    if is_full(error):
        return disk_full(path, error)
    return S2PipeError(
        f"{path}: cannot be written: {error.strerror or error}; check permissions and the disk"
    )


def _content_fault(name: str, head: bytes) -> str | None:
    """Check a file's first bytes where there is no checksum: services answer 200 with an error's text."""
    suffix = name.rpartition(".")[2].lower()
    if suffix == "jp2" and not head.startswith(_JP2):
        return "is no JPEG 2000 file"
    if suffix in ("xml", "gml", "safe") and not head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"<"):
        return "is no XML file"
    return None
