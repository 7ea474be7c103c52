"""Write the reference of all configuration keys from the dataclasses: ``python tools/write_config_reference.py``.

A test compares docs/configuration.md with the output of this program.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from s2pipe.config.fields import FieldInfo, field_infos, schema_of, to_plain
from s2pipe.config.steps import STEPS

if TYPE_CHECKING:
    from collections.abc import Iterator

TARGET = Path(__file__).resolve().parent.parent / "docs" / "configuration.md"
_HEAD = """# Configuration reference

Generated from the dataclasses by `tools/write_config_reference.py`; do not edit.

A configuration file is JSON or YAML, by its extension. It has one top-level key per step, so one file can describe a
whole pipeline. Unknown keys are errors. Relative paths are relative to the working directory. Every key is also an
option of the command: `normalize.mode` is `--normalize.mode`.

`schemas/pipeline_config.schema.json` describes a whole configuration file. Editors complete keys, explain them and mark
errors if the file names that schema: in JSON with `"$schema": "../schemas/pipeline_config.schema.json"`, in YAML with
the comment `# yaml-language-server: $schema=../schemas/pipeline_config.schema.json` as its first line. The examples in
`configs/` do. s2pipe itself takes the key `$schema` and does not follow it.
"""


def reference() -> str:
    """Return the whole document as Markdown."""
    parts = [_HEAD]
    for step in STEPS.values():
        parts.append(f"\n## `{step.name}`\n\n{(step.config_class.__doc__ or '').strip()}\n")
        parts.append(_table(step.config_class, schema_of(step.config_class), ""))
    return "".join(parts)


def _table(cls: type, schema: dict[str, Any], prefix: str) -> str:
    rows = "".join(
        f"| `{key}` | {kind} | {default} | {doc} |\n"
        for key, kind, default, doc in _rows(cls, schema, prefix)
    )
    return f"\n| key | values | default | meaning |\n| --- | --- | --- | --- |\n{rows}"


def _rows(cls: type, schema: dict[str, Any], prefix: str) -> Iterator[tuple[str, str, str, str]]:
    for info in field_infos(cls):
        inner = schema["properties"][info.name]
        if info.nested:
            yield from _rows(info.nested, inner, f"{prefix}{info.name}.")
        else:
            yield f"{prefix}{info.name}", _kind(inner), _default(info), info.doc.replace("|", "\\|")


def _kind(schema: dict[str, Any]) -> str:
    if "enum" in schema:
        return ", ".join(f"`{'null' if value is None else value}`" for value in schema["enum"])
    if "anyOf" in schema:
        return " or ".join(_kind(option) for option in schema["anyOf"])
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    if "items" in schema:
        return " or ".join(
            "list of " + _item_kind(schema["items"]) if kind == "array" else kind for kind in kinds
        )
    return " or ".join(kinds).replace("array", "list")


def _item_kind(schema: dict[str, Any]) -> str:
    return "names" if "enum" in schema else f"{schema.get('type', 'value')}s"


def _default(info: FieldInfo) -> str:
    return "mandatory" if info.default is dataclasses.MISSING else f"`{json.dumps(to_plain(info.default))}`"


if __name__ == "__main__":
    TARGET.write_text(reference(), encoding="utf-8")
