"""What GDAL can do, asked of GDAL with and without its drivers."""

from __future__ import annotations

import os
import subprocess
import sys

from osgeo import gdal

from s2pipe.raster.capabilities import (
    gdal_version,
    jpeg2000_driver,
    require_gdal,
    require_jpeg2000_writer,
    require_zstd,
)
from s2pipe.raster.formats import JPEG2000_DRIVERS
from tests.paths import ROOT


def _without_jpeg_2000(function: str) -> subprocess.CompletedProcess[str]:
    """Call a function in a process whose GDAL has no JPEG 2000 driver."""
    code = f"from s2pipe.raster.capabilities import {function}; {function}()"
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "GDAL_SKIP": " ".join(JPEG2000_DRIVERS)},
        check=False,
    )


def test_this_gdal_has_what_the_pipeline_needs() -> None:
    require_gdal()
    assert gdal_version() == gdal.__version__
    assert jpeg2000_driver() in JPEG2000_DRIVERS
    require_jpeg2000_writer()
    require_zstd()


def test_a_gdal_without_jpeg_2000_is_an_error_with_a_cure() -> None:
    done = _without_jpeg_2000("jpeg2000_driver")
    assert done.returncode == 1
    assert f"DependencyError: GDAL {gdal.__version__} has no JPEG 2000 driver" in done.stderr
    assert "Install a GDAL with OpenJPEG" in done.stderr


def test_a_gdal_that_cannot_write_jpeg_2000_is_an_error_with_a_cure() -> None:
    done = _without_jpeg_2000("require_jpeg2000_writer")
    assert done.returncode == 1
    assert f"DependencyError: GDAL {gdal.__version__} cannot write JPEG 2000" in done.stderr
    assert "Install a GDAL with OpenJPEG" in done.stderr
