"""Detector footprints of baselines before 04.00: GML polygons, ``MSK_DETFOO_<BAND>.gml``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from s2pipe.sentinel2.safe.xml import Xml

if TYPE_CHECKING:
    from pathlib import Path
    from xml.etree.ElementTree import Element


_MEMBER = "maskMembers/MaskFeature"
_RINGS = ("exterior", "interior")
_ID = re.compile(r"detector_footprint-(B(?:0[1-9]|1[0-2]|8A))-(\d{1,3})-\d+", re.ASCII)
_EPSG = re.compile(r"EPSG:(?:[\d.]*:)?(\d{4,6})$", re.ASCII)


@dataclass(frozen=True, eq=False)
class DetectorOutline:
    """One polygon of ground that a detector saw. Neighbours overlap by 1 to 2 km in real products."""

    detector: int
    """Detector id, 1 to 12."""
    rings: tuple[NDArray[np.float64], ...]
    """Closed rings of x and y in metres, (point, 2); a point inside an odd number of them is seen."""


def read_detector_outlines(
    data: bytes | Path, band: str, epsg: int, source: str | None = None
) -> tuple[DetectorOutline, ...]:
    """Read the detector footprints of a band, by detector; one may have several polygons.

    Parameters
    ----------
    data : bytes or Path
        The document, or the file that holds it.
    band : str
        Band that the file must be about.
    epsg : int
        EPSG code of the tile, which the polygons must be in.
    source : str, optional
        What messages call it; by default the path.

    Raises
    ------
    MetadataError
        Not a mask of that band, in another CRS, without any polygon, or with an invalid ring.
    """
    xml = Xml.read(data, source)
    _check_crs(xml, epsg)
    outlines = []
    for member in xml.root.iterfind(_MEMBER):
        name = next((value for key, value in member.attrib.items() if key.rpartition(":")[2] == "id"), "")
        path = f"{_MEMBER}[@id={name!r}]"
        found = _ID.fullmatch(name)
        if found is None or found[1] != band or not 1 <= int(found[2]) <= 255:
            raise xml.error(path, f"expected an id such as detector_footprint-{band}-05-0")
        outlines += [DetectorOutline(int(found[2]), rings) for rings in _polygons(xml, member, path)]
    if not outlines:
        raise xml.error(_MEMBER, "the mask has no detector; the file is incomplete, fetch it again")
    return tuple(sorted(outlines, key=lambda outline: outline.detector))


def _check_crs(xml: Xml, epsg: int) -> None:
    envelope = xml.root.find("boundedBy/Envelope")
    name = "" if envelope is None else envelope.get("srsName", "")
    found = _EPSG.search(name)
    if name and (found is None or int(found[1]) != epsg):
        msg = "boundedBy/Envelope/@srsName"
        raise xml.error(msg, f"expected the tile's EPSG:{epsg}, got {name!r}")


def _polygons(xml: Xml, member: Element, path: str) -> list[tuple[NDArray[np.float64], ...]]:
    """Rings of each polygon of a member."""
    polygons = []
    for polygon in member.iterfind("extentOf/Polygon"):
        rings = [
            _ring(xml, element, f"{path}/{kind}/posList")
            for kind in _RINGS
            for element in polygon.iterfind(f"{kind}/LinearRing/posList")
        ]
        if rings:
            polygons.append(tuple(rings))
    if not polygons:
        msg = f"{path}/extentOf/Polygon"
        raise xml.error(msg, "has no ring; the file is incomplete, fetch it again")
    return polygons


def _ring(xml: Xml, element: Element, where: str) -> NDArray[np.float64]:
    axes = xml.to_integer(element.get("srsDimension", "3"), f"{where}/@srsDimension")
    values = [xml.to_number(text, where) for text in (element.text or "").split()]
    if axes not in (2, 3) or len(values) % axes or len(values) < 4 * axes:
        raise xml.error(where, f"expected points of {axes} numbers, at least 4, got {len(values)} numbers")
    ring = np.array(values).reshape(-1, axes)[:, :2]
    if (ring[0] != ring[-1]).any():
        raise xml.error(where, f"expected a closed ring, got {ring[0]} to {ring[-1]}")
    return ring
