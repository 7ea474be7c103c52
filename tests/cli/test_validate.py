"""``s2pipe validate``: every fault of a file, with its path."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from s2pipe.cli import main

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from tests.conftest import Dataset


def test_validate_reports_every_fault_with_its_path(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "i.json").write_text(
        '{"schema": "s2pipe.step2.index.v2", "samples": [{"key": {}, "x_path": 3}]}'
    )
    (tmp_path / "r.jsonl").write_text('{"schema": "s2pipe.step2.run.v1"}\nnonsense\n')
    (tmp_path / "u.json").write_text('{"schema": "unknown"}')
    assert (
        main(["validate", *(str(tmp_path / name) for name in ("i.json", "r.jsonl", "u.json", "absent.json"))])
        == 2
    )
    text = capsys.readouterr().err
    assert "i.json: samples[0].x_path: expected string, got 3" in text
    assert "i.json: samples[0].key.tile_id: is missing" in text
    assert "r.jsonl: line 2: does not parse" in text
    assert "u.json: schema: 'unknown' is not one of" in text
    assert "absent.json: no such file" in text


def test_validate_reads_manifests_as_preprocess_does(
    dataset: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = json.loads(dataset.index_json.read_text())
    document["scenes"][0]["l1c"]["cloud_cover"] = float("nan")
    (tmp_path / "index.json").write_bytes(b"\xef\xbb\xbf" + json.dumps(document).encode())
    assert main(["validate", str(tmp_path / "index.json")]) == 0
    document["schema"] = "s2pipe.step2.index.v2"
    (tmp_path / "index.json").write_text(json.dumps(document))
    assert main(["validate", str(tmp_path / "index.json")]) == 2
    assert "NaN is not a JSON value" in capsys.readouterr().err


def test_lines_are_those_of_the_file_only(tmp_path: Path) -> None:
    line = {"schema": "s2pipe.step2.run.v1", "run_id": "r", "time_utc": "2025-12-10T10:03:19Z",
            "key": {"tile_id": "T33UWQ", "sensing_start_utc": "2025-12-10T10:03:19Z"},
            "status": "failed", "seconds": 0.0, "error": "a \u2028 b"}  # fmt: skip
    (tmp_path / "r.jsonl").write_text(json.dumps(line, ensure_ascii=False) + "\n", encoding="utf-8")
    assert main(["validate", str(tmp_path / "r.jsonl")]) == 0
