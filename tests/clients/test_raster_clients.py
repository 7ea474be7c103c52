"""rio-cogeo, rioxarray, odc-geo, Dask and zarr read what is written; none of them is needed to write it.

The extra ``clients`` has all of them: ``make test-clients``.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tracemalloc
from typing import TYPE_CHECKING

import numpy as np
import pytest

import s2pipe
from s2pipe.cli import main
from s2pipe.errors import OutputError
from s2pipe.preprocess.cfg import AngleAssetConfig, LabelConfig, OutputConfig, ScreeningConfig
from s2pipe.preprocess.run import run_preprocess
from s2pipe.sharing.zarr_export import ZarrOptions, export_zarr
from tests.patches.patchdata import Scene, write_step2

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


READ_ALONE = """
import hashlib, json, sys, warnings
import numpy, xarray
warnings.simplefilter("error", RuntimeWarning)
data = xarray.open_zarr(sys.argv[1], decode_coords="all", chunks=None)
assert not [name for name in sys.modules if name.partition(".")[0] in ("s2pipe", "osgeo")]
print(json.dumps({
    "sizes": dict(data.sizes),
    "coords": sorted(map(str, data.coords)),
    "time": [str(time) for time in data["time"].values],
    "hashes": {
        str(name): hashlib.sha256(numpy.ascontiguousarray(data[name].values)).hexdigest() for name in data.data_vars
    },
}))
"""


def files_of(root: Path) -> dict[str, bytes]:
    return {
        path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()
    }


def test_xarray_alone_reads_a_cube_of_equal_values(out: Path, tmp_path: Path) -> None:
    zarr = pytest.importorskip("zarr", minversion="3", reason=f"zarr {MISSING}")
    options = ("--chunk-px", "128", "--shard-px", "256", "--json")
    assert main(["export", "zarr", str(out), "--to", str(tmp_path), *options]) == 0
    cube = tmp_path / "T33UWQ.zarr"
    run = [sys.executable, "-c", READ_ALONE, str(cube)]
    read = json.loads(subprocess.run(run, check=True, capture_output=True, text=True).stdout)
    series = s2pipe.open_dataset(out / "meta/step2/index.json", chunks=None).load()
    assert read["sizes"] == {str(name): size for name, size in series.sizes.items()}
    assert read["coords"] == sorted(map(str, series.coords))
    assert [time[:23] for time in read["time"]] == [str(time)[:23] for time in series["time"].values]
    again = xarray.open_zarr(cube, decode_coords="all", chunks=None)
    assert (
        set(read["hashes"])
        == {str(name) for name in series.data_vars}
        == {"image", "valid", "label", "angles", "quality"}
    )
    for name, values in series.data_vars.items():
        np.testing.assert_array_equal(again[name], values)
        assert again[name].dtype == values.dtype
        assert again[name].encoding["grid_mapping"] == "spatial_ref"
    np.testing.assert_array_equal(again["image"].sel(band="B03"), series["image"].sel(band="B03"))
    array = zarr.open_group(cube, mode="r")["image"]
    assert (array.metadata.zarr_format, array.chunks, array.shards) == (3, (1, 1, 128, 128), (1, 1, 256, 256))
    for tool in ("rioxarray", "odc.geo.xr"):
        pytest.importorskip(tool, reason=f"{tool} {MISSING}")
    assert again.rio.crs.to_epsg() == again["image"].odc.geobox.crs.epsg == 32633
    assert list(again.rio.transform().to_gdal()) == again.attrs["geotransform"]


def test_memory_of_an_export_does_not_grow_with_the_series(tmp_path: Path) -> None:
    pytest.importorskip("zarr", minversion="3", reason=f"zarr {MISSING}")
    peaks = {}
    for count in (2, 2, 12):  # the first imports and warms up
        root = tmp_path / f"{count}-{len(peaks)}"
        write_step2(root, [Scene(sensing=f"2025-07-{day + 1:02}T10:00:00Z") for day in range(count)])
        tracemalloc.start()
        export_zarr(root, root / "cubes", ZarrOptions(chunk_px=128, shard_px=256))
        peaks[count] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    one_scene = 3 * 300 * 420 * 4
    assert peaks[12] - peaks[2] < one_scene / 2


def test_cubes_are_whole_or_not_there(out: Path, tmp_path: Path) -> None:
    pytest.importorskip("zarr", minversion="3", reason=f"zarr {MISSING}")
    first = export_zarr(out, tmp_path / "a")
    assert [path.name for path in first.written] == ["T33UWQ.zarr"]
    before = files_of(tmp_path / "a")
    assert not [name for name in before if "unfinished" in name]
    (tmp_path / "a/.unfinished-new-T33UWQ.zarr").mkdir()  # of a killed run
    assert export_zarr(out, tmp_path / "a").up_to_date == first.written
    assert files_of(tmp_path / "a") == before
    assert not (tmp_path / "a/.unfinished-new-T33UWQ.zarr").exists()
    export_zarr(out, tmp_path / "b")
    assert files_of(tmp_path / "b") == before  # the same samples give the same bytes
    other = ZarrOptions(chunk_px=256)
    with pytest.raises(
        OutputError, match="holds other samples than the dataset does now, or has other chunks"
    ):
        export_zarr(out, tmp_path / "a", other)
    assert files_of(tmp_path / "a") == before
    assert export_zarr(out, tmp_path / "a", ZarrOptions(chunk_px=256, overwrite=True)).written
    assert {path.name for path in (tmp_path / "a").iterdir()} == {"T33UWQ.zarr", ".lock"}
    foreign = tmp_path / "c" / "T33UWQ.zarr"
    foreign.mkdir(parents=True)
    (foreign / "precious").write_text("data")
    with pytest.raises(OutputError, match="is in the way"):
        export_zarr(out, tmp_path / "c", ZarrOptions(overwrite=True))
    assert (foreign / "precious").read_text() == "data"


def test_a_raster_that_cannot_be_read_leaves_no_cube(
    out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("zarr", minversion="3", reason=f"zarr {MISSING}")
    path = max(out.rglob("x.tif"))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] + bytes(len(whole) - len(whole) // 2))
    try:
        assert main(["export", "zarr", str(out), "--to", str(tmp_path / "to")]) != 0
    finally:
        path.write_bytes(whole)
    assert "x.tif" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "to").iterdir()] == [".lock"]
