"""A trainer fits, validates, tests and predicts through the data module, and stitches what it predicts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not here; `make test-torch` has it")
lightning = pytest.importorskip("lightning.pytorch", reason="Lightning is not here; `make test-torch` has it")

from s2pipe.errors import ConfigError  # noqa: E402
from s2pipe.lightning import PatchDataModule  # noqa: E402
from s2pipe.patches.cfg import SplitConfig  # noqa: E402
from s2pipe.patches.run import run_patches  # noqa: E402
from s2pipe.raster.grid import Window  # noqa: E402
from s2pipe.raster.reader import StackReader  # noqa: E402
from s2pipe.stitch import Stitcher  # noqa: E402
from s2pipe.torch import PatchMap  # noqa: E402
from tests.patches.patchdata import IGNORE  # noqa: E402
from tests.patches.test_shards import config  # noqa: E402
from tests.torch.conftest import SCENES  # noqa: E402

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def three_splits(made: Path) -> Path:
    """``shards.json`` with patches in every split."""
    shuffled = SplitConfig(0.6, 0.2, 0.2, by="random")
    out = made / "three"
    run_patches(config(made / "meta" / "step2" / "index.json", out, patch_size=32, split=shuffled))
    return out / "shards.json"


class Model(lightning.LightningModule):
    """A pixel's class from its bands, remembering what it was fed."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Conv2d(3, 10, 1)
        self.seen: dict[str, list[list[str]]] = {"train": [], "val": [], "test": []}

    def loss(self, batch: dict[str, Any], name: str) -> Any:
        self.seen[name].append(list(batch["key"]))
        return torch.nn.functional.cross_entropy(self.layer(batch["x"]), batch["y"], ignore_index=IGNORE)

    def training_step(self, batch: dict[str, Any]) -> Any:
        return self.loss(batch, "train")

    def validation_step(self, batch: dict[str, Any]) -> None:
        self.loss(batch, "val")

    def test_step(self, batch: dict[str, Any]) -> None:
        self.loss(batch, "test")

    def predict_step(self, batch: dict[str, Any]) -> Any:
        return batch["json"], batch["x"]

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), 0.01)


def trainer(directory: Path, epochs: int = 2) -> Any:
    return lightning.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        default_root_dir=directory,
    )


def names(batches: list[list[str]]) -> list[str]:
    return [key for batch in batches for key in batch]


def test_a_trainer_reads_every_split(three_splits: Path, tmp_path: Path) -> None:
    data = PatchDataModule(three_splits, 4, num_workers=1, seed=3)
    model = Model()
    with trainer_without_warnings():
        fitted = trainer(tmp_path)
        fitted.fit(model, data)
        fitted.test(model, data, verbose=False)
    keys = {split: set(names_of(three_splits, split)) for split in ("train", "val", "test")}
    train = names(model.seen["train"])
    half = len(train) // 2
    assert set(train[:half]) == set(train[half:]) == keys["train"]
    assert train[:half] != train[half:]
    assert set(names(model.seen["val"])) == keys["val"]
    assert names(model.seen["test"]) == names_of(three_splits, "test")
    assert "bands" in data.about

    # A run that goes on with the second epoch sees the order of the second epoch.
    fitted.save_checkpoint(tmp_path / "two.ckpt")
    again = Model()
    first = trainer(tmp_path, epochs=1)
    with trainer_without_warnings():
        first.fit(again, PatchDataModule(three_splits, 4, seed=3))
        first.save_checkpoint(tmp_path / "one.ckpt")
        resumed = Model()
        trainer(tmp_path).fit(
            resumed, PatchDataModule(three_splits, 4, seed=3), ckpt_path=tmp_path / "one.ckpt"
        )
    assert names(resumed.seen["train"]) == train[half:]


def test_predictions_of_all_windows_go_back_onto_the_tile(
    shards_json: Path, index_json: Path, tmp_path: Path
) -> None:
    data = PatchDataModule(shards_json, 4, predict=index_json, windows=(48, 32), edges="pad")
    with trainer_without_warnings():
        predicted = trainer(tmp_path).predict(Model(), data)
    meta = index_json.parents[2] / SCENES[1].directory / "meta.json"
    with Stitcher(tmp_path / "x.tif", meta, 3, output="mean") as stitcher:
        added = sum(stitcher.add_batch(items, values) for items, values in predicted)
    assert added == 4 * 8
    found, expected = (read(path) for path in (tmp_path / "x.tif", meta.with_name("x.tif")))
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_numbers_out_of_range_and_splits_that_are_not_there_are_refused(
    shards_json: Path, made: Path
) -> None:
    with pytest.raises(ValueError, match="batch_size >= 1"):
        PatchDataModule(shards_json, 0)
    only_train = PatchDataModule(made / "stacks" / "shards.json")
    only_train.setup("fit")
    assert only_train.val_dataloader() == []
    with pytest.raises(ConfigError, match="expected one of train"):
        only_train.setup("test")


def names_of(shards_json: Path, split: str) -> list[str]:
    data = PatchMap(shards_json, split, transform=lambda item: item["key"])
    return [data[number] for number in range(len(data))]


def read(path: Path) -> np.ndarray:
    reader = StackReader(str(path))
    out = np.empty((3, *reader.shape_yx), np.float32)
    reader.read(Window(0, 0, *reader.shape_yx), out)
    reader.close()
    return out


def trainer_without_warnings() -> Any:
    import warnings

    return warnings.catch_warnings(action="ignore")
