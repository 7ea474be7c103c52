"""Headers of a scene's rasters: recorded when it is indexed, and taken from there as long as the files are the same."""

from __future__ import annotations

import functools
import logging
import math
from dataclasses import replace
from typing import TYPE_CHECKING

from s2pipe.dataset.input_file import InputFile
from s2pipe.dataset.remote_file import RemoteFile
from s2pipe.dataset.stored_raster import StoredRaster
from s2pipe.errors import DependencyError, PathEscapeError, RasterError, ServiceError, UntrustedServerError
from s2pipe.raster.formats import JPEG2000
from s2pipe.raster.grid import Grid, RasterInfo
from s2pipe.runtime.addresses import RemoteAddress
from s2pipe.runtime.hashing import is_known_algorithm

if TYPE_CHECKING:
    from pathlib import Path

    from s2pipe.dataset.assets import Asset, AssetGroup
    from s2pipe.dataset.scenes import Scene

log = logging.getLogger("s2pipe")

_RASTERS = ("l1c.band.", "l2a.band.", "l2a.scl_", "l2a.aot_", "l2a.wvp_", "l2a.cloud_prob", "l2a.snow_prob")


def with_headers(scene: Scene, root: Path) -> Scene:
    """Record the headers of a scene's rasters as far as they are on disk and can be read.

    Parameters
    ----------
    scene : Scene
        The scene; headers that it has already, of files that did not change, stay.
    root : Path
        Root of the dataset.
    """

    def recorded(group: AssetGroup | None) -> AssetGroup | None:
        if group is None:
            return None
        return replace(group, items=tuple(_recorded(item, root) for item in group.items))

    return replace(
        scene,
        files_l1c=recorded(scene.files_l1c),
        files_l2a=recorded(scene.files_l2a),
        others=tuple(with_headers(other, root) for other in scene.others),
    )


def _recorded(asset: Asset, root: Path) -> Asset:
    if not (asset.present and asset.role.startswith(_RASTERS)):
        return asset
    try:
        if asset.is_remote:
            # It was found there by whoever records it; its entity tag stands for the time of change.
            place = RemoteFile.at(asset, (RemoteAddress.parse(asset.path),))
            return asset if asset.raster is not None else replace(asset, raster=_header(place, 0))
        file = InputFile.of(asset, root)
        status = file.path.stat()
        if asset.raster is not None and asset.raster.mtime_ns == status.st_mtime_ns:
            return asset
        return replace(asset, raster=_header(file, status.st_mtime_ns))
    except UntrustedServerError:
        raise
    except (OSError, PathEscapeError, RasterError, DependencyError, ServiceError) as error:
        log.debug("%s: its header is not recorded: %s", asset.path, error)
        return replace(asset, raster=None)


def _header(file: InputFile, mtime_ns: int) -> StoredRaster | None:
    from s2pipe.raster.reader import inspect_raster
    from s2pipe.raster.transform import epsg_of

    info = inspect_raster(file.gdal_path, JPEG2000)
    epsg = epsg_of(info.grid.crs_wkt) if info.grid.crs_wkt else None
    # What is taken from the index must be what opening the file gives, to the last letter.
    if (
        epsg is None
        or _wkt(epsg) != info.grid.crs_wkt
        or (info.nodata is not None and math.isnan(info.nodata))
    ):
        return None
    return StoredRaster(
        code=f"EPSG:{epsg}",
        shape_yx=info.grid.shape_yx,
        geotransform=info.grid.geotransform,
        data_type=info.dtype,
        block_yx=info.block_yx,
        nodata=info.nodata,
        reversible=info.is_exact,
        mtime_ns=mtime_ns,
    )


@functools.cache
def _wkt(epsg: int) -> str:
    from s2pipe.raster.transform import crs_wkt

    return crs_wkt(epsg)


def raster_header(file: InputFile, asset: Asset | None, *, by_checksum: bool) -> RasterInfo:
    """Return the header of a raster of a product.

    Parameters
    ----------
    file : InputFile
        The file.
    asset : Asset or None
        What the index says of it.
    by_checksum : bool
        Whether the content is compared with the recorded checksum before pixels are used. Then a file of the recorded
        size has the recorded header, whenever it was copied; else only one with the recorded time of change.

    Raises
    ------
    RasterError
        The file must be opened, and is no such raster.
    """
    stored = None if asset is None else asset.raster
    if stored is not None and asset is not None and _is_same(file, asset, stored, by_checksum=by_checksum):
        return stored_header(file.gdal_path, stored)
    from s2pipe.raster.reader import inspect_raster

    return inspect_raster(file.gdal_path, JPEG2000)


def stored_header(path: str, stored: StoredRaster) -> RasterInfo:
    """Return a recorded header as opening the file at ``path``, as GDAL names it, would."""
    grid = Grid(_wkt(stored.epsg), stored.geotransform, stored.shape_yx)
    return RasterInfo(
        path, grid, stored.data_type, stored.block_yx, stored.nodata, JPEG2000, stored.reversible
    )


def _is_same(file: InputFile, asset: Asset, stored: StoredRaster, *, by_checksum: bool) -> bool:
    if file.is_remote:  # size and entity tag are compared before its pixels are used
        return asset.etag is not None or (by_checksum and asset.checksum is not None)
    try:
        status = file.path.stat()
    except OSError:
        return False
    if file.member is None and asset.size != status.st_size:
        return False
    if status.st_mtime_ns == stored.mtime_ns:
        return True
    checksum = asset.checksum
    return (
        by_checksum
        and file.member is None
        and checksum is not None
        and is_known_algorithm(checksum.algorithm)
    )
