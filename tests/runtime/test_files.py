"""Atomic writes."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from s2pipe.errors import OutputError
from s2pipe.runtime.files import (
    atomic_path,
    check_writable,
    named_errors,
    write_bytes_atomic,
    write_json_atomic,
)

if TYPE_CHECKING:
    from pathlib import Path


def test_a_failed_write_leaves_the_old_content(tmp_path: Path) -> None:
    target = tmp_path / "index.json"
    write_json_atomic(target, {"a": 1})
    with pytest.raises(ValueError, match="JSON"):
        write_json_atomic(target, {"a": float("nan")})
    with pytest.raises(RuntimeError, match="stopped"), atomic_path(target) as temporary:
        temporary.write_text("half")
        msg = "stopped"
        raise RuntimeError(msg)
    assert json.loads(target.read_text()) == {"a": 1}
    assert list(tmp_path.iterdir()) == [target]


def test_a_temporary_file_lies_beside_its_target_and_keeps_the_suffix(tmp_path: Path) -> None:
    target = tmp_path / "new" / "x.tif"
    with atomic_path(target) as temporary:
        assert (temporary.parent, temporary.suffix) == (target.parent, ".tif")
        assert not temporary.exists()
        temporary.write_bytes(b"whole")
    assert target.read_bytes() == b"whole"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")  # noqa: PTH110 - a device, not a file
def test_a_full_disk_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    target = tmp_path / "x.bin"
    with (
        pytest.raises(OSError, match="No space") as caught,
        named_errors(target),
        open("/dev/full", "wb", buffering=0) as stream,  # noqa: PTH123 - a device, not a file
    ):
        stream.write(b"x")
    assert caught.value.filename == str(target)


def test_a_directory_that_cannot_be_written_is_a_clear_error(tmp_path: Path) -> None:
    write_bytes_atomic(tmp_path / "file", b"")
    with pytest.raises(OutputError, match=r"file: cannot be written to .*choose another directory"):
        check_writable(tmp_path / "file")
    check_writable(tmp_path / "new")
    assert list((tmp_path / "new").iterdir()) == []
