"""From a manifest and a configuration to what is to be read: every check that needs no pixel.

No fallback and no guess: a missing role or file stops the run with a list of every gap, unless the
configuration allows incomplete scenes to be left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from s2pipe.dataset.input_file import InputFile, InputState
from s2pipe.dataset.scene_key import SceneKey
from s2pipe.dataset.scene_list import match_scenes, read_scene_list
from s2pipe.dataset.step1_index import Index, Scene
from s2pipe.errors import (
    ConfigError,
    Fault,
    MetadataError,
    MissingInputError,
    RasterError,
    S2PipeError,
)
from s2pipe.ground.mask import GroundMask
from s2pipe.ground.split import SplitPlan
from s2pipe.preprocess.inputs import AngleInput, BandInput, BandStack
from s2pipe.preprocess.labels.backends import LabelBackend, LabelInput, backend_checksum
from s2pipe.preprocess.needs import (
    ANGLE_METADATA,
    Needs,
    SceneFiles,
    footprint_roles,
    grid_role,
    with_angles,
)
from s2pipe.preprocess.pixels.radiometry import SceneRadiometry, scene_radiometry
from s2pipe.raster.formats import ANY_FORMAT, JPEG2000, LABELS
from s2pipe.raster.reader import inspect_raster

if TYPE_CHECKING:
    from collections.abc import Iterable

    from s2pipe.preprocess.cfg import PreprocessConfig
    from s2pipe.raster.grid import Grid, RasterInfo
    from s2pipe.sentinel2.channels import Channel


@dataclass(frozen=True)
class ScenePlan:
    """Everything that is needed to process one scene."""

    scene: Scene
    """The scene's record in the manifest."""
    stack: BandStack
    """Bands in the configured order, and the grid of all outputs."""
    radiometry: SceneRadiometry
    """How DN become values, by band."""
    labels: LabelInput | None
    """Source of the labels; None without labels."""
    angles: AngleInput | None
    """Source of the angles; None without angles."""
    inputs: tuple[InputState, ...]
    """Files that the outputs depend on, sorted by role."""
    split: SplitPlan | None = None
    """Statistics count its training ground only; None counts all ground."""

    @property
    def key(self) -> SceneKey:
        """The scene's key."""
        return self.scene.key

    @property
    def target(self) -> Grid:
        """Grid of all outputs."""
        return self.stack.target

    @property
    def ground(self) -> GroundMask | None:
        """What drops the pixels on other than training ground; None keeps all."""
        if self.split is None:
            return None
        return GroundMask(self.split, self.key, self.target)

    @property
    def directory(self) -> Path:
        """Directory of the scene's outputs, relative to the output directory."""
        return self.key.sample_dir


@dataclass(frozen=True)
class LeftOut:
    """A scene that is not processed, and why."""

    key: SceneKey
    """The scene's key."""
    reason: str
    """What is missing or cannot be read."""


@dataclass(frozen=True)
class Plan:
    """What a run will do."""

    scenes: tuple[ScenePlan, ...]
    """Scenes to process, by tile and time."""
    incomplete: tuple[LeftOut, ...] = ()
    """Scenes left out because skip_incomplete is on."""
    unreadable: tuple[LeftOut, ...] = ()
    """Scenes with a file that is there but cannot be opened: they fail, the others go on."""


def make_plan(index: Index, config: PreprocessConfig) -> Plan:
    """Resolve all scenes against the roles that the configuration needs.

    Parameters
    ----------
    index : Index
        The Step-1 manifest.
    config : PreprocessConfig
        A checked configuration.

    Returns
    -------
    Plan
        Scenes to process, and those left out with the reason.

    Raises
    ------
    MissingInputError
        A role is missing from the manifest, or a file from the disk; every gap is listed.
    PathEscapeError
        A path in the manifest leaves the dataset.
    RasterError
        A raster has no CRS, or is not north-up.
    MetadataError
        The product metadata cannot give the radiometry.
    """
    chosen, needs = _chosen_scenes(index, config), Needs.of(config)
    files = {scene.key: needs.files_of(scene, index) for scene in chosen}
    gaps = {key: found.gaps for key, found in files.items()}
    incomplete = [scene for scene in chosen if gaps[scene.key]]
    if incomplete and not config.skip_incomplete:
        count = f"{len(incomplete)} of {len(chosen)} scenes"
        msg = f"{config.index_json}: {count} lack inputs that the configuration needs:"
        raise MissingInputError(
            msg,
            [f"{key}: {gap}" for key in gaps for gap in gaps[key]],
            "Download or index what is missing, change the configuration, or set skip_incomplete to leave such "
            "scenes out.",
        )
    left_out = tuple(LeftOut(scene.key, "; ".join(gaps[scene.key])) for scene in incomplete)
    if len(left_out) == len(chosen):
        msg = f"{config.index_json}: all {len(chosen)} scenes lack inputs, and skip_incomplete leaves all of them out:"
        raise MissingInputError(
            msg,
            [f"{item.key}: {item.reason}" for item in left_out],
            "Download or index what is missing, or change the configuration.",
        )
    planned, unreadable, faults = [], [], []
    for scene in chosen:
        if gaps[scene.key]:
            continue
        try:
            planned.append(_plan_scene(scene, files[scene.key], needs.backend, config))
        except (_UnusableRasterError, MetadataError) as error:
            faults.append(error)
        except RasterError as error:
            unreadable.append(LeftOut(scene.key, str(error)))
    if faults:
        kind = MetadataError if all(isinstance(fault, MetadataError) for fault in faults) else RasterError
        raise kind("\n".join(map(str, faults)))
    return Plan(tuple(planned), left_out, tuple(unreadable))


class _UnusableRasterError(RasterError):
    """A raster that opens but cannot be placed on the ground."""


def _chosen_scenes(index: Index, config: PreprocessConfig) -> list[Scene]:
    scenes = sorted(index.scenes, key=lambda scene: scene.key)
    if config.normalize.mode == "compute_only" and config.normalize.scenes is not None:
        listed = read_scene_list(config.normalize.scenes)
        wanted, unknown = match_scenes(listed, [scene.key for scene in scenes])
        if unknown:
            raise ConfigError(
                str(config.index_json),
                [
                    Fault("preprocess.normalize.scenes", f"{text!r} is no scene of this manifest")
                    for text in unknown
                ],
            )
        scenes = [scene for scene in scenes if scene.key.identity in wanted]
    scenes = scenes[: config.max_scenes]
    if not scenes:
        msg = f"{config.index_json}: there is no scene to process; run `s2pipe index` or `s2pipe download`"
        raise S2PipeError(msg)
    return scenes


def _plan_scene(
    scene: Scene, files: SceneFiles, backend: LabelBackend | None, config: PreprocessConfig
) -> ScenePlan:
    def raster(role: str) -> RasterInfo:
        return _placed(inspect_raster(files.by_role[role].gdal_path, JPEG2000))

    target = raster(grid_role(config)).grid
    bands = tuple(
        _band_input(channel, raster(channel.raster_role), target, config) for channel in config.channels
    )
    labels = None
    if backend is not None:
        beside = [_placed(_label_raster(file.gdal_path, config)) for file in files.for_labels]
        labels = LabelInput(backend, (*map(raster, backend.roles), *beside))
        try:
            backend.sources(labels.rasters)  # refuses what it cannot use now, not in the middle of the run
        except RasterError as error:
            raise _UnusableRasterError(str(error)) from error
    return ScenePlan(
        scene=scene,
        stack=BandStack(target, bands),
        radiometry=_radiometry(files, config),
        labels=labels,
        angles=_angle_input(files, config) if with_angles(config) else None,
        inputs=tuple(sorted(_states(files, backend), key=lambda item: item.role)),
    )


def _label_raster(path: str, config: PreprocessConfig) -> RasterInfo:
    """Inspect a label raster of the user's own."""
    if config.labels.allow_vrt:
        return inspect_raster(path, ANY_FORMAT)
    raster = inspect_raster(path, LABELS, with_files_beside=True)
    if (mask := Path(f"{path}.msk")).exists():
        msg = (
            f"{path}: {mask.name} beside it would mask pixels, but only the file itself is read: write the mask into "
            "its nodata value, remove it, or set labels.allow_vrt"
        )
        raise RasterError(msg)
    return raster


def _angle_input(files: SceneFiles, config: PreprocessConfig) -> AngleInput:
    def first(wanted: Iterable[str]) -> InputFile | None:
        return next((files.by_role[role] for role in wanted if role in files.by_role), None)

    metadata = first(ANGLE_METADATA)
    assert metadata is not None  # scenes with gaps are left out before
    masks = {band: first(footprint_roles(band)) for band in config.view_bands}
    return AngleInput(metadata, {band: mask for band, mask in masks.items() if mask is not None})


def _placed(raster: RasterInfo) -> RasterInfo:
    """Check that a raster can be placed on the ground."""
    if not raster.grid.crs_wkt:
        msg = (
            f"{raster.path}: the raster has no coordinate reference system or geotransform; expected a georeferenced "
            "Sentinel-2 raster, fetch the file again"
        )
        raise _UnusableRasterError(msg)
    if not raster.grid.is_north_up:
        msg = (
            f"{raster.path}: the raster is rotated or flipped (geotransform {raster.grid.geotransform}); expected a "
            "north-up raster"
        )
        raise _UnusableRasterError(msg)
    return raster


def _band_input(channel: Channel, raster: RasterInfo, target: Grid, config: PreprocessConfig) -> BandInput:
    if raster.grid == target:
        return BandInput(channel, raster, None)
    (source_x, source_y), (target_x, target_y) = raster.grid.pixel_size, target.pixel_size
    smaller = source_x * source_y < target_x * target_y
    return BandInput(channel, raster, config.downsample_method if smaller else config.upsample_method)


def _radiometry(files: SceneFiles, config: PreprocessConfig) -> SceneRadiometry:
    channels = config.channels
    if not config.to_toa_reflectance:
        return SceneRadiometry.plain_dn(len(channels))
    metadata = {}
    for role in dict.fromkeys(channel.metadata_role for channel in channels):
        file = files.by_role[role]
        metadata[role] = (file.read(), file.label)
    return scene_radiometry([(channel, *metadata[channel.metadata_role]) for channel in channels])


def _states(files: SceneFiles, backend: LabelBackend | None) -> Iterable[InputState]:
    """Everything that a scene's outputs depend on, the code of a label backend among it."""
    for file in (*files.by_role.values(), *files.for_labels):
        yield file.state()
    checksum = None if backend is None else backend_checksum(backend)
    if backend is not None and checksum is not None:
        yield InputState("labels.backend", backend.config.backend, 0, 0, checksum)
