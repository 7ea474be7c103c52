"""Tests that GDAL 3.6 does not pass; docs/dependencies.md says what that means to users."""

from __future__ import annotations

import pytest
from osgeo import gdal

not_with_gdal_3_6 = pytest.mark.skipif(
    int(gdal.VersionInfo()) < 3_07_00_00, reason="GDAL 3.6 does this otherwise: docs/dependencies.md"
)
