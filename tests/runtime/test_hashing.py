"""Checksums and fingerprints."""

from __future__ import annotations

import hashlib
import io
from typing import TYPE_CHECKING

import pytest

from s2pipe.runtime.hashing import bytes_fingerprint, document_fingerprint, hash_bytes, hash_file, hash_stream

if TYPE_CHECKING:
    from pathlib import Path

# NIST and RFC 1321 test vectors of the message "abc".
ABC_MD5 = "900150983cd24fb0d6963f7d28e17f72"
ABC_SHA256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
ABC_SHA3_256 = "3a985da74fe225b2045c172d6bd390bd855f086e3e9d525b46bfe24511431532"


@pytest.mark.parametrize(
    ("algorithm", "expected"),
    [
        ("MD5", ABC_MD5),
        ("md5", ABC_MD5),
        ("SHA3-256", ABC_SHA3_256),
        ("sha3_256", ABC_SHA3_256),
        ("sha256", ABC_SHA256),
    ],
)
def test_checksums_by_the_names_of_safe_manifests(tmp_path: Path, algorithm: str, expected: str) -> None:
    file = tmp_path / "a"
    file.write_bytes(b"abc")
    assert hash_file(file, algorithm) == expected
    assert hash_bytes(b"abc", algorithm) == expected
    assert hash_stream(io.BytesIO(b"abc"), algorithm) == expected


def test_a_file_of_several_chunks_is_hashed_to_its_end(tmp_path: Path) -> None:
    data = bytes(range(256)) * 10_000
    (tmp_path / "a").write_bytes(data)
    assert hash_file(tmp_path / "a", "sha256") == hashlib.sha256(data).hexdigest()


def test_an_unknown_algorithm_is_refused() -> None:
    with pytest.raises(ValueError, match=r"CRC-7|crc_7"):
        hash_bytes(b"", "CRC-7")


def test_fingerprints_do_not_depend_on_the_order_of_keys() -> None:
    assert bytes_fingerprint(b"abc") == f"sha256:{ABC_SHA256}"
    assert document_fingerprint({"a": 1, "b": [2]}) == document_fingerprint({"b": [2], "a": 1})
    assert document_fingerprint({"a": 1, "b": [2]}) == bytes_fingerprint(b'{"a": 1, "b": [2]}')
    with pytest.raises(TypeError):
        document_fingerprint({"a": object()})
