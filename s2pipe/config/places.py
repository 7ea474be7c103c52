"""Paths of a configuration that lead off this machine: none of them is written to, or read as a local file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from s2pipe.config.fields import field_infos
from s2pipe.errors import Fault
from s2pipe.runtime.addresses import output_fault, scheme_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


_OUTPUTS = ("out_dir", "stats_path", "dir", "stage_dir")
"""Keys of what is written."""


def _place_fault(text: str, key: str) -> str | None:
    scheme = scheme_of(text)
    if scheme is None:
        return None
    if key in _OUTPUTS:
        return output_fault(text)
    return (
        f"expected a path on this machine, got an address ({scheme}:): copy the file here first; of object storage "
        "only the files that a Step-1 index names are read where they are"
    )


def place_faults(config_class: type, document: Mapping[str, Any]) -> Iterator[Fault]:
    """Faults of all paths of a configuration that has passed its schema."""
    for info in field_infos(config_class):
        value = document.get(info.name)
        if info.nested is not None and isinstance(value, dict):
            for fault in place_faults(info.nested, value):
                yield Fault(f"{info.name}.{fault.path}", fault.message)
        elif isinstance(value, str) and (info.annotation is Path or Path in get_args(info.annotation)):
            message = _place_fault(value, info.name)
            if message is not None:
                yield Fault(info.name, message)
