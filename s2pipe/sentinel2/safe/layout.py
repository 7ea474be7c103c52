"""SAFE layout: which role a file of a product has, told from its path alone."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from s2pipe.sentinel2 import roles
from s2pipe.sentinel2.bands import BAND_NAMES

if TYPE_CHECKING:
    from s2pipe.sentinel2.bands import Level

MANIFEST = "manifest.safe"
"""Path of the SAFE manifest inside a product."""

_KNOWN_ROLES = frozenset(roles.ALL_ROLES)
_BAND = "|".join(BAND_NAMES)
# Early L2A products repeat the level before the tile: L2A_T32TNM_20170526T102031_B02_10m.jp2
_PREFIX = r"(?:L2A_)?T\d{2}[A-Z]{3}_\d{8}T\d{6}_"
_L1C_IMAGE = re.compile(rf"T\d{{2}}[A-Z]{{3}}_\d{{8}}T\d{{6}}_({_BAND})\.jp2", re.ASCII)
_BAND_MASK = re.compile(rf"MSK_(DETFOO|QUALIT|CLASSI)_({_BAND}|B00)\.(jp2|gml)", re.ASCII)
_L2A_IMAGE = re.compile(rf"{_PREFIX}({_BAND}|AOT|WVP|SCL)_(10|20|60)m\.jp2", re.ASCII)
# Sen2Cor before 2.5 wrote the probabilities as ..._CLD_20m.jp2 and ..._SNW_20m.jp2.
_L2A_PROBABILITY = re.compile(rf"(?:MSK_(CLD|SNW)PRB|{_PREFIX}(CLD|SNW))_20m\.jp2", re.ASCII)


def product_metadata_name(level: Level) -> str:
    """Name of a level's product metadata file, ``MTD_MSIL1C.xml`` or ``MTD_MSIL2A.xml``."""
    return f"MTD_MSI{level}.xml"


def role_of(product_path: str, level: Level) -> str | None:
    """Return the role of a file of a product.

    Parameters
    ----------
    product_path : str
        Path inside the product with forward slashes, e.g.
        ``GRANULE/L1C_T33UWQ_A.../IMG_DATA/T33UWQ_20251210T100319_B02.jp2``.
    level : {"L1C", "L2A"}
        The product's level. Quality masks have roles in L1C products only: those in an L2A product are copies.

    Returns
    -------
    str or None
        A role of :mod:`s2pipe.sentinel2.roles`; None for a file that s2pipe has no use for.
    """
    parts = PurePosixPath(product_path).parts
    if len(parts) == 1:
        return _top_level_role(parts[0], level)
    if len(parts) < 3 or parts[0] != "GRANULE":
        return None
    below = "/".join(parts[2:-1])
    if below == "" and parts[-1] == "MTD_TL.xml":
        return roles.L1C_TILE_METADATA if level == "L1C" else roles.L2A_TILE_METADATA
    return _l1c_role(below, parts[-1]) if level == "L1C" else _l2a_role(below, parts[-1])


def _top_level_role(name: str, level: Level) -> str | None:
    if name == MANIFEST:
        return roles.L1C_MANIFEST if level == "L1C" else roles.L2A_MANIFEST
    if name == product_metadata_name(level):
        return roles.L1C_PRODUCT_METADATA if level == "L1C" else roles.L2A_PRODUCT_METADATA
    return None


def _l1c_role(directory: str, name: str) -> str | None:
    if directory == "IMG_DATA":
        match = _L1C_IMAGE.fullmatch(name)
        return roles.l1c_band(match[1]) if match else None
    match = _BAND_MASK.fullmatch(name) if directory == "QI_DATA" else None
    if match is None:
        return None
    kind, band, suffix = match.groups()
    if kind == "CLASSI":
        return roles.L1C_CLASSIFICATION if (band, suffix) == ("B00", "jp2") else None
    if band == "B00":
        return None
    if kind == "DETFOO":
        return roles.l1c_detector_footprint(band)
    return roles.l1c_quality(band) if suffix == "jp2" else None


def _l2a_role(directory: str, name: str) -> str | None:
    if directory == "QI_DATA":
        mask = _BAND_MASK.fullmatch(name)
        if mask is not None and mask[1] == "DETFOO" and mask[2] != "B00":
            return roles.l2a_detector_footprint(mask[2])
        match = _L2A_PROBABILITY.fullmatch(name)
        if match is None:
            return None
        is_cloud = (match[1] or match[2]) == "CLD"
        return roles.L2A_CLOUD_PROBABILITY if is_cloud else roles.L2A_SNOW_PROBABILITY
    match = _L2A_IMAGE.fullmatch(name)
    if match is None or directory != f"IMG_DATA/R{match[2]}m":
        return None
    layer, resolution = match[1], int(match[2])
    is_band = layer in BAND_NAMES
    role = roles.l2a_band(layer, resolution) if is_band else f"l2a.{layer.lower()}_{resolution}m"
    return role if role in _KNOWN_ROLES else None
