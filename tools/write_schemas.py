"""Write the JSON Schemas of the configurations from their dataclasses: ``python tools/write_schemas.py``.

A test holds the files in ``schemas/`` equal to what this makes.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from s2pipe.config.fields import schema_of
from s2pipe.config.steps import PIPELINE, STEPS, Step

SCHEMAS = Path(__file__).resolve().parent.parent / "schemas"


def config_schema(step: Step) -> dict[str, Any]:
    """Return the whole schema document of a step's configuration."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"https://s2pipe.invalid/schemas/{step.schema}.schema.json",
        "title": f"Configuration of `s2pipe {step.name}`: the value of the top-level key {step.name!r}",
        **schema_of(step.config_class),
    }


def pipeline_schema() -> dict[str, Any]:
    """Return the schema of a whole configuration file, which editors take from its ``$schema``."""
    steps = {
        step.name: {**schema_of(step.config_class), "description": f"Configuration of `s2pipe {step.name}`."}
        for step in STEPS.values()
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"https://s2pipe.invalid/schemas/{PIPELINE}.schema.json",
        "title": "Configuration file of s2pipe: one key per step",
        "type": "object",
        "properties": {
            "$schema": {
                "type": "string",
                "description": "Where this schema is, for editors; s2pipe does not read it.",
            },
            **steps,
        },
        "anyOf": [{"required": [name]} for name in steps],
        "additionalProperties": False,
    }


def schema_texts() -> dict[str, str]:
    """Return the content of every file, by its name in ``schemas/`` without ``.schema.json``."""
    documents = {step.schema: config_schema(step) for step in STEPS.values()} | {PIPELINE: pipeline_schema()}
    return {
        name: json.dumps(document, indent=2, ensure_ascii=False) + "\n"
        for name, document in documents.items()
    }


if __name__ == "__main__":
    for name, text in schema_texts().items():
        (SCHEMAS / f"{name}.schema.json").write_text(text, encoding="utf-8")
