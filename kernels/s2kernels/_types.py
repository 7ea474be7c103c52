"""Names for the arrays that kernels are given."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Pixels = NDArray[np.float32] | NDArray[np.uint16]
"""DN as rasters store them, or as resampling makes them."""
Numbers = NDArray[Any]
"""Any array of numbers; the signature of the kernel says which."""
Results = tuple[NDArray[Any], ...]
"""What a reference computes: one array for each output of its kernel."""
