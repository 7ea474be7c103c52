"""Schema files, the reference and the examples agree with the dataclasses."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from s2pipe.config.steps import STEPS
from tests.paths import ROOT

if TYPE_CHECKING:
    from pathlib import Path

sys.path.insert(0, str(ROOT / "tools"))


@pytest.mark.parametrize("name", sorted(STEPS))
def test_schema_files_are_made_from_the_dataclasses(name: str) -> None:
    from write_schemas import schema_text

    path = ROOT / "schemas" / f"{name}_config.schema.json"
    assert path.read_text(encoding="utf-8") == schema_text(STEPS[name]), "run: python tools/write_schemas.py"


@pytest.mark.parametrize("path", sorted((ROOT / "configs").iterdir()), ids=lambda path: path.name)
def test_example_files_are_valid(path: Path) -> None:
    from s2pipe.cli.validate import file_faults

    assert file_faults(path) == []


def test_the_configuration_reference_is_made_from_the_dataclasses() -> None:
    from write_config_reference import TARGET, reference

    assert TARGET.read_text(encoding="utf-8") == reference(), "run: python tools/write_config_reference.py"
