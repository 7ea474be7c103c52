"""Product metadata (``MTD_MSIL1C.xml``, ``MTD_MSIL2A.xml``) as typed records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from s2pipe.errors import MetadataError
from s2pipe.sentinel2.bands import BANDS, Level
from s2pipe.sentinel2.safe.footprint import footprint_geojson
from s2pipe.sentinel2.safe.xml import Xml, parse_float

if TYPE_CHECKING:
    from pathlib import Path
    from xml.etree.ElementTree import Element

_LEVEL_OF_ROOT: dict[str, Level] = {"Level-1C_User_Product": "L1C", "Level-2A_User_Product": "L2A"}
# The second path of each pair is that of early L2A products (2017, baseline 02.05).
_INFO = ("General_Info/Product_Info", "General_Info/L2A_Product_Info")
_CHARACTERISTICS = (
    "General_Info/Product_Image_Characteristics",
    "General_Info/L2A_Product_Image_Characteristics",
)
_QUANTIFICATION: dict[Level, tuple[str, ...]] = {
    "L1C": (f"{_CHARACTERISTICS[0]}/QUANTIFICATION_VALUE",),
    "L2A": (
        f"{_CHARACTERISTICS[0]}/QUANTIFICATION_VALUES_LIST/BOA_QUANTIFICATION_VALUE",
        f"{_CHARACTERISTICS[1]}/L1C_L2A_Quantification_Values_List/L2A_BOA_QUANTIFICATION_VALUE",
    ),
}
_OFFSETS: dict[Level, tuple[str, str]] = {
    "L1C": (f"{_CHARACTERISTICS[0]}/Radiometric_Offset_List", "RADIO_ADD_OFFSET"),
    "L2A": (f"{_CHARACTERISTICS[0]}/BOA_ADD_OFFSET_VALUES_LIST", "BOA_ADD_OFFSET"),
}
_GRANULE = tuple(
    f"{info}/Product_Organisation/Granule_List/{tag}" for info in _INFO for tag in ("Granule", "Granules")
)
_ORBIT = "Datatake/SENSING_ORBIT_NUMBER"
_CONTENT = "Quality_Indicators_Info/Image_Content_QI"
_FOOTPRINT = "Geometric_Info/Product_Footprint/Product_Footprint/Global_Footprint/EXT_POS_LIST"


@dataclass(frozen=True)
class ProductInfo:
    """What a product's metadata says about the product as a whole."""

    source: str
    """File that the record was read from."""
    level: Level
    """Processing level, from the document's root element."""
    product_uri: str | None
    """Name of the product, ``S2A_MSIL1C_....SAFE``; None when not stated."""
    baseline: str | None
    """Processing baseline, ``05.11``."""
    generation_time: str | None
    """Time of processing, UTC, as written."""
    sensing_start: str | None
    """Start of the datatake, UTC, with fractions of a second as written."""
    rel_orbit: int | None
    """Relative orbit number."""
    datastrip_id: str | None
    """Identifier of the datastrip that the granule was cut from."""
    cloud_cover: float | None
    """Cloudy pixels, percent."""
    geofootprint: Mapping[str, Any] | None
    """Footprint as a GeoJSON geometry in degrees; None when not stated."""
    scl_percentages: Mapping[str, float] | None
    """L2A: the ``..._PERCENTAGE`` values of the scene classification by element name; None for L1C."""


@dataclass(frozen=True)
class ProductRadiometry:
    """How digital numbers become reflectance: (DN + offset) / quantification."""

    source: str
    """File that the record was read from."""
    level: Level
    """Processing level: top-of-atmosphere reflectance for L1C, surface reflectance for L2A."""
    quantification: float
    """``QUANTIFICATION_VALUE`` or ``BOA_QUANTIFICATION_VALUE``, greater than 0."""
    offsets: Mapping[str, float]
    """Offset in DN by band name; empty when the product has no offset list."""
    has_offset_list: bool
    """Whether the metadata holds an offset list (baseline 04.00 on)."""

    def offset(self, band: str) -> float:
        """Return a band's offset in DN: 0 when the product has no offset list.

        Raises
        ------
        MetadataError
            The product has an offset list, but the band is not in it.
        """
        if not self.has_offset_list:
            return 0.0
        if band not in self.offsets:
            path, tag = _OFFSETS[self.level]
            msg = (
                f"{self.source}: {path}: no {tag} for band {band}, got those of "
                f"{', '.join(self.offsets) or 'no band'}; the metadata file is incomplete, fetch it again"
            )
            raise MetadataError(msg)
        return self.offsets[band]


def read_product_info(data: bytes | Path, source: str | None = None) -> ProductInfo:
    """Read a product's metadata.

    Parameters
    ----------
    data : bytes or Path
        ``MTD_MSIL1C.xml`` or ``MTD_MSIL2A.xml``.
    source : str, optional
        What messages call it; by default the path.

    Raises
    ------
    MetadataError
        Not the XML of a product, or a value of the wrong type. Missing values are None.
    """
    xml = Xml.read(data, source)
    level = _level(xml)
    orbit = _info_text(xml, _ORBIT)
    granule = xml.find(*_GRANULE)
    return ProductInfo(
        source=xml.source,
        level=level,
        product_uri=_info_text(xml, "PRODUCT_URI", "PRODUCT_URI_2A"),
        baseline=_info_text(xml, "PROCESSING_BASELINE"),
        generation_time=_info_text(xml, "GENERATION_TIME"),
        sensing_start=_info_text(xml, "Datatake/DATATAKE_SENSING_START", "PRODUCT_START_TIME"),
        rel_orbit=None if orbit is None else xml.to_integer(orbit, f"{_INFO[0]}/{_ORBIT}"),
        datastrip_id=None if granule is None else granule.get("datastripIdentifier"),
        cloud_cover=xml.percentage("Quality_Indicators_Info/Cloud_Coverage_Assessment"),
        geofootprint=_footprint(xml),
        scl_percentages=_percentages(xml) if level == "L2A" else None,
    )


def read_radiometry(data: bytes | Path, source: str | None = None) -> ProductRadiometry:
    """Read quantification value and offsets from a product's own metadata; nothing else decides them.

    Parameters
    ----------
    data : bytes or Path
        ``MTD_MSIL1C.xml`` (``RADIO_ADD_OFFSET``) or ``MTD_MSIL2A.xml`` (``BOA_ADD_OFFSET``).
    source : str, optional
        What messages call it; by default the path.

    Raises
    ------
    MetadataError
        The quantification value is missing, not a number or not positive, or an offset is unusable.
    """
    xml = Xml.read(data, source)
    level = _level(xml)
    paths = _QUANTIFICATION[level]
    quantification = xml.need_number(*paths)
    if quantification <= 0.0:
        raise xml.error(paths[0], f"expected a number greater than 0, got {quantification:g}")
    list_path, tag = _OFFSETS[level]
    offset_list = xml.find(list_path)
    offsets = {} if offset_list is None else _offsets(xml, offset_list, f"{list_path}/{tag}", tag)
    return ProductRadiometry(xml.source, level, quantification, offsets, offset_list is not None)


def _level(xml: Xml) -> Level:
    level = _LEVEL_OF_ROOT.get(xml.root.tag)
    if level is None:
        expected = " or ".join(_LEVEL_OF_ROOT)
        raise xml.error(xml.root.tag, f"expected the root element {expected}; this is not product metadata")
    return level


def _info_text(xml: Xml, *paths: str) -> str | None:
    return xml.text(*(f"{info}/{path}" for info in _INFO for path in paths))


def _offsets(xml: Xml, offset_list: Element, path: str, tag: str) -> dict[str, float]:
    offsets: dict[str, float] = {}
    for element in offset_list.iterfind(tag):
        band_id = xml.to_integer(element.get("band_id"), f"{path}/@band_id")
        if not 0 <= band_id < len(BANDS):
            msg = f"{path}/@band_id"
            raise xml.error(msg, f"expected 0 to {len(BANDS) - 1}, got {band_id}")
        name = BANDS[band_id].name
        if name in offsets:
            raise xml.error(path, f"band {name} (band_id {band_id}) is listed twice")
        offsets[name] = xml.to_number((element.text or "").strip(), f"{path}[@band_id={band_id}]")
    return offsets


def _footprint(xml: Xml) -> dict[str, Any] | None:
    text = xml.text(_FOOTPRINT)
    if text is None:
        return None
    values = [xml.to_number(value, _FOOTPRINT) for value in text.split()]
    for place, value in enumerate(values):
        limit = 180.0 if place % 2 else 90.0
        xml.in_range(value, -limit, limit, _FOOTPRINT)
    return footprint_geojson(values)


def _percentages(xml: Xml) -> dict[str, float] | None:
    content = xml.find(_CONTENT)
    if content is None:
        return None
    values = {child.tag: parse_float((child.text or "").strip()) for child in content}
    return {
        tag: xml.to_percentage(value, f"{_CONTENT}/{tag}")
        for tag, value in values.items()
        if tag.endswith("_PERCENTAGE") and value is not None
    }
