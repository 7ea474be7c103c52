"""Arguments that the kernels refuse, and rules that every kernel keeps (docs/data-model.md)."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import s2kernels as k
from s2kernels.reference import COMPARISONS, Comparison, sample_dn


def arguments(comparison: Comparison) -> dict[str, Any]:
    inputs = comparison.inputs(sample_dn((2, 8, 9), np.random.default_rng(1)), np.random.default_rng(1))
    return {**inputs, **comparison.outputs(inputs)}


RASTERS = [
    pytest.param(comparison, name, id=f"{comparison.name}-{name}")
    for comparison in COMPARISONS
    for name, value in arguments(comparison).items()
    if isinstance(value, np.ndarray) and value.ndim >= 2
]


@pytest.mark.parametrize(("comparison", "name"), RASTERS)
def test_wrong_rasters_are_refused(comparison: Comparison, name: str) -> None:
    good = arguments(comparison)
    array = good[name]
    wrong = {
        "expected .*got dtype float64": array.astype(np.float64),
        "expected .*got dtype int16": array.astype(np.int16),
        "expected .*got strides": np.repeat(array, 2, axis=-1)[..., ::2],
        "expected .*got shape": array[None],
        "expected .*got list": array.tolist(),
        "expected .*mask would be ignored": np.ma.masked_equal(array, 0),
    }
    for message, value in wrong.items():
        with pytest.raises((TypeError, ValueError), match=message) as caught:
            comparison.kernel(**{**good, name: value})
        assert name in str(caught.value)


@pytest.mark.parametrize(("comparison", "name"), RASTERS)
def test_other_byte_orders_are_refused(comparison: Comparison, name: str) -> None:
    good = arguments(comparison)
    if good[name].dtype.itemsize == 1:
        pytest.skip("one byte has no order")
    swapped = good[name].astype(good[name].dtype.newbyteorder())
    with pytest.raises(TypeError, match="not in native byte order"):
        comparison.kernel(**{**good, name: swapped})


@pytest.mark.parametrize(
    ("comparison", "name"),
    [param for param in RASTERS if param.values[1] in ("out", "valid_out", "fraction", "valid")],
)
def test_rasters_that_do_not_fit_each_other_are_refused(comparison: Comparison, name: str) -> None:
    good = arguments(comparison)
    larger = np.zeros((*good[name].shape[:-1], good[name].shape[-1] + 1), good[name].dtype)
    with pytest.raises(ValueError, match="expected shape"):
        comparison.kernel(**{**good, name: larger})


@pytest.mark.parametrize(
    ("comparison", "name"), [param for param in RASTERS if param.values[1] in ("out", "valid_out")]
)
def test_read_only_outputs_are_refused(comparison: Comparison, name: str) -> None:
    good = arguments(comparison)
    good[name].flags.writeable = False
    with pytest.raises(ValueError, match=f"{name}: expected a writable array"):
        comparison.kernel(**good)


def test_bad_numbers_are_refused() -> None:
    dn, out = np.ones((2, 3, 4), np.float32), np.empty((2, 3, 4), np.float32)
    for radiometry, message in (
        (k.Radiometry([0.0], [1.0]), "radiometry.offset: expected 2 numbers"),
        (k.Radiometry([0.0, np.nan], [1.0, 1.0]), "radiometry.offset: expected finite"),
        (k.Radiometry([0.0, 0.0], [1.0, 0.0]), "radiometry.quantification: expected numbers above 0"),
    ):
        with pytest.raises(ValueError, match=re.escape(message)):
            k.reflectance(dn, radiometry, out)
    with pytest.raises(ValueError, match="low <= high"):
        k.standardize(dn, dn, k.Normalization([1, 1], [0, 2], [0, 0], [1, 1]), out)
    with pytest.raises(ValueError, match="std: expected numbers above 0"):
        k.standardize(dn, dn, k.Normalization([0, 0], [1, 2], [0, 0], [1, 0]), out)
    with pytest.raises(ValueError, match="minimum: expected a share"):
        k.drop_below_fraction(dn, out, 1.5)


def test_reflectance_is_a_true_division() -> None:
    every_dn = np.arange(65536, dtype=np.float32).reshape(1, 256, 256)
    expected = every_dn / np.float32(10000)
    out = np.empty_like(every_dn)
    k.reflectance(every_dn, k.Radiometry([0], [10000]), out)
    assert out.tobytes() == expected.tobytes()
    reciprocal = every_dn * (np.float32(1) / np.float32(10000))
    assert (reciprocal != expected).mean() > 0.2


def test_valid_pixels_may_have_reflectance_zero_or_less() -> None:
    dn = np.array([[[0, 1, 1000, 65535, np.nan]]], np.float32)
    out, valid = np.empty_like(dn), np.empty_like(dn)
    k.reflectance_valid(dn, k.Radiometry([-1000], [10000]), out, valid)
    np.testing.assert_array_equal(out, np.array([[[0, -0.0999, 0, 6.4535, 0]]], np.float32))
    np.testing.assert_array_equal(valid, [[[0, 1, 1, 1, 0]]])


def test_each_band_is_masked_by_itself_and_single_is_their_and() -> None:
    dn = np.array([[[0, 2000]], [[3000, 4000]]], np.float32)
    out, valid = np.empty_like(dn), np.empty((1, 1, 2), np.float32)
    k.reflectance_valid(dn, k.Radiometry([0, 0], [10000, 10000]), out, valid)
    np.testing.assert_array_equal(out, np.array([[[0, 0.2]], [[0.3, 0.4]]], np.float32))
    np.testing.assert_array_equal(valid, [[[0, 1]]])


def test_output_may_be_the_input() -> None:
    dn = sample_dn((2, 200, 300), np.random.default_rng(1))
    expected = np.empty_like(dn)
    radiometry = k.Radiometry([-1000, 0], [10000, 10000])
    k.reflectance(dn, radiometry, expected)
    k.reflectance(dn, radiometry, dn)
    np.testing.assert_array_equal(dn, expected)


def test_neighbouring_slices_of_one_buffer_are_written_exactly() -> None:
    dn = sample_dn((3, 40, 50), np.random.default_rng(1))
    buffer = np.full((6, 40, 50), 9, np.float32)
    k.reflectance_valid(dn, k.Radiometry.identity(3), buffer[1:4], buffer[4:5])
    assert (buffer[0] == 9).all()
    assert (buffer[5] == 9).all()
    np.testing.assert_array_equal(buffer[4], (dn != 0).all(axis=0))


def test_label_lut_and_counts_over_windows() -> None:
    lut = k.label_lut({4: 1, 5: 2}, fill=255)
    assert lut.dtype == np.uint8
    assert (lut[4], lut[5], lut[0], lut[200]) == (1, 2, 255, 255)
    labels = np.array([[4, 4, 5], [0, 11, 4]], np.uint8)
    out, counts = np.empty_like(labels), np.zeros(256, np.int64)
    k.map_labels(labels, lut, out, counts)
    k.map_labels(labels, lut, out, counts)
    np.testing.assert_array_equal(out, [[1, 1, 2], [255, 255, 1]])
    assert (counts[1], counts[2], counts[255], counts.sum()) == (6, 2, 4, 12)


@pytest.mark.parametrize("target", [np.uint8, np.uint16])
def test_uint16_labels(target: Any) -> None:
    labels = np.arange(60000, dtype=np.uint16).reshape(200, 300)
    lut = k.label_lut({7: 3, 59999: 200}, fill=0, source=np.uint16, target=target)
    out, counts = np.empty(labels.shape, target), np.zeros(201, np.int64)
    k.map_labels(labels, lut, out, counts)
    np.testing.assert_array_equal(out, lut[labels])
    assert (counts[3], counts[200], counts[0]) == (1, 1, 59998)


def test_bad_label_arguments_are_refused() -> None:
    labels = np.zeros((2, 2), np.uint8)
    lut = k.label_lut({}, fill=9)
    with pytest.raises(ValueError, match="at least 10 entries"):
        k.map_labels(labels, lut, labels.copy(), np.zeros(9, np.int64))
    with pytest.raises(ValueError, match="lut: expected shape"):
        k.map_labels(labels, lut[:20], labels.copy(), np.zeros(10, np.int64))
    with pytest.raises(ValueError, match="target below 256"):
        k.label_lut({1: 300}, fill=0)
