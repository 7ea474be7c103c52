"""manifest.safe: every file of a product with size and checksum, in the structure of real ones."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from s2pipe.runtime.hashing import hash_file
from s2pipe.synthetic.metadata.markup import add_element, document, root
from s2pipe.synthetic.metadata.product_xml import stamp

if TYPE_CHECKING:
    import xml.etree.ElementTree as ET

    from s2pipe.synthetic.spec import ProductNames

_NAMESPACES = {
    "gml": "http://www.opengis.net/gml",
    "safe": "http://www.esa.int/safe/sentinel/1.1",
    "xfdu": "urn:ccsds:schema:xfdu:1",
}
MANIFEST = "manifest.safe"
MARK = b"<!-- A synthetic product, made by s2pipe -->\n"
"""Last line of every manifest: real products do not have it."""


def manifest_xml(names: ProductNames, product: Path) -> bytes:
    """Compose the manifest of a product from the files on disk (all but the manifest itself)."""
    level = f"Level-{names.level[1:]}"
    archive = f"esa/safe/sentinel/1.1/sentinel-2/msi/archive_{names.level.lower()}_user_product"
    top = root("xfdu:XFDU", _NAMESPACES, {"version": archive})
    unit = add_element(
        top,
        "informationPackageMap/xfdu:contentUnit",
        dmdID="acquisitionPeriod platform",
        pdiID="processing",
        textInfo=f"SENTINEL-2 MSI {level} User Product",
        unitType=f"Product_{level}",
    )
    _metadata_section(top, names)
    objects = add_element(top, "dataObjectSection")
    paths = sorted(
        path.relative_to(product).as_posix()
        for path in product.rglob("*")
        if path.is_file() and path.name != MANIFEST
    )
    for index, relative in enumerate(paths):
        identifier = _object_id(relative)
        content = add_element(unit, "xfdu:contentUnit", ID=f"{identifier}_Unit", unitType="Data Unit")
        add_element(content, "dataObjectPointer", dataObjectID=identifier)
        entry = add_element(objects, "dataObject", ID=identifier)
        mime = "text/xml" if relative.endswith((".xml", ".gml")) else "application/octet-stream"
        stream = add_element(entry, "byteStream", mimeType=mime, size=(product / relative).stat().st_size)
        add_element(stream, "fileLocation", href=f"./{relative}", locatorType="URL")
        value = hash_file(product / relative, names.spec.checksum_name)
        # Real manifests mix upper and lower case hexadecimal from the SHA3-256 days on.
        if names.spec.checksum_name != "MD5" and index % 2:
            value = value.upper()
        add_element(stream, "checksum", value, checksumName=names.spec.checksum_name)
    return document(top) + MARK


def _metadata_section(top: ET.Element, names: ProductNames) -> None:
    section = add_element(top, "metadataSection")

    def wrapped(identifier: str, text: str) -> ET.Element:
        entry = add_element(
            section, "metadataObject", ID=identifier, category="DMD", classification="DESCRIPTION"
        )
        attributes = {"mimeType": "text/xml", "textInfo": text, "vocabularyName": "Sentinel-SAFE"}
        return add_element(add_element(entry, "metadataWrap", **attributes), "xmlData")

    period = add_element(wrapped("acquisitionPeriod", "Acquisition Period"), "safe:acquisitionPeriod")
    add_element(period, "safe:startTime", stamp(names.spec.sensing_start))
    orbit = add_element(wrapped("measurementOrbitReference", "Orbit Reference"), "safe:orbitReference")
    direction = {"groundTrackDirection": "descending", "type": "start"}
    add_element(orbit, "safe:orbitNumber", f"{names.absolute_orbit:06d}", **direction)
    add_element(orbit, "safe:relativeOrbitNumber", f"{names.spec.rel_orbit:03d}", type="start")
    platform = add_element(wrapped("platform", "Platform Description"), "safe:platform")
    add_element(platform, "safe:familyName", "SENTINEL")
    add_element(platform, "safe:number", names.spec.satellite[1:])


def _object_id(relative: str) -> str:
    path = PurePosixPath(relative)
    return "_".join((*path.parts[:1], path.stem)) if len(path.parts) > 1 else path.stem
