"""Detector ids from masks and from polygons."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from osgeo import gdal

from s2pipe.errors import RasterError
from s2pipe.preprocess.angles.footprints import MaskReader, OutlineReader
from s2pipe.raster.grid import Grid, RasterInfo, Window
from s2pipe.raster.reader import inspect_raster
from s2pipe.raster.transform import crs_wkt
from s2pipe.sentinel2.safe.detectors import DetectorOutline

if TYPE_CHECKING:
    from pathlib import Path


def test_masks_without_place_are_refused(tmp_path: Path) -> None:
    info = RasterInfo("mask.jp2", Grid("", (0, 1, 0, 0, 0, -1), (3, 3)), "Byte", (3, 3))
    with pytest.raises(RasterError, match=r"mask\.jp2: the detector footprint has no coordinate"):
        MaskReader(info, Grid(crs_wkt(32633), (0, 1, 0, 0, 0, -1), (3, 3)))


def test_masks_on_finer_coarser_and_shifted_grids(tmp_path: Path) -> None:
    mask = np.arange(48, dtype=np.uint8).reshape(6, 8)
    path = tmp_path / "mask.tif"
    data = gdal.GetDriverByName("GTiff").Create(str(path), 8, 6, 1)
    data.SetProjection(crs_wkt(32633))
    data.SetGeoTransform((1000, 20, 0, 5000, 0, -20))
    data.WriteRaster(0, 0, 8, 6, mask.tobytes())
    del data
    info = inspect_raster(str(path))
    cases = {
        (1000, 20, 5000): mask,
        (1000, 10, 5000): np.kron(mask, np.ones((2, 2), np.uint8)),
        (1000, 60, 5000): mask[1::3, 1::3],
        (960, 20, 5020): np.pad(mask, ((1, 0), (2, 0))),
    }
    for (x0, step, y0), expected in cases.items():
        target = Grid(info.grid.crs_wkt, (x0, step, 0, y0, 0, -step), expected.shape)
        out = np.full(expected.shape, 9, np.uint8)
        reader = MaskReader(info, target)
        reader.read(Window(0, 0, *expected.shape), out)
        np.testing.assert_array_equal(out, expected)
        part = np.full((1, expected.shape[1] - 1), 9, np.uint8)
        reader.read(Window(1, 1, *part.shape), part)
        np.testing.assert_array_equal(part, expected[1:2, 1:])
        reader.close()
    far = Grid(info.grid.crs_wkt, (90_000, 20, 0, 5000, 0, -20), (3, 3))
    out = np.full((3, 3), 9, np.uint8)
    MaskReader(info, far).read(Window(0, 0, 3, 3), out)
    assert not out.any()


def test_polygons_against_gdal(tmp_path: Path) -> None:
    """Ragged rings, holes included, give the pixels that GDAL's own rasterizer gives."""
    from osgeo import ogr

    rng = np.random.default_rng(3)
    for seed in range(8):
        turns = np.sort(rng.uniform(0, 2 * np.pi, 9 + seed))
        ring = np.stack((40 + 31 * np.cos(turns), 30 + 25 * np.sin(turns)), axis=-1)
        hole = np.array([[35.3, 25.1], [45.2, 27.3], [40.7, 36.9]])
        rings = tuple(np.concatenate((one, one[:1])) for one in (ring, hole))
        grid = Grid("", (0, 1, 0, 60, 0, -1), (60, 80))
        got = np.empty(grid.shape_yx, np.uint8)
        OutlineReader([DetectorOutline(7, rings)], grid).read(Window(0, 0, 60, 80), got)
        memory = gdal.GetDriverByName("MEM").Create("", 80, 60, 1)
        memory.SetGeoTransform(grid.geotransform)
        source = (ogr.GetDriverByName("Memory") or ogr.GetDriverByName("MEM")).CreateDataSource("m")
        layer = source.CreateLayer("m")
        feature = ogr.Feature(layer.GetLayerDefn())
        text = ", ".join("(" + ", ".join(f"{x!r} {y!r}" for x, y in one.tolist()) + ")" for one in rings)
        feature.SetGeometry(ogr.CreateGeometryFromWkt(f"POLYGON ({text})"))
        layer.CreateFeature(feature)
        gdal.RasterizeLayer(memory, [1], layer, burn_values=[7])
        expected = np.frombuffer(memory.ReadRaster(), np.uint8).reshape(60, 80)
        np.testing.assert_array_equal(got, expected)


def test_overlapping_footprints_meet_in_the_middle() -> None:
    def box(left: float, right: float) -> np.ndarray:
        return np.array([[left, 0.0], [right, 0.0], [right, 4.0], [left, 4.0], [left, 0.0]])

    outlines = [
        DetectorOutline(2, (box(6, 12),)),
        DetectorOutline(1, (box(1, 8),)),
        DetectorOutline(3, (box(12, 15),)),
    ]
    out = np.empty((4, 16), np.uint8)
    OutlineReader(outlines, Grid("", (0, 1, 0, 4, 0, -1), (4, 16))).read(Window(0, 0, 4, 16), out)
    np.testing.assert_array_equal(out[0], [0, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 3, 3, 3, 0])
    assert (out == out[0]).all()
