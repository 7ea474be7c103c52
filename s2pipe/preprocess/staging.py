"""Input files that lie off this machine, copied here for as long as their scene is processed."""

from __future__ import annotations

import shutil
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from s2pipe.dataset.input_file import InputFile
from s2pipe.dataset.remote_file import RemoteFile
from s2pipe.errors import ChecksumError, LockedError, OutputError
from s2pipe.preprocess.pixels.blocks import scene_windows
from s2pipe.preprocess.pixels.dn import is_kept
from s2pipe.preprocess.record import stack_fingerprint
from s2pipe.preprocess.verify_inputs import checksum_fault, is_checkable, refuse, size_fault
from s2pipe.runtime.cores import core_count
from s2pipe.runtime.disk import full_disk_ends, is_full
from s2pipe.runtime.hashing import new_hash
from s2pipe.runtime.locks import locked

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from s2pipe.preprocess.cfg import PreprocessConfig
    from s2pipe.preprocess.inputs import AngleInput
    from s2pipe.preprocess.scene_plan import ScenePlan
    from s2pipe.raster.grid import RasterInfo

_PREFIX = "s2pipe-stage-"
_LOCK = "lock"
_NEW_S = 60.0
"""Age under which a directory without a lock may be one that is just being made."""
_TRIES = 2
"""A copy that differs from its checksum is made again once."""
_PIECE_BYTES = 8 << 20
_CONNECTIONS = 4


@contextmanager
def staged(plan: ScenePlan, config: PreprocessConfig) -> Iterator[ScenePlan]:
    """Copy a scene's remote files to this machine, checked, and give the plan that reads the copies.

    Files that are not opened any more are not copied: rasters of bands that the stack cache holds, and metadata that
    only proved where they lie. Without ``remote.stage``, or without such files, the plan stays as it is. The copies are
    removed at the end, however it comes; those that a killed run left are removed by the next one.

    Raises
    ------
    ChecksumError
        A file is not as the index says, or changed while it was copied.
    ServiceError, DiskFullError, OutputError
        A file cannot be fetched, or there is no room or no directory for it.
    """
    files = _to_copy(plan, config) if config.remote.stage else []
    if not files:
        yield plan
        return
    place = config.remote.stage_dir or Path(tempfile.gettempdir())
    try:
        place.mkdir(parents=True, exist_ok=True)
        _sweep(place)
        directory = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=place))
    except OSError as error:
        if is_full(error):
            raise
        msg = f"{place}: cannot be written to ({error.strerror}); name another directory in remote.stage_dir"
        raise OutputError(msg) from error
    try:
        with locked(directory / _LOCK), full_disk_ends(directory):
            copies = _copied(files, directory, config)
            yield _with_copies(plan, copies)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _to_copy(plan: ScenePlan, config: PreprocessConfig) -> list[RemoteFile]:
    """Remote files that the pixels of a scene's outputs are read from."""
    decodes = _decodes(plan, config)
    rasters: set[str] = set()
    others: set[InputFile] = set()
    for source in (plan, *plan.sources):
        rasters |= {raster.path for item in source.labels for raster in item.rasters}
        if decodes:
            rasters |= {band.raster.path for band in source.stack.bands}
        if source.quality is not None:
            rasters |= {raster.path for raster in source.quality.rasters}
        for angles in (source.angles, source.nbar):
            others |= set() if angles is None else {angles.metadata, *angles.footprints.values()}
    return [
        file
        for file in dict.fromkeys(plan.files)
        if isinstance(file, RemoteFile) and (file.gdal_path in rasters or file in others)
    ]


def _decodes(plan: ScenePlan, config: PreprocessConfig) -> bool:
    """Tell whether bands are decoded, rather than taken from the stack cache; those of mosaics count as decoded."""
    normalize = config.normalize
    draws = normalize.mode == "compute_only" and normalize.max_pixels_per_scene is not None
    if not config.cache.enabled or config.group_by is not None or (draws and normalize.sampling == "blocks"):
        return True
    windows = scene_windows(plan.target, config.output.tile_px)
    return not is_kept(plan.stack, config, windows, stack_fingerprint(plan, config))


def _sweep(place: Path) -> None:
    """Remove what killed runs left: directories whose lock nobody holds.

    One that is just being made has no lock yet. Who makes it waits for the lock, and has it made again if it was taken
    for a left one in the moment before.
    """
    for directory in place.glob(f"{_PREFIX}*"):
        lock = directory / _LOCK
        with suppress(OSError, LockedError):
            if directory.is_symlink():
                continue
            if not lock.exists() and time.time() - directory.stat().st_mtime < _NEW_S:
                continue
            with locked(directory / _LOCK, wait=False):
                shutil.rmtree(directory, ignore_errors=True)


def _copied(
    files: list[RemoteFile], directory: Path, config: PreprocessConfig
) -> Mapping[RemoteFile, InputFile]:
    threads = min(core_count(config.num_workers) * 2, _CONNECTIONS, len(files))
    by_checksum = config.verify_inputs == "checksum"

    def copy(item: tuple[int, RemoteFile]) -> InputFile:
        number, file = item
        # The number keeps files of one name apart.
        return _copy(file, directory / f"{number:03d}-{file.address.name}", by_checksum=by_checksum)

    with ThreadPoolExecutor(threads, "s2pipe-stage") as pool:
        return dict(zip(files, pool.map(copy, enumerate(files)), strict=True))


def _copy(file: RemoteFile, target: Path, *, by_checksum: bool) -> InputFile:
    for rest in reversed(range(_TRIES)):
        try:
            _copy_once(file, target, by_checksum=by_checksum)
            break
        except ChecksumError:
            if rest == 0:
                raise
    return InputFile(file.role, target, None, file.name, file.size, file.checksum)


def _copy_once(file: RemoteFile, target: Path, *, by_checksum: bool) -> None:
    before = file.stamp()
    algorithm = file.checksum.algorithm if by_checksum and is_checkable(file) and file.checksum else None
    digest = None if algorithm is None else new_hash(algorithm)
    size = 0
    with file.open() as source, target.open("wb") as copy:
        while piece := source.read(_PIECE_BYTES):
            copy.write(piece)
            size += len(piece)
            if digest is not None:
                digest.update(piece)
    fault = size_fault(file, size)
    if fault is None and digest is not None:
        fault = checksum_fault(file, digest.hexdigest())
    if fault is None and file.stamp() != before:
        fault = f"{file.label}: was changed while it was copied"
    refuse([] if fault is None else [fault])


def _with_copies(plan: ScenePlan, copies: Mapping[RemoteFile, InputFile]) -> ScenePlan:
    """Let a plan read the copies; what it records of its inputs stays."""
    paths = {file.gdal_path: copy.gdal_path for file, copy in copies.items()}

    def file_of(file: InputFile) -> InputFile:
        return copies.get(file, file) if isinstance(file, RemoteFile) else file

    def raster_of(raster: RasterInfo) -> RasterInfo:
        return replace(raster, path=paths.get(raster.path, raster.path))

    def directions_of(angles: AngleInput | None) -> AngleInput | None:
        if angles is None:
            return None
        footprints = {band: file_of(mask) for band, mask in angles.footprints.items()}
        return replace(angles, metadata=file_of(angles.metadata), footprints=footprints)

    bands = tuple(replace(band, raster=raster_of(band.raster)) for band in plan.stack.bands)
    labels = tuple(replace(item, rasters=tuple(map(raster_of, item.rasters))) for item in plan.labels)
    angles, nbar, quality = directions_of(plan.angles), directions_of(plan.nbar), plan.quality
    if quality is not None:
        clouds = quality.cloud_probability
        quality = replace(
            quality, classes=raster_of(quality.classes), cloud_probability=clouds and raster_of(clouds)
        )
    sources = tuple(_with_copies(source, copies) for source in plan.sources)
    stack = replace(plan.stack, bands=bands)
    return replace(
        plan, stack=stack, labels=labels, angles=angles, nbar=nbar, quality=quality, sources=sources
    )
