"""Footprints from the nodes alone, held against real masks, real nodes and simulated overpasses."""

from __future__ import annotations

import logging
import re
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from s2pipe.preprocess.angles.footprints import OutlineReader
from s2pipe.preprocess.angles.planes import TilePlanes
from s2pipe.preprocess.angles.seams import fit_seams
from s2pipe.raster.grid import Grid, Window
from s2pipe.raster.transform import crs_wkt
from s2pipe.sentinel2.safe.detectors import read_detector_outlines
from s2pipe.sentinel2.safe.tile import ANGLE_STEP_M, read_tile_angles
from tests.preprocess.angles.angles_support import ON, angles_of, channels, write
from tests.preprocess.angles.swaths import BANDS, Pass

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from s2pipe.sentinel2.safe.detectors import DetectorOutline
    from s2pipe.sentinel2.safe.tile import TileAngles, TileMetadata

REAL = ("T53HNA/MTD_TL.xml", "T01VCG/metadata.xml", "*_T32TNM_*/GRANULE/*/MTD_TL.xml",
        "*_T46RER_*/GRANULE/*/MTD_TL.xml", "*_T01WCP_*/GRANULE/*/MTD_TL.xml",
        "*_T31TDH_*/GRANULE/*/MTD_TL.xml")  # fmt: skip


def detectors(outlines: Sequence[DetectorOutline], grid: Grid) -> np.ndarray:
    ids = np.empty(grid.shape_yx, np.uint8)
    OutlineReader(outlines, grid).read(Window(0, 0, *grid.shape_yx), ids)
    return ids


def tile_grid(tile: TileMetadata, step: int) -> Grid:
    ulx, uly = tile.upper_left[10]
    side = 109_800 // step
    return Grid(crs_wkt(tile.epsg), (ulx, step, 0.0, uly, 0.0, -step), (side, side))


def small_pixels_at_nodes(tile: TileMetadata, shape: tuple[int, int]) -> Grid:
    """A raster of 5 km pixels whose centres are the nodes, exactly."""
    ulx, uly = tile.upper_left[10]
    half = ANGLE_STEP_M / 2
    return Grid(crs_wkt(tile.epsg), (ulx - half, ANGLE_STEP_M, 0, uly + half, 0, -ANGLE_STEP_M), shape)


def agreement(truth: np.ndarray, got: np.ndarray) -> tuple[float, float, float]:
    """Shares of the seen pixels: with the right detector, with another one; and of invented ones, of the seen."""
    seen = truth > 0
    return (
        float((got == truth)[seen].mean()),
        float(((got != truth) & (got > 0))[seen].mean()),
        float(((got > 0) & ~seen).sum() / seen.sum()),
    )


@pytest.mark.parametrize(
    ("tile", "bands"), [("T53HNA", ("B01", "B02", "B8A")), ("T32TNM", ("B02", "B09", "B12"))]
)
def test_seams_agree_with_real_masks(shared_data: Path, tile: str, bands: tuple[str, ...]) -> None:
    """With the end of a datastrip inside the tile (T53HNA) and without (T32TNM)."""
    masks = {band: next(shared_data.rglob(f"*{tile}*/**/*MSK_DETFOO*{band}*.gml")) for band in bands}
    metadata = next(path for path in shared_data.rglob("MTD_TL.xml") if tile in str(path))
    angles = read_tile_angles(metadata)
    grid = tile_grid(angles.tile, 180)
    fits = fit_seams(TilePlanes(angles), bands)
    for band, mask in masks.items():
        truth = detectors(read_detector_outlines(mask, band, angles.tile.epsg), grid)
        right, wrong, invented = agreement(truth, detectors(fits[band].outlines, grid))
        assert right > 0.993
        assert wrong < 0.005
        assert invented < 0.004


@pytest.mark.parametrize("pattern", REAL)
def test_every_real_node_is_held(shared_data: Path, pattern: str) -> None:
    angles = read_tile_angles(next(shared_data.glob(f"*/{pattern}")))
    planes = TilePlanes(angles)
    check_nodes(angles, planes.bands(), allowed=0)


def check_nodes(angles: TileAngles, bands: Sequence[str], allowed: int) -> None:
    """Nodes of one detector are that detector's, nodes of two one of both, others nobody's; the rest is recorded."""
    grid = small_pixels_at_nodes(angles.tile, angles.sun_zenith.shape)
    for band, fit in fit_seams(TilePlanes(angles), bands).items():
        ids = detectors(fit.outlines, grid)
        seen = {d: np.isfinite(angles.view[band, d][0]) for d in angles.detectors(band)}
        own = np.logical_or.reduce([nodes & (ids == d) for d, nodes in seen.items()])
        known = np.logical_or.reduce(list(seen.values()))
        assert not (ids[~own] > 0).any()
        assert (known & ~own).sum() == fit.unheld <= allowed
        assert fit.nodes == known.sum()


PASSES = {
    "plain": Pass(),
    "edge of the swath": Pass(edge_m=70_000.0),
    "ends in the south": Pass(along_m=(-1e7, 60_000.0), edge_m=200_000.0),
    "begins in the north": Pass(along_m=(20_000.0, 1e7), end_tilt=-0.03),
    "begins and ends": Pass(along_m=(10_000.0, 55_000.0), edge_m=160_000.0),
    "staggered ends": Pass(along_m=(-1e7, 60_000.0), stagger_m=3000.0),
    "high latitude": Pass(slant_deg=47.0, epsg=32701, uly=1_600_020.0, edge_m=190_000.0),
    "high latitude, ends": Pass(slant_deg=47.0, epsg=32601, uly=8_700_000.0, along_m=(-1e7, 30_000.0)),
    "almost along the rows": Pass(slant_deg=84.0, epsg=32601, uly=9_200_000.0, edge_m=150_000.0),
    "ascending": Pass(slant_deg=-13.0, edge_m=200_000.0, is_ascending=True),
    "ascending at high latitude, ends": Pass(
        slant_deg=-44.0, uly=8_591_480.0, edge_m=280_000.0, along_m=(50_000.0, 1e7), is_ascending=True
    ),
    "one detector": Pass(edge_m=25_000.0, along_m=(-1e7, 70_000.0)),
}  # fmt: skip


@pytest.mark.parametrize("name", PASSES)
def test_simulated_overpasses(name: str) -> None:
    overpass = PASSES[name]
    angles = overpass.angles()
    bands = [band for band in BANDS if band in TilePlanes(angles).bands()]
    check_nodes(angles, bands, allowed=0)
    grid = tile_grid(angles.tile, 600)
    x0, dx, _, y0, _, dy = grid.geotransform
    x, y = np.meshgrid(x0 + (np.arange(grid.width) + 0.5) * dx, y0 + (np.arange(grid.height) + 0.5) * dy)
    fits = fit_seams(TilePlanes(angles), bands)
    for band in bands:
        got = detectors(fits[band].outlines, grid)
        right, wrong, invented = agreement(overpass.detector_at(x, y, band), got)
        assert right > 0.965
        assert wrong < 0.015
        assert invented < 0.04
        # No value without an own node at a corner of its cell.
        row, col = ((angles.tile.upper_left[10][1] - y) / 5000).astype(int), ((x - x0) / 5000).astype(int)
        for detector in np.unique(got[got > 0]):
            own = np.isfinite(angles.view[band, int(detector)][0])
            near = own[row, col] | own[row + 1, col] | own[row, col + 1] | own[row + 1, col + 1]
            assert near[got == detector].all()


@pytest.mark.parametrize("missing", [0.02, 0.3, 0.9, 0.995])
def test_nodes_with_holes_are_held_or_nan(missing: float) -> None:
    """Metadata as no product has it: nodes are missing at random, and still no node gets a false direction."""
    rng = np.random.default_rng(int(missing * 1000))
    for overpass in (PASSES["plain"], PASSES["high latitude, ends"]):
        angles = overpass.angles()
        view = {}
        for key, (zenith, azimuth) in angles.view.items():
            lost = rng.random(zenith.shape) < missing
            view[key] = np.where(lost, np.nan, zenith), np.where(lost, np.nan, azimuth)
        angles = replace(angles, view=view)
        check_nodes(angles, TilePlanes(angles).bands(), allowed=529)


def test_what_cannot_be_held_is_nan_and_said(
    shared_data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """An island of detector 12 amid detector 10: NaN around its node, and everything else stays."""
    metadata = next(shared_data.glob("*/*_T32TNM_*/GRANULE/*/MTD_TL.xml"))
    text = metadata.read_text(encoding="utf-8")
    moved = _with_value(_with_value(text, 10, None), 12, "5.0")
    (tmp_path / "MTD_TL.xml").write_text(moved, encoding="utf-8")
    angles = read_tile_angles(tmp_path / "MTD_TL.xml")
    check_nodes(angles, ["B02"], allowed=1)
    grid = tile_grid(angles.tile, 600)
    with caplog.at_level(logging.WARNING):
        result = write(tmp_path / "out", tmp_path / "MTD_TL.xml", grid, replace(ON, encode="deg"))
    assert "view angles of B02 are NaN around 1 of 313 nodes of the metadata" in caplog.text
    assert result.document["node_seams_by_band"] == {
        "B02": {"nodes": 313, "nodes_not_held": 1, "share_not_held": round(1 / 313, 6)}
    }
    got, _ = angles_of(channels(tmp_path / "out/angles.tif"), "view_B02")
    write(tmp_path / "good", metadata, grid, replace(ON, encode="deg"))
    good, _ = angles_of(channels(tmp_path / "good/angles.tif"), "view_B02")
    lost = np.isnan(got) & np.isfinite(good)
    rows, cols = np.nonzero(lost)
    around = np.abs(np.stack((rows, cols)) * 0.12 + 0.06 - [[8.0], [1.0]]).max(axis=0) < 0.501
    assert around.sum() > 60
    assert (~around).sum() <= 2  # a seam may move a little
    same = np.isfinite(got) & np.isfinite(good)
    assert (np.abs(got - good)[same] < 0.2).mean() > 0.99  # the false value bends the plane of its detector


def _with_value(text: str, detector: int, value: str | None) -> str:
    """Metadata whose node (8, 1) of B02 a detector sees, with this zenith and azimuth, or not (None)."""
    grid = re.compile(
        rf'<Viewing_Incidence_Angles_Grids bandId="1" detectorId="{detector}">.*?</Viewing_', re.DOTALL
    )

    def changed(found: re.Match[str]) -> str:
        rows = re.split(r"(?<=<VALUES>)(.*?)(?=</VALUES>)", found[0])
        for number in (8, 31):  # of zenith, of azimuth
            values = rows[2 * number + 1].split()
            values[1] = value or "NaN"
            rows[2 * number + 1] = " ".join(values)
        return "".join(rows)

    return grid.sub(changed, text)
