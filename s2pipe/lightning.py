"""A LightningDataModule over what Step 3 wrote: loaders for training, validation, testing and prediction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from s2pipe.errors import DependencyError
from s2pipe.torch import PatchDataset, batches

try:
    from lightning.pytorch import LightningDataModule
except ImportError as error:
    msg = (
        f"Lightning cannot be imported: {error}\ns2pipe.lightning needs it: `pip install 's2pipe[lightning]'`; "
        "s2pipe.torch does without."
    )
    raise DependencyError(msg) from error

if TYPE_CHECKING:
    from pathlib import Path

_SPLITS = {"fit": ("train", "val"), "validate": ("val",), "test": ("test",), "predict": ("predict",)}


class PatchDataModule(LightningDataModule):  # type: ignore[misc]  # Any without Lightning
    """Loaders of patches for a ``Trainer``.

    Training is shuffled anew in every epoch, from the seed and the trainer's epoch: a run that goes on from a
    checkpoint sees the order of the epoch that it goes on with. Processes get equal shares (see
    :class:`s2pipe.torch.PatchDataset`); those of a prediction hold every patch once and may differ by one.

    Parameters
    ----------
    path : str or Path
        ``shards.json``, local or at an address, or the index of Step 2 with ``split_plan``.
    batch_size, num_workers : int
        Items of a batch; loading workers of each process and loader, which live on between epochs.
    seed : int
        Seed of the order of training.
    uneven : bool
        Let the shares of validation and test differ by one. Otherwise patches that do not divide among the processes
        are refused there: models that exchange statistics while they validate would wait for each other.
    predict : str or Path, optional
        What ``Trainer.predict`` reads: mostly the index of Step 2, whose windows are all taken. By default the test
        split of ``path``.
    **reading
        As for :class:`s2pipe.torch.PatchMap`; ``transform=s2pipe.torchgeo.AsSample()`` gives ``image`` and ``mask``.
        ``split_plan`` does not restrict what ``predict`` reads.

    Raises
    ------
    ValueError
        A number is out of range.

    Notes
    -----
    Files are first read by ``setup``, which raises what :class:`s2pipe.torch.PatchDataset` raises.
    """

    def __init__(
        self,
        path: str | Path,
        batch_size: int = 32,
        *,
        num_workers: int = 0,
        seed: int = 0,
        uneven: bool = False,
        predict: str | Path | None = None,
        **reading: Any,
    ) -> None:
        super().__init__()
        if batch_size < 1 or num_workers < 0 or seed < 0:
            msg = f"expected batch_size >= 1, num_workers >= 0 and seed >= 0, got {batch_size}, {num_workers}, {seed}"
            raise ValueError(msg)
        self._path, self._predict_path = path, predict
        self._loading = (batch_size, num_workers)
        self._seed, self._uneven, self._reading = seed, uneven, reading
        self.datasets: dict[str, PatchDataset] = {}
        """Datasets by name: train, val, test and predict, once they are set up."""

    def setup(self, stage: str) -> None:
        """Open the datasets of a stage; a split without patches is left out of validation while fitting."""
        for name in _SPLITS[stage]:
            if name not in self.datasets and not (stage == "fit" and name == "val" and self._has_no_val()):
                self.datasets[name] = self._open(name)

    def train_dataloader(self) -> Any:
        """Shuffled batches of the training split."""
        if self.trainer is not None:
            self.datasets["train"].set_epoch(self.trainer.current_epoch)
        return self._loader("train")

    def val_dataloader(self) -> Any:
        """Batches of the validation split, in order; none where it has no patches."""
        return self._loader("val") if "val" in self.datasets else []

    def test_dataloader(self) -> Any:
        """Batches of the test split, in order."""
        return self._loader("test")

    def predict_dataloader(self) -> Any:
        """Batches of what is predicted, in order."""
        return self._loader("predict")

    @property
    def about(self) -> dict[str, Any]:
        """Bands, unit, normalization, labels, class weights: what ``shards.json`` says of all patches."""
        return next(iter(self.datasets.values())).about

    def _open(self, name: str) -> PatchDataset:
        if name == "train":
            return PatchDataset(self._path, name, shuffle=self._seed, **self._reading)
        if name != "predict":
            return PatchDataset(self._path, name, uneven=self._uneven, **self._reading)
        if self._predict_path is None:
            return PatchDataset(self._path, "test", uneven=True, **self._reading)
        reading = {key: value for key, value in self._reading.items() if key != "split_plan"}
        return PatchDataset(self._predict_path, "test", uneven=True, **reading)

    def _has_no_val(self) -> bool:
        splits = self.datasets["train"].about.get("splits")
        return splits is not None and not splits["val"]["samples"]

    def _loader(self, name: str) -> Any:
        return batches(self.datasets[name], *self._loading)
