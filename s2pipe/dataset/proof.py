"""How written files prove themselves: records of size and SHA-256, and documents that carry their own checksum."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import IO, TYPE_CHECKING, Any

from s2pipe.config.documents import parse_json
from s2pipe.dataset.entry_document import LISTS, document_pieces, entry_line
from s2pipe.runtime.cores import core_count
from s2pipe.runtime.files import json_bytes, write_bytes_atomic
from s2pipe.runtime.hashing import hash_bytes, hash_file, new_hash
from s2pipe.runtime.paths import InsidePath, is_safe_relative

if TYPE_CHECKING:
    from pathlib import Path

ALGORITHM = "sha256"
SEAL = "document_sha256"
"""Last key of a sealed document: the SHA-256 of its bytes as they would be without this key."""
_SEAL_AT_END = re.compile(rb',\n  "document_sha256": "([0-9a-f]{64})"\n}\n\Z')
_SEAL_BYTES = 128
_PIECE_BYTES = 1 << 20
_CLOSING = b"\n}\n"


@dataclass(frozen=True)
class FileRecord:
    """What a document says about a file that was written."""

    path: str
    """Path relative to the root that the document names, forward slashes."""
    size: int
    """Bytes."""
    sha256: str
    """SHA-256, lower-case hexadecimal."""

    @classmethod
    def of(cls, path: Path, name: str) -> FileRecord:
        """Record a finished file under a name."""
        return cls(name, path.stat().st_size, hash_file(path, ALGORITHM))

    @classmethod
    def of_bytes(cls, data: bytes, name: str) -> FileRecord:
        """Record a file with this content."""
        return cls(name, len(data), hash_bytes(data, ALGORITHM))

    @classmethod
    def from_document(cls, document: object) -> FileRecord | None:
        """Read the JSON form; None for anything else, and for a path that leaves its root."""
        if not isinstance(document, Mapping):
            return None
        path, size, sha256 = (document.get(name) for name in ("path", "size", "sha256"))
        if not (isinstance(path, str) and isinstance(size, int) and isinstance(sha256, str)):
            return None
        names_a_file = is_safe_relative(path) and PurePosixPath(path).name != ""
        return cls(path, size, sha256) if names_a_file else None

    def to_document(self) -> dict[str, Any]:
        """Return the JSON form."""
        return dict(vars(self))

    def is_at(self, root: Path) -> bool:
        """Tell whether the file is there and has its size; its content is not looked at."""
        return InsidePath(root, self.path).is_file(self.size)

    def difference(self, root: Path, count: Callable[[int], None] | None = None) -> str | None:
        """Say how the file below a root differs from what was written; None when it does not.

        Parameters
        ----------
        root : Path
            Directory that the path is relative to.
        count : callable, optional
            Told the number of bytes of every piece that was read.
        """
        path = InsidePath(root, self.path).path
        try:
            size = path.stat().st_size
            if size != self.size:
                return f"expected {self.size} bytes, got {size}"
            found = hash_file(path, ALGORITHM, count)
        except FileNotFoundError:
            return "is missing"
        except OSError as error:
            return f"cannot be read: {error.strerror}"
        return None if found == self.sha256 else f"expected SHA-256 {self.sha256}, got {found}"


def record_files(files: Iterable[tuple[Path, str]]) -> list[FileRecord]:
    """Record several finished files, given with their names, in parallel; the order stays."""
    with ThreadPoolExecutor(core_count(), "s2pipe-hash") as pool:
        return list(pool.map(lambda file: FileRecord.of(*file), files))


def records_of(document: object) -> list[FileRecord] | None:
    """Read a list of records; None when it is none, is empty, or holds anything else."""
    if not isinstance(document, list) or not document:
        return None
    records = [FileRecord.from_document(item) for item in document]
    return [record for record in records if record is not None] if None not in records else None


def sealed_bytes(document: Mapping[str, Any]) -> bytes:
    """Serialise a document (one key at least) with its seal."""
    content = json_bytes({key: value for key, value in document.items() if key != SEAL})
    return content.removesuffix(_CLOSING) + _seal(hash_bytes(content, ALGORITHM))


def sealed_pieces(content: Iterable[bytes]) -> Iterator[bytes]:
    """Add the seal to a document that is serialised in pieces, all but its closing brace."""
    digest = new_hash(ALGORITHM)
    for piece in content:
        digest.update(piece)
        yield piece
    digest.update(_CLOSING)
    yield _seal(digest.hexdigest())


def _seal(checksum: str) -> bytes:
    return f',\n  "{SEAL}": "{checksum}"\n}}\n'.encode()


def write_sealed(path: Path, document: Mapping[str, Any]) -> None:
    """Write a JSON document with its seal, atomically."""
    write_bytes_atomic(path, sealed_bytes(document))


def is_unchanged(document: Mapping[str, Any]) -> bool:
    """Tell whether a document's content is what its seal says, however it is formatted; true without a seal."""
    if SEAL not in document:
        return True
    content = {key: value for key, value in document.items() if key != SEAL}
    sealed: bool = hash_bytes(json_bytes(content), ALGORITHM) == document[SEAL]
    key = list(content)[-1] if content else None
    if sealed or key not in LISTS or len(content) == 1:
        return sealed
    head = {name: value for name, value in content.items() if name != key}
    pieces = document_pieces(head, key, map(entry_line, content[key]))
    *_, seal = sealed_pieces(pieces)
    return seal == _seal(document[SEAL])


def seal_fault(data: bytes) -> str | None:
    """Say why bytes are not the sealed document that was written; None when they are, or carry no seal."""
    try:
        document = parse_json(data)
    except ValueError as error:
        return f"is not JSON: {error}"
    if not isinstance(document, dict) or SEAL not in document:
        return None
    found = _SEAL_AT_END.search(data, max(0, len(data) - _SEAL_BYTES))
    if found is not None:
        digest = new_hash(ALGORITHM)
        digest.update(memoryview(data)[: found.start()])
        digest.update(_CLOSING)
        if digest.hexdigest().encode() == found[1]:
            return None
    return f"is not what was written: its content does not match its {SEAL}"


def seal_of_file(path: Path) -> str | None:
    """Return the seal at the end of a file, which is not compared with its content; None without file or seal."""
    try:
        with path.open("rb") as stream:
            stream.seek(max(0, stream.seek(0, os.SEEK_END) - _SEAL_BYTES))
            end = stream.read()
    except OSError:
        return None
    found = _SEAL_AT_END.search(end)
    return None if found is None else found[1].decode()


def is_intact(stream: IO[bytes]) -> bool:
    """Tell whether an open file ends with a seal and is what that is of, byte by byte."""
    size = stream.seek(0, os.SEEK_END)
    stream.seek(max(0, size - _SEAL_BYTES))
    end = stream.read()
    found = _SEAL_AT_END.search(end)
    if found is None:
        return False
    left = size - len(end) + found.start()
    stream.seek(0)
    digest = new_hash(ALGORITHM)
    while left and (piece := stream.read(min(left, _PIECE_BYTES))):
        digest.update(piece)
        left -= len(piece)
    digest.update(_CLOSING)
    return digest.hexdigest() == found[1].decode()


def is_sealed(document: object) -> bool:
    """Tell whether a document carries a seal."""
    return isinstance(document, dict) and SEAL in document
