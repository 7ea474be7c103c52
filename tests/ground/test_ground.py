"""Ground cells and splits: no ground in two splits, whatever the zone."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyproj
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s2pipe.dataset.scene_key import SceneKey
from s2pipe.errors import ConfigError, ManifestError, RasterError, S2PipeError
from s2pipe.ground.cells import Boxes, CellGrid, Rectangles
from s2pipe.ground.mask import GroundMask
from s2pipe.ground.projection import lonlat_to_utm, utm_epsg, utm_to_lonlat
from s2pipe.ground.split import BORDER, OTHER_TIME, SPLITS, SplitPlan, load_plan, overlaps, save_plan
from s2pipe.patches.candidates.assign import SceneGround, plan_split
from s2pipe.patches.cfg import SplitConfig
from s2pipe.raster.grid import Window
from tests.patches.patchdata import Scene

if TYPE_CHECKING:
    from pathlib import Path

EARTH_M2 = 4 * np.pi * 6371007.181**2


def inner_points(ground: Rectangles, side: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Longitudes and latitudes all over each rectangle, edges included, (points, n)."""
    share = np.linspace(0.0, 1.0, side)
    x = ground.left + (ground.right - ground.left) * np.repeat(share, side)[:, np.newaxis]
    y = ground.bottom + (ground.top - ground.bottom) * np.tile(share, side)[:, np.newaxis]
    return utm_to_lonlat(x, y, ground.epsg)


def rectangle(epsg: int, left: float, bottom: float, width: float, height: float) -> Rectangles:
    return Rectangles(epsg, *(np.array([v]) for v in (left, bottom, left + width, bottom + height)))


epsgs = st.integers(1, 60).flatmap(lambda zone: st.sampled_from([32600 + zone, 32700 + zone]))
northings = st.floats(0.0, 9_300_000.0)
eastings = st.floats(160_000.0, 840_000.0)


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


@pytest.mark.parametrize("cell_m", [10_000, 20_000, 250_000])
def test_cells_cover_the_earth_once_and_are_almost_equal_in_area(cell_m: int) -> None:
    grid = CellGrid(cell_m)
    assert int(grid.columns.sum()) == pytest.approx(EARTH_M2 / cell_m**2, rel=0.01)
    edges = np.radians(np.linspace(-90, 90, grid.rows + 1))
    areas = 2 * np.pi * 6371007.181**2 * np.diff(np.sin(edges)) / grid.columns
    away = np.abs(np.degrees(edges[:-1])) < 84
    assert areas[away].max() / areas[away].min() < (1.02 if cell_m < 100_000 else 1.35)


@given(st.floats(-180.0, 180.0), st.floats(-90.0, 90.0), st.sampled_from([1000, 10_000, 333_333]))
def test_a_point_has_one_cell_on_any_turn_of_the_earth(lon: float, lat: float, cell_m: int) -> None:
    grid = CellGrid(cell_m)
    points = (
        np.array([lon, lon + 360.0, lon - 360.0]) if abs(lon) < 179.9 else np.array([-180.0, 180.0, 540.0])
    )
    cells = grid.cells(points, np.full(3, lat))
    assert cells.min() >= 0
    assert cells.max() < grid.columns.sum()
    if abs(lon) >= 179.9:
        assert len(set(cells.tolist())) == 1
    (cell_id,) = grid.ids(cells[:1])
    assert grid.number(cell_id) == cells[0]


def test_an_id_of_another_size_or_place_is_refused() -> None:
    grid = CellGrid(10_000)
    for wrong in ("20000m_0001_00001", "10000m_9999_00001", "10000m_0001_99999", "x"):
        with pytest.raises(S2PipeError, match="not a ground cell"):
            grid.number(wrong)


@settings(max_examples=60)
@given(epsgs, eastings, northings, st.floats(10.0, 60_000.0), st.floats(10.0, 60_000.0))
def test_every_cell_under_a_rectangle_is_named(
    epsg: int, x: float, y: float, width: float, height: float
) -> None:
    ground, grid = rectangle(epsg, x, y, width, height), CellGrid(7_000)
    named = {int(cell) for _, cells in grid.touched(ground.boxes()) for cell in cells}
    under = grid.cells(*inner_points(ground, 15))
    assert set(under.ravel().tolist()) <= named


def test_boxes_around_a_pole_take_in_all_meridians() -> None:
    boxes = Boxes.around(np.array([[10.0], [11.0]]), np.array([[89.9], [89.95]]), 1000.0)
    assert (boxes.west[0], boxes.east[0], boxes.north[0]) == (-180.0, 180.0, 90.0)
    grid = CellGrid(10_000)
    named = {int(cell) for _, cells in grid.touched(boxes) for cell in cells}
    assert set(grid.cells(np.linspace(-180, 180, 50), np.full(50, 89.97)).tolist()) <= named


def two_splits_share_no_ground(plan: SplitPlan, seen: list[tuple[SceneKey, Rectangles]]) -> None:
    """Every point of a rectangle in a split lies on ground of that split alone, the buffer included."""
    for key, ground in seen:
        codes = plan.codes(key, ground)
        lon, lat = inner_points(ground.grown(plan.buffer_m / 2))
        at_points = plan.cell_codes(plan.grid.cells(lon, lat))
        for code in range(3):
            assert (at_points[:, codes == code] == code).all()


@settings(max_examples=40, deadline=None)
@given(
    lat=st.floats(-78.0, 83.0),
    zone=st.integers(1, 60),
    offset=st.tuples(st.floats(-40_000, 40_000), st.floats(-40_000, 40_000)),
    size=st.sampled_from([640.0, 2560.0, 5120.0]),
    cell_m=st.sampled_from([3000, 10_000, 20_000]),
    buffer_m=st.sampled_from([0.0, 300.0, 2000.0]),
    seed=st.integers(0, 5),
)
def test_tiles_of_two_zones_never_put_the_same_ground_into_two_splits(
    lat: float,
    zone: int,
    offset: tuple[float, float],
    size: float,
    cell_m: int,
    buffer_m: float,
    seed: int,
) -> None:
    """Two overlapping tiles on either side of a zone's border, zone 60 and 1 (the antimeridian) among them."""
    plan = SplitPlan("cell", (0.5, 0.3, 0.2), seed, cell_m, buffer_m)
    base = 32600 if lat >= 0 else 32700
    border = np.array([zone * 6.0 - 180.0])
    seen = []
    for epsg, shift in ((base + zone, (0.0, 0.0)), (base + zone % 60 + 1, offset)):
        x, y = lonlat_to_utm(border, np.array([lat]), epsg)
        left, bottom = np.meshgrid(np.arange(5) * size, np.arange(5) * size)
        left, bottom = left.ravel() + x + shift[0] - 2.5 * size, bottom.ravel() + y + shift[1] - 2.5 * size
        seen.append(
            (
                SceneKey(f"T{epsg}", "2025-07-01T10:00:00Z"),
                Rectangles(epsg, left, bottom, left + size, bottom + size),
            )
        )
    two_splits_share_no_ground(plan, seen)
    codes = [plan.codes(*item) for item in seen]
    for number, (_, ground) in enumerate(seen):
        other, other_codes = seen[1 - number][1], codes[1 - number]
        for place in np.flatnonzero(codes[number] >= 0):
            foe = (other_codes >= 0) & (other_codes != codes[number][place])
            one = Rectangles(
                ground.epsg,
                *(v[place : place + 1] for v in (ground.left, ground.bottom, ground.right, ground.top)),
            )
            lon, lat_ = inner_points(one, 9)
            x, y = lonlat_to_utm(lon, lat_, other.epsg)
            inside = (x > other.left - buffer_m * 0.98) & (x < other.right + buffer_m * 0.98)
            inside &= (y > other.bottom - buffer_m * 0.98) & (y < other.top + buffer_m * 0.98)
            assert not (inside & foe).any()


def test_the_same_ground_in_two_zones_is_in_one_split() -> None:
    plan = SplitPlan("cell", (0.4, 0.3, 0.3), 3, 10_000)
    lon, lat = np.linspace(11.5, 12.5, 200), np.full(200, 49.0)
    found = []
    for epsg in (32632, 32633):
        x, y = lonlat_to_utm(lon, lat, epsg)
        found.append(
            plan.codes(SceneKey("T", "2025-01-01T00:00:00Z"), Rectangles(epsg, x - 5, y - 5, x + 5, y + 5))
        )
    both = (found[0] >= 0) & (found[1] >= 0)
    assert both.sum() > 150
    np.testing.assert_array_equal(found[0][both], found[1][both])


def grounds(*tiles: tuple[str, str, int, float, float], side: float = 109_800.0) -> list[SceneGround]:
    return [SceneGround(SceneKey(t, when), epsg, (x, y, x + side, y + side)) for t, when, epsg, x, y in tiles]


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 200), st.sampled_from([0.0, 500.0]))
def test_a_split_by_tiles_keeps_overlapping_tiles_apart(seed: int, buffer_m: float) -> None:
    day = "2025-07-01T10:00:00Z"
    x_far, y_far = (
        float(v[0])
        for v in lonlat_to_utm(*utm_to_lonlat(np.array([699_960.0]), np.array([5_500_000.0]), 32632), 32633)
    )
    seen = grounds(
        ("T32UQA", day, 32632, 600_000.0, 5_490_240.0),
        ("T32UQV", day, 32632, 600_000.0, 5_390_220.0),
        ("T33UTQ", day, 32633, x_far - 5000.0, y_far - 50_000.0),
    )
    plan = plan_split(SplitConfig(0.4, 0.3, 0.3, by="tile", seed=seed, buffer_m=buffer_m), seen)
    patches = {}
    for ground in seen:
        left, bottom, *_ = ground.bounds
        x, y = np.meshgrid(left + np.arange(20) * 5120.0, bottom + np.arange(20) * 5120.0)
        item = Rectangles(ground.epsg, x.ravel(), y.ravel(), x.ravel() + 5120, y.ravel() + 5120)
        patches[ground.key.tile_id] = (item, plan.codes(ground.key, item))
    for one, (ground, codes) in patches.items():
        assert set(codes.tolist()) <= {plan.tile_code(one), BORDER}
        for other, (rivals, rival_codes) in patches.items():
            if plan.tile_code(other) == plan.tile_code(one):
                continue
            grown = rivals.grown(buffer_m * 0.98)
            x, y = lonlat_to_utm(*inner_points(ground, 7), rivals.epsg)
            x, y = x[:, codes >= 0], y[:, codes >= 0]
            for place in np.flatnonzero(rival_codes >= 0):
                inside = (x > grown.left[place]) & (x < grown.right[place])
                inside &= (y > grown.bottom[place]) & (y < grown.top[place])
                assert not inside.any()


def test_a_split_by_time_divides_days_in_order_and_ground_as_well() -> None:
    days = [f"2025-0{m}-1{d}T10:00:00Z" for m in range(1, 6) for d in range(2)]
    seen = grounds(*(("T33UWQ", day, 32633, 499_980.0, 5_390_220.0) for day in days))
    plan = plan_split(SplitConfig(0.6, 0.2, 0.2, by="time"), seen)
    assert [plan.day_code(SceneKey("T33UWQ", day)) for day in days] == [0] * 6 + [1] * 2 + [2] * 2
    x, y = np.meshgrid(499_980.0 + np.arange(40) * 2560.0, 5_390_220.0 + np.arange(40) * 2560.0)
    ground = Rectangles(32633, x.ravel(), y.ravel(), x.ravel() + 2560, y.ravel() + 2560)
    by_day = {day: plan.codes(SceneKey("T33UWQ", day), ground) for day in days}
    in_split = np.array([by_day[day] for day in days])
    for place in range(in_split.shape[1]):  # no ground in two splits, at whatever time
        assert len({code for code in in_split[:, place].tolist() if code >= 0}) <= 1
    assert (in_split == OTHER_TIME).any()
    loose = replace(plan, same_ground=True)
    assert set(loose.codes(SceneKey("T33UWQ", days[-1]), ground).tolist()) == {2}


def test_fractions_are_held_on_average_and_zero_is_never_drawn() -> None:
    cells = np.arange(100_000)
    drawn = SplitPlan("cell", (0.7, 0.2, 0.1)).cell_codes(cells)
    np.testing.assert_allclose(np.bincount(drawn) / len(cells), [0.7, 0.2, 0.1], atol=0.01)
    for shares in ((1.0, 0.0, 0.0), (0.5, 0.5, 0.0), (0.0, 0.0, 1.0), (0.9, 0.0, 0.1)):
        found = set(SplitPlan("cell", shares).cell_codes(cells).tolist())
        assert found == {code for code, share in enumerate(shares) if share}


def test_a_plan_is_read_back_as_it_was_written_and_edits_are_noticed(tmp_path: Path) -> None:
    seen = grounds(("T33UWQ", "2025-07-01T10:00:00Z", 32633, 499_980.0, 5_390_220.0))
    for by in ("cell", "tile", "time"):
        plan = plan_split(SplitConfig(by=by), seen)
        save_plan(tmp_path / "split.json", plan)
        assert load_plan(tmp_path / "split.json") == plan
    plan = plan_split(SplitConfig(), seen)
    document = plan.to_document()
    cell, name = next(iter(document["cells"].items()))
    document["cells"][cell] = next(other for other in SPLITS if other != name)
    (tmp_path / "split.json").write_text(json.dumps(document))
    with pytest.raises(ManifestError, match="by: file"):
        load_plan(tmp_path / "split.json")
    with pytest.raises(ConfigError, match="--plan"):
        load_plan(tmp_path / "none.json")


def test_listed_cells_and_tiles_decide_and_the_rest_is_in_no_split(tmp_path: Path) -> None:
    seen = grounds(("T33UWQ", "2025-07-01T10:00:00Z", 32633, 499_980.0, 5_390_220.0))
    drawn = plan_split(SplitConfig(), seen)
    cells = dict.fromkeys(list(drawn.cells)[:8], "val")
    listed = tmp_path / "cells.json"
    listed.write_text(json.dumps({"cells": cells}))
    plan = plan_split(SplitConfig(by="file", file=listed), seen)
    numbers = np.array([plan.grid.number(cell) for cell in drawn.cells])
    codes = plan.cell_codes(numbers)
    assert [code >= 0 for code in codes.tolist()] == [cell in cells for cell in drawn.cells]
    listed.write_text(json.dumps({"tiles": {"T33UWQ": "test", "T01AAA": "train"}}))
    plan = plan_split(SplitConfig(by="file", file=listed), seen)
    assert (plan.tile_code("T33UWQ"), plan.tile_code("T99ZZZ")) == (2, -3)
    for wrong in ({"tiles": {"T": "training"}}, {"cells": {}}, {"cells": {}, "tiles": {}}, []):
        listed.write_text(json.dumps(wrong))
        with pytest.raises(ConfigError):
            plan_split(SplitConfig(by="file", file=listed), seen)


@settings(max_examples=15, deadline=None)
@given(
    st.sampled_from(
        [(32633, 499_980.0, 5_500_020.0), (32660, 700_000.0, 7_200_000.0), (32701, 300_000.0, 2_000_000.0)]
    ),
    st.integers(0, 4),
    st.tuples(st.integers(0, 90), st.integers(0, 90), st.integers(1, 150), st.integers(1, 170)),
)
def test_statistics_see_only_pixels_wholly_on_training_ground(place: str, seed: int, box: Any) -> None:
    epsg, ulx, uly = place
    plan = SplitPlan("cell", (0.5, 0.3, 0.2), seed, 1500, buffer_m=5000.0)  # the buffer is for patches alone
    grid = Scene(epsg=epsg, ulx=ulx, uly=uly, shape_yx=(240, 260)).grid
    window = Window(*box)
    dn = np.ones((2, *window.shape_yx), np.float32)
    GroundMask(plan, SceneKey("T33UWQ", "2025-07-01T10:00:00Z"), grid).apply(window, dn)
    np.testing.assert_array_equal(dn[0], dn[1])
    row, col = np.meshgrid(
        np.arange(window.row, window.row_end), np.arange(window.col, window.col_end), indexing="ij"
    )

    def split_at(down: float, right: float) -> np.ndarray:
        x, y = ulx + 20.0 * (col + right), uly - 20.0 * (row + down)
        return plan.cell_codes(plan.grid.cells(*utm_to_lonlat(x, y, epsg)))

    corners = np.stack([split_at(d, r) for d in (0, 0.5, 1) for r in (0, 0.5, 1)])
    counted = dn[0] == 1
    assert (corners[:, counted] == 0).all()
    around = np.stack([split_at(d, r) for d in (-1, 0.5, 2) for r in (-1, 0.5, 2)])
    assert counted[(around == 0).all(axis=0)].all()


def test_rectangles_far_away_do_not_overlap() -> None:
    one = rectangle(32633, 500_000.0, 5_500_000.0, 1000.0, 1000.0)
    assert not overlaps(one, 32603, (500_000.0, 5_500_000.0, 600_000.0, 5_600_000.0))[0]
    assert not overlaps(one, 32733, (500_000.0, 5_500_000.0, 600_000.0, 5_600_000.0))[0]
    assert overlaps(one, 32633, (500_999.0, 5_500_999.0, 600_000.0, 5_600_000.0))[0]
    assert not overlaps(one, 32633, (501_000.0, 5_500_000.0, 600_000.0, 5_600_000.0))[0]
