"""Which GDAL there is, and what it can do."""

from __future__ import annotations

import functools

from s2pipe.errors import DependencyError
from s2pipe.raster._gdal import gdal_module
from s2pipe.raster.formats import JPEG2000_DRIVERS

JPEG2000_WRITER = "JP2OpenJPEG"
"""The driver that writes JPEG 2000; the others write no lossless files, or need a licence to."""
_INSTALL_OPENJPEG = (
    "Install a GDAL with OpenJPEG: `pip install 's2pipe[gdal-wheel]'`, "
    "`conda install -c conda-forge libgdal-jp2openjpeg`, or Debian's libgdal; then run `s2pipe doctor`."
)


def require_gdal() -> None:
    """Check that GDAL is there, before a run does anything else.

    Raises
    ------
    DependencyError
        GDAL's Python bindings are missing or older than GDAL 3.6.
    """
    gdal_module()


def gdal_version() -> str:
    """Return GDAL's version, ``3.11.0``.

    Raises
    ------
    DependencyError
        GDAL's Python bindings are missing or older than GDAL 3.6.
    """
    return str(gdal_module().__version__)


def proj_version() -> str:
    """Return the version of PROJ, which brings places from one reference system to another."""
    gdal_module()
    from osgeo import osr

    parts = osr.GetPROJVersionMajor(), osr.GetPROJVersionMinor(), osr.GetPROJVersionMicro()
    return ".".join(map(str, parts))


@functools.cache
def jpeg2000_driver() -> str:
    """Return the name of the JPEG 2000 driver that GDAL tries first.

    Raises
    ------
    DependencyError
        GDAL is missing, or was built without any JPEG 2000 driver.
    """
    gdal = gdal_module()
    registered = [str(gdal.GetDriver(index).ShortName) for index in range(gdal.GetDriverCount())]
    found = [name for name in registered if name in JPEG2000_DRIVERS]
    if not found:
        msg = (
            f"GDAL {gdal_version()} has no JPEG 2000 driver (looked for {', '.join(JPEG2000_DRIVERS)}).\n"
            f"{_INSTALL_OPENJPEG}"
        )
        raise DependencyError(msg)
    return found[0]


def require_jpeg2000_writer() -> None:
    """Check that GDAL writes lossless JPEG 2000.

    Raises
    ------
    DependencyError
        GDAL is missing, or was built without the driver that does.
    """
    driver = gdal_module().GetDriverByName(JPEG2000_WRITER)
    if driver is None or driver.GetMetadataItem("DCAP_CREATECOPY") != "YES":
        msg = (
            f"GDAL {gdal_version()} cannot write JPEG 2000: its {JPEG2000_WRITER} driver is missing.\n"
            f"{_INSTALL_OPENJPEG}"
        )
        raise DependencyError(msg)


def require_zstd() -> None:
    """Check that GDAL compresses GeoTIFF files with Zstandard, the default of s2pipe.

    Raises
    ------
    DependencyError
        GDAL is missing, or was built without Zstandard.
    """
    if "ZSTD" not in gdal_module().GetDriverByName("GTiff").GetMetadataItem("DMD_CREATIONOPTIONLIST"):
        msg = (
            f"GDAL {gdal_version()} cannot compress GeoTIFF with ZSTD; install another build of it "
            "(`pip install 's2pipe[gdal-wheel]'`, conda's or Debian's), or set output.compression to deflate."
        )
        raise DependencyError(msg)
