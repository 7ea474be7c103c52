"""Patches in torchgeo's form: names, ground, and transforms of the whole sample."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not here; `make test-torch` has it")

from torch.utils.data import DataLoader  # noqa: E402

from s2pipe.torch import PatchDataset, PatchMap  # noqa: E402
from s2pipe.torchgeo import AsSample, GeoPatches  # noqa: E402
from tests.torch.conftest import SCENES  # noqa: E402

if TYPE_CHECKING:
    from pathlib import Path


def test_samples_have_image_mask_bounds_and_crs(shards_json: Path) -> None:
    plain, data = PatchMap(shards_json), GeoPatches(shards_json)
    assert len(plain) == len(data)
    for number in range(len(data)):
        item, sample = plain[number], data[number]
        assert torch.equal(sample["image"], torch.cat((item["x"], item["angles"])))
        assert sample["image"].dtype == torch.float32
        assert torch.equal(sample["mask"], item["y"])
        left = SCENES[0].ulx + 20 * item["json"]["col"]
        top = SCENES[0].uly - 20 * item["json"]["row"]
        assert sample["bounds"].tolist() == [left, top - 640, left + 640, top]
        assert sample["crs"] == "EPSG:32633"
    batch = next(iter(DataLoader(data, batch_size=3)))
    assert batch["image"].shape == (3, 5, 32, 32)
    assert batch["bounds"].shape == (3, 4)
    assert batch["crs"] == ["EPSG:32633"] * 3


def flipped(sample: dict[str, Any]) -> dict[str, Any]:
    return sample | {name: sample[name].flip(-1) for name in ("image", "mask")}


@pytest.mark.parametrize("workers", [0, 1])
def test_transforms_get_the_whole_sample(index_json: Path, workers: int) -> None:
    options: dict[str, Any] = {"windows": (64, 64)}
    plain = GeoPatches(index_json, with_angles=False, **options)
    data = PatchDataset(index_json, transform=AsSample(flipped, with_angles=False), **options)
    for number, sample in enumerate(DataLoader(data, batch_size=None, num_workers=workers)):
        expected = plain[number]
        assert torch.equal(sample["image"].flip(-1), expected["image"])
        assert torch.equal(sample["mask"].flip(-1), expected["mask"])
        assert torch.equal(sample["angles"], expected["angles"])
