"""Label mapping through a lookup table, with exact counts of what came out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from . import _check
from ._compile import kernel, numba_module, prange

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import DTypeLike, NDArray

    from ._types import Numbers

_LANES = 4
_LANE = 128  # pixels
_MAX_PIXELS = 2**32 - 1


def label_lut(
    mapping: Mapping[int, int], fill: int, source: DTypeLike = np.uint8, target: DTypeLike = np.uint8
) -> NDArray[Any]:
    """Return the lookup table of a mapping, with an entry for every value that `source` can hold.

    Parameters
    ----------
    mapping : mapping of int to int
        Source label -> target label.
    fill : int
        Target of every other label.
    source, target : dtype
        uint8 or uint16.

    Raises
    ------
    ValueError
        If a label does not fit its dtype.
    """
    n_source, n_target = np.iinfo(source).max + 1, np.iinfo(target).max + 1
    for key, value in [*mapping.items(), (0, fill)]:
        if not (0 <= key < n_source and 0 <= value < n_target):
            msg = (
                f"label mapping {key} -> {value}: expected a source below {n_source} and a target "
                f"below {n_target}; choose a larger dtype"
            )
            raise ValueError(msg)
    lut = np.full(n_source, fill, dtype=target)
    for key, value in mapping.items():
        lut[key] = value
    return lut


def map_labels(labels: NDArray[Any], lut: NDArray[Any], out: NDArray[Any], counts: NDArray[np.int64]) -> None:
    """Write lut[label] and add how often each target label was written to `counts`.

    Parameters
    ----------
    labels : uint8 or uint16 array (y, x)
        Source labels.
    lut : uint8 or uint16 array (value,)
        Target of each source label: 256 entries for uint8 labels, 65536 for uint16 (see `label_lut`).
    out : array (y, x) of the dtype of `lut`
        Overwritten.
    counts : int64 array (value,)
        Pixels of each target label, added to what is there, so that it sums over windows. Calls from several
        threads must not share one.

    Raises
    ------
    TypeError, ValueError
        If an array has another dtype, shape or layout, or `counts` has no entry for a target label.
    """
    labels = _check.array("labels", labels, (np.uint8, np.uint16), 2)
    lut = _check.array("lut", lut, (np.uint8, np.uint16), 1)
    out = _check.array("out", out, lut.dtype, 2, written=True)
    counts = _check.array("counts", counts, np.int64, 1, written=True)
    _check.same_shape("out", out, "labels", labels.shape)
    _check.same_shape("lut", lut, f"{labels.dtype} labels", (np.iinfo(labels.dtype).max + 1,))
    if counts.size <= int(lut.max()):
        msg = f"counts: expected at least {int(lut.max()) + 1} entries for this lut, got {counts.size}"
        raise ValueError(msg)
    if not labels.size:
        return
    if labels.size > _MAX_PIXELS:
        msg = f"labels: expected at most {_MAX_PIXELS} pixels in one call, got {labels.size}; split it"
        raise ValueError(msg)
    private = np.zeros((numba_module().get_num_threads(), _LANES, lut.size), np.uint32)
    _VARIANTS[labels.dtype.char, lut.dtype.char](labels.reshape(-1), lut, out.reshape(-1), private)
    np.add.at(counts, lut, private.sum(axis=(0, 1), dtype=np.int64))


def _map_labels(labels: Numbers, lut: Numbers, out: Numbers, private: Numbers) -> None:
    # Two stores per pixel, one of them to a counter, are the limit: 0.35 ns per pixel and core on noise, 0.53 on
    # patches, where an increment waits for the last one to the same counter. Four distant lanes with counters
    # of their own hide part of that wait (one lane: 0.76). Rejected: testing for 16 equal neighbours and
    # counting them at once (0.69 on patches, 0.71 with 1 % speckle, whose branches are mispredicted); pairs
    # of pixels in a table of 65536 (0.65 times the time on noise, 1.1 times on patches, and 1 MB a thread to
    # clear and sum each call); comparing with each class in turn (0.2 to 0.9, as LLVM happens to vectorise it).
    size = labels.size
    slots = private.shape[0]
    for slot in prange(slots):
        start = slot * size // slots
        stop = (slot + 1) * size // slots
        full = start + (stop - start) // (_LANES * _LANE) * (_LANES * _LANE)
        counts_a = private[slot, 0]
        counts_b = private[slot, 1]
        counts_c = private[slot, 2]
        counts_d = private[slot, 3]
        for begin in range(start, full, _LANES * _LANE):
            source = labels[begin : begin + _LANES * _LANE]
            target = out[begin : begin + _LANES * _LANE]
            for x in range(_LANE):
                a = source[x]
                b = source[x + _LANE]
                c = source[x + 2 * _LANE]
                d = source[x + 3 * _LANE]
                target[x] = lut[a]
                target[x + _LANE] = lut[b]
                target[x + 2 * _LANE] = lut[c]
                target[x + 3 * _LANE] = lut[d]
                counts_a[a] += 1
                counts_b[b] += 1
                counts_c[c] += 1
                counts_d[d] += 1
        for x in range(full, stop):
            out[x] = lut[labels[x]]
            counts_a[labels[x]] += 1


_VARIANTS = {
    (source, target): kernel(
        "map_labels"
        if (source, target) == ("B", "B")
        else f"map_labels:{np.dtype(source)}-{np.dtype(target)}",
        f"void({np.dtype(source)}[::1], {np.dtype(target)}[::1], {np.dtype(target)}[::1], uint32[:,:,::1])",
        inputs=2,
    )(_map_labels)
    for source in "BH"
    for target in "BH"
}
