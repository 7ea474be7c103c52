"""Pixels of one row between four corners: a bilinear vector, its angles, and how they are stored."""

from __future__ import annotations

import math
from typing import Any

from ._compile import device

_DEGREES = 180.0 / math.pi
_ROUNDER = 1.5 * 2.0**52  # x + r - r rounds x to a whole number (half to even), and vectorises; rint does not


@device
def _surface(corners: Any, axis: Any) -> Any:
    """Coefficients of 1, column, row and column times row between four corners."""
    a, b, c, d = corners[0, axis], corners[1, axis], corners[2, axis], corners[3, axis]
    return a, b - a, c - a, d - c - b + a


@device
def _value(surface: Any, col: Any, row: Any) -> Any:
    return surface[0] + surface[1] * col + (surface[2] + surface[3] * col) * row


@device
def _rounded(value: Any) -> Any:
    return value + _ROUNDER - _ROUNDER


@device
def write_sines(corners: Any, inside: Any, numbers: Any, out: Any, y: Any, t: Any, stop: Any) -> None:
    """Write sine and cosine of zenith and azimuth to the pixels t to stop of a row."""
    east, north, up = _surface(corners, 0), _surface(corners, 1), _surface(corners, 2)
    col, col_step, row, row_step, start = inside
    zen_factor, zen_back, azi_factor, azi_back = numbers[0], numbers[2], numbers[4], numbers[6]
    missing = numbers[10]
    zen_sin, zen_cos, azi_sin, azi_cos = out[0, y], out[1, y], out[2, y], out[3, y]
    for x in range(t, stop):
        fc = col + col_step * (x - start)
        fr = row + row_step * (x - start)
        e, n, u = _value(east, fc, fr), _value(north, fc, fr), _value(up, fc, fr)
        flat2 = e * e + n * n
        flat = math.sqrt(flat2)
        inverse = 1.0 / math.sqrt(flat2 + u * u)
        turn = 1.0 / flat if flat > 0 else 0.0
        good = inverse == inverse
        zen_sin[x] = _rounded(flat * inverse * zen_factor) * zen_back if good else missing
        zen_cos[x] = _rounded(u * inverse * zen_factor) * zen_back if good else missing
        azi_sin[x] = _rounded(e * turn * azi_factor) * azi_back if good else missing
        azi_cos[x] = _rounded((n * turn if flat != 0 else 1.0) * azi_factor) * azi_back if good else missing


@device
def write_degrees(corners: Any, inside: Any, numbers: Any, out: Any, y: Any, t: Any, stop: Any) -> None:
    """Write zenith and azimuth in degrees to the pixels t to stop of a row."""
    east, north, up = _surface(corners, 0), _surface(corners, 1), _surface(corners, 2)
    col, col_step, row, row_step, start = inside
    zen_factor, zen_offset, zen_back, zen_base = numbers[0], numbers[1], numbers[2], numbers[3]
    azi_factor, azi_offset, azi_back, azi_base = numbers[4], numbers[5], numbers[6], numbers[7]
    full_turn, no_turn, missing = numbers[8], numbers[9], numbers[10]
    zenith, azimuth = out[0, y], out[1, y]
    for x in range(t, stop):
        fc = col + col_step * (x - start)
        fr = row + row_step * (x - start)
        e, n, u = _value(east, fc, fr), _value(north, fc, fr), _value(up, fc, fr)
        flat = math.sqrt(e * e + n * n)
        angle = _arctangent(flat, u)
        good = flat + u == flat + u
        a = _rounded((angle * _DEGREES - zen_offset) * zen_factor)
        zenith[x] = a * zen_back + zen_base if good else missing
        angle = _arctangent(abs(e), abs(n))
        angle = math.pi - angle if n < 0 else angle
        angle = 2.0 * math.pi - angle if e < 0 else angle
        p = _rounded((angle * _DEGREES - azi_offset) * azi_factor) * azi_back + azi_base
        p = no_turn if p >= full_turn else p
        azimuth[x] = p if good else missing


@device
def _arctangent(across: Any, along: Any) -> Any:
    """Angle of a vector in radians, from `along` towards `across`, which is not negative."""
    # Calls of atan2 keep the loop from being vectorised, 6 times slower. Reduced to |s| <= tan(22.5 degrees), where
    # the polynomial (fitted at Chebyshev points) is off by 3e-13.
    low = min(across, along)
    high = max(across, along)
    ratio = low / high if high > 0 else 0.0
    big = ratio > 0.41421356237309503
    s = (ratio - 1.0) / (ratio + 1.0) if big else ratio
    w = s * s
    poly = 0.06977007251959402 - 0.037701774302345746 * w
    poly = 0.11103534961961065 + w * (-0.08993217715106384 + w * poly)
    poly = 0.19999993188943355 + w * (-0.14285391261828229 + w * poly)
    poly = 0.9999999999992705 + w * (-0.3333333327838488 + w * poly)
    angle = s * poly + (0.7853981633974483 if big else 0.0)
    return 1.5707963267948966 - angle if across > along else angle
