"""Areas of interest: every form that they are written in, and the pixels of a grid that they cover."""

from __future__ import annotations

import json
import sqlite3
from typing import TYPE_CHECKING

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from osgeo import gdal, ogr, osr
from pyproj import Transformer

from s2pipe.ground.area import Area
from s2pipe.ground.area_files import read_shapes
from s2pipe.raster.grid import Grid, TargetGrid, Window
from s2pipe.raster.transform import crs_wkt

if TYPE_CHECKING:
    from pathlib import Path

GRID = Grid(crs_wkt(32633), (399_960.0, 10.0, 0.0, 5_300_040.0, 0.0, -10.0), (10_980, 10_980))
FIJI = Grid(crs_wkt(32701), (99_960.0, 10.0, 0.0, 8_000_020.0, 0.0, -10.0), (10_980, 10_980))
SQUARE = (420_000, 5_250_000, 430_000, 5_260_000)


def _window(text: str, crs: str | None = None, grid: Grid = GRID, margin_m: float = 0.0) -> Window | None:
    found = Area.read(text, crs, margin_m).on(grid)
    return None if found is None else found.target.window


def _lonlat(*points: tuple[float, float], epsg: int = 32633) -> list[list[float]]:
    to = Transformer.from_crs(epsg, 4326, always_xy=True)
    return [list(to.transform(*point)) for point in points]


def _geopackage(path: Path, layers: dict[str, str], epsg: int = 32633) -> Path:
    system = osr.SpatialReference()
    system.ImportFromEPSG(epsg)
    data = gdal.GetDriverByName("GPKG").Create(str(path), 0, 0, 0, gdal.GDT_Unknown)
    for name, wkt in layers.items():
        layer = data.CreateLayer(name, system)
        feature = ogr.Feature(layer.GetLayerDefn())
        feature.SetGeometry(ogr.CreateGeometryFromWkt(wkt))
        layer.CreateFeature(feature)
    del data  # closes the file
    return path


def test_one_square_in_every_form_covers_the_same_pixels(tmp_path: Path) -> None:
    left, bottom, right, top = SQUARE
    expected = Window(4004, 2004, 1000, 1000)
    assert _window("420000,5250000 430000 , 5260000", "EPSG:32633") == expected
    wkt = shapely.box(*SQUARE).wkt
    assert _window(wkt, "epsg:32633") == _window(f"SRID=32633;{wkt}") == expected
    (tmp_path / "area.wkt").write_text(f"SRID=32633; {wkt}\n")
    assert _window(str(tmp_path / "area.wkt")) == expected
    named = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32633"}}
    plain = json.loads(shapely.to_geojson(shapely.box(*SQUARE)))
    feature = {"type": "Feature", "properties": None, "geometry": plain}
    nothing = {"type": "Feature", "properties": None, "geometry": None}
    document = {"type": "FeatureCollection", "crs": named, "features": [nothing, feature]}
    (tmp_path / "area.geojson").write_text(json.dumps(document))
    assert _window(str(tmp_path / "area.geojson")) == expected
    _geopackage(tmp_path / "a b.gpkg", {"fields": wkt, "others": "POINT (0 0)"})
    assert _window(f"{tmp_path / 'a b.gpkg'}|layername=fields") == expected
    with pytest.raises(ValueError, match=r"fields, others; name one: FILE\.gpkg\|layername=NAME"):
        read_shapes(str(tmp_path / "a b.gpkg"))
    corners = _lonlat((left, bottom), (right, bottom), (right, top), (left, top), (left, bottom))
    slanted = {"type": "GeometryCollection", "geometries": [{"type": "Polygon", "coordinates": [corners]}]}
    (tmp_path / "lonlat.json").write_text(json.dumps(slanted))
    row, col, height, width = _window(str(tmp_path / "lonlat.json"))
    # Its sides are straight in longitude and latitude: on the grid, that along the parallel bends by a metre or two.
    assert abs(row - 4004) <= 1 >= abs(col - 2004)
    assert 1000 <= height <= 1002 >= width >= 1000


@pytest.mark.parametrize("epsg", [3035, 3857, 32632, 25833, 4258])
def test_areas_in_other_systems_lie_where_proj_puts_them(epsg: int) -> None:
    to = Transformer.from_crs(32633, epsg, always_xy=True)
    ring = [to.transform(x, y) for x, y in ((420_000, 5_250_000), (430_000, 5_251_000), (424_000, 5_259_000))]
    found = Area.read(shapely.Polygon(ring).wkt, f"EPSG:{epsg}").on(GRID)
    assert found is not None
    back = np.array([Transformer.from_crs(epsg, 32633, always_xy=True).transform(*point) for point in ring])
    cols, rows = (back[:, 0] - 399_960) / 10, (5_300_040 - back[:, 1]) / 10
    window = found.target.window
    assert abs(window.row - rows.min()) <= 1
    assert abs(window.col - cols.min()) <= 1
    assert abs(window.row_end - rows.max()) <= 2 >= abs(window.col_end - cols.max())


def test_areas_across_the_antimeridian_are_whole_however_they_are_written() -> None:
    to = Transformer.from_crs(32701, 4326, always_xy=True)
    x0, _, _, y0, _, _ = FIJI.geotransform
    west, east = (to.transform(x0 + dx, y0 - 50_000)[0] for dx in (60_000, 110_000))
    south = to.transform(x0, y0 - 60_000)[1]
    north = to.transform(x0, y0 - 50_000)[1]
    assert west > 170
    assert east < -170
    cut = (
        f"MULTIPOLYGON((({west} {south},180 {south},180 {north},{west} {north},{west} {south})),"
        f"((-180 {south},{east} {south},{east} {north},-180 {north},-180 {south})))"
    )
    ways = [
        f"{west},{south},{east},{north}",
        f"{west},{south},{east + 360},{north}",
        f"POLYGON(({west} {south},{east} {south},{east} {north},{west} {north},{west} {south}))",
        cut,
    ]
    windows = {_window(way, grid=FIJI) for way in ways}
    assert len(windows) == 1
    (window,) = windows
    assert window is not None
    assert 4000 < window.width < 5500
    assert 900 < window.height < 1200
    assert _window("-180,-80,180,80", grid=FIJI) == Window(0, 0, 10_980, 10_980)
    assert _window(ways[0]) is None
    assert _window("-170,-20,170,20", grid=FIJI) is None


@pytest.mark.parametrize("left", [179.0, -181.0])
def test_areas_lie_on_grids_in_degrees_however_these_count_longitudes(left: float) -> None:
    grid = Grid(crs_wkt(4326), (left, 0.5, 0.0, -17.0, 0.0, -0.5), (4, 4))
    for way in ("179.5,-18.5,-179.5,-17.5", "-180.5,-18.5,-179.5,-17.5", "179.5,-18.5,180.5,-17.5"):
        assert _window(way, grid=grid) == Window(1, 1, 2, 2)
    (x, x_end), (y, y_end) = Transformer.from_crs(4326, 3832, always_xy=True).transform(
        [179.5, -179.5], [-18.5, -17.5]
    )
    assert _window(f"{x},{y},{x_end},{y_end}", "EPSG:3832", grid) == Window(1, 1, 2, 2)


def test_what_only_touches_a_grid_or_lies_beside_it_is_not_on_it() -> None:
    left, bottom, right, top = GRID.bounds
    utm = "EPSG:32633"
    for beside in (
        f"{right},{bottom},{right + 10},{top}",
        f"{left},{top},{right},{top + 10}",
        f"{left - 10},{bottom},{left},{top}",
        f"POINT ({right} {top - 5})",
        f"POINT ({left + 5} {bottom})",
        f"POLYGON(({left - 20} {top + 20},{right} {top + 20},{left - 20} {top + 5},{left - 20} {top + 20}))",
    ):
        assert _window(beside, utm) is None, beside
    # The box around an L touches the grid; the L does not.
    corner = f"{left - 30} {bottom - 30},{left + 30} {bottom - 30},{left + 30} {bottom - 20},{left - 20} {bottom - 20}"
    shape = (
        f"POLYGON(({corner},{left - 20} {bottom + 30},{left - 30} {bottom + 30},{left - 30} {bottom - 30}))"
    )
    assert _window(shape, utm) is None
    assert _window(shape, utm, margin_m=25) is not None


def test_tiny_areas_points_and_lines_take_the_pixels_they_touch() -> None:
    utm, (x, y) = "EPSG:32633", (420_000.0, 5_260_000.0)
    here = Window(4004, 2004, 1, 1)
    assert _window(f"POINT ({x} {y})", utm) == here
    assert _window(f"POINT ({x + 9.99} {y - 9.99})", utm) == here
    assert _window(f"{x + 4},{y - 5},{x + 4.5},{y - 4}", utm) == here
    assert _window(f"{x + 4},{y - 5},{x + 4},{y - 5}", utm) == here
    assert _window(f"{x - 1},{y - 5},{x + 1},{y - 4}", utm) == Window(4004, 2003, 1, 2)
    assert _window(f"LINESTRING ({x + 5} {y - 5},{x + 25} {y - 5})", utm) == Window(4004, 2004, 1, 3)
    assert _window(f"POINT ({x + 5} {y - 5})", utm, margin_m=10) == Window(4003, 2003, 3, 3)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.floats(-5, 45), st.floats(-5, 35)), min_size=3, max_size=7),
    st.integers(0, 20),
    st.integers(0, 15),
)
def test_the_mask_holds_the_pixels_whose_centres_lie_inside(
    points: list[tuple[float, float]], row: int, col: int
) -> None:
    polygon = shapely.MultiPoint(points).convex_hull.buffer(0.1)
    grid = Grid(GRID.crs_wkt, (0.0, 1.0, 0.0, 30.0, 0.0, -1.0), (30, 40))
    found = Area.read(
        shapely.Polygon([(x, 30 - y) for x, y in polygon.exterior.coords]).wkt, "EPSG:32633"
    ).on(grid)
    if found is None:
        assert polygon.intersection(shapely.box(0, 0, 40, 30)).area < 1e-5
        return
    window = found.target.window
    part = Window(min(row, window.height - 1), min(col, window.width - 1), 1, 1)
    part = Window(part.row, part.col, window.height - part.row, window.width - part.col)
    rows, cols = np.mgrid[part.row : part.row_end, part.col : part.col_end] + 0.5
    distance = shapely.distance(shapely.points(cols + window.col, rows + window.row), polygon.boundary)
    expected = shapely.contains_xy(polygon, cols + window.col, rows + window.row)
    assert np.array_equal(found.mask.inside(part)[distance > 1e-5], expected[distance > 1e-5])
    assert found.mask.pixels == found.mask.inside(Window(0, 0, *window.shape_yx)).sum()


def test_pixels_of_a_window_are_those_of_its_grid() -> None:
    target = TargetGrid(GRID, Window(3, 5, 7, 11))
    assert target.grid == Grid(GRID.crs_wkt, (400_010.0, 10.0, 0.0, 5_300_010.0, 0.0, -10.0), (7, 11))
    assert target.in_reference(Window(1, 2, 3, 4)) == Window(4, 7, 3, 4)
    assert TargetGrid.whole(GRID).grid is GRID
    assert TargetGrid.whole(GRID).is_whole > target.is_whole


@pytest.mark.parametrize(
    ("text", "crs", "message"),
    [
        ("POLYGON((0 0,1 1,0 1,1 0,0 0))", None, r"not valid \(Self-intersection"),
        ("POLYGON EMPTY", None, "is empty"),
        ("GEOMETRYCOLLECTION (POINT EMPTY)", None, "is empty"),
        ("POLYGON((48 16", None, "not valid WKT"),
        ("POINT (48.1 -91)", None, "longitude before latitude|longitude and latitude"),
        ("POINT (500000 5300000)", None, "state its CRS"),
        ("POINT (nan 3)", "EPSG:32633", "not finite"),
        ("GEOMETRYCOLLECTION(" * 200_000 + "POINT (1 2)", None, "nested too deeply"),
        ("1,2,3", None, "expected WKT"),
        ("3,2,1,4", "EPSG:32633", "expected left, bottom, right, top"),
        ("3,4,5,2", None, "expected left, bottom, right, top"),
        ("POINT (1 2)", "EPSG:9999999", "not a reference system that PROJ knows"),
        ("POINT (1 2)", "EPSG:5773", "does not give places on a map"),
        ("SRID=32633;POINT (1 2)", "EPSG:4326", "is in WGS 84 / UTM zone 33N, and"),
        ("absent.gpkg", None, "cannot be read: No such file"),
        ("area.shp", None, "expected WKT"),
    ],
)
def test_what_is_no_area_is_refused_with_its_reason(text: str, crs: str | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Area.read(text, crs)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not GeoJSON"),
        ('{"type": "FeatureCollection", "features": []}', "contains no valid"),
        ('{"type": "Point", "coordinates": ["x", 2]}', "a Point that is not valid"),
        ('{"type": "Circle"}', "'Circle', which is no geometry"),
        ('{"type": "Point", "coordinates": [1, 2], "crs": {"type": "link"}}', "names none"),
    ],
)
def test_geojson_that_is_no_area_is_refused(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "area.json").write_text(content)
    with pytest.raises(ValueError, match=message):
        read_shapes(str(tmp_path / "area.json"))


def test_damaged_and_hostile_geopackages_are_refused(tmp_path: Path) -> None:
    path = _geopackage(tmp_path / "area.gpkg", {'qu"oted': "POLYGON Z((1 2 3,4 5 6,1 9 9,1 2 3))"}, 4326)
    assert read_shapes(str(path)).parts[0].equals(shapely.from_wkt("POLYGON((1 2,4 5,1 9,1 2))"))
    with pytest.raises(ValueError, match=r"no layer 'x' of features; there are qu\"oted"):
        read_shapes(f"{path}|layername=x")
    with sqlite3.connect(path) as database:
        database.execute("UPDATE gpkg_geometry_columns SET srs_id = -1")
        database.execute("UPDATE gpkg_contents SET srs_id = -1")
    database.close()
    assert read_shapes(str(path), "EPSG:4258").crs.to_epsg() == 4258
    with sqlite3.connect(path) as database:
        endless = (
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) AS geom FROM n"
        )
        database.execute(f"CREATE VIEW endless AS {endless}")
        database.execute("UPDATE gpkg_geometry_columns SET table_name = 'endless'")
        database.execute("UPDATE gpkg_contents SET table_name = 'endless'")
    database.close()
    with pytest.raises(ValueError, match="cannot be read as a GeoPackage: interrupted"):
        read_shapes(str(path))
    (tmp_path / "text.gpkg").write_text("nothing of the kind")
    with pytest.raises(ValueError, match="is not a GeoPackage"):
        read_shapes(str(tmp_path / "text.gpkg"))
    good = _geopackage(tmp_path / "cut.gpkg", {"a": "POINT (1 2)"}).read_bytes()
    for size in (100, 5000, len(good) // 2):
        (tmp_path / "cut.gpkg").write_bytes(good[:size])
        with pytest.raises(ValueError, match=r"cannot be read as a GeoPackage|expected one layer"):
            read_shapes(str(tmp_path / "cut.gpkg"))
    head, nest = b"GP\0\x01" + bytes(4), b"\x01\x07\0\0\0\x01\0\0\0" * 200_000
    for damage in (
        head + nest,
        b"",
        b"GP\0\x01",
        b"GP\0\x0f" + bytes(200),
        b"GP\0\x01" + bytes(4) + b"\x01\x63\0\0\0",
    ):
        _geopackage(tmp_path / "blob.gpkg", {"a": "POINT (1 2)"})
        with sqlite3.connect(tmp_path / "blob.gpkg") as database:
            for trigger in database.execute(
                "SELECT name FROM sqlite_master WHERE type = 'trigger'"
            ).fetchall():
                database.execute(f'DROP TRIGGER "{trigger[0]}"')
            database.execute("UPDATE a SET geom = ?", (damage,))
        database.close()
        with pytest.raises(ValueError, match="damaged, or a curve"):
            read_shapes(str(tmp_path / "blob.gpkg"))
        (tmp_path / "blob.gpkg").unlink()
