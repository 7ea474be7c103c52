"""Files that stay in the service's object storage: named there in the index, and not fetched."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from s2pipe.download.files.nodes import MAX_MANIFEST_BYTES
from s2pipe.errors import AuthError, ProductError, ServiceError
from s2pipe.sentinel2.safe import MANIFEST

if TYPE_CHECKING:
    from s2pipe.dataset.assets import Asset, AssetGroup
    from s2pipe.dataset.step1_index import Scene
    from s2pipe.download.search.catalogue import Hit
    from s2pipe.download.search.select import Pair
    from s2pipe.runtime.addresses import RemoteAddress

log = logging.getLogger("s2pipe.download")


def manifest_in_storage(hit: Hit) -> bytes | None:
    """Read a product's manifest.safe in object storage; None where that cannot be asked, which is said once a product.

    Raises
    ------
    ServiceError
        It is not there, or larger than any.
    """
    from s2pipe.raster.access import check_access
    from s2pipe.raster.remote import read_range, state_of

    address = where(hit) / MANIFEST
    try:
        check_access(address)
    except AuthError:
        log.warning(
            "%s: no checksums are recorded: the environment has no credentials of object storage", hit.name
        )
        return None
    state = state_of(address)
    if state is None or state.size > MAX_MANIFEST_BYTES:
        msg = f"{address}: is not there, or larger than {MAX_MANIFEST_BYTES} bytes; fetch the product instead"
        raise ServiceError(msg)
    return read_range(address, 0, state.size)


def where(hit: Hit) -> RemoteAddress:
    """Return the address of a product in object storage.

    Raises
    ------
    ProductError
        The catalogue does not say.
    """
    if hit.address is None:
        msg = f"{hit.name}: the catalogue does not say where object storage has it; fetch it without download.link"
        raise ProductError(msg)
    return hit.address


def linked(scene: Scene, pair: Pair, *, is_whole: bool) -> Scene:
    """Name the files of a scene where they are; files that are here already stay.

    Parameters
    ----------
    scene : Scene
        Its files as they would be fetched.
    pair : Pair
        Its products.
    is_whole : bool
        Whether the files of all products are known.

    Raises
    ------
    ProductError, PathEscapeError
        The catalogue does not say where, the files are not known, or one has a name that no address can have.
    """
    if not is_whole:
        msg = f"{pair.l1c.name}: the files of the scene's products could not be listed; run again"
        raise ProductError(msg)
    scene = replace(scene, files_l1c=_linked(scene.files_l1c, pair.l1c))
    return replace(scene, files_l2a=_linked(scene.files_l2a, pair.l2a))


def _linked(group: AssetGroup | None, hit: Hit | None) -> AssetGroup | None:
    if group is None or hit is None:
        return group
    product = where(hit)

    def named(asset: Asset) -> Asset:
        if asset.present and not asset.is_remote:
            return asset
        path = str(product / (asset.product_path or ""))
        return replace(asset, path=path, planned=False, present=True)

    return replace(group, items=tuple(map(named, group.items)))
