"""SAFE products: names, layout, manifest and metadata as typed records. Standard library only."""

from s2pipe.sentinel2.bands import Level
from s2pipe.sentinel2.safe.layout import MANIFEST, product_metadata_name, role_of
from s2pipe.sentinel2.safe.manifest import ManifestEntry, read_safe_manifest
from s2pipe.sentinel2.safe.metadata import ProductInfo, ProductRadiometry, read_product_info, read_radiometry
from s2pipe.sentinel2.safe.names import THIRD_PARTY_BASELINE, ProductName
from s2pipe.sentinel2.safe.tile import (
    ANGLE_STEP_M,
    TileAngles,
    TileMetadata,
    read_tile_angles,
    read_tile_metadata,
)
from s2pipe.sentinel2.safe.xml import Xml

__all__ = [
    "ANGLE_STEP_M",
    "MANIFEST",
    "THIRD_PARTY_BASELINE",
    "Level",
    "ManifestEntry",
    "ProductInfo",
    "ProductName",
    "ProductRadiometry",
    "TileAngles",
    "TileMetadata",
    "Xml",
    "product_metadata_name",
    "read_product_info",
    "read_radiometry",
    "read_safe_manifest",
    "read_tile_angles",
    "read_tile_metadata",
    "role_of",
]
