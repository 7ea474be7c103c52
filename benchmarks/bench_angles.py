"""Angles of a whole tile: the kernel alone, and the raster with detectors from polygons, from masks or from the nodes.

The aim: sun and mean view direction over six bands at 10 m, as sines and cosines (8 channels), cost less than 4 s
of processor time besides writing. S2PIPE_BENCH_SIZE=small takes seconds and is for seeing that everything runs.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest

from s2kernels import AngleEncoding, interpolate_directions
from s2pipe.dataset.input_file import InputFile
from s2pipe.preprocess.angles.placement import placement
from s2pipe.preprocess.angles.raster import write_angles
from s2pipe.preprocess.angles.scene_angles import SceneAngles
from s2pipe.preprocess.cfg import AngleAssetConfig
from s2pipe.preprocess.inputs import AngleInput
from s2pipe.preprocess.raster_tags import RasterForm
from s2pipe.raster.grid import Grid, TargetGrid, Window
from s2pipe.raster.jp2 import write_jp2
from s2pipe.raster.transform import crs_wkt
from s2pipe.sentinel2.bands import BY_NAME, JP2_TILE_PX
from s2pipe.sentinel2.safe.tile import read_tile_angles
from s2pipe.synthetic import ProductSpec
from s2pipe.synthetic.metadata.gml import detector_footprint_gml
from s2pipe.synthetic.metadata.tile_xml import tile_xml
from s2pipe.synthetic.swath import swath_of

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_benchmark.fixture import BenchmarkFixture

SMALL = os.environ.get("S2PIPE_BENCH_SIZE") == "small"
SIDE_M = 10_980 if SMALL else 109_800
ROUNDS = 1 if SMALL else 3
BANDS = ("B02", "B03", "B04", "B08", "B11", "B12")
CONFIG = AngleAssetConfig(enabled=True, view_mode="single")
SPEC = ProductSpec(side_m=SIDE_M, l2a=False, nodata_wedge=0.1)
SWATH = swath_of(SPEC)


def grid_of(resolution_m: int) -> Grid:
    """The tile's grid at a resolution."""
    side = SIDE_M // resolution_m
    return Grid(crs_wkt(SWATH.epsg), (SWATH.ulx, resolution_m, 0, SWATH.uly, 0, -resolution_m), (side, side))


def _inputs(directory: Path, masks: dict[str, Path]) -> AngleInput:
    metadata = directory / "MTD_TL.xml"
    metadata.write_bytes(tile_xml(SPEC.names("L1C"), SWATH, [], np.zeros(12, np.int64)))
    files = {band: InputFile(f"l1c.detector_footprint.{band}", path) for band, path in masks.items()}
    return AngleInput(InputFile("l1c.tile_metadata", metadata), files)


@pytest.fixture(scope="module")
def polygons(tmp_path_factory: pytest.TempPathFactory) -> AngleInput:
    """Metadata with footprints as polygons."""
    directory = tmp_path_factory.mktemp("polygons")
    masks = {band: directory / f"MSK_DETFOO_{band}.gml" for band in BANDS}
    for band, path in masks.items():
        path.write_bytes(detector_footprint_gml(SPEC.names("L1C"), SWATH, band))
    return _inputs(directory, masks)


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> AngleInput:
    """Metadata without footprints."""
    return _inputs(tmp_path_factory.mktemp("nodes"), {})


@pytest.fixture(scope="module")
def rasters(tmp_path_factory: pytest.TempPathFactory) -> AngleInput:
    """Metadata with footprints as rasters."""
    directory = tmp_path_factory.mktemp("rasters")
    masks = {band: directory / f"MSK_DETFOO_{band}.jp2" for band in BANDS}
    for band, path in masks.items():
        resolution = BY_NAME[band].resolution_m
        grid = grid_of(resolution)
        x = SWATH.ulx + (np.arange(grid.width) + 0.5) * resolution
        ids = np.empty(grid.shape_yx, np.uint8)
        for row in range(grid.height):
            ids[row] = SWATH.detector_at(x, np.full(grid.width, SWATH.uly - (row + 0.5) * resolution), band)
        write_jp2(path, grid, ids, JP2_TILE_PX[resolution])
    return _inputs(directory, masks)


def _report(benchmark: BenchmarkFixture, seconds: list[float], grid: Grid) -> None:
    pixels = grid.width * grid.height
    benchmark.extra_info.update(processor_seconds=min(seconds), ns_per_pixel=min(seconds) / pixels * 1e9)
    print(
        f"\n{grid.height} x {grid.width} pixels: {min(seconds):.2f} s of processor time, "
        f"{min(seconds) / pixels * 1e9:.1f} ns a pixel"
    )


@pytest.mark.parametrize("encode", ["sin_cos", "deg"])
@pytest.mark.parametrize("dtype", ["float32", "int16"])
def test_kernel(benchmark: BenchmarkFixture, polygons: AngleInput, encode: str, dtype: str) -> None:
    """Sun and mean view direction of every window of the tile, without reading or writing."""
    grid = grid_of(10)
    angles = read_tile_angles(polygons.metadata.read(), "tile")
    scene = SceneAngles(angles, polygons, CONFIG, BANDS)
    sun, view = (group.field for group in scene.groups())
    encoding = AngleEncoding.of(encode, dtype)
    place = placement(angles.tile, grid)
    window = Window(0, 0, min(256, grid.height), grid.width)
    ids = np.zeros((len(BANDS), *window.shape_yx), np.uint8)
    for index, reader in enumerate(scene.detector_readers(grid)):
        reader.read(window, ids[index])
    out = np.empty((2 * encoding.channels, *window.shape_yx), dtype)
    seconds = []

    def tile() -> None:
        start = time.process_time()
        for row in range(0, grid.height, 256):
            here = place._replace(origin_yx=(min(row, grid.height - window.height), 0))
            interpolate_directions(sun, here, None, encoding, out[: encoding.channels])
            interpolate_directions(view, here, ids, encoding, out[encoding.channels :])
        seconds.append(time.process_time() - start)

    benchmark.pedantic(tile, rounds=ROUNDS, warmup_rounds=1)
    _report(benchmark, seconds, grid)


@pytest.mark.parametrize("masks", ["polygons", "rasters", "nodes"])
def test_raster(
    benchmark: BenchmarkFixture, request: pytest.FixtureRequest, tmp_path: Path, masks: str
) -> None:
    """The whole raster: metadata, detectors, directions, compression and writing."""
    inputs, grid = request.getfixturevalue(masks), grid_of(10)
    seconds = []

    def write() -> None:
        start = time.process_time()
        write_angles(tmp_path, inputs, TargetGrid.whole(grid), CONFIG, BANDS, RasterForm(threads=2))
        seconds.append(time.process_time() - start)

    benchmark.pedantic(write, rounds=ROUNDS, warmup_rounds=1 if SMALL else 0)
    _report(benchmark, seconds, grid)
    benchmark.extra_info["megabytes"] = (tmp_path / "angles.tif").stat().st_size / 1e6
    print(f"{benchmark.extra_info['megabytes']:.1f} MB")
