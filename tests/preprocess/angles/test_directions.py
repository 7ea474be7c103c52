"""Directions and seams from the nodes alone."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from s2pipe.preprocess.angles.footprints import OutlineReader
from s2pipe.raster.grid import Grid, Window
from s2pipe.raster.reader import inspect_raster
from s2pipe.raster.transform import crs_wkt, transform_points
from s2pipe.sentinel2.safe.tile import read_tile_angles
from s2pipe.synthetic import ProductSpec
from s2pipe.synthetic.swath import swath_of
from tests.preprocess.angles.angles_support import (
    ON,
    Scene,
    angles_of,
    apart,
    centres,
    channels,
    run_angles,
    seams_of,
    true_view,
    without,
    write,
)

if TYPE_CHECKING:
    from pathlib import Path


def test_without_masks_seams_come_from_the_nodes(rasters: Scene, tmp_path: Path) -> None:
    path = without(rasters, "l1c.detector_footprint.B8A", "l2a.detector_footprint.B8A")
    _, meta = run_angles(rasters, tmp_path / "out", ON, index_json=path)
    assert meta["angles"]["detector_source_by_band"] == {
        "B02": "footprint_mask",
        "B8A": "node_seam",
        "B11": "footprint_mask",
    }
    _, meta = run_angles(rasters, tmp_path / "nearest", replace(ON, detector_aggregate="nearest"))
    assert set(meta["angles"]["detector_source_by_band"].values()) == {"node_seam"}


def test_mean_over_detectors_is_for_comparison(rasters: Scene, tmp_path: Path) -> None:
    where, meta = run_angles(
        rasters, tmp_path / "out", replace(ON, detector_aggregate="nanmean", encode="deg")
    )
    assert set(meta["angles"]["detector_source_by_band"].values()) == {"node_mean"}
    grid = inspect_raster(str(where / "angles.tif")).grid
    detector, truth = true_view(rasters, grid, "B02", 10)
    error = apart(angles_of(channels(where / "angles.tif"), "view_B02"), truth)[detector > 0]
    assert np.nanmax(error) > 0.5


def test_a_band_without_any_node_has_no_view_angle(rasters: Scene, tmp_path: Path) -> None:
    text = rasters.granule.read_text(encoding="utf-8")
    grids = re.compile(
        r'<Viewing_Incidence_Angles_Grids bandId="1".*?</Viewing_Incidence_Angles_Grids>', re.DOTALL
    )
    blind = grids.sub(
        lambda found: re.sub(
            r"<VALUES>(.*?)</VALUES>",
            lambda v: f"<VALUES>{' '.join(['NaN'] * len(v[1].split()))}</VALUES>",
            found[0],
        ),
        text,
    )
    (tmp_path / "MTD_TL.xml").write_text(blind, encoding="utf-8")
    grid = Grid(crs_wkt(32633), (499980, 60, 0, 5500020, 0, -60), (40, 50))
    for aggregate in ("footprint", "nanmean"):
        write(tmp_path / aggregate, tmp_path / "MTD_TL.xml", grid, replace(ON, detector_aggregate=aggregate))
        found = channels(tmp_path / aggregate / "angles.tif")
        assert np.isnan(found["view_B02_zen_sin"]).all()
        assert np.isfinite(found["sun_zen_sin"]).all()


def test_seams_from_nodes_in_another_crs(rasters: Scene, tmp_path: Path) -> None:
    """The same seams on the tile's own grid and, pixel by pixel, on one of the neighbouring zone."""
    other = crs_wkt(32632)
    tile_crs = crs_wkt(32633)
    corner = transform_points(tile_crs, other, np.array([[500_100.0, 5_499_000.0]]))[0]
    grid = Grid(other, (corner[0], 60, 0, corner[1], 0, -60), (90, 100))
    config = replace(ON, detector_aggregate="nearest", encode="deg")
    write(tmp_path / "other", rasters.granule, grid, config)
    got = angles_of(channels(tmp_path / "other" / "angles.tif"), "view_B02")
    x, y = centres(grid)
    points = transform_points(other, tile_crs, np.stack((x.ravel(), y.ravel()), axis=-1))
    outlines = seams_of(read_tile_angles(rasters.granule), "B02")
    for index in range(0, len(points), 211):
        left, top = points[index] + (-5, 5)
        single = Grid(tile_crs, (left, 10, 0, top, 0, -10), (1, 1))
        write(tmp_path / "one", rasters.granule, single, config)
        here = angles_of(channels(tmp_path / "one" / "angles.tif"), "view_B02")
        row, col = divmod(index, 100)
        error = apart(here, (got[0][row, col], got[1][row, col]))[0, 0]
        assert error < 1e-4 or np.isnan(error) == np.isnan(got[0][row, col])
    assert len(outlines) >= 2


def test_seams_from_nodes_of_a_whole_tile(tmp_path: Path) -> None:
    """Without masks, seams of a full-size tile are right to a few hundred metres."""
    from s2pipe.synthetic.metadata.tile_xml import tile_xml

    spec = ProductSpec(side_m=109_800, nodata_wedge=0.3, l2a=False)
    swath = swath_of(spec)
    (tmp_path / "MTD_TL.xml").write_bytes(tile_xml(spec.names("L1C"), swath, [], np.zeros(12, np.int64)))
    angles = read_tile_angles(tmp_path / "MTD_TL.xml")
    grid = Grid(crs_wkt(swath.epsg), (swath.ulx, 60, 0, swath.uly, 0, -60), (1830, 1830))
    got = np.empty(grid.shape_yx, np.uint8)
    OutlineReader(seams_of(angles, "B02"), grid).read(Window(0, 0, *grid.shape_yx), got)
    truth = swath.detector_at(*centres(grid), "B02")
    seams = np.count_nonzero(np.diff(truth.astype(int), axis=1), axis=1).max()
    assert (got != truth).sum(axis=1).max() * 60 < 500 * seams
