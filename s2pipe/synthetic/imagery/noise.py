"""Seeded noise over the ground: any strip of rows equals the same rows of the whole.

Values depend on absolute ground coordinates and a seed alone, through an integer hash of lattice indices, so
that rasters can be made strip by strip, in any order, at any resolution.
"""

from __future__ import annotations

from typing import cast

import numpy as np

_MULTIPLIERS = (0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D, 0x27D4EB2F)
"""Odd 32-bit constants without structure (golden ratio and primes): any such set will do."""
_SMOOTH_STD = 0.55 / np.sqrt(12.0)
"""Standard deviation of uniform lattice values after a quadratic B-spline along both axes."""


def mix(*parts: np.ndarray | int) -> np.ndarray:
    """Hash integers (arrays broadcast) to uint32, well mixed."""
    state = np.array(0x2545F491, np.uint32)
    with np.errstate(over="ignore"):
        for part in parts:
            word = np.asarray(part).astype(np.int64).astype(np.uint32)
            state = (state ^ word) * np.uint32(_MULTIPLIERS[0])
            state ^= state >> np.uint32(15)
            state = state * np.uint32(_MULTIPLIERS[1])
            state ^= state >> np.uint32(13)
    return cast("np.ndarray", state)


def unit(hashed: np.ndarray) -> np.ndarray:
    """Turn hashes into float32 in [0, 1)."""
    return (hashed >> np.uint32(8)).astype(np.float32) * np.float32(2.0**-24)


def smooth(x: np.ndarray, y: np.ndarray, wavelength_m: float, seed: int) -> np.ndarray:
    """Smooth noise of mean 0 and standard deviation 1.

    Parameters
    ----------
    x, y : numpy.ndarray
        Ground coordinates of columns ``(x,)`` and rows ``(y,)`` in metres.
    wavelength_m : float
        Lattice spacing in metres.
    seed : int
        Which noise.

    Returns
    -------
    numpy.ndarray
        ``(y, x)`` float32.
    """
    cols, col_weights = _spline(x, wavelength_m)
    rows, row_weights = _spline(y, wavelength_m)
    first_col, first_row = int(cols.min()) - 1, int(rows.min()) - 1
    lattice_cols = np.arange(first_col, int(cols.max()) + 2)
    lattice_rows = np.arange(first_row, int(rows.max()) + 2)
    lattice = unit(mix(seed, lattice_rows[:, np.newaxis], lattice_cols[np.newaxis, :])) - np.float32(0.5)
    lattice *= np.float32(1.0 / _SMOOTH_STD)
    rows, cols = rows - first_row, cols - first_col
    along = sum(w[:, np.newaxis] * lattice[rows + k - 1] for k, w in enumerate(row_weights))
    result = np.take(along, cols - 1, axis=1)
    result *= col_weights[0]
    for k in (1, 2):
        term = np.take(along, cols + k - 1, axis=1)
        term *= col_weights[k]
        result += term
    return result


def fractal(
    x: np.ndarray, y: np.ndarray, wavelength_m: float, octaves: int, seed: int, gain: float = 0.5
) -> np.ndarray:
    """Sum of smooth noises, each of half the wavelength and ``gain`` times the strength of the one before.

    Mean 0, standard deviation 1; shapes as in :func:`smooth`.
    """
    total = smooth(x, y, wavelength_m, seed)
    strength, power = 1.0, 1.0
    for octave in range(1, octaves):
        strength *= gain
        power += strength**2
        finer = smooth(x, y, wavelength_m / 2.03**octave, seed + 7919 * octave)
        finer *= np.float32(strength)
        total += finer
    total *= np.float32(power**-0.5)
    return total


def grain(shape_yx: tuple[int, int], std: float, *key: int) -> np.ndarray:
    """White, triangular noise for a strip, float32, drawn from a bit stream of its own.

    Parameters
    ----------
    shape_yx : tuple of int
        Rows and columns.
    std : float
        Standard deviation.
    key : int
        Identifies the strip: same key, same noise.
    """
    # Raw bytes of a bit generator are the one random stream that NumPy keeps stable between versions.
    raw = np.random.SFC64(np.random.SeedSequence(key)).random_raw(-(-2 * shape_yx[0] * shape_yx[1] // 8))
    pairs = raw.view(np.uint8)[: 2 * shape_yx[0] * shape_yx[1]].reshape(2, *shape_yx)
    total: np.ndarray = pairs[0].astype(np.float32)
    total += pairs[1]
    total -= np.float32(255.0)
    total *= np.float32(std / 104.51)
    return total


def _spline(coordinate: np.ndarray, wavelength_m: float) -> tuple[np.ndarray, list[np.ndarray]]:
    """Nearest lattice index and quadratic B-spline weights of it and its two neighbours."""
    position = np.asarray(coordinate, np.float64) / wavelength_m
    nearest = np.rint(position)
    offset = (position - nearest).astype(np.float32)
    weights = [
        np.float32(0.5) * (np.float32(0.5) - offset) ** 2,
        np.float32(0.75) - offset**2,
        np.float32(0.5) * (np.float32(0.5) + offset) ** 2,
    ]
    return nearest.astype(np.int64), weights
