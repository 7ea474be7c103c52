"""Train a tiny segmentation model for one epoch: ``python docs/examples/train_patches.py DIR/shards.json``.

The model is not meant to be good. The example shows how to get from shards to a loss, with the class weights from
shards.json.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import DataLoader

from s2pipe.torch import PatchDataset


def labels_to_columns(dataset: PatchDataset) -> tuple[torch.Tensor, torch.Tensor]:
    """Return a lookup table from label to class number (-1: ignored), and the weight of each class."""
    weights = dataset.about["class_weights"]
    table = torch.full((65536,), -1)
    for column, label in enumerate(weights):
        table[int(label)] = column
    table[dataset.about["labels"]["ignore_index"]] = -1
    return table, torch.tensor(list(weights.values())).clamp(max=20.0)


def class_titles(dataset: PatchDataset) -> list[str]:
    """Return the names of the classes, as the labels carry them, in the order of their numbers."""
    names = dataset.about["labels"]["class_names"]
    return [names.get(label, f"label {label}") for label in dataset.about["class_weights"]]


def train(shards_json: Path, workers: int = 0) -> list[float]:
    """Train for one epoch and return the loss of each step."""
    torch.manual_seed(0)
    dataset = PatchDataset(
        shards_json, "train", shuffle=True, transform=lambda item: (item["x"].float(), item["y"])
    )
    table, weights = labels_to_columns(dataset)
    print("classes:", ", ".join(class_titles(dataset)))
    channels = len(dataset.about["bands"])
    model = nn.Sequential(
        nn.Conv2d(channels, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(),
        nn.Conv2d(16, len(weights), 1),
    )  # fmt: skip
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    loss_of = nn.CrossEntropyLoss(weights, ignore_index=-1)
    losses = []
    for x, y in DataLoader(dataset, batch_size=8, num_workers=workers):
        target = table[y]
        if (target < 0).all():
            continue
        loss = loss_of(model(x), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


if __name__ == "__main__":
    history = train(Path(sys.argv[1]))
    print(f"{len(history)} steps, loss {history[0]:.3f} -> {history[-1]:.3f}")
