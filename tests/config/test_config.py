"""Configurations: dataclasses, schemas, options and example files hold together."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from s2pipe.cli.common import parse
from s2pipe.cli.step import step_options
from s2pipe.config.fields import MISSING, field_infos, from_plain, read_document, schema_of, to_plain
from s2pipe.config.options import merged, overrides
from s2pipe.config.schema import document_faults
from s2pipe.config.steps import STEPS, build_config, read_step_document
from s2pipe.errors import ConfigError
from s2pipe.preprocess.cfg import LabelConfig, NormalizeConfig, PreprocessConfig
from s2pipe.preprocess.run import check
from tests.paths import ROOT

sys.path.insert(0, str(ROOT / "tools"))
MINIMAL = {"index_json": "i.json", "out_dir": "out", "target_grid_ref": "B02", "l1c_bands": ["B02"]}


@pytest.mark.parametrize("name", sorted(STEPS))
def test_schema_files_are_made_from_the_dataclasses(name: str) -> None:
    from write_schemas import schema_text

    path = ROOT / "schemas" / f"{name}_config.schema.json"
    assert path.read_text(encoding="utf-8") == schema_text(STEPS[name]), "run: python tools/write_schemas.py"


@pytest.mark.parametrize("path", sorted((ROOT / "schemas").glob("*.json")), ids=lambda path: path.name)
def test_every_schema_is_a_schema(path: Path) -> None:
    schema = json.loads(path.read_text())
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"].endswith("2020-12/schema")
    assert path.name in schema["$id"]


def _all_fields(cls: type) -> list[tuple[str, object]]:
    found: list[tuple[str, object]] = []
    for info in field_infos(cls):
        found.append((f"{cls.__name__}.{info.name}", info))
        if info.nested:
            found += _all_fields(info.nested)
    return found


@pytest.mark.parametrize("name", sorted(STEPS))
def test_every_field_has_a_line_that_explains_it(name: str) -> None:
    for where, info in _all_fields(STEPS[name].config_class):
        assert len(info.doc) >= 7, f"{where} has no text under it"  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", sorted(STEPS))
def test_defaults_pass_their_own_schema(name: str) -> None:
    for _, info in _all_fields(STEPS[name].config_class):
        if info.default is not MISSING and info.nested is None:  # type: ignore[attr-defined]
            schema = schema_of(STEPS[name].config_class)
            assert schema  # the schema of the whole is built without an unknown type


def test_a_configuration_survives_its_plain_form() -> None:
    config = PreprocessConfig(
        Path("i.json"),
        Path("out"),
        "B02",
        ("B02", "B8A"),
        labels=LabelConfig(enabled=True, mapping={4: 1, 5: 2}),
        normalize=NormalizeConfig(scenes=("T33UWQ/2025-12-10T10:03:19Z",), clip_percentiles=None),
    )
    plain = json.loads(json.dumps(to_plain(config)))
    assert document_faults(plain, "preprocess_config") == []
    assert from_plain(PreprocessConfig, plain) == config


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"l1c_band": ["B02"]}, "preprocess.l1c_band: unknown key; did you mean 'l1c_bands'?"),
        ({"num_workers": "two"}, "preprocess.num_workers: expected integer, got 'two'"),
        ({"target_grid_ref": "B99"}, "preprocess.target_grid_ref: 'B99' is not one of scl_20m, B01"),
        ({"normalize": {"mode": "aply"}}, "'aply' is not one of none, compute_only, apply_with_stats"),
        ({"valid_min_fraction": 1.5}, "preprocess.valid_min_fraction: expected a number <= 1.0, got 1.5"),
        ({"l1c_bands": []}, "preprocess.l1c_bands: expected at least 1 item(s), got 0"),
        ({"l1c_bands": None}, "preprocess.l1c_bands: expected either l1c_bands or bands, got neither"),
        ({"bands": ["l2a.B04_10m"]}, "preprocess.l1c_bands: expected either l1c_bands or bands, got both"),
        ({"normalize": {"hist_range": [0]}}, "preprocess.normalize.hist_range: expected at least 2 item(s)"),
        ({"labels": {"mapping": {"a": 1}}}, "preprocess.labels.mapping"),
        ({"out_dir": None}, "preprocess.out_dir: expected string, got null"),
    ],
)
def test_faults_name_file_path_and_expectation(change: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build_config({**MINIMAL, **change}, STEPS["preprocess"], "my.json")
    assert str(caught.value).startswith("my.json: ")
    assert message in str(caught.value)


def test_all_faults_are_reported_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        build_config({"out_dir": 3, "typo": 1}, STEPS["preprocess"], "my.json")
    paths = [fault.path for fault in caught.value.faults]
    assert sorted(paths) == [
        "preprocess.index_json",
        "preprocess.out_dir",
        "preprocess.target_grid_ref",
        "preprocess.typo",
    ]


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


def test_integers_written_with_a_point_are_integers() -> None:
    document = {
        **MINIMAL,
        "num_workers": 2.0,
        "max_scenes": 3.0,
        "labels": {"mapping": {"4": 1.0}, "ignore_index": 254.0},
        "normalize": {"max_pixels_per_scene": 1000.0, "seed": 7.0, "hist_range": [0, 2]},
    }
    config = build_config(document, STEPS["preprocess"], "x")
    numbers = (config.num_workers, config.max_scenes, config.labels.mapping[4], config.labels.ignore_index)
    assert numbers == (2, 3, 1, 254)
    drawn = (config.normalize.max_pixels_per_scene, config.normalize.seed)
    assert {type(number) for number in (*numbers, *drawn)} == {int}
    assert {type(number) for number in config.normalize.hist_range} == {float}


@pytest.mark.parametrize("key", ["04", "+4", "4.0", ""])
def test_classes_have_one_spelling(key: str) -> None:
    with pytest.raises(ConfigError, match=r"preprocess\.labels\.mapping"):
        build_config({**MINIMAL, "labels": {"mapping": {key: 1}}}, STEPS["preprocess"], "x")


@pytest.mark.parametrize("text", ["nan", "inf", "-inf"])
def test_numbers_that_are_none_are_faults_with_their_path(text: str) -> None:
    given = _parsed("--valid-min-fraction", text)
    with pytest.raises(ConfigError) as caught:
        build_config(merged(MINIMAL, given), STEPS["preprocess"], "x")
    expected = f"x: preprocess.valid_min_fraction: expected a finite number, got {text}"
    assert str(caught.value) == expected


def test_integers_beyond_float64_are_faults() -> None:
    document = {**MINIMAL, "normalize": {"hist_range": [0, 10**400]}}
    with pytest.raises(ConfigError, match=r"hist_range\[1\]: expected a finite number, got 1000"):
        build_config(document, STEPS["preprocess"], "x")


def test_infinity_in_yaml_is_a_fault_with_its_path(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("preprocess: {normalize: {hist_range: [0, .inf]}}")
    document = {**MINIMAL, **read_step_document(tmp_path / "a.yaml", STEPS["preprocess"])}
    with pytest.raises(ConfigError, match=r"normalize\.hist_range\[1\]: expected a finite number, got inf"):
        build_config(document, STEPS["preprocess"], "x")


@pytest.mark.parametrize("low", ["-1e-1", "-.1", "-0.1"])
def test_negative_numbers_are_no_options(low: str) -> None:
    given = _parsed("--normalize.hist-range", low, "2.0")
    assert given == {("normalize", "hist_range"): [-0.1, 2.0]}


def test_configurations_made_in_python_are_brought_to_their_types() -> None:
    given = PreprocessConfig(
        index_json="i.json",  # type: ignore[arg-type]
        out_dir="out",  # type: ignore[arg-type]
        target_grid_ref="B02",
        l1c_bands=["B02", "B8A"],  # type: ignore[arg-type]
        num_workers=np.int64(2),  # type: ignore[arg-type]
        valid_min_fraction=np.float32(0.5),  # type: ignore[arg-type]
        overwrite=np.bool_(True),  # type: ignore[arg-type]
        labels=LabelConfig(mapping={np.int64(4): np.uint8(1)}),  # type: ignore[dict-item]
        normalize=NormalizeConfig(hist_range=np.array([-0.5, 1.5]), max_pixels_per_scene=np.int32(9)),  # type: ignore[arg-type]
    )
    expected = PreprocessConfig(
        Path("i.json"),
        Path("out"),
        "B02",
        ("B02", "B8A"),
        num_workers=2,
        valid_min_fraction=0.5,
        overwrite=True,
        labels=LabelConfig(mapping={4: 1}),
        normalize=NormalizeConfig(hist_range=(-0.5, 1.5), max_pixels_per_scene=9),
    )
    checked = check(given)
    assert checked == expected
    assert isinstance(checked.index_json, Path)
    assert type(checked.num_workers) is int
    with pytest.raises(ConfigError, match="the key 4 is given twice"):
        check(replace(expected, labels=LabelConfig(mapping={4: 1, "4": 2})))  # type: ignore[dict-item]
    with pytest.raises(ConfigError, match="expected a PreprocessConfig, got dict"):
        check({"out_dir": "out"})  # type: ignore[arg-type]


def test_a_missing_file_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        read_document(tmp_path / "absent.json")


def _parsed(*arguments: str) -> dict[tuple[str, ...], object]:
    options = parse("preprocess", "", step_options(STEPS["preprocess"]), arguments)
    return overrides(options, PreprocessConfig)


def test_options_override_nested_keys() -> None:
    given = _parsed(
        "--num-workers", "3", "--normalize.mode", "none", "--normalize.clip-percentiles", "null",
        "--l1c-bands", "B02", "B8A", "--normalize.hist-range", "-0.1", "1.5", "--overwrite",
        "--no-to-toa-reflectance", "--labels.mapping", '{"4": 1}', "--max_scenes", "null",
    )  # fmt: skip
    document = merged({**MINIMAL, "normalize": {"seed": 5}}, given)
    config = build_config(document, STEPS["preprocess"], "x")
    assert (config.num_workers, config.max_scenes, config.overwrite, config.to_toa_reflectance) == (
        3,
        None,
        True,
        False,
    )
    assert config.l1c_bands == ("B02", "B8A")
    assert config.labels.mapping == {4: 1}
    assert config.normalize == NormalizeConfig(seed=5, hist_range=(-0.1, 1.5), clip_percentiles=None)


def test_no_option_changes_nothing() -> None:
    assert _parsed() == {}


@given(st.sampled_from(["--num-workers", "--max-scenes"]), st.text(min_size=1, max_size=5))
def test_wrong_option_values_reach_the_schema(flag: str, text: str) -> None:
    if text.startswith("-") or text.strip().lstrip("+").isdecimal() or text in ("null", "Null", "NULL", "~"):
        return
    given = _parsed(f"{flag}={text}")
    with pytest.raises(ConfigError):
        build_config(merged(MINIMAL, given), STEPS["preprocess"], "x")


@pytest.mark.parametrize("path", sorted((ROOT / "configs").iterdir()), ids=lambda path: path.name)
def test_example_files_are_valid(path: Path) -> None:
    from s2pipe.cli.validate import file_faults

    assert file_faults(path) == []


def test_the_configuration_reference_is_made_from_the_dataclasses() -> None:
    from write_config_reference import TARGET, reference

    assert TARGET.read_text(encoding="utf-8") == reference(), "run: python tools/write_config_reference.py"
