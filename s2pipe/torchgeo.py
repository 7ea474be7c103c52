"""Patches in the form of torchgeo's datasets: ``image``, ``mask``, ``bounds`` and ``crs``, transformed as a whole.

It needs PyTorch and nothing of torchgeo itself, whose transforms, collation and tasks take dictionaries with these
names.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from s2pipe.torch import PatchMap

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class AsSample:
    """Turns items of :class:`s2pipe.torch.PatchMap` and ``PatchDataset`` into torchgeo's form: their ``transform``.

    A sample has ``image`` (float32), ``mask`` where there are labels, ``bounds`` (float64: xmin, ymin, xmax, ymax in
    the units of the CRS), ``crs`` (text, ``EPSG:32633``, which collates), ``transform`` (float64: GDAL's six
    numbers), ``y_valid``, ``angles_valid`` and ``date_mask`` where there are any, ``key`` and ``json``.
    """

    transforms: Callable[[dict[str, Any]], dict[str, Any]] | None = None
    """Applied to the whole sample; what it returns is the sample."""
    with_angles: bool = True
    """Append the angles to the image, as its last channels; otherwise they are the sample's ``angles``."""

    def __call__(self, item: dict[str, Any]) -> dict[str, Any]:
        """Return the sample of an item."""
        import torch

        sample = {name: value for name, value in item.items() if name not in ("x", "y", "angles")}
        sample["image"] = item["x"].float()
        if "angles" in item and self.with_angles:
            sample["image"] = torch.cat((sample["image"], item["angles"].float()), dim=-3)
        elif "angles" in item:
            sample["angles"] = item["angles"]
        if "y" in item:
            sample["mask"] = item["y"]
        place = item["json"]
        sample["crs"] = place["crs"]
        sample["transform"] = torch.tensor(place["transform"], dtype=torch.float64)
        sample["bounds"] = _bounds(place["transform"], place["size"])
        return sample if self.transforms is None else self.transforms(sample)


class GeoPatches(PatchMap):
    """Patches by number, in torchgeo's form (:class:`AsSample`).

    Parameters
    ----------
    path, split, **reading
        As for :class:`s2pipe.torch.PatchMap`.
    transforms : callable, optional
        Applied to each sample, the whole dictionary.
    with_angles : bool
        Append the angles to the image.
    """

    def __init__(
        self,
        path: str | Path,
        split: str = "train",
        *,
        transforms: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
        with_angles: bool = True,
        **reading: Any,
    ) -> None:
        super().__init__(path, split, transform=AsSample(transforms, with_angles), **reading)


def _bounds(transform: list[float], size: int) -> Any:
    """Ground of a patch, its padding included, as the image has it."""
    import torch

    x0, dx, _, y0, _, dy = transform
    return torch.tensor([x0, y0 + dy * size, x0 + dx * size, y0], dtype=torch.float64)
