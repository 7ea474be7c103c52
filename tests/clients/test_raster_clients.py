"""rio-cogeo, rioxarray, odc-geo, Dask and zarr read what is written; none of them is needed to write it.

The extra ``clients`` has all of them: ``make test-clients``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

import s2pipe
from s2pipe.preprocess.cfg import AngleAssetConfig, LabelConfig, OutputConfig, ScreeningConfig
from s2pipe.preprocess.run import run_preprocess

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Dataset

MISSING = "is not installed; `make test-clients` installs it into an environment of its own"
xarray = pytest.importorskip("xarray", reason=f"xarray {MISSING}")


@pytest.fixture(scope="module")
def out(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two scenes of one tile as COG, with all that a sample may have."""
    out = tmp_path_factory.mktemp("rasters")
    config = dataset.config(
        out,
        l1c_bands=("B02", "B03", "B04", "B08"),
        target_grid_ref="B02",
        labels=LabelConfig(enabled=True),
        quality=ScreeningConfig(enabled=True),
        angles=AngleAssetConfig(enabled=True),
        output=OutputConfig(cog=True),
    )
    run_preprocess(config)
    return out


@pytest.fixture
def scene(out: Path) -> xarray.Dataset:
    return s2pipe.open_scene(min(out.rglob("meta.json")))


def test_every_raster_is_a_strictly_valid_cog(out: Path) -> None:
    cogeo = pytest.importorskip("rio_cogeo", reason=f"rio-cogeo {MISSING}")
    rasters = sorted(min(out.rglob("meta.json")).parent.glob("*.tif"))
    assert [path.name for path in rasters] == ["angles.tif", "q.tif", "x.tif", "y.tif"]
    for path in rasters:
        is_valid, errors, warnings = cogeo.cog_validate(str(path), strict=True)
        assert (is_valid, errors, warnings) == (True, [], [])


def test_rasterio_masks_what_is_invalid(out: Path) -> None:
    rasterio = pytest.importorskip("rasterio", reason=f"rasterio {MISSING}")
    with rasterio.open(min(out.rglob("x.tif"))) as data:
        assert data.descriptions == ("B02", "B03", "B04", "B08", "valid")
        assert [color.name for color in data.colorinterp[:4]] == ["blue", "green", "red", "nir"]
        assert (data.dataset_mask() > 0).tolist() == (data.read(5) > 0).tolist()
        assert data.units == ("1",) * 5
    with rasterio.open(min(out.rglob("y.tif"))) as data:
        assert data.colormap(1)[4] == (0, 160, 0, 255)


def test_rioxarray_knows_where_scenes_lie(scene: xarray.Dataset) -> None:
    pytest.importorskip("rioxarray", reason=f"rioxarray {MISSING}")
    assert scene.rio.crs.to_epsg() == 32633
    assert list(scene.rio.transform().to_gdal()) == scene.attrs["geotransform"]
    image = scene["image"]
    clipped = image.rio.clip_box(*(float(edge) for edge in (image.x[3], image.y[9], image.x[8], image.y[2])))
    np.testing.assert_array_equal(clipped, image[:, 2:10, 3:9])
    assert image.rio.reproject("EPSG:4326").rio.crs.to_epsg() == 4326


def test_odc_geo_knows_where_scenes_lie(scene: xarray.Dataset) -> None:
    pytest.importorskip("odc.geo.xr", reason=f"odc-geo {MISSING}")
    box = scene["image"].odc.geobox
    assert box.crs.epsg == 32633
    assert list(box.transform.to_gdal()) == scene.attrs["geotransform"]
    assert box.shape == scene["label"].shape


def test_dask_reads_in_chunks(out: Path, scene: xarray.Dataset) -> None:
    pytest.importorskip("dask.array", reason=f"Dask {MISSING}")
    assert scene["image"].chunks is not None
    eager = s2pipe.open_scene(min(out.rglob("meta.json")), chunks=None)
    assert eager["image"].chunks is None
    xarray.testing.assert_identical(scene.compute(), eager.load())
    index = out / "meta/step2/index.json"
    series = s2pipe.open_dataset(index, chunks={"time": 1, "y": 50, "x": 70})
    assert dict(series.sizes)["time"] == 2
    whole = s2pipe.open_dataset(index, chunks=None)
    np.testing.assert_array_equal(series["image"].max("time"), whole["image"].max("time"))
