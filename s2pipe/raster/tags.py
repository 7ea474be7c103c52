"""What a GeoTIFF says of itself and its bands: dates, units, wavelengths, colours, statistics."""

from __future__ import annotations

import math
import mmap
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from s2pipe.raster._gdal import gdal_module

if TYPE_CHECKING:
    from pathlib import Path

Domains = Mapping[str, Mapping[str, str]]
"""Items of metadata by GDAL's domain; the name of the default one is empty."""


@dataclass(frozen=True)
class BandStatistics:
    """Statistics of the pixels of a band that the file's mask or nodata value leaves."""

    count: int
    """How many pixels there are."""
    pixels: int
    """How many the band has."""
    minimum: float
    """Least value."""
    maximum: float
    """Greatest value."""
    mean: float
    """Mean."""
    std: float
    """Standard deviation of the population, as GDAL computes it."""

    @classmethod
    def of_counts(cls, counts: Mapping[int, int], nodata: int | None) -> BandStatistics:
        """Return the statistics of a band of integers from its counts by value."""
        known = {value: count for value, count in counts.items() if count and value != nodata}
        pixels, count = sum(counts.values()), sum(known.values())
        if not count:
            return cls(0, pixels, math.nan, math.nan, math.nan, math.nan)
        mean = sum(value * number for value, number in known.items()) / count
        variance = sum((value - mean) ** 2 * number for value, number in known.items()) / count
        return cls(count, pixels, min(known), max(known), mean, math.sqrt(variance))


@dataclass(frozen=True)
class BandTags:
    """What a file says of one of its bands."""

    unit: str = ""
    """Unit of its values."""
    color: str = "Undefined"
    """GDAL's name of its colour interpretation; one that this GDAL does not know is left out."""
    metadata: Domains = field(default_factory=dict)
    """Its metadata."""


@dataclass(frozen=True)
class RasterTags:
    """What a file says of itself."""

    metadata: Domains = field(default_factory=dict)
    """Metadata of the file."""
    bands: tuple[BandTags, ...] = ()
    """What is said of its bands, in order; nothing where it is empty."""

    def to_be_copied(self) -> RasterTags:
        """Return the tags as a file needs them that GDAL copies as COG.

        The copy has metadata of the file from the default domain alone: with COPY_SRC_MDD=YES it has the others, but
        loses what the bands say (GDAL 3.13); GDAL 3.6 drops other domains of bands, too. So items of other domains
        travel under names of the default one, which :func:`name_domains` puts right.
        """
        bands = tuple(replace(band, metadata=_in_one_domain(band.metadata)) for band in self.bands)
        return replace(self, metadata=_in_one_domain(self.metadata), bands=bands)

    def in_domains(self) -> list[tuple[str, str]]:
        """Domain and name of the items of the file and its bands in other domains than the default one, each once."""
        metadata = (self.metadata, *(band.metadata for band in self.bands))
        found = (
            (domain, name) for domains in metadata for domain, items in domains.items() for name in items
        )
        return [item for item in dict.fromkeys(found) if item[0]]


def _in_one_domain(domains: Domains) -> Domains:
    return {
        "": {
            _travelling(domain, name) if domain else name: value
            for domain, items in domains.items()
            for name, value in items.items()
        }
    }


def _named(domain: str, name: str) -> str:
    return f'{name}" domain="{domain}'


def _travelling(domain: str, name: str) -> str:
    """A name as long as the XML attributes that take its place."""
    return f"{name}__domain__{domain}".ljust(len(_named(domain, name)), "_")


def name_domains(path: Path, tags: RasterTags) -> None:
    """Give metadata of a copied COG their domains back, in the XML of its tag, without moving a byte."""
    with path.open("r+b") as stream, mmap.mmap(stream.fileno(), 0) as data:
        for domain, name in tags.in_domains():
            old, new = (
                b'<Item name="' + text.encode() for text in (_travelling(domain, name), _named(domain, name))
            )
            place = data.find(old)
            while place >= 0:  # once in the file, or for each of its bands
                data[place : place + len(old)] = new
                place = data.find(old, place + len(old))


NO_TAGS = RasterTags()
"""A file that says nothing of itself."""


def _color_number(name: str) -> int:
    """Return GDAL's number of a colour; that of "Undefined" where this GDAL does not know it.

    The bindings of GDAL 3.6 lack ``GetColorInterpretationByName``, and its colours end before the infrared ones.
    """
    name_of = gdal_module().GetColorInterpretationName
    return next((number for number in range(64) if name_of(number) == name), 0)


def write_tags(dataset: Any, tags: RasterTags) -> None:
    """Write tags into a dataset whose pixels are not written yet."""
    _write_metadata(dataset, tags.metadata)
    for number, about in enumerate(tags.bands, 1):
        band = dataset.GetRasterBand(number)
        band.SetColorInterpretation(_color_number(about.color))
        if about.unit:
            band.SetUnitType(about.unit)
        _write_metadata(band, about.metadata)


def _write_metadata(holder: Any, domains: Domains) -> None:
    for domain, items in domains.items():
        for name, value in items.items():
            holder.SetMetadataItem(name, value, domain)


def write_statistics(band: Any, found: BandStatistics) -> None:
    """Write statistics where GDAL looks for them; nothing where no pixel is known."""
    share = 100.0 * found.count / found.pixels if found.pixels else 0.0
    band.SetMetadataItem("STATISTICS_VALID_PERCENT", f"{share:.4g}")
    if found.count and all(map(math.isfinite, (found.minimum, found.maximum, found.mean, found.std))):
        band.SetStatistics(found.minimum, found.maximum, found.mean, found.std)
