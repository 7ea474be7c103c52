"""Configurations to begin with: the examples that come with s2pipe, and YAML with a comment at every key."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from s2pipe.config.documents import read_document
from s2pipe.config.fields import field_infos
from s2pipe.config.steps import STEPS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_PACKAGE = Path(__file__).parent.parent
_EXAMPLE_DIRS = (_PACKAGE / "_configs", _PACKAGE.parent / "configs")
_COMMENT_WIDTH = 100


def example(name: str) -> dict[str, Any]:
    """Return one of the example configurations that come with s2pipe, such as ``apply``.

    Raises
    ------
    FileNotFoundError
        It is neither in the installed package nor in the source tree.
    """
    for directory in _EXAMPLE_DIRS:
        path = directory / f"{name}.yaml"
        if path.is_file():
            document: dict[str, Any] = read_document(path)
            document.pop("$schema", None)
            return document
    msg = f"the example {name}.yaml is in none of {', '.join(map(str, _EXAMPLE_DIRS))}; reinstall s2pipe"
    raise FileNotFoundError(msg)


def commented_yaml(document: Mapping[str, Any], head: str) -> str:
    """Write a configuration as YAML in which the documentation of every key stands above it.

    Parameters
    ----------
    document : mapping
        Configurations of steps under their names, as plain values.
    head : str
        What the first lines say.
    """
    lines = _comment(head, "")
    for name, part in document.items():
        lines += [f"{name}:", *_entries(STEPS[name].config_class, part, "  ")]
    return "\n".join(lines) + "\n"


def _entries(config: type, part: Mapping[str, Any], indent: str) -> Iterator[str]:
    for info in field_infos(config):
        if info.name not in part:
            continue
        value = part[info.name]
        yield from _comment(info.doc, indent)
        if info.nested is not None:
            yield f"{indent}{info.name}:"
            yield from _entries(info.nested, value, indent + "  ")
        else:
            yield f"{indent}{info.name}: {json.dumps(value, ensure_ascii=False)}"  # JSON is YAML too


def _comment(text: str, indent: str) -> list[str]:
    return [
        f"{indent}# {line}"
        for paragraph in text.splitlines()
        for line in textwrap.wrap(
            paragraph, _COMMENT_WIDTH - len(indent), break_long_words=False, break_on_hyphens=False
        )
    ]
