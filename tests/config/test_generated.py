"""Schema files, the reference and the examples agree with the dataclasses."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import pytest

from s2pipe.cli.validate import file_faults
from s2pipe.config.documents import read_document
from s2pipe.config.fields import field_infos
from s2pipe.config.schema import document_faults, load_schema
from s2pipe.config.steps import PIPELINE, STEPS
from tests.paths import ROOT

if TYPE_CHECKING:
    from pathlib import Path

sys.path.insert(0, str(ROOT / "tools"))
CONFIGS = sorted((ROOT / "configs").iterdir())


def test_schema_files_are_made_from_the_dataclasses() -> None:
    from write_schemas import schema_texts

    for name, text in schema_texts().items():
        path = ROOT / "schemas" / f"{name}.schema.json"
        assert path.read_text(encoding="utf-8") == text, "run: python tools/write_schemas.py"


def _keys_of_class(cls: type, prefix: str) -> set[str]:
    keys = {f"{prefix}.{info.name}" for info in field_infos(cls)}
    nested = ((info.nested, f"{prefix}.{info.name}") for info in field_infos(cls) if info.nested is not None)
    return keys.union(*(_keys_of_class(inner, path) for inner, path in nested))


def _keys_of_schema(schema: dict[str, Any], prefix: str) -> set[str]:
    properties = schema.get("properties", {})
    keys = {f"{prefix}.{name}" for name in properties}
    return keys.union(*(_keys_of_schema(inner, f"{prefix}.{name}") for name, inner in properties.items()))


def test_the_schema_of_a_file_has_exactly_the_keys_of_the_dataclasses() -> None:
    properties = load_schema(PIPELINE)["properties"]
    assert set(properties) == {"$schema", *STEPS}
    for name, step in STEPS.items():
        assert _keys_of_schema(properties[name], name) == _keys_of_class(step.config_class, name)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_examples_name_the_schema_and_fit_it(path: Path) -> None:
    document = read_document(path)
    schema = (path.parent / document["$schema"]).resolve()
    assert schema == ROOT / "schemas" / f"{PIPELINE}.schema.json"
    if path.suffix == ".yaml":
        first = path.read_text(encoding="utf-8").splitlines()[0]
        assert first == f"# yaml-language-server: $schema={document['$schema']}"
    assert document_faults(document, PIPELINE) == []


@pytest.mark.parametrize(
    "document",
    [
        {},
        [],
        {"$schema": "a"},
        {"$schema": 1, "patches": {"index_json": "a", "out_dir": "b"}},
        {"patches": {"index_json": "a", "out_dir": "b"}, "report": {}},
        {"patches": {"index_json": "a", "out_dir": "b", "patchsize": 1}},
        {"patches": {"index_json": "a"}},
        {"preprocess": None},
        {"download": {"query": {"cloud_max": 101.0}}},
    ],
)
def test_what_the_schema_refuses_validate_refuses_too(tmp_path: Path, document: Any) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(document))
    assert document_faults(document, PIPELINE) != []
    assert file_faults(path) != []


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_example_files_are_valid(path: Path) -> None:
    assert file_faults(path) == []


def test_the_configuration_reference_is_made_from_the_dataclasses() -> None:
    from write_config_reference import TARGET, reference

    assert TARGET.read_text(encoding="utf-8") == reference(), "run: python tools/write_config_reference.py"
