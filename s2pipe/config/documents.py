"""JSON and YAML to plain values, strictly and within limits: the one place where text becomes a document.

A repeated key, a NaN or half of a character is a fault, never a silent choice, and no document costs more than its size
allows (:mod:`s2pipe.runtime.limits`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal

from s2pipe.errors import ConfigError, Fault
from s2pipe.runtime.limits import (
    MAX_CONFIG_BYTES,
    MAX_DOCUMENT_DEPTH,
    MAX_INDEX_BYTES,
    MAX_JSON_VALUES,
    MAX_YAML_BYTES,
    read_limited,
)
from s2pipe.runtime.paths import seen_from

if TYPE_CHECKING:
    from pathlib import Path

NanRule = Literal["refuse", "null", "keep"]
"""What is done with NaN and infinity in JSON."""
_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_SHOWN_KEYS = 5


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
        The file is missing, too large, has another extension, does not parse, or repeats a key.
    """
    source = str(path)
    suffix = path.suffix.lower()
    if suffix not in (".json", ".yaml", ".yml"):
        raise ConfigError(
            source, [Fault("", f"expected a .json, .yaml or .yml file, got {suffix or 'no extension'!r}")]
        )
    try:
        data = read_limited(path, MAX_CONFIG_BYTES if suffix == ".json" else MAX_YAML_BYTES)
        text = data.decode("utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(source, [Fault("", f"no such file{seen_from(path)}; check the path")]) from None
    except (OSError, ValueError) as error:
        raise ConfigError(source, [Fault("", f"cannot be read: {error}")]) from error
    try:
        return parse_json(text) if suffix == ".json" else parse_yaml(text)
    except ValueError as error:
        raise ConfigError(source, [Fault("", f"does not parse: {error}")]) from error


def read_json(path: Path, *, nan: NanRule = "refuse") -> Any:
    """Read an index or another JSON file of a dataset; ``nan`` as for :func:`parse_json`.

    Raises
    ------
    OSError
        The file cannot be read.
    ValueError
        It is too large, or no JSON as :func:`parse_json` has it.
    """
    return parse_json(read_limited(path, MAX_INDEX_BYTES), nan=nan)


def parse_json(data: str | bytes, *, nan: NanRule = "refuse") -> Any:
    """Parse JSON strictly.

    Parameters
    ----------
    data : str or bytes
        The document. Bytes are UTF-8, or UTF-16 or UTF-32, with or without a byte order mark.
    nan : {"refuse", "null", "keep"}
        What to do with NaN and infinity, which some writers leave for unknown numbers: the schema names the place of
        those that are kept.

    Raises
    ------
    ValueError
        The text is not JSON, repeats a key, holds NaN, infinity or half of a character, or is nested too deeply or
        holds too many values.
    """
    text = data if isinstance(data, str) else data.decode(json.detect_encoding(data))
    # No value comes without a comma or a bracket before it, so that this needs no parsing.
    if sum(map(text.count, ",[{")) > MAX_JSON_VALUES:
        msg = f"it holds more than {MAX_JSON_VALUES} values"
        raise ValueError(msg)

    def constant(name: str) -> float | None:
        if nan == "refuse":
            msg = f"{name} is not a JSON value"
            raise ValueError(msg)
        return float(name) if nan == "keep" else None

    try:
        document = json.loads(text, object_pairs_hook=_unique, parse_constant=constant)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    if isinstance(data, bytes) and not _SURROGATE_ESCAPE.search(text):
        _check_depth(document)  # its values are those of JSON, and bytes hold no half of a character
    else:
        _check_plain(document)
    return document


_TOO_DEEP = f"it is nested too deeply (more than {MAX_DOCUMENT_DEPTH} levels)"


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    mapping = dict(pairs)
    if len(mapping) < len(pairs):
        seen: set[str] = set()
        repeated = sorted({key for key, _ in pairs if key in seen or seen.add(key)})  # type: ignore[func-returns-value]
        more = f" and {len(repeated) - _SHOWN_KEYS} more" if len(repeated) > _SHOWN_KEYS else ""
        msg = f"the key {', '.join(repeated[:_SHOWN_KEYS])}{more} is given more than once in one object"
        raise ValueError(msg)
    return mapping


_CONTAINERS = (dict, list)


def _check_depth(document: Any) -> None:
    """Refuse what is nested too deeply, as :func:`_check_plain` does, in a third of its time."""
    level = [document] if isinstance(document, _CONTAINERS) else []
    for _ in range(MAX_DOCUMENT_DEPTH):
        level = [
            value
            for outer in level
            for value in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(value, _CONTAINERS)
        ]
        if not level:
            return
    if any(level):
        raise ValueError(_TOO_DEEP)


def _check_plain(document: Any) -> None:
    """Refuse what is nested too deeply, is no JSON value, or is text that no file could hold.

    Level by level, since a recursion would itself end at documents that are nested too deeply.
    """
    level = [document]
    for _ in range(MAX_DOCUMENT_DEPTH + 1):
        inner: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                inner.extend(value.values())
                _check_text(value)
            elif isinstance(value, list):
                inner.extend(value)
            elif isinstance(value, str):
                _check_text((value,))
            elif value is not None and not isinstance(value, int | float):
                msg = f"a value is of the type {type(value).__name__}, which JSON does not have"
                raise ValueError(msg)
        if not inner:
            return
        level = inner
    raise ValueError(_TOO_DEEP)


def _check_text(texts: Iterable[Any]) -> None:
    for text in texts:
        if isinstance(text, str) and _SURROGATE.search(text):
            msg = f"the text {ascii(text)[:80]} holds half of a character (a lone surrogate)"
            raise ValueError(msg)


def parse_yaml(text: str) -> Any:
    """Parse YAML into the values that JSON has, with text as keys.

    Raises
    ------
    ValueError
        It is no YAML, repeats a key, holds other values than JSON has, or is too large, deep or expanded by aliases.
    """
    import yaml

    from s2pipe.config.yaml_loader import loader_class

    try:
        document = yaml.load(text, Loader=loader_class())  # noqa: S506 - the loader is a SafeLoader
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from error
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    except (LookupError, TypeError, AttributeError, OverflowError) as error:
        # PyYAML raises them for tags such as `!!int ""`.
        msg = f"a tagged value cannot be read ({error})"
        raise ValueError(msg) from error
    _check_plain(document)
    return _stringify_keys(document)


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
