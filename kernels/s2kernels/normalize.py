"""Clip and standardize, alone or fused with reflectance and validity."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from . import _check
from ._compile import STRIP, device, dn_kernel, flat, kernel, prange
from ._pixels import has_data, write_band_mask

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from ._types import Float32, Numbers, Pixels
    from .reflectance import Radiometry


class Normalization(NamedTuple):
    """Numbers that standardize values; one per band, in the unit of the values."""

    low: ArrayLike
    """Values below are raised to this."""
    high: ArrayLike
    """Values above are lowered to this; not below `low`."""
    mean: ArrayLike
    """Subtracted after clipping."""
    std: ArrayLike
    """Divides what is left, above 0."""

    def checked(self, bands: int) -> Float32:
        """All four as rows of one float32 array."""
        rows = [
            _check.per_band("normalization.low", self.low, bands),
            _check.per_band("normalization.high", self.high, bands),
            _check.per_band("normalization.mean", self.mean, bands),
            _check.per_band("normalization.std", self.std, bands, positive=True),
        ]
        if (rows[0] > rows[1]).any():
            msg = (
                f"normalization: expected low <= high for each band, got low {rows[0].tolist()} "
                f"and high {rows[1].tolist()}"
            )
            raise ValueError(msg)
        return np.stack(rows)


def standardize(values: Float32, valid: Float32, normalization: Normalization, out: Float32) -> None:
    """Write (clip(value, low, high) - mean) / std in float32 where valid, else 0.0.

    Parameters
    ----------
    values : float32 array (band, y, x)
        Reflectance or DN.
    valid : float32 array (1, y, x) or (band, y, x)
        Validity channel(s), valid where not 0.
    normalization : Normalization
        Clip values, mean and standard deviation of each band.
    out : float32 array (band, y, x)
        Overwritten; may be `values` itself.

    Raises
    ------
    TypeError, ValueError
        If an array has another dtype, shape or layout, or the normalization does not fit the bands.
    """
    values = _check.array("values", values, np.float32, 3)
    valid = _check.array("valid", valid, np.float32, 3)
    out = _check.array("out", out, np.float32, 3, written=True)
    _check.mask_like("valid", valid, values.shape)
    _check.same_shape("out", out, "values", values.shape)
    numbers = normalization.checked(values.shape[0])
    if values.size:
        _standardize(flat(values), flat(valid), numbers, flat(out))


@device
def _standardized(value: Any, low: Any, high: Any, mean: Any, std: Any) -> Any:
    value = max(value, low)
    value = min(value, high)
    return (value - mean) / std


@kernel("standardize", "void(f4[:,::1], f4[:,::1], f4[:,::1], f4[:,::1])", inputs=3)
def _standardize(values: Float32, valid: Float32, numbers: Numbers, out: Numbers) -> None:
    # Bands inside, so that a strip of a single mask is fetched from memory once, not once per band.
    bands, pixels = values.shape
    masks = valid.shape[0]
    for strip in prange((pixels + STRIP - 1) // STRIP):
        begin = strip * STRIP
        end = min(begin + STRIP, pixels)
        for band in range(bands):
            row = values[band, begin:end]
            mask = valid[min(band, masks - 1), begin:end]
            target = out[band, begin:end]
            low, high, mean, std = numbers[0, band], numbers[1, band], numbers[2, band], numbers[3, band]
            for x in range(row.size):
                value = _standardized(row[x], low, high, mean, std)
                target[x] = value if mask[x] != 0 else np.float32(0)


def reflectance_standardize(
    dn: Pixels, radiometry: Radiometry, normalization: Normalization, out: Float32, valid_out: Float32
) -> None:
    """Write standardized reflectance and validity in one pass over memory.

    Equal, to the last bit, to `reflectance_valid` followed by `standardize` with each band's own validity.

    Parameters
    ----------
    dn : float32 or uint16 array (band, y, x)
        Stored numbers, nodata 0 or NaN.
    radiometry : Radiometry
        Offset and quantification of each band; `Radiometry.identity` to standardize the DN themselves.
    normalization : Normalization
        Clip values, mean and standard deviation of each band, in reflectance.
    out : float32 array (band, y, x)
        Overwritten; 0.0 where that band is invalid.
    valid_out : float32 array (1, y, x) or (band, y, x)
        Overwritten with what `valid_single` or `valid_per_band` writes. It and `out` may be neighbours in one
        buffer, but must not overlap each other or `dn`.

    Raises
    ------
    TypeError, ValueError
        If an array has another dtype, shape or layout, or the numbers do not fit the bands.
    """
    dn = _check.array("dn", dn, _check.DN, 3)
    out = _check.array("out", out, np.float32, 3, written=True)
    valid_out = _check.array("valid_out", valid_out, np.float32, 3, written=True)
    _check.same_shape("out", out, "dn", dn.shape)
    _check.mask_like("valid_out", valid_out, dn.shape)
    offset, quantification = radiometry.checked(dn.shape[0])
    numbers = normalization.checked(dn.shape[0])
    if dn.size:
        run = _reflectance_standardize[dn.dtype.char]
        run(flat(dn), offset, quantification, numbers, flat(out), flat(valid_out))


@dn_kernel(
    "reflectance_standardize",
    "void({dn}[:,::1], f4[::1], f4[::1], f4[:,::1], f4[:,::1], f4[:,::1])",
    inputs=4,
)
def _reflectance_standardize(
    dn: Pixels, offset: Float32, quantification: Float32, numbers: Numbers, out: Numbers, valid_out: Float32
) -> None:
    # Two divisions per pixel still hide behind the memory. Folding them into one factor and one term per band
    # would change the last bits, and apply would no longer equal standardize(reflectance(dn)).
    bands, pixels = dn.shape
    for strip in prange((pixels + STRIP - 1) // STRIP):
        begin = strip * STRIP
        end = min(begin + STRIP, pixels)
        for band in range(bands):
            row = dn[band, begin:end]
            target = out[band, begin:end]
            add = offset[band]
            divisor = quantification[band]
            low, high, mean, std = numbers[0, band], numbers[1, band], numbers[2, band], numbers[3, band]
            for x in range(row.size):
                value = np.float32(row[x])
                rho = _standardized((value + add) / divisor, low, high, mean, std)
                target[x] = rho if has_data(value) else np.float32(0)
            write_band_mask(row, valid_out, band, begin, end)
