"""The comparison table: each kernel beside plain NumPy that says what it computes.

It drives the correctness tests and the benchmarks, so that what is timed is what is tested.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

import s2kernels as k

from ._reference_angles import interpolate_directions
from .reference_nbar import nbar
from .reference_sums import map_labels, row_moments

if TYPE_CHECKING:
    from ._types import Float32, Numbers, Pixels, Results

Arguments = dict[str, Any]


def nodata_free(dn: Pixels) -> NDArray[np.bool_]:
    """Where a band is valid."""
    free: NDArray[np.bool_] = (dn != 0) & ~np.isnan(dn)
    return free


def valid_single(dn: Pixels, out: Any) -> Results:
    """1.0 where every band is valid."""
    return (nodata_free(dn).all(axis=0).astype(np.float32),)


def valid_per_band(dn: Pixels, out: Any) -> Results:
    """1.0 where a band is valid."""
    return (nodata_free(dn).astype(np.float32),)


def drop_below_fraction(dn: Pixels, fraction: Float32, minimum: float) -> Results:
    """Keep pixels with enough valid source area."""
    return (np.where(fraction >= np.float32(minimum), dn, np.float32(0)),)


def reflectance(dn: Pixels, radiometry: k.Radiometry, out: Any) -> Results:
    """(DN + offset) / quantification, 0.0 where a band is invalid."""
    offset, quantification = (_column(part) for part in radiometry)
    return (np.where(nodata_free(dn), (dn + offset) / quantification, np.float32(0)),)


def reflectance_valid(dn: Pixels, radiometry: k.Radiometry, out: Any, valid_out: Numbers) -> Results:
    """Reflectance, and validity of all bands or of each."""
    valid = nodata_free(dn)
    mask = valid if len(valid_out) == len(dn) else valid.all(axis=0, keepdims=True)
    return (*reflectance(dn, radiometry, out), mask.astype(np.float32))


def standardize(values: Numbers, valid: Numbers, normalization: k.Normalization, out: Any) -> Results:
    """(clip(value) - mean) / std, 0.0 where invalid."""
    low, high, mean, std = (_column(part) for part in normalization)
    return (np.where(valid != 0, (np.clip(values, low, high) - mean) / std, np.float32(0)),)


def reflectance_standardize(
    dn: Pixels, radiometry: k.Radiometry, normalization: k.Normalization, out: Any, valid_out: Numbers
) -> Results:
    """Standardized reflectance and validity."""
    rho, mask = reflectance_valid(dn, radiometry, out, valid_out)
    return (*standardize(rho, nodata_free(dn), normalization, out), mask)


def reflectance_histogram(dn: Pixels, radiometry: k.Radiometry, spec: k.HistogramSpec) -> Results:
    """Bins in DN space; floor(dn) first where edges are whole DN, which changes no true bin."""
    offsets, scales = (np.asarray(part, dtype=np.float64) for part in radiometry)
    placed = [spec.in_dn(offset, scale) for offset, scale in zip(offsets, scales, strict=True)]
    whole = all(number.denominator == 1 for pair in placed for number in pair)
    rows = []
    for band, (lower, step) in zip(dn, placed, strict=True):
        values = band[nodata_free(band)].astype(np.float64)
        rows.append(_binned(np.floor(values) if whole else values, float(lower), float(step), spec.n_bins))
    return tuple(np.array(column, dtype=np.int64) for column in zip(*rows, strict=True))


def histogram(values: Numbers, valid: Numbers, spec: k.HistogramSpec) -> Results:
    """Bins of the values under a mask; NaN is not counted."""
    counted = np.broadcast_to(valid != 0, values.shape) & ~np.isnan(values)
    rows = [
        _binned(band[where].astype(np.float64), spec.lower, spec.width, spec.n_bins)
        for band, where in zip(values, counted, strict=True)
    ]
    return tuple(np.array(column, dtype=np.int64) for column in zip(*rows, strict=True))


def _binned(values: Numbers, lower: float, width: float, n_bins: int) -> tuple[Numbers, int, int]:
    place = np.floor((values - lower) / width)
    counts = np.bincount(np.clip(place, 0, n_bins - 1).astype(np.int64), minlength=n_bins)
    return counts, int((place < 0).sum()), int((place >= n_bins).sum())


def _column(numbers: Any) -> Float32:
    return np.asarray(numbers, dtype=np.float32)[:, None, None]


@dataclass(frozen=True)
class Comparison:
    """One kernel, its reference, and windows to try both on."""

    name: str
    """Shown in tests and benchmarks."""
    kernel: Callable[..., Any]
    """Takes inputs and outputs as keywords."""
    reference: Callable[..., tuple[NDArray[Any], ...]]
    """Takes the same (less what `prepare` adds); returns what the outputs should hold."""
    inputs: Callable[[NDArray[np.float32], np.random.Generator], Arguments]
    """Arguments made from a window of DN (band, y, x)."""
    outputs: Callable[[Arguments], Arguments]
    """Fresh outputs, filled with rubbish so that an unwritten pixel shows."""
    streams: Callable[[Arguments, Arguments], int]
    """Bytes that must be read and written."""
    collect: Callable[[Arguments, Any], tuple[NDArray[Any], ...]] = lambda outputs, returned: tuple(
        outputs.values()
    )
    """Results from the outputs and what the kernel returned."""
    copy_share: float = 0.7
    """Share of a plain parallel copy's bandwidth that the kernel should reach."""
    tolerance: int = 0
    """Units in the last place that may differ; 0 is bit-equal."""


def sample_dn(shape_byx: tuple[int, int, int], rng: np.random.Generator) -> NDArray[np.float32]:
    """DN as a scene has them: integers around 3000, 5 % nodata, some saturated, some below reflectance 0."""
    dn = rng.standard_normal(shape_byx, dtype=np.float32)
    dn = np.rint(np.clip(dn * 1200 + 3000, 1, 65535)).astype(np.float32)
    kind = rng.random(shape_byx, dtype=np.float32)
    dn[kind < 0.05] = 0
    dn[kind > 0.999] = 65535
    return dn


def radiometry_for(bands: int) -> k.Radiometry:
    """Offsets and quantification values that differ between bands."""
    return k.Radiometry(np.full(bands, -1000.0) - 10.0 * (np.arange(bands) % 3), np.full(bands, 10000.0))


def _normalization(bands: int) -> k.Normalization:
    ramp = np.arange(bands)
    return k.Normalization(0.02 + 0.01 * ramp, 0.4 + 0.01 * ramp, 0.2 - 0.001 * ramp, 0.1 + 0.003 * ramp)


def _mask(dn: Pixels, single: bool) -> Float32:
    valid = nodata_free(dn)
    return (valid.all(axis=0, keepdims=True) if single else valid).astype(np.float32)


def _rho(dn: Pixels) -> Numbers:
    return reflectance(dn, radiometry_for(len(dn)), None)[0]


def _rubbish(shape: Any, dtype: Any = np.float32) -> Numbers:
    return np.full(shape, 77, dtype=dtype)


def _nbytes(inputs: Arguments, outputs: Arguments) -> int:
    """Every raster in or out once; what is changed in place is both."""
    parts = [*inputs.values(), *outputs.values()]
    return sum(part.nbytes for part in parts if isinstance(part, np.ndarray) and part.ndim >= 2)


def _labels(dn: Pixels, rng: np.random.Generator) -> Numbers:
    """Patches of 32 pixels with ragged edges, as land cover comes."""
    height, width = dn.shape[1:]
    coarse = rng.integers(0, 12, (height // 32 + 2, width // 32 + 2), dtype=np.uint8)
    labels = np.ascontiguousarray(
        np.kron(coarse, np.ones((32, 32), np.uint8))[5 : height + 5, 11 : width + 11]
    )
    labels[rng.random((height, width), dtype=np.float32) < 0.01] = 200
    return labels


def _fused(name: str, single: bool, standardized: bool) -> Comparison:
    kernel = k.reflectance_standardize if standardized else k.reflectance_valid
    reference = reflectance_standardize if standardized else reflectance_valid

    def inputs(dn: Pixels, rng: np.random.Generator) -> Arguments:
        numbers = {"dn": dn, "radiometry": radiometry_for(len(dn))}
        return numbers | {"normalization": _normalization(len(dn))} if standardized else numbers

    def outputs(inputs: Arguments) -> Arguments:
        # As the engine has them: both are slices of one buffer.
        bands, height, width = inputs["dn"].shape
        buffer = _rubbish((bands + (1 if single else bands), height, width))
        return {"out": buffer[:bands], "valid_out": buffer[bands:]}

    return Comparison(name, kernel, reference, inputs, outputs, _nbytes)


def _counting(name: str, spec: k.HistogramSpec) -> Comparison:
    """The accumulator that the engine keeps across windows."""
    return Comparison(
        name,
        lambda dn, radiometry, spec, accumulator: accumulator.add(dn),
        lambda dn, radiometry, spec, accumulator: reflectance_histogram(dn, radiometry, spec),
        lambda dn, rng: {"dn": dn, "radiometry": radiometry_for(len(dn)), "spec": spec},
        lambda inputs: {"accumulator": k.HistogramAccumulator(inputs["spec"], inputs["radiometry"])},
        _nbytes,
        lambda outputs, returned: tuple(outputs["accumulator"].result()),
        copy_share=0.5,
    )


def _labelling(name: str, target: Any) -> Comparison:
    return Comparison(
        name,
        k.map_labels,
        map_labels,
        lambda dn, rng: {
            "labels": _labels(dn, rng),
            "lut": k.label_lut({label: (label * 5) % 7 for label in range(12)}, 255, np.uint8, target),
        },
        lambda inputs: {
            "out": _rubbish(inputs["labels"].shape, target),
            "counts": np.arange(256, dtype=np.int64),
        },
        _nbytes,
    )


def _directing(name: str, encode: str, dtype: Any) -> Comparison:
    """Slanted detectors as they come, one of them unknown, on a raster that is turned against the nodes."""
    encoding = k.AngleEncoding.of(encode, dtype)

    def inputs(dn: Pixels, rng: np.random.Generator) -> Arguments:
        bands, height, width = dn.shape
        vectors = rng.normal(0.0, 0.02, (5, 7, 8, 3)) + rng.normal(0.0, 0.1, (5, 1, 1, 3))
        vectors[..., 2] = 1.0
        vectors[3, 2, 3] = np.nan
        slots = np.full((bands, 256), -1, np.int16)
        slots[:, :6] = (0, 1, 2, 3, 4, -1)
        y, x = np.mgrid[:height, :width]
        ids = [(x + y // 3 + 5 * band) // 37 % 6 for band in range(bands)]
        i, j = np.mgrid[: height // 16 + 3, : width // 24 + 3] * np.array((16, 24)).reshape(2, 1, 1)
        col, row = 0.3 + j / 60 + i / 900 + (j / 3000) ** 2, 0.4 + i / 50 - j / 800
        return {
            "field": k.DirectionField(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True), slots),
            "place": k.Placement(np.stack((col, row)), (16, 24), (5, 7)),
            "detectors": np.array(ids, np.uint8).reshape(dn.shape),
            "encoding": encoding,
        }

    return Comparison(
        name,
        k.interpolate_directions,
        interpolate_directions,
        inputs,
        lambda inputs: {"out": _rubbish((encoding.channels, *inputs["detectors"].shape[1:]), dtype)},
        _nbytes,
        copy_share=0.15,
    )


def _adjusting(dn: NDArray[np.float32], rng: np.random.Generator) -> Arguments:
    """The same detectors and nodes, lit from the south-east; the second band is left as it is."""
    inputs = _directing("", "deg", "float32").inputs(dn, rng)
    field, bands = inputs["field"], len(dn)
    rise = 0.01 * np.arange(bands)
    sun = rng.normal((0.5, -0.4, 0.7), 0.01, (*field.vectors.shape[1:3], 3))
    planes = [-1 if band == 1 else band for band in range(bands)]
    return {
        "dn": dn,
        "radiometry": radiometry_for(bands),
        "model": k.BrdfModel(0.1 + 5 * rise, 0.05 + 2 * rise, 0.02 + rise, 35.0),
        "geometry": k.ViewGeometry(field, sun, inputs["place"], planes),
        "detectors": inputs["detectors"],
    }


def _out_like(argument: str) -> Callable[[Arguments], Arguments]:
    return lambda inputs: {"out": _rubbish(inputs[argument].shape)}


COMPARISONS = (
    Comparison(
        "valid_single",
        k.valid_single,
        valid_single,
        lambda dn, rng: {"dn": dn},
        lambda inputs: {"out": _rubbish(inputs["dn"].shape[1:])},
        _nbytes,
    ),
    Comparison(
        "valid_per_band",
        k.valid_per_band,
        valid_per_band,
        lambda dn, rng: {"dn": dn},
        _out_like("dn"),
        _nbytes,
    ),
    Comparison(
        "drop_below_fraction",
        k.drop_below_fraction,
        drop_below_fraction,
        lambda dn, rng: {"dn": dn, "fraction": rng.random(dn.shape, dtype=np.float32), "minimum": 0.5},
        lambda inputs: {"dn": inputs["dn"].copy()},
        _nbytes,
    ),
    Comparison(
        "reflectance",
        k.reflectance,
        reflectance,
        lambda dn, rng: {"dn": dn, "radiometry": radiometry_for(len(dn))},
        _out_like("dn"),
        _nbytes,
    ),
    _fused("reflectance_valid[single]", single=True, standardized=False),
    _fused("reflectance_valid[per_band]", single=False, standardized=False),
    Comparison(
        "standardize[single]",
        k.standardize,
        standardize,
        lambda dn, rng: {
            "values": _rho(dn),
            "valid": _mask(dn, single=True),
            "normalization": _normalization(len(dn)),
        },
        _out_like("values"),
        _nbytes,
    ),
    Comparison(
        "standardize[per_band]",
        k.standardize,
        standardize,
        lambda dn, rng: {
            "values": _rho(dn),
            "valid": _mask(dn, single=False),
            "normalization": _normalization(len(dn)),
        },
        _out_like("values"),
        _nbytes,
    ),
    _fused("reflectance_standardize[single]", single=True, standardized=True),
    _fused("reflectance_standardize[per_band]", single=False, standardized=True),
    _counting("HistogramAccumulator[1 DN]", k.HistogramSpec.from_range(-0.2, 2.0, 1e-4)),
    _counting("HistogramAccumulator[5 DN]", k.HistogramSpec.from_range(0.0, 1.0, 5e-4)),
    _counting("HistogramAccumulator[fractional]", k.HistogramSpec.from_range(0.0, 1.6, 3.2e-4)),
    Comparison(
        "reflectance_histogram",
        k.reflectance_histogram,
        reflectance_histogram,
        lambda dn, rng: {
            "dn": dn,
            "radiometry": radiometry_for(len(dn)),
            "spec": k.HistogramSpec.from_range(-0.2, 2.0, 1e-4),
        },
        lambda inputs: {},
        _nbytes,
        lambda outputs, returned: tuple(returned),
        copy_share=0.5,
    ),
    Comparison(
        "histogram",
        k.histogram,
        histogram,
        lambda dn, rng: {
            "values": _rho(dn),
            "valid": _mask(dn, single=True),
            "spec": k.HistogramSpec.from_range(-0.1, 1.0, 1e-3),
        },
        lambda inputs: {},
        _nbytes,
        lambda outputs, returned: tuple(returned),
        copy_share=0.5,
    ),
    Comparison(
        "row_moments",
        k.row_moments,
        row_moments,
        lambda dn, rng: {"values": _rho(dn), "valid": _mask(dn, single=True)[0]},
        lambda inputs: {},
        _nbytes,
        lambda outputs, returned: (returned,),
        copy_share=0.5,
    ),
    _labelling("map_labels[uint8]", np.uint8),
    _labelling("map_labels[uint16]", np.uint16),
    _directing("interpolate_directions[sin_cos]", "sin_cos", "float32"),
    _directing("interpolate_directions[deg]", "deg", "float32"),
    Comparison(
        "nbar",
        k.nbar,
        nbar,
        _adjusting,
        _out_like("dn"),
        _nbytes,
        lambda outputs, returned: (outputs["out"], returned),
        copy_share=0.3,
    ),
)
