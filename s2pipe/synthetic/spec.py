"""What a synthetic product is to be, and the names that follow from it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path

from s2pipe.errors import ConfigError, Fault, ProductError
from s2pipe.sentinel2.bands import BAND_NAMES, TILE_SIDE_M
from s2pipe.synthetic.mgrs import tile_origin

SATELLITES = ("S2A", "S2B", "S2C", "S2D")
GRID_M = 60
"""Sides are multiples of the coarsest pixel, so that every resolution covers the same ground."""
REAL_STRIP_M = 24_200.0
"""Ground width of one detector's strip of the real instrument: 12 of them make the 290 km swath."""
SMALL_STRIP_M = 10_000.0
_STAMP = "%Y%m%dT%H%M%S"
_ORBITS_PER_DAY = 143 / 10
_REFERENCE_ORBIT = (datetime(2023, 6, 25, 23, 46, 21, tzinfo=UTC), 41826)


@dataclass(frozen=True)
class ProductPaths:
    """Where the products of one scene were written."""

    l1c: Path
    """SAFE directory of the L1C product."""
    l2a: Path | None
    """SAFE directory of the L2A product; None when none was asked for."""


@dataclass(frozen=True)
class ProductSpec:
    """A synthetic scene: one L1C product and, if wanted, the L2A product made from it."""

    tile_id: str = "T33UWQ"
    """MGRS tile with its leading T; it decides zone and upper-left corner unless these are given."""
    sensing_start: datetime = datetime(2025, 12, 10, 10, 3, 19, tzinfo=UTC)
    """Start of the datatake, UTC: the time in product names. Clouds are drawn from seed and this time."""
    satellite: str = "S2A"
    """Spacecraft: S2A, S2B, S2C or S2D."""
    baseline: str = "05.11"
    """Processing baseline. Before 04.00: no offsets and GML footprints; before 03.00: MD5 checksums."""
    rel_orbit: int = 122
    """Relative orbit number, 1 to 143."""
    side_m: int = 21_960
    """Side of the square image in metres, a multiple of 60; 109800 makes full-size rasters."""
    seed: int = 4
    """Seed of the landscape: same seed, same zone, same ground (whatever the tile or the date)."""
    bands: tuple[str, ...] = BAND_NAMES
    """Bands to write, e.g. ``("B02", "B8A")``."""
    noise_dn: float = 2.0
    """Standard deviation of the sensor noise in DN. At 2, lossless 10 m bands take about 6 bits a
    pixel, as real ones do; at 0 about 5, at 8 about 7."""
    nodata_wedge: float = 0.06
    """Share of the image beyond the swath's slanted eastern edge, 0 to 0.95."""
    clouds: float = 0.12
    """Share of the image under clouds, 0 to 1 (approximate)."""
    l2a: bool = True
    """Make the L2A product as well."""
    l2a_resolutions: tuple[int, ...] = (10, 20)
    """Resolution folders of the L2A product in metres, of 10, 20, 60; 20 holds SCL and is always made."""
    tci: bool = False
    """Write true-colour images (TCI) too."""
    quality_masks: bool = True
    """Write the quality masks MSK_QUALIT and MSK_CLASSI (from baseline 04.00)."""
    epsg: int | None = None
    """EPSG code of the CRS; None takes the tile's UTM zone."""
    ground_epsg: int | None = None
    """EPSG code of the UTM zone in whose coordinates the landscape lies, so that tiles of neighbouring zones show the
    same ground; None takes that of the tile."""
    ulx: int | None = None
    """x of the upper-left corner in metres; None takes the tile's."""
    uly: int | None = None
    """y of the upper-left corner in metres; None takes the tile's."""
    strip_width_m: float | None = None
    """Ground width of a detector's strip in metres; None: 24200 as in reality, 10000 for sides below
    50 km so that small images see a seam."""
    from_edge_m: float | None = None
    """Distance of the image's middle from the swath's eastern edge across the track in metres, instead of
    nodata_wedge; 280000 puts the tile at the western edge, where the satellite of another orbit sees it."""
    directional: bool = False
    """Let the ground reflect into different directions as the published BRDF parameters say: neighbouring
    detectors and orbits then see it differently."""
    processing_delay_h: float = 3.0
    """Hours from sensing to processing: decides the last time stamp of the L1C name (L2A: 2 hours more)."""
    datastrip_delay_s: float = 300.0
    """Seconds from the start of the datatake to that of the datastrip. Products that differ in it and cover different
    parts of a tile are halves of one acquisition."""

    def __post_init__(self) -> None:
        faults = [Fault(path, message) for path, message in self._faults()]
        if faults:
            msg = "ProductSpec"
            raise ConfigError(msg, faults)

    def _faults(self) -> list[tuple[str, str]]:
        """List every inconsistency as (field, message)."""
        found = []
        if self.satellite not in SATELLITES:
            found.append(("satellite", f"{self.satellite!r} is not one of {', '.join(SATELLITES)}"))
        if self.side_m <= 0 or self.side_m % GRID_M or self.side_m > TILE_SIDE_M:
            found.append(("side_m", f"{self.side_m} is not a multiple of {GRID_M} in 60..{TILE_SIDE_M}"))
        if unknown := [band for band in self.bands if band not in BAND_NAMES]:
            found.append(("bands", f"unknown bands {unknown}; known: {', '.join(BAND_NAMES)}"))
        if len(self.baseline) != 5 or not self.baseline.replace(".", "", 1).isdigit():
            found.append(("baseline", f"{self.baseline!r} is not of the form 05.11"))
        if not 1 <= self.rel_orbit <= 143:
            found.append(("rel_orbit", f"{self.rel_orbit} is not in 1..143"))
        if not 0.0 <= self.nodata_wedge <= 0.95:
            found.append(("nodata_wedge", f"{self.nodata_wedge} is not in 0..0.95"))
        if not 0.0 <= self.clouds <= 1.0:
            found.append(("clouds", f"{self.clouds} is not in 0..1"))
        if not set(self.l2a_resolutions) <= {10, 20, 60}:
            found.append(("l2a_resolutions", f"{self.l2a_resolutions} holds others than 10, 20, 60"))
        if self.sensing_start.tzinfo is None:
            found.append(("sensing_start", "has no time zone; give it in UTC"))
        try:
            tile_origin(self.tile_id)
        except ProductError as error:
            found.append(("tile_id", str(error)))
        return found

    @property
    def origin(self) -> tuple[int, int, int]:
        """EPSG code, x and y of the upper-left corner."""
        epsg, ulx, uly = tile_origin(self.tile_id)
        return (
            epsg if self.epsg is None else self.epsg,
            ulx if self.ulx is None else self.ulx,
            uly if self.uly is None else self.uly,
        )

    @property
    def strip_m(self) -> float:
        """Ground width of one detector's strip in metres."""
        if self.strip_width_m is not None:
            return self.strip_width_m
        return REAL_STRIP_M if self.side_m >= 50_000 else SMALL_STRIP_M

    @property
    def baseline_number(self) -> tuple[int, int]:
        """Baseline as numbers, e.g. (5, 11)."""
        major, minor = self.baseline.split(".")
        return int(major), int(minor)

    @property
    def has_offsets(self) -> bool:
        """True when digital numbers carry an additive offset (baseline 04.00 and later)."""
        return self.baseline_number >= (4, 0)

    @property
    def checksum_name(self) -> str:
        """Checksum algorithm of manifest.safe."""
        return "SHA3-256" if self.baseline_number >= (3, 0) else "MD5"

    @property
    def tile_time(self) -> datetime:
        """Time at which the image's centre was sensed: minutes after the datatake's start."""
        return self.sensing_start + timedelta(minutes=6, seconds=12.345)

    def names(self, level: str) -> ProductNames:
        """Names of the product of a level, ``L1C`` or ``L2A``."""
        return ProductNames(self, level)


@dataclass(frozen=True)
class ProductNames:
    """Names inside one SAFE product."""

    spec: ProductSpec
    """The scene."""
    level: str
    """``L1C`` or ``L2A``."""

    @cached_property
    def processed(self) -> datetime:
        """Time of processing: the discriminator of the product name."""
        delay = self.spec.processing_delay_h + (2.0 if self.level == "L2A" else 0.0)
        return self.spec.sensing_start + timedelta(hours=delay, seconds=17)

    @property
    def datastrip_start(self) -> datetime:
        """Start of the datastrip that the tile was cut from."""
        return self.spec.sensing_start + timedelta(seconds=self.spec.datastrip_delay_s)

    @property
    def absolute_orbit(self) -> int:
        """Absolute orbit number, counted from a real acquisition of S2A at 14.3 orbits a day."""
        start, orbit = _REFERENCE_ORBIT
        days = (self.spec.sensing_start - start) / timedelta(days=1)
        return max(1, orbit + round(days * _ORBITS_PER_DAY))

    @property
    def product(self) -> str:
        """Name of the SAFE directory."""
        spec = self.spec
        return (
            f"{spec.satellite}_MSI{self.level}_{self.sensing}_N{spec.baseline.replace('.', '')}"
            f"_R{spec.rel_orbit:03d}_{spec.tile_id}_{self.processed:{_STAMP}}.SAFE"
        )

    @property
    def sensing(self) -> str:
        """Sensing start as file names carry it."""
        return f"{self.spec.sensing_start:{_STAMP}}"

    @property
    def granule(self) -> str:
        """Path of the granule's directory inside the product."""
        orbit, start = self.absolute_orbit, self.datastrip_start
        return f"GRANULE/{self.level}_{self.spec.tile_id}_A{orbit:06d}_{start:{_STAMP}}"

    @property
    def datastrip(self) -> str:
        """Path of the datastrip's directory inside the product."""
        return f"DATASTRIP/DS_2APS_{self.processed:{_STAMP}}_S{self.datastrip_start:{_STAMP}}"

    @property
    def granule_id(self) -> str:
        """Identifier of the granule as metadata carry it."""
        return (
            f"{self.spec.satellite}_OPER_MSI_{self.level}_TL_2APS_{self.processed:{_STAMP}}"
            f"_A{self.absolute_orbit:06d}_{self.spec.tile_id}_N{self.spec.baseline}"
        )

    @property
    def datastrip_id(self) -> str:
        """Identifier of the datastrip as metadata carry it."""
        return (
            f"{self.spec.satellite}_OPER_MSI_{self.level}_DS_2APS_{self.processed:{_STAMP}}"
            f"_S{self.datastrip_start:{_STAMP}}_N{self.spec.baseline}"
        )

    def image(self, name: str, resolution_m: int | None = None) -> str:
        """Path of an image inside the product, e.g. for ``B02`` (L1C) or ``SCL`` at 20 m (L2A)."""
        stem = f"{self.spec.tile_id}_{self.sensing}_{name}"
        if resolution_m is None:
            return f"{self.granule}/IMG_DATA/{stem}.jp2"
        return f"{self.granule}/IMG_DATA/R{resolution_m}m/{stem}_{resolution_m}m.jp2"

    def mask(self, kind: str, suffix: str, extension: str = "jp2") -> str:
        """Path of a mask inside the product, e.g. ``MSK_DETFOO`` of ``B02``."""
        return f"{self.granule}/QI_DATA/{kind}_{suffix}.{extension}"
