"""Reading and writing windows through GDAL."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np
import pytest

from s2pipe.errors import RasterError
from s2pipe.raster.grid import Grid, Window
from s2pipe.raster.reader import RasterReader, inspect_raster
from s2pipe.raster.writer import TILE_PX, TiffSpec, TiffWriter
from tests.conftest import Dataset, read_whole_band

if TYPE_CHECKING:
    from pathlib import Path

GRID = Grid("", (500000.0, 20.0, 0.0, 5400000.0, 0.0, -20.0), (2 * TILE_PX + 37, 3 * TILE_PX + 5))


def _write(path: Path, data: np.ndarray, threads: int = 1, nodata: float | None = None) -> None:
    names = tuple(f"band {i}" for i in range(len(data)))
    with TiffWriter(path, TiffSpec(GRID, names, data.dtype.name, nodata), threads) as writer:
        for window in GRID.block_windows(TILE_PX, GRID.width):
            writer.write(window, np.ascontiguousarray(data[:, window.row : window.row_end]))


@pytest.mark.parametrize("dtype", ["float32", "uint8", "uint16"])
def test_what_is_written_is_read_back(tmp_path: Path, dtype: str) -> None:
    data = np.random.default_rng(0).integers(0, 200, (3, *GRID.shape_yx)).astype(dtype)
    _write(tmp_path / "x.tif", data, nodata=7)
    for number, band in enumerate(data, 1):
        assert np.array_equal(read_whole_band(tmp_path / "x.tif", number, dtype), band)
    info = inspect_raster(str(tmp_path / "x.tif"))
    assert (info.grid.geotransform, info.grid.shape_yx) == (GRID.geotransform, GRID.shape_yx)
    assert info.block_yx == (TILE_PX, TILE_PX)


def test_the_bytes_do_not_depend_on_threads(tmp_path: Path) -> None:
    data = np.random.default_rng(1).normal(size=(4, *GRID.shape_yx)).astype(np.float32)
    digests = set()
    for threads in (1, 2, 4):
        _write(tmp_path / f"{threads}.tif", data, threads)
        digests.add(hashlib.sha256((tmp_path / f"{threads}.tif").read_bytes()).hexdigest())
    assert len(digests) == 1


def test_windows_off_the_tiles_are_refused(tmp_path: Path) -> None:
    with TiffWriter(tmp_path / "x.tif", TiffSpec(GRID, ("a",), "uint8")) as writer:
        with pytest.raises(ValueError, match="multiple of"):
            writer.write(Window(3, 0, 5, 5), np.zeros((1, 5, 5), np.uint8))
        with pytest.raises(ValueError, match="expected uint8 data"):
            writer.write(Window(0, 0, 5, 5), np.zeros((1, 5, 5), np.float32))


def test_a_truncated_jpeg_2000_file_is_an_error_that_names_it(dataset: Dataset, tmp_path: Path) -> None:
    source = next(dataset.products.glob("*MSIL1C*/GRANULE/*/IMG_DATA/*_B11.jp2"))
    broken = tmp_path / "B11.jp2"
    broken.write_bytes(source.read_bytes()[: source.stat().st_size // 2])
    info = inspect_raster(str(broken))
    out = np.empty(info.grid.shape_yx, np.float32)
    with pytest.raises(RasterError, match=r"B11\.jp2: cannot read rows .* fetch it again"):
        RasterReader(str(broken)).read(Window(0, 0, *info.grid.shape_yx), out)


def test_a_missing_and_a_foreign_file_are_clear_errors(tmp_path: Path) -> None:
    with pytest.raises(RasterError, match="no such file"):
        inspect_raster(str(tmp_path / "absent.jp2"))
    (tmp_path / "text.jp2").write_text("{}")
    with pytest.raises(RasterError, match="GDAL cannot open it as GeoTIFF, JPEG 2000 or PNG"):
        inspect_raster(str(tmp_path / "text.jp2"))


def test_a_wrong_buffer_is_refused(dataset: Dataset) -> None:
    source = next(dataset.products.glob("*MSIL1C*/GRANULE/*/IMG_DATA/*_B11.jp2"))
    with pytest.raises(ValueError, match="C-contiguous of shape"):
        RasterReader(str(source)).read(Window(0, 0, 4, 4), np.empty((4, 8), np.float32)[:, ::2])


def test_a_directory_that_cannot_be_written_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(RasterError, match="cannot be made"):
        TiffWriter(tmp_path / "absent" / "x.tif", TiffSpec(GRID, ("a",), "uint8"))
