"""Channels: the bands of a sample as configurations and documents name them, ``B04`` or ``l2a.B04_10m``."""

from __future__ import annotations

from dataclasses import dataclass

from s2pipe.runtime.nearest import did_you_mean
from s2pipe.sentinel2 import roles
from s2pipe.sentinel2.bands import BAND_NAMES, BY_NAME, L2A_BANDS_BY_RESOLUTION, Band, Level


@dataclass(frozen=True)
class Channel:
    """One band of one processing level at one pixel size."""

    level: Level
    """Processing level: ``L1C`` (top-of-atmosphere) or ``L2A`` (surface)."""
    band: str
    """Name of the band, such as ``B8A``."""
    resolution_m: int
    """Pixel size of the raster in metres. L1C has each band at one size, L2A has most bands at several."""

    def __post_init__(self) -> None:
        if self.level == "L1C":
            exists = self.band in BY_NAME and self.resolution_m == BY_NAME[self.band].resolution_m
        else:
            exists = self.band in L2A_BANDS_BY_RESOLUTION.get(self.resolution_m, ())
        if not exists:
            msg = f"{self.level} products have no raster of band {self.band} at {self.resolution_m} m"
            raise ValueError(msg)

    @classmethod
    def l1c(cls, band: str) -> Channel:
        """Return the L1C channel of a band.

        Raises
        ------
        ValueError
            There is no such band.
        """
        return cls("L1C", band, BY_NAME[band].resolution_m if band in BY_NAME else 0)

    @classmethod
    def parse(cls, name: str) -> Channel:
        """Read the name of a channel.

        Parameters
        ----------
        name : str
            ``B04`` or ``l1c.B04`` for L1C, ``l2a.B04_10m`` for L2A.

        Raises
        ------
        ValueError
            The text is not such a name, or no product has such a raster.
        """
        if name not in _BY_NAME:
            msg = f"expected a band such as B04, l1c.B04 or l2a.B04_10m, got {name!r}{did_you_mean(name, _BY_NAME)}"
            raise ValueError(msg)
        return _BY_NAME[name]

    def __str__(self) -> str:
        """Name in band descriptions and documents: ``B04`` for L1C, ``l2a.B04_10m`` for L2A."""
        return self.band if self.level == "L1C" else self.qualified_name

    @property
    def qualified_name(self) -> str:
        """Name that states the level in any case: ``l1c.B04``, ``l2a.B04_10m``."""
        return f"l1c.{self.band}" if self.level == "L1C" else f"l2a.{self.band}_{self.resolution_m}m"

    @property
    def raster_role(self) -> str:
        """Role of the channel's raster in the Step-1 index."""
        if self.level == "L1C":
            return roles.l1c_band(self.band)
        return roles.l2a_band(self.band, self.resolution_m)

    @property
    def metadata_role(self) -> str:
        """Role of the product metadata that state the channel's radiometry."""
        return roles.L1C_PRODUCT_METADATA if self.level == "L1C" else roles.L2A_PRODUCT_METADATA

    @property
    def spectral_band(self) -> Band:
        """Entry of the band table: wavelength, band id, native pixel size."""
        return BY_NAME[self.band]


L1C_CHANNELS: tuple[Channel, ...] = tuple(Channel.l1c(band) for band in BAND_NAMES)
"""Channels of L1C products, in the order of the band table."""
L2A_CHANNELS: tuple[Channel, ...] = tuple(
    Channel("L2A", band, metres) for metres, bands in L2A_BANDS_BY_RESOLUTION.items() for band in bands
)
"""Channels of L2A products, by pixel size and band."""
_BY_NAME = {
    name: channel
    for channel in (*L1C_CHANNELS, *L2A_CHANNELS)
    for name in (str(channel), channel.qualified_name)
}
