"""Every kernel of the comparison table against its NumPy reference."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from s2kernels.reference import COMPARISONS, Comparison, sample_dn

if TYPE_CHECKING:
    from pathlib import Path

SPECIAL = np.array([0, -0.0, np.nan, 1, 999, 1000, 65535, -5, 0.25, 1234.567, 3e38, np.inf], np.float32)


def ragged() -> np.ndarray:
    return sample_dn((3, 131, 257), np.random.default_rng(1))


def special() -> np.ndarray:
    """Every special DN beside every other, in bands that disagree about validity."""
    rng = np.random.default_rng(2)
    return rng.choice(SPECIAL, (4, 37, 71)).astype(np.float32)


def longer_than_a_strip() -> np.ndarray:
    return sample_dn((2, 150, 400), np.random.default_rng(3))


WINDOWS = {
    "ragged": ragged,
    "special": special,
    "longer than a strip": longer_than_a_strip,
    "one band": lambda: sample_dn((1, 64, 65), np.random.default_rng(4)),
    "one row": lambda: sample_dn((3, 1, 300), np.random.default_rng(5)),
    "one column": lambda: sample_dn((3, 300, 1), np.random.default_rng(6)),
    "one pixel": lambda: np.full((2, 1, 1), 4321, np.float32),
    "one invalid pixel": lambda: np.zeros((2, 1, 1), np.float32),
    "all invalid": lambda: np.zeros((2, 20, 30), np.float32),
    "no rows": lambda: np.zeros((2, 0, 30), np.float32),
    "no columns": lambda: np.zeros((2, 30, 0), np.float32),
}


def compared(comparison: Comparison, inputs: dict[str, Any]) -> tuple[Any, Any]:
    """(expected, got) of one comparison on fresh outputs."""
    expected = comparison.reference(**{**inputs, **comparison.outputs(inputs)})
    outputs = comparison.outputs(inputs)
    returned = comparison.kernel(**{**inputs, **outputs})
    return expected, comparison.collect(outputs, returned)


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("comparison", COMPARISONS, ids=lambda comparison: comparison.name)
@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")
def test_kernel_equals_reference(comparison: Comparison, window: tuple[int, int]) -> None:
    inputs = comparison.inputs(WINDOWS[window](), np.random.default_rng(7))
    before = {name: value.copy() for name, value in inputs.items() if isinstance(value, np.ndarray)}

    expected, got = compared(comparison, inputs)

    assert len(got) == len(expected)
    for one, other in zip(got, expected, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)  # bit-equal but for the sign of 0 and the payload of NaN
    for name, value in before.items():
        np.testing.assert_array_equal(inputs[name], value)


WITH_BANDS = [one for one in COMPARISONS if not one.name.startswith("map_labels")]


@pytest.mark.parametrize("comparison", WITH_BANDS, ids=lambda comparison: comparison.name)
def test_no_bands_is_a_no_op(comparison: Comparison) -> None:
    inputs = comparison.inputs(np.zeros((0, 4, 5), np.float32), np.random.default_rng(1))
    outputs = comparison.outputs(inputs)
    comparison.kernel(**{**inputs, **outputs})
    for array in outputs.values():
        if isinstance(array, np.ndarray):
            assert (array == 77).all()


OF_DN = [one for one in COMPARISONS if "dn" in one.inputs(ragged(), np.random.default_rng(7))]


@pytest.mark.parametrize("comparison", OF_DN, ids=lambda comparison: comparison.name)
@pytest.mark.parametrize("window", ["ragged", "longer than a strip", "one pixel", "no rows"])
def test_uint16_dn_give_the_same_as_float32(comparison: Comparison, window: str) -> None:
    inputs = comparison.inputs(WINDOWS[window](), np.random.default_rng(7))
    outputs = comparison.outputs(inputs)
    expected = comparison.collect(outputs, comparison.kernel(**{**inputs, **outputs}))
    stored = {**inputs, "dn": inputs["dn"].astype(np.uint16)}
    outputs = comparison.outputs(inputs)
    if "dn" in outputs:  # changed in place
        outputs["dn"] = outputs["dn"].astype(np.uint16)
    got = comparison.collect(outputs, comparison.kernel(**{**stored, **outputs}))
    for one, other in zip(got, expected, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("comparison", COMPARISONS, ids=lambda comparison: comparison.name)
def test_read_only_and_memory_mapped_inputs(comparison: Comparison, tmp_path: Path) -> None:
    inputs = comparison.inputs(ragged(), np.random.default_rng(7))
    for number, (name, value) in enumerate(inputs.items()):
        if isinstance(value, np.ndarray):
            np.save(tmp_path / f"{number}.npy", value)
            inputs[name] = np.load(tmp_path / f"{number}.npy", mmap_mode="r")

    expected, got = compared(comparison, inputs)

    for one, other in zip(got, expected, strict=True):
        np.testing.assert_array_equal(one, other)
