"""Schemas report every fault with its path."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest
from jsonschema import Draft202012Validator

from s2pipe.config.documents import parse_json
from s2pipe.config.schema import document_faults
from s2pipe.config.steps import STEPS, build_config, read_step_document
from s2pipe.errors import ConfigError
from tests.paths import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MINIMAL = {"index_json": "i.json", "out_dir": "out", "target_grid_ref": "B02", "l1c_bands": ["B02"]}


@pytest.mark.parametrize("path", sorted((ROOT / "schemas").glob("*.json")), ids=lambda path: path.name)
def test_every_schema_is_a_schema(path: Path) -> None:
    schema = json.loads(path.read_text())
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"].endswith("2020-12/schema")
    assert path.name in schema["$id"]


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
        (
            {"target_grid_ref": None},
            "preprocess.target_grid_ref: expected either target_grid_ref or target_grid",
        ),
        (
            {"target_grid": {"crs": "EPSG:3035"}},
            "preprocess.target_grid_ref: expected either target_grid_ref or",
        ),
        ({"target_grid": {"crs": "EPSG:3035"}}, "preprocess.target_grid.resolution: is needed"),
        ({"target_grid": {"crs": "EPSG:3035"}}, "preprocess.target_grid.bounds: is needed"),
        ({"target_grid": {"resolution": 10}}, "preprocess.target_grid.resolution: has no effect without"),
        ({"target_grid": {"bounds": [5, 5, 5, 9]}}, "preprocess.target_grid.bounds: has no effect without"),
        (
            {"target_grid": {"crs": "x", "bounds": [5, 5, 5, 9]}},
            "expected left < right and bottom < top, got 5,",
        ),
        ({"target_grid": {"resolution": 0}}, "preprocess.target_grid.resolution: expected a number > 0.0"),
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
        "preprocess.typo",
    ]


@pytest.mark.parametrize("key", ["04", "+4", "4.0", ""])
def test_classes_have_one_spelling(key: str) -> None:
    with pytest.raises(ConfigError, match=r"preprocess\.labels\.mapping"):
        build_config({**MINIMAL, "labels": {"mapping": {key: 1}}}, STEPS["preprocess"], "x")


def test_integers_beyond_float64_are_faults() -> None:
    document = {**MINIMAL, "normalize": {"hist_range": [0, 10**400]}}
    with pytest.raises(ConfigError, match=r"hist_range\[1\]: expected a finite number, got 1000"):
        build_config(document, STEPS["preprocess"], "x")


def test_infinity_in_yaml_is_a_fault_with_its_path(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("preprocess: {normalize: {hist_range: [0, .inf]}}")
    document = {**MINIMAL, **read_step_document(tmp_path / "a.yaml", STEPS["preprocess"])}
    with pytest.raises(ConfigError, match=r"normalize\.hist_range\[1\]: expected a finite number, got inf"):
        build_config(document, STEPS["preprocess"], "x")


def _many_keys() -> object:
    return parse_json(json.dumps({**MINIMAL, **{f"l1c_band{number}": number for number in range(60_000)}}))


def _many_faulty_items() -> object:
    return {"schema": "s2pipe.step1.index.v2", "scenes": [{"key": number} for number in range(60_000)]}


def _mixed_items() -> object:
    return {**MINIMAL, "l1c_bands": [item for number in range(30_000) for item in (str(number), number)]}


@pytest.mark.parametrize(
    ("make", "schema", "more"),
    [
        (_many_keys, "preprocess_config", "... and 59900 more"),
        (_many_faulty_items, "step1_index", "... and at least 900 more"),
        (_mixed_items, "preprocess_config", "... and at least 900 more"),
    ],
)
def test_a_document_with_a_fault_a_value_is_refused_at_once(
    make: Callable[[], object], schema: str, more: str
) -> None:
    document_faults({}, schema)  # jsonschema's import takes time
    started = time.process_time()
    faults = document_faults(make(), schema)
    assert time.process_time() - started < 1.0
    assert (len(faults), str(faults[-1])) == (101, more)


@pytest.mark.parametrize(
    ("items", "count"), [([1, 1.0], 1), ([True, 1], 0), ([{"a": 1}, {"a": 1}], 1), ([1, "1"], 0)]
)
def test_items_are_the_same_when_json_says_so(items: list[object], count: int) -> None:
    document = {**MINIMAL, "l1c_bands": items}
    texts = [fault.message for fault in document_faults(document, "preprocess_config")]
    assert sum("listed more than once" in text for text in texts) == count
