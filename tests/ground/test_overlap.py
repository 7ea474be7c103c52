"""Grounds near each other, found without comparing all of them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s2pipe.ground.cells import Rectangles
from s2pipe.ground.overlap import NearGround, overlaps
from s2pipe.ground.projection import lonlat_to_utm

SIDE_M = 109_800.0
Ground = tuple[int, tuple[float, float, float, float]]


def ground(lon: float, lat: float, zone: int, side: float) -> Ground:
    epsg = (32600 if lat >= 0 else 32700) + zone
    x, y = lonlat_to_utm(np.array([lon]), np.array([lat]), epsg)
    return epsg, (float(x[0]), float(y[0]), float(x[0]) + side, float(y[0]) + side)


def alone(epsg: int, bounds: tuple[float, ...]) -> Rectangles:
    return Rectangles(epsg, *(np.array([value]) for value in bounds))


@st.composite
def neighbourhoods(draw: st.DrawFn) -> list[Ground]:
    """Grounds around a border of two zones, the antimeridian among them, at any latitude."""
    zone, lat = draw(st.integers(1, 60)), draw(st.floats(-79.0, 83.5))
    found = []
    for _ in range(draw(st.integers(2, 8))):
        own = draw(st.sampled_from([zone, zone % 60 + 1]))
        lon = zone * 6.0 - 180.0 + draw(st.floats(-2.5, 2.5))
        side = draw(st.sampled_from([SIDE_M, 640.0, 900_000.0]))
        found.append(ground(lon, lat + draw(st.floats(-1, 1)), own, side))
    return found


@settings(max_examples=60, deadline=None)
@given(neighbourhoods())
def test_what_overlaps_is_near(grounds: list[Ground]) -> None:
    near = NearGround(grounds)
    for epsg, bounds in grounds:
        rectangles = alone(epsg, bounds)
        found = list(near.near(rectangles))
        assert found == sorted(set(found))
        meeting = {place for place, other in enumerate(grounds) if overlaps(rectangles, *other)[0]}
        assert meeting <= set(found)


def test_what_is_far_is_not_looked_at() -> None:
    world = [
        ground(zone * 6.0 - 183.0, lat, zone, SIDE_M) for zone in range(1, 61) for lat in range(-60, 61, 2)
    ]
    near = NearGround(world)
    assert max(len(list(near.near(alone(*one)))) for one in world[::97]) < 30


@pytest.mark.parametrize("bounds", [(0.0, 0.0, 1e9, 1e9), (math.nan,) * 4, (5e5, 5e6, 4e5, 4e6)])
def test_bounds_that_are_no_tiles_are_near_to_everything(bounds: tuple[float, ...]) -> None:
    near = NearGround([(32633, (500_000.0, 5e6, 600_000.0, 5.1e6)), (32633, bounds)])
    assert 1 in near.near(alone(32633, (500_000.0, 5e6, 501_000.0, 5_001_000.0)))
    assert list(near.near(alone(32633, bounds))) == [0, 1]


def test_no_rectangle_is_near_to_nothing() -> None:
    empty = Rectangles(32633, *(np.zeros(0) for _ in range(4)))
    assert list(NearGround([(32633, (0.0, 0.0, 1.0, 1.0))]).near(empty)) == []
