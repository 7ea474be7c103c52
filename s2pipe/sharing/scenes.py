"""The samples of an output directory with all that their ``meta.json`` say, for those who describe them to others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from s2pipe.config.documents import read_json
from s2pipe.dataset.proof import FileRecord
from s2pipe.dataset.samples import Sample, load_samples
from s2pipe.dataset.scene_key import SceneKey
from s2pipe.errors import Fault, ManifestError, MissingInputError
from s2pipe.runtime.paths import InsidePath, if_absent

INDEX = Path("meta") / "step2" / "index.json"
"""The Step-2 index, relative to the output directory."""
_LEVELS = ("l1c", "l2a")


@dataclass(frozen=True)
class SharedScene:
    """One sample, with its ``meta.json``."""

    sample: Sample
    """The sample."""
    meta: Mapping[str, Any]
    """Its ``meta.json``."""
    meta_file: FileRecord
    """Size and SHA-256 of that file."""

    @property
    def sources(self) -> Sequence[Mapping[str, Any]]:
        """The scenes that it is made of, as ``meta.json`` has them: itself, or those of a mosaic that gave pixels."""
        mosaic = self.meta.get("mosaic")
        if not mosaic:
            return [{"key": self.meta["key"], "source_products": self.meta["source_products"], "pixels": 1}]
        return [source for source in mosaic["sources"] if source["pixels"]] or mosaic["sources"]

    @property
    def keys(self) -> tuple[SceneKey, ...]:
        """Keys of these scenes; several have one where they are halves of one acquisition."""
        return tuple(dict.fromkeys(SceneKey.from_document(source["key"]) for source in self.sources))

    @property
    def products(self) -> tuple[str, ...]:
        """Names of the products that it was made from, scene by scene, L1C first."""
        groups = (source["source_products"].get(level) or {} for source in self.sources for level in _LEVELS)
        names = (str(group["product_name"]) for group in groups if group.get("product_name"))
        return tuple(dict.fromkeys(names))

    @property
    def cloud_cover(self) -> float | None:
        """Cloud cover in percent as the products state it, L2A's where there is one; None when one does not.

        That of a mosaic is the mean over its pixels.
        """
        covers = [_cloud_cover(source["source_products"]) for source in self.sources]
        pixels = [source["pixels"] for source in self.sources]
        known = [cover for cover in covers if cover is not None]
        if len(known) < len(covers) or not sum(pixels):
            return None
        mean = sum(cover * count for cover, count in zip(known, pixels, strict=True)) / sum(pixels)
        return known[0] if len(known) == 1 else round(mean, 6)

    @property
    def versions(self) -> dict[str, str]:
        """Software that made it, with versions."""
        return {str(name): str(version) for name, version in sorted(self.meta["versions"].items()) if version}

    def record(self, path: str) -> FileRecord | None:
        """Return the record of one of its files by the path in the index; None where it has none."""
        return next((record for record in self.sample.files if record.path == path), None)


def _cloud_cover(products: Mapping[str, Any]) -> float | None:
    for level in reversed(_LEVELS):
        cover = (products.get(level) or {}).get("cloud_cover")
        if isinstance(cover, int | float) and 0 <= cover <= 100:
            return float(cover)
    return None


def has_index(root: Path) -> bool:
    """Tell whether Step 2 wrote into a directory."""
    return (root / INDEX).is_file()


def need_index(root: Path) -> Path:
    """Return the path of the Step-2 index.

    Raises
    ------
    MissingInputError
        There is none.
    """
    path = root / INDEX
    if not has_index(root):
        wanted = f"the output directory of `s2pipe preprocess`, with {INDEX.as_posix()}"
        msg = f"{root}: expected {wanted}; got none{if_absent(root)}:"
        raise MissingInputError(msg, [str(path)], "Run `s2pipe preprocess` first, or name its out_dir.")
    return path


def read_scenes(root: Path) -> list[SharedScene]:
    """Read all samples of an output directory, in the order of tile and time.

    Parameters
    ----------
    root : Path
        Output directory of Step 2.

    Raises
    ------
    ManifestError
        The index or a ``meta.json`` is missing or invalid, or files changed their size since they were written.
    MissingInputError
        There is no index, no sample, or a raster is not on disk.
    """
    path = need_index(root)
    samples = load_samples(path)
    entries = read_json(path)["samples"]
    paths = {sample.name: meta for sample, meta in zip(samples, _meta_paths(entries), strict=True)}
    scenes = [_scene(root, sample, paths[sample.name]) for sample in samples]
    faults = [
        Fault(record.path, f"expected {record.size} bytes, as recorded; run `s2pipe verify {root}`")
        for scene in scenes
        for record in scene.sample.files
        if not record.is_at(root)
    ]
    if faults:
        raise ManifestError(str(path), faults)
    return scenes


@contextmanager
def described(what: Path) -> Iterator[None]:
    """Name the dataset where its documents fit their schemas, and hold values that nobody can make sense of.

    Raises
    ------
    ManifestError
        In place of the errors that such values lead to.
    """
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        message = f"cannot be described ({type(error).__name__}: {error}); run `s2pipe verify` on it"
        raise ManifestError(str(what), [Fault("", message)]) from error


def _meta_paths(entries: list[dict[str, Any]]) -> list[str]:
    """Paths of the ``meta.json`` in the order in which samples are loaded."""
    ordered = sorted(entries, key=lambda entry: SceneKey.from_document(entry["key"]))
    return [entry["meta_path"] for entry in ordered]


def _scene(root: Path, sample: Sample, meta_path: str) -> SharedScene:
    inside = InsidePath(root, meta_path)
    return SharedScene(sample, read_json(inside.path), FileRecord.of(inside.path, inside.relative))
