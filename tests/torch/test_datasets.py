"""Datasets for PyTorch's own loaders: every item, batches by default collation, no NaN, samplers."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not here; `make test-torch` has it")

from torch.utils.data import DataLoader, DistributedSampler, WeightedRandomSampler  # noqa: E402

from s2pipe.errors import ManifestError  # noqa: E402
from s2pipe.torch import PatchDataset, PatchMap  # noqa: E402
from tests.patches.test_shards import array, samples_of  # noqa: E402

if TYPE_CHECKING:
    from pathlib import Path


def plain_samples(shards_json: Path, split: str = "train") -> dict[str, dict[str, bytes]]:
    plain: dict[str, dict[str, bytes]] = {}
    for record in json.loads(shards_json.read_text())["shards"]:
        if record["split"] == split:
            plain |= samples_of(shards_json.parent / record["path"])
    return plain


@pytest.mark.parametrize("kind", [PatchDataset, PatchMap])
def test_every_sample_is_read(shards_json: Path, kind: Any) -> None:
    plain, data = plain_samples(shards_json), kind(shards_json, "train")
    read = {
        item["key"]: item
        for item in (data if kind is PatchDataset else map(data.__getitem__, range(len(data))))
    }
    assert set(read) == set(plain)
    assert len(data) == len(plain)
    for key, item in read.items():
        np.testing.assert_array_equal(item["x"].numpy(), array(plain[key]["x.npy"]))
        np.testing.assert_array_equal(item["y"].numpy(), array(plain[key]["y.npy"]))
        np.testing.assert_array_equal(item["angles"].numpy(), array(plain[key]["angles.npy"]))
        assert item["json"] == json.loads(plain[key]["json"])
        dtypes = [item[name].dtype for name in ("x", "y", "angles", "angles_valid")]
        assert dtypes == [torch.float32, torch.int64, torch.float32, torch.bool]


def readers(made: Path) -> dict[str, Any]:
    index, windows = made / "meta" / "step2" / "index.json", {"windows": (32, 32)}
    return {
        "shards": PatchDataset(made / "patches" / "shards.json", shuffle=1),
        "shards by number": PatchMap(made / "patches" / "shards.json"),
        "windows": PatchDataset(index, shuffle=1, **windows),
        "windows by number": PatchMap(index, edges="pad", **windows),
        "stacks": PatchDataset(made / "stacks" / "shards.json"),
    }


@pytest.mark.parametrize("name", ["shards", "shards by number", "windows", "windows by number", "stacks"])
@pytest.mark.parametrize("workers", [0, 2])
def test_default_batches_hold_every_item_and_no_nan(made: Path, name: str, workers: int) -> None:
    data = readers(made)[name]
    keys: list[str] = []
    missing = 0
    for batch in DataLoader(data, batch_size=5, num_workers=workers):
        assert all(torch.isfinite(batch[part]).all() for part in ("x", "angles"))
        missing += int((~batch["angles_valid"]).sum())
        assert len(batch["json"]["transform"]) == 6
        assert batch["json"]["size"].tolist() == [32] * len(batch["key"])
        keys += batch["key"]
    assert len(keys) == len(set(keys)) == len(data)
    assert missing > 0


def test_stacks_have_a_fixed_length_and_a_mask(made: Path) -> None:
    (batch,) = DataLoader(PatchDataset(made / "stacks" / "shards.json"), batch_size=100)
    assert batch["x"].shape[1:] == (3, 3, 32, 32)
    assert batch["date_mask"].dtype == torch.bool
    assert torch.equal(batch["date_mask"].sum(dim=1), batch["json"]["length"])
    assert (batch["x"][~batch["date_mask"]] == 0).all()
    assert set(batch["json"]["length"].tolist()) == {1, 2}


def test_nan_is_kept_where_it_is_asked_for(index_json: Path) -> None:
    options = {"windows": (64, 64)}
    filled, kept = PatchMap(index_json, **options)[0], PatchMap(index_json, keep_nan=True, **options)[0]
    assert kept["angles"].isnan().any(dim=0).equal(~kept["angles_valid"])
    assert torch.nan_to_num(kept["angles"]).equal(filled["angles"])


@pytest.mark.parametrize("workers", [0, 2])
def test_quantities_come_without_nan_and_with_what_is_known(quantities: Path, workers: int) -> None:
    for data in readers(quantities).values():
        unknown = 0
        for batch in DataLoader(data, batch_size=5, num_workers=workers):
            y, known = batch["y"], batch["y_valid"]
            assert (y.dtype, known.dtype, known.shape) == (torch.float32, torch.bool, y.shape)
            assert torch.isfinite(y).all()
            assert (y[~known] == 0).all()
            assert (y[known] != 0).all()
            unknown += int((~known).sum())
        assert unknown > 0
    shards, index = quantities / "patches" / "shards.json", quantities / "meta" / "step2" / "index.json"
    for path, options in ((shards, {}), (index, {"windows": (32, 32)})):
        kept = PatchMap(path, keep_nan=True, **options)
        assert any(item["y"].isnan().any() for item in kept)
        for item in kept:
            assert item["y"].isnan().equal(~item["y_valid"])


def test_numbers_and_transforms(shards_json: Path) -> None:
    data = PatchMap(shards_json, transform=lambda item: item["key"])
    assert data[-1] == data[len(data) - 1]
    assert data.__getitems__([2, 0]) == [data[2], data[0]]
    with pytest.raises(IndexError):
        data[len(data)]


def test_a_weighted_sampler_prefers_what_the_database_says(shards_json: Path) -> None:
    data = PatchMap(shards_json)
    weights = data.column("class_6").astype(float)
    sampler = WeightedRandomSampler(weights, 40, generator=torch.Generator().manual_seed(0))
    drawn = [
        item
        for batch in DataLoader(data, batch_size=8, sampler=sampler)
        for item in batch["json"]["class_counts"]["6"]
    ]
    assert len(drawn) == 40
    assert min(drawn) > 0


def test_a_distributed_sampler_divides_the_items(shards_json: Path) -> None:
    data = PatchMap(shards_json)
    shares = [
        [
            key
            for batch in DataLoader(data, batch_size=4, sampler=DistributedSampler(data, 2, rank))
            for key in batch["key"]
        ]
        for rank in range(2)
    ]
    assert len(shares[0]) == len(shares[1])
    assert set(shares[0] + shares[1]) == set(plain_samples(shards_json))


@pytest.mark.parametrize("workers", [0, 2])
def test_shares_are_equal_and_disjoint(shards_json: Path, workers: int) -> None:
    data = [PatchDataset(shards_json, shuffle=3, share=(rank, 3)) for rank in range(3)]
    shares = [[i["key"] for i in DataLoader(part, batch_size=None, num_workers=workers)] for part in data]
    assert {len(share) for share in shares} == {len(plain_samples(shards_json)) // 3} == {len(data[0])}
    assert len(set().union(*shares)) == sum(len(share) for share in shares)


def orders(loader: Any, epochs: int) -> list[list[str]]:
    return [[key for batch in loader for key in batch["key"]] for _ in range(epochs)]


@pytest.mark.parametrize(
    "options",
    [
        {"num_workers": 0},
        {"num_workers": 2},
        {"num_workers": 2, "persistent_workers": True},
    ],
    ids=["none", "new", "persistent"],
)
def test_every_epoch_has_an_order_of_its_own_whatever_workers(shards_json: Path, options: dict) -> None:
    found = orders(DataLoader(PatchDataset(shards_json, shuffle=7), batch_size=1, **options), 3)
    expected = orders(DataLoader(PatchDataset(shards_json, shuffle=7), batch_size=1), 3)
    assert found == expected
    assert len({tuple(keys) for keys in found}) == 3
    assert len({tuple(sorted(keys)) for keys in found}) == 1


def test_spawned_workers_count_epochs_too(shards_json: Path) -> None:
    loader = DataLoader(
        PatchDataset(shards_json, shuffle=7), batch_size=1, num_workers=1, multiprocessing_context="spawn"
    )
    assert orders(loader, 2) == orders(DataLoader(PatchDataset(shards_json, shuffle=7), batch_size=1), 2)


def test_workers_agree_on_the_epoch_when_loaders_and_their_workers_change(shards_json: Path) -> None:
    data = PatchDataset(shards_json, shuffle=7)
    epochs = []
    for workers in (1, 3, 0, 2, 3):
        torch.manual_seed(5)  # loaders that are seeded alike
        epochs += orders(DataLoader(data, batch_size=1, num_workers=workers), 1)
    assert {tuple(sorted(keys)) for keys in epochs} == {tuple(sorted(plain_samples(shards_json)))}
    assert epochs == orders(DataLoader(PatchDataset(shards_json, shuffle=7), batch_size=1), 5)


def test_an_epoch_can_be_chosen(shards_json: Path) -> None:
    first, second, third = orders(DataLoader(PatchDataset(shards_json, shuffle=7), batch_size=2), 3)
    for options in ({}, {"num_workers": 2, "persistent_workers": True}):
        data = PatchDataset(shards_json, shuffle=7)
        loader = DataLoader(data, batch_size=1, **options)
        data.set_epoch(2)
        assert orders(loader, 1) == [third]
        data.set_epoch(0)
        assert orders(loader, 2) == [first, second]


def test_shards_are_mixed_with_one_another(shards_json: Path) -> None:
    shard_of = {}
    for record in json.loads(shards_json.read_text())["shards"]:
        shard_of |= dict.fromkeys(samples_of(shards_json.parent / record["path"]), record["path"])
    mixed, apart = (
        [shard_of[item["key"]] for item in PatchDataset(shards_json, shuffle=1, buffer=buffer)]
        for buffer in (2000, 0)
    )
    changes = [sum(a != b for a, b in pairwise(names)) for names in (mixed, apart)]
    assert changes[1] == len(set(mixed)) - 1
    assert changes[0] > 2 * changes[1]


def test_a_pass_goes_on_where_it_was(shards_json: Path) -> None:
    data = PatchDataset(shards_json, shuffle=7)
    keys = [[item["key"] for item in data] for _ in range(3)]
    fresh = PatchDataset(shards_json, shuffle=7)
    list(fresh)
    iterator = iter(fresh)
    seen = [next(iterator)["key"] for _ in range(5)]
    state = json.loads(json.dumps(fresh.state_dict()))
    again = PatchDataset(shards_json, shuffle=7)
    again.load_state_dict(state)
    assert again.state_dict() == state
    assert seen + [item["key"] for item in again] == keys[1]
    assert [item["key"] for item in again] == keys[2]
    with pytest.raises(ManifestError, match=r"order: is of .*take the same shards and options"):
        PatchDataset(shards_json, shuffle=8).load_state_dict(state)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("steps", [1, 4, 1000])
@pytest.mark.parametrize("persistent", [False, True])
def test_a_stateful_loader_goes_on_in_the_middle_of_an_epoch(
    shards_json: Path, workers: int, steps: int, persistent: bool
) -> None:
    stateful = pytest.importorskip("torchdata.stateful_dataloader")
    options = {"batch_size": 3, "num_workers": workers, "persistent_workers": persistent and workers > 0}

    def loader() -> Any:
        return stateful.StatefulDataLoader(PatchDataset(shards_json, shuffle=7), **options)

    first = loader()
    orders(first, 1)
    seen, state = [], None
    for step, batch in enumerate(first, start=1):
        seen += batch["key"]
        state = first.state_dict()
        if step == steps:
            break
    else:
        state = first.state_dict()
    whole = orders(DataLoader(PatchDataset(shards_json, shuffle=7), **options), 3)
    second = loader()
    second.load_state_dict(state)
    rest = orders(second, 1)[0]
    if steps == 1000:  # at the end of an epoch, with the next
        assert (seen, rest) == (whole[1], whole[2])
    else:
        assert seen + rest == whole[1]
        assert orders(second, 1) == [whole[2]]
