"""The raster of the nodes, and its VRT."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from s2pipe.raster.formats import ANY_FORMAT
from s2pipe.raster.grid import Grid
from s2pipe.raster.reader import inspect_raster
from s2pipe.raster.transform import crs_wkt
from s2pipe.sentinel2.safe.tile import read_tile_angles
from tests.preprocess.angles.angles_support import (
    ON,
    Scene,
    angles_of,
    apart,
    centres,
    channels,
    run_angles,
    sample_of,
    write,
)

if TYPE_CHECKING:
    from pathlib import Path


def test_native_and_vrt(rasters: Scene, tmp_path: Path) -> None:
    where, meta = run_angles(rasters, tmp_path / "out", replace(ON, grid="vrt", output_name="geometry.tif"))
    assert meta["paths"]["angles"].endswith("/geometry.vrt")
    assert meta["paths"]["angles_native"].endswith("/geometry.tif")
    native = inspect_raster(str(where / "geometry.tif"))
    assert native.grid.shape_yx == (23, 23)
    assert meta["assets"]["angles_native"]["grid"]["geotransform"] == list(native.grid.geotransform)
    assert meta["assets"]["angles_native"]["shape"] == [16, 23, 23]
    ulx, uly = rasters.swath.ulx, rasters.swath.uly
    assert native.grid.geotransform == (ulx - 2500, 5000, 0, uly + 2500, 0, -5000)
    angles = read_tile_angles(rasters.granule)
    at_nodes = angles_of(channels(where / "geometry.tif"), "sun")
    assert apart(at_nodes, (angles.sun_zenith, angles.sun_azimuth)).max() < 1e-4

    shown = inspect_raster(str(where / "geometry.vrt"), ANY_FORMAT)
    assert shown.grid == inspect_raster(str(where / "x.tif")).grid
    found = channels(where / "geometry.vrt")
    assert list(found) == meta["assets"]["angles"]["band_names"]
    assert apart(angles_of(found, "sun"), rasters.swath.sun_angles_at(*centres(shown.grid))).max() < 0.01
    index = json.loads((tmp_path / "out/meta/step2/index.json").read_text())
    assert index["samples"][0]["angles_path"] == meta["paths"]["angles"]
    moved = tmp_path / "moved"
    (tmp_path / "out").rename(moved)
    sample, _ = sample_of(moved)
    assert inspect_raster(str(sample / "geometry.vrt"), ANY_FORMAT).grid == shown.grid
    np.testing.assert_array_equal(channels(sample / "geometry.vrt")["sun_zen_cos"], found["sun_zen_cos"])


@pytest.mark.parametrize("encode", ["deg", "sin_cos"])
def test_native_means_keep_every_node(rasters: Scene, tmp_path: Path, encode: str) -> None:
    grid = Grid(crs_wkt(32633), (499980, 60, 0, 5500020, 0, -60), (4, 5))
    config = replace(ON, detector_aggregate="nanmean", grid="native", encode=encode)
    write(tmp_path, rasters.granule, grid, config)
    zenith, _ = angles_of(channels(tmp_path / "angles.tif"), "view_B02")
    angles = read_tile_angles(rasters.granule)
    values = np.stack([angles.view["B02", detector][0] for detector in angles.detectors("B02")])
    seen = np.isfinite(values).any(axis=0)
    np.testing.assert_array_equal(np.isfinite(zenith), seen)
    expected = np.nansum(values, axis=0)[seen] / np.isfinite(values).sum(axis=0)[seen]
    assert np.abs(zenith[seen] - expected).max() < 1e-4
