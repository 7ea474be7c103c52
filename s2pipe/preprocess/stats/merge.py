"""Statistics over any choice of scenes, from the histograms that pass 1 keeps beside each scene."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from s2pipe.dataset.scene_list import match_scenes, read_scene_list
from s2pipe.errors import ConfigError, Fault
from s2pipe.preprocess.stats.histogram import (
    HISTOGRAM_NAME,
    load_histogram,
    merge_histograms,
    save_histogram,
    scene_keys,
    stats_document,
    write_stats,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def histogram_paths(paths: Sequence[Path]) -> list[Path]:
    """Find the histograms of scenes: files as they are, directories searched for ``processed/*/*/histogram.npz``."""
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            found += sorted(path.glob(f"processed/tile=*/sensing=*/{HISTOGRAM_NAME}"))
        else:
            found.append(path)
    return list(dict.fromkeys(found))


def merge_to_stats(
    paths: Sequence[Path],
    out: Path,
    clip_percentiles: tuple[float, float] | None,
    scenes: Path | None = None,
    save_histograms: bool = False,
) -> dict[str, Any]:
    """Merge histograms and write ``stats.json``.

    Parameters
    ----------
    paths : sequence of Path
        Histogram files, one a scene.
    out : Path
        ``stats.json`` to write.
    clip_percentiles : (float, float) or None
        Percentiles, 0 to 100; None keeps all values.
    scenes : Path, optional
        Text file with the keys of the scenes to take, one a line; None takes all.
    save_histograms : bool
        Also write the merged ``histogram.npz`` beside ``out``.

    Returns
    -------
    dict
        The content of ``stats.json``; the same bytes as a pass 1 over those scenes writes.

    Raises
    ------
    ConfigError
        A wanted scene has no histogram, or the percentiles are out of order.
    """
    if clip_percentiles is not None and not 0.0 <= clip_percentiles[0] < clip_percentiles[1] <= 100.0:
        msg = "clip percentiles"
        raise ConfigError(msg, [Fault("", f"expected 0 <= low < high <= 100, got {list(clip_percentiles)}")])
    histograms = [load_histogram(path) for path in paths]
    if scenes is not None:
        keys = [scene_keys(histogram.scenes) for histogram in histograms]
        wanted, missing = match_scenes(read_scene_list(scenes), [key for found in keys for key in found])
        if missing:
            raise ConfigError(str(scenes), [Fault("", f"{key} has no histogram here") for key in missing])
        histograms = [
            histogram
            for histogram, found in zip(histograms, keys, strict=True)
            if any(key.identity in wanted for key in found)
        ]
    total = merge_histograms(histograms)
    document = stats_document(total, clip_percentiles)
    if save_histograms:
        save_histogram(out.with_name(HISTOGRAM_NAME), total)
    write_stats(out, document)
    return document
