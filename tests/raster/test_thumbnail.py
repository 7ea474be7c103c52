"""Small versions of rasters show their pixels, and decode no more blocks than they may."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from s2pipe.errors import RasterError
from s2pipe.raster.grid import Grid
from s2pipe.raster.thumbnail import read_thumbnail
from s2pipe.raster.writer import TiffSpec, TiffStorage, TiffWriter

if TYPE_CHECKING:
    from pathlib import Path

SHAPE = (330, 500)


@pytest.fixture
def raster(tmp_path: Path) -> Path:
    """Rows in band 1 and columns in band 2, in tiles of 64 pixels."""
    path = tmp_path / "x.tif"
    grid = Grid("", (0.0, 1.0, 0.0, 0.0, 0.0, -1.0), SHAPE)
    data = np.stack(np.mgrid[: SHAPE[0], : SHAPE[1]]).astype(np.float32)
    with TiffWriter(path, TiffSpec(grid, ("row", "col"), "float32", None, TiffStorage(tile_px=64))) as writer:
        for window in grid.block_windows(64, SHAPE[1]):
            writer.write(window, np.ascontiguousarray(data[:, window.row : window.row_end]))
    return path


def test_every_nth_pixel(raster: Path) -> None:
    found = read_thumbnail(str(raster), [1, 0], 100)
    assert not found.is_mosaic
    assert found.pixels.shape == (2, 66, 100)
    np.testing.assert_allclose(found.pixels[0, 0], np.arange(100) * 5 + 2, atol=1)
    np.testing.assert_allclose(found.pixels[1, :, 0], np.arange(66) * 5 + 2, atol=1)


def test_nothing_is_enlarged(raster: Path) -> None:
    assert read_thumbnail(str(raster), [0], 4000).pixels.shape == (1, *SHAPE)


@pytest.mark.parametrize("blocks", [1, 4, 12, 47])
def test_few_blocks_stand_for_all(raster: Path, blocks: int) -> None:
    found = read_thumbnail(str(raster), [0, 1], 40, blocks)
    assert found.is_mosaic
    rows, columns = (np.unique(values // 64) for values in found.pixels)
    assert len(rows) * len(columns) <= blocks
    # Each pixel is near the ground that it stands for: no further away than the cell of its block.
    expected = np.stack(np.mgrid[: found.pixels.shape[1], : found.pixels.shape[2]]) * 12.5
    cell = np.array([330 / len(rows), 500 / len(columns)]).reshape(2, 1, 1)
    assert (np.abs(found.pixels - expected) <= cell + 64).all()


def test_a_damaged_raster_is_named(raster: Path) -> None:
    raster.write_bytes(raster.read_bytes()[:2000])
    with pytest.raises(RasterError, match=r"x\.tif"):
        read_thumbnail(str(raster), [0], 100)
