"""What the rasters of a sample say of themselves, wherever they are opened: date, attribution, bands, units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from s2pipe.raster.tags import BandTags, RasterTags

if TYPE_CHECKING:
    from s2pipe.dataset.scene_key import SceneKey
    from s2pipe.dataset.step1_index import Scene
    from s2pipe.preprocess.cfg import PreprocessConfig
    from s2pipe.raster.writer import TiffSpec
    from s2pipe.sentinel2.channels import Channel

IMAGERY = "IMAGERY"
"""GDAL's domain for what sensors see."""
_COPYRIGHT = "TIFFTAG_COPYRIGHT"
_UNIT_WORDS = {
    "toa_reflectance": "top-of-atmosphere reflectance",
    "boa_reflectance": "surface reflectance",
    "reflectance": "top-of-atmosphere and surface reflectance",
    "dn": "digital numbers",
}


def attribution(key: SceneKey) -> str:
    """Whom users of a scene's data have to name."""
    return f"Contains modified Copernicus Sentinel data {key.date.year}"


def unit_of(config: PreprocessConfig) -> str:
    """What the values of the bands are, before any normalization."""
    if not config.to_toa_reflectance:
        return "dn"
    levels = {channel.level for channel in config.channels}
    return "reflectance" if len(levels) > 1 else "boa_reflectance" if "L2A" in levels else "toa_reflectance"


@dataclass(frozen=True)
class RasterForm:
    """What all rasters of a scene have in common."""

    metadata: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Metadata of the files by GDAL's domain."""
    cog: bool = False
    """Make Cloud Optimized GeoTIFFs of them."""
    threads: int = 1
    """Threads for reading and compression; results do not depend on it."""

    @classmethod
    def of(cls, scene: Scene, config: PreprocessConfig, threads: int) -> RasterForm:
        """Return the form of a scene's rasters."""
        key = scene.key
        clock = f"{key.second[:10]} {key.second[11:]}"
        default = {
            "TIFFTAG_DATETIME": clock.replace("-", ":"),
            _COPYRIGHT: attribution(key),
            "TIFFTAG_SOFTWARE": "s2pipe",
        }
        names = [product.product_name or "" for product in (scene.l1c, scene.l2a) if product is not None]
        units = sorted({name[2] for name in names if name[:2] == "S2"})
        satellite = {"SATELLITEID": f"Sentinel-2{units[0]}"} if len(units) == 1 else {}
        imagery = {"ACQUISITIONDATETIME": clock, **satellite}
        return cls({"": default, IMAGERY: imagery}, config.output.cog, threads)

    def crediting(self, lines: Sequence[str]) -> RasterForm:
        """Return the form with more lines that users have to quote; TIFF's tag for them is one of ASCII."""
        default = self.metadata.get("", {})
        if not lines or _COPYRIGHT not in default:
            return self
        credit = "; ".join([default[_COPYRIGHT], *lines]).replace("©", "(c)")
        return replace(self, metadata={**self.metadata, "": {**default, _COPYRIGHT: credit}})

    def apply(self, spec: TiffSpec, title: str, bands: Sequence[BandTags] = ()) -> TiffSpec:
        """Return what to write with the form, and a title for people."""
        default = {
            **self.metadata.get("", {}),
            **({"TIFFTAG_IMAGEDESCRIPTION": title} if self.metadata else {}),
        }
        tags = RasterTags({**self.metadata, "": default}, tuple(bands))
        return replace(spec, tags=tags, storage=replace(spec.storage, cog=self.cog or spec.storage.cog))


PLAIN_FORM = RasterForm()
"""The form of rasters that say nothing of themselves."""


def stack_title(key: SceneKey, config: PreprocessConfig) -> str:
    """Say what ``x.tif`` holds."""
    return f"Sentinel-2 tile {key.tile_id}, {key.second}Z: {_what(config)}"


def stack_bands(config: PreprocessConfig, masks: int) -> tuple[BandTags, ...]:
    """Say what the bands of ``x.tif`` are: those of the configuration, then so many masks."""
    valid = BandTags("1", metadata={"": {"flag_values": "0,1", "flag_meanings": "invalid valid"}})
    return (*(_band(channel, config) for channel in config.channels), *(valid for _ in range(masks)))


def _band(channel: Channel, config: PreprocessConfig) -> BandTags:
    band = channel.spectral_band
    wavelength = {
        "quantity": _what(config),
        "wavelength": f"{band.wavelength_nm:g}",
        "wavelength_units": "Nanometers",
        "fwhm": f"{band.bandwidth_nm:g}",
    }
    imagery = {
        "CENTRAL_WAVELENGTH_UM": f"{band.wavelength_nm / 1000:.4f}",
        "FWHM_UM": f"{band.bandwidth_nm / 1000:.3f}",
    }
    return BandTags("1", band.color, {"": wavelength, IMAGERY: imagery})


def _what(config: PreprocessConfig) -> str:
    words = _UNIT_WORDS[unit_of(config)]
    return f"{words}, normalized" if config.normalize.mode == "apply_with_stats" else words
