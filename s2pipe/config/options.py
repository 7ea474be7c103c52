"""Command-line options made from configuration dataclasses: ``normalize.mode`` becomes ``--normalize.mode``."""

from __future__ import annotations

import copy
import dataclasses
import json
import re
import types
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin

from s2pipe.config.documents import parse_json, parse_yaml
from s2pipe.config.fields import FieldInfo, field_infos, to_plain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

_SEPARATOR = "__"
_TIGHT_KEY = re.compile(r"([{,]\s*-?[0-9]+):(?=\S)")
"""A number and its colon in ``{4:1}``, which YAML takes for one text."""


def options_class(
    config: type,
    extra: Sequence[tuple[str, Any, dataclasses.Field[Any]]] = (),
    short: Mapping[str, str] | None = None,
    usual: Sequence[str] = (),
) -> type:
    """Make the dataclass that argparse-dataclass turns into options.

    Parameters
    ----------
    config : type
        A configuration dataclass; nested ones give dotted options.
    extra : sequence of (name, type, field)
        Fields that are not configuration keys (the file itself, ``--quiet``).
    short : mapping, optional
        Alternative names of options, by the dotted path of their key.
    usual : sequence of str
        Dotted paths of the keys that a short help shows, beside those that have no default.

    Returns
    -------
    type
        A field is None when its option was not given, a switch False.
    """
    fields: list[Any] = list(extra)
    titles = _titles(config)
    for path, info in _leaves(config):
        name, key = _SEPARATOR.join(path), ".".join(path)
        flags = list(dict.fromkeys([option_of(key), f"--{key}"]))
        flags += [name for key, name in (short or {}).items() if key == ".".join(path)]
        group = ".".join(path[:-1])
        described = {
            "args": flags,
            "help": _escape(info.doc),
            "group": group,
            "group_title": titles[group],
            "is_usual": info.is_required or key in usual,
            "type_text": type_text(info),
            "values": _choices(info),
            "default_text": "" if info.is_required else _default_text(info.default),
        }
        if info.annotation is bool:
            fields.append(
                (name, bool, dataclasses.field(default=False, metadata={**described, "is_switch": True}))
            )
            opposite = {
                "args": [flag.replace("--", "--no-", 1) for flag in flags],
                "help": f"The opposite of {flags[0]}.",
                "opposite_of": flags[0],
            }
            fields.append(
                (f"no{_SEPARATOR}{name}", bool, dataclasses.field(default=False, metadata=opposite))
            )
            continue
        metadata = {**described, "type": _parser(info.annotation), "metavar": "VALUE"}
        if _is_list(info.annotation):
            metadata["nargs"] = "+"
        fields.append((name, object, dataclasses.field(default=None, metadata=metadata)))
    return dataclasses.make_dataclass(f"{config.__name__}Options", fields, frozen=True)


def option_of(key: str) -> str:
    """Return the option of a configuration key: ``--normalize.stats-path`` of ``normalize.stats_path``."""
    return f"--{key.replace('_', '-')}"


def overrides(options: Any, config: type) -> dict[tuple[str, ...], Any]:
    """Return the configuration values that were given as options, by path."""
    given: dict[tuple[str, ...], Any] = {}
    for path, info in _leaves(config):
        name = _SEPARATOR.join(path)
        value = getattr(options, name)
        if info.annotation is bool:
            if value:
                given[path] = True
            elif getattr(options, f"no{_SEPARATOR}{name}"):
                given[path] = False
        elif value is not None:
            given[path] = _one_file(info.annotation, _split(info, _Null.strip(value)))
    return given


def _split(info: FieldInfo, value: Any) -> Any:
    """Take ``B02,B03`` for two values where a list is of names that have no commas, or of numbers."""
    if not isinstance(value, list):
        return value
    if float in chain(*map(get_args, _members(info.annotation))) and len(value) == 1:
        return _numbers(value[0]) or value
    if not _choices(info):
        return value
    parts = [item.split(",") if isinstance(item, str) else [item] for item in value]
    return [part for some in parts for part in some]


def _numbers(text: Any) -> list[float] | None:
    """Return the numbers of ``1,2.5``; None for anything else."""
    try:
        return [float(part) for part in text.split(",")] if isinstance(text, str) and "," in text else None
    except ValueError:
        return None


def _one_file(annotation: Any, value: Any) -> Any:
    """Take a single value that names a file for the file, where a key takes a list or a file."""
    if (
        Path in _members(annotation)
        and isinstance(value, list)
        and len(value) == 1
        and Path(value[0]).is_file()
    ):
        return value[0]
    return value


def merged(document: Mapping[str, Any], given: Mapping[tuple[str, ...], Any]) -> dict[str, Any]:
    """Return a configuration document in which option values replace those of the file."""
    result = copy.deepcopy(dict(document))
    for path, value in given.items():
        place = result
        for key in path[:-1]:
            inner = place.setdefault(key, {})
            if not isinstance(inner, dict):  # a fault of the file that its schema reports
                break
            place = inner
        else:
            place[path[-1]] = value
    return result


def _leaves(config: type, prefix: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], FieldInfo]]:
    for info in field_infos(config):
        path = (*prefix, info.name)
        if info.nested is not None:
            yield from _leaves(info.nested, path)
        else:
            yield path, info


def _titles(config: type, prefix: str = "", title: str = "options of the run") -> dict[str, str]:
    """Titles of the groups of options, by the dotted path of the dataclass behind them."""
    titles = {prefix: title}
    for info in field_infos(config):
        if info.nested is not None:
            path = f"{prefix}.{info.name}".lstrip(".")
            words = re.split(r"[.;](?:\s|$)", info.doc)[0]
            titles |= _titles(info.nested, path, f"{words} (--{path}.*)")
    return titles


class _Null:
    """Stands for an explicit ``null`` on the command line, where None means that nothing was given."""

    @classmethod
    def strip(cls, value: Any) -> Any:
        if isinstance(value, list):
            return None if value and isinstance(value[0], cls) else value
        return None if isinstance(value, cls) else value


def _members(annotation: Any) -> tuple[Any, ...]:
    if get_origin(annotation) in (Union, types.UnionType):
        return tuple(arg for arg in get_args(annotation) if arg is not type(None))
    return (annotation,)


def _is_list(annotation: Any) -> bool:
    """Tell whether an option takes several values; where a key takes a text as well, the option takes that."""
    return str not in _members(annotation) and any(
        get_origin(member) is tuple for member in _members(annotation)
    )


def _parser(annotation: Any) -> Callable[[str], Any]:
    """Return the function that turns an option's text into a JSON value; the schema checks it afterwards."""
    nullable = annotation not in (str, Path) and type(None) in get_args(annotation)
    kinds = []
    for member in _members(annotation):
        origin, args = get_origin(member), get_args(member)
        kinds += [args[0]] if origin is tuple else [member]

    choices = {str(value): value for kind in kinds if get_origin(kind) is Literal for value in get_args(kind)}

    def parse(text: str) -> Any:
        if nullable and text.lower() == "null":
            return _Null()
        if text in choices:
            return choices[text]
        if any(get_origin(kind) is dict or dataclasses.is_dataclass(kind) for kind in kinds):
            for read in (parse_json, parse_yaml):  # {"4": 1}, and {4: 1} as the docs write it
                try:
                    return read(_TIGHT_KEY.sub(r"\1: ", text))
                except ValueError:
                    continue
            return text
        for kind in (int, float):
            if kind in kinds and str not in kinds:
                try:
                    return kind(text)
                except ValueError:
                    continue
        return text

    return parse


_TYPE_NAMES = {str: "TEXT", int: "INTEGER", float: "NUMBER", Path: "PATH", bool: "TRUE|FALSE"}
_MANY_CHOICES = 90
"""Characters of a list of choices that is too long to stand behind an option."""


def type_text(info: FieldInfo) -> str:
    """Say which values an option takes: ``{none,apply}``, ``INTEGER``, ``NUMBER NUMBER``, ``PATH|null``."""
    names, members = [], _members(info.annotation)
    for member in members:
        args = get_args(member)
        if get_origin(member) is tuple and str in members:  # the option takes the text
            continue
        if get_origin(member) is tuple and args[1:] == (Ellipsis,):
            names.append(f"{_type_name(args[0], info)} ...")
        elif get_origin(member) is tuple:
            names.append(" ".join(_type_name(arg, info) for arg in args))
        else:
            names.append(_type_name(member, info))
    if type(None) in get_args(info.annotation):
        names.append("null")
    return "|".join(dict.fromkeys(names))


def _type_name(kind: Any, info: FieldInfo) -> str:
    choices = get_args(kind) if get_origin(kind) is Literal else info.keywords.get("enum", ())
    if choices:
        text = ",".join(map(str, choices))
        return "{" + (text if len(text) <= _MANY_CHOICES else f"{text[: _MANY_CHOICES - 4]} ...") + "}"
    return _TYPE_NAMES.get(kind, "JSON")


def _choices(info: FieldInfo) -> tuple[str, ...]:
    """Values that an option takes, where they are a list, so that shells can complete them."""
    found = [
        str(value) for value in info.keywords.get("enum", info.keywords.get("items", {}).get("enum", ()))
    ]
    for member in _members(info.annotation):
        for kind in (member, *get_args(member)) if get_origin(member) is tuple else (member,):
            if get_origin(kind) is Literal:
                found += map(str, get_args(kind))
    return tuple(dict.fromkeys(found))


def _default_text(value: Any) -> str:
    plain = to_plain(value)
    if isinstance(plain, list) and all(isinstance(item, str | int | float) for item in plain):
        return " ".join(map(str, plain)) or "none"
    return plain if isinstance(plain, str) else json.dumps(plain)


def _escape(text: str) -> str:
    return text.replace("%", "%%")
