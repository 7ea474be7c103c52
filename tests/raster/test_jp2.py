"""The JPEG 2000 writer on its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from s2pipe.errors import RasterError
from s2pipe.raster.grid import Grid
from s2pipe.raster.jp2 import write_jp2, write_jp2_bands

if TYPE_CHECKING:
    from pathlib import Path

gdal = pytest.importorskip("osgeo.gdal")
osr = pytest.importorskip("osgeo.osr")
gdal.UseExceptions()
osr.UseExceptions()


def grid_of(height: int, width: int) -> Grid:
    reference = osr.SpatialReference()
    reference.ImportFromEPSG(32633)
    return Grid(reference.ExportToWkt(), (499980.0, 20.0, 0.0, 5500020.0, 0.0, -20.0), (height, width))


@pytest.mark.parametrize("shape", [(1, 1), (3, 70), (700, 655), (192, 193)])
@pytest.mark.parametrize(("dtype", "nbits"), [(np.uint16, 15), (np.uint16, None), (np.uint8, None)])
def test_lossless(tmp_path: Path, shape: tuple[int, int], dtype: type, nbits: int | None) -> None:
    top = 2 ** (nbits or np.iinfo(dtype).bits)
    expected: np.ndarray = np.random.default_rng(1).integers(0, top, shape).astype(dtype)
    write_jp2(tmp_path / "sub" / "a.jp2", grid_of(*shape), expected, 640, nbits)
    dataset = gdal.Open(str(tmp_path / "sub" / "a.jp2"))
    found: np.ndarray = np.frombuffer(dataset.ReadRaster(), dtype).reshape(shape)
    np.testing.assert_array_equal(found, expected)
    assert dataset.GetGeoTransform() == grid_of(*shape).geotransform
    assert [path.name for path in (tmp_path / "sub").iterdir()] == ["a.jp2"]


def test_several_bands_and_views(tmp_path: Path) -> None:
    source = np.arange(3 * 40 * 60, dtype=np.uint8).reshape(3, 40, 60)
    expected = source[:, ::2, ::-1]
    write_jp2_bands(tmp_path / "a.jp2", grid_of(20, 60), expected, 192)
    found = np.frombuffer(gdal.Open(str(tmp_path / "a.jp2")).ReadRaster(), np.uint8)
    np.testing.assert_array_equal(found.reshape(3, 20, 60), expected)


def test_threads_do_not_change_the_bytes(tmp_path: Path) -> None:
    array = np.random.default_rng(2).integers(0, 4000, (1300, 1300)).astype(np.uint16)
    for threads in (1, 4):
        write_jp2(tmp_path / f"{threads}.jp2", grid_of(1300, 1300), array, 640, 15, threads=threads)
    assert (tmp_path / "1.jp2").read_bytes() == (tmp_path / "4.jp2").read_bytes()


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((5, 6), np.float32), "uint8 or uint16"),
        (np.zeros((5, 5), np.uint16), r"\(5, 6\)"),
        (np.zeros(5, np.uint16), "dimensions"),
        (np.full((5, 6), 1 << 15, np.uint16), "15 bits"),
    ],
)
def test_misfits_are_named(tmp_path: Path, array: np.ndarray, message: str) -> None:
    with pytest.raises(RasterError, match=message):
        write_jp2(tmp_path / "a.jp2", grid_of(5, 6), array, 640, 15)
    assert list(tmp_path.iterdir()) == []
