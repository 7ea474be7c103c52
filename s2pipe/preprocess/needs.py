"""Which roles a configuration needs: the only rules by which files are chosen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from s2pipe.preprocess.cfg import SCL_GRID, PreprocessConfig
from s2pipe.preprocess.labels.backends import LabelBackend, load_backend
from s2pipe.sentinel2 import roles
from s2pipe.sentinel2.channels import Channel

if TYPE_CHECKING:
    from s2pipe.dataset.step1_index import Index, Scene


def needed_roles(config: PreprocessConfig) -> tuple[str, ...]:
    """Roles that every scene must have; labels and angles are not needed to compute statistics."""
    needed = [channel.raster_role for channel in config.channels]
    needed.append(grid_role(config))
    if config.to_toa_reflectance:
        needed += [channel.metadata_role for channel in config.channels]
    backend = label_backend(config)
    if backend is not None:
        needed += backend.roles
    if with_angles(config):
        needed.append(roles.L1C_TILE_METADATA)
    return tuple(dict.fromkeys(needed))


def label_backend(config: PreprocessConfig) -> LabelBackend | None:
    """Backend of the labels; None without labels, which statistics do not need."""
    if not config.labels.enabled or config.normalize.mode == "compute_only":
        return None
    return load_backend(config.labels)


def with_angles(config: PreprocessConfig) -> bool:
    """Tell whether angles are written; statistics do not need them."""
    return config.angles.enabled and config.normalize.mode != "compute_only"


def grid_role(config: PreprocessConfig) -> str:
    """Role of the raster that defines the target grid."""
    ref = config.target_grid_ref
    return roles.L2A_SCL if ref == SCL_GRID else Channel.parse(ref).raster_role


def optional_roles(index: Index, scene: Scene, config: PreprocessConfig) -> list[str]:
    """Roles that are used when the scene has them: detector footprint masks."""
    angles = config.angles
    if not (with_angles(config) and angles.include_view and angles.detector_aggregate == "footprint"):
        return []
    wanted = [roles.l1c_detector_footprint(band) for band in config.view_bands]
    return [
        role
        for role in wanted
        if (asset := scene.asset(role)) is not None
        and asset.is_available(index.root, allow_absolute=config.allow_absolute_paths)
    ]
