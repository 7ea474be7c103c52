"""Attributes by the CF conventions: where pixels lie, what bands measure, what classes mean."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from s2pipe.dataset.label_meaning import LabelMeaning
    from s2pipe.raster.grid import Grid

CONVENTIONS = "CF-1.11"
GRID_MAPPING = "spatial_ref"
"""Name of the variable that says where pixels lie, which rioxarray and odc-geo look for."""
TIME_ATTRIBUTES = {"standard_name": "time", "long_name": "start of sensing, UTC", "axis": "T"}
TIME_ENCODING = {
    "units": "milliseconds since 1970-01-01",
    "calendar": "proleptic_gregorian",
    "dtype": "int64",
}
WAVELENGTH_ATTRIBUTES = {
    "standard_name": "radiation_wavelength",
    "long_name": "central wavelength of Sentinel-2A",
    "units": "nm",
}
BANDWIDTH_ATTRIBUTES = {"long_name": "full width at half maximum of Sentinel-2A", "units": "nm"}
MASK_ATTRIBUTES: dict[str, Any] = {
    "long_name": "validity",
    "flag_values": np.array([0, 1], np.int8),
    "flag_meanings": "invalid valid",
}
_LONG_NAMES = {
    "toa_reflectance": "top-of-atmosphere reflectance",
    "boa_reflectance": "surface reflectance",
    "dn": "digital numbers",
}


def pixel_centres(grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """Return y and x of the centres of rows and columns."""
    left, dx, _, top, _, dy = grid.geotransform
    return top + dy * (np.arange(grid.height) + 0.5), left + dx * (np.arange(grid.width) + 0.5)


def axis_attributes(grid: Grid) -> tuple[dict[str, str], dict[str, str]]:
    """Return the attributes of the coordinates y and x, in the unit of the grid's CRS."""
    from pyproj import CRS

    crs = CRS.from_wkt(grid.crs_wkt)
    if crs.is_geographic:
        names, units = ("latitude", "longitude"), ("degrees_north", "degrees_east")
    else:
        unit = crs.axis_info[0].unit_name if crs.axis_info else "metre"
        names = ("projection_y_coordinate", "projection_x_coordinate")
        units = ("m" if unit == "metre" else unit,) * 2
    y, x = (
        {"standard_name": name, "long_name": f"{axis.lower()} of pixel centres", "units": unit, "axis": axis}
        for axis, name, unit in zip("YX", names, units, strict=True)
    )
    return y, x


def grid_mapping_attributes(grid: Grid) -> dict[str, Any]:
    """Return the attributes of a grid mapping: the CRS as WKT and in CF's terms, and the geotransform."""
    from pyproj import CRS

    transform = " ".join(repr(float(number)) for number in grid.geotransform)
    return {
        **CRS.from_wkt(grid.crs_wkt).to_cf(),
        "crs_wkt": grid.crs_wkt,
        "spatial_ref": grid.crs_wkt,
        "GeoTransform": transform,
    }


def image_attributes(unit: str, *, is_normalized: bool) -> dict[str, Any]:
    """Return the attributes of bands."""
    name = _LONG_NAMES.get(unit, unit.replace("_", " "))
    about: dict[str, Any] = {"long_name": f"{name}, normalized" if is_normalized else name, "units": "1"}
    return {**about, "ancillary_variables": "valid"}


def class_attributes(meaning: LabelMeaning, dtype: str) -> dict[str, Any]:
    """Say what classes mean, in values that netCDF can hold: a value without a name or colour has an empty one."""
    values = sorted({*meaning.names, *meaning.colors})
    attributes: dict[str, Any] = {"source": meaning.source}
    if meaning.ignore_index is not None:
        attributes["ignore_index"] = meaning.ignore_index
    if values:
        attributes["class_values"] = values
        attributes["class_names"] = [meaning.names.get(value, "") for value in values]
        attributes["class_colors"] = [meaning.colors.get(value, "") for value in values]
        attributes |= _flags(meaning, values, dtype)
    for name, found in meaning.conditions.items():
        attributes[f"{name}_labels"] = list(found)
    return attributes


def _flags(meaning: LabelMeaning, values: list[int], dtype: str) -> dict[str, Any]:
    """Return classes as CF's flags, whose meanings are words without blanks; ``ignore_index`` is one of them."""
    ignored = set() if meaning.ignore_index is None else {meaning.ignore_index}
    flags = [value for value in sorted({*values, *ignored}) if value <= np.iinfo(dtype).max]
    words: list[str] = []
    for value in flags:
        name = meaning.names.get(value) or ("no_label" if value in ignored else f"class_{value}")
        word = re.sub(r"[^0-9A-Za-z_.+@-]+", "_", name).strip("_") or f"class_{value}"
        words.append(f"{word}_{value}" if word in words else word)
    return {"flag_values": np.array(flags, dtype), "flag_meanings": " ".join(words)}
