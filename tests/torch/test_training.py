"""A tiny U-Net trains on bands and angles through every reader; the examples of the docs run."""

from __future__ import annotations

import re
import runpy
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not here; `make test-torch` has it")

from torch import nn  # noqa: E402
from torch.utils.data import DataLoader  # noqa: E402

from s2pipe.torch import PatchDataset, PatchMap  # noqa: E402
from tests.patches.patchdata import IGNORE  # noqa: E402
from tests.paths import ROOT  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

EXAMPLE = ROOT / "docs" / "examples" / "train_patches.py"


class TinyUNet(nn.Module):
    """One level down and up again."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.down = nn.Sequential(nn.Conv2d(channels, 8, 3, padding=1), nn.ReLU())
        self.deep = nn.Sequential(
            nn.MaxPool2d(2), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(), nn.Upsample(scale_factor=2)
        )
        self.head = nn.Conv2d(16, classes, 1)

    def forward(self, x: Any) -> Any:
        near = self.down(x)
        return self.head(torch.cat((near, self.deep(near)), dim=1))


def train(batches: Iterable[tuple[Any, Any, Any]]) -> list[float]:
    torch.manual_seed(0)
    model = TinyUNet(5, 10)
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    loss_of = nn.CrossEntropyLoss(ignore_index=IGNORE)
    losses = []
    for x, angles, y in batches:
        loss = loss_of(model(torch.cat((x, angles), dim=1)), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert all(parameter.isfinite().all() for parameter in model.parameters())
    return losses


def own(made: Path, name: str) -> Any:
    index, windows = made / "meta" / "step2" / "index.json", {"windows": (32, 32)}
    shards = made / "patches" / "shards.json"
    data = {
        "PatchDataset": lambda: PatchDataset(shards, shuffle=1),
        "PatchMap": lambda: PatchMap(shards),
        "PatchDataset of windows": lambda: PatchDataset(index, shuffle=1, **windows),
        "PatchMap of windows": lambda: PatchMap(index, edges="pad", **windows),
    }[name]()
    loader = DataLoader(data, batch_size=8, num_workers=2)
    return ((b["x"], b["angles"], b["y"]) for b in loader)


def plain_webdataset(made: Path) -> Any:
    wds = pytest.importorskip("webdataset")
    paths = [str(path) for path in sorted((made / "patches" / "train").glob("*.tar"))]
    data = wds.WebDataset(paths, shardshuffle=False).decode().batched(8)
    for batch in DataLoader(data, batch_size=None):
        assert isinstance(batch["json"][0], dict)
        assert batch["angles_valid.npy"].shape == batch["y.npy"].shape
        yield batch["x.npy"], batch["angles.npy"], batch["y.npy"].long()


@pytest.mark.parametrize(
    "name", ["PatchDataset", "PatchMap", "PatchDataset of windows", "PatchMap of windows", "webdataset"]
)
def test_a_u_net_trains_for_an_epoch_without_nan(made: Path, name: str) -> None:
    losses = train(plain_webdataset(made) if name == "webdataset" else own(made, name))
    assert len(losses) > 3
    assert np.isfinite(losses).all()


def test_the_example_trains_for_an_epoch(shards_json: Path, capsys: pytest.CaptureFixture[str]) -> None:
    losses = runpy.run_path(str(EXAMPLE))["train"](shards_json)
    assert "classes: vegetation, label 5, water, cloud, label 9" in capsys.readouterr().out
    assert len(losses) > 3
    assert np.isfinite(losses).all()


def test_the_examples_of_the_docs_run(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("webdataset")
    pytest.importorskip("torchdata.stateful_dataloader")
    (tmp_path / "out_norm").symlink_to(made)
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "docs" / "loading.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 5
    names: dict[str, Any] = {}
    for block in blocks:
        exec(compile(block, "docs/loading.md", "exec"), names)
    assert len(names["rest"]) > 0
    assert min(len(names["windows"]), len(names["training"])) > 0
