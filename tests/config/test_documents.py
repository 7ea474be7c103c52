"""Configuration files are read strictly."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from s2pipe.config.documents import parse_json, parse_yaml, read_document
from s2pipe.config.steps import STEPS, read_step_document
from s2pipe.errors import ConfigError
from s2pipe.runtime.limits import MAX_CONFIG_BYTES, MAX_DOCUMENT_DEPTH, MAX_JSON_VALUES, MAX_YAML_BYTES

if TYPE_CHECKING:
    from pathlib import Path

LAUGHS = b"a0: &a0 [x, x, x]\n" + b"".join(
    b"a%d: &a%d [%s]\n" % (n, n, b", ".join([b"*a%d" % (n - 1)] * 9)) for n in range(1, 12)
)
"""The billion laughs: nine aliases on each of twelve levels."""
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
        ("a.json", b'{"a": "\\ud800"}', "half of a character"),
        ("a.json", b'{"\\udc80": 1}', "half of a character"),
        ("a.yaml", b'a: "\\ud800"', "half of a character"),
        ("a.json", b" " * (MAX_CONFIG_BYTES + 1), "larger than the"),
        ("a.yaml", b" " * (MAX_YAML_BYTES + 1), "larger than the"),
        ("a.yaml", b"[" * 100_000, "nested too deeply"),
        ("a.yaml", b"- " * 1000, "nested too deeply"),
        ("a.yaml", b"a: &a 1\nb: [" + b"*a," * 1001 + b"]", "more than 1000 aliases"),
        ("a.yaml", b"a: [" + b"1," * 60_000 + b"]", "more than 50000 values"),
        ("a.yaml", LAUGHS, "more than 50000 values, those behind aliases counted"),
        ("a.yaml", b"a: !!set {b}", "of the type set"),
        ("a.yaml", b"a: !!timestamp 2025-12-01", "of the type date"),
        ("a.yaml", b"a: !!float '" + b"1:" * 400 + b"1'", "a tagged value cannot be read"),
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


def test_merged_keys_are_overridden_wherever_the_merge_stands() -> None:
    text = """
    base: &base {a: 1, b: 1}
    other: &other {b: 2, c: 2, <<: {d: 2}}
    before: {<<: *base, a: 3}
    after: {a: 3, <<: *base}
    several: {<<: [*base, *other], c: 4}
    """
    document = parse_yaml(text)
    assert document["before"] == document["after"] == {"a": 3, "b": 1}
    assert document["several"] == {"a": 1, "b": 1, "c": 4, "d": 2}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("b: &b {a: 1}\nx: {<<: *b, a: 2, a: 3}", "the key 'a' is repeated in line 2"),
        ("b: &b {a: 1}\nx: {<<: *b, <<: *b}", "the key '<<' is repeated in line 2"),
        ("x: {<<: 1}", "expected a mapping or a list of mappings to merge"),
        ("x: {<<: [1]}", "expected a mapping or a list of mappings to merge"),
        ("x: &x {<<: *x}", "recursive node"),
    ],
)
def test_merges_that_mean_nothing_are_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_yaml(text)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32-le"])
def test_json_is_read_in_every_encoding_of_unicode(encoding: str) -> None:
    assert parse_json('{"a": "\u00e4\U0001f600"}'.encode(encoding)) == {"a": "\u00e4\U0001f600"}


@pytest.mark.parametrize("data", [b'"\xed\xa0\x80"', b'"\xff"', b"1" * 5000, b"\x00", b"[NaN]", b""])
def test_what_is_no_json_is_a_value_error(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_json(data)


@pytest.mark.parametrize("innermost", ["", "1", '"a"', '{"a": []}'])
def test_bytes_may_be_nested_as_deeply_as_text(innermost: str) -> None:
    def is_read(data: str | bytes) -> bool:
        try:
            parse_json(data)
        except ValueError as error:
            return "nested too deeply" not in str(error)
        return True

    found = []
    for depth in range(MAX_DOCUMENT_DEPTH - 3, MAX_DOCUMENT_DEPTH + 4):
        text = "[" * depth + innermost + "]" * depth
        found.append(is_read(text))
        assert is_read(text.encode()) == found[-1]
    assert found[0]
    assert not found[-1]


def test_json_with_too_many_values_is_not_parsed() -> None:
    with pytest.raises(ValueError, match="more than 20000000 values"):
        parse_json("[" + "1," * MAX_JSON_VALUES + "1]")


def test_unknown_numbers_of_other_writers_become_null() -> None:
    assert parse_json('{"a": [NaN, -Infinity]}', nan="null") == {"a": [None, None]}


def test_numbers_to_the_base_of_60_are_texts() -> None:
    assert parse_yaml("{a: 10:30, b: 4:1, c: 190:20:30.15, d: 12, e: 1.5, f: [4:1]}") == {
        "a": "10:30",
        "b": "4:1",
        "c": "190:20:30.15",
        "d": 12,
        "e": 1.5,
        "f": ["4:1"],
    }
