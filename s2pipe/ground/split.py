"""The split of a dataset: which ground, and with ``by: time`` which days, train, validate and test.

A split is a rule written to a file before any pixel is read, so that statistics (Step 2) and patches (Step 3)
obey the same one. Ground is divided, never patches: where ground of two splits meets, a patch that shows both
belongs to neither.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from s2pipe.config.documents import read_json
from s2pipe.config.schema import STEP3_SPLIT, validate_document
from s2pipe.errors import ConfigError, Fault, ManifestError, S2PipeError
from s2pipe.ground.cells import CellGrid, Rectangles
from s2pipe.ground.overlap import NearGround, overlaps
from s2pipe.runtime.draws import mix, text_seed, unit
from s2pipe.runtime.files import json_bytes, write_json_atomic
from s2pipe.runtime.hashing import bytes_fingerprint
from s2pipe.runtime.paths import seen_from

if TYPE_CHECKING:
    from pathlib import Path

    from s2pipe.dataset.scene_key import SceneKey

SplitName = Literal["train", "val", "test"]
SplitBy = Literal["cell", "tile", "time", "file", "random"]
SPLITS: tuple[SplitName, ...] = ("train", "val", "test")
"""Names by code."""
BORDER, OTHER_TIME, UNASSIGNED = -1, -2, -3
"""Codes of what is in no split: it shows ground of several, its time is another split's, its ground has none."""
_UNSEEN = -9


@dataclass(frozen=True)
class TileGround:
    """The ground of one tile."""

    tile_id: str
    """MGRS tile with its ``T``."""
    split: str
    """Its split."""
    epsg: int
    """EPSG code of its UTM zone."""
    bounds: tuple[float, float, float, float]
    """Left, bottom, right and top of its rasters in metres."""


@dataclass(frozen=True)
class SplitPlan:
    """A split that can be asked about any ground and any time."""

    by: SplitBy
    """What is divided: ground cells, tiles, cells and days together (time), listed names (file), patches
    (random)."""
    fractions: tuple[float, float, float]
    """Shares of train, val and test."""
    seed: int = 0
    """Seed of the draw."""
    cell_m: int = 20_000
    """Side of the ground cells in metres."""
    buffer_m: float = 0.0
    """Least distance between patches of different splits, metres."""
    same_ground: bool = False
    """With by: time, the same ground may be in several splits, at different times."""
    val_from: str | None = None
    """With by: time, first day (YYYY-MM-DD) that is not train; None when all are."""
    test_from: str | None = None
    """With by: time, first day that is test; None when none is."""
    cells: Mapping[str, str] = field(default_factory=dict)
    """Cell id -> split: the whole list with `by: file`; otherwise those seen so far, for the record."""
    tiles: tuple[TileGround, ...] = ()
    """The tiles, where tiles are divided."""

    @property
    def divides_tiles(self) -> bool:
        """True when whole tiles are given to splits, be it by draw or by a list."""
        return self.by == "tile" or (self.by == "file" and bool(self.tiles))

    @cached_property
    def grid(self) -> CellGrid:
        """The grid of ground cells."""
        return CellGrid(self.cell_m)

    def to_document(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "schema": STEP3_SPLIT,
            "by": self.by,
            **dict(zip(SPLITS, self.fractions, strict=True)),
            "seed": self.seed,
            "cell_m": self.cell_m,
            "buffer_m": self.buffer_m,
            "same_ground": self.same_ground,
            "val_from": self.val_from,
            "test_from": self.test_from,
            "tiles": [{**vars(tile), "bounds": list(tile.bounds)} for tile in self.tiles],
            "cells": dict(self.cells),
        }

    @cached_property
    def rule_fingerprint(self) -> str:
        """Identify the rule; the record of cells seen so far does not count where it decides nothing."""
        document = self.to_document()
        if self.by != "file":
            del document["cells"]
        return bytes_fingerprint(json_bytes(document))

    def draw(self, numbers: np.ndarray, seed_text: str) -> np.ndarray:
        """Draw a split for every number (uint64) by the fractions: int8 codes."""
        drawn = unit(mix(numbers.astype(np.uint64) ^ np.uint64(text_seed(f"{self.seed}/{seed_text}"))))
        edges = np.cumsum(self.fractions)[:2]
        last = max(code for code, share in enumerate(self.fractions) if share > 0)
        return np.minimum(np.searchsorted(edges, drawn, side="right"), last).astype(np.int8)

    def cell_codes(self, cells: np.ndarray) -> np.ndarray:
        """Return the split of each ground cell, int8."""
        if self.by != "file":
            return self.draw(cells, f"cell/{self.cell_m}")
        known, codes = self._listed
        if not len(known):
            return np.full(cells.shape, UNASSIGNED, np.int8)
        place = np.minimum(np.searchsorted(known, cells), len(known) - 1)
        return np.where(known[place] == cells, codes[place], UNASSIGNED).astype(np.int8)

    @cached_property
    def _listed(self) -> tuple[np.ndarray, np.ndarray]:
        numbers = {self.grid.number(cell): SPLITS.index(name) for cell, name in self.cells.items()}
        known = np.array(sorted(numbers), np.int64)
        return known, np.array([numbers[number] for number in known.tolist()], np.int8)

    def tile_code(self, tile_id: str) -> int:
        """Return the split of a tile."""
        if self.by == "tile":
            return int(self.draw(np.array([text_seed(tile_id)], np.uint64), "tile")[0])
        found = self._split_by_tile.get(tile_id)
        return UNASSIGNED if found is None else SPLITS.index(found)

    @cached_property
    def _split_by_tile(self) -> dict[str, str]:
        return {tile.tile_id: tile.split for tile in reversed(self.tiles)}

    @cached_property
    def _grounds(self) -> NearGround:
        return NearGround([(tile.epsg, tile.bounds) for tile in self.tiles])

    def day_code(self, key: SceneKey) -> int:
        """Return the split of a scene's day, with by: time."""
        late = self.val_from is not None and key.day >= self.val_from
        return int(late) + int(late and self.test_from is not None and key.day >= self.test_from)

    def codes(self, key: SceneKey, rectangles: Rectangles, *, with_buffer: bool = True) -> np.ndarray:
        """Return the split of each rectangle of a scene: int8, negative where it is in none.

        A rectangle is in a split only if all the ground that it touches is. The test errs on the safe side: within
        centimetres of other ground, or for sides that bend on the way to another zone, it says BORDER.

        Parameters
        ----------
        key : SceneKey
            Tile and sensing start of the scene.
        rectangles : Rectangles
            Ground in the scene.
        with_buffer : bool
            Keep buffer_m away from ground of other splits.
        """
        buffer_m = self.buffer_m if with_buffer else 0.0
        if self.by == "random":
            msg = (
                "a random split divides patches, not ground, and cannot be asked about other ground; "
                "use split.by: cell"
            )
            raise S2PipeError(msg)
        if self.divides_tiles:
            return self._codes_by_tile(key.tile_id, rectangles.grown(buffer_m))
        if self.by == "time" and self.same_ground:
            return np.full(len(rectangles), self.day_code(key), np.int8)
        codes = self._codes_by_cell(rectangles.grown(buffer_m / 2))
        if self.by == "time":
            codes[(codes >= 0) & (codes != self.day_code(key))] = OTHER_TIME
        return codes

    def _codes_by_cell(self, rectangles: Rectangles) -> np.ndarray:
        result = np.full(len(rectangles), _UNSEEN, np.int8)
        for chosen, cells in self.grid.touched(rectangles.boxes()):
            codes, seen = self.cell_codes(cells), result[chosen]
            result[chosen] = np.where(seen == _UNSEEN, codes, np.where(seen == codes, seen, BORDER))
        return result

    def _codes_by_tile(self, tile_id: str, rectangles: Rectangles) -> np.ndarray:
        """Where tiles overlap, ground belongs to test before val and to val before train."""
        own = self.tile_code(tile_id)
        result = np.full(len(rectangles), own, np.int8)
        if own >= 0:
            for tile in map(self.tiles.__getitem__, self._grounds.near(rectangles)):
                if SPLITS.index(tile.split) > own:
                    result[overlaps(rectangles, tile.epsg, tile.bounds)] = BORDER
        return result

    def check_knows(self, tile_ids: Sequence[str], source: str) -> None:
        """Refuse tiles that a split by tiles was not planned with: their ground could be in several splits.

        Raises
        ------
        ConfigError
            Naming the tiles.
        """
        if self.by != "tile":
            return
        unknown = sorted(set(tile_ids) - self._split_by_tile.keys())
        if unknown:
            message = (
                f"was planned without {', '.join(unknown)}; plan again (s2pipe patches --plan) with all tiles"
            )
            raise ConfigError(source, [Fault("tiles", message)])


def save_plan(path: Path, plan: SplitPlan, counts: Mapping[str, Any] | None = None) -> None:
    """Write a split (``split.json``) atomically, with what its parts had when it was planned."""
    write_json_atomic(path, plan.to_document() | ({} if counts is None else {"counts": dict(counts)}))


def load_plan(path: Path) -> SplitPlan:
    """Read a split written by ``s2pipe patches --plan``.

    Raises
    ------
    ConfigError
        The file does not exist.
    ManifestError
        It is not a split, or what it states about a cell or tile contradicts its own rule.
    """
    try:
        document = read_json(path)
    except FileNotFoundError:
        raise ConfigError(
            str(path), [Fault("", f"no such split{seen_from(path)}; write it with `s2pipe patches --plan`")]
        ) from None
    except (OSError, ValueError) as error:
        raise ManifestError(str(path), [Fault("", f"cannot be read as JSON: {error}")]) from error
    validate_document(document, "step3_split", str(path))
    plan = plan_of(document)
    if not any(plan.fractions):
        raise ManifestError(
            str(path), [Fault("train", "expected a share of the ground in one split, got 0 in all")]
        )
    faults = _unknown_cells(plan) or _edited(plan)
    if faults:
        raise ManifestError(str(path), faults)
    return plan


def plan_of(document: Mapping[str, Any]) -> SplitPlan:
    """Make a split from its (valid) JSON form."""
    tiles = tuple(TileGround(**{**tile, "bounds": tuple(tile["bounds"])}) for tile in document["tiles"])
    names = ("by", "seed", "cell_m", "buffer_m", "same_ground", "val_from", "test_from", "cells")
    train, val, test = (float(document[name]) for name in SPLITS)
    return SplitPlan(fractions=(train, val, test), tiles=tiles, **{name: document[name] for name in names})


def _unknown_cells(plan: SplitPlan) -> list[Fault]:
    faults = []
    for cell in plan.cells:
        try:
            plan.grid.number(cell)
        except S2PipeError as error:
            faults.append(Fault(f"cells.{cell}", str(error)))
    return faults


def _edited(plan: SplitPlan) -> list[Fault]:
    """Cells and tiles whose recorded split is not the drawn one: edits that would have no effect."""
    if plan.by in ("file", "random"):
        return []
    cure = "to choose by hand, list names in a file and use split.by: file"
    faults = [
        Fault(f"tiles.{tile.tile_id}", f"is {tile.split}, but was drawn as another; {cure}")
        for tile in plan.tiles
        if SPLITS[plan.tile_code(tile.tile_id)] != tile.split
    ]
    if plan.cells:
        numbers = np.array([plan.grid.number(cell) for cell in plan.cells], np.int64)
        drawn = plan.cell_codes(numbers)
        faults += [
            Fault(f"cells.{cell}", f"is {name}, but was drawn as {SPLITS[code]}; {cure}")
            for (cell, name), code in zip(plan.cells.items(), drawn.tolist(), strict=True)
            if SPLITS[code] != name
        ]
    return faults
