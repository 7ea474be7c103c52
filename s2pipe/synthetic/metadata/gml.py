"""Vector masks of baselines before 04.00: detector footprints and clouds as GML."""

from __future__ import annotations

from typing import TYPE_CHECKING

from s2pipe.synthetic.metadata.markup import add_element, document, root
from s2pipe.synthetic.swath import DETECTORS, Polygon, Swath

if TYPE_CHECKING:
    from s2pipe.synthetic.spec import ProductNames

_NAMESPACES = {"eop": "http://www.opengis.net/eop/2.0", "gml": "http://www.opengis.net/gml/3.2"}


def detector_footprint_gml(names: ProductNames, swath: Swath, band: str) -> bytes:
    """Compose the detector footprints of a band: one polygon per detector, over the tile's full extent."""
    shapes = [(detector, swath.footprint(band, detector)) for detector in DETECTORS]
    members = [
        (f"detector_footprint-{band}-{detector:02d}", polygon) for detector, polygon in shapes if polygon
    ]
    return _mask(names, swath, ("DETFOO", band, "DETECTOR_FOOTPRINT"), members)


def cloud_gml(names: ProductNames, swath: Swath) -> bytes:
    """Compose a cloud mask without any cloud, as cloudless real products have it."""
    return _mask(names, swath, ("CLOUDS", "B00", "OPAQUE"), [])


def _mask(
    names: ProductNames, swath: Swath, kind: tuple[str, str, str], members: list[tuple[str, Polygon]]
) -> bytes:
    short, band, mask_type = kind
    identifier = names.granule_id.replace("_TL_", "_").replace("_MSI_L1C_", f"_MSK_{short}_")
    identifier = identifier.rsplit("_", 1)[0] + f"_{band}_MSIL1C"
    top = root("eop:Mask", _NAMESPACES, {"gml:id": identifier})
    add_element(top, "gml:name", f"MSK_{short} of {identifier}")
    if members:
        points = [point for _, polygon in members for point in polygon]
        envelope = add_element(
            top, "gml:boundedBy/gml:Envelope", srsName=f"urn:ogc:def:crs:EPSG:8.7:{swath.epsg}"
        )
        add_element(envelope, "gml:lowerCorner", f"{min(p[0] for p in points)} {min(p[1] for p in points)} 0")
        add_element(envelope, "gml:upperCorner", f"{max(p[0] for p in points)} {max(p[1] for p in points)} 0")
        listing = add_element(top, "eop:maskMembers")
    for index, (name, polygon) in enumerate(members):
        feature = add_element(listing, "eop:MaskFeature")
        feature.set("gml:id", f"{name}-{index}")
        add_element(feature, "eop:maskType", mask_type, codeSpace="urn:gs2:S2PDGS:maskType")
        shape = add_element(feature, "eop:extentOf/gml:Polygon")
        shape.set("gml:id", f"{mask_type}.{index}_Polygon")
        closed = [*polygon, polygon[0]]
        text = " ".join(f"{x!r} {y!r} 0" for x, y in closed)
        add_element(shape, "gml:exterior/gml:LinearRing/gml:posList", text, srsDimension=3)
    return document(top)
