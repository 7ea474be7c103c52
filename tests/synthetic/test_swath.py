"""The analytic geometry: detectors, seams, sun, tile corners."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest
import shapely

from s2pipe.errors import ConfigError, ProductError
from s2pipe.ground.projection import convergence_deg, utm_to_lonlat
from s2pipe.synthetic import ProductSpec
from s2pipe.synthetic.mgrs import tile_origin
from s2pipe.synthetic.sun import sun_angles
from s2pipe.synthetic.swath import DETECTORS, nodes, swath_of


# Corners as real products of these tiles state them.
@pytest.mark.parametrize(
    ("tile", "expected"),
    [
        ("T31TDH", (32631, 399960, 4800000)),
        ("T32TNM", (32632, 499980, 4700040)),
        ("T46RER", (32646, 499980, 3100020)),
        ("T01WCP", (32601, 300000, 7400040)),
        ("T33UWQ", (32633, 499980, 5500020)),
        ("T18LUP", (32718, 300000, 8900040)),
    ],
)
def test_tile_corners(tile: str, expected: tuple[int, int, int]) -> None:
    assert tile_origin(tile) == expected


@pytest.mark.parametrize("tile", ["33UWQ", "T61UWQ", "T33UAQ", "T33IWQ", "T33UWZ"])
def test_no_such_tile(tile: str) -> None:
    with pytest.raises(ProductError, match="no MGRS tile"):
        tile_origin(tile)


def test_specification_faults_are_listed_together() -> None:
    with pytest.raises(ConfigError) as caught:
        ProductSpec(side_m=1000, satellite="S3A", clouds=2.0)
    assert {fault.path for fault in caught.value.faults} == {"side_m", "satellite", "clouds"}


@pytest.mark.parametrize("epsg", [32601, 32633, 32760])
def test_projection_agrees_with_gdal(epsg: int) -> None:
    osr = pytest.importorskip("osgeo.osr")
    osr.UseExceptions()
    utm, geographic = osr.SpatialReference(), osr.SpatialReference()
    utm.ImportFromEPSG(epsg)
    geographic.ImportFromEPSG(4326)
    geographic.SetAxisMappingStrategy(osr.OAMS_TRADITIONAL_GIS_ORDER)
    transform = osr.CoordinateTransformation(utm, geographic)
    for x, y in ((300_000.0, 7_400_040.0), (609_780.0, 5_390_220.0), (500_000.0, 1_000_000.0)):
        expected = transform.TransformPoint(x, y)[:2]
        longitude, latitude = utm_to_lonlat(np.array(x), np.array(y), epsg)
        assert float(latitude) == pytest.approx(expected[1], abs=1e-8)
        assert (float(longitude) - expected[0] + 180) % 360 - 180 == pytest.approx(0, abs=1e-8)


@pytest.mark.parametrize(
    "time", [datetime(2018, 1, 1, 10, 54, tzinfo=UTC), datetime(2025, 7, 9, 23, 1, tzinfo=UTC)]
)
def test_the_sun_stands_where_an_independent_algorithm_puts_it(time: datetime) -> None:
    spa = pytest.importorskip("pvlib.spa")
    for lon, lat in ((2.3, 41.9), (150.0, -33.0), (15.5, 0.2)):
        zenith, azimuth = sun_angles(np.array(lon), np.array(lat), time)
        unix = np.array([time.timestamp()])
        found = spa.solar_position(unix, lat, lon, 0.0, 1013.0, 10.0, 69.2, 0.5667)
        assert float(zenith) == pytest.approx(float(found[1][0]), abs=0.02)
        off = (float(azimuth) - float(found[4][0]) + 180.0) % 360.0 - 180.0
        assert abs(off) * np.sin(np.radians(float(zenith))) < 0.02


def test_convergence_points_to_true_north() -> None:
    x, y = np.array(700_000.0), np.array(5_400_000.0)
    longitude, latitude = utm_to_lonlat(np.stack([x, x]), np.stack([y, y + 100.0]), 32633)
    east = (longitude[1] - longitude[0]) * np.cos(np.radians(latitude[0]))
    expected = np.degrees(np.arctan2(east, latitude[1] - latitude[0]))
    assert float(convergence_deg(x, y, 32633)) == pytest.approx(expected, abs=0.01)


def test_sun_at_known_moments() -> None:
    # Equinox 2024-03-20 03:06 UTC, local solar noon near 135 E: the sun stands in the zenith of the equator.
    zenith, _ = sun_angles(np.array(135.3), np.array(0.0), datetime(2024, 3, 20, 3, 6, tzinfo=UTC))
    assert float(zenith) < 0.6
    # Summer solstice at 50 N, noon: zenith is the latitude less the obliquity, azimuth south.
    zenith, azimuth = sun_angles(np.array(0.45), np.array(50.0), datetime(2024, 6, 20, 12, 0, tzinfo=UTC))
    assert float(zenith) == pytest.approx(50.0 - 23.44, abs=0.02)
    assert float(azimuth) == pytest.approx(180.0, abs=0.6)


@pytest.mark.parametrize("side", [6120, 21960, 109800])
@pytest.mark.parametrize("wedge", [0.05, 0.3])
def test_wedge_has_the_wanted_area(side: int, wedge: float) -> None:
    swath = swath_of(ProductSpec(side_m=side, nodata_wedge=wedge))
    assert 1 - shapely.Polygon(swath.image_footprint()).area / side**2 == pytest.approx(wedge, abs=1e-6)


@pytest.mark.parametrize("band", ["B02", "B09"])
def test_seams_lie_in_the_middle_of_overlaps(band: str) -> None:
    swath = swath_of(ProductSpec(side_m=109_800, nodata_wedge=0.1))
    x, y = np.meshgrid(swath.ulx + np.arange(0, 109_800, 310), swath.uly - np.arange(0, 109_800, 410))
    seen = swath.detector_at(x, y, band)
    cover = np.stack([swath.covers(x, y, band, detector) for detector in DETECTORS])
    assert cover.sum(axis=0).max() == 2
    inside = seen > 0
    assert (cover.any(axis=0) == inside).all()
    rows, cols = np.nonzero(inside)
    assert cover[seen[inside] - 1, rows, cols].all()


def test_view_angles_are_those_of_the_instrument() -> None:
    swath = swath_of(ProductSpec(side_m=109_800, nodata_wedge=0.0))
    x, y = nodes(swath)
    for band in ("B02", "B12"):
        seen = swath.detector_at(x, y, band)
        assert (seen > 0).all()
        zenith, azimuth = swath.view_angles_at(x, y, band, seen)
        assert zenith.min() > 0
        assert zenith.max() < 12
        assert np.isfinite(azimuth).all()
        # Neighbouring detectors look ahead and back in turn: across a seam the direction jumps.
        odd, _ = swath.view_angles_at(x, y, band, 7)
        even_azimuth = swath.view_angles_at(x, y, band, 8)[1]
        odd_azimuth = swath.view_angles_at(x, y, band, 7)[1]
        jump = np.abs((even_azimuth - odd_azimuth + 180) % 360 - 180)
        assert jump.min() > 5
        assert odd.min() > 0


def test_default_scene_shows_a_seam() -> None:
    for spec in (ProductSpec(), ProductSpec(side_m=6120, nodata_wedge=0.0)):
        swath = swath_of(spec)
        x, y = np.meshgrid(
            swath.ulx + np.linspace(0, spec.side_m, 100), swath.uly - np.linspace(0, spec.side_m, 100)
        )
        assert np.unique(swath.detector_at(x, y, "B02")).size >= 2
