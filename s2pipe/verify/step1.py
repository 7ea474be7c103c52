"""The files of products, against the Step-1 index; the index and the manifests of runs, against themselves."""

from __future__ import annotations

import functools
import zlib
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from s2pipe.config.documents import parse_json, read_json
from s2pipe.config.schema import STEP1_INDEX
from s2pipe.dataset.input_file import InputFile
from s2pipe.dataset.proof import records_of
from s2pipe.dataset.step1_index import Asset, Index, has_index, load_index, rewrite_index
from s2pipe.download.files.recheck import set_aside, without
from s2pipe.errors import ManifestError, PathEscapeError, ProductError
from s2pipe.runtime.hashing import hash_stream, is_known_algorithm
from s2pipe.runtime.paths import path_fault
from s2pipe.sentinel2.safe.container import SafeContainer, open_container
from s2pipe.verify.items import By, Count, Item, Problem, read_or_none, recorded, sealed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from s2pipe.dataset.scene_key import SceneKey

_CURE = "restore it and run `s2pipe index` or `s2pipe download` again"


def step1_indexes(root: Path) -> list[Path]:
    """Return the Step-1 indexes of a dataset; ``index.json`` also where it is damaged, or in journals alone."""
    directory = root / "meta" / "step1"
    usual = directory / "index.json"
    others = [
        path for path in sorted(directory.glob("*.json")) if path != usual and _schema_of(path) == STEP1_INDEX
    ]
    return ([usual] if has_index(usual) else []) + others


def _schema_of(path: Path) -> object:
    try:
        document = read_json(path)
    except (OSError, ValueError):
        return None
    return document.get("schema") if isinstance(document, dict) else None


class Step1Part:
    """A Step-1 index with the files that it lists.

    Parameters
    ----------
    path : Path
        The index.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fault: str | None = None
        self._index: Index | None = None
        try:
            self._index = load_index(path)
        except ManifestError as error:
            self._fault = "; ".join(map(str, error.faults))

    @property
    def name(self) -> str:
        """The index."""
        return str(self._path)

    def items(self) -> list[Item]:
        """Return the index, the manifests of its runs, and all files that it calls present."""
        data = read_or_none(self._path) if self._fault is None else None
        items = [] if data is None else [sealed(self._path, data, None)]
        if self._index is None:
            return items
        for manifest in sorted(self._path.parent.glob("runs/*/manifest.json")):
            items += _run_items(manifest)
        for scene in self._index.scenes:
            items += [self._item(self._index, scene.key, asset) for asset in scene.assets if asset.present]
        return items

    @staticmethod
    def _item(index: Index, key: SceneKey, asset: Asset) -> Item:
        unit = (key, asset.path)
        if asset.is_remote:  # it is compared when it is read
            return Item(Path(asset.path), "remote", 0, lambda _: None, unit)
        try:
            path = InputFile.of(asset, index.root, allow_absolute=True).path
        except PathEscapeError as error:
            reason = str(error)
            return Item(index.root, "nothing", 0, lambda _: reason, None)
        by: By = "checksum" if _is_checkable(asset) else "nothing" if asset.size is None else "size"
        size = (asset.size or 0) if by == "checksum" else 0
        return Item(path, by, size, functools.partial(_difference, asset, path), unit)

    def problems(self) -> list[Problem]:
        """Return the index if it cannot be read, and files in its directories that it does not list."""
        if self._index is None:
            return [Problem("damaged", self._path, f"{self._fault}; {_CURE}")]
        listed = set()
        for other in step1_indexes(self._index.root) or [self._path]:
            try:
                index = load_index(other)
            except ManifestError:
                return []  # what it lists is unknown; its own part tells that it is damaged
            listed |= {asset.path for scene in index.scenes for asset in scene.assets}
        return [
            Problem("unexpected", path, "the index does not list it")
            for path in self._files()
            if path.relative_to(self._index.root).as_posix() not in listed and not _is_part(path)
        ]

    def unfinished(self) -> list[Path]:
        """Return files that are still being fetched, or were when a run was killed."""
        return [path for path in self._files() if _is_part(path)]

    def _files(self) -> Iterator[Path]:
        root = None if self._index is None else self._index.root / "raw"
        for path in sorted(root.rglob("*")) if root is not None else ():
            if path.is_symlink() or not path.is_dir():
                yield path

    def repair(self, problems: Sequence[Problem]) -> list[str]:
        """Set damaged files aside and mark them, and those missing, as planned, so that `download` fetches them.

        Links and archives are the user's own: they stay as they are, and stay marked as present.
        """
        units = {problem.unit: problem for problem in problems if problem.unit is not None}
        if self._index is None or not units:
            return []
        marked, done = set(), []
        for scene in self._index.scenes:
            for asset in scene.assets:
                problem = units.get((scene.key, asset.path))
                if problem is None or not _is_own(asset, problem.path):
                    continue
                if problem.kind == "damaged":
                    set_aside(asset, self._index.root, scene.key)
                marked.add((scene.key, asset.path))
                done.append(
                    f"{problem.path}: marked as not present; `s2pipe download` or `index` adds it again"
                )
        if marked:
            rewrite_index(self._path, lambda now: without(now, marked))
        return done


def _is_own(asset: Asset, path: Path) -> bool:
    """Tell whether a file is one that runs make: below ``raw``, and neither a link nor in an archive."""
    is_below = path_fault(asset.path) is None and PurePosixPath(asset.path).parts[0] == "raw"
    return asset.member is None and is_below and not path.is_symlink()


def _is_part(path: Path) -> bool:
    return path.name.endswith(".part") or path.name.startswith(".")


def _run_items(manifest: Path) -> list[Item]:
    data = read_or_none(manifest) or b""
    items = [sealed(manifest, data, None)]
    try:
        records = records_of(parse_json(data).get("files")) or []
    except (ValueError, AttributeError):
        records = []
    return items + [recorded(record, manifest.parent, None) for record in records]


def _is_checkable(asset: Asset) -> bool:
    """Whether a checksum is recorded, of an algorithm that every Python has; else a file is not damaged for that."""
    return asset.checksum is not None and is_known_algorithm(asset.checksum.algorithm)


def _difference(asset: Asset, path: Path, count: Count) -> str | None:
    """Say how a file differs from its record in the index."""
    try:
        if asset.member is None:
            size = path.stat().st_size
        else:
            archive, member = _archive(path), _product_path(path, asset.member)
            size = archive.sizes[member]
        if asset.size is not None and size != asset.size:
            return f"expected {asset.size} bytes, got {size}"
        if asset.checksum is None or not _is_checkable(asset):
            return None
        if asset.member is None:
            with path.open("rb") as stream:
                found = hash_stream(stream, asset.checksum.algorithm, count)
        else:
            with archive.open(member) as stream:
                found = hash_stream(stream, asset.checksum.algorithm, count)
    except FileNotFoundError:
        return f"is a broken link to {path.readlink()}" if path.is_symlink() else "is missing"
    except KeyError:
        return f"the archive has no member {asset.member!r}"
    except (OSError, EOFError, zlib.error, ProductError) as error:
        return f"cannot be read: {error}"
    stated = asset.checksum
    return None if found == stated.value else f"expected {stated.algorithm} {stated.value}, got {found}"


def _archive(path: Path) -> SafeContainer:
    status = path.stat()
    return _opened(path, status.st_mtime_ns, status.st_size)


@functools.lru_cache(maxsize=256)
def _opened(path: Path, _mtime_ns: int, _size: int) -> SafeContainer:
    return open_container(path)


def _product_path(path: Path, member: str) -> str:
    return member.removeprefix(_archive(path).prefix or "")
