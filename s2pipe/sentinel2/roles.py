"""Roles: the hierarchical names under which a scene's files are known (``l1c.band.B02``)."""

from __future__ import annotations

from s2pipe.sentinel2.bands import BAND_NAMES, L2A_BANDS_BY_RESOLUTION

L1C_PRODUCT_METADATA = "l1c.product_metadata"
L1C_TILE_METADATA = "l1c.tile_metadata"
L1C_MANIFEST = "l1c.manifest"
L1C_CLASSIFICATION = "l1c.classification"
L2A_SCL = "l2a.scl_20m"
L2A_AOT = "l2a.aot_20m"
L2A_WVP = "l2a.wvp_20m"
L2A_PRODUCT_METADATA = "l2a.product_metadata"
L2A_TILE_METADATA = "l2a.tile_metadata"
L2A_MANIFEST = "l2a.manifest"
L2A_CLOUD_PROBABILITY = "l2a.cloud_probability_20m"
L2A_SNOW_PROBABILITY = "l2a.snow_probability_20m"


def l1c_band(band: str) -> str:
    """Role of an L1C band raster, e.g. ``l1c.band.B02``."""
    return f"l1c.band.{band}"


def l1c_detector_footprint(band: str) -> str:
    """Role of a band's detector footprint mask (GML before baseline 04.00, JPEG 2000 from then on)."""
    return f"l1c.detector_footprint.{band}"


def l2a_detector_footprint(band: str) -> str:
    """Role of the copy of a band's detector footprint mask that an L2A product holds."""
    return f"l2a.detector_footprint.{band}"


def l1c_quality(band: str) -> str:
    """Role of a band's quality mask."""
    return f"l1c.quality.{band}"


def l2a_band(band: str, resolution_m: int) -> str:
    """Role of an L2A surface-reflectance raster, e.g. ``l2a.band.B04_10m``."""
    return f"l2a.band.{band}_{resolution_m}m"


BAND_RASTERS = frozenset(
    (
        *(l1c_band(band) for band in BAND_NAMES),
        *(l2a_band(band, res) for res, bands in L2A_BANDS_BY_RESOLUTION.items() for band in bands),
    )
)
"""Roles of bands: images of the whole tile."""

MASKS = frozenset(
    (
        *(l1c_detector_footprint(band) for band in BAND_NAMES),
        *(l1c_quality(band) for band in BAND_NAMES),
        L1C_CLASSIFICATION,
        L2A_CLOUD_PROBABILITY,
        L2A_SNOW_PROBABILITY,
    )
)
"""Roles of masks, which products of some baselines lack."""

ALL_ROLES: tuple[str, ...] = (
    *(l1c_band(band) for band in BAND_NAMES),
    L1C_PRODUCT_METADATA,
    L1C_TILE_METADATA,
    L1C_MANIFEST,
    *(l1c_detector_footprint(band) for band in BAND_NAMES),
    *(l1c_quality(band) for band in BAND_NAMES),
    L1C_CLASSIFICATION,
    L2A_SCL,
    L2A_AOT,
    L2A_WVP,
    *(l2a_band(band, res) for res, bands in L2A_BANDS_BY_RESOLUTION.items() for band in bands),
    L2A_PRODUCT_METADATA,
    L2A_TILE_METADATA,
    L2A_MANIFEST,
    L2A_CLOUD_PROBABILITY,
    L2A_SNOW_PROBABILITY,
    *(l2a_detector_footprint(band) for band in BAND_NAMES),
)
"""Every role that a Step-1 manifest may hold."""
