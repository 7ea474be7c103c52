"""Pictures decode to what was encoded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from osgeo import gdal

from s2pipe.raster.picture import encode_jpeg, encode_png, media_type

if TYPE_CHECKING:
    from pathlib import Path


def _decoded(path: Path, data: bytes) -> gdal.Dataset:
    path.write_bytes(data)
    return gdal.Open(str(path))


def test_png_keeps_every_pixel_and_the_palette(tmp_path: Path) -> None:
    indices = np.random.default_rng(1).integers(0, 3, (7, 11), dtype=np.uint8)
    data = encode_png(indices, ["#000000", "#12ab34", "#ffffff"])
    assert media_type(data) == "image/png"
    found = _decoded(tmp_path / "a.png", data)
    out = np.empty((7, 11), np.uint8)
    found.GetRasterBand(1).ReadRaster(0, 0, 11, 7, buf_obj=out)
    np.testing.assert_array_equal(out, indices)
    assert found.GetRasterBand(1).GetColorTable().GetColorEntry(1)[:3] == (0x12, 0xAB, 0x34)
    assert list(tmp_path.iterdir()) == [tmp_path / "a.png"]


def test_jpeg_keeps_smooth_colours(tmp_path: Path) -> None:
    rgb = np.zeros((32, 48, 3), np.uint8)
    rgb[..., 0], rgb[..., 2] = np.linspace(20, 200, 48), 90
    data = encode_jpeg(rgb, 85)
    assert media_type(data) == "image/jpeg"
    found = _decoded(tmp_path / "a.jpg", data)
    out = np.empty((3, 32, 48), np.uint8)
    found.ReadRaster(0, 0, 48, 32, buf_obj=out)
    assert np.abs(out.transpose(1, 2, 0).astype(int) - rgb).max() < 12


def test_the_same_pixels_give_the_same_bytes() -> None:
    rgb = np.random.default_rng(2).integers(0, 255, (20, 20, 3), dtype=np.uint8)
    assert encode_jpeg(rgb, 60) == encode_jpeg(rgb, 60)
    assert len(encode_jpeg(rgb, 20)) < len(encode_jpeg(rgb, 90))
