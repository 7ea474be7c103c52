"""Records of files, and documents that carry their own checksum."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2pipe.dataset.proof import (
    SEAL,
    FileRecord,
    record_files,
    records_of,
    seal_fault,
    sealed_bytes,
    write_sealed,
)
from s2pipe.errors import PathEscapeError
from s2pipe.runtime.files import json_bytes

if TYPE_CHECKING:
    from pathlib import Path

_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
DOCUMENT = {"schema": "x", "names": ["a", "ä", "\u2028"], "mean": 0.1, "none": {}}


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=5), _VALUES, min_size=1))
def test_a_sealed_document_is_the_document_and_intact(document: dict[str, Any]) -> None:
    data = sealed_bytes(document)
    content = json.loads(data)
    seal = content.pop(SEAL)
    document.pop(SEAL, None)
    assert content == document
    assert seal == hashlib.sha256(json_bytes(document)).hexdigest()
    assert seal_fault(data) is None


def test_every_changed_byte_and_every_truncation_is_noticed() -> None:
    data = sealed_bytes(DOCUMENT)
    for place in range(len(data)):
        changed = bytearray(data)
        changed[place] ^= 0x04
        assert seal_fault(bytes(changed)) is not None or SEAL.encode() not in changed, place
        assert seal_fault(data[:place]) is not None
    assert seal_fault(data + b"\n") is not None


def test_documents_without_a_seal_say_nothing_about_themselves() -> None:
    assert seal_fault(json_bytes(DOCUMENT)) is None
    assert seal_fault(b"[1]") is None
    assert seal_fault(b'{"document_sha256": NaN}') is not None
    assert seal_fault(b'{"document_sha256": "\\ud800"}') is not None
    assert seal_fault(b"[" * 100_000) is not None


def test_records_tell_size_and_content(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(name.encode() * 3)
    records = record_files([(tmp_path / name, name) for name in ("b", "a")])
    assert [record.path for record in records] == ["b", "a"]
    assert records[0].sha256 == hashlib.sha256(b"bbb").hexdigest()
    assert records[0].is_at(tmp_path)
    (tmp_path / "b").write_bytes(b"bb")
    assert not records[0].is_at(tmp_path)
    assert not FileRecord("c", 0, "").is_at(tmp_path)
    with pytest.raises(PathEscapeError, match="is not a path"):
        FileRecord("", 0, "").is_at(tmp_path)
    write_sealed(tmp_path / "x.json", {"files": [record.to_document() for record in records]})
    assert records_of(json.loads((tmp_path / "x.json").read_bytes())["files"]) == records


@pytest.mark.parametrize(
    "document",
    [
        *(None, [], ["x.tif"], [{"path": "x.tif"}], {"path": "x.tif", "size": 1, "sha256": "0"}),
        [{"path": "../x.tif", "size": 1, "sha256": "0"}],
        [{"path": "/x.tif", "size": 1, "sha256": "0"}],
        [{"path": ".", "size": 1, "sha256": "0"}],
        [{"path": "x.tif", "size": "1", "sha256": "0"}],
        [{"path": "x.tif", "size": 1, "sha256": "0"}, None],
    ],
)
def test_what_is_no_list_of_records_is_none(document: object) -> None:
    assert records_of(document) is None
