"""Splits: no ground in two of them, whatever the zone."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from s2pipe.dataset.scene_key import SceneKey
from s2pipe.ground.cells import Rectangles
from s2pipe.ground.overlap import overlaps
from s2pipe.ground.projection import lonlat_to_utm
from s2pipe.ground.split import SplitPlan
from tests.ground.ground_support import inner_points, rectangle


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


def test_fractions_are_held_on_average_and_zero_is_never_drawn() -> None:
    cells = np.arange(100_000)
    drawn = SplitPlan("cell", (0.7, 0.2, 0.1)).cell_codes(cells)
    np.testing.assert_allclose(np.bincount(drawn) / len(cells), [0.7, 0.2, 0.1], atol=0.01)
    for shares in ((1.0, 0.0, 0.0), (0.5, 0.5, 0.0), (0.0, 0.0, 1.0), (0.9, 0.0, 0.1)):
        found = set(SplitPlan("cell", shares).cell_codes(cells).tolist())
        assert found == {code for code, share in enumerate(shares) if share}


def test_rectangles_far_away_do_not_overlap() -> None:
    one = rectangle(32633, 500_000.0, 5_500_000.0, 1000.0, 1000.0)
    assert not overlaps(one, 32603, (500_000.0, 5_500_000.0, 600_000.0, 5_600_000.0))[0]
    assert not overlaps(one, 32733, (500_000.0, 5_500_000.0, 600_000.0, 5_600_000.0))[0]
    assert overlaps(one, 32633, (500_999.0, 5_500_999.0, 600_000.0, 5_600_000.0))[0]
    assert not overlaps(one, 32633, (501_000.0, 5_500_000.0, 600_000.0, 5_600_000.0))[0]
