"""Small products and datasets that tests share; made once per run, and never changed by a test."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from s2pipe.indexing.run import index_products
from s2pipe.preprocess.cfg import PreprocessConfig
from s2pipe.synthetic import ProductSpec, make_products
from tests.paths import SHARED_DATA

if TYPE_CHECKING:
    from collections.abc import Callable

SMALL_SIDE_M = 7_320  # 732, 366 and 122 pixels: ragged against every tile size


ZONES_SIDE_M = 3660
ZONES_MIDDLE = {33: (294_000, 5_766_000), 32: (706_000, 5_766_000)}
"""About 12 degrees east, 52 degrees north, on the border of the zones."""
ZONES_TILES = {32: "T32UQC", 33: "T33UTT"}


@dataclass(frozen=True)
class Dataset:
    """A Step-1 dataset of two scenes of one tile."""

    root: Path
    products: Path

    @property
    def index_json(self) -> Path:
        return self.root / "meta" / "step1" / "index.json"

    def config(self, out_dir: Path, **changes: Any) -> PreprocessConfig:
        """A configuration over this dataset: six bands on the 20 m grid."""
        base = PreprocessConfig(
            index_json=self.index_json,
            out_dir=out_dir,
            target_grid_ref="scl_20m",
            l1c_bands=("B02", "B03", "B04", "B08", "B11", "B12"),
        )
        return replace(base, **changes)


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Two scenes, with nodata wedge and clouds; the second was taken five days later."""
    base = tmp_path_factory.mktemp("dataset")
    products = base / "products"
    for day in (10, 15):
        start = datetime(2025, 12, day, 10, 3, 19, tzinfo=UTC)
        spec = ProductSpec(side_m=SMALL_SIDE_M, sensing_start=start, nodata_wedge=0.2, quality_masks=False)
        make_products(products, spec)
    root = base / "out"
    index_products([products], root)
    return Dataset(root, products)


@pytest.fixture(scope="session")
def two_zones(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """One datatake in two tiles of neighbouring zones, which share most of their ground; nodata in the east."""
    base = tmp_path_factory.mktemp("zones")
    for zone, (x, y) in ZONES_MIDDLE.items():
        spec = ProductSpec(
            tile_id=ZONES_TILES[zone],
            epsg=32600 + zone,
            ulx=x - ZONES_SIDE_M // 2,
            uly=y + ZONES_SIDE_M // 2,
            side_m=ZONES_SIDE_M,
            sensing_start=datetime(2025, 7, 10, 10, 3, 19, tzinfo=UTC),
            nodata_wedge=0.2,
            quality_masks=False,
            bands=("B02", "B11", "B01"),
            l2a_resolutions=(20,),
            strip_width_m=900.0,
        )
        make_products(base / "products", spec)
    index_products([base / "products"], base / "out")
    return Dataset(base / "out", base / "products")


@pytest.fixture
def shared_data() -> Path:
    """The folder with real products, or a skip that says so."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"real products are not at hand ({SHARED_DATA.name} is missing beside the checkout)")
    return SHARED_DATA


@pytest.fixture
def read_band() -> Callable[..., Any]:
    """Read a whole band of a raster with GDAL itself, as a float32 or integer array."""
    return read_whole_band


def read_whole_band(path: Path | str, number: int = 1, dtype: str = "float32") -> Any:
    """Read a whole band independently of s2pipe's reader."""
    import numpy as np
    from osgeo import gdal

    gdal.UseExceptions()
    data = gdal.Open(str(path))
    band = data.GetRasterBand(number)
    out = np.empty((data.RasterYSize, data.RasterXSize), dtype)
    kinds = {"float32": gdal.GDT_Float32, "uint8": gdal.GDT_Byte, "uint16": gdal.GDT_UInt16}
    assert (
        band.ReadRaster(0, 0, data.RasterXSize, data.RasterYSize, buf_obj=out, buf_type=kinds[dtype])
        is not None
    )
    return out
