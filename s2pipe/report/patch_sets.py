"""Step 3: documents of a set of patches, and the database of its candidates."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

import numpy as np

from s2pipe.errors import DependencyError, PathEscapeError
from s2pipe.ground.split import SPLITS
from s2pipe.patches.database import DATABASE_NAME
from s2pipe.patches.geoparquet import optional_module
from s2pipe.report.model import PatchSet, Problem
from s2pipe.report.places import read_part
from s2pipe.report.values import items, mapping, text
from s2pipe.runtime.paths import InsidePath

if TYPE_CHECKING:
    from pathlib import Path

    from s2pipe.report.model import Contents

MAX_DRAWN = 12_000
"""Most patches on the map: more cannot be told apart, and the page has to stay small."""
DROPPED = "dropped"
_COLUMNS = ("tile_id", "sensing_start_utc", "split", "kept", "reject_reason", "valid_fraction")
_BATCH_ROWS = 65_536


def add_patches(contents: Contents, directory: Path) -> None:
    """Add the patches of a directory; a split that was planned alone counts, too."""
    contents.steps.add(3)
    found = PatchSet(directory)
    has_shards = any(any((directory / split).glob("shard-*.tar")) for split in SPLITS)
    if has_shards or (directory / "shards.json").exists():
        found.shards = read_part(directory / "shards.json", "list of shards", contents.problems)
        found.summary = read_part(directory / "summary.json", "summary of patches", contents.problems)
        _check_shards(contents, found)
    if (directory / "split.json").exists() or has_shards:
        found.split = read_part(directory / "split.json", "split", contents.problems)
    database = directory / DATABASE_NAME
    if database.is_file():
        try:
            _read_database(database, found)
        except DependencyError as error:
            contents.problems.append(Problem("passed over", database, "patch database", str(error)))
        except Exception as error:  # noqa: BLE001 - PyArrow raises errors of many kinds for damaged files
            reason = f"cannot be read as GeoParquet: {error}"
            contents.problems.append(Problem("damaged", database, "patch database", reason))
    elif has_shards:
        contents.problems.append(Problem("missing", database, "patch database", "no such file"))
    contents.patches.append(found)


def _check_shards(contents: Contents, found: PatchSet) -> None:
    """Compare the shards on disk with the sizes that are recorded."""
    for shard in map(mapping, items(found.shards.get("shards"))):
        try:
            path = InsidePath(found.directory, text(shard.get("path")))
        except PathEscapeError as error:
            contents.problems.append(Problem("damaged", found.directory, "list of shards", str(error)))
            continue
        if not path.is_file():
            contents.problems.append(Problem("missing", path.path, "shard", "no such file"))
        elif not path.is_file(shard.get("bytes")):
            size = path.path.stat().st_size
            reason = f"has {size} bytes, and shards.json records {text(shard.get('bytes'))}"
            contents.problems.append(Problem("damaged", path.path, "shard", reason))


def _read_database(path: Path, found: PatchSet) -> None:
    """Count candidates by scene and reason, and take some to draw, evenly spread; row groups come one by one."""
    import shapely

    parquet = optional_module("pyarrow.parquet")
    reasons: defaultdict[str, Counter[str]] = defaultdict(Counter)
    valid: defaultdict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    with parquet.ParquetFile(path) as file:
        every = max(1, -(-file.metadata.num_rows // MAX_DRAWN))
        found.is_every_patch_drawn = every == 1
        row = 0
        for batch in file.iter_batches(_BATCH_ROWS, columns=[*_COLUMNS, "geometry"]):
            columns = {name: batch.column(name).to_pylist() for name in _COLUMNS}
            names = _group(columns)
            for tile, start, kept, reason in zip(
                columns["tile_id"],
                columns["sensing_start_utc"],
                columns["kept"],
                columns["reject_reason"],
                strict=True,
            ):
                reasons[f"{tile}/{start}"]["kept" if kept else reason or "no reason"] += 1
            for name, share in zip(names, columns["valid_fraction"], strict=True):
                valid[name][0] += share or 0.0
                valid[name][1] += 1
            chosen = range(-row % every, batch.num_rows, every)
            shapes = shapely.from_wkb(batch.column("geometry").take(list(chosen)).to_pylist())
            for place, shape in zip(chosen, np.atleast_1d(shapes), strict=True):
                found.outlines.setdefault(names[place], []).extend(_rings(shape))
            row += batch.num_rows
    found.valid_by_split = {name: total / count for name, (total, count) in sorted(valid.items()) if count}
    found.reasons = {scene: dict(counted) for scene, counted in sorted(reasons.items())}


def _group(columns: dict[str, list[Any]]) -> list[str]:
    """Split of each patch that is kept, ``dropped`` of the others."""
    pairs = zip(columns["kept"], columns["split"], strict=True)
    return [str(split) if kept and split in SPLITS else DROPPED for kept, split in pairs]


def _rings(shape: Any) -> list[list[tuple[float, float]]]:
    parts = getattr(shape, "geoms", [shape])
    return [list(part.exterior.coords)[:-1] for part in parts if part is not None and not part.is_empty]
