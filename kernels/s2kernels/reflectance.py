"""DN to top-of-atmosphere reflectance, alone or together with the validity channels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from . import _check
from ._compile import STRIP, device, dn_kernel, flat, prange
from ._pixels import has_data, write_band_mask

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from ._types import Float32, Numbers, Pixels


class Radiometry(NamedTuple):
    """Numbers that turn DN into reflectance; one per band (RADIO_ADD_OFFSET, QUANTIFICATION_VALUE)."""

    offset: ArrayLike
    """Added to the DN: -1000 since processing baseline 04.00, 0 before."""
    quantification: ArrayLike
    """DN for reflectance 1, above 0: 10000."""

    @classmethod
    def identity(cls, bands: int) -> Radiometry:
        """Leave DN as they are."""
        return cls(np.zeros(bands), np.ones(bands))

    def checked(self, bands: int) -> tuple[Float32, Float32]:
        """Both as float32; one per band."""
        return (
            _check.per_band("radiometry.offset", self.offset, bands),
            _check.per_band("radiometry.quantification", self.quantification, bands, positive=True),
        )


def reflectance(dn: Pixels, radiometry: Radiometry, out: Float32) -> None:
    """Write (DN + offset) / quantification in float32; 0.0 where a band is invalid (DN 0 or NaN).

    The formula is that of ESA's Sentinel-2 Products Specification Document (14.9 and later, Level-1C radiometry). The
    division is a true one, so that the result is the float32 nearest to the quotient. Saturated DN (65535)
    are ordinary values.

    Parameters
    ----------
    dn : float32 or uint16 array (band, y, x)
        Stored numbers, nodata 0 or NaN.
    radiometry : Radiometry
        Offset and quantification of each band.
    out : float32 array (band, y, x)
        Overwritten; may be `dn` itself where that is float32.

    Raises
    ------
    TypeError, ValueError
        If an array has another dtype, shape or layout, or the radiometry does not fit the bands.
    """
    dn = _check.array("dn", dn, _check.DN, 3)
    out = _check.array("out", out, np.float32, 3, written=True)
    _check.same_shape("out", out, "dn", dn.shape)
    offset, quantification = radiometry.checked(dn.shape[0])
    if dn.size:
        _reflectance[dn.dtype.char](flat(dn), offset, quantification, flat(out))


@device
def _write_reflectance(row: Pixels, add: Any, divisor: Any, target: Float32) -> None:
    for x in range(row.size):
        value = np.float32(row[x])
        target[x] = (value + add) / divisor if has_data(value) else np.float32(0)


@dn_kernel("reflectance", "void({dn}[:,::1], f4[::1], f4[::1], f4[:,::1])", inputs=3)
def _reflectance(dn: Pixels, offset: Float32, quantification: Float32, out: Numbers) -> None:
    # Dividing costs nothing here, the loop waits for memory. Multiplying with 1/quantification is no faster,
    # and one DN in three then differs in the last bit from DN/10000 (test_reflectance_is_a_true_division).
    bands, pixels = dn.shape
    strips = (pixels + STRIP - 1) // STRIP
    for item in prange(bands * strips):
        band = item // strips
        begin = item % strips * STRIP
        end = min(begin + STRIP, pixels)
        _write_reflectance(dn[band, begin:end], offset[band], quantification[band], out[band, begin:end])


def reflectance_valid(dn: Pixels, radiometry: Radiometry, out: Float32, valid_out: Float32) -> None:
    """Write reflectance and validity in one pass over memory.

    Parameters
    ----------
    dn : float32 or uint16 array (band, y, x)
        Stored numbers, nodata 0 or NaN.
    radiometry : Radiometry
        Offset and quantification of each band.
    out : float32 array (band, y, x)
        Overwritten with what `reflectance` writes.
    valid_out : float32 array (1, y, x) or (band, y, x)
        Overwritten with what `valid_single` or `valid_per_band` writes. It and `out` may be neighbours in one
        buffer, but must not overlap each other or `dn`.

    Raises
    ------
    TypeError, ValueError
        If an array has another dtype, shape or layout, or the radiometry does not fit the bands.
    """
    dn = _check.array("dn", dn, _check.DN, 3)
    out = _check.array("out", out, np.float32, 3, written=True)
    valid_out = _check.array("valid_out", valid_out, np.float32, 3, written=True)
    _check.same_shape("out", out, "dn", dn.shape)
    _check.mask_like("valid_out", valid_out, dn.shape)
    offset, quantification = radiometry.checked(dn.shape[0])
    if dn.size:
        _reflectance_valid[dn.dtype.char](flat(dn), offset, quantification, flat(out), flat(valid_out))


@dn_kernel("reflectance_valid", "void({dn}[:,::1], f4[::1], f4[::1], f4[:,::1], f4[:,::1])", inputs=3)
def _reflectance_valid(
    dn: Pixels, offset: Float32, quantification: Float32, out: Numbers, valid_out: Float32
) -> None:
    # Two short loops over a strip that the cache holds, so that a single mask needs no branch per pixel.
    bands, pixels = dn.shape
    for strip in prange((pixels + STRIP - 1) // STRIP):
        begin = strip * STRIP
        end = min(begin + STRIP, pixels)
        for band in range(bands):
            row = dn[band, begin:end]
            _write_reflectance(row, offset[band], quantification[band], out[band, begin:end])
            write_band_mask(row, valid_out, band, begin, end)
