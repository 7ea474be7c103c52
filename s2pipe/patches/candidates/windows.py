"""Candidate patches: which windows there are, in which scene, on which ground. Columns, never objects."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

from s2pipe.ground.cells import Rectangles
from s2pipe.ground.projection import ground_epsg

if TYPE_CHECKING:
    from collections.abc import Sequence

    from s2pipe.dataset.samples import Sample
    from s2pipe.patches.cfg import PatchConfig
    from s2pipe.raster.grid import Grid, TargetGrid

REASONS = (
    None,
    "unreadable",
    "min_valid",
    "max_ignore",
    "max_cloud",
    "max_shadow",
    "max_snow",
    "max_water",
    "missing_angles",
    "min_classes",
    "no_target",
    "split_border",
    "split_time",
    "no_split",
    "duplicate",
    "query",
    "balance",
    "max_t",
    "equal_counts",
)
"""Why a patch is not kept, by code; 0 is kept. Of several reasons the first holds."""


def reason_code(name: str) -> int:
    """Return the code of a reason."""
    return REASONS.index(name)


@dataclass
class PatchTable:
    """All candidates, one array per column; scores are filled in later."""

    scene: np.ndarray
    """Position of the sample, int32."""
    row: np.ndarray
    """First row of the window, counted in the grid of whole tiles, int32."""
    col: np.ndarray
    """First column, int32."""
    cell: np.ndarray
    """Ground cell of the footprint's centre, int64."""
    split: np.ndarray
    """Code of the split, -1 where there is none, int8."""
    ground: np.ndarray
    """Code of the split that holds all of its ground, negative where none does, int8."""
    reason: np.ndarray
    """Code of the reason for dropping it, int8."""
    valid: np.ndarray
    """Valid share of the patch's pixels."""
    ignore: np.ndarray
    """Share of its pixels labelled ignore_index; NaN without labels."""
    cloud: np.ndarray
    """Cloudy share of its valid pixels; NaN where nothing tells clouds."""
    shadow: np.ndarray
    """Share of its valid pixels in the shadow of clouds; NaN where nothing tells it."""
    snow: np.ndarray
    """Share of its valid pixels under snow or ice; NaN where nothing tells it."""
    water: np.ndarray
    """Share of its valid pixels that are water; NaN where nothing tells it."""
    missing_angles: np.ndarray
    """Share of its valid pixels whose angles are not all known; NaN without angles."""
    counts: np.ndarray
    """Pixels by label, int32 (patch, label)."""
    labels: tuple[int, ...]
    """Label of each column of ``counts``, ignore_index left out."""

    def __len__(self) -> int:
        return len(self.scene)

    @property
    def kept(self) -> np.ndarray:
        """Which patches are kept, bool."""
        result: np.ndarray = self.reason == 0
        return result

    def share(self, condition: str) -> np.ndarray:
        """Return the column of a condition (see ``CONDITIONS``), which may be filled in."""
        columns = {"cloud": self.cloud, "shadow": self.shadow, "snow": self.snow, "water": self.water}
        return columns[condition]

    def drop(self, which: np.ndarray, reason: str) -> None:
        """Drop patches (bool or positions) that no earlier reason has dropped."""
        chosen = np.zeros(len(self), bool)
        chosen[which] = True
        self.reason[chosen & self.kept] = reason_code(reason)

    def take(self, chosen: np.ndarray) -> PatchTable:
        """Return some of the patches."""
        columns = {
            field.name: getattr(self, field.name)[chosen] for field in fields(self) if field.name != "labels"
        }
        return PatchTable(**columns, labels=self.labels)


def window_starts(length: int, size: int, stride: int, edges: str) -> np.ndarray:
    """First pixels of the windows along one side of a raster.

    Parameters
    ----------
    length : int
        Pixels of the side.
    size, stride : int
        Window and step in pixels.
    edges : str
        ``drop``: windows lie inside; ``pad``: windows that reach over the end are added until every pixel is
        covered (with a stride up to the size).
    """
    if edges == "drop":
        return np.arange(0, max(0, length - size + 1), stride)
    count = 1 + max(0, -(-(length - size) // stride))
    return np.arange(0, min(count * stride, length), stride)


def grid_windows(target: TargetGrid, config: PatchConfig) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns, in the grid of whole tiles, of all windows of a sample, row by row."""
    part = target.window
    rows = _starts(part.row, part.height, config)
    cols = _starts(part.col, part.width, config)
    return np.repeat(rows, len(cols)), np.tile(cols, len(rows))


def _starts(origin: int, length: int, config: PatchConfig) -> np.ndarray:
    """First pixels of the windows along one side of a sample that begins at ``origin``."""
    size, stride, edges = config.patch_size, config.step_px, config.edges
    if config.lattice == "area":
        return origin + window_starts(length, size, stride, edges)
    before = origin // stride * stride
    starts = before + window_starts(origin + length - before, size, stride, edges)
    return starts[starts + size > origin] if edges == "pad" else starts[starts >= origin]


def lattice_shift(target: TargetGrid, config: PatchConfig) -> tuple[int, int]:
    """Row and column at which the lattice of a sample's windows begins; starts are multiples of the stride away."""
    if config.lattice == "tile":
        return 0, 0
    return target.window.row % config.step_px, target.window.col % config.step_px


def footprints(grid: Grid, row: np.ndarray, col: np.ndarray, size: int) -> Rectangles:
    """Ground that windows show: a padded window's ends where the raster does."""
    x0, dx, _, y0, _, dy = grid.geotransform
    row_end, col_end = np.minimum(row + size, grid.height), np.minimum(col + size, grid.width)
    return Rectangles(
        ground_epsg(grid.crs_wkt), x0 + dx * col, y0 + dy * row_end, x0 + dx * col_end, y0 + dy * row
    )


def make_table(
    scenes: Sequence[tuple[np.ndarray, np.ndarray]], cells: Sequence[np.ndarray], labels: Sequence[int]
) -> PatchTable:
    """Put the windows (rows, columns) and cells of all scenes into one table, unscored and in no split."""
    sizes = [len(row) for row, _ in scenes]
    total = sum(sizes)

    def joined(parts: Sequence[np.ndarray], dtype: str) -> np.ndarray:
        return np.concatenate([np.empty(0), *parts], dtype=dtype, casting="unsafe")

    return PatchTable(
        scene=np.repeat(np.arange(len(scenes), dtype=np.int32), sizes),
        row=joined([row for row, _ in scenes], "int32"),
        col=joined([col for _, col in scenes], "int32"),
        cell=np.concatenate([np.empty(0, np.int64), *cells]),
        split=np.full(total, -1, np.int8),
        ground=np.full(total, -1, np.int8),
        reason=np.zeros(total, np.int8),
        valid=np.zeros(total),
        ignore=np.full(total, np.nan),
        cloud=np.full(total, np.nan),
        shadow=np.full(total, np.nan),
        snow=np.full(total, np.nan),
        water=np.full(total, np.nan),
        missing_angles=np.full(total, np.nan),
        counts=np.zeros((total, len(labels)), np.int32),
        labels=tuple(labels),
    )


def patch_ids(table: PatchTable, samples: Sequence[Sample], chosen: np.ndarray) -> list[str]:
    """Stable names of patches: tile, sensing start and window, without dots."""
    scenes, rows, cols = (column[chosen].tolist() for column in (table.scene, table.row, table.col))
    # Not of all samples that there are, and each part once.
    names = {scene: samples[scene].name for scene in set(scenes)}
    row_names = {row: f"_r{row:05d}" for row in set(rows)}
    col_names = {col: f"_c{col:05d}" for col in set(cols)}
    return [
        names[scene] + row_names[row] + col_names[col]
        for scene, row, col in zip(scenes, rows, cols, strict=True)
    ]
