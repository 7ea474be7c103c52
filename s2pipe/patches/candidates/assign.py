"""Which split every candidate belongs to: planning the split, and asking it about windows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from s2pipe.config.documents import read_document
from s2pipe.config.schema import STEP3_SPLIT
from s2pipe.dataset.headers import raster_header, stored_header
from s2pipe.dataset.sample_records import SharedValues
from s2pipe.dataset.samples import Labels
from s2pipe.dataset.scene_key import SceneKey
from s2pipe.errors import ConfigError, Fault, MissingInputError
from s2pipe.ground.cells import CellGrid, Rectangles
from s2pipe.ground.projection import ground_epsg
from s2pipe.ground.split import (
    BORDER,
    OTHER_TIME,
    SPLITS,
    SplitPlan,
    TileGround,
    load_plan,
    save_plan,
)
from s2pipe.patches.candidates.laid import LaidWindows, Placed, lay_windows
from s2pipe.patches.candidates.windows import PatchTable, make_table
from s2pipe.raster.grid import Grid, TargetGrid
from s2pipe.sentinel2 import roles

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from s2pipe.dataset.step1_index import Index
    from s2pipe.patches.cfg import PatchConfig, SplitConfig

_IMAGES = roles.BAND_RASTERS | {roles.L2A_SCL}
SPLIT_NAME = "split.json"
"""File name of the split in the output directory."""
_MANIFEST_PIXEL_M = 10.0
"""Pixel that candidates of a Step-1 manifest are counted with: the target grid is Step 2's to choose."""


@dataclass(frozen=True)
class PlannedScene:
    """A scene of which only place and time are known."""

    key: SceneKey
    """Tile and sensing start."""
    target: TargetGrid
    """Grid that its windows are counted on, and its part that has pixels."""
    labels: Labels | None = None
    """Its labels, which are not known."""

    @property
    def name(self) -> str:
        """``T33UWQ_20251210T100319Z``, as samples are called."""
        return self.key.compact


@dataclass(frozen=True)
class SceneGround:
    """Where and when a scene is."""

    key: SceneKey
    """Tile and sensing start."""
    epsg: int
    """EPSG code of the UTM zone, or of the target grid's projection."""
    bounds: tuple[float, float, float, float]
    """Left, bottom, right, top of its rasters in metres."""

    @classmethod
    def of(cls, key: SceneKey, grid: Grid) -> SceneGround:
        """Take the ground from a scene's grid."""
        return cls(key, ground_epsg(grid.crs_wkt), grid.bounds)


def grounds_of_samples(samples: Sequence[Placed]) -> list[SceneGround]:
    """Ground of samples or scenes; no raster is opened."""
    return [SceneGround.of(s.key, s.target.reference) for s in samples]


def scenes_of_manifest(index: Index) -> list[PlannedScene]:
    """Place and time of the scenes of a Step-1 manifest, from the header of one raster each, as the manifest has it.

    Raises
    ------
    MissingInputError
        A scene has no raster on disk; every one is listed.
    """
    scenes, gaps = [], []
    shared = SharedValues()
    for key in index.table.keys:
        grid = _grid_of(index, key)
        if grid is None:
            gaps.append(
                f"{key}: no L1C band or scene classification on disk, nor the header of a remote one in the index"
            )
        else:
            target = shared.target(_with_pixels(grid, _MANIFEST_PIXEL_M))
            scenes.append(PlannedScene(key, target))
    if gaps or not scenes:
        msg = f"{index.root}: a split needs the ground of every scene:"
        raise MissingInputError(
            msg,
            gaps or ["no scene"],
            "Download or index the products first.",
        )
    return scenes


def _with_pixels(grid: Grid, size_m: float) -> Grid:
    """Return a grid over the same ground with pixels of another size."""
    left, bottom, right, top = grid.bounds
    shape = (round((top - bottom) / size_m), round((right - left) / size_m))
    return Grid(grid.crs_wkt, (left, size_m, 0.0, top, 0.0, -size_m), shape)


def _grid_of(index: Index, key: SceneKey) -> Grid | None:
    """Grid of the first band that is on disk, or at an address with its header in the index: all cover one ground."""
    for asset in index.table.files(key, _IMAGES):
        if asset.is_remote:  # no pixel is read, so nothing is asked for: the index knows, or it does not
            if asset.raster is not None:
                return stored_header(asset.path, asset.raster).grid
        elif (file := index.file(asset)).is_available():
            return raster_header(file, asset, by_checksum=False).grid
    return None


def plan_split(config: SplitConfig, grounds: Sequence[SceneGround]) -> SplitPlan:
    """Make the split of a dataset from where and when its scenes are.

    Raises
    ------
    ConfigError
        The file of ``by: file`` cannot be read.
    """
    plan = SplitPlan(
        config.by,
        (config.train, config.val, config.test),
        config.seed,
        config.cell_m,
        config.buffer_m,
        config.same_ground,
    )
    if config.by == "file":
        assert config.file is not None  # the rules of the configuration say so
        return _plan_from_file(config.file, plan, grounds)
    if config.by == "time":
        plan = replace(plan, **_cut_days(plan, sorted({g.key.day for g in grounds})))
    if config.by == "tile":
        return replace(plan, tiles=_tiles(plan, grounds))
    if config.by == "random" or config.same_ground:
        return plan
    cells = _cells_seen(plan.grid, grounds)
    names = [SPLITS[code] for code in plan.cell_codes(cells).tolist()]
    return replace(plan, cells=dict(zip(plan.grid.ids(cells), names, strict=True)))


def _cut_days(plan: SplitPlan, days: list[str]) -> dict[str, Any]:
    """First days of validation and test when days are shared out in order of time."""
    shares = np.cumsum(plan.fractions)[:2]
    codes = np.searchsorted(shares, (np.arange(len(days)) + 0.5) / len(days), side="right")
    first = [next((day for day, c in zip(days, codes, strict=True) if c >= code), None) for code in (1, 2)]
    return {"val_from": first[0], "test_from": first[1]}


def _tiles(plan: SplitPlan, grounds: Sequence[SceneGround]) -> tuple[TileGround, ...]:
    seen = sorted({(g.key.tile_id, g.epsg, g.bounds) for g in grounds})
    coded = [(plan.tile_code(tile_id), tile_id, epsg, bounds) for tile_id, epsg, bounds in seen]
    return tuple(TileGround(t, SPLITS[code], epsg, bounds) for code, t, epsg, bounds in coded if code >= 0)


def _cells_seen(grid: CellGrid, grounds: Sequence[SceneGround]) -> np.ndarray:
    cells = [np.empty(0, np.int64)]
    for epsg, bounds in sorted({(g.epsg, g.bounds) for g in grounds}):
        rectangle = Rectangles(epsg, *(np.array([value]) for value in bounds))
        cells += [found for _, found in grid.touched(rectangle.boxes())]
    return np.unique(np.concatenate(cells))


def _plan_from_file(path: Path, plan: SplitPlan, grounds: Sequence[SceneGround]) -> SplitPlan:
    document = read_document(path)
    if isinstance(document, dict) and document.get("schema") == STEP3_SPLIT:
        return load_plan(path)
    listed = {k: v for k, v in document.items() if k != "$schema"} if isinstance(document, dict) else {}
    if len(listed) != 1 or next(iter(listed)) not in ("cells", "tiles"):
        raise ConfigError(
            str(path), [Fault("", "expected a split.json, or one key: cells or tiles, with {name: split}")]
        )
    kind, names = next(iter(listed.items()))
    names = names if isinstance(names, dict) else {}
    faults = [
        Fault(f"{kind}.{name}", f"{split!r} is not one of {', '.join(SPLITS)}")
        for name, split in names.items()
        if split not in SPLITS
    ]
    if faults or not names:
        raise ConfigError(str(path), faults or [Fault(kind, "lists nothing; expected {name: split}")])
    if kind == "cells":
        for name in names:
            plan.grid.number(name)
        return replace(plan, cells={name: names[name] for name in sorted(names)})
    plan = replace(plan, tiles=tuple(TileGround(t, names[t], 0, (0.0,) * 4) for t in sorted(names)))
    return replace(plan, tiles=_tiles(plan, grounds))


def resolve_plan(config: PatchConfig, grounds: Sequence[SceneGround]) -> SplitPlan:
    """Return the split to use: the one in the output directory if it was planned before, else a new one.

    Raises
    ------
    ConfigError
        A split is there that was planned with other settings: statistics may rest on it.
    """
    path = config.out_dir / SPLIT_NAME
    plan = plan_split(config.split, grounds)
    if path.exists() and not config.overwrite:
        old = load_plan(path)
        names = ("by", "fractions", "seed", "cell_m", "buffer_m", "same_ground")
        differing = [n for n in names if getattr(old, n) != getattr(plan, n)]
        if plan.by == "file" and (old.cells, old.tiles) != (plan.cells, plan.tiles):
            differing.append("file")
        if differing:
            raise ConfigError(
                str(path),
                [
                    Fault(
                        name,
                        f"was planned as {getattr(old, name, '...')}, the configuration says otherwise",
                    )
                    for name in differing
                ]
                + [
                    Fault(
                        "", "plan again (--plan --overwrite) and compute the statistics again, or change it"
                    )
                ],
            )
        plan = old
    plan.check_knows([g.key.tile_id for g in grounds], str(path))
    return plan


def write_plan(config: PatchConfig, plan: SplitPlan, counts: Mapping[str, Any] | None = None) -> Path:
    """Write the split beside the shards, with what it gives to each of its parts."""
    path = config.out_dir / SPLIT_NAME
    if not path.exists() or config.overwrite:
        save_plan(path, plan, counts)
    return path


def candidates(samples: Sequence[Placed], config: PatchConfig, plan: SplitPlan) -> PatchTable:
    """Enumerate the windows of all samples, with the cell and the split of each.

    Parameters
    ----------
    samples : sequence of Placed
        In the order of tile and time.
    config : PatchConfig
        Size, stride, edges.
    plan : SplitPlan
        The split.
    """
    return candidate_table(samples, lay_windows(samples, config, plan), plan)


def candidate_table(samples: Sequence[Placed], laid: Sequence[LaidWindows], plan: SplitPlan) -> PatchTable:
    """Make the table of all candidates from the windows of each sample."""
    table = make_table([(w.row, w.col) for w in laid], [w.cell for w in laid], _labels(samples))
    code = np.concatenate([np.empty(0, np.int8), *(w.code for w in laid)])
    table.ground[:] = code
    table.split[:] = np.where(code >= 0, code, _centre_codes(plan, samples, table))
    return table


def drop_by_ground(table: PatchTable) -> None:
    """Drop the patches that are in no split."""
    table.drop(table.ground == BORDER, "split_border")
    table.drop(table.ground == OTHER_TIME, "split_time")
    table.drop(table.ground < OTHER_TIME, "no_split")


def _centre_codes(plan: SplitPlan, samples: Sequence[Placed], table: PatchTable) -> np.ndarray:
    """Split of a dropped patch, for the record: that of its centre's cell, or of its tile."""
    if plan.divides_tiles:
        tiles = np.array([plan.tile_code(sample.key.tile_id) for sample in samples], np.int8)
        found: np.ndarray = np.maximum(tiles[table.scene], -1)
        return found
    if plan.by in ("cell", "file") or (plan.by == "time" and not plan.same_ground):
        found = np.maximum(plan.cell_codes(table.cell), -1)
    else:
        found = np.full(len(table), -1, np.int8)
    return found


def _labels(samples: Sequence[Placed]) -> list[int]:
    found = {label for s in samples if s.labels for label in s.labels.found if label != s.labels.ignore_index}
    return sorted(found)
