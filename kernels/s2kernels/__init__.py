"""Numba kernels for Sentinel-2 windows; needs Numba and NumPy, nothing else.

Arrays are C-contiguous, ``(band, y, x)``; DN are float32 or uint16; the caller owns every output. Importing
compiles nothing and does not import Numba: a kernel is compiled by its first call, or by `warm_up`.
"""

from ._compile import kernel_names, warm_up
from .angles import AngleEncoding, DirectionField, Placement, interpolate_directions
from .histogram import Histogram, HistogramAccumulator, HistogramSpec, histogram, reflectance_histogram
from .labels import label_lut, map_labels
from .moments import row_moments
from .nbar import BrdfModel, ViewGeometry, brdf_kernels, nbar
from .normalize import Normalization, reflectance_standardize, standardize
from .reflectance import Radiometry, reflectance, reflectance_valid
from .resample import block_mean, double_bilinear
from .valid import drop_below_fraction, valid_per_band, valid_single

__all__ = [
    "AngleEncoding",
    "BrdfModel",
    "DirectionField",
    "Histogram",
    "HistogramAccumulator",
    "HistogramSpec",
    "Normalization",
    "Placement",
    "Radiometry",
    "ViewGeometry",
    "block_mean",
    "brdf_kernels",
    "double_bilinear",
    "drop_below_fraction",
    "histogram",
    "interpolate_directions",
    "kernel_names",
    "label_lut",
    "map_labels",
    "nbar",
    "reflectance",
    "reflectance_histogram",
    "reflectance_standardize",
    "reflectance_valid",
    "row_moments",
    "standardize",
    "valid_per_band",
    "valid_single",
    "warm_up",
]
