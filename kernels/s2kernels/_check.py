"""What a kernel may be given: wrappers check their arguments here, and say what to do about a wrong one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

AXES = {1: "(value,)", 2: "(y, x)", 3: "(band, y, x)"}


def array(
    name: str, value: Any, dtypes: DTypeLike | Sequence[DTypeLike], axes: int, *, written: bool = False
) -> NDArray[Any]:
    """Return `value` as a base-class array if a kernel can use it as it is, else raise."""
    allowed = [np.dtype(one) for one in (dtypes if isinstance(dtypes, tuple) else (dtypes,))]
    wanted = f"a C-contiguous {' or '.join(map(str, allowed))} array {AXES[axes]}"
    if not isinstance(value, np.ndarray):
        raise TypeError(f"{name}: expected {wanted}, got {type(value).__name__}; pass a NumPy array")
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(
            f"{name}: expected {wanted}, got a masked array whose mask would be ignored; "
            "fill masked pixels with the nodata value 0 first: array.filled(0)"
        )
    if value.dtype not in allowed:
        raise TypeError(
            f"{name}: expected {wanted}, got dtype {value.dtype}{_byte_order(value.dtype)}; "
            f"convert it with numpy.ascontiguousarray({name}, dtype='{allowed[0]}')"
        )
    if value.ndim != axes:
        raise ValueError(f"{name}: expected {wanted}, got shape {value.shape}; reshape it to {axes} axes")
    if not (value.flags.c_contiguous and value.flags.aligned):
        raise ValueError(
            f"{name}: expected {wanted}, got strides {value.strides} for shape {value.shape}; "
            f"copy it with numpy.ascontiguousarray({name})"
        )
    if written and not value.flags.writeable:
        raise ValueError(f"{name}: expected a writable array, got a read-only one; pass a copy of your own")
    return value.view(np.ndarray)


def same_shape(name: str, value: NDArray[Any], other_name: str, shape: tuple[int, ...]) -> None:
    """Raise unless `value` has the shape that `other_name` asks for."""
    if value.shape != shape:
        raise ValueError(f"{name}: expected shape {shape} to go with {other_name}, got {value.shape}")


def mask_like(name: str, value: NDArray[Any], shape_byx: tuple[int, ...]) -> None:
    """Raise unless `value` is one mask channel, or one a band."""
    if value.shape[1:] != shape_byx[1:] or value.shape[0] not in (1, shape_byx[0]):
        raise ValueError(
            f"{name}: expected shape {(1, *shape_byx[1:])} (one mask: AND over the bands) or {shape_byx} "
            f"(one a band), got {value.shape}"
        )


def per_band(name: str, values: Any, bands: int, *, positive: bool = False) -> NDArray[np.float32]:
    """Return one finite float32 a band, else raise."""
    numbers = np.asarray(values, dtype=np.float32)
    if numbers.shape != (bands,):
        raise ValueError(f"{name}: expected {bands} numbers, one a band, got shape {numbers.shape}")
    if not np.isfinite(numbers).all():
        raise ValueError(f"{name}: expected finite numbers, got {numbers.tolist()}")
    if positive and not (numbers > 0).all():
        raise ValueError(f"{name}: expected numbers above 0, got {numbers.tolist()}")
    return np.ascontiguousarray(numbers)


def _byte_order(dtype: np.dtype[Any]) -> str:
    return "" if dtype.isnative else " (not in native byte order)"
