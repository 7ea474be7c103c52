"""Label mapping through a lookup table, with exact counts of what came out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from . import _check
from ._compile import kernel, prange

_RUN = 16


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
            raise ValueError(
                f"label mapping {key} -> {value}: expected a source below {n_source} and a target below {n_target}; "
                "choose a larger dtype"
            )
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
        raise ValueError(
            f"counts: expected at least {int(lut.max()) + 1} entries for this lut, got {counts.size}"
        )
    if not labels.size:
        return
    import numba

    # Counted by source label into a table for each thread, and twice so that neighbours of one class do not
    # wait for each other's store: see the kernel.
    private = np.zeros((numba.get_num_threads(), 2, lut.size), np.int64)
    _VARIANTS[labels.dtype.char, lut.dtype.char](labels.reshape(-1), lut, out.reshape(-1), private)
    np.add.at(counts, lut, private.sum(axis=(0, 1)))


def _map_labels(labels, lut, out, private):
    # Labels come in patches: 16 equal neighbours are looked up and counted as one. Without this test a
    # fields-like image is 7 times slower, because each increment of a counter waits for the last store to it;
    # noise, where no such run exists, pays 10 % for it. Pairs looked up in a 65536-entry table were 4 times
    # slower than the runs; comparing with each class in turn is only fast if LLVM vectorises it, which it did
    # not do reliably.
    size = labels.size
    slots = private.shape[0]
    for slot in prange(slots):
        even = private[slot, 0]
        odd = private[slot, 1]
        start = slot * size // slots
        stop = (slot + 1) * size // slots
        full = start + (stop - start) // _RUN * _RUN
        for begin in range(start, full, _RUN):
            run = labels[begin : begin + _RUN]
            target = out[begin : begin + _RUN]
            first = run[0]
            differs = first ^ first
            for x in range(_RUN):
                differs |= run[x] ^ first
            if differs == 0:
                mapped = lut[first]
                for x in range(_RUN):
                    target[x] = mapped
                even[first] += _RUN
            else:
                for x in range(0, _RUN, 2):
                    target[x] = lut[run[x]]
                    target[x + 1] = lut[run[x + 1]]
                    even[run[x]] += 1
                    odd[run[x + 1]] += 1
        for x in range(full, stop):
            out[x] = lut[labels[x]]
            even[labels[x]] += 1


_VARIANTS = {
    (source, target): kernel(
        "map_labels"
        if (source, target) == ("B", "B")
        else f"map_labels:{np.dtype(source)}-{np.dtype(target)}",
        f"void({np.dtype(source)}[::1], {np.dtype(target)}[::1], {np.dtype(target)}[::1], int64[:,:,::1])",
        inputs=2,
    )(_map_labels)
    for source in "BH"
    for target in "BH"
}
