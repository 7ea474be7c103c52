"""Footprints of patches in degrees: closed, counter-clockwise, and cut at the antimeridian."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import shapely

from s2pipe.dataset.samples import load_samples
from s2pipe.patches.candidates.polygons import patch_centres, patch_polygons, ring
from s2pipe.patches.candidates.windows import footprints, make_table
from tests.patches.patchdata import Scene, write_step2

if TYPE_CHECKING:
    from pathlib import Path

HOME = Scene(shape_yx=(64, 96))
ACROSS = Scene("T01UCV", epsg=32601, ulx=285_960.0, uly=5_700_000.0, shape_yx=(64, 1200))
"""Its western part lies beyond 180 degrees."""


def polygons(root: Path, scene: Scene, row: list[int], col: list[int]) -> tuple[np.ndarray, np.ndarray]:
    samples = load_samples(write_step2(root, [scene]))
    table = make_table([(np.array(row), np.array(col))], [np.zeros(len(row), np.int64)], [])
    part = slice(0, len(row))
    return patch_polygons(table, samples, 64, part), patch_centres(table, samples, 64, part)


def test_rings_hold_the_centre_and_are_counter_clockwise(tmp_path: Path) -> None:
    found, centres = polygons(tmp_path, HOME, [0, 0], [0, 32])
    for polygon, (lon, lat) in zip(found.tolist(), centres.tolist(), strict=True):
        assert polygon.exterior.is_ccw
        assert polygon.exterior.is_closed
        assert polygon.contains(shapely.Point(lon, lat))
        assert polygon.centroid.distance(shapely.Point(lon, lat)) < 1e-5
        west, _, east, _ = polygon.bounds
        assert east - west == pytest.approx(64 * 20.0 / (111_320.0 * np.cos(np.radians(lat))), rel=0.02)


def test_dates_and_tiles_have_their_own_windows(tmp_path: Path) -> None:
    def scene(tile: str, day: int, ulx: float) -> Scene:
        return Scene(tile, f"2025-07-0{day}T10:00:00Z", ulx=ulx, shape_yx=(64, 96))

    scenes = [scene("T33UWQ", 1, 499_980.0), scene("T33UWQ", 2, 499_980.0), scene("T33UXQ", 1, 599_980.0)]
    samples = load_samples(write_step2(tmp_path, scenes))
    windows = [
        (np.array(row), np.array(col)) for row, col in (([0, 32], [32, 0]), ([32], [0]), ([0, 32], [32, 0]))
    ]
    table = make_table(windows, [np.zeros(len(row), np.int64) for row, _ in windows], [])
    found = patch_polygons(table, samples, 32, slice(1, 5))
    for place, polygon in zip(range(1, 5), found.tolist(), strict=True):
        number, row, col = (int(values[place]) for values in (table.scene, table.row, table.col))
        alone = footprints(samples[number].grid, np.array([row]), np.array([col]), 32)
        assert polygon.equals_exact(shapely.Polygon(ring(alone)[0]))
    assert found[0].equals(found[1])  # two dates of a window
    assert not found[0].equals(found[3])


def test_patches_across_the_antimeridian_are_cut(tmp_path: Path) -> None:
    found, centres = polygons(tmp_path, ACROSS, [0] * 18, list(range(0, 1152, 64)))
    assert (np.abs(centres[:, 0]) <= 180.0).all()
    assert {"Polygon", "MultiPolygon"} == {shape.geom_type for shape in found.tolist()}
    whole = [shape.area for shape in found.tolist() if shape.geom_type == "Polygon"]
    for shape in found.tolist():
        west, _, east, _ = shape.bounds
        assert -180.0 <= west <= east <= 180.0
        assert shape.area == pytest.approx(np.mean(whole), rel=0.02)
        if shape.geom_type == "MultiPolygon":
            assert len(shape.geoms) == 2
            assert (west, east) == (-180.0, 180.0)
