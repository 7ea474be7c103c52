"""The DN of a scene on the target grid, window by window: decoded, or from the stack cache."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import numpy as np

from s2pipe.preprocess.pixels.blocks import stream_windows
from s2pipe.preprocess.pixels.cache import CacheDamagedError, StackCache, StackWriter, entry_bytes, read_stack
from s2pipe.preprocess.pixels.sources import BandSource, open_band
from s2pipe.preprocess.record import stack_fingerprint
from s2pipe.raster.gdalenv import gdal_module
from s2pipe.raster.grid import Window

if TYPE_CHECKING:
    from pathlib import Path

    from s2pipe.preprocess.cfg import PreprocessConfig
    from s2pipe.preprocess.plan import ScenePlan

log = logging.getLogger("s2pipe.preprocess")
LOOK_AHEAD = 3
"""Windows in memory at once: one with the kernels, two being read."""
_CACHE_SLACK = 32 << 20

DnWindows = Iterator[tuple[Window, np.ndarray]]


def core_count(num_workers: int) -> int:
    """Number of threads: the configured one, or the cores that this process may use for 0."""
    if num_workers:
        return num_workers
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS and Windows
        return os.cpu_count() or 1


@contextmanager
def dn_windows(plan: ScenePlan, config: PreprocessConfig, windows: Sequence[Window]) -> Iterator[DnWindows]:
    """Open a scene and give its windows, float32 (band, y, x), each valid until the next one is asked for.

    With the cache on, pass 1 keeps what it decodes, and any pass reads what is kept. Leaving early drops an
    unfinished entry.

    Parameters
    ----------
    plan : ScenePlan
        What to read.
    config : PreprocessConfig
        Threads, cache.
    windows : sequence of Window
        Windows of the target grid, in order.
    """
    with ExitStack() as stack:
        if not config.cache.enabled:
            yield _decoded(plan, config, windows, stack)
            return
        cache = StackCache(cache_directory(config), int(config.cache.max_gb * 1e9))
        fingerprint = stack_fingerprint(plan, config)
        entry = cache.find(fingerprint)
        if entry is not None:
            log.debug("reading the kept stack %s", entry)
            yield _kept(entry, len(plan.bands), windows, remove=not config.cache.keep)
            return
        decoded = _decoded(plan, config, windows, stack)
        size = entry_bytes(len(plan.bands), windows)
        if config.normalize.mode != "compute_only" or not cache.make_room(size):
            yield decoded
            return
        keeping = _keeping(decoded, cache.path(fingerprint), len(plan.bands), windows)
        stack.callback(keeping.close)  # type: ignore[attr-defined]
        yield keeping


def cache_directory(config: PreprocessConfig) -> Path:
    """Where kept stacks lie: the configured directory, or ``cache`` in the root of the Step-1 dataset."""
    if config.cache.dir is not None:
        return config.cache.dir
    return config.index_json.absolute().parents[2] / "cache"


def open_bands(plan: ScenePlan, config: PreprocessConfig, stack: ExitStack) -> list[BandSource]:
    """Open all bands of a scene with a block cache that fits them; the stack closes them."""
    gdal = gdal_module()
    stack.callback(gdal.SetCacheMax, gdal.GetCacheMax())
    gdal.SetCacheMax(_cache_bytes(plan))
    threads = max(1, core_count(config.num_workers) // len(plan.bands))
    readers = []
    for band in plan.bands:
        readers.append(open_band(band, plan.target, config.valid_min_fraction, threads))
        stack.callback(readers[-1].close)
    return readers


def _decoded(
    plan: ScenePlan, config: PreprocessConfig, windows: Sequence[Window], stack: ExitStack
) -> DnWindows:
    readers = open_bands(plan, config, stack)
    workers = core_count(config.num_workers)
    stream = stream_windows(readers, windows, workers=workers, look_ahead=LOOK_AHEAD)
    stack.callback(stream.close)  # type: ignore[attr-defined]
    return stream


def _cache_bytes(plan: ScenePlan) -> int:
    """Block cache that holds, for every band, the row of JPEG 2000 tiles that windows are being cut from.

    With less, tiles would be decoded again for the next window. Half as much again, because one band is a row
    ahead while another is behind; and room for a window that is being written.
    """
    strips = sum(
        min(b.raster.block_yx[0], b.raster.grid.height) * b.raster.grid.width * 2 for b in plan.bands
    )
    written = 8 * (len(plan.bands) + 1) * (1 << 20)
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
        log.warning("%s: stacks cannot be kept (%s); going on without the cache", path.parent, error)
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
