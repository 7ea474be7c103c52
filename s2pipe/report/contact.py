"""The contact sheet: some patches of each split, as they are in the shards."""

from __future__ import annotations

import base64
import io
import json
import math
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from s2pipe.errors import PathEscapeError, RasterError
from s2pipe.ground.split import SPLITS
from s2pipe.raster.picture import encode_jpeg, encode_png, media_type
from s2pipe.report.colours import DEVIATIONS, TRUE_COLOUR, band_places, classified, reflectance_rgb, stretched
from s2pipe.report.model import PatchSet, Problem
from s2pipe.report.processed import meaning_of
from s2pipe.report.quicklooks import spread
from s2pipe.report.values import items, mapping, number, text
from s2pipe.runtime.paths import InsidePath

if TYPE_CHECKING:
    from s2pipe.dataset.label_meaning import LabelMeaning

PATCHES_A_SPLIT = 24
_SHARDS_A_SPLIT = 4
_SIDE = 96
_QUALITY = 78
_MAX_MEMBER = 512 << 20
_NPY_HEADER = 4096


@dataclass(frozen=True)
class Picture:
    """One patch."""

    name: str
    """Its id."""
    split: str
    """Its split."""
    shard: Path
    """The shard that it is in."""
    bands: str
    """Picture of its bands, as a ``data:`` address."""
    labels: str
    """Picture of its labels; empty without labels."""
    about: dict[str, Any]
    """Its JSON."""


def contact_sheet(found: PatchSet, problems: list[Problem]) -> list[Picture]:
    """Draw some patches of each split, evenly spread over some of its shards."""
    pictures = []
    for split in SPLITS:
        shards = [mapping(shard) for shard in items(found.shards.get("shards"))]
        paths = [text(shard.get("path")) for shard in shards if shard.get("split") == split]
        chosen = [paths[place] for place in sorted(spread(len(paths), _SHARDS_A_SPLIT))]
        for name in chosen:
            try:
                path = InsidePath(found.directory, name)
                if path.is_file():
                    pictures += _of_shard(path.path, split, found.shards, -(-PATCHES_A_SPLIT // len(chosen)))
            except PathEscapeError:
                continue  # said already, of the list of shards
            except (OSError, tarfile.TarError, ValueError, LookupError, EOFError, RasterError) as error:
                problems.append(
                    Problem("damaged", found.directory / name, "shard", f"cannot be read: {error}")
                )
    return pictures


def _of_shard(path: Path, split: str, shards: dict[str, Any], most: int) -> list[Picture]:
    pictures = []
    with tarfile.open(path, "r:") as archive:
        members: dict[str, dict[str, tarfile.TarInfo]] = {}
        for member in archive:
            key, _, kind = member.name.partition(".")
            if member.isreg() and member.size <= _MAX_MEMBER:
                members.setdefault(key, {})[kind] = member
        names = [name for name, parts in members.items() if "x.npy" in parts and "json" in parts]
        for place in sorted(spread(len(names), most)):
            parts = members[names[place]]
            x = _array(archive, parts["x.npy"])
            y = _array(archive, parts["y.npy"]) if "y.npy" in parts else None
            about = mapping(json.loads(archive.extractfile(parts["json"]).read()))  # type: ignore[union-attr]
            labels = "" if y is None else _labels(y, shards)
            pictures.append(Picture(names[place], split, path, _bands(x, shards), labels, about))
    return pictures


def _array(archive: tarfile.TarFile, member: tarfile.TarInfo) -> np.ndarray:
    stream = archive.extractfile(member)
    assert stream is not None
    data = stream.read()
    file = io.BytesIO(data)
    np.lib.format.read_magic(file)
    shape, in_columns, dtype = np.lib.format.read_array_header_1_0(file, _NPY_HEADER)
    pixels = data[file.tell() :]
    # What a header states may be more than there is, and NumPy itself would make room for it first.
    if dtype.hasobject or in_columns or dtype.itemsize * math.prod(shape) != len(pixels) or not pixels:
        msg = f"{member.name} is not an array of numbers that is all there"
        raise ValueError(msg)
    return np.frombuffer(pixels, dtype).reshape(shape)


def _first_date(array: np.ndarray, dimensions: int) -> np.ndarray:
    """Of a time stack the first date; every n-th pixel of large patches."""
    while array.ndim > dimensions:
        array = array[0]
    step = max(1, -(-max(array.shape[-2:]) // _SIDE))
    return np.asarray(array[..., ::step, ::step])


def _bands(x: np.ndarray, shards: dict[str, Any]) -> str:
    names = [text(name) for name in items(shards.get("bands"))]
    pixels = _first_date(x, 3).astype(np.float32)
    places = band_places(names[: len(pixels)], TRUE_COLOUR) or [
        min(place, len(pixels) - 1) for place in range(3)
    ]
    rgb = pixels[places]
    if text(shards.get("unit")) == "standard deviations":
        shown = stretched(rgb, DEVIATIONS)
    else:
        shown = reflectance_rgb(rgb, np.ones(rgb.shape[1:], np.float32), text(shards.get("unit")))
    return _address(encode_jpeg(shown, _QUALITY))


def _labels(y: np.ndarray, shards: dict[str, Any]) -> str:
    labels = mapping(shards.get("labels"))
    channels = [mapping(channel) for channel in items(labels.get("channels"))]
    meaning: LabelMeaning = meaning_of(channels[0] if channels else labels)
    values = np.nan_to_num(_first_date(y, 2))
    if number(meaning.ignore_index) is None:
        low, high = float(values.min()), float(values.max())
        grey = stretched(values[np.newaxis].astype(np.float32), (low, max(high, low + 1e-6)))
        return _address(encode_jpeg(np.repeat(grey, 3, axis=2), _QUALITY))
    return _address(encode_png(*classified(values.astype(np.int64), meaning)))


def _address(data: bytes) -> str:
    return f"data:{media_type(data)};base64,{base64.b64encode(data).decode()}"
