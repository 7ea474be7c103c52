"""Angles from real tile metadata: at the nodes, between them, against the sun itself."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
import pytest

from s2pipe.errors import MetadataError
from s2pipe.preprocess.angles.directions import band_directions
from s2pipe.preprocess.angles.footprints import OutlineReader
from s2pipe.preprocess.angles.placement import node_grid
from s2pipe.preprocess.angles.planes import TilePlanes
from s2pipe.preprocess.cfg import AngleAssetConfig
from s2pipe.raster.grid import Grid, Window
from s2pipe.raster.transform import crs_wkt, transform_points
from s2pipe.sentinel2.safe.detectors import read_detector_outlines
from s2pipe.sentinel2.safe.tile import TileAngles, TileMetadata, read_tile_angles
from tests.preprocess.angles.angles_support import angles_of, centres, channels, seams_of, vectors_of, write

if TYPE_CHECKING:
    from pathlib import Path

TILES = ("T32TNM", "T46RER", "T01WCP", "T31TDH")
DEG = AngleAssetConfig(enabled=True, encode="deg")


@pytest.fixture(params=TILES)
def metadata(request: pytest.FixtureRequest, shared_data: Path) -> Path:
    return _metadata(shared_data, request.param)


def _metadata(shared_data: Path, tile: str) -> Path:
    return next(shared_data.glob(f"*/*_{tile}_*/GRANULE/*/MTD_TL.xml"))


def tile_grid(tile: TileMetadata, step: int) -> Grid:
    ulx, uly = tile.upper_left[10]
    side = 109_800 // step
    return Grid(crs_wkt(tile.epsg), (ulx, step, 0.0, uly, 0.0, -step), (side, side))


def turn(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.abs((one - other + 180.0) % 360.0 - 180.0)


def node_coordinates(tile: TileMetadata, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    ulx, uly = tile.upper_left[10]
    return (uly - y) / 5000.0, (x - ulx) / 5000.0


def interpolated(grid: tuple[np.ndarray, np.ndarray], row: np.ndarray, col: np.ndarray) -> np.ndarray:
    """Bilinear unit vectors by SciPy, independently of the kernel."""
    interpolate = pytest.importorskip("scipy.interpolate")
    lines = np.arange(grid[0].shape[0], dtype=float), np.arange(grid[0].shape[1], dtype=float)
    found = interpolate.RegularGridInterpolator(lines, vectors_of(*grid), bounds_error=False)(
        np.stack((row, col), axis=-1)
    )
    return found / np.linalg.norm(found, axis=-1, keepdims=True)


def angle_between(vectors: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.degrees(2 * np.arcsin(np.clip(np.linalg.norm(vectors - other, axis=-1) / 2, 0, 1)))


@pytest.mark.parametrize("encode", ["deg", "sin_cos"])
def test_values_at_the_nodes_are_the_metadata_s(metadata: Path, tmp_path: Path, encode: str) -> None:
    config = replace(DEG, grid="native", encode=encode)
    result = write(tmp_path, metadata, Grid("", (0, 1, 0, 0, 0, -1), (1, 1)), config, bands=("B02", "B12"))
    found = channels(tmp_path / "angles.tif")
    angles = read_tile_angles(metadata)
    assert result.rasters["angles"].grid == node_grid(angles.tile, (23, 23))
    zenith, azimuth = angles_of(found, "sun")
    assert np.abs(zenith - angles.sun_zenith).max() < 1e-4
    assert turn(azimuth, angles.sun_azimuth).max() < 1e-4
    for band in ("B02", "B12"):
        zenith, azimuth = angles_of(found, f"view_{band}")
        errors = [
            np.maximum(np.abs(zenith - own), turn(azimuth, turned) * np.sin(np.radians(own)))
            for own, turned in (angles.view[band, detector] for detector in angles.detectors(band))
        ]
        anywhere = np.logical_or.reduce([np.isfinite(error) for error in errors])
        np.testing.assert_array_equal(np.isfinite(zenith), anywhere)
        assert np.nanmin(np.stack(errors)[:, anywhere], axis=0).max() < 1e-4


def test_values_on_a_target_grid_of_nodes_are_the_metadata_s(metadata: Path, tmp_path: Path) -> None:
    angles = read_tile_angles(metadata)
    write(tmp_path, metadata, node_grid(angles.tile, (23, 23)), replace(DEG, view_mode="per_band"))
    found = channels(tmp_path / "angles.tif")
    zenith, azimuth = angles_of(found, "sun")
    assert np.abs(zenith - angles.sun_zenith).max() < 1e-4
    assert turn(azimuth, angles.sun_azimuth).max() < 1e-4


def test_between_the_nodes_against_float64(metadata: Path, tmp_path: Path) -> None:
    angles = read_tile_angles(metadata)
    grid = tile_grid(angles.tile, 180)
    write(tmp_path, metadata, grid, DEG)
    found = channels(tmp_path / "angles.tif")
    x, y = centres(grid)
    row, col = node_coordinates(angles.tile, x, y)
    some = np.s_[::7, ::5]
    got = vectors_of(*angles_of(found, "sun"))[some]
    assert (
        angle_between(got, interpolated((angles.sun_zenith, angles.sun_azimuth), row[some], col[some])).max()
        < 1e-4
    )

    # View: in cells of which the pixel's detector has all four nodes.
    ids = np.empty(grid.shape_yx, np.uint8)
    OutlineReader(seams_of(angles, "B02"), grid).read(Window(0, 0, *grid.shape_yx), ids)
    got, ids = vectors_of(*angles_of(found, "view_B02"))[some], ids[some]
    np.testing.assert_array_equal(np.isfinite(got[..., 0]), ids > 0)
    compared = 0
    for detector in angles.detectors("B02"):
        error = angle_between(got, interpolated(angles.view["B02", detector], row[some], col[some]))[
            ids == detector
        ]
        compared += np.isfinite(error).sum()
        assert np.isnan(error).all() or np.nanmax(error) < 1e-4
    assert compared > 0.5 * (ids > 0).sum()


def test_the_corners_of_the_tile(metadata: Path, tmp_path: Path) -> None:
    angles = read_tile_angles(metadata)
    whole = tile_grid(angles.tile, 10)
    x0, step, _, y0, _, _ = whole.geotransform
    last = whole.width - 3
    for number, (row, col) in enumerate(((0, 0), (0, last), (last, 0), (last, last))):
        corner = Grid(whole.crs_wkt, (x0 + col * step, step, 0, y0 - row * step, 0, -step), (3, 3))
        write(tmp_path / str(number), metadata, corner, replace(DEG, include_view=False))
        got = vectors_of(*angles_of(channels(tmp_path / str(number) / "angles.tif"), "sun"))
        expected = interpolated(
            (angles.sun_zenith, angles.sun_azimuth), *node_coordinates(angles.tile, *centres(corner))
        )
        assert angle_between(got, expected).max() < 1e-4


@pytest.mark.parametrize(
    ("crs", "side", "step"), [(32633, 8000, 15.0), (4326, 900, 0.002), (3857, 700, 200.0)]
)
def test_a_target_grid_in_another_crs(
    shared_data: Path, tmp_path: Path, crs: int, side: int, step: float
) -> None:
    metadata = _metadata(shared_data, "T32TNM")
    angles = read_tile_angles(metadata)
    wkt, tile_crs = crs_wkt(crs), crs_wkt(angles.tile.epsg)
    ulx, uly = angles.tile.upper_left[10]
    side = min(side, 900)
    corner = transform_points(tile_crs, wkt, np.array([[ulx + 20_000, uly - 10_000]]))[0]
    grid = Grid(wkt, (corner[0], step, 0, corner[1], 0, -step), (side, side))
    masks = {"B02": metadata.parent / "QI_DATA" / "MSK_DETFOO_B02.gml"}
    write(tmp_path, metadata, grid, DEG, masks=masks)
    found = channels(tmp_path / "angles.tif")
    x, y = (values[::37, ::41] for values in centres(grid))
    points = transform_points(wkt, tile_crs, np.stack((x.ravel(), y.ravel()), axis=-1))
    row, col = node_coordinates(angles.tile, points[:, 0].reshape(x.shape), points[:, 1].reshape(x.shape))
    got = vectors_of(*angles_of(found, "sun"))[::37, ::41]
    expected = interpolated((angles.sun_zenith, angles.sun_azimuth), row, col)
    np.testing.assert_array_equal(np.isfinite(got), np.isfinite(expected))
    assert np.isfinite(got).mean() > 0.2
    assert np.nanmax(angle_between(got, expected)) < 1e-4
    # Detectors: by polygons in the tile's CRS, exactly at the pixel's own place.
    exact = detector_of(points, masks["B02"], angles.tile).reshape(x.shape)
    view = vectors_of(*angles_of(found, "view_B02"))[::37, ::41]
    np.testing.assert_array_equal(np.isfinite(view[..., 0]) & np.isfinite(expected[..., 0]), exact > 0)
    for detector in angles.detectors("B02"):
        error = angle_between(view, interpolated(angles.view["B02", detector], row, col))[exact == detector]
        assert not error.size or np.isnan(error).all() or np.nanmax(error) < 1e-4


def detector_of(points: np.ndarray, mask: Path, tile: TileMetadata) -> np.ndarray:
    """Detector of single points: by a one-pixel raster around each of them."""
    outlines = read_detector_outlines(mask, "B02", tile.epsg)
    found = np.zeros(len(points), np.uint8)
    for index, (x, y) in enumerate(points):
        grid = Grid("", (x - 0.5, 1.0, 0.0, y + 0.5, 0.0, -1.0), (1, 1))
        out = np.zeros((1, 1), np.uint8)
        OutlineReader(outlines, grid).read(Window(0, 0, 1, 1), out)
        found[index] = out[0, 0]
    return found


@pytest.mark.parametrize("encode", ["deg", "sin_cos"])
def test_across_north(metadata: Path, tmp_path: Path, encode: str) -> None:
    """A real tile turned so that sun and detectors look across north gives the same directions, turned."""
    angles = read_tile_angles(metadata)
    band, detector = "B02", angles.detectors("B02")[-2]
    by = -float(np.nanmedian(angles.view[band, detector][1]))
    text = re.sub(
        r"(<Azimuth\b.*?</Azimuth>)",
        lambda found: re.sub(
            r"(<VALUES>)(.*?)(</VALUES>)",
            lambda row: row[1] + " ".join(repr((float(v) + by) % 360.0) for v in row[2].split()) + row[3],
            found[1],
        ),
        metadata.read_text(encoding="utf-8"),
        flags=re.DOTALL,
    )
    (tmp_path / "MTD_TL.xml").write_text(text, encoding="utf-8")
    turned = read_tile_angles(tmp_path / "MTD_TL.xml")
    steps = np.abs(np.diff(turned.view[band, detector][1]))
    assert np.nanmax(steps) > 180  # it does wrap
    config = replace(DEG, encode=encode)
    grid = tile_grid(angles.tile, 180)
    found = []
    for name, file in (("as it is", metadata), ("turned", tmp_path / "MTD_TL.xml")):
        write(tmp_path / name, file, grid, config, bands=(band,))
        found.append(channels(tmp_path / name / "angles.tif"))
    for prefix in ("sun", f"view_{band}"):
        (zenith, azimuth), (same, other) = (angles_of(one, prefix) for one in found)
        assert np.nanmax(np.abs(zenith - same)) < 1e-4
        assert np.nanmax(turn(azimuth + by, other) * np.sin(np.radians(zenith))) < 1e-4
        assert np.nanmin(other) >= 0.0
        assert np.nanmax(other) < 360.0


def test_filled_nodes_continue_the_detector(metadata: Path) -> None:
    """Nodes at a detector's rim, taken away and filled again, come back to 0.03 degrees."""
    angles = read_tile_angles(metadata)
    for detector in angles.detectors("B08"):
        zenith, azimuth = angles.view["B08", detector]
        if np.isfinite(zenith).sum() < 40:
            continue
        rim = np.zeros(zenith.shape, bool)
        for row in np.flatnonzero(np.isfinite(zenith).any(axis=1)):
            seen = np.flatnonzero(np.isfinite(zenith[row]))
            rim[row, seen[0]] = rim[row, seen[-1]] = len(seen) > 2
        cut = tuple(np.where(rim, np.nan, grid) for grid in (zenith, azimuth))
        less = replace(angles, view={**angles.view, ("B08", detector): cut})
        filled = band_directions(TilePlanes(less), "B08").vectors[detector]
        assert angle_between(filled, vectors_of(zenith, azimuth))[rim].max() < 0.03


SLOPES = {"other bands": 0.02, "other detectors": 0.04, "the orbit": 0.1}
"""Degrees by which a direction may be off one node step from the only nodes, by what the slope is taken from."""


@pytest.mark.parametrize("slope", SLOPES)
@pytest.mark.parametrize("nodes", [1, 2])
def test_a_detector_with_few_nodes_gets_a_slope(metadata: Path, slope: str, nodes: int) -> None:
    """All nodes of a detector but one or two are taken away, and come back."""
    angles = read_tile_angles(metadata)
    compared = 0
    for detector in angles.detectors("B02"):
        zenith, azimuth = angles.view["B02", detector]
        own = np.argwhere(np.isfinite(zenith))
        if len(own) < 12:
            continue
        kept = np.zeros(zenith.shape, bool)
        kept[tuple(own[len(own) // 2 :][:nodes].T)] = True
        cut = tuple(np.where(kept, grid, np.nan) for grid in (zenith, azimuth))
        others = {
            "other bands": angles.view,
            "other detectors": {key: grids for key, grids in angles.view.items() if key[1] != detector},
            "the orbit": {},
        }[slope]
        found = band_directions(TilePlanes(replace(angles, view={**others, ("B02", detector): cut})), "B02")
        assert detector in found.borrowed
        rows, cols = np.indices(zenith.shape)
        steps = np.min([np.maximum(abs(rows - i), abs(cols - j)) for i, j in np.argwhere(kept)], axis=0)
        near = np.isfinite(zenith) & (steps <= 1)
        compared += int(near.sum())
        error = angle_between(found.vectors[detector], vectors_of(zenith, azimuth))
        assert error[near].max() < SLOPES[slope]
        assert error[kept].max() < 1e-6
    assert compared > 10


def test_seams_from_nodes_are_near_the_masks(shared_data: Path) -> None:
    metadata = _metadata(shared_data, "T32TNM")
    angles = read_tile_angles(metadata)
    grid = tile_grid(angles.tile, 180)
    whole = Window(0, 0, *grid.shape_yx)
    for band in ("B01", "B02", "B8A", "B12"):
        truth, got = (np.empty(grid.shape_yx, np.uint8) for _ in range(2))
        mask = metadata.parent / "QI_DATA" / f"MSK_DETFOO_{band}.gml"
        OutlineReader(read_detector_outlines(mask, band, angles.tile.epsg), grid).read(whole, truth)
        OutlineReader(seams_of(angles, band), grid).read(whole, got)
        assert (truth != got).mean() < 0.005  # four seams and edges; 5 km of each would be 18 %
        assert (truth != got).sum(axis=1).max() * 180 < 1500


def _sun(longitude: np.ndarray, latitude: np.ndarray, unix: np.ndarray) -> np.ndarray:
    """Direction to the sun by the solar position algorithm of NREL, without refraction."""
    spa = pytest.importorskip("pvlib.spa")
    answer = spa.solar_position_numpy(unix, latitude, longitude, 0.0, 1013.25, 12.0, 69.2, 0.5667, 1)
    return vectors_of(answer[1], answer[4])


def _residual(tile: TileMetadata, shift: float, row: np.ndarray, col: np.ndarray, sun: np.ndarray) -> float:
    """Root mean square in degrees of the sun's published direction against the computed one.

    The time of sensing is fitted as a quadratic in row and column, since scan lines are tilted.
    """
    ulx, uly = tile.upper_left[10]
    points = np.stack((ulx + (col + shift) * 5000.0, uly - (row + shift) * 5000.0), axis=-1)
    ground = transform_points(crs_wkt(tile.epsg), crs_wkt(4326), points)
    longitude, latitude = ground.T
    start = datetime.fromisoformat(tile.sensing_time).timestamp()
    u, v = row / 11.0 - 1.0, col / 11.0 - 1.0
    basis = np.stack((np.ones_like(u), u, v, u * u, u * v, v * v), axis=-1)
    delay = np.zeros(6)
    for _ in range(4):
        unix = start + basis @ delay
        now, later = _sun(longitude, latitude, unix), _sun(longitude, latitude, unix + 1.0)
        slope = (later - now)[:, :, np.newaxis] * basis[:, np.newaxis, :]
        delay += np.linalg.lstsq(slope.reshape(-1, 6), (sun - now).ravel(), rcond=None)[0]
    return float(np.sqrt(np.mean(angle_between(_sun(longitude, latitude, start + basis @ delay), sun) ** 2)))


def test_the_sun_stands_where_it_stood(metadata: Path, tmp_path: Path) -> None:
    """Angles of the raster's pixels fit an independent sun only with the nodes at corners of cells."""
    pytest.importorskip("pvlib")
    angles: TileAngles = read_tile_angles(metadata)
    grid = tile_grid(angles.tile, 180)
    write(tmp_path, metadata, grid, replace(DEG, include_view=False, encode="sin_cos"))
    sun = vectors_of(*angles_of(channels(tmp_path / "angles.tif"), "sun"))
    x, y = centres(grid)
    some = np.s_[10::27, 10::27]
    row, col = (part[some].ravel() for part in node_coordinates(angles.tile, x, y))
    sun = sun[some].reshape(-1, 3)
    assert _residual(angles.tile, 0.0, row, col, sun) < 0.003
    assert _residual(angles.tile, 0.5, row, col, sun) > 0.007


@pytest.mark.parametrize("aggregate", ["footprint", "nanmean"])
def test_stub_view_grids_give_sun_angles(
    shared_data: Path, tmp_path: Path, aggregate: str, caplog: pytest.LogCaptureFixture
) -> None:
    metadata = shared_data / "angles/T34VEL/metadata.xml"
    angles = read_tile_angles(metadata)
    assert angles.stubs == {"B01"}
    assert not angles.view
    grid = tile_grid(angles.tile, 1800)
    config = replace(DEG, detector_aggregate=aggregate)
    result = write(tmp_path, metadata, grid, config, bands=("B01", "B02"))
    found = channels(tmp_path / "angles.tif")
    assert np.isfinite(found["sun_zen_deg"]).all()
    for band in ("B01", "B02"):
        assert np.isnan(found[f"view_{band}_zen_deg"]).all()
        assert np.isnan(found[f"view_{band}_azi_deg"]).all()
    assert result.document["bands_without_view_angles"] == {"B01": "stub", "B02": "stub"}
    assert "view angles of B01, B02 are NaN" in caplog.text
    write(tmp_path / "native", metadata, grid, replace(config, grid="native"), bands=("B01", "B02"))
    native = channels(tmp_path / "native/angles.tif")
    assert np.abs(native["sun_zen_deg"] - angles.sun_zenith).max() < 1e-4
    assert np.isnan(native["view_B02_zen_deg"]).all()


def test_sun_angles_need_no_view_grid(shared_data: Path, tmp_path: Path) -> None:
    """View grids that cannot be read are no matter without view angles."""
    text = _metadata(shared_data, "T32TNM").read_text(encoding="utf-8")
    broken = re.sub(r'(<Viewing_Incidence_Angles_Grids bandId=)"\d+"', r'\1"many"', text)
    assert broken != text
    (tmp_path / "MTD_TL.xml").write_text(broken, encoding="utf-8")
    grid = tile_grid(read_tile_angles(tmp_path / "MTD_TL.xml", with_view=False).tile, 1800)
    write(tmp_path / "sun", tmp_path / "MTD_TL.xml", grid, replace(DEG, include_view=False))
    assert np.isfinite(channels(tmp_path / "sun/angles.tif")["sun_zen_deg"]).all()
    with pytest.raises(MetadataError, match="bandId"):
        write(tmp_path / "view", tmp_path / "MTD_TL.xml", grid, DEG)
