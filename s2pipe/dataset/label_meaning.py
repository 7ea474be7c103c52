"""What the values of a raster of classes mean: names, colours, and which of them tell of clouds."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

CONDITIONS = ("cloud", "shadow", "snow", "water")
"""What patches are screened for."""
COLOR = re.compile(r"#[0-9a-fA-F]{6}", re.ASCII)
"""A colour as documents have it, ``#rrggbb``."""


@dataclass(frozen=True)
class LabelMeaning:
    """The meaning of the values of a raster of classes, from its source to the batch."""

    source: str
    """What the values are taken from."""
    ignore_index: int | None
    """Value of pixels that have no class; None where values are measurements, and NaN marks such pixels."""
    names: Mapping[int, str] = field(default_factory=dict)
    """Names of the values that have one."""
    colors: Mapping[int, str] = field(default_factory=dict)
    """Colours to draw values in, ``#rrggbb``."""
    conditions: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Condition (see ``CONDITIONS``) -> the values that mean it; a condition that values do not tell is left out."""

    def mapped(self, mapping: Mapping[int, int] | None) -> LabelMeaning:
        """Return the meaning after classes became labels.

        Parameters
        ----------
        mapping : mapping, optional
            Class -> label; classes that are left out become ``ignore_index``. None keeps the classes.

        Returns
        -------
        LabelMeaning
            A label of several classes has their names, joined, and the first one's colour. A condition is told where
            some of its classes have labels of their own, which no other class shares.
        """
        sources: dict[int, list[int]] = {}
        if mapping is None:
            known = {*self.names, *self.colors, *(c for found in self.conditions.values() for c in found)}
            mapping = {value: value for value in known}
        for value, label in sorted(mapping.items()):
            if label != self.ignore_index:
                sources.setdefault(label, []).append(value)
        labels = sorted(sources)
        colors = {n: [self.colors[c] for c in sources[n] if c in self.colors] for n in labels}
        conditions = {name: _labels_of(classes, sources) for name, classes in self.conditions.items()}
        return replace(
            self,
            names={n: name for n in labels if (name := self._joined(sources[n]))},
            colors={n: found[0] for n, found in colors.items() if found},
            conditions={name: found for name, found in conditions.items() if found},
        )

    def _joined(self, classes: Iterable[int]) -> str:
        """Names of classes as that of one label; empty where none of them has one."""
        known = [self.names.get(value) for value in classes]
        if not any(known):
            return ""
        named = (name or f"class {value}" for name, value in zip(known, classes, strict=True))
        return " / ".join(dict.fromkeys(named))

    def stated(
        self, names: Mapping[int, str] | None, colors: Mapping[int, str] | None, clouds: Iterable[int] | None
    ) -> LabelMeaning:
        """Return the meaning with what a configuration states of labels, which wins; None states nothing."""
        conditions = dict(self.conditions)
        if clouds is not None:
            conditions["cloud"] = tuple(sorted(set(clouds)))
        return replace(
            self,
            names={**self.names, **(names or {})},
            colors={**self.colors, **(colors or {})},
            conditions={name: found for name, found in conditions.items() if found},
        )

    def with_legend_of(self, other: LabelMeaning) -> LabelMeaning:
        """Return the meaning with the names and colours that only the other has."""
        return replace(self, names={**other.names, **self.names}, colors={**other.colors, **self.colors})

    def to_document(self) -> dict[str, Any]:
        """JSON form, with values in order."""
        return {
            "source": self.source,
            "ignore_index": self.ignore_index,
            "class_names": {str(value): self.names[value] for value in sorted(self.names)},
            "class_colors": {str(value): self.colors[value] for value in sorted(self.colors)},
            **{
                f"{name}_labels": list(self.conditions[name]) if name in self.conditions else None
                for name in CONDITIONS
            },
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> LabelMeaning:
        """Read the JSON form; keys beside those of ``to_document`` are passed over."""
        conditions = {name: document.get(f"{name}_labels") for name in CONDITIONS}
        return cls(
            source=str(document["source"]),
            ignore_index=None if document["ignore_index"] is None else int(document["ignore_index"]),
            names={int(value): str(name) for value, name in document.get("class_names", {}).items()},
            colors={int(value): str(color) for value, color in document.get("class_colors", {}).items()},
            conditions={name: tuple(map(int, found)) for name, found in conditions.items() if found},
        )


def _labels_of(classes: Iterable[int], sources: Mapping[int, list[int]]) -> tuple[int, ...]:
    """Labels that some classes became; empty when a label mixes them with others."""
    wanted = set(classes)
    found = {label: wanted.issuperset(members) for label, members in sources.items() if wanted & {*members}}
    return tuple(sorted(found)) if all(found.values()) else ()
