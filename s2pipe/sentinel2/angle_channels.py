"""Names of the channels of angle rasters: ``sun_zen_sin``, ``view_B02_azi_deg``, and the mask."""

from __future__ import annotations

ANGLE_MASK = "valid_angles"
"""Channel that is 1 where all other channels are known and 0 where one is missing; always the last."""


def channel_names(prefix: str, encode: str) -> tuple[str, ...]:
    """Names of the channels of one direction.

    Parameters
    ----------
    prefix : str
        The direction: ``sun``, ``view``, ``view_B02``.
    encode : str
        ``sin_cos`` or ``deg``.
    """
    kinds = ("deg",) if encode == "deg" else ("sin", "cos")
    return tuple(f"{prefix}_{angle}_{kind}" for angle in ("zen", "azi") for kind in kinds)


def direction_of(name: str) -> str:
    """Return the direction that a channel belongs to: ``view_B02`` of ``view_B02_azi_deg``."""
    return name.rsplit("_", 2)[0]
