"""The text of ``s2pipe COMMAND --help``: short, and with ``--help-all`` every option in its group."""

from __future__ import annotations

import dataclasses
import shutil
import textwrap
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from s2pipe.cli.commands import Command

_LEAST_WIDTH, _MOST_WIDTH = 60, 110
_INDENT = 6
_VALUES = {str(int): "INTEGER", str(float): "NUMBER", str(bool): ""}
"""What follows an option of a type, where nothing else is said."""


def help_text(command: Command, program: str, options: type, *, is_whole: bool) -> str:
    """Write the help of a command.

    Parameters
    ----------
    command : Command
        Its description and examples.
    program : str
        What users type: ``s2pipe stats merge``.
    options : type
        Dataclass of its options; the metadata of its fields say flags, help, group, type and default.
    is_whole : bool
        Every option of every group, instead of the usual ones and a list of the groups.
    """
    width = min(max(shutil.get_terminal_size().columns - 1, _LEAST_WIDTH), _MOST_WIDTH)
    fields = [
        {
            "value": _VALUES.get(str(field.type), "TEXT"),
            "default_text": ""
            if field.default in (None, False) and field.type is not int
            else str(field.default),
            **field.metadata,
        }
        for field in dataclasses.fields(options)
        if "help" in field.metadata
    ]
    positional = [meta for meta in fields if not _flags(meta)[0].startswith("-")]
    named = [meta for meta in fields if _flags(meta)[0].startswith("-") and "opposite_of" not in meta]
    of_config = [meta for meta in named if "group" in meta]
    shown = [meta for meta in of_config if is_whole or meta["is_usual"]]
    lines = [_usage(program, positional), "", *textwrap.wrap(command.description, width)]
    if command.examples:
        lines += ["", "examples:", *(f"  {example}" for example in command.examples)]
    if positional:
        lines += ["", "arguments:", *_entries(positional, width)]
    for group in dict.fromkeys(meta["group"] for meta in shown):
        of_group = [meta for meta in shown if meta["group"] == group]
        lines += ["", f"{of_group[0]['group_title']}:", *_entries(of_group, width)]
    hidden = [meta for meta in of_config if meta not in shown]
    if hidden:
        lines += ["", "more options, described by --help-all:", *_groups(hidden)]
    rest = [meta for meta in named if "group" not in meta]
    lines += ["", "options of the command:" if of_config else "options:", *_entries(rest, width)]
    if of_config:
        lines += _entry("--help-all", "Show every option of every group.", width)
    lines += _entry("-h, --help", "Show this help.", width)
    return "\n".join(lines) + "\n"


def _flags(meta: Mapping[str, Any]) -> list[str]:
    flags: list[str] = meta["args"]
    return flags


def _usage(program: str, positional: Sequence[Mapping[str, Any]]) -> str:
    words = []
    for meta in positional:
        name, count = meta.get("metavar") or _flags(meta)[0].upper(), meta.get("nargs")
        words.append(f"[{name}]" if count == "?" else f"{name} [{name} ...]" if count == "+" else name)
    return " ".join([f"usage: {program}", *words, "[--option value ...]"])


def _entries(metas: Sequence[Mapping[str, Any]], width: int) -> Iterator[str]:
    for meta in metas:
        text = meta["help"].replace("%%", "%")
        if meta.get("default_text"):
            text += f" (default: {meta['default_text']})"
        yield from _entry(_left(meta), text, width)


def _entry(left: str, text: str, width: int) -> Iterator[str]:
    yield f"  {left}"
    yield from textwrap.wrap(
        text,
        width,
        initial_indent=" " * _INDENT,
        subsequent_indent=" " * _INDENT,
        break_on_hyphens=False,
    )


def _left(meta: Mapping[str, Any]) -> str:
    """Flags, and what follows them."""
    flags = _flags(meta)
    if not flags[0].startswith("-"):
        return str(meta.get("metavar") or flags[0].upper())
    # --max_scenes stands for --max-scenes too, which needs no words.
    names = [flag for flag in flags if flag.replace("_", "-") == flag]
    if meta.get("is_switch"):
        return ", ".join([*names, f"--no-{names[0].removeprefix('--')}"])
    value = meta.get("type_text") or _value(meta)
    return f"{', '.join(names)} {value}".rstrip()


def _value(meta: Mapping[str, Any]) -> str:
    metavar = meta.get("metavar")
    if metavar is None:
        choices = meta.get("choices")
        if choices:
            return "{" + ",".join(map(str, choices)) + "}"
        return str(meta["value"])
    if isinstance(metavar, tuple):
        return " ".join(metavar)
    return f"{metavar} [{metavar} ...]" if meta.get("nargs") == "+" else str(metavar)


def _groups(metas: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    groups = dict.fromkeys(meta["group"] for meta in metas)
    for group in groups:
        of_group = [meta for meta in metas if meta["group"] == group]
        name = f"  {len(of_group):>3}  {'--' + group + '.*' if group else '--*'}"
        yield f"{name:<26} {of_group[0]['group_title'].partition(' (--')[0]}"
