"""Draws that depend on names alone: the same item gets the same number in any order, on any machine."""

from __future__ import annotations

import numpy as np

from s2pipe.runtime.hashing import hash_bytes


def text_seed(text: str) -> int:
    """Return a 64-bit number that stands for a text."""
    return int.from_bytes(bytes.fromhex(hash_bytes(text.encode(), "sha256"))[:8], "little")


def mix(value: np.ndarray) -> np.ndarray:
    """Scramble uint64 one to one: the finaliser of SplitMix64 (Steele, Lea and Flood, 2014)."""
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    scrambled: np.ndarray = value ^ (value >> np.uint64(31))
    return scrambled


def unit(value: np.ndarray) -> np.ndarray:
    """Turn scrambled uint64 into float64 in [0, 1)."""
    return (value >> np.uint64(11)).astype(np.float64) * 2.0**-53
