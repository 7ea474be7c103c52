"""Names and colours that raster files carry, written with GDAL itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from osgeo import gdal

from s2pipe.raster.formats import ANY_FORMAT, GEOTIFF
from s2pipe.raster.legend import MAX_LEGEND, Legend, read_legend

if TYPE_CHECKING:
    from pathlib import Path

gdal.UseExceptions()


@pytest.fixture
def raster(tmp_path: Path) -> Path:
    data = gdal.GetDriverByName("GTiff").Create(str(tmp_path / "c.tif"), 4, 3, 1, gdal.GDT_Byte)
    data.WriteRaster(0, 0, 4, 3, np.zeros((3, 4), np.uint8).tobytes())
    return tmp_path / "c.tif"


def _colors(path: Path, entries: dict[int, tuple[int, ...]]) -> None:
    data = gdal.Open(str(path), gdal.GA_Update)
    table = gdal.ColorTable()
    for value, entry in entries.items():
        table.SetColorEntry(value, entry)
    data.GetRasterBand(1).SetColorTable(table)


def _categories(path: Path, names: list[str]) -> None:
    data = gdal.Open(str(path), gdal.GA_Update)
    data.GetRasterBand(1).SetCategoryNames(names)


def _attributes(path: Path, columns: list[tuple[str, int, int]], rows: list[tuple]) -> None:
    table = gdal.RasterAttributeTable()
    for name, kind, usage in columns:
        table.CreateColumn(name, kind, usage)
    table.SetRowCount(len(rows))
    for row, values in enumerate(rows):
        for column, value in enumerate(values):
            setter = {str: table.SetValueAsString, int: table.SetValueAsInt, float: table.SetValueAsDouble}
            setter[type(value)](row, column, value)
    data = gdal.Open(str(path), gdal.GA_Update)
    data.GetRasterBand(1).SetDefaultRAT(table)


def test_a_raster_without_a_legend(raster: Path) -> None:
    assert read_legend(str(raster), ANY_FORMAT) == Legend()


def test_category_names_and_colour_table(raster: Path) -> None:
    _colors(raster, {1: (0, 100, 0, 255), 3: (250, 160, 255, 255), 5: (0, 0, 0, 255)})
    assert read_legend(str(raster), GEOTIFF).colors == {1: "#006400", 3: "#faa0ff"}
    _categories(raster, ["", "tree\ncover ", "", "Wälder", "", "black"])
    legend = read_legend(str(raster), ANY_FORMAT)
    assert legend.names == {1: "tree cover", 3: "Wälder", 5: "black"}
    assert {value: legend.colors[value] for value in (1, 3, 5)} == {1: "#006400", 3: "#faa0ff", 5: "#000000"}
    assert read_legend(str(raster), GEOTIFF).names == {}, "names lie beside the file, which counts alone here"


def test_an_attribute_table(raster: Path) -> None:
    kinds = gdal.GFT_Integer, gdal.GFT_String
    columns = [
        ("Count", kinds[0], gdal.GFU_PixelCount),
        ("Value", kinds[0], gdal.GFU_MinMax),
        ("Class", kinds[1], gdal.GFU_Name),
        ("R", kinds[0], gdal.GFU_Red),
        ("G", kinds[0], gdal.GFU_Green),
        ("B", kinds[0], gdal.GFU_Blue),
    ]
    _attributes(raster, columns, [(7, 10, "tree cover", 0, 100, 0), (8, 80, "water", 0, 100, 200)])
    assert read_legend(str(raster), ANY_FORMAT) == Legend(
        {10: "tree cover", 80: "water"}, {10: "#006400", 80: "#0064c8"}
    )


def test_an_attribute_table_by_the_names_of_its_columns(raster: Path) -> None:
    columns = [("VALUE", gdal.GFT_Real, gdal.GFU_Generic), ("Class_Name", gdal.GFT_String, gdal.GFU_Generic)]
    _attributes(raster, columns, [(2.0, "maize"), (2.5, "no class"), (-1.0, "none"), (4.0, "")])
    assert read_legend(str(raster), ANY_FORMAT) == Legend({2: "maize"})


def test_a_table_of_objects_is_no_legend(raster: Path) -> None:
    _categories(raster, [f"field {n}" for n in range(MAX_LEGEND + 1)])
    assert read_legend(str(raster), ANY_FORMAT) == Legend()
    columns = [("Value", gdal.GFT_Integer, gdal.GFU_MinMax), ("Name", gdal.GFT_String, gdal.GFU_Name)]
    _attributes(raster, columns, [(n, f"field {n}") for n in range(MAX_LEGEND + 1)])
    assert read_legend(str(raster), ANY_FORMAT) == Legend()


def test_a_damaged_legend_is_none(raster: Path) -> None:
    _categories(raster, ["a", "b"])
    beside = raster.with_name("c.tif.aux.xml")
    beside.write_bytes(beside.read_bytes().replace(b"<Category>b", b"<Category>\xff\xfe\xed\xa0\x80"))
    legend = read_legend(str(raster), ANY_FORMAT)
    for name in legend.names.values():
        name.encode()
    beside.write_bytes(b"<PAMDataset><broken")
    assert read_legend(str(raster), ANY_FORMAT) == Legend()
