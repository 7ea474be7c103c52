"""Windows laid over scenes: those of one ground and one side of the split are worked out, and kept, once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from s2pipe.errors import Fault, ManifestError
from s2pipe.ground.cells import Rectangles
from s2pipe.ground.overlap import NearGround, overlaps
from s2pipe.ground.projection import ground_epsg
from s2pipe.patches.candidates.windows import footprints, grid_windows
from s2pipe.raster.grid import Grid, TargetGrid
from s2pipe.runtime.draws import mix, text_seed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from s2pipe.dataset.samples import Labels
    from s2pipe.dataset.scene_key import SceneKey
    from s2pipe.ground.split import SplitPlan
    from s2pipe.patches.cfg import PatchConfig


class Placed(Protocol):
    """What windows are laid over: a sample of Step 2, or a scene of which only the ground is known."""

    @property
    def key(self) -> SceneKey:
        """Tile and sensing start."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def target(self) -> TargetGrid:
        """Grid of whole tiles, in which windows are counted, and its part that has pixels."""

    @property
    def labels(self) -> Labels | None:
        """Its labels."""


@dataclass(frozen=True, eq=False)
class LaidWindows:
    """The windows of a scene. Scenes of the same tile, grid and side of a split by time have the same object."""

    tile_id: str
    """MGRS tile with its ``T``."""
    grid: Grid
    """Grid of whole tiles, in which windows are counted."""
    row: np.ndarray
    """First row of each window."""
    col: np.ndarray
    """First column."""
    cell: np.ndarray
    """Ground cell of the footprint's centre, int64."""
    code: np.ndarray
    """Split of the ground, int8; negative where it is in none."""

    def __len__(self) -> int:
        return len(self.row)


def lay_windows(scenes: Sequence[Placed], config: PatchConfig, plan: SplitPlan) -> list[LaidWindows]:
    """Enumerate the windows of all scenes, with the cell and the split of each.

    Parameters
    ----------
    scenes : sequence of Placed
        Samples or scenes.
    config : PatchConfig
        Size, stride, edges.
    plan : SplitPlan
        The split.

    Returns
    -------
    list of LaidWindows
        One a scene. Memory grows with the grounds, not with the dates.
    """
    if plan.by == "random":
        refuse_overlaps(scenes)
    known: dict[Any, Any] = {}

    def once(key: Any, make: Callable[[], Any]) -> Any:
        if key not in known:
            known[key] = make()
        return known[key]

    def lay(scene: Placed) -> LaidWindows:
        target, grid = scene.target, scene.target.reference
        row, col = once(target, lambda: grid_windows(target, config))
        ground = footprints(grid, row, col, config.patch_size)
        cell = once(("cells", target), lambda: plan.grid.cells(*ground.centres()))
        return LaidWindows(scene.key.tile_id, grid, row, col, cell, _codes(plan, scene, ground, (row, col)))

    laid: list[LaidWindows] = []
    for scene in scenes:
        side = plan.day_code(scene.key) if plan.by == "time" else 0
        laid.append(once((scene.key.tile_id, scene.target, side), partial(lay, scene)))
    return laid


def _codes(
    plan: SplitPlan, sample: Placed, ground: Rectangles, window: tuple[np.ndarray, np.ndarray]
) -> np.ndarray:
    if plan.by != "random":
        return plan.codes(sample.key, ground)
    row, col = (part.astype(np.uint64) for part in window)
    numbers = mix(((row << np.uint64(32)) | col) ^ np.uint64(text_seed(sample.key.tile_id)))
    return plan.draw(numbers, "random")


def refuse_overlaps(samples: Sequence[Placed]) -> None:
    """Refuse a random split where scenes of different grids show the same ground.

    Raises
    ------
    ManifestError
        Naming two such scenes.
    """
    first = {sample.target.reference: sample for sample in reversed(samples)}
    seen = [(sample, ground_epsg(grid.crs_wkt), grid.bounds) for grid, sample in first.items()]
    grounds = NearGround([(epsg, bounds) for _, epsg, bounds in seen])
    for place, (sample, epsg, bounds) in enumerate(seen):
        rectangle = Rectangles(epsg, *(np.array([value]) for value in bounds))
        for number in grounds.near(rectangle):
            other, other_epsg, other_bounds = seen[number]
            if number >= place:
                break
            if overlaps(rectangle, other_epsg, other_bounds)[0]:
                raise ManifestError(
                    sample.name,
                    [
                        Fault(
                            "split.by",
                            f"a random split would put ground that {other.name} shows as well into training and test; "
                            "use by: cell",
                        )
                    ],
                )
