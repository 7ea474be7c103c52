"""Where angles are missing: beyond the swath, between detectors, where the metadata has none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from s2pipe.sentinel2.angle_channels import ANGLE_MASK, direction_of

if TYPE_CHECKING:
    from collections.abc import Sequence


def witness_channels(names: Sequence[str]) -> tuple[int, ...]:
    """Return the positions of the channels that tell where angles are missing: the mask, or one of each direction.

    A direction's sines, cosines and angles are missing together.
    """
    if ANGLE_MASK in names:
        return (list(names).index(ANGLE_MASK),)
    first = {direction_of(name): place for place, name in reversed(list(enumerate(names)))}
    return tuple(sorted(first.values()))


def known_angles(angles: np.ndarray, has_mask: bool) -> np.ndarray:
    """Tell where all channels are known, bool (y, x).

    Parameters
    ----------
    angles : ndarray, (channel, y, x)
        Channels, or the mask alone. No direction has only zeros: where all channels are 0, as outside the raster,
        none is known.
    has_mask : bool
        The last channel is the mask.
    """
    if has_mask:
        masked: np.ndarray = angles[-1] > 0
        return masked
    known: np.ndarray = np.isfinite(angles).all(axis=0) & (angles != 0).any(axis=0)
    return known


def settle(angles: np.ndarray, names: Sequence[str], *, keep_nan: bool) -> np.ndarray:
    """Fill missing angles with 0 in place unless NaN is to be kept; return where all are known, bool (y, x)."""
    known = known_angles(angles, ANGLE_MASK in names)
    if not keep_nan:
        np.nan_to_num(angles, copy=False, nan=0.0)
    return known
