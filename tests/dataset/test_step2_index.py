"""The Step-2 index lists what lies on disk, complete, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from s2pipe.config.schema import document_faults
from s2pipe.dataset.proof import FileRecord, sealed_bytes
from s2pipe.dataset.step2_index import check_index, update_index, updated_afterwards
from s2pipe.errors import ManifestError, S2PipeError
from tests.patches.patchdata import Scene, write_step2

SCENES = [Scene(shape_yx=(20, 30)), Scene(shape_yx=(20, 30), sensing="2025-08-03T10:00:00Z")]
FIRST, SECOND = (Path(scene.directory) for scene in SCENES)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two samples on disk, and no index."""
    write_step2(tmp_path, SCENES).unlink()
    return tmp_path


def listed(path: Path) -> list[str]:
    document = json.loads(path.read_text())
    assert document_faults(document, "step2_index") == []
    return [Path(entry["meta_path"]).parent.as_posix() for entry in document["samples"]]


def fingerprint(root: Path, directory: Path) -> str:
    found: str = json.loads((root / directory / "meta.json").read_text())["fingerprint"]
    return found


def test_samples_join_those_that_are_listed_in_the_order_of_their_keys(root: Path) -> None:
    assert listed(update_index(root, [SECOND], {})) == [SECOND.as_posix()]
    path = update_index(root, [FIRST], {})
    assert listed(path) == [FIRST.as_posix(), SECOND.as_posix()]
    entry = json.loads(path.read_text())["samples"][0]
    assert (
        entry["files"][0]
        == FileRecord.of(root / FIRST / "meta.json", f"{FIRST.as_posix()}/meta.json").to_document()
    )
    check_index(root)


def test_what_is_not_whole_is_not_listed(root: Path) -> None:
    update_index(root, [FIRST, SECOND], {})
    x = root / FIRST / "x.tif"
    x.write_bytes(x.read_bytes()[:-1])
    assert listed(update_index(root, [], {})) == [SECOND.as_posix()]
    meta = json.loads((root / SECOND / "meta.json").read_text())
    (root / SECOND / "meta.json").write_bytes(sealed_bytes(meta).replace(b"2025", b"2024"))
    assert listed(update_index(root, [SECOND], {})) == []


def test_a_scene_that_failed_keeps_only_a_sample_of_this_configuration(root: Path) -> None:
    update_index(root, [FIRST, SECOND], {})
    same, other = {FIRST: fingerprint(root, FIRST)}, {FIRST: "sha256:other"}
    assert listed(update_index(root, [], same)) == [FIRST.as_posix(), SECOND.as_posix()]
    assert listed(update_index(root, [], other)) == [SECOND.as_posix()]
    assert listed(update_index(root, [], {SECOND: None})) == []


def test_a_damaged_index_is_refused_before_anything_is_made(root: Path) -> None:
    check_index(root)
    path = update_index(root, [FIRST], {})
    path.write_text("{")
    with pytest.raises(ManifestError, match="cannot be read as JSON"):
        check_index(root)
    with pytest.raises(ManifestError):
        update_index(root, [SECOND], {})
    assert path.read_text() == "{"


def test_the_first_error_is_the_one_that_is_raised(caplog: pytest.LogCaptureFixture) -> None:
    def fails() -> None:
        msg = "the update"
        raise S2PipeError(msg)

    with pytest.raises(ValueError, match="the work"), updated_afterwards(fails):
        msg = "the work"
        raise ValueError(msg)
    assert "the index of samples was not updated: the update" in caplog.text
    with pytest.raises(S2PipeError, match="the update"), updated_afterwards(fails):
        pass
