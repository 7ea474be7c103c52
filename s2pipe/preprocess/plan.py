"""From a manifest and a configuration to what is to be read: every check that needs no pixel.

No fallback and no guess: a missing role or file stops the run with a list of every gap, unless the
configuration allows incomplete scenes to be left out.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from s2pipe.dataset.headers import raster_header
from s2pipe.dataset.input_file import InputFile, InputState
from s2pipe.dataset.scene_choice import SceneChoice
from s2pipe.dataset.scene_key import SceneKey
from s2pipe.errors import (
    ChecksumError,
    MetadataError,
    MissingInputError,
    RasterError,
    S2PipeError,
    ServiceError,
)
from s2pipe.preprocess.grouping import as_mosaic, group_scenes
from s2pipe.preprocess.inputs import AngleInput, BandInput, BandStack, QualityInput
from s2pipe.preprocess.labels.backends import LabelBackend, LabelInput, backend_checksum
from s2pipe.preprocess.needs import (
    ANGLE_METADATA,
    Needs,
    SceneFiles,
    footprint_roles,
    grid_roles,
    with_angles,
    with_quality,
)
from s2pipe.preprocess.own_grid import is_finer, on_system_of, own_grid
from s2pipe.preprocess.pixels.radiometry import SceneRadiometry, scene_radiometry
from s2pipe.preprocess.placement import RasterInTile, check_on_ground, resolution_of
from s2pipe.preprocess.scene_plan import ScenePlan
from s2pipe.preprocess.target import OutsideAreaError, area_of, choose_target
from s2pipe.preprocess.verify_inputs import How, read_checked
from s2pipe.raster.formats import ANY_FORMAT, LABELS
from s2pipe.raster.reader import inspect_raster
from s2pipe.raster.transform import kernel_scale
from s2pipe.raster.vrt import SCALED_METHODS
from s2pipe.runtime.addresses import parse_prefixes
from s2pipe.sentinel2 import roles

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from s2pipe.dataset.step1_index import Index, Scene
    from s2pipe.ground.area import Area
    from s2pipe.preprocess.cfg import LabelRasterConfig, PreprocessConfig
    from s2pipe.raster.grid import Grid, RasterInfo
    from s2pipe.sentinel2.channels import Channel


log = logging.getLogger("s2pipe.preprocess")


@dataclass(frozen=True)
class LeftOut:
    """A scene that is not processed, and why."""

    key: SceneKey
    """The scene's key."""
    reason: str
    """What is missing or cannot be read."""


@dataclass(frozen=True)
class FinishedScene:
    """A scene that is known to need nothing."""

    key: SceneKey
    """The scene's key."""
    inputs: Mapping[How, int]
    """Its input files by how they were compared with the index."""


@dataclass(frozen=True)
class Plan:
    """What a run will do."""

    scenes: tuple[ScenePlan, ...]
    """Scenes to process, by tile and time."""
    incomplete: tuple[LeftOut, ...] = ()
    """Scenes left out because skip_incomplete is on."""
    outside: tuple[LeftOut, ...] = ()
    """Scenes left out because the area of interest misses them."""
    unreadable: tuple[LeftOut, ...] = ()
    """Scenes with a file that is there but cannot be used: they fail, the others go on."""
    finished: tuple[FinishedScene, ...] = ()
    """Scenes that are known to need nothing, so that they were not planned."""


def make_plan(
    index: Index,
    config: PreprocessConfig,
    known: Callable[[Scene], Mapping[How, int] | None] = lambda _: None,
) -> Plan:
    """Resolve all scenes against the roles that the configuration needs.

    Parameters
    ----------
    index : Index
        The Step-1 manifest.
    config : PreprocessConfig
        A checked configuration.
    known : callable, optional
        Tells of a scene that needs nothing how its inputs were compared with the index; None of any other.

    Returns
    -------
    Plan
        Scenes to process, and with their reasons those left out, and those that fail: because a raster cannot be
        opened or placed on the ground, or metadata cannot be read or give no radiometry.

    Raises
    ------
    ConfigError
        The area of interest cannot be used.
    MissingInputError
        A role is missing from the manifest, or a file from the disk; every gap is listed.
    PathEscapeError
        A path in the manifest leaves the dataset.
    """
    index = replace(index, remote=parse_prefixes(config.remote.allow))
    groups = deque(_chosen_groups(index, config))
    planning = _Planning(index, config)
    while groups:
        # Let go of one by one: a scene with all of its files takes five times the memory of its plan.
        group = groups.popleft()
        # What is known of single scenes says nothing of a mosaic.
        checked = known(group[0]) if config.group_by is None else None
        if checked is not None:
            planning.finished.append(FinishedScene(group[0].key, checked))
        else:
            planning.add(group)
    return planning.plan()


class _Planning:
    """Plans scenes, or groups of them, one after the other, and sorts out what is not to be processed."""

    def __init__(self, index: Index, config: PreprocessConfig) -> None:
        self.finished: list[FinishedScene] = []
        self._index = index
        self._config = config
        self._needs = Needs.of(config)
        area = area_of(config)
        self._ground = own_grid(config, area), area
        self._planned: list[ScenePlan] = []
        self._beside: list[LeftOut] = []
        self._outside: list[LeftOut] = []
        self._unreadable: list[LeftOut] = []
        self._gaps: list[tuple[SceneKey, tuple[str, ...]]] = []
        self._wanted = 0

    def add(self, group: Sequence[Scene]) -> None:
        """Plan what becomes one sample."""
        complete = []
        for scene in group:
            files = self._needs.files_of(scene, self._index)
            reason = self._reason_beside(scene, files) if files.gaps else None
            if reason is not None:
                self._beside.append(LeftOut(scene.key, reason))
                continue
            self._wanted += 1
            if files.gaps:
                self._gaps.append((scene.key, files.gaps))
            else:
                complete.append((scene, files))
        if self._config.skip_incomplete or not self._gaps:  # else the run ends before its first pixel
            self._add_complete(complete)

    def plan(self) -> Plan:
        """Return the plan of all that was added; raises where scenes lack inputs that may not be left out."""
        return Plan(
            tuple(self._planned),
            incomplete=self._incomplete(),
            outside=(*self._beside, *self._outside),
            unreadable=tuple(self._unreadable),
            finished=tuple(self.finished),
        )

    def _reason_beside(self, scene: Scene, files: SceneFiles) -> str | None:
        """Why nothing is wanted of a scene that lacks inputs; None unless a raster that is there shows it."""
        own, area = self._ground
        if own is None and area is None:
            return None
        for role in (*grid_roles(self._config), *(channel.raster_role for channel in self._config.channels)):
            if role not in files.by_role:
                continue
            try:
                tile = _raster(files, scene, role, own, self._config).grid
                choose_target(own or tile, area, replace(self._config, aoi_mask=False), tile)
            except OutsideAreaError as error:
                return str(error)
            except (RasterError, ServiceError) as error:
                log.debug("%s: does not say where its tile lies: %s", files.by_role[role].label, error)
                continue
            return None
        return None

    def _add_complete(self, group: Sequence[tuple[Scene, SceneFiles]]) -> None:
        parts, faults = [], []
        for scene, files in group:
            try:
                parts.append(
                    _plan_scene(
                        self._index.root, scene, files, self._needs.backends, self._ground, self._config
                    )
                )
            except OutsideAreaError as error:
                self._outside.append(LeftOut(scene.key, str(error)))
            except (RasterError, MetadataError, ChecksumError, MissingInputError, ServiceError) as error:
                faults.append(str(error))
        if faults:  # a mosaic without one of its scenes would look as if nothing had been seen there
            self._unreadable.append(LeftOut(group[0][0].key, "; ".join(faults)))
        elif parts:
            self._planned.append(parts[0] if self._config.group_by is None else as_mosaic(parts))

    def _incomplete(self) -> tuple[LeftOut, ...]:
        """Scenes that lack inputs, and are left out if the configuration allows it."""
        source, gaps = self._config.index_json, self._gaps
        if gaps and not self._config.skip_incomplete:
            msg = f"{source}: {len(gaps)} of {self._wanted} scenes lack inputs that the configuration needs:"
            raise MissingInputError(
                msg,
                [f"{key}: {gap}" for key, missing in gaps for gap in missing],
                "Download or index what is missing, change the configuration, or set skip_incomplete to leave such "
                "scenes out.",
            )
        left_out = tuple(LeftOut(key, "; ".join(missing)) for key, missing in gaps)
        is_all = len(left_out) == self._wanted and not self.finished
        if left_out and is_all and self._config.only.shard is None:
            msg = f"{source}: all {len(left_out)} scenes lack inputs, and skip_incomplete leaves all of them out:"
            raise MissingInputError(
                msg,
                [f"{item.key}: {item.reason}" for item in left_out],
                "Download or index what is missing, or change the configuration.",
            )
        return left_out


def _chosen_groups(index: Index, config: PreprocessConfig) -> list[tuple[Scene, ...]]:
    """Scenes of this run, those that become one sample together."""
    scenes = sorted(index.scenes, key=lambda scene: scene.key)
    source = str(config.index_json)
    if config.normalize.mode == "compute_only":
        counted = SceneChoice(scenes=config.normalize.scenes)
        scenes = counted.matching(scenes, _key_of, source, "preprocess.normalize.scenes")
    scenes = config.only.matching(scenes, _key_of, source, "preprocess.only.scenes")
    groups = group_scenes(scenes, config)[: config.max_scenes]
    if not groups and index.scenes:
        msg = f"{config.index_json}: tiles, dates and scenes of preprocess.only leave none of its scenes; change them"
        raise S2PipeError(msg)
    if not groups:
        msg = f"{config.index_json}: there is no scene to process; run `s2pipe index` or `s2pipe download`"
        raise S2PipeError(msg)
    return config.only.share_of_scenes(groups, lambda group: group[0].key)


def _key_of(scene: Scene) -> SceneKey:
    return scene.key


def _plan_scene(
    root: Path,
    scene: Scene,
    files: SceneFiles,
    backends: Mapping[str, LabelBackend],
    ground: tuple[Grid | None, Area | None],
    config: PreprocessConfig,
) -> ScenePlan:
    """Plan one scene on the grid of the user's own, if there is one, and in the area of interest, if there is one."""
    own, area = ground
    rasters: dict[str, RasterInfo] = {}

    def raster(role: str) -> RasterInfo:
        if role not in rasters:
            rasters[role] = _raster(files, scene, role, own, config)
        return rasters[role]

    reference = own or raster(grid_roles(config)[0]).grid
    target = choose_target(reference, area, config, raster(config.channels[0].raster_role).grid)
    bands = tuple(
        _band_input(channel, raster(channel.raster_role), reference, config) for channel in config.channels
    )
    labels = []
    for (name, backend), own_files in zip(backends.items(), files.for_labels, strict=True):
        beside = [_placed(_label_raster(file.gdal_path, backend.config)) for file in own_files]
        labels.append(LabelInput(backend, (*map(raster, backend.roles), *beside), name))
        backend.sources(labels[-1].rasters)  # refuses what it cannot use now, not in the middle of the run
        _ = labels[-1].meaning  # likewise
    quality = None
    if with_quality(config):
        has_probability = roles.L2A_CLOUD_PROBABILITY in files.by_role
        quality = QualityInput(
            raster(roles.L2A_SCL), raster(roles.L2A_CLOUD_PROBABILITY) if has_probability else None
        )
    return ScenePlan(
        root=root,
        scene=replace(scene, files_l1c=None, files_l2a=None, others=()),
        stack=BandStack(target.grid, bands),
        mask=target.mask,
        radiometry=_radiometry(files, config),
        labels=tuple(labels),
        angles=_angle_input(files, config.view_bands) if with_angles(config) else None,
        nbar=_angle_input(files, config.nbar_bands) if config.nbar_bands else None,
        quality=quality,
        files=(*files.by_role.values(), *dict.fromkeys(chain(*files.for_labels)), *files.tiles.values()),
        in_tile=tuple(_in_tile(files, rasters)),
        inputs=tuple(sorted(_states(files, backends), key=lambda item: item.role)),
    )


def _raster(
    files: SceneFiles, scene: Scene, role: str, own: Grid | None, config: PreprocessConfig
) -> RasterInfo:
    """Header of a raster of a product, placed on the ground."""
    by_checksum = config.verify_inputs == "checksum"
    found = _placed(raster_header(files.by_role[role], scene.asset(role), by_checksum=by_checksum))
    return found if own is None else on_system_of(found, own)


def _label_raster(path: str, config: LabelRasterConfig) -> RasterInfo:
    """Inspect a label raster of the user's own."""
    if config.allow_vrt:
        return inspect_raster(path, ANY_FORMAT)
    raster = inspect_raster(path, LABELS, with_files_beside=True)
    if (mask := Path(f"{path}.msk")).exists():
        msg = (
            f"{path}: {mask.name} beside it would mask pixels, but only the file itself is read: write the mask into "
            "its nodata value, remove it, or set labels.allow_vrt"
        )
        raise RasterError(msg)
    return raster


def _angle_input(files: SceneFiles, bands: Iterable[str]) -> AngleInput:
    def first(wanted: Iterable[str]) -> InputFile | None:
        return next((files.by_role[role] for role in wanted if role in files.by_role), None)

    metadata = first(ANGLE_METADATA)
    assert metadata is not None  # scenes with gaps are left out before
    masks = {band: first(footprint_roles(band)) for band in bands}
    return AngleInput(metadata, {band: mask for band, mask in masks.items() if mask is not None})


def _in_tile(files: SceneFiles, rasters: Mapping[str, RasterInfo]) -> Iterable[RasterInTile]:
    for level, tile in files.tiles.items():
        for role, raster in rasters.items():
            resolution = resolution_of(role)
            if role.startswith(f"{level.lower()}.") and resolution is not None:
                yield RasterInTile(raster, resolution, tile)


def _placed(raster: RasterInfo) -> RasterInfo:
    check_on_ground(raster)
    return raster


def _band_input(channel: Channel, raster: RasterInfo, target: Grid, config: PreprocessConfig) -> BandInput:
    if raster.grid == target:
        return BandInput(channel, raster, None)
    smaller = is_finer(raster.grid, target)
    method = config.downsample_method if smaller else config.upsample_method
    if not config.target_grid.is_on:
        return BandInput(channel, raster, method)
    scale = kernel_scale(raster.grid, target) if method in SCALED_METHODS else None
    return BandInput(channel, raster, method, is_exact=True, scale_xy=scale)


def _radiometry(files: SceneFiles, config: PreprocessConfig) -> SceneRadiometry:
    channels = config.channels
    if not config.to_toa_reflectance:
        return SceneRadiometry.plain_dn(len(channels))
    metadata = {}
    for role in dict.fromkeys(channel.metadata_role for channel in channels):
        file = files.by_role[role]
        metadata[role] = (read_checked(file, by_checksum=config.verify_inputs == "checksum"), file.label)
    return scene_radiometry([(channel, *metadata[channel.metadata_role]) for channel in channels])


def _states(files: SceneFiles, backends: Mapping[str, LabelBackend]) -> Iterable[InputState]:
    """Everything that a scene's outputs depend on, the code of label backends among it."""
    for file in (*files.by_role.values(), *dict.fromkeys(chain(*files.for_labels))):
        yield file.state()
    for backend in {item.config.backend: item for item in backends.values()}.values():
        checksum = backend_checksum(backend)
        if checksum is not None:
            yield InputState("labels.backend", backend.config.backend, 0, 0, checksum)
