"""Product names: the compact naming of Sentinel-2 products, all baselines, Sentinel-2A to 2D."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from s2pipe.errors import ProductError
from s2pipe.sentinel2.bands import Level

THIRD_PARTY_BASELINE = "99.99"
"""Baseline of L2A products made by third parties; never the newest of several."""

_NAME = re.compile(
    r"(?P<satellite>S2[A-D])_MSI(?P<level>L1C|L2A)_(?P<start>\d{8}T\d{6})_N(?P<baseline>\d{4})"
    r"_R(?P<orbit>\d{3})_(?P<tile>T\d{2}[A-Z]{3})_(?P<discriminator>\d{8}T\d{6})",
    re.ASCII,
)
_SUFFIXES = re.compile(r"(\.SAFE)?(\.zip)?", re.IGNORECASE)
_TIME = "%Y%m%dT%H%M%S"


@dataclass(frozen=True)
class ProductName:
    """A product's name, taken apart."""

    satellite: str
    """``S2A`` to ``S2D``."""
    level: Level
    """Processing level."""
    sensing_start_utc: str
    """Start of the datatake, ``2025-12-10T10:03:19Z``; equal for the L1C and L2A products of a scene."""
    baseline: str
    """Processing baseline as metadata spells it, ``05.11`` (``N0511`` in the name)."""
    rel_orbit: int
    """Relative orbit, 1 to 143."""
    tile_id: str
    """MGRS tile with its ``T``, ``T33UWQ``."""
    discriminator: str
    """Last time stamp, ``20251212T162649``: tells products of one datatake and tile apart."""

    @classmethod
    def parse(cls, name: str) -> ProductName:
        """Take a product name apart.

        Parameters
        ----------
        name : str
            Name with or without ``.SAFE`` and ``.zip``; no directories.

        Raises
        ------
        ProductError
            The name does not follow the compact naming, or holds an impossible date.
        """
        parsed = cls.try_parse(name)
        if parsed is None:
            msg = (
                f"{name!r} is not the name of a Sentinel-2 product: expected the compact form "
                "S2A_MSIL1C_20251210T100319_N0511_R122_T33UWQ_20251212T162649.SAFE (S2A to S2D, L1C or L2A); "
                "restore the original name, or index a product in the format used since December 2016"
            )
            raise ProductError(msg)
        return parsed

    @classmethod
    def try_parse(cls, name: str) -> ProductName | None:
        """Like :meth:`parse`, but return None for any other name (``S2A_OPER_PRD_...`` among them)."""
        match = _NAME.match(name)
        if match is None or not _SUFFIXES.fullmatch(name, match.end()):
            return None
        try:
            datetime.strptime(match["start"], _TIME)  # noqa: DTZ007 - only tried, not kept
            datetime.strptime(match["discriminator"], _TIME)  # noqa: DTZ007
        except ValueError:
            return None
        return cls(
            satellite=match["satellite"],
            level="L1C" if match["level"] == "L1C" else "L2A",
            sensing_start_utc=_iso(match["start"]),
            baseline=f"{match['baseline'][:2]}.{match['baseline'][2:]}",
            rel_orbit=int(match["orbit"]),
            tile_id=match["tile"],
            discriminator=match["discriminator"],
        )

    @property
    def sensing_start(self) -> datetime:
        """Start of the datatake, with UTC as its time zone."""
        return datetime.fromisoformat(self.sensing_start_utc)

    @property
    def baseline_code(self) -> str:
        """Baseline as names spell it, ``N0511``."""
        return "N" + self.baseline.replace(".", "")

    @property
    def orbit_code(self) -> str:
        """Relative orbit as names spell it, ``R122``."""
        return f"R{self.rel_orbit:03d}"

    @property
    def stem(self) -> str:
        """The name without ``.SAFE``."""
        start = re.sub(r"[-:Z]", "", self.sensing_start_utc)
        return "_".join(
            (
                self.satellite,
                f"MSI{self.level}",
                start,
                self.baseline_code,
                self.orbit_code,
                self.tile_id,
                self.discriminator,
            )
        )

    @property
    def safe_name(self) -> str:
        """The name of the product's directory, with ``.SAFE``."""
        return f"{self.stem}.SAFE"

    @property
    def age_key(self) -> tuple[bool, str, str]:
        """Sort key of products of one tile, datatake and level: the newest is the greatest.

        The baseline decides, then the discriminator; a third party's product precedes all others.
        """
        return self.baseline != THIRD_PARTY_BASELINE, self.baseline, self.discriminator

    def __str__(self) -> str:
        return self.safe_name


def _iso(compact: str) -> str:
    day, time = compact.split("T")
    return f"{day[:4]}-{day[4:6]}-{day[6:]}T{time[:2]}:{time[2:4]}:{time[4:]}Z"
