"""The legend that a raster file carries: category names, colour table, attribute table."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from s2pipe.raster._gdal import gdal_module, open_dataset, quiet_errors, standing_alone

if TYPE_CHECKING:
    from s2pipe.raster.formats import Formats

MAX_LEGEND = 1024
"""Most classes of a legend; tables with more describe objects, not classes, and are passed over."""
_MAX_NAME = 200
_NAME_COLUMNS = (
    "class_name",
    "classname",
    "class_names",
    "name",
    "class",
    "label",
    "category",
    "description",
)
_VALUE_COLUMNS = ("value", "code", "id")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]+")


@dataclass(frozen=True)
class Legend:
    """Names and colours of the values of a raster."""

    names: Mapping[int, str] = field(default_factory=dict)
    """Names of the values that have one."""
    colors: Mapping[int, str] = field(default_factory=dict)
    """Colours of values, ``#rrggbb``."""


def read_legend(path: str, formats: Formats) -> Legend:
    """Read the legend of a raster's first band.

    Parameters
    ----------
    path : str
        Path as GDAL opens it.
    formats : Formats
        What the file may be, and whether ``.aux.xml`` beside it counts.

    Returns
    -------
    Legend
        Names of the categories, else of the attribute table; colours of the colour table, else of the attribute
        table. Empty without any of them.

    Raises
    ------
    RasterError
        GDAL cannot open the file.
    """
    dataset = open_dataset(path, path, formats)
    band = dataset.GetRasterBand(1)
    with quiet_errors(), standing_alone(formats.alone):
        try:
            # GDAL's GeoTIFF driver reads .aux.xml when it is asked for this, but not for category names.
            dataset.GetGeoTransform(can_return_null=True)
            categories = band.GetCategoryNames() or ()
            table, palette = band.GetDefaultRAT(), band.GetColorTable()
        except RuntimeError:  # a damaged .aux.xml: the pixels do not depend on it
            return Legend()
    if len(categories) > MAX_LEGEND:
        categories = ()
    names = {value: name for value, text in enumerate(categories) if (name := _clean(text))}
    attributes = Legend() if table is None else _attributes(table)
    names = names or dict(attributes.names)
    return Legend(names, _palette_colors(palette, names) or dict(attributes.colors))


def _clean(text: Any) -> str:
    """A name as JSON may hold it: one line, not overlong."""
    decoded = text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)
    return _UNPRINTABLE.sub(" ", decoded).strip()[:_MAX_NAME]


def _palette_colors(palette: Any, names: Mapping[int, str]) -> dict[int, str]:
    """Colours of a colour table, which has an entry for every value: black ones without a name are unused."""
    if palette is None:
        return {}
    entries = ((value, palette.GetColorEntry(value)) for value in range(palette.GetCount()))
    colors = {
        value: _hex(entry) for value, entry in entries if value in names or (any(entry[:3]) and entry[3])
    }
    return colors if len(colors) <= MAX_LEGEND else {}


def _hex(entry: tuple[int, ...]) -> str:
    return "#" + "".join(f"{min(255, max(0, part)):02x}" for part in entry[:3])


def _attributes(table: Any) -> Legend:
    """Names and colours of an attribute table, by what its columns are for, else by what they are called."""
    gdal = gdal_module()
    if not 0 < table.GetRowCount() <= MAX_LEGEND:
        return Legend()
    value = _column(table, (gdal.GFU_MinMax, gdal.GFU_Min), _VALUE_COLUMNS)
    name = _column(table, (gdal.GFU_Name,), _NAME_COLUMNS)
    parts = [_column(table, (usage,), ()) for usage in (gdal.GFU_Red, gdal.GFU_Green, gdal.GFU_Blue)]
    names, colors = {}, {}
    for row in range(table.GetRowCount()):
        found = row if value is None else table.GetValueAsDouble(row, value)
        if not (float(found).is_integer() and found >= 0):
            continue
        if name is not None and (text := _clean(table.GetValueAsString(row, name))):
            names[int(found)] = text
        if None not in parts:
            colors[int(found)] = _hex(tuple(table.GetValueAsInt(row, part) for part in parts))
    return Legend(names, colors)


def _column(table: Any, usages: tuple[int, ...], titles: tuple[str, ...]) -> int | None:
    """First column for one of these uses, else with one of these titles."""
    columns = range(table.GetColumnCount())
    uses = [table.GetUsageOfCol(column) for column in columns]
    names = [_clean(table.GetNameOfCol(column)).lower() for column in columns]
    for wanted, given in ((usages, uses), (titles, names)):
        for item in wanted:
            if item in given:
                return given.index(item)  # type: ignore[arg-type]  # numbers among numbers, texts among texts
    return None
