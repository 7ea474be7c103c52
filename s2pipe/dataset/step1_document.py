"""The Step-1 index as a value: scenes, the search that found them, and the root that their files are below."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from s2pipe.config.schema import STEP1_INDEX
from s2pipe.dataset.entry_document import document_pieces
from s2pipe.dataset.input_file import InputFile
from s2pipe.dataset.proof import sealed_pieces
from s2pipe.dataset.remote_file import RemoteFile
from s2pipe.dataset.scenes import Scene, SceneTable
from s2pipe.dataset.step1_merge import merge_scene
from s2pipe.errors import Fault, ManifestError
from s2pipe.runtime.addresses import RemoteAddress
from s2pipe.runtime.clock import utc_now
from s2pipe.runtime.notebook import InNotebooks

if TYPE_CHECKING:
    from s2pipe.dataset.assets import Asset
    from s2pipe.dataset.scene_key import SceneKey

LAYOUT = "raw/<LEVEL>/tile=<TILE>/sensing=<SENSING>Z/files/<FILENAME>"
"""Where files lie below the dataset's root."""


@dataclass(frozen=True)
class Index(InNotebooks):
    """The Step-1 index of one dataset."""

    root: Path
    """Root directory of the dataset: what the files' paths are relative to. Not stored."""
    scenes: Sequence[Scene] = ()
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
    remote: tuple[RemoteAddress, ...] = ()
    """Places off this machine that files may lie in; none by default. Not stored."""

    def __post_init__(self) -> None:
        if not isinstance(self.scenes, SceneTable):
            table = SceneTable(recorded={scene.key.identity: scene for scene in self.scenes})
            object.__setattr__(self, "scenes", table)

    def _shown(self) -> dict[str, Any]:
        return {"root": self.root, "created": self.created_utc, "scenes": self.table.keys}

    @property
    def table(self) -> SceneTable:
        """The scenes, found by their keys."""
        assert isinstance(self.scenes, SceneTable)  # see __post_init__
        return self.scenes

    def to_document(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {**self._head(), "scenes": [scene.to_document() for scene in self.scenes]}

    def to_pieces(self) -> Iterator[bytes]:
        """Serialise the JSON form with its seal, piece by piece."""
        return sealed_pieces(document_pieces(self._head(), "scenes", self.table.lines()))

    def _head(self) -> dict[str, Any]:
        return {
            "schema": STEP1_INDEX,
            "created_utc": self.created_utc,
            "query": self.query,
            "output": dict(self.output),
            **self.extra,
        }

    def scene(self, key: SceneKey) -> Scene | None:
        """Return the scene with a key (fractions of a second do not count), or None."""
        return self.table.find(key)

    def with_scenes(self, scenes: Iterable[Scene]) -> Index:
        """Return the index with scenes in the places of others with their keys."""
        changed = {scene.key.identity: scene for scene in scenes}
        return replace(self, scenes=self.table.changed(changed))

    def file(self, asset: Asset) -> InputFile:
        """Find the file of an asset.

        Raises
        ------
        PathEscapeError
            Its path leaves the dataset's root, or is absolute and ``allow_absolute`` is false, or is an address in a
            place that is not allowed.
        """
        if asset.is_remote:
            return RemoteFile.at(asset, self.remote)
        return InputFile.of(asset, self.root, allow_absolute=self.allow_absolute)


def index_path(out_dir: Path) -> Path:
    """Return where a dataset's Step-1 index lies."""
    return out_dir / "meta" / "step1" / "index.json"


def new_index(out_dir: Path, scenes: Iterable[Scene], query: Any = None) -> Index:
    """Make an index of the dataset at ``out_dir``, scenes in the order of their keys."""
    return Index(out_dir.absolute(), tuple(scenes), utc_now(), query, output_of(out_dir))


def merge(old: Index, new: Index) -> Index:
    """Add the scenes, products and files of ``new`` to ``old``; see :func:`merge_scene`."""
    scenes = {}
    for scene in new.scenes:
        known = old.scene(scene.key)
        scenes[scene.key.identity] = scene if known is None else merge_scene(known, scene, new.root)
    return Index(
        root=new.root,
        scenes=old.table.changed(scenes),
        created_utc=new.created_utc,
        query=old.query if new.query is None else new.query,
        output={**old.output, **new.output},
        extra={**old.extra, **new.extra},
    )


def output_of(root: Path) -> dict[str, str]:
    """Return what an index says of where its files are."""
    return {"out_dir": root.as_posix(), "layout": LAYOUT}


def root_of(path: Path, out_dir: str | None) -> Path:
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
