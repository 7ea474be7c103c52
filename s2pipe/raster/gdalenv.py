"""The one place that imports GDAL, sets it up, and says what to do when it is missing."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from s2pipe.errors import DependencyError

if TYPE_CHECKING:
    from types import ModuleType

JPEG2000_DRIVERS = ("JP2KAK", "JP2Grok", "JP2ECW", "JP2OpenJPEG")
"""JPEG 2000 drivers that GDAL may offer, fastest first; GDAL itself decides which one opens a file."""
MINIMUM_GDAL = (3, 6)


@functools.cache
def gdal_module() -> ModuleType:
    """Import ``osgeo.gdal`` with exceptions switched on.

    Raises
    ------
    DependencyError
        The bindings are missing or older than GDAL 3.6.
    """
    try:
        from osgeo import gdal, osr
    except ImportError as error:
        msg = (
            f"GDAL's Python bindings (osgeo) cannot be imported: {error}\n"
            "Install them with `pip install 's2pipe[gdal-wheel]'` (Python >= 3.12), "
            "`conda install -c conda-forge gdal libgdal-jp2openjpeg`, or "
            '`apt install libgdal-dev` and `pip install "gdal==$(gdal-config --version)"`.'
        )
        raise DependencyError(msg) from error
    version = tuple(int(part) for part in gdal.__version__.split(".")[:2])
    if version < MINIMUM_GDAL:
        msg = (
            f"GDAL {gdal.__version__} is too old: s2pipe needs GDAL >= 3.6.\n"
            "Upgrade it with conda or pip (`pip install 's2pipe[gdal-wheel]'`), then run `s2pipe doctor`."
        )
        raise DependencyError(msg)
    gdal.UseExceptions()
    osr.UseExceptions()
    return gdal


@functools.cache
def jpeg2000_driver() -> str:
    """Return the name of the JPEG 2000 driver that GDAL uses first.

    Raises
    ------
    DependencyError
        GDAL was built without any JPEG 2000 driver.
    """
    gdal = gdal_module()
    registered = [gdal.GetDriver(i).ShortName for i in range(gdal.GetDriverCount())]
    found = [name for name in registered if name in JPEG2000_DRIVERS]
    if not found:
        msg = (
            f"GDAL {gdal.__version__} has no JPEG 2000 driver (looked for {', '.join(JPEG2000_DRIVERS)}).\n"
            "Install a GDAL with OpenJPEG: `pip install 's2pipe[gdal-wheel]'`, "
            "`conda install -c conda-forge libgdal-jp2openjpeg`, or Debian's libgdal; then run `s2pipe doctor`."
        )
        raise DependencyError(msg)
    return found[0]


def crs_wkt(epsg: int) -> str:
    """Return a coordinate reference system as WKT, from its EPSG code."""
    gdal_module()
    from osgeo import osr

    reference = osr.SpatialReference()
    reference.ImportFromEPSG(epsg)
    return str(reference.ExportToWkt())
