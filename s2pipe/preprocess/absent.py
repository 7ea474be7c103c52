"""The files that a configuration of Step 2 names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from s2pipe.config.absent import refuse_absent
from s2pipe.runtime.addresses import scheme_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from s2pipe.preprocess.cfg import PreprocessConfig

_AREA_FILES = (".geojson", ".json", ".gpkg", ".wkt")


def check_present(config: PreprocessConfig) -> None:
    """Check that the files of a configuration are there, where more than one may be missing.

    Raises
    ------
    MissingInputError
        Two or more files are missing; all are listed.
    """
    hint = "Make them first (`s2pipe index` or `download`, then pass 1), or correct these keys."
    refuse_absent(_named_files(config), hint)


def _named_files(config: PreprocessConfig) -> Iterator[tuple[str, Path]]:
    yield "preprocess.index_json", config.index_json
    if isinstance(config.aoi, str):
        name = config.aoi.partition("|")[0]
        if name.lower().endswith(_AREA_FILES):
            yield "preprocess.aoi", Path(name).expanduser()
    normalize = config.normalize
    if normalize.mode == "apply_with_stats" and normalize.stats_path is not None:
        yield "preprocess.normalize.stats_path", normalize.stats_path
    if normalize.split_plan is not None:
        yield "preprocess.normalize.split_plan", normalize.split_plan
    if isinstance(normalize.scenes, Path):
        yield "preprocess.normalize.scenes", normalize.scenes
    if isinstance(config.only.scenes, Path):
        yield "preprocess.only.scenes", config.only.scenes
    if config.labels.enabled:
        for _, raster in config.labels.rasters:
            path = raster.path
            if raster.backend == "raster" and path and "{" not in path and scheme_of(path) is None:
                yield "preprocess.labels.path", Path(path).expanduser()
