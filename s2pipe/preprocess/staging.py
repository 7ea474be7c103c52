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
from s2pipe.preprocess.verify_inputs import checksum_fault, is_checkable, refuse, size_fault
from s2pipe.runtime.cores import core_count
from s2pipe.runtime.disk import full_disk_ends, is_full
from s2pipe.runtime.hashing import new_hash
from s2pipe.runtime.locks import locked

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from s2pipe.preprocess.cfg import PreprocessConfig
    from s2pipe.preprocess.scene_plan import ScenePlan
    from s2pipe.raster.grid import RasterInfo

_PREFIX = "s2pipe-stage-"
_LOCK = "lock"
_NEW_S = 60.0
"""Age under which a directory without a holder may be one that is just being made."""
_TRIES = 2
"""A copy that differs from its checksum is made again once."""
_PIECE_BYTES = 8 << 20
_CONNECTIONS = 4


@contextmanager
def staged(plan: ScenePlan, config: PreprocessConfig) -> Iterator[ScenePlan]:
    """Copy a scene's remote files to this machine, checked, and give the plan that reads the copies.

    Without ``remote.stage``, or without such files, the plan stays as it is. The copies are removed at the end, however
    it comes; those that a killed run left are removed by the next one.

    Raises
    ------
    ChecksumError
        A file is not as the index says, or changed while it was copied.
    ServiceError, DiskFullError, OutputError
        A file cannot be fetched, or there is no room or no directory for it.
    """
    files = [file for file in dict.fromkeys(plan.files) if isinstance(file, RemoteFile)]
    if not (config.remote.stage and files):
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
        with locked(directory / _LOCK, wait=False), full_disk_ends(directory):
            copies = _copied(files, directory, config)
            yield _with_copies(plan, copies)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _sweep(place: Path) -> None:
    """Remove what killed runs left: directories whose lock nobody holds."""
    for directory in place.glob(f"{_PREFIX}*"):
        with suppress(OSError, LockedError):
            if directory.is_symlink() or time.time() - directory.stat().st_mtime < _NEW_S:
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

    bands = tuple(replace(band, raster=raster_of(band.raster)) for band in plan.stack.bands)
    labels = tuple(replace(item, rasters=tuple(map(raster_of, item.rasters))) for item in plan.labels)
    angles, nbar = (
        given
        and replace(
            given,
            metadata=file_of(given.metadata),
            footprints={band: file_of(mask) for band, mask in given.footprints.items()},
        )
        for given in (plan.angles, plan.nbar)
    )
    quality = plan.quality
    if quality is not None:
        clouds = quality.cloud_probability
        quality = replace(
            quality, classes=raster_of(quality.classes), cloud_probability=clouds and raster_of(clouds)
        )
    return replace(
        plan,
        stack=replace(plan.stack, bands=bands),
        labels=labels,
        angles=angles,
        nbar=nbar,
        quality=quality,
        sources=tuple(_with_copies(source, copies) for source in plan.sources),
    )
