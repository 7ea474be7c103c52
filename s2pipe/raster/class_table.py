"""Names and colours of the classes of a raster, in the sidecar ``.aux.xml`` that GDAL and QGIS read.

GeoTIFF has no place for category names and attribute tables. The text is made here rather than by GDAL, so that it does
not depend on GDAL's version.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from pathlib import Path

SIDECAR_SUFFIX = ".aux.xml"
"""What the name of a sidecar has after that of its raster."""
_MOST_CATEGORIES = 1024
"""Greatest value that names and colours by place are written for; the attribute table has them all."""
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]+")
_FIELDS = (
    ("Value", 0, 5),
    ("Class", 2, 2),
    ("Count", 1, 1),
    ("Red", 0, 6),
    ("Green", 0, 7),
    ("Blue", 0, 8),
    ("Alpha", 0, 9),
)
"""Columns of the attribute table with GDAL's numbers of their type and of what they are for."""


@dataclass(frozen=True)
class ClassTable:
    """The classes of one band."""

    names: Mapping[int, str]
    """Names of values."""
    colors: Mapping[int, str]
    """Colours of values, ``#rrggbb``."""
    counts: Mapping[int, int]
    """Pixels by value."""
    nodata: int | None = None
    """Value of pixels without a class: it is named so, and drawn transparent."""
    with_palette: bool = True
    """Say the colours as a palette too, which bands of integers may have; it takes the place of that of the file."""

    @property
    def values(self) -> list[int]:
        """All values that there is something to say of, in order."""
        found = {value for value, count in self.counts.items() if count}
        ignored = set() if self.nodata is None else {self.nodata}
        return sorted({*self.names, *self.colors, *found, *ignored})

    def name(self, value: int) -> str:
        """Name of a value; that of one without a class says so."""
        known = _UNPRINTABLE.sub(" ", self.names.get(value, "")).strip()
        return known or ("no label" if value == self.nodata else "")

    def color(self, value: int) -> tuple[int, int, int, int]:
        """Red, green, blue and alpha of a value; grey for one that has no colour."""
        if value in self.colors:
            red, green, blue = bytes.fromhex(self.colors[value][1:])
            return red, green, blue, 255
        return (0, 0, 0, 0) if value == self.nodata else (128, 128, 128, 255)


def write_sidecar(raster: Path, bands: Mapping[int, ClassTable]) -> None:
    """Write the sidecar of a finished raster.

    Parameters
    ----------
    raster : Path
        The raster.
    bands : mapping
        Classes of bands by their number, counted from 1; nothing is written without any.
    """
    if bands:
        parts = [part for number, table in sorted(bands.items()) for part in _band(number, table)]
        lines = ["<PAMDataset>", *parts, "</PAMDataset>", ""]
        path = raster.with_name(raster.name + SIDECAR_SUFFIX)
        path.write_text("\n".join(lines), encoding="utf-8", newline="\n")


def _band(number: int, table: ClassTable) -> list[str]:
    named = [value for value in table.values if 0 <= value <= _MOST_CATEGORIES]
    drawn = [value for value in named if value in table.colors]
    lines = [f'  <PAMRasterBand band="{number}">']
    if drawn and table.with_palette:
        lines += ["    <ColorInterp>Palette</ColorInterp>", "    <ColorTable>"]
        for value in range(drawn[-1] + 1):
            red, green, blue, alpha = table.color(value) if value in drawn else (0, 0, 0, 0)
            lines.append(f'      <Entry c1="{red}" c2="{green}" c3="{blue}" c4="{alpha}" />')
        lines.append("    </ColorTable>")
    if named:
        categories = (escape(table.name(value)) for value in range(named[-1] + 1))
        lines.append("    <CategoryNames>")
        lines += [f"      <Category>{name}</Category>" for name in categories]
        lines.append("    </CategoryNames>")
    return [*lines, *_attributes(table), "  </PAMRasterBand>"]


def _attributes(table: ClassTable) -> list[str]:
    lines = ['    <GDALRasterAttributeTable tableType="thematic">']
    for place, (name, kind, usage) in enumerate(_FIELDS):
        lines.append(
            f'      <FieldDefn index="{place}"><Name>{name}</Name><Type>{kind}</Type><Usage>{usage}</Usage></FieldDefn>'
        )
    for row, value in enumerate(table.values):
        cells = (value, escape(table.name(value)), table.counts.get(value, 0), *table.color(value))
        lines.append(f'      <Row index="{row}">{"".join(f"<F>{cell}</F>" for cell in cells)}</Row>')
    return [*lines, "    </GDALRasterAttributeTable>"]
