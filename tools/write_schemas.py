"""Write the JSON Schemas of the configurations from their dataclasses: ``python tools/write_schemas.py``.

A test holds the files in ``schemas/`` equal to what this makes.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from s2pipe.config.fields import schema_of
from s2pipe.config.steps import STEPS, Step

SCHEMAS = Path(__file__).resolve().parent.parent / "schemas"


def config_schema(step: Step) -> dict[str, Any]:
    """Return the whole schema document of a step's configuration."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"https://s2pipe.invalid/schemas/{step.schema}.schema.json",
        "title": f"Configuration of `s2pipe {step.name}`: the value of the top-level key {step.name!r}",
        **schema_of(step.config_class),
    }


def schema_text(step: Step) -> str:
    """Return the file's content."""
    return json.dumps(config_schema(step), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    for step in STEPS.values():
        (SCHEMAS / f"{step.schema}.schema.json").write_text(schema_text(step), encoding="utf-8")
