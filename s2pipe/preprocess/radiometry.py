"""Radiometry of a scene: how the DN of each band become the values of ``x.tif``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from s2pipe.errors import MetadataError
from s2pipe.safe.metadata import read_radiometry


@dataclass(frozen=True)
class SceneRadiometry:
    """Values are (DN + offset) / quantification, band by band."""

    quantification: tuple[float, ...]
    """DN of reflectance 1, by band in the configured order."""
    offset: tuple[float, ...]
    """Offset in DN, same order; 0 for products without an offset list."""
    source: str | None
    """Metadata file that both come from; None when values are DN."""

    @classmethod
    def plain_dn(cls, bands: Sequence[str]) -> SceneRadiometry:
        """The radiometry that leaves DN as they are."""
        return cls((1.0,) * len(bands), (0.0,) * len(bands), None)


def scene_radiometry(metadata: bytes, source: str, bands: Sequence[str]) -> SceneRadiometry:
    """Read the radiometry of bands from an L1C product's own metadata.

    Top-of-atmosphere reflectance is (DN + RADIO_ADD_OFFSET) / QUANTIFICATION_VALUE (Sentinel-2 Products
    Specification Document); products before baseline 04.00 have no offset list, and offset 0.

    Parameters
    ----------
    metadata : bytes
        ``MTD_MSIL1C.xml``.
    source : str
        What messages call it.
    bands : sequence of str
        Bands in the configured order.

    Raises
    ------
    MetadataError
        Metadata of another level, no usable quantification value, or an offset list that lacks a band.
    """
    radiometry = read_radiometry(metadata, source)
    if radiometry.level != "L1C":
        raise MetadataError(
            f"{source}: expected the metadata of an L1C product (MTD_MSIL1C.xml), got those of an {radiometry.level} "
            "product; correct the manifest, or index the products again"
        )
    offsets = tuple(radiometry.offset(band) for band in bands)
    return SceneRadiometry((radiometry.quantification,) * len(bands), offsets, source)
