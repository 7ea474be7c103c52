"""Small helpers for writing XML with ElementTree."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

XSI = "http://www.w3.org/2001/XMLSchema-instance"


def root(tag: str, namespaces: Mapping[str, str], attributes: Mapping[str, str] | None = None) -> ET.Element:
    """Start a document; ``tag`` may carry one of the prefixes of ``namespaces``."""
    declared = {f"xmlns:{prefix}": uri for prefix, uri in namespaces.items()}
    return ET.Element(tag, {**declared, **(attributes or {})})


def add_element(parent: ET.Element, path: str, text: object = None, **attributes: object) -> ET.Element:
    """Append nested elements ``a/b/c`` and return the innermost, with text and attributes."""
    for tag in path.split("/"):
        parent = ET.SubElement(parent, tag)
    parent.attrib.update({name: str(value) for name, value in attributes.items()})
    if text is not None:
        parent.text = str(text)
    return parent


def document(element: ET.Element) -> bytes:
    """Serialise with declaration and indentation."""
    ET.indent(element, "  ")
    body: bytes = ET.tostring(element, encoding="UTF-8", xml_declaration=False)
    return b'<?xml version="1.0" encoding="UTF-8" standalone="no"?>\n' + body + b"\n"
