"""YAML as configurations use it: merge keys with overrides, no repeated keys, and limits on what aliases can do.

Imported where a YAML file is read, since PyYAML is slow to import.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Hashable, Iterator
from typing import Any

import yaml

from s2pipe.runtime.limits import MAX_DOCUMENT_DEPTH, MAX_YAML_ALIASES, MAX_YAML_NODES

_MERGE = "tag:yaml.org,2002:merge"
_TEXT = "tag:yaml.org,2002:str"
_NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")


class _Loader(yaml.SafeLoader):
    """A SafeLoader that refuses documents which are large only when they are built."""

    def __init__(self, stream: Any) -> None:
        super().__init__(stream)
        self._depth = 0
        self._aliases = 0
        self._sizes: dict[Any, int] = {}
        """Values below each node, aliases expanded."""

    def resolve(self, kind: Any, value: Any, implicit: Any) -> Any:
        """Take ``4:1`` for a text, as YAML 1.2 does; for YAML 1.1 it is 241, four to the base of 60 and one."""
        tag = super().resolve(kind, value, implicit)  # type: ignore[no-untyped-call]
        if kind is yaml.ScalarNode and tag in _NUMBERS and ":" in value:
            return _TEXT
        return tag

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Compose a node, counting what it will expand to."""
        self._depth += 1
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if self._depth > MAX_DOCUMENT_DEPTH + 1:
            msg = f"it is nested too deeply (more than {MAX_DOCUMENT_DEPTH} levels)"
            raise _refused(msg, event)
        is_alias = isinstance(event, yaml.AliasEvent)
        self._aliases += is_alias
        if self._aliases > MAX_YAML_ALIASES:
            msg = f"it has more than {MAX_YAML_ALIASES} aliases"
            raise _refused(msg, event)
        node = super().compose_node(parent, index)
        if not is_alias:
            self._sizes[node] = 1 + sum(self._sizes[child] for child in _children(node))
        elif node not in self._sizes:
            msg = f"it has a recursive node: *{event.anchor} stands in what it names"
            raise _refused(msg, event)
        self._depth -= 1
        if max(self._sizes[node], len(self._sizes)) > MAX_YAML_NODES:
            msg = f"it has more than {MAX_YAML_NODES} values, those behind aliases counted"
            raise _refused(msg, event)
        return node


def _children(node: Any) -> Iterator[Any]:
    if isinstance(node, yaml.SequenceNode):
        yield from node.value
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield key
            yield value


def _refused(problem: str, event: Any) -> yaml.YAMLError:
    return yaml.composer.ComposerError(problem=problem, problem_mark=event.start_mark)


def _construct_mapping(loader: Any, node: Any) -> dict[Any, Any]:
    """Make a mapping; its own keys override merged ones, and of several merged mappings the first counts."""
    if not isinstance(node, yaml.MappingNode):
        raise yaml.constructor.ConstructorError(problem="expected a mapping", problem_mark=node.start_mark)
    own: dict[Any, Any] = {}
    merged: dict[Any, Any] = {}
    merges = 0
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        if key_node.tag == _MERGE:
            merges += 1
            for mapping in _merged_mappings(loader, value_node):
                for name, value in mapping.items():
                    merged.setdefault(name, value)
            key = "<<"
            if merges == 1:
                continue
        else:
            key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, Hashable):
            raise yaml.constructor.ConstructorError(problem=f"a key in line {line} is a list or a mapping")
        if key in own or merges > 1:
            raise yaml.constructor.ConstructorError(problem=f"the key {key!r} is repeated in line {line}")
        own[key] = loader.construct_object(value_node, deep=True)
    return {**merged, **own}


def _merged_mappings(loader: Any, node: Any) -> Iterator[dict[Any, Any]]:
    for item in node.value if isinstance(node, yaml.SequenceNode) else [node]:
        if not isinstance(item, yaml.MappingNode):
            line = item.start_mark.line + 1
            raise yaml.constructor.ConstructorError(
                problem=f"expected a mapping or a list of mappings to merge (<<) in line {line}"
            )
        yield loader.construct_object(item, deep=True)


@functools.cache
def loader_class() -> Any:
    """Make a loader that reads ``1e-4`` as a number and dates as text.

    PyYAML follows YAML 1.1, where ``1e-4`` (no dot) is a string and ``2025-12-01`` becomes a date object.
    """

    class Loader(_Loader):
        pass

    loader: Any = Loader
    loader.yaml_implicit_resolvers = {
        first: [(tag, regexp) for tag, regexp in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in _Loader.yaml_implicit_resolvers.items()
    }
    number = re.compile(r"^[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)[eE][-+]?[0-9]+$")
    loader.add_implicit_resolver("tag:yaml.org,2002:float", number, list("-+0123456789."))
    loader.add_constructor("tag:yaml.org,2002:map", _construct_mapping)
    loader.add_constructor("tag:yaml.org,2002:value", yaml.SafeLoader.construct_yaml_str)
    return loader
