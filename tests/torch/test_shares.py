"""Shares of distributed training: equal, or refused with the numbers that would fit."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not here; `make test-torch` has it")

from torch.utils.data import DataLoader  # noqa: E402

from s2pipe.errors import ConfigError  # noqa: E402
from s2pipe.torch import PatchDataset  # noqa: E402

if TYPE_CHECKING:
    from pathlib import Path


def keys_of(data: PatchDataset, **options: Any) -> list[str]:
    return [item["key"] for item in DataLoader(data, batch_size=None, **options)]


def test_items_that_do_not_divide_are_refused_with_what_would_fit(shards_json: Path) -> None:
    count = len(PatchDataset(shards_json))
    world = next(number for number in range(2, count) if count % number)
    with pytest.raises(ConfigError, match=rf"{count} items are .* numbers of processes that fit: {count}, "):
        PatchDataset(shards_json, share=(0, world))
    with pytest.raises(ConfigError, match=f"take at most {count} process"):
        PatchDataset(shards_json, shuffle=1, share=(0, count + 1))
    shares = [keys_of(PatchDataset(shards_json, share=(rank, world), uneven=True)) for rank in range(world)]
    assert sorted(key for share in shares for key in share) == sorted(keys_of(PatchDataset(shards_json)))
    assert [len(PatchDataset(shards_json, share=(rank, world), uneven=True)) for rank in range(world)] == [
        len(share) for share in shares
    ]
    fitting = next(number for number in range(2, count + 1) if count % number == 0)
    assert len(PatchDataset(shards_json, share=(1, fitting))) == count // fitting


def worker(rank: int, world: int, directory: str, shards_json: str) -> None:
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{directory}/store", rank=rank, world_size=world
    )
    data = PatchDataset(shards_json, shuffle=1)
    result = {
        "own": keys_of(data),
        "forked": keys_of(PatchDataset(shards_json, shuffle=1), num_workers=2),
        "spawned": keys_of(
            PatchDataset(shards_json, shuffle=1), num_workers=1, multiprocessing_context="spawn"
        ),
        "count": len(data),
    }
    try:
        PatchDataset(shards_json, shuffle=1, share=(0, world + 1))
    except ConfigError as error:
        result["refused"] = str(error)
    with open(f"{directory}/{rank}.json", "w") as stream:  # noqa: PTH123
        json.dump(result, stream)
    torch.distributed.destroy_process_group()


def test_processes_of_torch_distributed_are_seen_by_all_workers(shards_json: Path, tmp_path: Path) -> None:
    torch.multiprocessing.spawn(worker, (2, str(tmp_path), str(shards_json)), nprocs=2)
    found = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2)]
    for kind in ("own", "forked", "spawned"):
        first, second = (set(result[kind]) for result in found)
        assert len(first) == len(second) == len(found[0][kind]) == found[0]["count"]
        assert not first & second
    assert all("torch.distributed runs as" in result["refused"] for result in found)
