"""Bands and classes of rasters in STAC's terms: the common ``bands``, and the extensions eo, raster, classification."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

from s2pipe.sentinel2.channels import Channel
from s2pipe.sharing.footprint import pixel_metres

if TYPE_CHECKING:
    from collections.abc import Mapping

    from s2pipe.dataset.label_meaning import LabelMeaning
    from s2pipe.dataset.samples import Sample
    from s2pipe.sentinel2.bands import Band

COMMON_NAMES = {
    "B01": "coastal",
    "B02": "blue",
    "B03": "green",
    "B04": "red",
    "B05": "rededge",
    "B06": "rededge",
    "B07": "rededge",
    "B08": "nir",
    "B8A": "nir08",
    "B09": "nir09",
    "B10": "cirrus",
    "B11": "swir16",
    "B12": "swir22",
}
"""Names of the eo extension by band."""
_UNIT_WORDS = {"toa_reflectance": "top-of-atmosphere reflectance", "boa_reflectance": "surface reflectance"}


def spectral_band(name: str) -> Band | None:
    """Return the band of the instrument that a channel of ``x.tif`` shows; None for masks and the like."""
    try:
        return Channel.parse(name).spectral_band
    except ValueError:
        return None


def band_fields(sample: Sample, kind: str) -> dict[str, list[dict[str, Any]]]:
    """Return the bands of one of a sample's rasters, in the order of the file, in three forms.

    ``bands`` is STAC 1.1's own form, which machine-learning models (mlm) refer to by name. ``raster:bands`` and, where
    there are bands to tell apart, ``eo:bands`` are those that pystac and odc-stac read.
    """
    raster = sample.rasters[kind]
    pixel = sum(pixel_metres(raster.grid)) / 2.0
    common, optical, pixels = [], [], []
    for name in raster.band_names:
        values: dict[str, Any] = {"data_type": raster.dtype}
        if raster.nodata is not None:
            values["nodata"] = "nan" if math.isnan(raster.nodata) else raster.nodata
        words, spectrum, scaling = _x_band(sample, name) if kind == "x" else ({}, {}, {})
        if kind == "quality" and name == "cloud_probability":
            words, values["unit"] = {"description": "cloud probability of the L2A product"}, "%"
        if spectrum:
            values["unit"] = "1"
        common.append(
            {"name": name, **words, **values, **{f"eo:{key}": value for key, value in spectrum.items()}}
        )
        optical.append({"name": name, **words, **spectrum})
        pixels.append({**values, "sampling": "area", "spatial_resolution": pixel, **scaling})
    fields = {"bands": common, "raster:bands": pixels}
    return {**fields, "eo:bands": optical} if len(optical) > 1 else fields


def _x_band(sample: Sample, name: str) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Description, spectrum and scaling of a channel of ``x.tif``."""
    spectral = spectral_band(name)
    if spectral is None:
        return {"description": "1 where valid, else 0"} if name.startswith("valid") else {}, {}, {}
    what = _UNIT_WORDS.get(sample.unit, sample.unit.replace("_", " "))
    applied = sample.normalization.is_applied
    words = {"description": f"{what}, normalized" if applied else what}
    spectrum = {
        "common_name": COMMON_NAMES[spectral.name],
        "center_wavelength": round(spectral.wavelength_nm / 1000.0, 4),
    }
    mean = (sample.normalization.mean_by_band or {}).get(name)
    std = (sample.normalization.std_by_band or {}).get(name)
    if not applied or mean is None or std is None:
        return words, spectrum, {}
    return words, spectrum, {"scale": std, "offset": mean}  # value * scale + offset is the reflectance


def class_objects(
    meaning: LabelMeaning, found: tuple[int, ...] = (), counts: Mapping[str, int] | None = None
) -> list[dict[str, Any]]:
    """Return the classes of a raster, in the order of their values.

    Parameters
    ----------
    meaning : LabelMeaning
        Names and colours, and the value of pixels without a class.
    found : tuple of int
        Values that occur; they are listed with or without a name.
    counts : mapping, optional
        Pixels by value, as ``meta.json`` has them.
    """
    ignored = () if meaning.ignore_index is None else (meaning.ignore_index,)
    values = sorted({*meaning.names, *meaning.colors, *found, *ignored})
    taken: set[str] = set()
    classes = []
    total = sum((counts or {}).values())
    for value in values:
        title = meaning.names.get(value) or ("no label" if value in ignored else f"class {value}")
        name = _slug(title)
        if not name or name in taken:
            name = f"{name}-{value}".lstrip("-")
        taken.add(name)
        item: dict[str, Any] = {"value": value, "name": name, "title": title}
        if value in meaning.colors:
            item["color_hint"] = meaning.colors[value].lstrip("#").upper()
        if value in ignored:
            item["nodata"] = True
        if counts is not None and total:
            count = int(counts.get(str(value), 0))
            item |= {"count": count, "percentage": round(100.0 * count / total, 6)}
        classes.append(item)
    return classes


def _slug(text: str) -> str:
    return re.sub(r"[^0-9a-z]+", "-", text.lower()).strip("-")
