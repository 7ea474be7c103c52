"""Directions between nodes: precision, encodings, and what the kernel refuses."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import s2kernels as k
from s2kernels.reference import COMPARISONS, sample_dn
from s2kernels.reference import interpolate_directions as reference


def field_of(zenith: Any, azimuth: Any) -> k.DirectionField:
    """One slot, seen by detector 0."""
    zenith, azimuth = np.radians(zenith), np.radians(azimuth)
    vectors = np.stack(
        (np.sin(zenith) * np.sin(azimuth), np.sin(zenith) * np.cos(azimuth), np.cos(zenith)), axis=-1
    )
    return k.DirectionField(vectors[np.newaxis], np.zeros((1, 256), np.int16))


def place_of(nodes_yx: tuple[int, int], pixels_per_cell: int) -> Any:
    """Pixel (0, 0) on node (0, 0)."""
    last = [(count - 1) * pixels_per_cell for count in nodes_yx]
    i, j = np.meshgrid((0, nodes_yx[0] - 1), (0, nodes_yx[1] - 1), indexing="ij")
    return k.Placement(np.array((j, i), float), tuple(last), (0, 0)), tuple(size + 1 for size in last)


def directions(
    field: Any, place: Any, shape_yx: Any, encode: str, dtype: str = "float32", detectors: Any = None
) -> Any:
    encoding = k.AngleEncoding.of(encode, dtype)
    out = np.full((encoding.channels, *shape_yx), 77, dtype)
    k.interpolate_directions(field, place, detectors, encoding, out)
    return out


def decoded(out: Any, encode: str, dtype: str) -> Any:
    """Zenith and azimuth in degrees."""
    encoding = k.AngleEncoding.of(encode, dtype)
    values = out.astype(np.float64)
    if dtype == "int16":
        values = values * encoding.scale
        values[len(values) // 2 :] += encoding.azimuth_offset
    if encode == "deg":
        return values
    return np.degrees(np.arctan2(values[0::2], values[1::2])) % [[[360.0]], [[360.0]]]


def turn(one: Any, other: Any) -> Any:
    """Difference of two azimuths."""
    return np.abs((one - other + 180.0) % 360.0 - 180.0)


@pytest.mark.parametrize(("dtype", "limit"), [("float32", 6e-5), ("int16", 6e-3)])
@pytest.mark.parametrize("encode", ["sin_cos", "deg"])
def test_every_azimuth_and_zenith_survives(encode: str, dtype: str, limit: int) -> None:
    zenith, azimuth = np.meshgrid(np.linspace(0.5, 89.5, 90), np.linspace(0.0, 360.0, 73))
    zenith[0, 0] = 45.0
    place, shape_yx = place_of(zenith.shape, 1)
    got = decoded(directions(field_of(zenith, azimuth), place, shape_yx, encode, dtype), encode, dtype)
    assert np.abs(got[0] - zenith).max() < limit
    assert turn(got[1], azimuth).max() < limit
    assert (got[1] < 360.0).all()


def test_degrees_agree_with_sine_and_cosine() -> None:
    rng = np.random.default_rng(5)
    field = field_of(rng.uniform(0.1, 85, (6, 7)), rng.uniform(0, 360, (6, 7)))
    place, shape_yx = place_of((6, 7), 40)
    both = [decoded(directions(field, place, shape_yx, e), e, "float32") for e in ("sin_cos", "deg")]
    assert np.abs(both[0][0] - both[1][0]).max() < 1e-3
    # Near nadir an azimuth means little, and rounding turns it more.
    assert (turn(both[0][1], both[1][1]) * np.sin(np.radians(both[1][0]))).max() < 1e-3


def test_azimuth_does_not_wrap_between_nodes() -> None:
    azimuth = np.array([[359.0, 1.0], [359.0, 1.0]])
    place, shape_yx = place_of((2, 2), 10)
    got = directions(field_of(np.full((2, 2), 30.0), azimuth), place, shape_yx, "deg")
    expected = 359.0 + 0.2 * np.arange(11)
    assert turn(got[1], expected[np.newaxis]).max() < 1e-3
    assert np.abs(got[0] - 30.0).max() < 0.01


def test_zenith_zero_has_azimuth_zero() -> None:
    field = field_of(np.zeros((2, 2)), np.zeros((2, 2)))
    place, shape_yx = place_of((2, 2), 3)
    np.testing.assert_array_equal(
        directions(field, place, shape_yx, "sin_cos"),
        np.array([0, 1, 0, 1], np.float32).reshape(4, 1, 1) * np.ones((1, *shape_yx), np.float32),
    )
    np.testing.assert_array_equal(directions(field, place, shape_yx, "deg"), np.zeros((2, *shape_yx)))


@pytest.mark.parametrize(("dtype", "missing"), [("float32", np.nan), ("int16", -32768)])
def test_missing_pixels(dtype: str, missing: Any) -> None:
    field = field_of(np.full((3, 3), 20.0), np.full((3, 3), 100.0))
    field.slots[:] = -1
    field.slots[0, 4] = 0
    place, shape_yx = place_of((3, 3), 4)
    detectors = np.zeros((1, *shape_yx), np.uint8)
    detectors[0, 2:5, 3:7] = 4
    detectors[0, 7, 7] = 9
    out = directions(field, place, shape_yx, "sin_cos", dtype, detectors)
    is_missing = np.isnan(out) if dtype == "float32" else out == missing
    np.testing.assert_array_equal(is_missing, np.broadcast_to(detectors != 4, out.shape))


@pytest.mark.parametrize("encode", ["sin_cos", "deg"])
def test_int16_equals_the_reference(encode: str) -> None:
    comparison = next(c for c in COMPARISONS if c.name == "interpolate_directions[sin_cos]")
    encoding = k.AngleEncoding.of(encode, "int16")
    inputs = {
        **comparison.inputs(sample_dn((3, 131, 257), np.random.default_rng(1)), np.random.default_rng(7)),
        "encoding": encoding,
    }
    out = np.full((encoding.channels, 131, 257), 77, np.int16)
    (expected,) = reference(**inputs, out=out)
    k.interpolate_directions(**inputs, out=out)
    np.testing.assert_array_equal(out, expected)
    assert (out == -32768).any()
    assert (out != -32768).any()


def test_windows_do_not_change_values() -> None:
    comparison = next(c for c in COMPARISONS if c.name == "interpolate_directions[sin_cos]")
    inputs = comparison.inputs(sample_dn((3, 96, 120), np.random.default_rng(1)), np.random.default_rng(7))
    whole = np.empty((4, 96, 120), np.float32)
    k.interpolate_directions(**inputs, out=whole)
    row, col = inputs["place"].origin_yx
    for top, left, height, width in ((0, 0, 50, 120), (31, 17, 40, 64), (95, 119, 1, 1)):
        part = np.empty((4, height, width), np.float32)
        where = np.s_[:, top : top + height, left : left + width]
        k.interpolate_directions(
            inputs["field"],
            inputs["place"]._replace(origin_yx=(row + top, col + left)),
            np.ascontiguousarray(inputs["detectors"][where]),
            inputs["encoding"],
            part,
        )
        np.testing.assert_array_equal(part, whole[where])


def test_wrong_arguments_are_refused() -> None:
    field = field_of(np.full((3, 3), 20.0), np.full((3, 3), 100.0))
    place, shape_yx = place_of((3, 3), 4)
    encoding = k.AngleEncoding.of("sin_cos")
    out = np.empty((4, *shape_yx), np.float32)
    for arguments, message in (
        ((field, place._replace(origin_yx=(1, 0)), None, encoding, out), "do not cover pixels 1 to 9"),
        ((field, place._replace(nodes=place.nodes[:1]), None, encoding, out), "place.nodes: expected shape"),
        ((field, place, None, encoding, out[:2]), "out: expected shape (4, y, x)"),
        ((field._replace(vectors=field.vectors[0]), place, None, encoding, out), "field.vectors: expected"),
        ((field._replace(slots=field.slots[:, :9]), place, None, encoding, out), "field.slots: expected"),
        ((field._replace(slots=field.slots + 1), place, None, encoding, out), "expected slots below 1"),
        (
            (field, place, np.zeros((2, *shape_yx), np.uint8), encoding, out),
            "detectors: expected shape (1, 9, 9)",
        ),
    ):
        with pytest.raises(ValueError, match=re.escape(message)):
            k.interpolate_directions(*arguments)
    with pytest.raises(ValueError, match="got deg float16"):
        k.AngleEncoding.of("deg", "float16")
