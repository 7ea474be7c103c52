"""Cubes of tiles or grids along time, in Zarr: what a dataset is to those who compute on time series."""

from __future__ import annotations

import logging
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from s2pipe.config.documents import read_json
from s2pipe.dataset.opening import by_grid
from s2pipe.dataset.samples import load_samples
from s2pipe.errors import DependencyError, Fault, ManifestError, MissingInputError, OutputError, UsageError
from s2pipe.runtime.disk import full_disk_ends
from s2pipe.runtime.hashing import document_fingerprint
from s2pipe.runtime.locks import locked
from s2pipe.runtime.notebook import InNotebooks
from s2pipe.runtime.progress import Progress
from s2pipe.sharing.scenes import need_index

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from s2pipe.dataset.samples import Sample

log = logging.getLogger("s2pipe.export")

FINGERPRINT = "s2pipe:fingerprint"
"""Attribute of a cube that identifies all that it was made from."""
_LAYOUT_VERSION = 1
"""Raised when the same samples and options would give other cubes than before."""
_UNFINISHED = ".unfinished-"
_CHUNK_PX = 512


@dataclass(frozen=True)
class ZarrOptions:
    """How cubes are written."""

    tiles: tuple[str, ...] = ()
    """Write cubes of these tiles only; none stands for all."""
    chunk_px: int = _CHUNK_PX
    """Side of the chunks, which readers decompress one at a time."""
    shard_px: int = 2048
    """Side of the shards, one file each, a multiple of chunk_px."""
    overwrite: bool = False
    """Replace cubes of other samples or options."""


@dataclass(frozen=True)
class ZarrResult(InNotebooks):
    """Cubes that are there now."""

    written: tuple[Path, ...]
    """Those written now."""
    up_to_date: tuple[Path, ...]
    """Those that were there already, of the same samples and options."""

    def summary(self) -> dict[str, Any]:
        """Return the form for ``--json``."""
        return {name: [str(path) for path in getattr(self, name)] for name in ("written", "up_to_date")}


def export_zarr(out_dir: Path | str, to: Path | str, options: ZarrOptions | None = None) -> ZarrResult:
    """Write a cube (time, band, y, x) for each grid that samples lie on.

    Cubes are made beside their places and moved there as a whole. Those of an earlier run, of the same samples and
    options, are kept as they are.

    Parameters
    ----------
    out_dir : Path
        Output directory of Step 2.
    to : Path
        Directory of the cubes, ``<TILE>.zarr`` each.
    options : ZarrOptions, optional
        Tiles, sizes of chunks and shards, whether to replace.

    Raises
    ------
    DependencyError
        zarr or xarray is not installed.
    UsageError
        An option is of no use.
    ManifestError, MissingInputError
        The samples cannot be used, or there are none.
    OutputError
        Something else is in the place of a cube.
    RasterError
        A raster cannot be read.
    DiskFullError
        The disk is full.
    """
    wanted, root, target = options or ZarrOptions(), Path(out_dir), Path(to)
    _check(wanted)
    _need_zarr()
    cubes = {target / f"{name}.zarr": samples for name, samples in _named(_samples(root, wanted))}
    prints = {path: _fingerprint(samples, wanted) for path, samples in cubes.items()}
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        msg = (
            f"{target}: cannot be made ({error.strerror}); expected a directory or nothing, give another --to"
        )
        raise OutputError(msg) from error
    with locked(target / ".lock"):
        for left in target.glob(f"{_UNFINISHED}*"):
            shutil.rmtree(left, ignore_errors=True)
        current = {path for path in cubes if _found(path) == prints[path]}
        _refuse_others([path for path in cubes if path not in current], wanted)
        with Progress("scenes", sum(len(cubes[path]) for path in cubes if path not in current)) as progress:
            for path, samples in cubes.items():
                if path not in current:
                    _replace(path, samples, wanted, prints[path], progress)
    return ZarrResult(
        tuple(path for path in cubes if path not in current), tuple(path for path in cubes if path in current)
    )


def _check(options: ZarrOptions) -> None:
    for name in ("chunk_px", "shard_px"):
        value = getattr(options, name)
        if not 16 <= value <= 65536:
            msg = f"--{name.replace('_', '-')}: expected 16 to 65536 pixels, got {value}"
            raise UsageError(msg)
    if options.shard_px % options.chunk_px:
        msg = f"--shard-px: expected a multiple of --chunk-px ({options.chunk_px}), got {options.shard_px}"
        raise UsageError(msg)


def _need_zarr() -> None:
    try:
        import xarray  # noqa: F401 - whether it is there
        import zarr
    except ImportError as error:
        msg = f"{error.name} cannot be imported: {error}\n`s2pipe export zarr` needs it: `pip install 's2pipe[zarr]'`."
        raise DependencyError(msg) from error
    if int(zarr.__version__.partition(".")[0]) < 3:
        msg = f"zarr {zarr.__version__} is too old: expected 3 or newer, `pip install 's2pipe[zarr]'`."
        raise DependencyError(msg)


def _samples(root: Path, options: ZarrOptions) -> list[Sample]:
    path = need_index(root)
    samples = load_samples(path)
    known = sorted({sample.key.tile_id for sample in samples})
    strange = sorted(set(options.tiles) - set(known))
    if strange:
        msg = (
            f"{path}: there are no samples of tiles {', '.join(strange)}; expected some of {', '.join(known)}"
        )
        raise MissingInputError(msg, [], "Correct --tiles.")
    chosen = [sample for sample in samples if not options.tiles or sample.key.tile_id in options.tiles]
    faults = [
        Fault(record.path, f"expected {record.size} bytes, as recorded; run `s2pipe verify {root}`")
        for sample in chosen
        for record in sample.files
        if not record.is_at(root)
    ]
    if faults:
        raise ManifestError(str(path), faults)
    return chosen


def _named(samples: Sequence[Sample]) -> Iterator[tuple[str, list[Sample]]]:
    """Yield the samples of each grid with a name: that of the tile, and a number where a tile has several grids."""
    seen: dict[str, int] = {}
    for group in by_grid(samples):
        tile = group[0].key.tile_id
        seen[tile] = seen.get(tile, 0) + 1
        yield tile if seen[tile] == 1 else f"{tile}-{seen[tile]}", group


def _fingerprint(samples: Sequence[Sample], options: ZarrOptions) -> str:
    parts = [[sample.name, sample.fingerprint] for sample in samples]
    return document_fingerprint([_LAYOUT_VERSION, options.chunk_px, options.shard_px, parts])


def _found(path: Path) -> str | None:
    """Return the fingerprint of a cube that is there; None where there is none."""
    try:
        return str(read_json(path / "zarr.json")["attributes"][FINGERPRINT])
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _refuse_others(paths: Sequence[Path], options: ZarrOptions) -> None:
    """Refuse what is in the place of cubes, unless it is a cube that may be replaced."""
    for path in paths:
        if not (path.exists() or path.is_symlink()):
            continue
        if path.is_symlink() or _found(path) is None:
            msg = f"{path}: is in the way: expected a cube of s2pipe or nothing; move it away, or give another --to"
            raise OutputError(msg)
        if not options.overwrite:
            msg = (
                f"{path}: holds other samples than the dataset does now, or has other chunks; expected the same or "
                "nothing, give --overwrite to replace it, or another --to"
            )
            raise OutputError(msg)


def _replace(
    path: Path, samples: Sequence[Sample], options: ZarrOptions, fingerprint: str, progress: Progress
) -> None:
    """Write a cube beside its place and move it there."""
    from s2pipe.sharing.zarr_cube import write_cube

    made, old = (path.with_name(f"{_UNFINISHED}{part}-{path.name}") for part in ("new", "old"))
    try:
        with full_disk_ends(path):
            write_cube(
                made, samples, (options.chunk_px, options.shard_px), {FINGERPRINT: fingerprint}, progress.step
            )
            if path.exists():
                path.replace(old)
            made.replace(path)
    except OSError as error:
        msg = f"{path}: cannot be written ({error}); check the directory, and run again"
        raise OutputError(msg) from error
    finally:
        shutil.rmtree(made, ignore_errors=True)
        if path.exists():
            shutil.rmtree(old, ignore_errors=True)
    log.info("%s: %d scene(s)", path, len(samples))
