"""Windows of Step 2's samples as items, cut on the fly, with the same keys as those of shards."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from s2pipe.dataset.agreement import check_grids
from s2pipe.dataset.samples import Sample, load_samples
from s2pipe.errors import ConfigError, Fault, MissingInputError
from s2pipe.ground.split import SplitPlan, load_plan
from s2pipe.patches.candidates.assign import candidates, drop_by_ground
from s2pipe.patches.candidates.screens import Screens
from s2pipe.patches.cfg import PatchConfig, SplitConfig
from s2pipe.patches.missing_angles import settle
from s2pipe.patches.missing_labels import settle_labels
from s2pipe.patches.run import checked_config
from s2pipe.patches.shards.documents import ANGLES_VALID, Y_VALID, Dataset
from s2pipe.patches.shards.facts import shared_facts
from s2pipe.patches.shards.layout import single_groups
from s2pipe.patches.shards.writer import fill_value, open_raster, read_padded
from s2pipe.patches.targets.join import Targets
from s2pipe.readers.items import split_code
from s2pipe.runtime.hashing import document_fingerprint

if TYPE_CHECKING:
    from collections.abc import Sequence

    from s2pipe.patches.candidates.windows import PatchTable
    from s2pipe.readers.options import Reading

_OPEN_SAMPLES = 16
_QUALITY = "q"


class WindowItems:
    """Windows of all samples of a Step-2 index, unfiltered.

    Parameters
    ----------
    index : Path
        The index.
    split : str
        With a split plan, the split that is taken.
    reading : Reading
        Options.

    Raises
    ------
    ManifestError
        The index, a ``meta.json`` or the plan is invalid, the samples were made with different configurations, or a
        raster of a sample has another grid than its bands: the same window would show other ground there.
    MissingInputError
        There is no sample or no window, or a file is not on disk.
    """

    def __init__(self, index: Path, split: str, reading: Reading) -> None:
        size, stride = reading.windows
        config = checked_config(
            PatchConfig(index, index.parent, patch_size=size, stride=stride, edges=reading.edges)
        )
        samples = load_samples(index)
        check_grids(samples)
        self.about: dict[str, Any] = shared_facts(samples, config).to_document()
        self._reading = reading
        self._has_plan = reading.split_plan is not None
        table, plan = _chosen(samples, config, split, reading.split_plan)
        if not len(table):
            msg = f"{index}: there is no window of {size} pixels" + (f" in {split}" if self._has_plan else "")
            raise MissingInputError(msg, [], "Take smaller windows, edges='pad' or another split.")
        self._table, self._screens = table, Screens.of(samples, config.quality)
        self._dataset = Dataset(config, samples, table, single_groups(table), plan.grid, Targets())
        self.units = table.scene
        self._opened: dict[int, dict[str, Any]] = {}
        identity = [
            [sample.fingerprint for sample in samples],
            [size, stride, reading.edges, plan.rule_fingerprint],
        ]
        self.identity = f"{document_fingerprint(identity)}/{split}"

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_opened": {}}

    def read(self, numbers: Sequence[int]) -> list[dict[str, Any]]:
        """Read windows, in the order of the numbers.

        Raises
        ------
        RasterError
            A raster is damaged.
        """
        return [self._item(int(number)) for number in numbers]

    def column(self, name: str) -> np.ndarray:
        """Refuse: windows are not scored.

        Raises
        ------
        ConfigError
            Always.
        """
        message = (
            f"{name!r}: windows of Step 2 are in no database; make shards to weight patches by its columns"
        )
        raise ConfigError(str(self._dataset.config.index_json), [Fault("", message)])

    def _item(self, number: int) -> dict[str, Any]:
        table, scene = self._table, int(self._table.scene[number])
        sample = self._dataset.samples[scene]
        window = sample.target.from_reference(int(table.row[number]), int(table.col[number]))
        members = self._dataset.members(1)
        arrays = {member.suffix: np.empty(member.shape, member.dtype) for member in members}
        if sample.quality is not None and self._screens.by_class:
            arrays[_QUALITY] = np.empty((2, *arrays["x.npy"].shape[1:]), np.uint8)
        for suffix, reader in self._readers(scene, sample).items():
            read_padded(reader, window, arrays[suffix], fill_value(sample, suffix))
        if ANGLES_VALID in arrays:
            known = settle(arrays["angles.npy"], sample.angle_bands, keep_nan=self._reading.keep_nan)
            arrays[ANGLES_VALID][:] = known
        self._score(number, sample, arrays)
        if Y_VALID in arrays:  # scored by now, which takes the NaN
            no_value = fill_value(sample, "y.npy")
            arrays[Y_VALID][:] = settle_labels(arrays["y.npy"], no_value, keep_nan=self._reading.keep_nan)
        arrays.pop(_QUALITY, None)
        document = self._dataset.document(number)
        if not self._has_plan:
            document["split"] = "none"
        named = {suffix.removesuffix(".npy"): array for suffix, array in arrays.items()}
        return {"key": self._dataset.key(number), **named, "json": document}

    def _score(self, number: int, sample: Sample, arrays: dict[str, np.ndarray]) -> None:
        """Count the pixels of a window, as Step 3 counts those of its patches."""
        table, pixels = self._table, self._dataset.config.patch_size**2
        valid = (arrays["x.npy"][list(sample.mask_channels)] > 0).all(axis=0)
        table.valid[number] = valid.sum() / pixels
        first = _first_labels(arrays)
        if first is not None and sample.labels is not None:
            labels, counts = np.unique(first[~np.isnan(first)], return_counts=True)
            by_label = dict(zip(labels.tolist(), counts.tolist(), strict=True))
            table.counts[number] = [by_label.get(label, 0) for label in table.labels]
            is_class = sample.labels.kind == "classes"
            known = table.counts[number].sum() if is_class else counts.sum()
            table.ignore[number] = 1.0 - known / pixels
        for name, found in (*self._screens.by_label.items(), *self._screens.by_class.items()):
            classes = arrays[_QUALITY][0] if first is None or name in self._screens.by_class else first
            table.share(name)[number] = np.count_nonzero(np.isin(classes, found) & valid) / max(
                1, int(valid.sum())
            )
        if ANGLES_VALID in arrays:
            missing = np.count_nonzero(valid & (arrays[ANGLES_VALID] == 0))
            table.missing_angles[number] = missing / max(1, int(valid.sum()))

    def _readers(self, scene: int, sample: Sample) -> dict[str, Any]:
        """Rasters of a sample; the first that was opened is closed when there are many."""
        if scene not in self._opened:
            if len(self._opened) >= _OPEN_SAMPLES:
                for reader in self._opened.pop(next(iter(self._opened))).values():
                    reader.close()
            paths = {"x.npy": sample.x_path, "y.npy": sample.y_path, "angles.npy": sample.angles_path}
            if sample.quality is not None and self._screens.by_class:
                paths[_QUALITY] = sample.quality.path
            self._opened[scene] = {
                suffix: open_raster(path, sample) for suffix, path in paths.items() if path is not None
            }
        return self._opened[scene]


def _first_labels(arrays: dict[str, np.ndarray]) -> np.ndarray | None:
    """The labels that a window is scored by, (y, x): the first of several; None without labels."""
    labels = arrays.get("y.npy")
    return None if labels is None else labels.reshape(-1, *labels.shape[-2:])[0]


def _chosen(
    samples: Sequence[Sample], config: PatchConfig, split: str, path: str | Path | None
) -> tuple[PatchTable, SplitPlan]:
    """Windows of a split; of all ground without a plan."""
    if path is None:
        plan = SplitPlan("cell", (1.0, 0.0, 0.0), 0, SplitConfig().cell_m, 0.0, False)
        return candidates(samples, config, plan), plan
    code = split_code(split, str(path))
    plan = load_plan(Path(path))
    plan.check_knows([sample.key.tile_id for sample in samples], str(path))
    table = candidates(samples, config, plan)
    drop_by_ground(table)
    return table.take(np.flatnonzero(table.kept & (table.split == code))), plan
