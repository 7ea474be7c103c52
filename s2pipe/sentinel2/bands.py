"""The one band table of the Multispectral Instrument, and the L2A scene classes.

Sources: ESA Sentinel-2 Products Specification Document (band ids, resolutions), ESA's table of the spatial and spectral
resolutions of the instrument (wavelengths, bandwidths), and the JPEG 2000 code-streams of real products (tile sizes).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Level = Literal["L1C", "L2A"]
"""Processing levels that s2pipe reads: top-of-atmosphere reflectance, and surface reflectance."""
BandName = Literal["B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12"]
"""Band names in the order of their ``bandId``."""


@dataclass(frozen=True)
class Band:
    """One spectral band of the Multispectral Instrument."""

    name: str
    """Band name as file names carry it, e.g. ``B8A``."""
    band_id: int
    """``bandId`` / ``band_id`` in product and tile metadata, 0 to 12."""
    resolution_m: int
    """Pixel size of the L1C raster in metres: 10, 20 or 60."""
    wavelength_nm: float
    """Central wavelength of Sentinel-2A in nanometres."""
    bandwidth_nm: float
    """Full width at half maximum of Sentinel-2A in nanometres."""
    color: str
    """GDAL's name of what it shows, for viewers that look for red, green and blue."""


BANDS: tuple[Band, ...] = tuple(
    Band(name, band_id, resolution, wavelength, bandwidth, color)
    for band_id, (name, resolution, wavelength, bandwidth, color) in enumerate(
        zip(
            get_args(BandName),
            (60, 10, 10, 10, 20, 20, 20, 10, 20, 60, 60, 20, 20),
            (442.7, 492.4, 559.8, 664.6, 704.1, 740.5, 782.8, 832.8, 864.7, 945.1, 1373.5, 1613.7, 2202.4),
            (21.0, 66.0, 36.0, 31.0, 15.0, 15.0, 20.0, 106.0, 21.0, 20.0, 31.0, 91.0, 175.0),
            (
                *("Coastal", "Blue", "Green", "Red", "RedEdge", "RedEdge", "RedEdge", "NIR", "NIR"),
                *("OtherIR", "OtherIR", "SWIR", "SWIR"),
            ),
            strict=True,
        )
    )
)
BAND_NAMES: tuple[str, ...] = tuple(band.name for band in BANDS)
BY_NAME: dict[str, Band] = {band.name: band for band in BANDS}

JP2_TILE_PX: dict[int, int] = {10: 1024, 20: 640, 60: 192}
"""Side of the square JPEG 2000 tiles of real products, by resolution in metres."""

L2A_BANDS_BY_RESOLUTION: dict[int, tuple[str, ...]] = {
    10: ("B02", "B03", "B04", "B08"),
    20: ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B8A", "B11", "B12"),
    60: ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B8A", "B09", "B11", "B12"),
}
"""Surface-reflectance bands that an L2A product holds at each resolution (metres); B10 has none."""

TILE_SIDE_M = 109_800
"""Side of an MGRS tile's raster in metres."""
DN_NODATA = 0
"""Digital number of a pixel without data."""
DN_SATURATED = 65535
"""Digital number of a saturated pixel; it counts as valid."""

SCL_CLASSES: dict[int, str] = {
    0: "no data",
    1: "saturated or defective",
    2: "cast shadow",
    3: "cloud shadow",
    4: "vegetation",
    5: "not vegetated",
    6: "water",
    7: "unclassified",
    8: "cloud, medium probability",
    9: "cloud, high probability",
    10: "thin cirrus",
    11: "snow or ice",
}
"""Classes of the L2A scene classification layer (SCL)."""
SCL_COLORS: dict[int, str] = {
    0: "#000000",
    1: "#ff0000",
    2: "#2f2f2f",
    3: "#643200",
    4: "#00a000",
    5: "#ffe65a",
    6: "#0000ff",
    7: "#808080",
    8: "#c0c0c0",
    9: "#ffffff",
    10: "#64c8ff",
    11: "#ff96ff",
}
"""Colours that they are drawn in."""
SCL_CLOUD, SCL_SHADOW, SCL_SNOW, SCL_WATER = (8, 9, 10), (3,), (11,), (6,)
"""Classes that are cloud (medium and high probability, thin cirrus), shadow of clouds, snow, and water."""
