"""The DN of a scene on the target grid, window by window: decoded, or from the stack cache."""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING

import numpy as np

from s2pipe.preprocess.pixels.blocks import BandReader, TargetReader, stream_windows
from s2pipe.preprocess.pixels.cache import CacheDamagedError, StackCache, StackWriter, entry_bytes, read_stack
from s2pipe.preprocess.pixels.sources import open_band
from s2pipe.raster.block_cache import block_cache
from s2pipe.raster.grid import Window
from s2pipe.runtime.cores import core_count

if TYPE_CHECKING:
    from pathlib import Path

    from s2pipe.preprocess.cfg import PreprocessConfig
    from s2pipe.preprocess.inputs import BandStack

log = logging.getLogger("s2pipe.preprocess")
LOOK_AHEAD = 3
"""Windows in memory at once: one with the kernels, two being read."""
_CACHE_SLACK = 32 << 20

DnWindows = Generator[tuple[Window, np.ndarray], None, None]
"""Windows of the target grid with the DN of all bands."""


@contextmanager
def dn_windows(
    stack: BandStack, config: PreprocessConfig, windows: Sequence[Window], fingerprint: str | None
) -> Iterator[DnWindows]:
    """Open the bands of a scene and yield the iterator over their windows.

    With the cache on, pass 1 keeps what it decodes, and either pass reads what is kept. An entry that is not
    complete when the context is left is dropped.

    Parameters
    ----------
    stack : BandStack
        Bands and target grid.
    config : PreprocessConfig
        Threads and cache.
    windows : sequence of Window
        Windows of the target grid, in order.
    fingerprint : str or None
        Identifies the stack in the cache; None leaves the cache alone.

    Yields
    ------
    iterator of (Window, ndarray)
        DN of each window, float32 (band, y, x), 0 where not valid. An array is overwritten when the next window is
        asked for.
    """
    with ExitStack() as exits:
        if fingerprint is None:
            yield _decoded(stack, config, windows, exits)
            return
        cache = StackCache(cache_directory(config), int(config.cache.max_gb * 1e9))
        size = entry_bytes(len(stack.bands), windows)
        entry = cache.find(fingerprint, size)
        if entry is not None:
            log.debug("reading the cached stack %s", entry)
            yield _kept(entry, len(stack.bands), windows, remove=not config.cache.keep)
            return
        decoded = _decoded(stack, config, windows, exits)
        if config.normalize.mode != "compute_only" or not cache.make_room(size):
            yield decoded
            return
        keeping = _keeping(decoded, cache.path(fingerprint), len(stack.bands), windows)
        yield exits.enter_context(closing(keeping))


def is_kept(
    stack: BandStack, config: PreprocessConfig, windows: Sequence[Window], fingerprint: str | None
) -> bool:
    """Tell whether :func:`dn_windows` would read the cache, and no raster."""
    if fingerprint is None:
        return False
    cache = StackCache(cache_directory(config), int(config.cache.max_gb * 1e9))
    return cache.find(fingerprint, entry_bytes(len(stack.bands), windows)) is not None


def cache_directory(config: PreprocessConfig) -> Path:
    """Return the configured directory of the cache, or ``cache`` in the root of the Step-1 dataset."""
    if config.cache.dir is not None:
        return config.cache.dir
    return config.index_json.absolute().parents[2] / "cache"


def open_bands(stack: BandStack, config: PreprocessConfig, exits: ExitStack) -> list[BandReader]:
    """Open all bands of a scene as windows of the target grid, with a block cache that fits them.

    ``exits`` closes them.
    """
    exits.enter_context(block_cache(_cache_bytes(stack)))
    threads = max(1, core_count(config.num_workers) // len(stack.bands))
    readers: list[BandReader] = []
    for band in stack.bands:
        source = open_band(band, stack.target.reference, config.valid_min_fraction, threads)
        exits.callback(source.close)
        readers.append(TargetReader(source, stack.target))
    return readers


def _decoded(
    stack: BandStack, config: PreprocessConfig, windows: Sequence[Window], exits: ExitStack
) -> DnWindows:
    readers = open_bands(stack, config, exits)
    workers = core_count(config.num_workers)
    stream = stream_windows(readers, windows, workers=workers, look_ahead=LOOK_AHEAD)
    return exits.enter_context(closing(stream))


def _cache_bytes(stack: BandStack) -> int:
    """Size of a block cache that holds, for every band, the row of JPEG 2000 tiles that windows are being cut from.

    With less, tiles would be decoded again for the next window. Half as much is added because one band may be a row
    ahead of another, and some room for the window that is being written.
    """
    strips = sum(
        min(b.raster.block_yx[0], b.raster.grid.height) * b.raster.grid.width * 2 for b in stack.bands
    )
    written = 8 * (len(stack.bands) + 1) * (1 << 20)
    return strips * 3 // 2 + written + _CACHE_SLACK


def _kept(path: Path, bands: int, windows: Sequence[Window], *, remove: bool) -> DnWindows:
    try:
        yield from read_stack(path, bands, windows)
    except (CacheDamagedError, OSError) as error:
        path.unlink(missing_ok=True)
        msg = f"{path}: dropped from the cache ({error})"
        raise CacheDamagedError(msg) from error
    if remove:
        path.unlink(missing_ok=True)


def _keeping(windows_of: DnWindows, path: Path, bands: int, windows: Sequence[Window]) -> DnWindows:
    """Pass windows on, writing each to the cache; a cache that cannot be written is left out with a warning."""
    writer: StackWriter | None = None
    try:
        writer = StackWriter(path, bands, windows)
    except OSError as error:
        log.warning("%s: stacks cannot be cached (%s); going on without the cache", path.parent, error)
    try:
        for window, dn in windows_of:
            if writer is not None:
                try:
                    writer.add(dn)
                except OSError as error:
                    log.warning("%s: cannot be written (%s); going on without it", path, error)
                    writer.abandon()
                    writer = None
            yield window, dn
        if writer is not None:
            writer.finish()
            writer = None
    finally:
        if writer is not None:
            writer.abandon()
