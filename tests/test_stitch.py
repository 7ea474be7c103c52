"""Predictions put back together, against sums over the whole raster at once."""

from __future__ import annotations

import itertools
import tracemalloc
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s2pipe.patches.candidates.windows import window_starts
from s2pipe.raster.grid import Grid, Window
from s2pipe.raster.reader import StackReader, inspect_raster
from s2pipe.raster.writer import TiffStorage
from s2pipe.stitch import Stitcher, edge_weights
from tests.patches.patchdata import Scene, write_step2

if TYPE_CHECKING:
    from pathlib import Path

SHAPE = (150, 210)
GRID = Scene(shape_yx=SHAPE).grid
SMALL_TILES = TiffStorage(predictor=1, tile_px=64)


def read(path: Path, bands: int, dtype: str) -> np.ndarray:
    reader = StackReader(str(path))
    out = np.empty((bands, *reader.shape_yx), dtype)
    reader.read(Window(0, 0, *reader.shape_yx), out)
    reader.close()
    return out


def windows(
    size: int, stride: int, edges: str = "pad", shape: tuple[int, int] = SHAPE
) -> list[tuple[int, int]]:
    rows, cols = (window_starts(length, size, stride, edges).tolist() for length in shape)
    return list(itertools.product(rows, cols))


def predictions(places: list[tuple[int, int]], channels: int, size: int, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(channels, size, size)).astype(np.float32) for _ in places]


def whole(places: list, values: list[np.ndarray], edge: str, shape: tuple[int, int] = SHAPE) -> tuple:
    """Weighted sums and weights over the whole raster, with a margin for what lies over its edges."""
    size = values[0].shape[-1]
    middle = (np.arange(size) + 0.5) / size
    side = {
        "hann": 0.5 - 0.5 * np.cos(2 * np.pi * middle),
        "linear": 1 - np.abs(2 * middle - 1),
        "none": np.ones(size),
    }[edge]
    weight = np.outer(side, side)
    sums = np.zeros((len(values[0]), shape[0] + size, shape[1] + size))
    weights = np.zeros(sums.shape[1:])
    for (row, col), value in zip(places, values, strict=True):
        sums[:, row : row + size, col : col + size] += value * weight
        weights[row : row + size, col : col + size] += weight
    return sums[:, : shape[0], : shape[1]], weights[: shape[0], : shape[1]]


def stitched(path: Path, places: list, values: list, **options: Any) -> Path:
    with Stitcher(path, GRID, len(values[0]), storage=SMALL_TILES, **options) as stitcher:
        for (row, col), value in zip(places, values, strict=True):
            stitcher.add(row, col, value)
    return path


@pytest.mark.parametrize("edge", ["hann", "linear", "none"])
@pytest.mark.parametrize("from_top", [False, True])
def test_means_and_classes_are_those_of_the_whole_raster(tmp_path: Path, edge: str, from_top: bool) -> None:
    places = windows(48, 20)
    values = predictions(places, 3, 48)
    sums, weights = whole(places, values, edge)
    options = {"edge": edge, "from_top": from_top}
    means = read(stitched(tmp_path / "mean.tif", places, values, output="mean", **options), 3, "float32")
    np.testing.assert_allclose(means, sums / weights, rtol=1e-5, atol=1e-6)
    labels = (7, 2, 40)
    path = stitched(tmp_path / "classes.tif", places, values, labels=labels, **options)
    top = np.sort(sums, axis=0)
    clear = top[-1] - top[-2] > 1e-9
    found = read(path, 1, "uint8")[0]
    assert (found == np.array(labels)[sums.argmax(axis=0)])[clear].all()
    info = inspect_raster(str(path))
    assert (info.grid.geotransform, info.grid.shape_yx) == (GRID.geotransform, SHAPE)
    assert "32633" in info.grid.crs_wkt
    assert info.nodata == 255


def test_patches_side_by_side_come_out_as_they_went_in(tmp_path: Path) -> None:
    places = windows(48, 48)
    values = predictions(places, 2, 48)
    found = read(stitched(tmp_path / "x.tif", places, values, output="mean"), 2, "float32")
    expected = np.empty((2, SHAPE[0] + 48, SHAPE[1] + 48), np.float32)
    for (row, col), value in zip(places, values, strict=True):
        expected[:, row : row + 48, col : col + 48] = value
    assert np.array_equal(found, expected[:, : SHAPE[0], : SHAPE[1]])


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 1000))
def test_the_order_of_patches_does_not_matter(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    directory = tmp_path_factory.mktemp("order")
    places = windows(64, 24) + [(24, 24)] * 3  # several predictions for one place, as of flipped patches
    values = predictions(places, 2, 64)
    order = np.random.default_rng(seed).permutation(len(places)).tolist()
    one = stitched(directory / "one.tif", places, values, output="mean")
    other = stitched(
        directory / "other.tif", [places[i] for i in order], [values[i] for i in order], output="mean"
    )
    assert one.read_bytes() == other.read_bytes()
    down = sorted(range(len(places)), key=lambda i: places[i][0])
    streamed = stitched(
        directory / "down.tif",
        [places[i] for i in down],
        [values[i] for i in down],
        output="mean",
        from_top=True,
    )
    assert streamed.read_bytes() == one.read_bytes()


def test_pixels_without_a_prediction_are_nodata(tmp_path: Path) -> None:
    values = np.zeros((2, 32, 32), np.float32)
    values[1] = 1.0
    values[0, 3, 4] = np.nan
    values[1, 5, 6] = np.inf
    where = np.ones((32, 32), bool)
    where[7, 8] = False
    with (
        Stitcher(tmp_path / "c.tif", GRID, 2) as classes,
        Stitcher(tmp_path / "m.tif", GRID, 2, output="mean") as mean,
    ):
        for stitcher in (classes, mean):
            stitcher.add(100, 200, values, where)
    covered = np.zeros(SHAPE, bool)
    covered[100:132, 200:210] = True
    covered[[103, 105, 107], [204, 206, 208]] = False
    found = read(tmp_path / "c.tif", 1, "uint8")[0]
    assert np.array_equal(found, np.where(covered, 1, 255))
    assert np.array_equal(np.isnan(read(tmp_path / "m.tif", 2, "float32")[1]), ~covered)


def test_items_of_other_scenes_are_passed_over(tmp_path: Path) -> None:
    scenes = [Scene(shape_yx=(64, 64)), Scene(shape_yx=(64, 64), sensing="2025-08-03T10:00:00Z")]
    write_step2(tmp_path, scenes)
    items = {
        "tile_id": ["T33UWQ"] * 3,
        "sensing_start_utc": [scenes[0].sensing, scenes[1].sensing, scenes[0].sensing],
        "row": np.array([0, 0, 32]),
        "col": np.array([0, 0, 32]),
    }
    values = np.stack([np.full((1, 32, 32), value, np.float32) for value in (1, 2, 3)])
    meta = tmp_path / scenes[0].directory / "meta.json"
    with Stitcher(tmp_path / "one.tif", meta, 1, output="mean", nodata=-1) as stitcher:
        assert stitcher.add_batch(items, values) == 2
        with pytest.raises(ValueError, match=r"predictions for 3 item\(s\), got 2"):
            stitcher.add_batch(items, values[:2])
        with pytest.raises(ValueError, match="without sensing_start_utc"):
            stitcher.add_batch({"tile_id": [], "row": [], "col": []}, values[:0])
    found = read(tmp_path / "one.tif", 1, "float32")[0]
    expected = np.kron([[1, -1], [-1, 3]], np.ones((32, 32)))
    assert np.array_equal(found, expected)
    assert inspect_raster(str(tmp_path / "one.tif")).grid.geotransform == scenes[0].grid.geotransform


@pytest.mark.parametrize("from_top", [False, True])
def test_memory_holds_rows_of_blocks_and_not_the_raster(tmp_path: Path, from_top: bool) -> None:
    shape = (3008, 512)
    grid = Grid("", (0.0, 10.0, 0.0, 0.0, 0.0, -10.0), shape)
    options = {"output": "mean", "storage": SMALL_TILES, "from_top": from_top}
    tracemalloc.start()
    with Stitcher(tmp_path / "x.tif", grid, 6, **options) as stitcher:
        for row, col in windows(64, 64, shape=shape):
            stitcher.add(row, col, np.full((6, 64, 64), row + col, np.float32))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 12 << 20  # float32 sums of the raster alone would be 35 MB
    assert read(tmp_path / "x.tif", 6, "float32")[5, 2950, 70] == 2944 + 64


def test_nothing_is_left_of_what_fails(tmp_path: Path) -> None:
    target = tmp_path / "x.tif"
    target.write_bytes(b"before")
    reason = "out of memory"
    with pytest.raises(RuntimeError, match=reason), Stitcher(target, GRID, 1) as stitcher:
        stitcher.add(0, 0, np.zeros((8, 8)))
        raise RuntimeError(reason)
    assert [path.name for path in tmp_path.iterdir()] == ["x.tif"]
    assert target.read_bytes() == b"before"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"edge": "round"}, "hann, linear or none"),
        ({"labels": (1, 2, 3)}, "2 label"),
        ({"labels": (1, 255), "nodata": 255}, "not nodata"),
        ({"labels": (-1, 2)}, "0 to 65535"),
        ({"output": "mean", "band_names": ("a",)}, "2 band_names"),
        ({"output": "median"}, "classes or mean"),
    ],
)
def test_options_that_do_not_fit_are_refused(tmp_path: Path, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Stitcher(tmp_path / "x.tif", GRID, 2, **options)


def test_patches_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    with Stitcher(tmp_path / "x.tif", GRID, 2, from_top=True) as stitcher:
        with pytest.raises(ValueError, match=r"shape \(2, y, x\), got \(3, 8, 8\)"):
            stitcher.add(0, 0, np.zeros((3, 8, 8)))
        for place in ((150, 0), (0, 210), (-8, 0), (0, -8)):
            with pytest.raises(ValueError, match="lies on the raster"):
                stitcher.add(*place, np.zeros((2, 8, 8)))
        stitcher.add(40, 0, np.zeros((2, 8, 8)))
        with pytest.raises(ValueError, match="leave out from_top"):
            stitcher.add(39, 0, np.zeros((2, 8, 8)))


@given(size=st.integers(1, 300), edge=st.sampled_from(["hann", "linear", "none"]))
def test_weights_are_positive_symmetric_and_greatest_in_the_middle(size: int, edge: str) -> None:
    weights = edge_weights(size, edge)
    assert weights.min() > 0
    assert np.array_equal(weights, weights[::-1])
    assert (np.diff(weights[: (size + 1) // 2]) >= 0).all()
