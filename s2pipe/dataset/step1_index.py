"""The Step-1 index: which scenes a dataset holds, and where each of their files is.

It is the only thing that later steps know about files. The directory that holds ``meta/step1`` is the
dataset's root, so that a dataset can be moved or mounted elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from s2pipe.config.documents import read_json
from s2pipe.config.schema import STEP1_INDEX, validate_document
from s2pipe.dataset.assets import PRODUCT_KEYS, Asset, AssetGroup, Checksum, Product, extra_keys
from s2pipe.dataset.input_file import InputFile
from s2pipe.dataset.proof import SEAL, write_sealed
from s2pipe.dataset.scene_key import SceneKey
from s2pipe.errors import Fault, ManifestError, PathEscapeError
from s2pipe.runtime.clock import utc_now
from s2pipe.runtime.files import sweep
from s2pipe.runtime.locks import locked

__all__ = [
    "LAYOUT",
    "Asset",
    "AssetGroup",
    "Checksum",
    "Index",
    "Product",
    "Scene",
    "index_path",
    "load_index",
    "merge",
    "new_index",
    "read_manifest",
    "rewrite_index",
    "save_index",
    "update_index",
]

LAYOUT = "raw/<LEVEL>/tile=<TILE>/sensing=<SENSING>Z/files/<FILENAME>"
"""Where files lie below the dataset's root."""

_SCENE_KEYS = ("key", "l1c", "l2a", "files_l1c", "files_l2a")
_INDEX_KEYS = ("schema", "created_utc", "query", "output", "scenes", SEAL)


@dataclass(frozen=True)
class Scene:
    """One tile at one sensing time: an L1C product and, if any, its L2A twin."""

    key: SceneKey
    """Tile and sensing start."""
    l1c: Product | None = None
    """The L1C product; None when there is none."""
    l2a: Product | None = None
    """The L2A product; None when there is none."""
    files_l1c: AssetGroup | None = None
    """Files of the L1C product."""
    files_l2a: AssetGroup | None = None
    """Files of the L2A product."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Keys that s2pipe does not know, kept."""

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Scene:
        """Make a scene from its (valid) JSON form."""
        l1c, l2a = (document.get(name) for name in ("l1c", "l2a"))
        files_l1c, files_l2a = (document.get(name) for name in ("files_l1c", "files_l2a"))
        return cls(
            key=SceneKey.from_document(document["key"]),
            l1c=None if l1c is None else Product.from_document(l1c),
            l2a=None if l2a is None else Product.from_document(l2a),
            files_l1c=None if files_l1c is None else AssetGroup.from_document(files_l1c),
            files_l2a=None if files_l2a is None else AssetGroup.from_document(files_l2a),
            extra=extra_keys(document, _SCENE_KEYS),
        )

    def to_document(self) -> dict[str, Any]:
        """Return the JSON form."""
        document: dict[str, Any] = {"key": self.key.to_document()}
        for name in _SCENE_KEYS[1:]:
            value = getattr(self, name)
            document[name] = None if value is None else value.to_document()
        return {**document, **self.extra}

    @property
    def assets(self) -> tuple[Asset, ...]:
        """All files, those of the L1C product first."""
        groups = (self.files_l1c, self.files_l2a)
        return tuple(item for group in groups if group is not None for item in group.items)

    def asset(self, role: str) -> Asset | None:
        """Return the file with a role, or None when the index has none."""
        return next((item for item in self.assets if item.role == role), None)


@dataclass(frozen=True)
class Index:
    """The Step-1 index of one dataset."""

    root: Path
    """Root directory of the dataset: what the files' paths are relative to. Not stored."""
    scenes: tuple[Scene, ...] = ()
    """The scenes, in the order of their keys."""
    created_utc: str | None = None
    """Time of writing, UTC."""
    query: Any = None
    """Search that found the products; None for products indexed from disk."""
    output: Mapping[str, Any] = field(default_factory=dict)
    """``out_dir`` as given when the index was written, ``layout``, and unknown keys."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Keys that s2pipe does not know, kept."""
    allow_absolute: bool = False
    """Whether files may lie outside of the root, at absolute paths. Not stored."""

    def to_document(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "schema": STEP1_INDEX,
            "created_utc": self.created_utc,
            "query": self.query,
            "output": dict(self.output),
            "scenes": [scene.to_document() for scene in self.scenes],
            **self.extra,
        }

    def scene(self, key: SceneKey) -> Scene | None:
        """Return the scene with a key (fractions of a second do not count), or None."""
        return next((scene for scene in self.scenes if scene.key.identity == key.identity), None)

    def file(self, asset: Asset) -> InputFile:
        """Find the file of an asset.

        Raises
        ------
        PathEscapeError
            Its path leaves the dataset's root, or is absolute and ``allow_absolute`` is false.
        """
        return InputFile.of(asset, self.root, allow_absolute=self.allow_absolute)


def index_path(out_dir: Path) -> Path:
    """Return where a dataset's Step-1 index lies."""
    return out_dir / "meta" / "step1" / "index.json"


def new_index(out_dir: Path, scenes: Iterable[Scene], query: Any = None) -> Index:
    """Make an index of the dataset at ``out_dir``, scenes in the order of their keys."""
    output = {"out_dir": out_dir.as_posix(), "layout": LAYOUT}
    ordered = tuple(sorted(scenes, key=lambda scene: scene.key))
    return Index(out_dir.absolute(), ordered, utc_now(), query, output)


def load_index(path: Path) -> Index:
    """Load a Step-1 index.

    Parameters
    ----------
    path : Path
        The index. Below ``<root>/meta/step1`` the root is that of the path; elsewhere it is the document's
        ``output.out_dir``, relative to the working directory.

    Raises
    ------
    ManifestError
        The file is missing, is no JSON, does not fit its schema, or lists a scene or a role twice; all
        faults are listed.
    """
    document = read_manifest(path)
    validate_document(document, "step1_index", source=str(path))
    scenes = tuple(Scene.from_document(scene) for scene in document["scenes"])
    output = document.get("output") or {}
    return Index(
        root=_root_of(path, output.get("out_dir")),
        scenes=tuple(sorted(scenes, key=lambda scene: scene.key)),
        created_utc=document.get("created_utc"),
        query=document.get("query"),
        output=output,
        extra=extra_keys(document, _INDEX_KEYS),
    )


def save_index(index: Index, path: Path) -> None:
    """Write an index atomically, holding the lock of its directory."""
    with locked(_lock_path(path)):
        sweep(path)
        write_sealed(path, index.to_document())


def update_index(path: Path, new: Index) -> tuple[Index, bool]:
    """Merge an index into the one at ``path`` under the lock, writing only when something changed.

    Parameters
    ----------
    path : Path
        Index to make or to extend.
    new : Index
        What was indexed or downloaded now; see :func:`merge`.

    Returns
    -------
    tuple of Index and bool
        The index as it is on disk now, and whether the file was written.
    """
    with locked(_lock_path(path)):
        sweep(path)
        old = load_index(path) if path.exists() else None
        merged = new if old is None else merge(old, new)
        if old is not None and _says_the_same(merged, old):
            return old, False
        write_sealed(path, merged.to_document())
        return merged, True


def rewrite_index(path: Path, change: Callable[[Index], Index]) -> Index:
    """Change the index at ``path`` under its lock, and return it as it is on disk now."""
    with locked(_lock_path(path)):
        sweep(path)
        changed = change(load_index(path))
        write_sealed(path, changed.to_document())
        return changed


def _says_the_same(new: Index, old: Index) -> bool:
    """Compare all but the time of writing and the spelling of the root."""
    return replace(new, root=old.root, created_utc=old.created_utc, output=old.output) == old


def merge(old: Index, new: Index) -> Index:
    """Add the scenes, products and files of ``new`` to ``old``.

    Per scene and level: a product of another name replaces the old one with all its files; the same product
    gains new roles, and what ``new`` says about a role wins, unless it calls a file absent that is on disk as
    ``old`` says. Values that ``new`` does not know are kept.
    """
    scenes = {scene.key.identity: scene for scene in old.scenes}
    for scene in new.scenes:
        known = scenes.get(scene.key.identity)
        scenes[scene.key.identity] = scene if known is None else _merge_scene(known, scene, new.root)
    return Index(
        root=new.root,
        scenes=tuple(sorted(scenes.values(), key=lambda scene: scene.key)),
        created_utc=new.created_utc,
        query=old.query if new.query is None else new.query,
        output={**old.output, **new.output},
        extra={**old.extra, **new.extra},
    )


def _merge_scene(old: Scene, new: Scene, root: Path) -> Scene:
    l1c, files_l1c = _merge_level((old.l1c, old.files_l1c), (new.l1c, new.files_l1c), root)
    l2a, files_l2a = _merge_level((old.l2a, old.files_l2a), (new.l2a, new.files_l2a), root)
    return Scene(old.key, l1c, l2a, files_l1c, files_l2a, {**old.extra, **new.extra})


_Level = tuple[Product | None, AssetGroup | None]


def _merge_level(old: _Level, new: _Level, root: Path) -> _Level:
    (old_product, old_files), (new_product, new_files) = old, new
    if new_product is None and new_files is None:
        return old
    if old_product is None or new_product is None or old_product.product_name != new_product.product_name:
        return new
    product = replace(
        new_product,
        extra={**old_product.extra, **new_product.extra},
        **{
            name: getattr(old_product, name)
            for name in PRODUCT_KEYS
            if getattr(new_product, name) is None and getattr(old_product, name) is not None
        },
    )
    if old_files is None or new_files is None:
        return product, new_files or old_files
    items = {item.role: item for item in old_files.items}
    for item in new_files.items:
        known = items.get(item.role)
        if known is None or item.present or not (known.present and _is_there(known, root)):
            items[item.role] = item
    extra = {**old_files.extra, **new_files.extra}
    return product, AssetGroup(new_files.root_dir, tuple(items.values()), extra)


def _is_there(asset: Asset, root: Path) -> bool:
    try:
        return InputFile.of(asset, root).is_available()
    except PathEscapeError:
        return False


def read_manifest(path: Path) -> Any:
    """Read a manifest's JSON; NaN and infinity, which other writers leave for unknown numbers, become null.

    Raises
    ------
    ManifestError
        The file is missing, or no JSON.
    """
    try:
        return read_json(path, nan="null")
    except FileNotFoundError:
        message = "no such file; run `s2pipe download` or `s2pipe index` first, or correct index_json"
    except OSError as error:
        message = f"cannot be read: {error.strerror}"
    except ValueError as error:
        message = f"is not JSON: {error}; restore the file, or index the products again"
    raise ManifestError(str(path), [Fault("", message)])


def _root_of(path: Path, out_dir: str | None) -> Path:
    """Root of the dataset: from ``<root>/meta/step1/...`` (runs included), else from ``out_dir``."""
    absolute = path.absolute()
    for directory in list(absolute.parents)[:3]:
        if directory.name == "step1" and directory.parent.name == "meta":
            return directory.parent.parent
    if not out_dir:
        raise ManifestError(
            str(path),
            [
                Fault(
                    "output.out_dir",
                    "is needed: the file is not in <root>/meta/step1, so the root is unknown",
                )
            ],
        )
    return Path(out_dir).absolute()


def _lock_path(path: Path) -> Path:
    return path.with_name(f".{path.name}.lock")
