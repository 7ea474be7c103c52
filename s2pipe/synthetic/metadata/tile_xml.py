"""Tile metadata (MTD_TL.xml): geocoding, sun and view angle grids, with the structure of real ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from s2pipe.sentinel2.bands import BANDS
from s2pipe.synthetic.metadata.markup import XSI, add_element, document, root
from s2pipe.synthetic.metadata.product_xml import cloud_cover, content_quality, stamp
from s2pipe.synthetic.swath import DETECTORS, NODE_STEP_M, Swath, nodes

if TYPE_CHECKING:
    import xml.etree.ElementTree as ET
    from collections.abc import Sequence

    from s2pipe.synthetic.spec import ProductNames


def tile_xml(
    names: ProductNames, swath: Swath, masks: Sequence[tuple[str, int | None, str]], class_counts: np.ndarray
) -> bytes:
    """Compose a granule's metadata file.

    Parameters
    ----------
    names : ProductNames
        Product that the granule belongs to.
    swath : Swath
        Its geometry.
    masks : sequence of (str, int or None, str)
        Kind, band id (None for masks of no band) and path of each quality mask.
    class_counts : numpy.ndarray
        Pixels of each of the 12 scene classes.
    """
    level = f"Level-{names.level[1:]}"
    namespace = f"https://psd-14.sentinel2.eo.esa.int/PSD/S2_PDI_{level}_Tile_Metadata.xsd"
    top = root(
        f"n1:{level}_Tile_ID",
        {"n1": namespace, "xsi": XSI},
        {"xsi:schemaLocation": f"{namespace} {namespace}"},
    )
    general = add_element(top, "n1:General_Info")
    if names.level == "L2A":
        add_element(general, "L1C_TILE_ID", names.spec.names("L1C").granule_id, metadataLevel="Brief")
    add_element(general, "TILE_ID", names.granule_id, metadataLevel="Brief")
    add_element(general, "DATASTRIP_ID", names.datastrip_id, metadataLevel="Standard")
    add_element(general, "DOWNLINK_PRIORITY", "NOMINAL", metadataLevel="Standard")
    add_element(general, "SENSING_TIME", stamp(names.spec.tile_time), metadataLevel="Standard")
    archiving = add_element(general, "Archiving_Info", metadataLevel="Expertise")
    add_element(archiving, "ARCHIVING_CENTRE", "2APS")
    add_element(archiving, "ARCHIVING_TIME", stamp(names.processed))
    geometric = add_element(top, "n1:Geometric_Info")
    _geocoding(add_element(geometric, "Tile_Geocoding", metadataLevel="Brief"), swath)
    _angles(add_element(geometric, "Tile_Angles", metadataLevel="Standard"), swath)
    quality = add_element(top, "n1:Quality_Indicators_Info", metadataLevel="Standard")
    content = add_element(quality, "Image_Content_QI")
    add_element(content, "CLOUDY_PIXEL_PERCENTAGE", cloud_cover(class_counts))
    add_element(content, "DEGRADED_MSI_DATA_PERCENTAGE", 0)
    if names.level == "L2A":
        content_quality(content, class_counts)
    listing = add_element(quality, "Pixel_Level_QI", geometry="FULL_RESOLUTION")
    for kind, band_id, path in masks:
        band = {} if band_id is None else {"bandId": band_id}
        add_element(listing, "MASK_FILENAME", path, **band, type=kind)
    return document(top)


def _geocoding(parent: ET.Element, swath: Swath) -> None:
    zone, north = swath.epsg % 100, swath.epsg // 100 == 326
    add_element(parent, "HORIZONTAL_CS_NAME", f"WGS84 / UTM zone {zone:02d}{'N' if north else 'S'}")
    add_element(parent, "HORIZONTAL_CS_CODE", f"EPSG:{swath.epsg}")
    for resolution in (10, 20, 60):
        size = add_element(parent, "Size", resolution=resolution)
        add_element(size, "NROWS", int(swath.side_m) // resolution)
        add_element(size, "NCOLS", int(swath.side_m) // resolution)
    for resolution in (10, 20, 60):
        position = add_element(parent, "Geoposition", resolution=resolution)
        add_element(position, "ULX", int(swath.ulx))
        add_element(position, "ULY", int(swath.uly))
        add_element(position, "XDIM", resolution)
        add_element(position, "YDIM", -resolution)


def _angles(parent: ET.Element, swath: Swath) -> None:
    x, y = nodes(swath)
    zenith, azimuth = swath.sun_angles_at(x, y)
    _grids(add_element(parent, "Sun_Angles_Grid"), zenith, azimuth)
    mean = add_element(parent, "Mean_Sun_Angle")
    add_element(mean, "ZENITH_ANGLE", f"{zenith.mean():.12f}", unit="deg")
    add_element(mean, "AZIMUTH_ANGLE", f"{azimuth.mean():.12f}", unit="deg")
    means = []
    for band in BANDS:
        seen = []
        for detector in DETECTORS:
            zenith, azimuth = swath.view_angles_at(x, y, band.name, detector)
            covered = swath.covers(x, y, band.name, detector)
            if covered.any():
                grids = add_element(
                    parent, "Viewing_Incidence_Angles_Grids", bandId=band.band_id, detectorId=detector
                )
                _grids(grids, np.where(covered, zenith, np.nan), np.where(covered, azimuth, np.nan))
                seen.append((zenith[covered], azimuth[covered]))
        means.append((band.band_id, *_mean_direction(*np.concatenate(seen, axis=1))))
    listing = add_element(parent, "Mean_Viewing_Incidence_Angle_List")
    for band_id, zenith_deg, azimuth_deg in means:
        mean = add_element(listing, "Mean_Viewing_Incidence_Angle", bandId=band_id)
        add_element(mean, "ZENITH_ANGLE", f"{zenith_deg:.12f}", unit="deg")
        add_element(mean, "AZIMUTH_ANGLE", f"{azimuth_deg:.12f}", unit="deg")


def _grids(parent: ET.Element, zenith: np.ndarray, azimuth: np.ndarray) -> None:
    for name, values in (("Zenith", zenith), ("Azimuth", azimuth)):
        grid = add_element(parent, name)
        add_element(grid, "COL_STEP", int(NODE_STEP_M), unit="m")
        add_element(grid, "ROW_STEP", int(NODE_STEP_M), unit="m")
        rows = add_element(grid, "Values_List")
        for row in values:
            add_element(
                rows, "VALUES", " ".join("NaN" if np.isnan(value) else f"{value:.6g}" for value in row)
            )


def _mean_direction(zenith: np.ndarray, azimuth: np.ndarray) -> tuple[float, float]:
    """Direction of the mean of unit vectors, in degrees."""
    z, a = np.radians(zenith), np.radians(azimuth)
    east, north, up = (np.sin(z) * np.sin(a)).mean(), (np.sin(z) * np.cos(a)).mean(), np.cos(z).mean()
    direction = np.degrees(np.arctan2(np.hypot(east, north), up)), np.degrees(np.arctan2(east, north)) % 360
    return float(direction[0]), float(direction[1])
