"""UTM and geographic coordinates: there and back, and against GDAL."""

from __future__ import annotations

import numpy as np
import pyproj
import pytest
from hypothesis import given

from s2pipe.errors import RasterError
from s2pipe.ground.projection import lonlat_to_utm, utm_epsg, utm_to_lonlat
from tests.ground.ground_support import eastings, epsgs, northings


@given(epsgs, eastings, northings)
def test_projecting_there_and_back_gives_the_same_point(epsg: int, x: float, y: float) -> None:
    lon, lat = utm_to_lonlat(np.array([x]), np.array([y]), epsg)
    for turn in (-360.0, 0.0, 360.0):
        back = lonlat_to_utm(lon + turn, lat, epsg)
        np.testing.assert_allclose(np.ravel(back), [x, y], atol=1e-3)


@pytest.mark.parametrize("epsg", [32601, 32633, 32660, 32733])
def test_forward_projection_agrees_with_gdal(epsg: int) -> None:
    from osgeo import osr

    geographic, utm = osr.SpatialReference(), osr.SpatialReference()
    geographic.ImportFromEPSG(4326)
    utm.ImportFromEPSG(epsg)
    for reference in (geographic, utm):
        reference.SetAxisMappingStrategy(osr.OAMS_TRADITIONAL_GIS_ORDER)
    there = osr.CoordinateTransformation(geographic, utm)
    middle = (epsg % 100) * 6.0 - 183.0
    for delta in (-3.4, 0.0, 2.9):
        for lat in (-79.0, -0.5, 12.3, 49.6, 83.9):
            expected = there.TransformPoint(middle + delta, lat)[:2]
            got = lonlat_to_utm(np.array([middle + delta]), np.array([lat]), epsg)
            np.testing.assert_allclose(np.ravel(got), expected, atol=2e-3)


def test_the_authority_code_of_a_crs_decides_and_not_its_name() -> None:
    wkt = pyproj.CRS(32633).to_wkt("WKT1_GDAL")
    code = ',AUTHORITY["EPSG","32633"]'
    assert wkt.endswith(f"{code}]")
    assert utm_epsg(wkt) == 32633
    assert utm_epsg(wkt.replace("UTM zone 33N", "UTM zone 32N")) == 32633
    assert utm_epsg(wkt.replace("WGS 84 / UTM zone 33N", "unnamed")) == 32633
    assert utm_epsg(wkt.replace(code, "")) == 32633  # by its definition
    assert utm_epsg(wkt.replace("UTM zone 33N", "UTM zone 32N").replace(code, "")) == 32633
    assert utm_epsg(pyproj.CRS(32733).to_wkt()) == 32733
    for other in (pyproj.CRS(25833).to_wkt().replace("ETRS89", "WGS 84"), pyproj.CRS(4326).to_wkt(), "", "x"):
        with pytest.raises(RasterError, match="expected a WGS 84 / UTM zone"):
            utm_epsg(other)
