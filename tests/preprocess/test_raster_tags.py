"""Rasters that explain themselves: GDAL finds dates, units, wavelengths, masks, statistics, names and colours."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from osgeo import gdal

from s2pipe.preprocess.cfg import AngleAssetConfig, LabelConfig, OutputConfig, ScreeningConfig
from s2pipe.preprocess.run import run_preprocess
from s2pipe.raster.formats import GEOTIFF
from s2pipe.raster.legend import read_legend
from s2pipe.sentinel2.bands import BY_NAME, SCL_CLASSES, SCL_COLORS
from tests.conftest import Dataset, read_whole_band

if TYPE_CHECKING:
    from pathlib import Path

gdal.UseExceptions()
SETTINGS: dict[str, Any] = {
    "max_scenes": 1,
    "l1c_bands": ("B04", "B8A", "B11"),
    "target_grid_ref": "B11",
    "labels": LabelConfig(enabled=True, source="ESA WorldCover 10 m 2021 v200"),
    "quality": ScreeningConfig(enabled=True),
    "angles": AngleAssetConfig(enabled=True, grid="native"),
}


@pytest.fixture(scope="module", params=[False, True], ids=["GeoTIFF", "COG"])
def sample(
    request: pytest.FixtureRequest, dataset: Dataset, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    out = tmp_path_factory.mktemp("tags")
    run_preprocess(dataset.config(out, output=OutputConfig(cog=request.param, tile_px=128), **SETTINGS))
    return min(out.rglob("meta.json")).parent


def computed(path: Path, band: int) -> list[float]:
    """Statistics that GDAL computes from the pixels, with what the file says of them out of the way."""
    copy = gdal.GetDriverByName("MEM").CreateCopy("", gdal.Open(str(path)))
    values = copy.GetRasterBand(band)
    for item in ("MINIMUM", "MAXIMUM", "MEAN", "STDDEV", "VALID_PERCENT"):
        values.SetMetadataItem(f"STATISTICS_{item}", None)
    return list(values.ComputeStatistics(False))


def test_bands_say_what_they_are(sample: Path) -> None:
    meta = json.loads((sample / "meta.json").read_text())
    data = gdal.Open(str(sample / "x.tif"))
    start = meta["key"]["sensing_start_utc"]
    assert data.GetMetadataItem("TIFFTAG_DATETIME") == start[:19].replace("-", ":").replace("T", " ")
    assert data.GetMetadataItem("ACQUISITIONDATETIME", "IMAGERY") == start[:19].replace("T", " ")
    assert data.GetMetadataItem("TIFFTAG_COPYRIGHT") == meta["attribution"]
    product = meta["source_products"]["l1c"]["product_name"]
    assert data.GetMetadataItem("SATELLITEID", "IMAGERY") == f"Sentinel-{product[1:3]}"
    for number, name in enumerate(("B04", "B8A", "B11"), 1):
        band, known = data.GetRasterBand(number), BY_NAME[name]
        assert (band.GetDescription(), band.GetUnitType()) == (name, "1")
        wavelength, width = (
            float(band.GetMetadataItem(item, "IMAGERY")) for item in ("CENTRAL_WAVELENGTH_UM", "FWHM_UM")
        )
        assert wavelength * 1000 == pytest.approx(known.wavelength_nm)
        assert width * 1000 == pytest.approx(known.bandwidth_nm)
        assert band.GetMetadataItem("quantity") == "top-of-atmosphere reflectance"
    assert data.GetRasterBand(1).GetColorInterpretation() == gdal.GCI_RedBand
    angles = gdal.Open(str(sample / meta["assets"]["angles"]["path"].rsplit("/", 1)[-1]))
    assert angles.GetMetadataItem("TIFFTAG_DATETIME") == data.GetMetadataItem("TIFFTAG_DATETIME")


def test_labels_name_whom_their_source_asks_to_name(sample: Path) -> None:
    quoted = {
        name: gdal.Open(str(sample / name)).GetMetadataItem("TIFFTAG_COPYRIGHT")
        for name in ("x.tif", "y.tif")
    }
    more = (
        "; (c) ESA WorldCover project 2021 / Contains modified Copernicus Sentinel data (2021) processed by"
    )
    assert quoted["y.tif"].startswith(quoted["x.tif"] + more)


def test_the_mask_is_the_valid_channel_and_statistics_obey_it(sample: Path) -> None:
    path = sample / "x.tif"
    data = gdal.Open(str(path))
    valid = read_whole_band(path, 4) > 0
    mask = np.empty(valid.shape, np.uint8)
    band = data.GetRasterBand(1)
    assert band.GetMaskFlags() == gdal.GMF_PER_DATASET
    band.GetMaskBand().ReadRaster(0, 0, data.RasterXSize, data.RasterYSize, buf_obj=mask)
    np.testing.assert_array_equal(mask > 0, valid)
    assert 0 < valid.mean() < 1
    for number in range(1, 5):
        stated = data.GetRasterBand(number).GetStatistics(False, False)
        kept = read_whole_band(path, number)[valid].astype("float64")
        expected = [kept.min(), kept.max(), kept.mean(), kept.std()]
        np.testing.assert_allclose(stated, expected, rtol=1e-9, atol=1e-12)
        if int(gdal.VersionInfo()) >= 3_07_00_00:  # older ones compute statistics of masked pixels, too
            np.testing.assert_allclose(stated, computed(path, number), rtol=1e-9, atol=1e-12)
        share = float(data.GetRasterBand(number).GetMetadataItem("STATISTICS_VALID_PERCENT"))
        assert share == pytest.approx(100 * valid.mean(), rel=1e-3)
    assert not list(sample.glob("x.tif.*"))


@pytest.mark.parametrize("name", ["y.tif", "q.tif"])
def test_classes_have_names_colours_and_a_table(sample: Path, name: str) -> None:
    path = sample / name
    data = gdal.Open(str(path))
    data.GetGeoTransform()
    band = data.GetRasterBand(1)
    values = read_whole_band(path, 1, "uint8")
    assert band.GetColorInterpretation() == gdal.GCI_PaletteIndex
    palette, names, table = band.GetColorTable(), band.GetCategoryNames(), band.GetDefaultRAT()
    columns = {table.GetUsageOfCol(place): place for place in range(table.GetColumnCount())}
    rows = {table.GetValueAsInt(row, columns[gdal.GFU_MinMax]): row for row in range(table.GetRowCount())}
    assert set(SCL_CLASSES) <= set(rows)
    for value, title in SCL_CLASSES.items():
        red, green, blue = bytes.fromhex(SCL_COLORS[value][1:])
        assert palette.GetColorEntry(value) == (red, green, blue, 255)
        assert names[value] == title
        assert table.GetValueAsString(rows[value], columns[gdal.GFU_Name]) == title
        assert table.GetValueAsInt(rows[value], columns[gdal.GFU_PixelCount]) == (values == value).sum()
        assert table.GetValueAsInt(rows[value], columns[gdal.GFU_Green]) == green
    stated = band.GetStatistics(False, False)
    np.testing.assert_allclose(stated, computed(path, 1), rtol=1e-9, atol=1e-12)
    assert read_legend(str(path), replace(GEOTIFF, alone=False)).names[4] == "vegetation"
    if name == "q.tif":
        assert data.GetRasterBand(2).GetColorInterpretation() == gdal.GCI_Undefined


def test_sidecars_are_recorded_and_looking_at_a_raster_spoils_nothing(sample: Path, dataset: Dataset) -> None:
    meta = json.loads((sample / "meta.json").read_text())
    recorded = {record["path"].rsplit("/", 1)[-1]: record["sha256"] for record in meta["files"]}
    for name in ("y.tif.aux.xml", "q.tif.aux.xml"):
        assert recorded[name] == hashlib.sha256((sample / name).read_bytes()).hexdigest()
    assert {path.name for path in sample.iterdir()} >= set(recorded) - {"B04.vrt", "B8A.vrt", "B11.vrt"}
    sidecar = sample / "y.tif.aux.xml"
    before = sidecar.read_bytes()
    gdal.Info(str(sample / "y.tif"), stats=True)
    assert sidecar.read_bytes() == before
    out = sample.parents[2]
    config = dataset.config(out, output=OutputConfig(**meta["config"]["output"]), **SETTINGS)
    sidecar.write_bytes(before + b"\n")  # as viewers do that keep a histogram there
    assert len(run_preprocess(config).up_to_date) == 1
    sidecar.unlink()
    assert len(run_preprocess(config).done) == 1
    assert sidecar.read_bytes() == before


def test_every_raster_is_a_cog_if_one_is(sample: Path) -> None:
    is_cog = json.loads((sample / "meta.json").read_text())["config"]["output"]["cog"]
    for path in sample.glob("*.tif"):
        data = gdal.Open(str(path))
        if is_cog:
            assert data.GetMetadataItem("LAYOUT", "IMAGE_STRUCTURE") == "COG"
        has_overviews = data.GetRasterBand(1).GetOverviewCount() > 0
        assert has_overviews == (is_cog and data.RasterXSize > 128)
