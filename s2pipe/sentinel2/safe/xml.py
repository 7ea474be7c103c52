"""XML of products: parsed without entities or document types, errors name the file and the element."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from s2pipe.errors import MetadataError
from s2pipe.runtime.limits import MAX_XML_BYTES, MAX_XML_DEPTH, MAX_XML_ELEMENTS, read_limited

_CHUNK_BYTES = 1 << 20
_LARGEST_EXACT = 2**53
_ROUNDING = 0.01


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
            Unreadable, too large, not well-formed, in an encoding that cannot be read, with more or deeper elements
            than any real metadata, or with a document type declaration (entities could expand or read other files;
            Sentinel-2 metadata has none).
        """
        name = source or (str(data) if isinstance(data, Path) else "XML document")
        try:
            content = read_limited(data, MAX_XML_BYTES) if isinstance(data, Path) else data
        except (OSError, ValueError) as error:
            msg = f"{name}: cannot be read: {error}; fetch the file again"
            raise MetadataError(msg) from error
        if len(content) > MAX_XML_BYTES:
            msg = f"{name}: {len(content)} bytes is too large for metadata (limit {MAX_XML_BYTES})"
            raise MetadataError(msg)
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

    def percentage(self, *paths: str) -> float | None:
        """Like :meth:`number`, but of 0 to 100; what exceeds them by a rounding is brought back."""
        value = self.number(*paths)
        return None if value is None else self.to_percentage(value, paths[0])

    def need_number(self, *paths: str) -> float:
        """Like :meth:`number`, but a missing element is an error."""
        return self.to_number(self.need_text(*paths), paths[0])

    def to_number(self, text: str | None, path: str) -> float:
        """Convert the text of the element at ``path`` to a finite float."""
        value = parse_float(text or "")
        if value is None or not math.isfinite(value):
            raise self.error(path, f"expected a finite number, got {_shown(text)}")
        return value

    def to_integer(self, text: str | None, path: str) -> int:
        """Convert the text of the element or attribute at ``path`` to an int that a float holds exactly."""
        value = self.to_number(text, path)
        if value != int(value) or abs(value) > _LARGEST_EXACT:
            raise self.error(path, f"expected a whole number, got {_shown(text)}")
        return int(value)

    def to_percentage(self, value: float, path: str) -> float:
        """Return a number of the element at ``path``, which must be a percentage."""
        return min(max(self.in_range(value, -_ROUNDING, 100.0 + _ROUNDING, path), 0.0), 100.0)

    def in_range(self, value: float, low: float, high: float, path: str) -> float:
        """Return a number of the element at ``path``, which must be one from ``low`` to ``high``."""
        if not low <= value <= high:
            raise self.error(path, f"expected a number from {low:g} to {high:g}, got {value:g}")
        return value


def parse_float(text: str) -> float | None:
    """Read one number the way XML Schema writes it (ASCII digits, no underscores); None when it is none."""
    try:
        return float(text) if "_" not in text and text.isascii() else None
    except ValueError:
        return None


def _shown(text: str | None) -> str:
    return repr(text if text is None or len(text) <= 80 else f"{text[:77]}...")


class _Builder:
    """Builds the tree while the parser runs, and counts what it gets."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._tree = TreeBuilder()
        self._depth = 0
        self._count = 0

    def start(self, name: str, attributes: dict[str, str]) -> None:
        """Begin an element."""
        self._depth += 1
        if self._depth > MAX_XML_DEPTH:
            msg = f"{self._source}: {name[:80]}: elements are nested more than {MAX_XML_DEPTH} deep"
            raise MetadataError(msg)
        self._count += 1 + len(attributes)
        if self._count > MAX_XML_ELEMENTS:
            msg = (
                f"{self._source}: has more than {MAX_XML_ELEMENTS} elements and attributes, which no metadata has; "
                "fetch the file again from a trusted place"
            )
            raise MetadataError(msg)
        self._tree.start(name.rpartition(":")[2], attributes)

    def end(self, name: str) -> None:
        """End an element."""
        self._depth -= 1
        self._tree.end(name.rpartition(":")[2])

    def refuse(self, name: str | None, *_: Any) -> None:
        """Refuse a document type or an entity."""
        msg = (
            f"{self._source}: <!DOCTYPE {(name or '')[:80]}>: document types and entities are refused (Sentinel-2 "
            "metadata has none); fetch the file again from a trusted place"
        )
        raise MetadataError(msg)

    def parse(self, content: bytes) -> Element:
        """Parse a document."""
        parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.StartElementHandler = self.start
        parser.EndElementHandler = self.end
        parser.CharacterDataHandler = self._tree.data
        parser.StartDoctypeDeclHandler = self.refuse
        parser.EntityDeclHandler = self.refuse
        # In chunks, since the parser copies what it is given.
        for place in range(0, len(content), _CHUNK_BYTES):
            parser.Parse(content[place : place + _CHUNK_BYTES], False)
        parser.Parse(b"", True)
        return self._tree.close()


def _parse(content: bytes, source: str) -> Element:
    try:
        return _Builder(source).parse(content)
    except expat.ExpatError as error:
        msg = f"{source}: not well-formed XML ({error}); the file is damaged or no XML, fetch it again"
    except (ValueError, LookupError) as error:  # expat asks Python for encodings that it does not know
        msg = (
            f"{source}: is in an encoding that cannot be read ({error}): expected UTF-8, UTF-16 or an encoding of one "
            "byte a character; the file is damaged, fetch it again"
        )
    raise MetadataError(msg)
