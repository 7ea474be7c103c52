"""Patches of samples on a grid of the user's own: one lattice, in the same splits for the same ground."""

from __future__ import annotations

import io
import json
import tarfile
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from s2pipe.dataset.samples import load_samples
from s2pipe.patches.cfg import PatchConfig, QualityConfig, SplitConfig
from s2pipe.patches.run import run_patches
from s2pipe.preprocess.cfg import PreprocessConfig
from s2pipe.preprocess.grid_cfg import TargetGridConfig
from s2pipe.preprocess.run import run_preprocess
from tests.conftest import Dataset, read_whole_band

if TYPE_CHECKING:
    from pathlib import Path

_NEAR = {
    "EPSG:32633": (292_800.0, 5_764_800.0),
    "EPSG:3035": (4_457_000.0, 3_211_300.0),
    "EPSG:4326": (12.0, 52.0),
}
"""Left and bottom of grids on the ground of both tiles."""


def _samples(dataset: Dataset, out: Path, crs: str, resolution: float, side: float) -> Path:
    left, bottom = _NEAR[crs]
    grid = TargetGridConfig(crs, resolution, (left, bottom, left + side, bottom + side))
    config = PreprocessConfig(dataset.index_json, out, target_grid=grid, l1c_bands=("B02", "B11"))
    assert not run_preprocess(config).failed
    return out / "meta" / "step2" / "index.json"


@pytest.mark.parametrize("crs", ["EPSG:32633", "EPSG:3035"])
def test_patches_of_two_tiles_lie_on_one_lattice(two_zones: Dataset, tmp_path: Path, crs: str) -> None:
    """Windows of both tiles show the same ground: they are in the same split, and hold the pixels of their samples."""
    pytest.importorskip("pyarrow")
    index = _samples(two_zones, tmp_path / "out", crs, 20.0, 2400.0)
    split = SplitConfig(train=0.5, val=0.2, test=0.3, cell_m=900.0, buffer_m=30.0)
    config = PatchConfig(
        index, tmp_path / "patches", patch_size=24, split=split, quality=QualityConfig(min_valid=0.1)
    )
    run_patches(config)
    pixels = {
        sample.key.tile_id: np.stack(
            [read_whole_band(sample.root / sample.rasters["x"].path, n + 1) for n in range(3)]
        )
        for sample in load_samples(index)
    }
    x0, dx, _, y0, _, dy = load_samples(index)[0].grid.geotransform
    splits: dict[tuple[int, int], set[str]] = {}
    tiles = set()
    for name, item in _items(tmp_path / "patches").items():
        place, row, col = item["json"], item["json"]["row"], item["json"]["col"]
        assert place["crs"] == crs
        assert place["transform"][:1] + place["transform"][3:4] == [x0 + dx * col, y0 + dy * row]
        expected = pixels[place["tile_id"]][:2, row : row + 24, col : col + 24]
        assert np.array_equal(item["x"][:2], expected), name
        splits.setdefault((row, col), set()).add(place["split"])
        tiles.add(place["tile_id"])
    assert len(tiles) == 2
    assert all(len(found) == 1 for found in splits.values())
    assert len(set.union(*splits.values())) > 1


def _items(directory: Path) -> dict[str, dict[str, Any]]:
    """Items of all shards: arrays and documents by name."""
    found: dict[str, dict[str, Any]] = {}
    for shard in sorted(directory.rglob("*.tar")):
        with tarfile.open(shard) as tar:
            for member in tar:
                name, _, kind = member.name.partition(".")
                stream = tar.extractfile(member)
                assert stream is not None
                data = stream.read()
                item = found.setdefault(name, {})
                if kind == "json":
                    item["json"] = json.loads(data)
                elif kind.startswith("x."):
                    item["x"] = np.load(io.BytesIO(data))
    return found


def test_patches_need_metres(two_zones: Dataset, tmp_path: Path) -> None:
    from s2pipe.errors import S2PipeError

    index = _samples(two_zones, tmp_path / "out", "EPSG:4326", 0.0002, 0.01)
    with pytest.raises(S2PipeError, match=r"projected reference system in metres .* got EPSG:4326"):
        run_patches(PatchConfig(index, tmp_path / "patches", patch_size=16))
