"""Configuration: frozen dataclasses are the one source of names, types, defaults, help and schemas.

A configuration file is JSON or YAML with one top-level key per step. It is checked against the JSON Schema
made from the dataclass, so that every fault is reported at once, and then turned into that dataclass.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import inspect
import os
import textwrap
import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from s2pipe.config.documents import text_keyed
from s2pipe.runtime.paths import user_path

T = TypeVar("T")
_JSON_TYPES = {str: "string", int: "integer", float: "number", bool: "boolean", Path: "string"}


@dataclass(frozen=True)
class Rule:
    """Extra JSON Schema keywords for an annotated field: ``Annotated[int, Rule({"minimum": 0})]``."""

    keywords: Mapping[str, Any]
    """Keywords merged into the schema of the field's own type."""


@dataclass(frozen=True)
class FieldInfo:
    """One field of a configuration dataclass."""

    name: str
    """Key in the file and attribute of the dataclass."""
    annotation: Any
    """Type, without ``Annotated``."""
    keywords: Mapping[str, Any]
    """Extra schema keywords."""
    default: Any
    """Default value, or ``dataclasses.MISSING`` when the key is mandatory."""
    doc: str
    """The text under the field: meaning, unit, range, and what None means."""

    @property
    def is_required(self) -> bool:
        """True when a file must state the key."""
        return self.default is MISSING

    @property
    def nested(self) -> type | None:
        """The dataclass behind this key, if it is one."""
        return self.annotation if dataclasses.is_dataclass(self.annotation) else None  # type: ignore[return-value]


@functools.cache
def field_infos(cls: type) -> tuple[FieldInfo, ...]:
    """Describe the fields of a configuration dataclass, in order."""
    hints = get_type_hints(cls, include_extras=True)
    docs = _field_docs(cls)
    infos = []
    for field in dataclasses.fields(cls):
        if not field.init:
            continue
        annotation, keywords = hints[field.name], {}
        if get_origin(annotation) is Annotated:
            annotation, *extras = get_args(annotation)
            for extra in extras:
                keywords.update(extra.keywords)
        default = field.default
        if field.default_factory is not MISSING:
            default = field.default_factory()
        infos.append(FieldInfo(field.name, annotation, keywords, default, docs.get(field.name, "")))
    return tuple(infos)


def _field_docs(cls: type) -> dict[str, str]:
    """Read the string literal under each field of a class, and of those it derives from, from their sources."""
    docs: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        if "__dataclass_fields__" in vars(base):
            docs |= _own_field_docs(base)
    return docs


def _own_field_docs(cls: type) -> dict[str, str]:
    tree = ast.parse(textwrap.dedent(inspect.getsource(cls))).body[0]
    docs: dict[str, str] = {}
    if not isinstance(tree, ast.ClassDef):
        return docs
    for field, text in zip(tree.body, tree.body[1:], strict=False):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(text, ast.Expr)
            and isinstance(text.value, ast.Constant)
        ):
            docs[field.target.id] = " ".join(str(text.value.value).split())
    return docs


def with_sections(cls: type, document: Any) -> Any:
    """Return a document with an empty object for each section that it needs; its schema then says what these lack."""
    if not isinstance(document, dict):
        return document
    needed = (info.name for info in field_infos(cls) if info.nested is not None and info.is_required)
    return {**{name: {} for name in needed}, **document}


def schema_of(cls: type) -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a configuration dataclass as a plain object schema."""
    properties, required = {}, []
    for info in field_infos(cls):
        schema = {**_type_schema(info.annotation), **info.keywords, "description": info.doc}
        if info.is_required:
            required.append(info.name)
        elif info.nested is None:
            schema["default"] = to_plain(info.default)
        properties[info.name] = schema
    return {
        "type": "object",
        "description": inspect.cleandoc(cls.__doc__ or "").split("\n\n")[0].replace("\n", " "),
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def _type_schema(annotation: Any) -> dict[str, Any]:
    if dataclasses.is_dataclass(annotation):
        return schema_of(typing.cast("type", annotation))
    if annotation in _JSON_TYPES:
        return {"type": _JSON_TYPES[annotation]}
    if annotation is type(None):
        return {"type": "null"}
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return {"enum": list(args)}
    if origin in (Union, types.UnionType):
        return _union_schema([_type_schema(arg) for arg in args])
    if origin is tuple and args[1:] == (Ellipsis,):
        return {"type": "array", "items": _type_schema(args[0])}
    if origin is tuple:
        items = [_type_schema(arg) for arg in args]
        return {"type": "array", "prefixItems": items, "minItems": len(items), "maxItems": len(items)}
    if origin is dict:
        keys = {"propertyNames": {"pattern": "^(0|-?[1-9][0-9]*)$"}} if args[0] is int else {}
        return {"type": "object", "additionalProperties": _type_schema(args[1]), **keys}
    msg = f"no JSON Schema for configuration type {annotation!r}"
    raise TypeError(msg)


def _union_schema(options: list[dict[str, Any]]) -> dict[str, Any]:
    simple = [option for option in options if set(option) == {"type"}]
    if len(simple) == len(options):
        return {"type": [option["type"] for option in options]}
    if {"type": "null"} in options and len(options) == 2:
        option = next(option for option in options if option != {"type": "null"})
        if "enum" in option:
            return {"enum": [*option["enum"], None]}
        return {**option, "type": [option["type"], "null"]}
    return {"anyOf": options}


def from_plain(cls: type[T], document: Mapping[str, Any]) -> T:
    """Build a configuration dataclass from a document that has passed its schema."""
    hints = {info.name: info.annotation for info in field_infos(typing.cast("type", cls))}
    return cls(**{key: _convert(hints[key], value) for key, value in document.items()})


def _convert(annotation: Any, value: Any) -> Any:
    if value is None:
        return None
    if dataclasses.is_dataclass(annotation):
        return from_plain(typing.cast("type", annotation), value)
    if annotation is Path:
        return user_path(value)
    if annotation is float and isinstance(value, int):
        return float(value)
    if annotation is int and isinstance(value, float):  # JSON Schema takes 1.0 for an integer
        return int(value)
    origin, args = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        return _convert(_matching_option(args, value), value)
    if origin is tuple:
        kinds = [args[0]] * len(value) if args[1:] == (Ellipsis,) else args
        return tuple(_convert(kind, item) for kind, item in zip(kinds, value, strict=True))
    if origin is dict:
        return {args[0](key): _convert(args[1], item) for key, item in value.items()}
    return value


def _matching_option(options: tuple[Any, ...], value: Any) -> Any:
    """Pick the member of a union that a checked JSON value belongs to."""
    wanted: Any = {list: tuple, tuple: tuple, dict: dict}.get(typing.cast("Any", type(value)))
    for option in options:
        if (wanted and get_origin(option) is wanted) or (wanted is dict and dataclasses.is_dataclass(option)):
            return option
        if wanted is None and option in (type(value), Path) and get_origin(option) is None:
            return option
    return next(option for option in options if option is not type(None))


def to_plain(value: Any) -> Any:
    """Turn a configuration value into what JSON can hold: the inverse of :func:`from_plain`."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {info.name: to_plain(getattr(value, info.name)) for info in field_infos(type(value))}
    if isinstance(value, os.PathLike):
        return Path(value).as_posix()
    if isinstance(value, list | tuple):
        return [to_plain(item) for item in value]
    if isinstance(value, Mapping):
        return text_keyed((to_plain(key), to_plain(item)) for key, item in value.items())
    if type(value).__module__ == "numpy":  # scalars and arrays, without importing NumPy
        return value.tolist()
    return value
