"""JSON and YAML files to plain values, strictly: a repeated key or a NaN is a fault, never a silent choice."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Hashable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from s2pipe.errors import ConfigError, Fault

if TYPE_CHECKING:
    from pathlib import Path


def read_document(path: Path) -> Any:
    """Read a JSON or YAML file into plain values whose mappings have text as keys.

    Parameters
    ----------
    path : Path
        The extension decides: ``.json``, ``.yaml`` or ``.yml``.

    Returns
    -------
    dict, list, str, int, float, bool or None
        Content of the file.

    Raises
    ------
    ConfigError
        The file is missing, has another extension, does not parse, or repeats a key.
    """
    source = str(path)
    suffix = path.suffix.lower()
    if suffix not in (".json", ".yaml", ".yml"):
        raise ConfigError(
            source, [Fault("", f"expected a .json, .yaml or .yml file, got {suffix or 'no extension'!r}")]
        )
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(source, [Fault("", "no such file; check the path")]) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(source, [Fault("", f"cannot be read: {error}")]) from error
    try:
        return _stringify_keys(parse_json(text) if suffix == ".json" else _parse_yaml(text))
    except ValueError as error:
        raise ConfigError(source, [Fault("", f"does not parse: {error}")]) from error
    except RecursionError:
        raise ConfigError(source, [Fault("", "does not parse: it is nested too deeply")]) from None


def parse_json(text: str) -> Any:
    """Parse JSON strictly.

    Raises
    ------
    ValueError
        The text is not JSON, repeats a key, or holds NaN or infinity.
    """

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = [key for key, _ in pairs]
        repeated = sorted({key for key in keys if keys.count(key) > 1})
        if repeated:
            msg = f"the key {', '.join(repeated)} is given more than once in one object"
            raise ValueError(msg)
        return dict(pairs)

    def refuse(constant: str) -> Any:
        msg = f"{constant} is not a JSON value"
        raise ValueError(msg)

    return json.loads(text, object_pairs_hook=unique, parse_constant=refuse)


def _parse_yaml(text: str) -> Any:
    import yaml

    try:
        return yaml.load(text, Loader=_yaml_loader())  # noqa: S506 - the loader is a SafeLoader
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from error
    except (
        LookupError,
        TypeError,
        AttributeError,
    ) as error:  # PyYAML raises them for tags such as `!!int ""`
        msg = f"a tagged value cannot be read ({error})"
        raise ValueError(msg) from error


@functools.cache
def _yaml_loader() -> type:
    """Make a SafeLoader that reads ``1e-4`` as a number and dates as text, and refuses repeated keys.

    PyYAML follows YAML 1.1, where ``1e-4`` (no dot) is a string and ``2025-12-01`` becomes a date object.
    """
    import yaml

    class Loader(yaml.SafeLoader):
        pass

    Loader.yaml_implicit_resolvers = {
        first: [(tag, regexp) for tag, regexp in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    number = re.compile(r"^[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)[eE][-+]?[0-9]+$")
    Loader.add_implicit_resolver("tag:yaml.org,2002:float", number, list("-+0123456789."))

    def construct_mapping(loader: Any, node: Any) -> dict[Any, Any]:
        loader.flatten_mapping(node)
        mapping: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            key = loader.construct_object(key_node, deep=True)
            line = key_node.start_mark.line + 1
            if not isinstance(key, Hashable):
                raise yaml.constructor.ConstructorError(
                    problem=f"a key in line {line} is a list or a mapping"
                )
            if key in mapping:
                raise yaml.constructor.ConstructorError(problem=f"the key {key!r} is repeated in line {line}")
            mapping[key] = loader.construct_object(value_node, deep=True)
        return mapping

    Loader.add_constructor("tag:yaml.org,2002:map", construct_mapping)
    return Loader


def _stringify_keys(value: Any) -> Any:
    """Turn the keys of every mapping into text; YAML allows numbers."""
    if isinstance(value, Mapping):
        return text_keyed((key, _stringify_keys(item)) for key, item in value.items())
    if isinstance(value, list):
        return [_stringify_keys(item) for item in value]
    return value


def text_keyed(pairs: Iterable[tuple[Any, Any]]) -> dict[str, Any]:
    """Make a mapping whose keys are text, as in JSON.

    Raises
    ------
    ValueError
        Two keys become the same text, such as 4 and "4".
    """
    mapping: dict[str, Any] = {}
    for key, item in pairs:
        if str(key) in mapping:
            msg = f"the key {key} is given twice, as text and as another type"
            raise ValueError(msg)
        mapping[str(key)] = item
    return mapping
