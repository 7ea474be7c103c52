"""Ground that reflects into some directions more than into others, as the published parameters of a band say."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from s2kernels.reference_nbar import kernels
from s2pipe.sentinel2.brdf import BRDF_PARAMETERS, BrdfParameters

if TYPE_CHECKING:
    from s2pipe.synthetic.swath import Swath

NADIR_SUN_ZENITH_DEG = 45.0
"""Zenith of the sun under which reflectance seen from nadir is that of the landscape."""


def anisotropy(swath: Swath, x: np.ndarray, y: np.ndarray, band: str) -> np.ndarray | None:
    """Factor on the landscape's reflectance, float32 (y, x), by the detector that sees each point.

    Parameters
    ----------
    swath : Swath
        Where sun and satellite stand.
    x, y : numpy.ndarray
        Ground coordinates in metres, which broadcast to (y, x).
    band : str
        Band name.

    Returns
    -------
    numpy.ndarray or None
        None for bands without published parameters, which reflect into all directions alike.
    """
    parameters = BRDF_PARAMETERS.get(band)
    if parameters is None:
        return None
    x, y = np.broadcast_arrays(x, y)
    sun = _horizontal(*swath.sun_angles_at(x, y))
    view = _horizontal(*swath.view_angles_at(x, y, band, swath.detector_at(x, y, band)))
    nadir = _reflectance(parameters, np.array((np.tan(np.radians(NADIR_SUN_ZENITH_DEG)), 0.0)), np.zeros(2))
    factor: np.ndarray = _reflectance(parameters, sun, view) / nadir
    return factor.astype(np.float32)


def _horizontal(zenith_deg: np.ndarray, azimuth_deg: np.ndarray) -> np.ndarray:
    """Horizontal parts of directions whose vertical part is 1."""
    azimuth = np.radians(azimuth_deg)
    horizontal: np.ndarray = np.tan(np.radians(zenith_deg)) * np.stack((np.sin(azimuth), np.cos(azimuth)))
    return horizontal


def _reflectance(parameters: BrdfParameters, sun: np.ndarray, view: np.ndarray) -> np.ndarray:
    thick, sparse = kernels(*sun, *view)
    reflectance: np.ndarray = (
        parameters.isotropic + parameters.volumetric * thick + parameters.geometric * sparse
    )
    return reflectance
