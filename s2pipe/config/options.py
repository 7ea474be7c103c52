"""Command-line options made from configuration dataclasses: ``normalize.mode`` becomes ``--normalize.mode``."""

from __future__ import annotations

import copy
import dataclasses
import types
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin

from s2pipe.config.documents import parse_json
from s2pipe.config.fields import FieldInfo, field_infos

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

_SEPARATOR = "__"


def options_class(
    config: type,
    extra: Sequence[tuple[str, Any, dataclasses.Field[Any]]] = (),
    short: Mapping[str, str] | None = None,
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

    Returns
    -------
    type
        A field is None when its option was not given, a switch False.
    """
    fields: list[Any] = list(extra)
    for path, info in _leaves(config):
        name, flag = _SEPARATOR.join(path), ".".join(path).replace("_", "-")
        flags = list(dict.fromkeys([f"--{flag}", f"--{'.'.join(path)}"]))
        flags += [name for key, name in (short or {}).items() if key == ".".join(path)]
        if info.annotation is bool:
            fields.append((name, bool, _switch(flags, info.doc)))
            off = [f.replace("--", "--no-", 1) for f in flags]
            fields.append((f"no{_SEPARATOR}{name}", bool, _switch(off, f"The opposite of {flags[0]}.")))
            continue
        metadata = {"args": flags, "help": _help(info), "type": _parser(info.annotation), "metavar": "VALUE"}
        if _is_list(info.annotation):
            metadata["nargs"] = "+"
        fields.append((name, object, dataclasses.field(default=None, metadata=metadata)))
    return dataclasses.make_dataclass(f"{config.__name__}Options", fields, frozen=True)


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
            given[path] = _one_file(info.annotation, _Null.strip(value))
    return given


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


def _switch(flags: list[str], doc: str) -> Any:
    return dataclasses.field(default=False, metadata={"args": flags, "help": _escape(doc)})


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
            try:
                return parse_json(text)
            except ValueError:
                return text
        for kind in (int, float):
            if kind in kinds and str not in kinds:
                try:
                    return kind(text)
                except ValueError:
                    continue
        return text

    return parse


def _help(info: FieldInfo) -> str:
    text = info.doc
    choices = [
        value
        for member in _members(info.annotation)
        if get_origin(member) is Literal
        for value in get_args(member)
    ]
    if choices:
        text += f" One of {', '.join(map(str, choices))}."
    return _escape(text)


def _escape(text: str) -> str:
    return text.replace("%", "%%")
