"""How the ground reflects into different directions: published spectral parameters of the bands, and suns to go by.

Sources, all of them for the Ross-Thick/Li-Sparse-Reciprocal model:

- B02, B03, B04, B08, B11, B12: Roy et al. (2016), Remote Sensing of Environment 176, 255-271, from the global MODIS
  BRDF product; used for Sentinel-2 by Roy et al. (2017), Remote Sensing of Environment 199, 25-38.
- B05, B06, B07: Roy, Li and Zhang (2017), Remote Sensing 9, 1325. They are linear in wavelength between the MODIS red
  (645 nm) and near-infrared (858 nm) bands, at 705, 740 and 783 nm.
- B8A: those of B08, as in the Harmonized Landsat Sentinel-2 (HLS) product, since both lie in MODIS band 2.
"""

from __future__ import annotations

from typing import NamedTuple

MAX_SUN_ZENITH_DEG = 80.0
"""Zenith of the sun up to which the model is used. Towards 90 degrees its kernels grow beyond all bounds."""
BRDF_REFERENCES = (
    "Roy et al. 2016, doi:10.1016/j.rse.2016.01.023",
    "Roy et al. 2017, doi:10.1016/j.rse.2017.06.019",
    "Roy, Li and Zhang 2017, doi:10.3390/rs9121325",
)
"""Papers that the parameters are from."""


class BrdfParameters(NamedTuple):
    """Weights of the model's three terms for one band."""

    isotropic: float
    """Weight of 1."""
    volumetric: float
    """Weight of the Ross-Thick kernel."""
    geometric: float
    """Weight of the Li-Sparse-Reciprocal kernel."""


BRDF_PARAMETERS: dict[str, BrdfParameters] = {
    "B02": BrdfParameters(0.0774, 0.0372, 0.0079),
    "B03": BrdfParameters(0.1306, 0.0580, 0.0178),
    "B04": BrdfParameters(0.1690, 0.0574, 0.0227),
    "B05": BrdfParameters(0.2085, 0.0845, 0.0256),
    "B06": BrdfParameters(0.2316, 0.1003, 0.0273),
    "B07": BrdfParameters(0.2599, 0.1197, 0.0294),
    "B08": BrdfParameters(0.3093, 0.1535, 0.0330),
    "B8A": BrdfParameters(0.3093, 0.1535, 0.0330),
    "B11": BrdfParameters(0.3430, 0.1154, 0.0453),
    "B12": BrdfParameters(0.2658, 0.0639, 0.0387),
}
"""Parameters by band; none are published for B01, B09 and B10."""

_BY_LATITUDE = (31.0076, -0.1272, 0.01187, 2.4025e-05, -9.482e-07, -1.9523e-09, 6.1486e-11)


def sun_zenith_by_latitude(latitude_deg: float) -> float:
    """Return the zenith of the sun that stands for a latitude, the same on every day of the year.

    It is the polynomial of version 1.4 of the HLS product (user's guide of December 2018), after the solar geometry
    that Zhang et al. (2016, doi:10.1109/TGRS.2015.2480684) define for long series of images.

    Parameters
    ----------
    latitude_deg : float
        Degrees, north positive.
    """
    return sum(factor * latitude_deg**power for power, factor in enumerate(_BY_LATITUDE))
