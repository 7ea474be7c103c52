"""Product and tile metadata."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2pipe.errors import MetadataError
from s2pipe.sentinel2.bands import BAND_NAMES
from s2pipe.sentinel2.safe import read_product_info, read_radiometry, read_tile_angles, read_tile_metadata
from s2pipe.sentinel2.safe.footprint import footprint_geojson
from tests.paths import SHARED_DATA

if TYPE_CHECKING:
    from pathlib import Path

DATA = SHARED_DATA
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"the real products are not in {DATA}")

QUANTIFICATION = "<QUANTIFICATION_VALUE>10000</QUANTIFICATION_VALUE>"


def real(pattern: str) -> Path:
    (path,) = DATA.glob(pattern)
    return path


def l1c_xml(characteristics: str) -> bytes:
    return (
        '<n1:Level-1C_User_Product xmlns:n1="urn:x"><n1:General_Info><Product_Image_Characteristics>'
        f"{characteristics}</Product_Image_Characteristics></n1:General_Info></n1:Level-1C_User_Product>"
    ).encode()


def offset_list(*entries: tuple[str, str]) -> str:
    offsets = "".join(
        f'<RADIO_ADD_OFFSET band_id="{band}">{value}</RADIO_ADD_OFFSET>' for band, value in entries
    )
    return f"<Radiometric_Offset_List>{offsets}</Radiometric_Offset_List>"


def test_without_an_offset_list_every_offset_is_zero() -> None:
    radiometry = read_radiometry(l1c_xml(QUANTIFICATION))
    assert radiometry.quantification == 10000.0
    assert not radiometry.has_offset_list
    assert [radiometry.offset(band) for band in BAND_NAMES] == [0.0] * 13


def test_a_list_that_lacks_a_needed_band_is_an_error() -> None:
    radiometry = read_radiometry(
        l1c_xml(QUANTIFICATION + offset_list(("1", "-1000"), ("8", "-900.5"))), "a.xml"
    )
    assert radiometry.offset("B02") == -1000.0
    assert radiometry.offset("B8A") == -900.5
    with pytest.raises(MetadataError, match=r"a\.xml: .*Radiometric_Offset_List.* B03"):
        radiometry.offset("B03")


def test_an_empty_list_is_a_list() -> None:
    with pytest.raises(MetadataError, match="no band"):
        read_radiometry(l1c_xml(QUANTIFICATION + offset_list())).offset("B01")


@pytest.mark.parametrize(
    ("characteristics", "message"),
    [
        ("", "QUANTIFICATION_VALUE: is missing or empty"),
        ("<QUANTIFICATION_VALUE/>", "is missing or empty"),
        ("<QUANTIFICATION_VALUE>ten</QUANTIFICATION_VALUE>", "expected a finite number, got 'ten'"),
        ("<QUANTIFICATION_VALUE>1_0</QUANTIFICATION_VALUE>", "expected a finite number"),
        ("<QUANTIFICATION_VALUE>inf</QUANTIFICATION_VALUE>", "expected a finite number"),
        ("<QUANTIFICATION_VALUE>0</QUANTIFICATION_VALUE>", "greater than 0"),
        ("<QUANTIFICATION_VALUE>-1</QUANTIFICATION_VALUE>", "greater than 0"),
        (QUANTIFICATION + offset_list(("13", "0")), "band_id: expected 0 to 12, got 13"),
        (QUANTIFICATION + offset_list(("x", "0")), "@band_id: expected a finite number"),
        (QUANTIFICATION + offset_list(("0", "")), "expected a finite number, got ''"),
        (QUANTIFICATION + offset_list(("0", "1"), ("0", "1")), "listed twice"),
    ],
)
def test_unusable_radiometry_names_file_and_element(characteristics: Any, message: str) -> None:
    with pytest.raises(MetadataError, match=message) as error:
        read_radiometry(l1c_xml(characteristics), "MTD_MSIL1C.xml")
    assert str(error.value).startswith("MTD_MSIL1C.xml: General_Info/Product_Image_Characteristics/")


def test_early_l2a_metadata_is_read() -> None:
    document = (
        b'<n1:Level-2A_User_Product xmlns:n1="urn:x"><n1:General_Info>'
        b"<L2A_Product_Info><PRODUCT_URI_2A>S2A.SAFE</PRODUCT_URI_2A></L2A_Product_Info>"
        b"<L2A_Product_Image_Characteristics><L1C_L2A_Quantification_Values_List>"
        b"<L2A_BOA_QUANTIFICATION_VALUE>10000</L2A_BOA_QUANTIFICATION_VALUE>"
        b"</L1C_L2A_Quantification_Values_List></L2A_Product_Image_Characteristics>"
        b"</n1:General_Info></n1:Level-2A_User_Product>"
    )
    assert read_product_info(document).product_uri == "S2A.SAFE"
    assert read_radiometry(document).quantification == 10000.0


def test_other_documents_are_refused() -> None:
    with pytest.raises(MetadataError, match="not product metadata"):
        read_radiometry(b"<x/>")
    with pytest.raises(MetadataError, match="not tile metadata"):
        read_tile_metadata(b"<x/>")


def test_absent_values_are_none() -> None:
    info = read_product_info(l1c_xml(""))
    assert (info.level, info.product_uri, info.cloud_cover, info.geofootprint) == ("L1C", None, None, None)


@given(st.floats(-80, 80), st.floats(-179, 179), st.floats(0.1, 1), st.floats(0.1, 1))
def test_footprints_keep_their_area_at_the_antimeridian(lat: Any, lon: Any, height: int, width: int) -> None:
    square = [(lon, lat), (lon + width, lat), (lon + width, lat + height), (lon, lat + height)]
    wrapped = [((x + 180.0) % 360.0 - 180.0, y) for x, y in square]
    geometry = footprint_geojson([value for x, y in wrapped for value in (y, x)])
    parts = geometry["coordinates"] if geometry["type"] == "MultiPolygon" else [geometry["coordinates"]]
    rings = [np.array(part[0]) for part in parts]
    assert all((np.abs(ring[:, 0]) <= 180.0).all() and (ring[0] == ring[-1]).all() for ring in rings)
    area = sum(abs(np.dot(r[:-1, 0], r[1:, 1]) - np.dot(r[1:, 0], r[:-1, 1])) / 2 for r in rings)
    assert area == pytest.approx(height * width, abs=1e-6)


def grid(values: str = "1 2\n3 4", step: str = "5000") -> str:
    rows = "".join(f"<VALUES>{row}</VALUES>" for row in values.split("\n"))
    steps = f"<COL_STEP>{step}</COL_STEP><ROW_STEP>5000</ROW_STEP>"
    angles = f"{steps}<Values_List>{rows}</Values_List>"
    return f"<Zenith>{angles}</Zenith><Azimuth>{angles}</Azimuth>"


def view(band: str, detector: str, angles: str) -> str:
    tag = "Viewing_Incidence_Angles_Grids"
    return f'<{tag} bandId="{band}" detectorId="{detector}">{angles}</{tag}>'


def tile_xml(sun: str, views: str = "") -> bytes:
    geocoding = "".join(
        f'<Size resolution="{r}"><NROWS>{n}</NROWS><NCOLS>{n}</NCOLS></Size>'
        f'<Geoposition resolution="{r}"><ULX>499980</ULX><ULY>4700040</ULY></Geoposition>'
        for r, n in ((10, 600), (20, 300), (60, 100))
    )
    return (
        '<n1:Level-1C_Tile_ID xmlns:n1="urn:x"><n1:General_Info>'
        "<TILE_ID>S2A_OPER_MSI_L1C_TL_SGS__20170226T171842_A008785_T32TNM_N02.04</TILE_ID>"
        "<SENSING_TIME>2017-02-26T10:24:58.867Z</SENSING_TIME></n1:General_Info><n1:Geometric_Info>"
        f"<Tile_Geocoding><HORIZONTAL_CS_CODE>EPSG:32632</HORIZONTAL_CS_CODE>{geocoding}</Tile_Geocoding>"
        f"<Tile_Angles><Sun_Angles_Grid>{sun}</Sun_Angles_Grid>{views}</Tile_Angles>"
        "</n1:Geometric_Info></n1:Level-1C_Tile_ID>"
    ).encode()


def test_tile_metadata() -> None:
    tile = read_tile_metadata(tile_xml(grid()))
    assert (tile.level, tile.tile_id, tile.epsg, tile.l1c_tile_id) == ("L1C", "T32TNM", 32632, None)
    assert tile.sizes_yx == {10: (600, 600), 20: (300, 300), 60: (100, 100)}
    assert tile.geotransform(20) == (499980.0, 20.0, 0.0, 4700040.0, 0.0, -20.0)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("EPSG:32632", "32632", "HORIZONTAL_CS_CODE: expected EPSG"),
        ("_T32TNM_", "_", "TILE_ID: expected one with a tile"),
        ('<Size resolution="20">', '<Size resolution="21">', "Size: none for 20 m"),
        ("<ULX>499980", "<ULX>west", "ULX: expected a finite number"),
        ("<NROWS>600", "<NROWS>600.5", "NROWS: expected a whole number"),
    ],
)
def test_unusable_tile_metadata_names_the_element(old: str, new: str, message: str) -> None:
    with pytest.raises(MetadataError, match=message):
        read_tile_metadata(tile_xml(grid()).replace(old.encode(), new.encode(), 1))


def test_angles_of_a_small_grid() -> None:
    angles = read_tile_angles(tile_xml(grid(), view("8", "3", grid("NaN 2\n3 NaN")) + view("8", "2", grid())))
    np.testing.assert_array_equal(angles.sun_zenith, [[1.0, 2.0], [3.0, 4.0]])
    np.testing.assert_array_equal(angles.view["B8A", 3][0], [[np.nan, 2.0], [3.0, np.nan]])
    assert angles.detectors("B8A") == (2, 3)
    with pytest.raises(MetadataError, match="none for band B02"):
        angles.detectors("B02")


@pytest.mark.parametrize(
    ("sun", "views", "message"),
    [
        (grid("1 NaN\n3 4"), "", "Sun_Angles_Grid: expected finite"),
        (grid(step="1000"), "", "Sun_Angles_Grid/Zenith/COL_STEP: expected 5000 m, got '1000'"),
        (grid("1 2\n3"), "", "VALUES: expected 23 rows of 23"),
        (grid("1 2\n3 x"), "", "VALUES: expected numbers or NaN"),
        (grid("1 2\n3 inf"), "", "VALUES: expected finite"),
        ("", "", "Sun_Angles_Grid/Zenith: is missing"),
        (grid(), view("13", "1", grid()), "bandId: expected 0 to 12"),
        (grid(), view("0", "x", grid()), "detectorId: expected a finite number"),
        (grid(), view("0", "1", grid()) * 2, "is there twice"),
        (grid(), view("0", "1", grid("1 2 3\n4 5 6")), "values like the sun grid"),
    ],
)
def test_unusable_angles_name_file_and_element(sun: Any, views: Any, message: str) -> None:
    with pytest.raises(MetadataError, match=message) as error:
        read_tile_angles(tile_xml(sun, views), "MTD_TL.xml")
    assert str(error.value).startswith("MTD_TL.xml: Geometric_Info/Tile_Angles/")


@needs_data
def test_real_l1c_products_have_no_offsets_before_baseline_04() -> None:
    for name, baseline in (("*T31TDH*", "02.06"), ("*T32TNM*", "02.04"), ("*T46RER*", "03.01")):
        path = real(f"*/{name}/MTD_MSIL1C.xml")
        radiometry, info = read_radiometry(path), read_product_info(path)
        assert (radiometry.quantification, radiometry.has_offset_list) == (10000.0, False)
        assert (info.baseline, info.geofootprint["type"]) == (baseline, "Polygon")
        assert info.product_uri == path.parent.name


@needs_data
def test_a_real_l2a_product() -> None:
    path = real("metadata/*T01WCP*/MTD_MSIL2A.xml")
    radiometry, info = read_radiometry(path), read_product_info(path)
    assert [radiometry.offset(band) for band in BAND_NAMES] == [-1000.0] * 13
    assert (info.rel_orbit, info.sensing_start) == (73, "2023-06-25T23:46:21.024Z")
    assert info.geofootprint["type"] == "MultiPolygon"
    assert info.scl_percentages["WATER_PERCENTAGE"] == pytest.approx(13.384877)
    tile = read_tile_metadata(real("metadata/*T01WCP*/GRANULE/*/MTD_TL.xml"))
    assert tile.l1c_tile_id == "S2A_OPER_MSI_L1C_TL_2APS_20230626T011008_A041826_T01WCP_N05.09"
    assert (tile.tile_id, tile.epsg, tile.upper_left[10]) == ("T01WCP", 32601, (300000.0, 7400040.0))


@needs_data
@pytest.mark.parametrize(
    ("tile", "mean_zenith", "mean_azimuth", "detectors"),
    [
        ("T31TDH", 67.0354071200132, 166.328513490143, (9, 10, 11, 12)),
        ("T32TNM", 52.6712175837424, 159.613912469681, (9, 10, 11, 12)),
        ("T46RER", 26.4931642669439, 142.987598836457, (11, 12)),
    ],
)
def test_real_angles(tile: str, mean_zenith: Any, mean_azimuth: Any, detectors: Any) -> None:
    angles = read_tile_angles(real(f"*/*{tile}*/GRANULE/*/MTD_TL.xml"))
    # The file states the plain mean of all nodes.
    assert angles.sun_zenith.mean() == pytest.approx(mean_zenith, abs=1e-4)
    assert angles.sun_azimuth.mean() == pytest.approx(mean_azimuth, abs=1e-4)
    assert all(angles.detectors(band) == detectors for band in BAND_NAMES)
    for zenith, azimuth in angles.view.values():
        assert zenith.shape == azimuth.shape == (23, 23)
        assert zenith.dtype == np.float64
        np.testing.assert_array_equal(np.isnan(zenith), np.isnan(azimuth))
        assert np.nanmax(zenith) < 15.0


def test_stub_view_grids_have_no_values() -> None:
    stub = grid("0\nNaN").replace("5000", "0")
    angles = read_tile_angles(tile_xml(grid(), view("0", "1", stub)))
    assert angles.stubs == {"B01"}
    assert angles.detectors("B01") == angles.detectors("B02") == ()
    # Beside good grids, a band of which nothing is said is still an error.
    mixed = read_tile_angles(tile_xml(grid(), view("0", "1", stub) + view("1", "3", grid())))
    assert mixed.detectors("B01") == ()
    assert mixed.detectors("B02") == (3,)
    with pytest.raises(MetadataError, match="none for band B03"):
        mixed.detectors("B03")
    # Steps of 0 with values are damage.
    with pytest.raises(MetadataError, match="expected 5000 m, got '0'"):
        read_tile_angles(tile_xml(grid(), view("0", "1", grid().replace("5000", "0"))))
    assert not read_tile_angles(tile_xml(grid(), view("many", "1", "")), with_view=False).view
