"""What a kernel may be given: wrappers check their arguments here, and say what to do about a wrong one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import DTypeLike, NDArray

DN = (np.float32, np.uint16)
"""What DN are held in: float32 as resampling makes them, uint16 as products store them."""
AXES = {1: "(value,)", 2: "(y, x)", 3: "(band, y, x)"}


def array(
    name: str, value: Any, dtypes: DTypeLike | Sequence[DTypeLike], axes: int, *, written: bool = False
) -> NDArray[Any]:
    """Return `value` as a base-class array if a kernel can use it as it is, else raise."""
    allowed = [np.dtype(one) for one in (dtypes if isinstance(dtypes, tuple) else (dtypes,))]
    wanted = f"a C-contiguous {' or '.join(map(str, allowed))} array {AXES[axes]}"
    if not isinstance(value, np.ndarray):
        msg = f"{name}: expected {wanted}, got {type(value).__name__}; pass a NumPy array"
        raise TypeError(msg)
    if isinstance(value, np.ma.MaskedArray):
        msg = (
            f"{name}: expected {wanted}, got a masked array whose mask would be ignored; "
            "fill masked pixels with the nodata value 0 first: array.filled(0)"
        )
        raise TypeError(msg)
    if value.dtype not in allowed:
        msg = (
            f"{name}: expected {wanted}, got dtype {value.dtype}{_byte_order(value.dtype)}; "
            f"convert it with numpy.ascontiguousarray({name}, dtype='{allowed[0]}')"
        )
        raise TypeError(msg)
    if value.ndim != axes:
        msg = f"{name}: expected {wanted}, got shape {value.shape}; reshape it to {axes} axes"
        raise ValueError(msg)
    if not (value.flags.c_contiguous and value.flags.aligned):
        msg = (
            f"{name}: expected {wanted}, got strides {value.strides} for shape {value.shape}; "
            f"copy it with numpy.ascontiguousarray({name})"
        )
        raise ValueError(msg)
    if written and not value.flags.writeable:
        msg = f"{name}: expected a writable array, got a read-only one; pass a copy of your own"
        raise ValueError(msg)
    return value.view(np.ndarray)


def same_shape(name: str, value: NDArray[Any], other_name: str, shape: tuple[int, ...]) -> None:
    """Raise unless `value` has the shape that `other_name` asks for."""
    if value.shape != shape:
        msg = f"{name}: expected shape {shape} to go with {other_name}, got {value.shape}"
        raise ValueError(msg)


def mask_like(name: str, value: NDArray[Any], shape_byx: tuple[int, ...]) -> None:
    """Raise unless `value` is one mask channel, or one per band."""
    if value.shape[1:] != shape_byx[1:] or value.shape[0] not in (1, shape_byx[0]):
        msg = (
            f"{name}: expected shape {(1, *shape_byx[1:])} (one mask: AND over the bands) or {shape_byx} "
            f"(one per band), got {value.shape}"
        )
        raise ValueError(msg)


def per_band(name: str, values: Any, bands: int, *, positive: bool = False) -> NDArray[np.float32]:
    """Return one finite float32 per band, else raise."""
    numbers = np.asarray(values, dtype=np.float32)
    if numbers.shape != (bands,):
        msg = f"{name}: expected {bands} numbers, one per band, got shape {numbers.shape}"
        raise ValueError(msg)
    if not np.isfinite(numbers).all():
        msg = f"{name}: expected finite numbers, got {numbers.tolist()}"
        raise ValueError(msg)
    if positive and not (numbers > 0).all():
        msg = f"{name}: expected numbers above 0, got {numbers.tolist()}"
        raise ValueError(msg)
    return np.ascontiguousarray(numbers)


def _byte_order(dtype: np.dtype[Any]) -> str:
    return "" if dtype.isnative else " (not in native byte order)"
