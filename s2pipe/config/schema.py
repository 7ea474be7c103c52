"""JSON Schemas: where they are, and checks that report every fault with its path."""

from __future__ import annotations

import functools
import importlib
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from s2pipe.errors import MAX_FAULTS, DocumentError, Fault, ManifestError, abridged
from s2pipe.runtime.nearest import did_you_mean

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError

STEP1_INDEX = "s2pipe.step1.index.v2"
STEP1_RUN = "s2pipe.step1.run.v1"
STEP2_INDEX = "s2pipe.step2.index.v2"
STEP2_RUN = "s2pipe.step2.run.v1"
SAMPLE_META = "s2pipe.step2.sample_meta.v2"
NORMALIZE_STATS = "s2pipe.normalize.stats.v1"
STEP3_SPLIT = "s2pipe.step3.split.v1"
STEP3_SHARDS = "s2pipe.step3.shards.v1"
STEP3_SUMMARY = "s2pipe.step3.summary.v1"
SCHEMA_IDS: dict[str, str] = {
    STEP1_INDEX: "step1_index",
    STEP1_RUN: "step1_run",
    STEP2_INDEX: "step2_index",
    STEP2_RUN: "step2_run",
    SAMPLE_META: "sample_meta",
    NORMALIZE_STATS: "normalize_stats",
    STEP3_SPLIT: "step3_split",
    STEP3_SHARDS: "step3_shards",
    STEP3_SUMMARY: "step3_summary",
}
"""Schema id as documents carry it in ``schema`` -> name of its file in ``schemas/``, without ``.schema.json``."""

MISSING_KEY = "is missing, and has no default"
"""What is said of a key that a document has to state."""
_MAX_ERRORS = 10 * MAX_FAULTS
"""Errors of one document that are looked at; looking at all of a large one takes minutes."""
_PACKAGE = Path(__file__).parent.parent
_SCHEMA_DIRS = (_PACKAGE / "_schemas", _PACKAGE.parent / "schemas")


PARTS: dict[str, tuple[str, str, str]] = {
    "step1_scene": ("step1_index", "scenes", "s2pipe.dataset.document_rules:scene_faults"),
    "step2_sample": ("step2_index", "samples", "s2pipe.dataset.document_rules:sample_faults"),
}
"""Name of the schema of one entry of an index -> that of the index, the list there, and rules as in ``RULES``."""


@functools.cache
def load_schema(name: str) -> dict[str, Any]:
    """Load ``schemas/<name>.schema.json`` from the installed package or the source tree, or a part of one."""
    if name in PARTS:
        whole, key, _ = PARTS[name]
        schema = load_schema(whole)
        return {**schema["properties"][key]["items"], "$defs": schema.get("$defs", {})}
    for directory in _SCHEMA_DIRS:
        path = directory / f"{name}.schema.json"
        if path.is_file():
            document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            return document
    msg = f"schema {name!r} is in none of {', '.join(map(str, _SCHEMA_DIRS))}; reinstall s2pipe"
    raise FileNotFoundError(msg)


@functools.cache
def _validator(name: str) -> Any:
    from jsonschema import Draft202012Validator, validators

    # jsonschema compares each item with every other where items cannot be sorted.
    linear = validators.extend(  # type: ignore[no-untyped-call]
        Draft202012Validator, {"uniqueItems": _unique_items}
    )
    return linear(load_schema(name))


def _unique_items(_: Any, is_wanted: bool, instance: Any, __: Any) -> Iterator[ValidationError]:
    from jsonschema.exceptions import ValidationError

    if is_wanted and isinstance(instance, list):
        items = {json.dumps(_as_number(item), sort_keys=True) for item in instance}
        if len(items) < len(instance):
            yield ValidationError("an item is listed more than once")


def _as_number(value: Any) -> Any:
    """Spell equal numbers alike: 1 and 1.0 are the same value in JSON."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


RULES: dict[str, str] = {
    "step1_index": "s2pipe.dataset.document_rules:index_faults",
    "step1_run": "s2pipe.dataset.document_rules:download_run_faults",
    "step2_index": "s2pipe.dataset.document_rules:samples_faults",
    "step2_run": "s2pipe.dataset.document_rules:line_faults",
    "sample_meta": "s2pipe.dataset.document_rules:meta_faults",
    "step3_split": "s2pipe.ground.split_rules:split_faults",
    "step3_shards": "s2pipe.patches.document_rules:shards_faults",
    "step3_summary": "s2pipe.patches.document_rules:summary_faults",
    "normalize_stats": "s2pipe.preprocess.stats.stats_rules:content_faults",
}
"""Name of a schema -> ``module:function`` that returns the faults of a fitting document that it cannot express."""


def document_faults(document: Any, name: str) -> list[Fault]:
    """Return the faults of a document: against a named schema, in document order, else against its rules.

    NaN and infinity are faults. At most ``MAX_FAULTS`` are listed, and one more then says how many are left out: a
    document of another kind can have as many faults as values.
    """
    faults = [] if fits(document, name) else _schema_faults(document, name)
    where = PARTS[name][2] if name in PARTS else RULES.get(name)
    if faults or where is None:
        return faults
    module, function = where.split(":")
    rules: Callable[[Any], list[Fault]] = getattr(importlib.import_module(module), function)
    return abridged(rules(document))


def fits(document: Any, name: str) -> bool:
    """Tell whether a document surely fits a schema; where it may not, or nobody can tell fast, jsonschema decides."""
    validator = _fast_validator(name)
    try:
        return validator is not None and validator.is_valid(document) and _is_finite(document)
    except (ValueError, TypeError, OverflowError, RecursionError):  # values that JSON does not have
        return False


@functools.cache
def _fast_validator(name: str) -> Any:
    """What answers yes or no, a hundred times as fast as jsonschema lists faults; None where it is not installed."""
    try:
        import jsonschema_rs
    except ImportError:
        return None
    return jsonschema_rs.Draft202012Validator(load_schema(name))


def _is_finite(document: Any) -> bool:
    """Tell whether float64 can hold all numbers of a document (see :func:`_not_finite`)."""
    todo = [document]
    while todo:
        value = todo.pop()
        if isinstance(value, dict):
            todo += value.values()
        elif isinstance(value, list):
            todo += value
        elif isinstance(value, int | float) and not abs(value) <= sys.float_info.max:
            return False
    return True


def _schema_faults(document: Any, name: str) -> list[Fault]:
    found = list(islice(_validator(name).iter_errors(document), _MAX_ERRORS))
    errors = sorted(found, key=lambda error: [str(p) for p in error.absolute_path])
    infinite = list(islice(_not_finite(document, []), _MAX_ERRORS))
    known = {fault.path for fault in infinite}
    faults = [
        *infinite,
        *(fault for error in errors for fault in _faults_of(error) if fault.path not in known),
    ]
    return abridged(faults, is_all=max(len(found), len(infinite)) < _MAX_ERRORS)


def _not_finite(value: Any, path: list[str | int]) -> Iterator[Fault]:
    """Faults of numbers that float64 cannot hold: NaN and infinity, from YAML or options, and huge integers."""
    if isinstance(value, int | float) and not abs(value) <= sys.float_info.max:
        yield Fault(json_path(path), f"expected a finite number, got {_shown(value)}")
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _not_finite(item, [*path, key])
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _not_finite(item, [*path, number])


def validate_document(
    document: Any, name: str, source: str, error_class: type[DocumentError] = ManifestError
) -> None:
    """Raise ``error_class`` with all faults when a document does not fit the schema ``name``."""
    faults = document_faults(document, name)
    if faults:
        raise error_class(source, faults)


def json_path(parts: Iterable[str | int]) -> str:
    """Write a path as ``scenes[3].key.tile_id``."""
    text = ""
    for part in parts:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def _faults_of(error: ValidationError) -> list[Fault]:
    path = list(error.absolute_path)
    instance: Any = error.instance
    schema: Mapping[str, Any] = error.schema if isinstance(error.schema, Mapping) else {}
    if error.validator == "additionalProperties" and isinstance(schema.get("properties"), Mapping):
        known = list(schema["properties"])
        unknown = [key for key in instance if key not in schema["properties"]]
        # Finding what was meant takes a millisecond, so only for keys that will be listed.
        return [
            Fault(json_path([*path, key]), _unknown_key(key, known) if number < MAX_FAULTS else "unknown key")
            for number, key in enumerate(unknown)
        ]
    if error.validator == "required":
        missing = [key for key in schema["required"] if key not in instance]
        wanted = [key for key in missing if f"'{key}'" in error.message]
        return [Fault(json_path([*path, key]), MISSING_KEY) for key in wanted]
    return [Fault(json_path(path), _message(error, schema))]


def _unknown_key(key: str, known: list[str]) -> str:
    return "unknown key" + (did_you_mean(key, known) or f"; known keys: {', '.join(known)}")


def _message(error: ValidationError, schema: Mapping[str, Any]) -> str:
    instance: Any = error.instance
    got = _shown(instance)
    if error.validator == "enum":
        known = ["null" if value is None else str(value) for value in schema["enum"]]
        hint = did_you_mean(instance, known) if isinstance(instance, str) else ""
        return f"{got} is not one of {', '.join(known)}{hint}"
    if error.validator == "const":
        return f"{got} is not {schema['const']!r}"
    if error.validator == "type":
        wanted = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        return f"expected {' or '.join(wanted)}, got {got}"
    if error.validator in ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum"):
        sign = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}
        return f"expected a number {sign[error.validator]} {error.validator_value}, got {got}"
    if error.validator in ("minItems", "maxItems"):
        word = "at least" if error.validator == "minItems" else "at most"
        return f"expected {word} {error.validator_value} item(s), got {len(instance)}"
    if error.validator == "pattern":
        hint = did_you_mean(instance, schema.get("examples", ()))
        return f"{got} does not match the pattern {error.validator_value}{hint}"
    if error.validator == "uniqueItems":
        return f"an item is listed more than once in {got}"
    if error.validator == "anyOf":
        return f"{got} fits none of the allowed forms: {schema.get('description', error.validator_value)}"
    return error.message


def _shown(value: Any) -> str:
    text = "null" if value is None else repr(value)
    return text if len(text) <= 120 else f"{text[:117]}..."
