"""XML of products: parsed without entities or document types, errors name the file and the element."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from s2pipe.errors import MetadataError

MAX_XML_BYTES = 64 << 20
"""Largest metadata file that is read; those of real products stay below 1 MB (MTD_DS.xml, unused: 24 MB)."""
_MAX_DEPTH = 200


class Xml:
    """A parsed XML document that knows where it came from; namespace prefixes are dropped.

    Paths are those of :meth:`xml.etree.ElementTree.Element.find`, relative to the root element.
    """

    def __init__(self, root: Element, source: str) -> None:
        self.root = root
        self.source = source

    @classmethod
    def read(cls, data: bytes | Path, source: str | None = None) -> Xml:
        """Parse a document.

        Parameters
        ----------
        data : bytes or Path
            The document, or the file that holds it.
        source : str, optional
            What messages call it; by default the path.

        Raises
        ------
        MetadataError
            Too large, not well-formed, or with a document type declaration (entities could expand or read
            other files; Sentinel-2 metadata has none).
        """
        name = source or (str(data) if isinstance(data, Path) else "XML document")
        size = data.stat().st_size if isinstance(data, Path) else len(data)
        if size > MAX_XML_BYTES:
            msg = f"{name}: {size} bytes is too large for metadata (limit {MAX_XML_BYTES})"
            raise MetadataError(msg)
        content = data.read_bytes() if isinstance(data, Path) else data
        return cls(_parse(content, name), name)

    def error(self, path: str, message: str) -> MetadataError:
        """Make the error for an element of this document."""
        return MetadataError(f"{self.source}: {path}: {message}")

    def find(self, *paths: str) -> Element | None:
        """Return the first element that one of the paths finds, or None."""
        for path in paths:
            element = self.root.find(path)
            if element is not None:
                return element
        return None

    def text(self, *paths: str) -> str | None:
        """Return the stripped text of the first path that has any, or None."""
        for path in paths:
            text = (self.root.findtext(path) or "").strip()
            if text:
                return text
        return None

    def need_text(self, *paths: str) -> str:
        """Like :meth:`text`, but a missing or empty element is an error."""
        text = self.text(*paths)
        if text is None:
            raise self.error(paths[0], "is missing or empty; the metadata file is incomplete, fetch it again")
        return text

    def number(self, *paths: str) -> float | None:
        """Return the first path's finite number, or None when there is no such element."""
        text = self.text(*paths)
        return None if text is None else self.to_number(text, paths[0])

    def need_number(self, *paths: str) -> float:
        """Like :meth:`number`, but a missing element is an error."""
        return self.to_number(self.need_text(*paths), paths[0])

    def to_number(self, text: str | None, path: str) -> float:
        """Convert the text of the element at ``path`` to a finite float."""
        value = parse_float(text or "")
        if value is None or not math.isfinite(value):
            raise self.error(path, f"expected a finite number, got {text!r}")
        return value

    def to_integer(self, text: str | None, path: str) -> int:
        """Convert the text of the element or attribute at ``path`` to an int."""
        value = self.to_number(text, path)
        if value != int(value):
            raise self.error(path, f"expected a whole number, got {text!r}")
        return int(value)


def parse_float(text: str) -> float | None:
    """Read one number the way XML Schema writes it (no underscores); None when it is none."""
    try:
        return None if "_" in text else float(text)
    except ValueError:
        return None


def _parse(content: bytes, source: str) -> Element:
    builder = TreeBuilder()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    depth = 0

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > _MAX_DEPTH:
            msg = f"{source}: {name}: elements are nested more than {_MAX_DEPTH} deep"
            raise MetadataError(msg)
        builder.start(name.rpartition(":")[2], attributes)

    def end(name: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(name.rpartition(":")[2])

    def refuse(name: str | None, *_: Any) -> None:
        msg = (
            f"{source}: <!DOCTYPE {name}>: document types and entities are refused (Sentinel-2 metadata has "
            "none); fetch the file again from a trusted place"
        )
        raise MetadataError(msg)

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse
    try:
        parser.Parse(content, True)
    except expat.ExpatError as error:
        msg = f"{source}: not well-formed XML ({error}); the file is damaged or no XML, fetch it again"
        raise MetadataError(msg) from error
    return builder.close()
