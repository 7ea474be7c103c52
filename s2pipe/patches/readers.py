"""Reading patches as NumPy arrays: those of a shard, and windows of samples cut on the fly."""

from __future__ import annotations

import io
import tarfile
from typing import TYPE_CHECKING, Any

import numpy as np

from s2pipe.config.documents import parse_json, read_json
from s2pipe.config.schema import STEP3_SHARDS, validate_document
from s2pipe.dataset.samples import Sample, check_grids, load_samples
from s2pipe.errors import Fault, ManifestError
from s2pipe.patches.candidates.windows import grid_windows
from s2pipe.patches.shards.publish import read_shards_json
from s2pipe.raster.grid import Window
from s2pipe.raster.reader import StackReader

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from s2pipe.patches.cfg import PatchConfig


def set_document(path: Path) -> dict[str, Any]:
    """Read what describes a set of patches: a checked ``shards.json``, or the index of Step 2.

    Raises
    ------
    ManifestError, PathEscapeError
        It is neither, is damaged, or names a shard outside its directory.
    """
    try:
        document = read_json(path)
    except (OSError, ValueError) as error:
        raise ManifestError(str(path), [Fault("", f"cannot be read as JSON: {error}")]) from error
    if isinstance(document, dict) and document.get("schema") == STEP3_SHARDS:
        return read_shards_json(path.parent, path.name)
    validate_document(document, "step2_index", str(path))
    result: dict[str, Any] = document
    return result


def shard_items(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the items of a shard, one after the other: ``key``, arrays by name, and ``json``.

    Raises
    ------
    ManifestError
        The file is not a shard, or is damaged.
    """
    item: dict[str, Any] = {}
    try:
        with tarfile.open(path, "r|") as archive:
            for member in archive:
                key, _, suffix = member.name.partition(".")
                if item and item["key"] != key:
                    yield item
                    item = {}
                item["key"] = key
                name, value = _content(archive, member, suffix)
                item[name] = value
    except (tarfile.TarError, OSError, EOFError, ValueError, MemoryError) as error:
        message = (
            f"cannot be read as a shard: {error}; `s2pipe verify {path.parent.parent}` tells what is damaged"
        )
        raise ManifestError(str(path), [Fault("", message)]) from error
    if item:
        yield item


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo, suffix: str) -> tuple[str, Any]:
    """Name and value of one file of an item."""
    stream = archive.extractfile(member) if member.isreg() else None
    if stream is None:
        msg = f"{member.name[:80]!r} is not a plain file"
        raise tarfile.TarError(msg)
    data = stream.read()
    if suffix == "json":
        return suffix, parse_json(data)
    return suffix.removesuffix(".npy"), np.load(io.BytesIO(data), allow_pickle=False)


def window_samples(index: Path) -> list[Sample]:
    """Load the samples of a Step-2 index to cut windows from.

    Raises
    ------
    ManifestError
        The index or a ``meta.json`` is invalid, or a raster of a sample has another grid than its bands: the same
        window would show other ground there.
    MissingInputError
        There is no sample, or a file is not on disk.
    """
    samples = load_samples(index)
    check_grids(samples)
    return samples


def window_items(sample: Sample, config: PatchConfig) -> Iterator[dict[str, Any]]:
    """Yield the windows of a sample as items, unfiltered."""
    paths = {"x": sample.x_path, "y": sample.y_path, "angles": sample.angles_path}
    readers = {name: StackReader(str(path)) for name, path in paths.items() if path is not None}
    bands = {"x": len(sample.x_bands), "y": 1, "angles": len(sample.angle_bands)}
    size = config.patch_size
    try:
        for row, col in zip(*(part.tolist() for part in grid_windows(sample.grid, config)), strict=True):
            item: dict[str, Any] = {"key": f"{sample.name}_r{row:05d}_c{col:05d}"}
            for name, reader in readers.items():
                dtype = sample.labels.dtype if name == "y" and sample.labels is not None else "float32"
                out = np.empty((bands[name], size, size), dtype)
                reader.read(Window(row, col, size, size), out)
                item[name] = out[0] if name == "y" else out
            item["json"] = {
                "tile_id": sample.key.tile_id,
                "sensing_start_utc": sample.key.sensing_start_utc,
                "row": row,
                "col": col,
            }
            yield item
    finally:
        for reader in readers.values():
            reader.close()
