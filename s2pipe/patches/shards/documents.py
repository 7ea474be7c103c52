"""What travels with the pixels: the JSON of an item, and what all items share."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from s2pipe.dataset.label_meaning import CONDITIONS
from s2pipe.dataset.samples import Sample
from s2pipe.ground.cells import CellGrid
from s2pipe.ground.projection import ground_epsg
from s2pipe.ground.split import SPLITS
from s2pipe.patches.candidates.windows import PatchTable, patch_ids
from s2pipe.patches.cfg import PatchConfig
from s2pipe.patches.shards.layout import Groups
from s2pipe.patches.shards.tarball import ArrayMember
from s2pipe.patches.targets.join import Targets
from s2pipe.raster.grid import Window

ANGLES_VALID, Y_VALID, DATE_MASK = "angles_valid.npy", "y_valid.npy", "date_mask.npy"
"""Masks of an item: pixels whose angles are all known; pixels whose labels have a value, where labels are floating
point; real dates, as opposed to padding."""
NO_FRACTION = -1.0
"""What an item's JSON says for a fraction that there is none of."""
_NO_DATE: dict[str, Any] = {
    "sensing_start_utc": "",
    **dict.fromkeys(
        (
            "valid_fraction",
            "ignore_fraction",
            *(f"{name}_fraction" for name in CONDITIONS),
            "missing_angles_fraction",
        ),
        NO_FRACTION,
    ),
}


@dataclass(frozen=True)
class Dataset:
    """Everything that the shards are made from."""

    config: PatchConfig
    """The configuration."""
    samples: Sequence[Sample]
    """Samples of Step 2."""
    table: PatchTable
    """Patches."""
    groups: Groups
    """Items of the shards as lists of patches."""
    cells: CellGrid
    """Grid of the cell numbers."""
    targets: Targets
    """Targets of the patches."""

    def members(self, dates: int) -> list[ArrayMember]:
        """Arrays of an item with this many dates."""
        sample, config = self.samples[0], self.config
        side = (config.patch_size, config.patch_size)
        length = config.max_t or dates
        time = () if config.group == "none" else (length,)
        members = [ArrayMember("x.npy", config.shards.dtype, (*time, len(sample.x_bands), *side))]
        if sample.labels is not None:
            channels = () if sample.labels.name is None else (len(sample.label_bands),)
            members.append(ArrayMember("y.npy", sample.labels.dtype, (*time, *channels, *side)))
            if np.dtype(sample.labels.dtype).kind == "f":
                members.append(ArrayMember(Y_VALID, "uint8", (*time, *channels, *side)))
        if sample.angles_path is not None:
            # float32 whatever x.npy is: half precision would cost up to 0.125 degrees.
            members.append(ArrayMember("angles.npy", "float32", (*time, len(sample.angle_bands), *side)))
            members.append(ArrayMember(ANGLES_VALID, "uint8", (*time, *side)))
        if config.group != "none":
            members.append(ArrayMember(DATE_MASK, "uint8", (length,)))
        return members

    def key(self, group: int) -> str:
        """Name of an item, without dots."""
        first = self.groups.members(group)[:1]
        if self.config.group == "none":
            return patch_ids(self.table, self.samples, first)[0]
        sample, row, col = self._place(int(first[0]))
        return f"{sample.key.tile_id}_r{row:05d}_c{col:05d}"

    def document(self, group: int) -> dict[str, Any]:
        """Content of an item's JSON."""
        members = self.groups.members(group)
        sample, row, col = self._place(int(members[0]))
        size = self.config.patch_size
        place = {
            "tile_id": sample.key.tile_id,
            "row": row,
            "col": col,
            "size": size,
            "crs": f"EPSG:{ground_epsg(sample.target.reference.crs_wkt)}",
            "transform": list(sample.target.reference.window_geotransform(Window(row, col, size, size))),
            "cell_id": self.cells.ids(self.table.cell[members[:1]])[0],
            "split": SPLITS[int(self.table.split[members[0]])],
        }
        if self.config.group == "none":
            return {"patch_id": self.key(group), **self._scores(int(members[0])), **place}
        missing = (self.config.max_t or len(members)) - len(members)
        no_date = dict(_NO_DATE)
        if self.targets.columns:
            no_date["target"] = dict.fromkeys(self.targets.columns)
        dates = [self._scores(patch) for patch in members.tolist()] + [no_date] * missing
        return {"patch_id": self.key(group), **place, "length": len(members), "dates": dates}

    def json(self, group: int) -> bytes:
        """An item's JSON as stored."""
        return json.dumps(self.document(group), separators=(",", ":"), allow_nan=False).encode()

    def _place(self, patch: int) -> tuple[Sample, int, int]:
        table = self.table
        return self.samples[int(table.scene[patch])], int(table.row[patch]), int(table.col[patch])

    def _scores(self, patch: int) -> dict[str, Any]:
        table = self.table
        scores: dict[str, Any] = {
            "sensing_start_utc": self.samples[int(table.scene[patch])].key.sensing_start_utc,
            "valid_fraction": _plain(table.valid[patch]),
            "ignore_fraction": _plain(table.ignore[patch]),
            **{f"{name}_fraction": _plain(table.share(name)[patch]) for name in CONDITIONS},
            "missing_angles_fraction": _plain(table.missing_angles[patch]),
        }
        if self.config.group == "none":
            counts = table.counts[patch].tolist()
            scores["class_counts"] = {
                str(label): count for label, count in zip(table.labels, counts, strict=True)
            }
        if self.targets.columns:
            scores["target"] = self.targets.document(patch)
        return scores


def _plain(value: float) -> float:
    """A fraction as JSON has it: where there is none a number all the same, so that batches of them can be made."""
    return NO_FRACTION if math.isnan(value) else float(value)
