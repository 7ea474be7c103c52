"""Radiometry of a scene: how the DN of each band become the values of ``x.tif``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from s2pipe.errors import MetadataError
from s2pipe.sentinel2.safe.metadata import ProductRadiometry, read_radiometry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from s2pipe.sentinel2.channels import Channel


@dataclass(frozen=True)
class SceneRadiometry:
    """Values are (DN + offset) / quantification, band by band."""

    quantification: tuple[float, ...]
    """DN of reflectance 1, by band in the configured order."""
    offset: tuple[float, ...]
    """Offset in DN, same order; 0 for products without an offset list."""
    source: str | None
    """Metadata files that both come from; None when values are DN."""

    @classmethod
    def plain_dn(cls, bands: int) -> SceneRadiometry:
        """The radiometry that leaves DN as they are."""
        return cls((1.0,) * bands, (0.0,) * bands, None)


def scene_radiometry(bands: Sequence[tuple[Channel, bytes, str]]) -> SceneRadiometry:
    """Read the radiometry of bands from their products' own metadata.

    Top-of-atmosphere reflectance is (DN + RADIO_ADD_OFFSET) / QUANTIFICATION_VALUE, surface reflectance
    (DN + BOA_ADD_OFFSET) / BOA_QUANTIFICATION_VALUE (Sentinel-2 Products Specification Document); products before
    baseline 04.00 have no offset list, and offset 0.

    Parameters
    ----------
    bands : sequence of (Channel, bytes, str)
        Each channel with the content of its product's ``MTD_MSIL1C.xml`` or ``MTD_MSIL2A.xml`` and the name of that
        file for messages, in the configured order.

    Raises
    ------
    MetadataError
        Metadata of another level, no usable quantification value, or an offset list that lacks a band.
    """
    known: dict[str, ProductRadiometry] = {}
    quantification, offset = [], []
    for channel, metadata, source in bands:
        if source not in known:
            known[source] = read_radiometry(metadata, source)
        radiometry = known[source]
        if radiometry.level != channel.level:
            msg = (
                f"{source}: expected {channel.level} metadata for band {channel}, got {radiometry.level}; "
                "correct the manifest, or index the products again"
            )
            raise MetadataError(msg)
        quantification.append(radiometry.quantification)
        offset.append(radiometry.offset(channel.band))
    return SceneRadiometry(tuple(quantification), tuple(offset), ", ".join(known))
