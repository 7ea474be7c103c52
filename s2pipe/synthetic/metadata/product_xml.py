"""Product metadata (MTD_MSIL1C.xml, MTD_MSIL2A.xml) and the datastrip's, with the structure of real ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from s2pipe.ground.projection import utm_to_lonlat
from s2pipe.sentinel2.bands import BAND_NAMES, BANDS, SCL_CLASSES
from s2pipe.synthetic.imagery.strips import OFFSET_DN, QUANTIFICATION
from s2pipe.synthetic.metadata.markup import XSI, document, put, root
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
    general = put(top, "n1:General_Info")
    _product_info(general, names, level, images)
    _image_characteristics(put(general, "Product_Image_Characteristics"), names)
    geometric = put(top, "n1:Geometric_Info")
    footprint = put(geometric, "Product_Footprint")
    put(footprint, "Product_Footprint/Global_Footprint/EXT_POS_LIST", footprint_text(swath))
    put(footprint, "RASTER_CS_TYPE", "POINT")
    put(footprint, "PIXEL_ORIGIN", 1)
    reference = put(geometric, "Coordinate_Reference_System")
    put(reference, "GEO_TABLES", "EPSG", version=1)
    put(reference, "HORIZONTAL_CS_TYPE", "GEOGRAPHIC")
    put(top, "n1:Auxiliary_Data_Info/PRODUCTION_DEM_TYPE", "None")
    quality = put(top, "n1:Quality_Indicators_Info")
    put(quality, "Cloud_Coverage_Assessment", cloud_cover(class_counts))
    technical = put(quality, "Technical_Quality_Assessment")
    put(technical, "DEGRADED_ANC_DATA_PERCENTAGE", "0.0")
    put(technical, "DEGRADED_MSI_DATA_PERCENTAGE", 0)
    checks = put(quality, "Quality_Control_Checks")
    inspections = put(checks, "Quality_Inspections")
    for check in _QUALITY_CHECKS:
        put(inspections, "quality_check", "PASSED", checkType=check)
    put(checks, "Failed_Inspections")
    if names.level == "L2A":
        content_quality(put(quality, "Image_Content_QI"), class_counts)
    return document(top)


def datastrip_xml(names: ProductNames) -> bytes:
    """Compose a short datastrip metadata file."""
    level = f"Level-{names.level[1:]}"
    namespace = f"https://psd-14.sentinel2.eo.esa.int/PSD/S2_PDI_{level}_Datastrip_Metadata.xsd"
    top = root(f"n1:{level}_DataStrip_ID", {"n1": namespace, "xsi": XSI})
    general = put(top, "n1:General_Info")
    put(general, "DATASTRIP_ID", names.datastrip_id, metadataLevel="Standard")
    timing = put(general, "Datastrip_Time_Info", metadataLevel="Standard")
    put(timing, "DATASTRIP_SENSING_START", stamp(names.datastrip_start))
    put(timing, "DATASTRIP_SENSING_STOP", stamp(names.spec.tile_time))
    put(general, "Processing_Info/PROCESSING_BASELINE", names.spec.baseline)
    return document(top)


def cloud_cover(class_counts: np.ndarray) -> str:
    """Percentage of the data that lies under clouds or cirrus."""
    return f"{100 * class_counts[8:11].sum() / max(1, class_counts[1:].sum()):.6f}"


def content_quality(parent: ET.Element, class_counts: np.ndarray) -> None:
    """Append the L2A shares of scene classes in percent: no data of all pixels, the others of the data."""
    everything, data = max(1, class_counts.sum()), max(1, class_counts[1:].sum())
    put(parent, "CLOUDY_PIXEL_OVER_LAND_PERCENTAGE", cloud_cover(class_counts))
    for tag, classes in _CONTENT_SHARES.items():
        share = class_counts[list(classes)].sum() / (everything if classes == (0,) else data)
        put(parent, tag, f"{100 * share:.6f}")


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
    info = put(general, "Product_Info")
    put(info, "PRODUCT_START_TIME", stamp(spec.sensing_start))
    put(info, "PRODUCT_STOP_TIME", stamp(spec.sensing_start))
    put(info, "PRODUCT_URI", names.product)
    put(info, "PROCESSING_LEVEL", level)
    put(info, "PRODUCT_TYPE", f"S2MSI{names.level[1:]}")
    put(info, "PROCESSING_BASELINE", spec.baseline)
    put(info, "GENERATION_TIME", stamp(names.processed))
    put(info, "PREVIEW_IMAGE_URL", "Not applicable")
    put(info, "PREVIEW_GEO_INFO", "Not applicable")
    take = f"G{spec.satellite}_{names.sensing}_{names.absolute_orbit:06d}_N{spec.baseline}"
    datatake = put(info, "Datatake", datatakeIdentifier=take)
    put(datatake, "SPACECRAFT_NAME", f"Sentinel-{spec.satellite[1:]}")
    put(datatake, "DATATAKE_TYPE", "INS-NOBS")
    put(datatake, "DATATAKE_SENSING_START", stamp(spec.sensing_start))
    put(datatake, "SENSING_ORBIT_NUMBER", spec.rel_orbit)
    put(datatake, "SENSING_ORBIT_DIRECTION", "DESCENDING")
    options = put(info, "Query_Options", completeSingleTile="true")
    put(options, "PRODUCT_FORMAT", "SAFE_COMPACT")
    granule = put(
        info,
        "Product_Organisation/Granule_List/Granule",
        datastripIdentifier=names.datastrip_id,
        granuleIdentifier=names.granule_id,
        imageFormat="JPEG2000",
    )
    for image in images:
        put(granule, "IMAGE_FILE", image.removesuffix(".jp2"))


def _image_characteristics(parent: ET.Element, names: ProductNames) -> None:
    for text, index in (("NODATA", 0), ("SATURATED", 65535)):
        special = put(parent, "Special_Values")
        put(special, "SPECIAL_VALUE_TEXT", text)
        put(special, "SPECIAL_VALUE_INDEX", index)
    display = put(parent, "Image_Display_Order")
    for colour, channel in (("RED", 3), ("GREEN", 2), ("BLUE", 1)):
        put(display, f"{colour}_CHANNEL", channel)
    if names.level == "L1C":
        put(parent, "QUANTIFICATION_VALUE", QUANTIFICATION, unit="none")
        offsets, offset = "Radiometric_Offset_List", "RADIO_ADD_OFFSET"
    else:
        quantification = put(parent, "QUANTIFICATION_VALUES_LIST")
        put(quantification, "BOA_QUANTIFICATION_VALUE", QUANTIFICATION, unit="none")
        put(quantification, "AOT_QUANTIFICATION_VALUE", "1000.0", unit="none")
        put(quantification, "WVP_QUANTIFICATION_VALUE", "1000.0", unit="cm")
        offsets, offset = "BOA_ADD_OFFSET_VALUES_LIST", "BOA_ADD_OFFSET"
    if names.spec.has_offsets:
        values = put(parent, offsets)
        for band_id in range(len(BAND_NAMES)):
            put(values, offset, OFFSET_DN, band_id=band_id)
    conversion = put(parent, "Reflectance_Conversion")
    put(conversion, "U", f"{earth_sun_factor(names.spec.sensing_start):.12f}")
    irradiances = put(conversion, "Solar_Irradiance_List")
    for band_id, value in enumerate(_SOLAR_IRRADIANCE):
        put(irradiances, "SOLAR_IRRADIANCE", value, bandId=band_id, unit="W/m\u00b2/\u00b5m")
    spectra = put(parent, "Spectral_Information_List")
    for band in BANDS:
        physical = "B" + band.name[1:].lstrip("0")
        spectrum = put(spectra, "Spectral_Information", bandId=band.band_id, physicalBand=physical)
        put(spectrum, "RESOLUTION", band.resolution_m)
        put(spectrum, "Wavelength/CENTRAL", band.wavelength_nm, unit="nm")
    put(parent, "REFERENCE_BAND", 3)
    if names.level == "L2A":
        classes = put(parent, "Scene_Classification_List")
        for index, text in SCL_CLASSES.items():
            entry = put(classes, "Scene_Classification_ID")
            put(entry, "SCENE_CLASSIFICATION_TEXT", "SC_" + text.upper().replace(" ", "_").replace(",", ""))
            put(entry, "SCENE_CLASSIFICATION_INDEX", index)
