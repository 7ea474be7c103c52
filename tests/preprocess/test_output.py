"""Storage of x.tif: every option gives the same pixels, and a COG is one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from osgeo import gdal

from s2pipe.errors import ConfigError
from s2pipe.preprocess.cfg import OutputConfig
from s2pipe.preprocess.run import run_preprocess
from tests.conftest import Dataset, read_whole_band

SAMPLE = Path("processed/tile=T33UWQ/sensing=2025-12-10T100319Z")


def _x(dataset: Dataset, out: Path, **output: Any) -> Path:
    config = dataset.config(out, output=OutputConfig(**output), target_grid_ref="B02", max_scenes=1)
    assert run_preprocess(config).exit_code == 0
    assert [path.name for path in (out / SAMPLE).glob("*.tif")] == ["x.tif"]
    return out / SAMPLE / "x.tif"


def _pixels(path: Path) -> np.ndarray:
    return np.stack([read_whole_band(path, band) for band in range(1, 8)])


@pytest.mark.parametrize(
    "output",
    [
        {"compression": "none", "tile_px": 128},
        {"compression": "deflate", "level": 1, "predictor": 3},
        {"compression": "lzw", "predictor": 1, "tile_px": 512},
        {"compression": "zstd", "level": 9, "predictor": 3, "tile_px": 1024},
    ],
    ids=lambda output: output["compression"],
)
def test_options_change_the_file_and_not_the_pixels(dataset: Dataset, tmp_path: Path, output: Any) -> None:
    plain, other = _x(dataset, tmp_path / "a"), _x(dataset, tmp_path / "b", **output)
    assert np.array_equal(_pixels(other), _pixels(plain))
    data = gdal.Open(str(other))
    expected = {"none": None}.get(output["compression"], output["compression"].upper())
    assert data.GetMetadataItem("COMPRESSION", "IMAGE_STRUCTURE") == expected
    assert data.GetRasterBand(1).GetBlockSize() == [output.get("tile_px", 256)] * 2


def test_a_cog_has_overviews_and_the_same_pixels(dataset: Dataset, tmp_path: Path) -> None:
    plain, cog = _x(dataset, tmp_path / "a"), _x(dataset, tmp_path / "b", cog=True)
    assert np.array_equal(_pixels(cog), _pixels(plain))
    data = gdal.Open(str(cog))
    assert data.GetMetadataItem("LAYOUT", "IMAGE_STRUCTURE") == "COG"
    assert data.GetRasterBand(7).GetOverviewCount() >= 1
    assert data.GetRasterBand(7).GetDescription() == "valid"
    overview = data.GetRasterBand(7).GetOverview(0)
    out = np.empty((overview.YSize, overview.XSize), np.float32)
    overview.ReadRaster(0, 0, overview.XSize, overview.YSize, buf_obj=out, buf_type=gdal.GDT_Float32)
    assert set(np.unique(out)) == {0.0, 1.0}


@pytest.mark.parametrize(
    "output", [{"compression": "none", "level": 1}, {"compression": "deflate", "level": 12}]
)
def test_levels_that_a_compression_does_not_have_are_refused(
    dataset: Dataset, tmp_path: Path, output: Any
) -> None:
    with pytest.raises(ConfigError, match=r"preprocess\.output\.level"):
        run_preprocess(dataset.config(tmp_path / "out", output=OutputConfig(**output)))
