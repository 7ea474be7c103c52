"""Checksums of files, and fingerprints of documents."""

from __future__ import annotations

import hashlib
import json
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ALGORITHMS = frozenset(name for name in hashlib.algorithms_guaranteed if not name.startswith("shake"))
"""Checksum algorithms of every Python, whose checksums have a fixed length."""
_CHUNK_BYTES = 1 << 20
_FINGERPRINT_PREFIX = "sha256:"


def new_hash(algorithm: str) -> hashlib._Hash:
    """Return an empty hash object.

    Parameters
    ----------
    algorithm : str
        Name as SAFE manifests spell it, ``MD5`` or ``SHA3-256`` (any case), or another that every Python has.

    Raises
    ------
    ValueError
        Not every Python has such an algorithm, or its checksums have no fixed length (``SHAKE-128``).
    """
    name = algorithm.strip().lower().replace("-", "_")
    if name not in ALGORITHMS:
        msg = f"unknown checksum algorithm {algorithm[:40]!r}; known are {', '.join(sorted(ALGORITHMS))}"
        raise ValueError(msg)
    return hashlib.new(name, usedforsecurity=False)


def is_known_algorithm(algorithm: str) -> bool:
    """Tell whether :func:`new_hash` takes a name."""
    try:
        new_hash(algorithm)
    except ValueError:
        return False
    return True


def hash_stream(stream: IO[bytes], algorithm: str, count: Callable[[int], None] | None = None) -> str:
    """Return the checksum of what is left to read in a stream, as lower-case hexadecimal.

    Parameters
    ----------
    stream : binary file
        Read to its end, in chunks of 1 MiB.
    algorithm : str
        As :func:`new_hash` takes it.
    count : callable, optional
        Told the number of bytes of every piece.
    """
    digest = new_hash(algorithm)
    while chunk := stream.read(_CHUNK_BYTES):
        digest.update(chunk)
        if count is not None:
            count(len(chunk))
    return digest.hexdigest()


def hash_file(path: Path, algorithm: str, count: Callable[[int], None] | None = None) -> str:
    """Return a file's checksum as lower-case hexadecimal; see :func:`hash_stream`."""
    with path.open("rb") as stream:
        return hash_stream(stream, algorithm, count)


def hash_bytes(data: bytes, algorithm: str) -> str:
    """Return the checksum of bytes as lower-case hexadecimal; ``algorithm`` as :func:`new_hash` takes it."""
    digest = new_hash(algorithm)
    digest.update(data)
    return digest.hexdigest()


def bytes_fingerprint(data: bytes) -> str:
    """Return the SHA-256 of bytes in the form that documents store: ``sha256:`` and 64 hexadecimal digits."""
    return _FINGERPRINT_PREFIX + hash_bytes(data, "sha256")


def document_fingerprint(document: Any) -> str:
    """Return the fingerprint of a JSON document.

    Parameters
    ----------
    document : JSON value
        The order of keys does not matter.

    Raises
    ------
    TypeError
        The document holds something that JSON cannot.
    """
    return bytes_fingerprint(json.dumps(document, sort_keys=True).encode())
