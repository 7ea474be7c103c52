"""Which rows of a table belong to which patch, and the values that follow."""

from __future__ import annotations

import json
import logging
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from s2pipe.dataset.scene_key import SceneKey
from s2pipe.errors import S2PipeError
from s2pipe.patches.candidates.polygons import patch_centres, patch_polygons
from s2pipe.patches.candidates.windows import patch_ids
from s2pipe.patches.geoparquet import ROWS_PER_GROUP, optional_module
from s2pipe.patches.targets.table import CELL_KEY, PATCH_KEYS, TargetTable, refusal

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from s2pipe.errors import ConfigError
    from s2pipe.patches.candidates.windows import PatchTable
    from s2pipe.patches.cfg import TargetsConfig
    from s2pipe.patches.database import Scenes

log = logging.getLogger("s2pipe.patches")
_ZONE = re.compile(r"(Z|[+-]\d\d:?\d\d)$", re.ASCII)


@dataclass(frozen=True)
class Targets:
    """Targets of all patches of a table; without any, no patch has a place for them."""

    columns: Mapping[str, Any] = field(default_factory=dict)
    """Values by name, one a patch, Arrow arrays; null where there is none."""

    def document(self, patch: int) -> dict[str, Any]:
        """The values of a patch as JSON has them."""
        return {name: values[patch].as_py() for name, values in self.columns.items()}

    def missing(self, size: int) -> np.ndarray:
        """Which of so many patches lack a value of some column, bool."""
        result = np.zeros(size, bool)
        for values in self.columns.values():
            result |= values.is_null().to_numpy(zero_copy_only=False)
        return result

    @property
    def most_bytes(self) -> int:
        """Bound on the bytes of a patch's values in JSON."""
        total = 0
        for name, values in self.columns.items():
            total += len(json.dumps(name)) + 32  # the longest number, comma and colon
            if optional_module("pyarrow").types.is_string(values.type):
                total += max((len(json.dumps(text)) for text in values.unique().to_pylist()), default=0)
        return total

    @property
    def database_columns(self) -> dict[str, Any]:
        """The values as columns of the database."""
        return {f"target_{name}": values for name, values in self.columns.items()}


def describe_targets(rows: TargetTable | None, config: TargetsConfig) -> dict[str, Any] | None:
    """What ``shards.json`` says of targets; None without them."""
    if rows is None:
        return None
    return {
        "columns": {
            name: "double" if config.several == "mean" else str(values.type)
            for name, values in rows.columns.items()
        },
        "join": config.join,
        "match": config.match if config.join == "geometry" else None,
        "several": config.several,
        "source": {"name": rows.path.name, "sha256": rows.sha256},
    }


def join_targets(rows: TargetTable, config: TargetsConfig, table: PatchTable, scenes: Scenes) -> Targets:
    """Give every patch its values.

    Parameters
    ----------
    rows : TargetTable
        The table.
    config : TargetsConfig
        How rows and patches go together.
    table : PatchTable
        Patches.
    scenes : Scenes
        What they refer to.

    Raises
    ------
    ConfigError
        A key cannot be understood, or several rows go with a patch and the configuration allows one.
    """
    if config.join == "key":
        parts = _by_key(rows, table, scenes)
    elif config.join == "cell":
        parts = _by_cell(rows, table, scenes)
    else:
        parts = _by_geometry(rows, table, scenes, config.match)
    pairs = np.concatenate([np.empty((2, 0), np.int64), *parts], axis=1)
    patch, row = pairs[:, np.lexsort(pairs[::-1])]
    starts = np.flatnonzero(np.diff(patch, prepend=-1))
    counts = np.diff(np.append(starts, len(patch)))
    if config.several == "error" and (counts > 1).any():
        first = starts[counts > 1]
        name = patch_ids(table, scenes.samples, patch[first[:1]])[0]
        raise _several(rows, name, row[first[0] : first[0] + 2].tolist(), len(first) - 1)
    matched = len(starts)
    log.info("%s: %d of %d patches have a row", rows.path.name, matched, len(table))
    if not matched:
        log.warning("%s: no patch has a row of it; see patches.targets.join", rows.path)
    place = np.full(len(table), -1, np.int64)
    place[patch[starts]] = np.arange(matched)
    groups = np.split(row, starts[1:]) if matched else []
    return Targets(
        {
            name: _spread(_reduced(values, groups, config.several), place)
            for name, values in rows.columns.items()
        }
    )


def _several(rows: TargetTable, patch: str, row: list[int], more: int) -> ConfigError:
    message = (
        f"rows {row[0] + 1} and {row[1] + 1} of {rows.path} both belong to the patch {patch}"
        f"{f', and {more} patches more have several rows' if more else ''}; leave one, or choose first, mean, sum, min "
        "or max"
    )
    return refusal(at="several", message=message)


def _reduced(values: Any, groups: Sequence[np.ndarray], several: str) -> Any:
    """One value a group of rows."""
    pa = optional_module("pyarrow")
    if several in ("error", "first"):
        return values.take(pa.array([int(group[0]) for group in groups], pa.int64()))
    known = values.to_pylist()
    kind = pa.float64() if several == "mean" else values.type
    result = []
    for group in groups:
        found = [known[row] for row in group.tolist() if known[row] is not None]
        result.append(_one(found, several) if found else None)
    try:
        return pa.array(result, kind)
    except (pa.ArrowException, OverflowError) as error:
        raise refusal(at="several", message=f"{several}: {error}") from error


def _one(found: list[Any], several: str) -> Any:
    """Several values as one; sums of reals are rounded once, so that the order of rows does not matter."""
    if several in ("min", "max"):
        return min(found) if several == "min" else max(found)
    total = sum(found) if isinstance(found[0], int) else math.fsum(found)
    return total / len(found) if several == "mean" else total


def _spread(values: Any, place: np.ndarray) -> Any:
    pa = optional_module("pyarrow")
    return values.take(pa.array(place, mask=place < 0))


def _by_key(rows: TargetTable, table: PatchTable, scenes: Scenes) -> Iterator[np.ndarray]:
    """Rows whose keys equal those of a patch."""
    names = list(rows.keys)
    by_key: dict[tuple[Any, ...], list[int]] = {}
    parts = {name: _row_keys(rows, name) for name in names}
    for row, key in enumerate(zip(*parts.values(), strict=True)):
        if None not in key:
            by_key.setdefault(key, []).append(row)
    for start in range(0, len(table), ROWS_PER_GROUP):
        chosen = np.arange(start, min(start + ROWS_PER_GROUP, len(table)))
        scene = table.scene[chosen].tolist()
        own: dict[str, list[Any]] = {}
        for name in names:
            if name in ("row", "col"):
                own[name] = getattr(table, name)[chosen].tolist()
            elif name == "patch_id":
                own[name] = patch_ids(table, scenes.samples, chosen)
            else:
                of_scene = [s.key.identity[PATCH_KEYS.index(name) - 1] for s in scenes.samples]
                own[name] = [of_scene[number] for number in scene]
        found = [
            (patch, row)
            for patch, key in zip(chosen.tolist(), zip(*own.values(), strict=True), strict=True)
            for row in by_key.get(key, ())
        ]
        yield np.array(found, np.int64).reshape(-1, 2).T


def _row_keys(rows: TargetTable, name: str) -> list[Any]:
    """A key of every row, as patches have it: tiles with their T, times as in the names of items."""
    values: list[Any] = rows.keys[name].to_pylist()
    if name == "tile_id":
        return [text if text is None or text.startswith("T") else f"T{text}" for text in values]
    if name != "sensing_start_utc":
        return values
    result: list[str | None] = []
    for row, text in enumerate(values):
        if text is None:
            result.append(None)
            continue
        time = text.strip().replace(" ", "T")
        identity = SceneKey.parse_identity(f"T01AAA/{time if _ZONE.search(time) else f'{time}Z'}")
        if identity is None:
            message = f"{rows.path}, row {row + 1}: {text!r} is no time in UTC such as 2025-12-10T10:03:19Z"
            raise refusal(at="keys", message=message)
        result.append(identity[1])
    return result


def _by_cell(rows: TargetTable, table: PatchTable, scenes: Scenes) -> Iterator[np.ndarray]:
    """Rows of the ground cell that holds a patch's centre."""
    known: dict[str, int] = {}
    by_cell: dict[int, list[int]] = {}
    for row, text in enumerate(rows.keys[CELL_KEY].to_pylist()):
        if text is None:
            continue
        if text not in known:
            try:
                known[text] = scenes.cells.number(text)
            except S2PipeError as error:
                message = f"{rows.path}, row {row + 1}: {error} (split.cell_m is {scenes.cells.cell_m})"
                raise refusal(at="join", message=message) from error
        by_cell.setdefault(known[text], []).append(row)
    order = np.argsort(table.cell, kind="stable")
    cells = table.cell[order]
    for cell, found in by_cell.items():
        low, high = np.searchsorted(cells, cell), np.searchsorted(cells, cell, side="right")
        members = order[low:high]
        yield np.stack([np.repeat(members, len(found)), np.tile(np.array(found), len(members))])


def _by_geometry(rows: TargetTable, table: PatchTable, scenes: Scenes, match: str) -> Iterator[np.ndarray]:
    """Rows whose geometry meets, or lies in, a patch's footprint, or holds its centre."""
    import shapely

    assert rows.geometries is not None  # the table was read for this join
    tree = shapely.STRtree(rows.geometries)
    predicate: Literal["covers", "intersects"] = "covers" if match == "within" else "intersects"
    samples, size = scenes.samples, scenes.size
    for start in range(0, len(table), ROWS_PER_GROUP):
        part = slice(start, min(start + ROWS_PER_GROUP, len(table)))
        if match == "centre":
            shapes: Any = shapely.points(patch_centres(table, samples, size, part))
        else:
            shapes = patch_polygons(table, samples, size, part)
        found = np.asarray(tree.query(shapes, predicate=predicate), np.int64)
        found[0] += start
        yield found
