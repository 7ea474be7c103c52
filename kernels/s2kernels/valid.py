"""Validity: a pixel of a band is valid where its DN is neither 0 (nodata) nor NaN."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from . import _check
from ._compile import STRIP, dn_kernel, flat, prange
from ._pixels import narrow_mask, write_mask

if TYPE_CHECKING:
    from ._types import Float32, Numbers, Pixels


def valid_single(dn: Pixels, out: Float32) -> None:
    """Write one validity channel: 1.0 where every band is valid, else 0.0.

    Parameters
    ----------
    dn : float32 or uint16 array (band, y, x)
        Stored numbers, nodata 0 or NaN.
    out : float32 array (y, x)
        Overwritten. Left alone if the window has no pixel or no band.

    Raises
    ------
    TypeError, ValueError
        If an array has another dtype, shape or layout.
    """
    dn = _check.array("dn", dn, _check.DN, 3)
    out = _check.array("out", out, np.float32, 2, written=True)
    _check.same_shape("out", out, "dn", dn.shape[1:])
    if dn.size:
        _valid_single[dn.dtype.char](flat(dn), out.reshape(-1))


@dn_kernel("valid_single", "void({dn}[:,::1], f4[::1])", inputs=1)
def _valid_single(dn: Pixels, out: Numbers) -> None:
    # Bands inside a strip, so that the strip of `out` stays in the cache while the bands are ANDed into it.
    bands, pixels = dn.shape
    for strip in prange((pixels + STRIP - 1) // STRIP):
        begin = strip * STRIP
        end = min(begin + STRIP, pixels)
        mask = out[begin:end]
        write_mask(dn[0, begin:end], mask)
        for band in range(1, bands):
            narrow_mask(dn[band, begin:end], mask)


def valid_per_band(dn: Pixels, out: Float32) -> None:
    """Write a validity channel for each band: 1.0 where that band is valid, else 0.0.

    Parameters
    ----------
    dn : float32 or uint16 array (band, y, x)
        Stored numbers, nodata 0 or NaN.
    out : float32 array (band, y, x)
        Overwritten; may be `dn` itself where that is float32.

    Raises
    ------
    TypeError, ValueError
        If an array has another dtype, shape or layout.
    """
    dn = _check.array("dn", dn, _check.DN, 3)
    out = _check.array("out", out, np.float32, 3, written=True)
    _check.same_shape("out", out, "dn", dn.shape)
    if dn.size:
        _valid_per_band[dn.dtype.char](dn.reshape(-1), out.reshape(-1))


@dn_kernel("valid_per_band", "void({dn}[::1], f4[::1])", inputs=1)
def _valid_per_band(dn: Pixels, out: Numbers) -> None:
    for strip in prange((dn.size + STRIP - 1) // STRIP):
        begin = strip * STRIP
        end = min(begin + STRIP, dn.size)
        write_mask(dn[begin:end], out[begin:end])


def drop_below_fraction(dn: Pixels, fraction: Float32, minimum: float) -> None:
    """Make pixels nodata, in place, whose valid share of source area is below a minimum.

    Parameters
    ----------
    dn : float32 or uint16 array (band, y, x)
        Resampled numbers; set to 0 where `fraction` is below `minimum` or NaN.
    fraction : float32 array (band, y, x)
        Share of each pixel's source area that was valid, 0 to 1 (a resampled mask).
    minimum : float
        Smallest share that keeps a pixel, 0 to 1; compared in float32.

    Raises
    ------
    TypeError, ValueError
        If an array has another dtype, shape or layout, or `minimum` is not within 0 to 1.
    """
    dn = _check.array("dn", dn, _check.DN, 3, written=True)
    fraction = _check.array("fraction", fraction, np.float32, 3)
    _check.same_shape("fraction", fraction, "dn", dn.shape)
    if not 0 <= minimum <= 1:
        msg = f"minimum: expected a share from 0 to 1, got {minimum}"
        raise ValueError(msg)
    if dn.size:
        _drop_below_fraction[dn.dtype.char](fraction.reshape(-1), np.float32(minimum), dn.reshape(-1))


@dn_kernel("drop_below_fraction", "void(f4[::1], f4, {dn}[::1])", inputs=2)
def _drop_below_fraction(fraction: Float32, minimum: np.float32, dn: Pixels) -> None:
    for strip in prange((dn.size + STRIP - 1) // STRIP):
        begin = strip * STRIP
        end = min(begin + STRIP, dn.size)
        share = fraction[begin:end]
        row = dn[begin:end]
        for x in range(row.size):
            row[x] = row[x] if share[x] >= minimum else row.dtype.type(0)
