"""Index entries of what a search and a product's list of files name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from s2pipe.dataset.assets import Asset, Product

if TYPE_CHECKING:
    from collections.abc import Sequence

    from s2pipe.download.files.nodes import RemoteFile
    from s2pipe.download.search.catalogue import Hit


def asset_of(role: str, file: RemoteFile, root_dir: str) -> Asset:
    """Return the index entry of a file that is to be fetched."""
    return Asset(
        role=role,
        path=f"{root_dir}/{file.path.rpartition('/')[2]}",
        planned=True,
        present=False,
        size=file.size,
        checksum=file.checksum,
        product_path=file.path,
    )


def agree(known: Asset, asset: Asset) -> bool:
    """Whether the index and the service mean the same bytes."""
    ours, theirs = known.checksum, asset.checksum
    if ours is not None and theirs is not None and ours.algorithm == theirs.algorithm:
        return ours == theirs
    return asset.size is None or known.size is None or known.size == asset.size


def product_of(hit: Hit, halves: Sequence[str] = ()) -> Product:
    """Return the index entry of a product that a search found."""
    return Product(
        product_id=hit.product_id,
        product_name=hit.name.safe_name,
        baseline=hit.name.baseline_code,
        rel_orbit=hit.name.orbit_code,
        cloud_cover=hit.cloud_cover,
        geofootprint=hit.footprint,
        coverage_ratio=hit.coverage,
        extra={"other_halves": list(halves)} if halves else {},
    )
