"""Configuration dataclasses: texts, plain forms and types."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator

from s2pipe.config.fields import FieldInfo, field_infos, from_plain, schema_of, to_plain
from s2pipe.config.schema import document_faults
from s2pipe.config.steps import STEPS, build_config
from s2pipe.preprocess.cfg import LabelConfig, NormalizeConfig, PreprocessConfig

if TYPE_CHECKING:
    from collections.abc import Iterator


MINIMAL = {"index_json": "i.json", "out_dir": "out", "target_grid_ref": "B02", "l1c_bands": ["B02"]}


def _all_fields(cls: type) -> list[tuple[str, FieldInfo]]:
    found: list[tuple[str, FieldInfo]] = []
    for info in field_infos(cls):
        found.append((f"{cls.__name__}.{info.name}", info))
        if info.nested:
            found += _all_fields(info.nested)
    return found


@pytest.mark.parametrize("name", sorted(STEPS))
def test_every_field_has_a_line_that_explains_it(name: str) -> None:
    for where, info in _all_fields(STEPS[name].config_class):
        assert len(info.doc) >= 7, f"{where} has no text under it"


@pytest.mark.parametrize("name", sorted(STEPS))
def test_defaults_pass_their_own_schema(name: str) -> None:
    def faults(cls: type, schema: dict[str, Any]) -> Iterator[str]:
        for info in field_infos(cls):
            own = schema["properties"][info.name]
            if info.nested:
                yield from faults(info.nested, own)
            elif not info.is_required:
                yield from (f"{info.name}: {e.message}" for e in validator(own).iter_errors(own["default"]))

    validator = Draft202012Validator
    assert list(faults(STEPS[name].config_class, schema_of(STEPS[name].config_class))) == []


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
