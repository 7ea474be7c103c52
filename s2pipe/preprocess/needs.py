"""What a configuration needs of a scene: the only rules by which files are chosen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from s2pipe.dataset.input_file import InputFile
from s2pipe.preprocess.cfg import SCL_GRID, PreprocessConfig
from s2pipe.preprocess.labels.backends import LabelBackend, load_backend
from s2pipe.runtime.paths import describe_absence
from s2pipe.sentinel2 import roles
from s2pipe.sentinel2.bands import Level
from s2pipe.sentinel2.channels import Channel

if TYPE_CHECKING:
    from s2pipe.dataset.step1_index import Index, Scene


@dataclass(frozen=True)
class SceneFiles:
    """The files that a scene is processed from."""

    by_role: Mapping[str, InputFile]
    """Files of the manifest by role."""
    for_labels: tuple[tuple[InputFile, ...], ...] = ()
    """Files beside the manifest's that labels are made from, by band of ``y.tif``."""
    tiles: Mapping[Level, InputFile] = field(default_factory=dict)
    """Tile metadata by level, where the scene has them: they say where its rasters lie."""
    gaps: tuple[str, ...] = ()
    """What is needed and missing, in words; a scene with gaps cannot be processed."""


@dataclass(frozen=True)
class Need:
    """A file that a scene is asked for."""

    roles: tuple[str, ...]
    """Roles that serve, the best first: the first of them that is on disk is used."""
    is_required: bool = True
    """Whether a scene without it cannot be processed."""


@dataclass(frozen=True)
class Needs:
    """What every scene of a run is asked for; made once per run."""

    files: tuple[Need, ...]
    """Files of the manifest; labels, angles and quality are not needed to compute statistics."""
    backends: Mapping[str, LabelBackend]
    """Backend of each band of the labels by its name; none without labels, which statistics do not need."""

    @classmethod
    def of(cls, config: PreprocessConfig) -> Needs:
        """Work out the needs of a checked configuration.

        Raises
        ------
        ConfigError
            The label backend cannot be imported.
        """
        needed = [channel.raster_role for channel in config.channels]
        needed += grid_roles(config)
        if config.to_toa_reflectance:
            needed += [channel.metadata_role for channel in config.channels]
        backends: dict[str, LabelBackend] = {}
        if config.labels.enabled and config.normalize.mode != "compute_only":
            backends = {name: load_backend(raster) for name, raster in config.labels.rasters}
            needed += [role for backend in backends.values() for role in backend.roles]
        if with_quality(config):
            needed.append(roles.L2A_SCL)
        files = [Need((role,)) for role in dict.fromkeys(needed)]
        if with_quality(config):
            files.append(Need((roles.L2A_CLOUD_PROBABILITY,), config.quality.require_cloud_probability))
        files += _angle_needs(config)
        return cls(tuple(files), backends)

    def files_of(self, scene: Scene, index: Index) -> SceneFiles:
        """Find a scene's files, and what it lacks: roles that the manifest has not, files that the disk has not.

        Raises
        ------
        PathEscapeError
            A path in the manifest leaves the dataset.
        """
        found: dict[str, InputFile] = {}
        gaps = []
        for need in self.files:
            lacking = []
            for role in need.roles:
                asset = scene.asset(role)
                file = None if asset is None else index.file(asset)
                if file is not None and file.is_available():
                    found[role] = file
                    break
                lacking.append(
                    f"role {role} is not in the manifest"
                    if file is None
                    else f"role {role}: {file.absence()}"
                )
            else:
                if need.is_required:
                    gaps.append(", and ".join(lacking))
        labels = []
        for backend in self.backends.values():
            paths = backend.files(scene.key)
            gaps += [f"labels.path: {describe_absence(path)}" for path in paths if not path.is_file()]
            labels.append(tuple(InputFile("labels.path", path, name=path.as_posix()) for path in paths))
        return SceneFiles(found, tuple(labels), _tiles(scene, index, tuple(found)), tuple(gaps))


def _angle_needs(config: PreprocessConfig) -> list[Need]:
    """Needs of angles, and of reflectance as seen from nadir."""
    if not (with_angles(config) or config.nbar_bands):
        return []
    asked: dict[str, bool] = dict.fromkeys(config.nbar_bands, False)
    if with_angles(config) and config.angles.include_view and config.angles.detector_aggregate == "footprint":
        asked |= dict.fromkeys(config.view_bands, config.angles.require_footprints)
    return [Need(ANGLE_METADATA), *(Need(footprint_roles(band), needed) for band, needed in asked.items())]


def _tiles(scene: Scene, index: Index, used: tuple[str, ...]) -> dict[Level, InputFile]:
    levels: dict[Level, str] = {"L1C": roles.L1C_TILE_METADATA, "L2A": roles.L2A_TILE_METADATA}
    tiles = {}
    for level, role in levels.items():
        asset = scene.asset(role) if any(name.startswith(f"{level.lower()}.") for name in used) else None
        file = None if asset is None else index.file(asset)
        if file is not None and file.is_available():
            tiles[level] = file
    return tiles


ANGLE_METADATA = (roles.L1C_TILE_METADATA, roles.L2A_TILE_METADATA)
"""Tile metadata with the grids of angles, the best first: both levels have the same grids."""


def footprint_roles(band: str) -> tuple[str, str]:
    """Roles of a band's detector footprint mask, the best first."""
    return roles.l1c_detector_footprint(band), roles.l2a_detector_footprint(band)


def with_angles(config: PreprocessConfig) -> bool:
    """Tell whether angles are written; statistics do not need them."""
    return config.angles.enabled and config.normalize.mode != "compute_only"


def with_quality(config: PreprocessConfig) -> bool:
    """Tell whether ``q.tif`` is written; statistics do not need it."""
    return config.quality.enabled and config.normalize.mode != "compute_only"


def grid_roles(config: PreprocessConfig) -> tuple[str, ...]:
    """Role of the raster that defines the target grid; none where the grid is the user's own."""
    ref = config.target_grid_ref
    if ref is None:
        return ()
    return (roles.L2A_SCL if ref == SCL_GRID else Channel.parse(ref).raster_role,)
