"""Statistics over any choice of scenes, from the histograms that pass 1 keeps beside each scene."""

from __future__ import annotations

import logging
import multiprocessing
from collections import deque
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TYPE_CHECKING

from s2pipe.dataset.scene_key import SceneKey
from s2pipe.dataset.scene_list import match_scenes, read_scene_list
from s2pipe.errors import ConfigError, Fault, S2PipeError
from s2pipe.preprocess.stats.histogram import (
    HISTOGRAM_NAME,
    HistogramSum,
    load_histogram,
)
from s2pipe.preprocess.stats.statistics import NormalizationStats
from s2pipe.preprocess.stats.stats_file import histogram_of_stats, save_stats
from s2pipe.runtime.addresses import refuse_remote_output

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence
    from concurrent.futures import Future
    from pathlib import Path

    from s2pipe.preprocess.stats.histogram import BandHistograms

log = logging.getLogger("s2pipe.preprocess")

_PART = 500
"""Histograms that a process adds up at a time."""
_FEW_PARTS = 4
"""Up to so many take less time than starting processes."""
_READERS = 2
_AHEAD = 8
"""Files that are read ahead, 0.1 MB each."""


def histogram_paths(paths: Sequence[Path]) -> list[Path]:
    """Find the histograms of scenes: directories are searched for ``processed/*/*/histogram.npz``.

    Statistics (``.json``) stand for the histogram that is kept beside them, other files for themselves.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            found += sorted(path.glob(f"processed/tile=*/sensing=*/{HISTOGRAM_NAME}"))
        else:
            found.append(histogram_of_stats(path) if path.suffix.lower() == ".json" else path)
    return list(dict.fromkeys(found))


def _load_all(paths: Iterable[Path]) -> Iterator[BandHistograms]:
    """Yield histograms in order; the next few are read from disk while one is unpacked and added."""
    with ThreadPoolExecutor(_READERS) as pool:
        waiting: deque[tuple[Path, Future[bytes]]] = deque()
        try:
            for path in paths:
                waiting.append((path, pool.submit(path.read_bytes)))
                if len(waiting) > _AHEAD:
                    first, reading = waiting.popleft()
                    yield load_histogram(first, reading.result)
            for first, reading in waiting:
                yield load_histogram(first, reading.result)
        finally:
            pool.shutdown(cancel_futures=True)


def _sum_of(
    paths: Sequence[Path], wanted: Collection[tuple[str, str] | None] | None = None
) -> tuple[HistogramSum, list[SceneKey]]:
    """Add histograms up, those of wanted scenes if some are named; return the keys of all that are there too."""
    total, known = HistogramSum(), []
    for histogram in _load_all(paths):
        keys = [scene.key for scene in histogram.scenes]
        known += keys
        if wanted is None or any(key.identity in wanted for key in keys):
            total.add(histogram)
    return total, known


def _part(paths: Sequence[Path]) -> BandHistograms:
    return _sum_of(paths)[0].total()


def _sum_of_parts(paths: Sequence[Path], num_workers: int) -> HistogramSum | None:
    """Add histograms up in several processes; None where they are few, or something is wrong with one of them."""
    parts = [paths[start : start + _PART] for start in range(0, len(paths), _PART)]
    if len(parts) <= _FEW_PARTS:
        return None
    total = HistogramSum()
    try:
        with ProcessPoolExecutor(num_workers, multiprocessing.get_context("spawn")) as pool:
            for part in pool.map(_part, parts):
                total.add(part)
    except (
        S2PipeError,
        BrokenProcessPool,
        TypeError,
    ) as error:  # TypeError: of errors that pickle cannot carry
        log.debug("histograms are added one by one, which says what is wrong with them: %s", error)
        return None
    return total


def merge_to_stats(
    paths: Sequence[Path],
    out: Path,
    clip_percentiles: tuple[float, float] | None,
    scenes: Path | None = None,
    save_histograms: bool = False,
    num_workers: int = 1,
) -> NormalizationStats:
    """Merge histograms and write ``stats.json``.

    Parameters
    ----------
    paths : sequence of Path
        Histogram files, of one or several scenes each.
    out : Path
        ``stats.json`` to write.
    clip_percentiles : (float, float) or None
        Percentiles, 0 to 100; None keeps all values.
    scenes : Path, optional
        Text file with the keys of the scenes to take, one per line; None takes all.
    save_histograms : bool
        Also write the merged histogram beside ``out``; the statistics name it.
    num_workers : int
        Processes that add up thousands of histograms; with more than one, a program has to be importable
        (``if __name__ == "__main__"``), as for every pool of processes.

    Returns
    -------
    NormalizationStats
        What was written; a pass 1 over those scenes writes the same bytes.

    Raises
    ------
    ConfigError
        A wanted scene has no histogram, or the percentiles are out of order.
    """
    refuse_remote_output(out)
    if clip_percentiles is not None and not 0.0 <= clip_percentiles[0] < clip_percentiles[1] <= 100.0:
        msg = "clip percentiles"
        raise ConfigError(msg, [Fault("", f"expected 0 <= low < high <= 100, got {list(clip_percentiles)}")])
    texts = None if scenes is None else read_scene_list(scenes)
    wanted = None if texts is None else {SceneKey.parse_identity(text) for text in texts}
    histograms = _sum_of_parts(paths, num_workers) if wanted is None and num_workers > 1 else None
    known: list[SceneKey] = []
    if histograms is None:
        histograms, known = _sum_of(paths, wanted)
    if texts is not None:
        missing = match_scenes(texts, known)[1]
        if missing:
            raise ConfigError(str(scenes), [Fault("", f"{key} has no histogram here") for key in missing])
    total = histograms.total()
    stats = NormalizationStats.of(total, clip_percentiles)
    save_stats(out, stats, total if save_histograms else None)
    return stats
