"""Samples as xarray Datasets: values of the rasters, read where they are asked for, along time."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING

import numpy as np
import pytest

import s2pipe
from s2pipe.errors import ManifestError, MissingInputError
from tests.conftest import read_whole_band
from tests.patches.patchdata import Scene, write_step2

if TYPE_CHECKING:
    from pathlib import Path

xarray = pytest.importorskip("xarray")
SCENES = [
    Scene(sensing="2025-08-01T10:00:00Z"),
    Scene(quality=True),
    Scene(tile_id="T01VAA", epsg=32601, ulx=340000.0, uly=6900000.0, quality=True),
]


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_step2(tmp_path_factory.mktemp("opening"), SCENES)


def scene_of(index: Path, scene: Scene, **options: object) -> xarray.Dataset:
    return s2pipe.open_scene(index.parents[2] / scene.directory / "meta.json", **options)


def test_a_scene_is_read_where_it_is_indexed(index: Path) -> None:
    opened = scene_of(index, SCENES[1], chunks=None)
    path = index.parents[2] / SCENES[1].directory / "x.tif"
    expected = np.stack([read_whole_band(path, 1), read_whole_band(path, 2)])
    np.testing.assert_array_equal(opened["image"], expected)
    np.testing.assert_array_equal(opened["valid"][0], read_whole_band(path, 3) > 0)
    assert opened["valid"].dtype == bool
    part = scene_of(index, SCENES[1], chunks=None)["image"]
    np.testing.assert_array_equal(part[1, 5:40:3, [7, 2, 30]], expected[1, 5:40:3, [7, 2, 30]].T)
    np.testing.assert_array_equal(part[::-1, -1, ::-2], expected[::-1, -1, ::-2])
    assert part[:, 3:3].shape == (2, 0, expected.shape[2])
    again = pickle.loads(pickle.dumps(scene_of(index, SCENES[1], chunks=None)["label"]))
    np.testing.assert_array_equal(again, read_whole_band(path.with_name("y.tif"), 1, "uint8"))


def test_coordinates_say_where_and_when(index: Path) -> None:
    opened = scene_of(index, SCENES[1], chunks=None)
    assert opened["time"].ndim == 0
    assert str(opened["time"].values)[:19] == SCENES[1].sensing[:19]
    mapping = opened["spatial_ref"].attrs
    left, dx, _, top, _, dy = map(float, mapping["GeoTransform"].split())
    assert (left + dx / 2, top + dy / 2) == (float(opened["x"][0]), float(opened["y"][0]))
    assert mapping["grid_mapping_name"] == "transverse_mercator"
    assert mapping["spatial_ref"] == opened.attrs["crs_wkt"]
    assert opened["image"].encoding["grid_mapping"] == "spatial_ref"
    assert opened["image"].attrs["units"] == "1"
    assert list(opened["wavelength"].values) == [492.4, 559.8]
    flags = opened["label"].attrs
    meanings = dict(zip(flags["flag_values"].tolist(), flags["flag_meanings"].split(), strict=True))
    assert (meanings[4], meanings[255]) == ("vegetation", "no_label")
    assert flags["flag_values"].dtype == opened["label"].dtype


def test_a_dataset_is_the_time_series_of_a_grid(index: Path) -> None:
    series = s2pipe.open_dataset(index, tile="T33UWQ", chunks=None)
    assert dict(series.sizes)["time"] == 2
    assert list(series["time"].values) == sorted(series["time"].values)
    for place, scene in enumerate(sorted(SCENES[:2], key=lambda scene: scene.sensing)):
        alone = scene_of(index, scene, chunks=None)
        now = series.isel(time=place)
        for name in ("image", "valid", "label"):
            np.testing.assert_array_equal(now[name], alone[name])
        if scene.quality:
            np.testing.assert_array_equal(now["quality"], alone["quality"])
        else:
            assert (now["quality"] == 255).all()


def test_which_grid_has_to_be_clear(index: Path) -> None:
    with pytest.raises(ManifestError, match=r"lie on 2 grids .*choose a tile of T01VAA, T33UWQ with tile="):
        s2pipe.open_dataset(index)
    with pytest.raises(MissingInputError, match="no sample of tile T99XXX; expected one of T01VAA, T33UWQ"):
        s2pipe.open_dataset(index, tile="T99XXX")


def test_coordinates_of_a_grid_in_degrees_are_longitude_and_latitude(tmp_path: Path) -> None:
    scene = Scene(epsg=4326, ulx=15.0, uly=51.0, pixel=0.0002, shape_yx=(30, 40))
    opened = scene_of(write_step2(tmp_path, [scene]), scene, chunks=None)
    assert (opened["y"].attrs["standard_name"], opened["y"].attrs["units"]) == ("latitude", "degrees_north")
    assert (opened["x"].attrs["standard_name"], opened["x"].attrs["units"]) == ("longitude", "degrees_east")
