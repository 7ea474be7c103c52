"""Which formats a raster may have, and whether files beside it count. No GDAL here.

GDAL opens whatever a file turns out to be, whatever its name: a ``.jp2`` that is VRT text leads to any file, or to the
network. So every raster is opened with the few drivers that its place allows.
"""

from __future__ import annotations

from dataclasses import dataclass

JPEG2000_DRIVERS = ("JP2KAK", "JP2Grok", "JP2ECW", "JP2OpenJPEG")
"""JPEG 2000 drivers that GDAL may have, fastest first; GDAL itself decides which one opens a file."""


@dataclass(frozen=True)
class Formats:
    """The formats that a raster may have."""

    name: str
    """What messages call them."""
    drivers: tuple[str, ...] | None
    """GDAL's drivers for them; None for all that GDAL has."""
    alone: bool
    """Whether the file counts alone: files beside it (``.aux.xml``, world files, ``.msk``, ``.ovr``), which may say
    otherwise or lead elsewhere, are not looked at."""
    cure: str
    """What to do about a file of another format."""


_FETCH_AGAIN = "is the file complete? Fetch it again"

JPEG2000 = Formats("JPEG 2000", JPEG2000_DRIVERS, alone=True, cure=_FETCH_AGAIN)
"""Rasters of products."""
GEOTIFF = Formats("GeoTIFF", ("GTiff",), alone=True, cure="run the step that wrote it again")
"""Rasters that s2pipe writes."""
SELF_CONTAINED = Formats(
    "GeoTIFF, JPEG 2000 or PNG", ("GTiff", *JPEG2000_DRIVERS, "PNG"), alone=True, cure=_FETCH_AGAIN
)
"""Formats whose files cannot refer to others."""
LABELS = Formats(
    SELF_CONTAINED.name,
    SELF_CONTAINED.drivers,
    alone=True,
    cure="convert it with gdal_translate -of GTiff; or set labels.allow_vrt if it, and every file that it refers to, "
    "can be trusted",
)
"""Label rasters of the user's own."""
ANY_FORMAT = Formats("a raster", None, alone=False, cure=_FETCH_AGAIN)
"""Everything that GDAL opens: for files that the user vouches for."""
