"""Product metadata (MTD_MSIL1C.xml, MTD_MSIL2A.xml) and the datastrip's, with the structure of real ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from s2pipe.ground.projection import utm_to_lonlat
from s2pipe.sentinel2.bands import BAND_NAMES, BANDS, SCL_CLASSES
from s2pipe.synthetic.imagery.strips import OFFSET_DN, QUANTIFICATION
from s2pipe.synthetic.metadata.markup import XSI, add_element, document, root
from s2pipe.synthetic.sun import earth_sun_factor

if TYPE_CHECKING:
    import xml.etree.ElementTree as ET
    from collections.abc import Sequence
    from datetime import datetime

    from s2pipe.synthetic.spec import ProductNames
    from s2pipe.synthetic.swath import Swath

_SOLAR_IRRADIANCE = (1885, 1960, 1824, 1512, 1425, 1287, 1162, 1041, 953, 817, 367, 246, 85)
"""Rounded, W/m2/um, by band id."""
_QUALITY_CHECKS = (
    "SENSOR_QUALITY",
    "GEOMETRIC_QUALITY",
    "GENERAL_QUALITY",
    "FORMAT_CORRECTNESS",
    "RADIOMETRIC_QUALITY",
)
_CONTENT_SHARES = {
    "NODATA_PIXEL_PERCENTAGE": (0,),
    "SATURATED_DEFECTIVE_PIXEL_PERCENTAGE": (1,),
    "DARK_FEATURES_PERCENTAGE": (2,),
    "CLOUD_SHADOW_PERCENTAGE": (3,),
    "VEGETATION_PERCENTAGE": (4,),
    "NOT_VEGETATED_PERCENTAGE": (5,),
    "WATER_PERCENTAGE": (6,),
    "UNCLASSIFIED_PERCENTAGE": (7,),
    "MEDIUM_PROBA_CLOUDS_PERCENTAGE": (8,),
    "HIGH_PROBA_CLOUDS_PERCENTAGE": (9,),
    "THIN_CIRRUS_PERCENTAGE": (10,),
    "SNOW_ICE_PERCENTAGE": (11,),
}


def stamp(time: datetime) -> str:
    """Time as metadata carry it."""
    return f"{time:%Y-%m-%dT%H:%M:%S}.{time.microsecond // 1000:03d}Z"


def product_xml(names: ProductNames, swath: Swath, images: Sequence[str], class_counts: np.ndarray) -> bytes:
    """Compose a product's main metadata file.

    Parameters
    ----------
    names : ProductNames
        Product to describe.
    swath : Swath
        Its geometry, for the footprint.
    images : sequence of str
        Paths of its images inside the product, with their suffix.
    class_counts : numpy.ndarray
        Pixels of each of the 12 scene classes.
    """
    level = f"Level-{names.level[1:]}"
    namespace = f"https://psd-14.sentinel2.eo.esa.int/PSD/User_Product_{level}.xsd"
    top = root(
        f"n1:{level}_User_Product",
        {"n1": namespace, "xsi": XSI},
        {"xsi:schemaLocation": f"{namespace} {namespace}"},
    )
    general = add_element(top, "n1:General_Info")
    _product_info(general, names, level, images)
    _image_characteristics(add_element(general, "Product_Image_Characteristics"), names)
    geometric = add_element(top, "n1:Geometric_Info")
    footprint = add_element(geometric, "Product_Footprint")
    add_element(footprint, "Product_Footprint/Global_Footprint/EXT_POS_LIST", footprint_text(swath))
    add_element(footprint, "RASTER_CS_TYPE", "POINT")
    add_element(footprint, "PIXEL_ORIGIN", 1)
    reference = add_element(geometric, "Coordinate_Reference_System")
    add_element(reference, "GEO_TABLES", "EPSG", version=1)
    add_element(reference, "HORIZONTAL_CS_TYPE", "GEOGRAPHIC")
    add_element(top, "n1:Auxiliary_Data_Info/PRODUCTION_DEM_TYPE", "None")
    quality = add_element(top, "n1:Quality_Indicators_Info")
    add_element(quality, "Cloud_Coverage_Assessment", cloud_cover(class_counts))
    technical = add_element(quality, "Technical_Quality_Assessment")
    add_element(technical, "DEGRADED_ANC_DATA_PERCENTAGE", "0.0")
    add_element(technical, "DEGRADED_MSI_DATA_PERCENTAGE", 0)
    checks = add_element(quality, "Quality_Control_Checks")
    inspections = add_element(checks, "Quality_Inspections")
    for check in _QUALITY_CHECKS:
        add_element(inspections, "quality_check", "PASSED", checkType=check)
    add_element(checks, "Failed_Inspections")
    if names.level == "L2A":
        content_quality(add_element(quality, "Image_Content_QI"), class_counts)
    return document(top)


def datastrip_xml(names: ProductNames) -> bytes:
    """Compose a short datastrip metadata file."""
    level = f"Level-{names.level[1:]}"
    namespace = f"https://psd-14.sentinel2.eo.esa.int/PSD/S2_PDI_{level}_Datastrip_Metadata.xsd"
    top = root(f"n1:{level}_DataStrip_ID", {"n1": namespace, "xsi": XSI})
    general = add_element(top, "n1:General_Info")
    add_element(general, "DATASTRIP_ID", names.datastrip_id, metadataLevel="Standard")
    timing = add_element(general, "Datastrip_Time_Info", metadataLevel="Standard")
    add_element(timing, "DATASTRIP_SENSING_START", stamp(names.datastrip_start))
    add_element(timing, "DATASTRIP_SENSING_STOP", stamp(names.spec.tile_time))
    add_element(general, "Processing_Info/PROCESSING_BASELINE", names.spec.baseline)
    return document(top)


def cloud_cover(class_counts: np.ndarray) -> str:
    """Percentage of the data that lies under clouds or cirrus."""
    return f"{100 * class_counts[8:11].sum() / max(1, class_counts[1:].sum()):.6f}"


def content_quality(parent: ET.Element, class_counts: np.ndarray) -> None:
    """Append the L2A shares of scene classes in percent: no data of all pixels, the others of the data."""
    everything, data = max(1, class_counts.sum()), max(1, class_counts[1:].sum())
    add_element(parent, "CLOUDY_PIXEL_OVER_LAND_PERCENTAGE", cloud_cover(class_counts))
    for tag, classes in _CONTENT_SHARES.items():
        share = class_counts[list(classes)].sum() / (everything if classes == (0,) else data)
        add_element(parent, tag, f"{100 * share:.6f}")


def footprint_text(swath: Swath) -> str:
    """Footprint of the image as latitude and longitude pairs, closed."""
    corners = swath.image_footprint()
    x, y = np.array([*corners, corners[0]]).T
    longitude, latitude = utm_to_lonlat(x, y, swath.epsg)
    # The product's own convention: longitudes of tiles beside the antimeridian stay within +-180.
    longitude = (longitude + 180.0) % 360.0 - 180.0
    return " ".join(f"{lat:.12f} {lon:.12f}" for lat, lon in zip(latitude, longitude, strict=True)) + " "


def _product_info(general: ET.Element, names: ProductNames, level: str, images: Sequence[str]) -> None:
    spec = names.spec
    info = add_element(general, "Product_Info")
    add_element(info, "PRODUCT_START_TIME", stamp(spec.sensing_start))
    add_element(info, "PRODUCT_STOP_TIME", stamp(spec.sensing_start))
    add_element(info, "PRODUCT_URI", names.product)
    add_element(info, "PROCESSING_LEVEL", level)
    add_element(info, "PRODUCT_TYPE", f"S2MSI{names.level[1:]}")
    add_element(info, "PROCESSING_BASELINE", spec.baseline)
    add_element(info, "GENERATION_TIME", stamp(names.processed))
    add_element(info, "PREVIEW_IMAGE_URL", "Not applicable")
    add_element(info, "PREVIEW_GEO_INFO", "Not applicable")
    take = f"G{spec.satellite}_{names.sensing}_{names.absolute_orbit:06d}_N{spec.baseline}"
    datatake = add_element(info, "Datatake", datatakeIdentifier=take)
    add_element(datatake, "SPACECRAFT_NAME", f"Sentinel-{spec.satellite[1:]}")
    add_element(datatake, "DATATAKE_TYPE", "INS-NOBS")
    add_element(datatake, "DATATAKE_SENSING_START", stamp(spec.sensing_start))
    add_element(datatake, "SENSING_ORBIT_NUMBER", spec.rel_orbit)
    add_element(datatake, "SENSING_ORBIT_DIRECTION", "DESCENDING")
    options = add_element(info, "Query_Options", completeSingleTile="true")
    add_element(options, "PRODUCT_FORMAT", "SAFE_COMPACT")
    granule = add_element(
        info,
        "Product_Organisation/Granule_List/Granule",
        datastripIdentifier=names.datastrip_id,
        granuleIdentifier=names.granule_id,
        imageFormat="JPEG2000",
    )
    for image in images:
        add_element(granule, "IMAGE_FILE", image.removesuffix(".jp2"))


def _image_characteristics(parent: ET.Element, names: ProductNames) -> None:
    for text, index in (("NODATA", 0), ("SATURATED", 65535)):
        special = add_element(parent, "Special_Values")
        add_element(special, "SPECIAL_VALUE_TEXT", text)
        add_element(special, "SPECIAL_VALUE_INDEX", index)
    display = add_element(parent, "Image_Display_Order")
    for colour, channel in (("RED", 3), ("GREEN", 2), ("BLUE", 1)):
        add_element(display, f"{colour}_CHANNEL", channel)
    if names.level == "L1C":
        add_element(parent, "QUANTIFICATION_VALUE", QUANTIFICATION, unit="none")
        offsets, offset = "Radiometric_Offset_List", "RADIO_ADD_OFFSET"
    else:
        quantification = add_element(parent, "QUANTIFICATION_VALUES_LIST")
        add_element(quantification, "BOA_QUANTIFICATION_VALUE", QUANTIFICATION, unit="none")
        add_element(quantification, "AOT_QUANTIFICATION_VALUE", "1000.0", unit="none")
        add_element(quantification, "WVP_QUANTIFICATION_VALUE", "1000.0", unit="cm")
        offsets, offset = "BOA_ADD_OFFSET_VALUES_LIST", "BOA_ADD_OFFSET"
    if names.spec.has_offsets:
        values = add_element(parent, offsets)
        for band_id in range(len(BAND_NAMES)):
            add_element(values, offset, OFFSET_DN, band_id=band_id)
    conversion = add_element(parent, "Reflectance_Conversion")
    add_element(conversion, "U", f"{earth_sun_factor(names.spec.sensing_start):.12f}")
    irradiances = add_element(conversion, "Solar_Irradiance_List")
    for band_id, value in enumerate(_SOLAR_IRRADIANCE):
        add_element(irradiances, "SOLAR_IRRADIANCE", value, bandId=band_id, unit="W/m\u00b2/\u00b5m")
    spectra = add_element(parent, "Spectral_Information_List")
    for band in BANDS:
        physical = "B" + band.name[1:].lstrip("0")
        spectrum = add_element(spectra, "Spectral_Information", bandId=band.band_id, physicalBand=physical)
        add_element(spectrum, "RESOLUTION", band.resolution_m)
        add_element(spectrum, "Wavelength/CENTRAL", band.wavelength_nm, unit="nm")
    add_element(parent, "REFERENCE_BAND", 3)
    if names.level == "L2A":
        classes = add_element(parent, "Scene_Classification_List")
        for index, text in SCL_CLASSES.items():
            entry = add_element(classes, "Scene_Classification_ID")
            add_element(
                entry, "SCENE_CLASSIFICATION_TEXT", "SC_" + text.upper().replace(" ", "_").replace(",", "")
            )
            add_element(entry, "SCENE_CLASSIFICATION_INDEX", index)
