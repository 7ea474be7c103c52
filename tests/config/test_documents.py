"""Configuration files are read strictly."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from s2pipe.config.documents import read_document
from s2pipe.config.steps import STEPS, read_step_document
from s2pipe.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

MINIMAL = {"index_json": "i.json", "out_dir": "out", "target_grid_ref": "B02", "l1c_bands": ["B02"]}


def test_json_and_yaml_say_the_same(tmp_path: Path) -> None:
    document = {"preprocess": {**MINIMAL, "normalize": {"hist_bin_width": 1e-4, "clip_percentiles": None}}}
    (tmp_path / "a.json").write_text(json.dumps(document))
    (tmp_path / "a.yaml").write_text(
        "preprocess:\n  index_json: i.json\n  out_dir: out\n  target_grid_ref: B02\n  l1c_bands: [B02]\n"
        "  normalize:\n    hist_bin_width: 1e-4\n    clip_percentiles: null\n"
    )
    assert read_document(tmp_path / "a.yaml") == document == read_document(tmp_path / "a.json")


def test_yaml_dates_stay_text_and_integer_keys_become_text(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text("date: 2025-12-01T00:00:00.000Z\nmapping: {4: 1}\n")
    document = read_document(tmp_path / "a.yml")
    assert document == {"date": "2025-12-01T00:00:00.000Z", "mapping": {"4": 1}}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", '{"a": 1, "a": 2}', "given more than once"),
        ("a.json", '{"a": NaN}', "NaN is not a JSON value"),
        ("a.json", "{", "does not parse"),
        ("a.yaml", "a: 1\na: 2\n", "repeated in line 2"),
        ("a.yaml", "a: [", "does not parse"),
        ("a.yaml", "!!python/object/apply:os.system [ls]", "does not parse"),
        ("a.txt", "", "expected a .json, .yaml or .yml file"),
        ("a.json", "[]", "expected an object"),
        ("a.json", '{"preproces": {}}', "preproces: unknown key"),
        ("a.json", '{"$schema": "x"}', "preprocess: is missing"),
        ("a.json", '{"preprocess": []}', "preprocess: expected an object"),
    ],
)
def test_unusable_files_are_clear_errors(tmp_path: Path, name: str, content: str, message: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(ConfigError, match=message):
        read_step_document(tmp_path / name, STEPS["preprocess"])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.yaml", b"? [a, b]\n: 1\n", "a key in line 1 is a list or a mapping"),
        ("a.yaml", b"? {a: b}\n: 1\n", "a key in line 1 is a list or a mapping"),
        ("a.yaml", b"a: &a [*a]\n", "recursive node"),
        ("a.yaml", b'a: !!int ""\n', "a tagged value cannot be read"),
        ("a.yaml", b"preprocess: {labels: {mapping: {4: 1, '4': 2}}}", "the key 4 is given twice"),
        ("a.json", b"[" * 100_000, "nested too deeply"),
        ("a.json", b'{"a": ' * 5000 + b"1" + b"}" * 5000, "nested too deeply"),
        ("a.json", b"\xff\xfe", "cannot be read"),
    ],
)
def test_odd_files_are_clear_errors(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        read_step_document(tmp_path / name, STEPS["preprocess"])


@pytest.mark.parametrize("name", ["a.json", "a.yaml"])
def test_a_byte_order_mark_is_skipped(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b'\xef\xbb\xbf{"preprocess": {"num_workers": 1}}')
    assert read_step_document(tmp_path / name, STEPS["preprocess"]) == {"num_workers": 1}


def test_a_missing_file_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        read_document(tmp_path / "absent.json")
