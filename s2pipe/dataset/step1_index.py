"""The Step-1 index: which scenes a dataset holds, and where each of their files is.

It is the only thing that later steps know about files. The directory that holds ``meta/step1`` is the
dataset's root, so that a dataset can be moved or mounted elsewhere.

What runs record goes into journals (:mod:`s2pipe.dataset.journal`), and from there into ``index.json``. Everything here
sees both.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from s2pipe.config.schema import document_faults
from s2pipe.dataset.assets import Asset, AssetGroup, Checksum, Product
from s2pipe.dataset.journal import (
    Entry,
    Journal,
    Pending,
    compact,
    has_entries,
    pending_bytes,
    read_together,
)
from s2pipe.dataset.proof import SEAL
from s2pipe.dataset.scenes import Scene
from s2pipe.dataset.step1_document import LAYOUT, Index, index_path, merge, new_index, output_of, root_of
from s2pipe.dataset.step1_file import find_stored, read_index_file, read_manifest
from s2pipe.dataset.step1_merge import merge_scene
from s2pipe.errors import Fault, ManifestError
from s2pipe.runtime.clock import utc_now, utc_text
from s2pipe.runtime.locks import locked
from s2pipe.runtime.run_ids import new_run_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from s2pipe.dataset.scene_key import SceneKey

__all__ = [
    "LAYOUT",
    "Asset",
    "AssetGroup",
    "Checksum",
    "Index",
    "IndexJournal",
    "Product",
    "Scene",
    "adding",
    "compact_if_due",
    "compact_index",
    "find_scenes",
    "has_index",
    "index_path",
    "load_index",
    "merge",
    "new_index",
    "not_recorded",
    "read_manifest",
    "record",
    "rewrite_index",
    "save_index",
    "update_index",
]

_INDEX_KEYS = ("schema", "created_utc", "query", "output", "scenes", SEAL)
_LARGE_BYTES = 16 << 20
"""Indexes up to this size are compacted whenever something was added; it takes a second."""
_SHARE = 50
"""Larger ones when journals hold a fiftieth of them: so compaction costs each scene that is added milliseconds."""


def has_index(path: Path) -> bool:
    """Tell whether there is an index: its file, or journals that are not compacted yet."""
    return path.exists() or has_entries(path)


def load_index(path: Path) -> Index:
    """Load a Step-1 index, with what its journals add.

    Parameters
    ----------
    path : Path
        The index. Below ``<root>/meta/step1`` the root is that of the path; elsewhere it is the document's
        ``output.out_dir``, relative to the working directory.

    Returns
    -------
    Index
        Scenes of a file that is as s2pipe wrote it are read and checked when they are used.

    Raises
    ------
    ManifestError
        The file is missing, is no JSON, does not fit its schema, or lists a scene or a role twice; all
        faults are listed. Or a journal is damaged.
    """
    index, pending = read_together(path, lambda: _index_in_file(path) if _is_needed(path) else None)
    return _with_entries(index or _empty(path), pending, path)[0]


def _is_needed(path: Path) -> bool:
    """Tell whether the index file must be there: without journals, its absence is an error."""
    return path.exists() or not has_entries(path)


def _index_in_file(path: Path) -> Index:
    head, scenes = read_index_file(path)
    output = head.get("output") or {}
    return Index(
        root=root_of(path, output.get("out_dir")),
        scenes=scenes,
        created_utc=head.get("created_utc"),
        query=head.get("query"),
        output=output,
        extra={key: value for key, value in head.items() if key not in _INDEX_KEYS},
    )


def _empty(path: Path) -> Index:
    return Index(root_of(path, None))


def find_scenes(path: Path, keys: Iterable[SceneKey]) -> dict[tuple[str, str], Scene]:
    """Find a few scenes of an index by their identities, without reading the others."""
    wanted = list(keys)
    found, pending = read_together(path, lambda: find_stored(path, wanted) if path.exists() else {})
    known = Index(root_of(path, None), tuple(found.values()))
    index, _ = _with_entries(known, pending, path)
    scenes = ((key.identity, index.scene(key)) for key in wanted)
    return {identity: scene for identity, scene in scenes if scene is not None}


def save_index(index: Index, path: Path) -> None:
    """Write an index atomically, holding its lock; what journals say in addition is dropped."""
    with locked(_lock_path(path)):
        compact(path, lambda _: index.to_pieces())


class IndexJournal:
    """What one process adds to an index; close it after use, and compact the index at the end of the run.

    Parameters
    ----------
    root : Path
        Root of the dataset.
    path : Path
        The index.
    run_id : str
        Name of the run.
    query : JSON value, optional
        Search that found the products.
    """

    def __init__(self, root: Path, path: Path, run_id: str, query: Any = None) -> None:
        self._journal = Journal(root, path, run_id)
        self._head: list[dict[str, Any]] = [{"output": output_of(root), "query": query}]

    def add(self, scenes: Iterable[Scene]) -> None:
        """Record scenes, with one write and at the same cost whatever the size of the index."""
        entries = [*self._head, *({"scene": scene.to_document()} for scene in scenes)]
        self._journal.append(*entries)
        self._head = []

    def close(self) -> None:
        """Let the next compaction remove the journal."""
        self._journal.close()


def compact_index(path: Path) -> bool:
    """Write what journals hold into the index file, and remove those whose writers are gone.

    Parameters
    ----------
    path : Path
        The index.

    Returns
    -------
    bool
        Whether the file was written anew: the journals said something new.

    Raises
    ------
    ManifestError
        The index or a journal is damaged; nothing was changed.
    """
    written = False

    def fold(pending: Pending) -> Iterator[bytes] | None:
        nonlocal written
        base = _index_in_file(path) if path.exists() else None
        index, written = _with_entries(base or _empty(path), pending, path)
        written = written or (base is None and bool(pending.entries))
        return index.to_pieces() if written else None

    with locked(_lock_path(path)):
        compact(path, fold)
    return written


def record(path: Path, new: Index) -> bool:
    """Add to the index at ``path`` what it does not say yet; see :func:`merge_scene`.

    Parameters
    ----------
    path : Path
        Index to make or to extend. Its file has all of it afterwards, unless it is large and little was added: that
        stays in a journal until more comes, or until :func:`compact_index`.
    new : Index
        What was indexed now.

    Returns
    -------
    bool
        Whether something was added.
    """
    changed = not_recorded(path, new.scenes, new.root)
    if changed or not has_index(path):
        with closing(IndexJournal(new.root, path, new_run_id(), new.query)) as journal:
            journal.add(changed)
    compact_if_due(path)
    return bool(changed)


def compact_if_due(path: Path) -> None:
    """Compact the index, unless it is large and little was added."""
    size = path.stat().st_size if path.exists() else 0
    waiting = pending_bytes(path)
    if (waiting and size <= _LARGE_BYTES) or waiting * _SHARE > size or size == 0:
        compact_index(path)


def not_recorded(path: Path, scenes: Iterable[Scene], root: Path) -> list[Scene]:
    """Return the scenes that say something which the index at ``path`` does not."""
    given = list(scenes)
    return adding(given, find_scenes(path, [scene.key for scene in given]), root)


def adding(scenes: Iterable[Scene], known: Mapping[tuple[str, str], Scene], root: Path) -> list[Scene]:
    """Return the scenes that say something which is not known of them (see :func:`find_scenes`)."""

    def adds(scene: Scene) -> bool:
        old = known.get(scene.key.identity)
        return old is None or merge_scene(old, scene, root) != old

    return [scene for scene in scenes if adds(scene)]


def update_index(path: Path, new: Index) -> tuple[Index, bool]:
    """Record an index (see :func:`record`), and return all of it, and whether something was added."""
    changed = record(path, new)
    return load_index(path), changed


def rewrite_index(path: Path, change: Callable[[Index], Index]) -> Index:
    """Change the index at ``path`` under its lock, and return it as it is on disk now."""

    def fold(pending: Pending) -> Iterator[bytes]:
        index, _ = _with_entries(_index_in_file(path) if path.exists() else _empty(path), pending, path)
        return replace(change(index), created_utc=utc_now()).to_pieces()

    with locked(_lock_path(path)):
        compact(path, fold)
        return _index_in_file(path)


def _with_entries(index: Index, pending: Pending, path: Path) -> tuple[Index, bool]:
    """Add the entries of journals in their order; tell whether they say anything new."""
    changed: dict[tuple[str, str], Scene] = {}
    query, output, created = index.query, dict(index.output), index.created_utc
    is_new = False
    for entry in pending.entries:
        scene = _scene_of(entry, path)
        if scene is None:
            if index.created_utc is None:
                output = {**output, **(entry.content.get("output") or {})}
            said = entry.content.get("query")
            adds = said is not None and said != query
            query = said if adds else query
        else:
            known = changed.get(scene.key.identity) or index.scene(scene.key)
            merged = scene if known is None else merge_scene(known, scene, index.root)
            adds = merged != known
            if adds:
                changed[scene.key.identity] = merged
        if adds:
            is_new, created = True, utc_text(entry.time_ns)
    if index.created_utc is None and pending.entries:
        created = created or utc_text(pending.entries[-1].time_ns)
    table = index.table.changed(changed) if changed else index.table
    return replace(index, scenes=table, query=query, output=output, created_utc=created), is_new


def _scene_of(entry: Entry, path: Path) -> Scene | None:
    """Return the scene of an entry; None for what a run says of itself."""
    document = entry.content.get("scene")
    if document is None:
        return None
    faults = document_faults(document, "step1_scene")
    if faults:
        where = f"{path.stem}.journal/{entry.writer}.jsonl line {entry.number + 1}"
        raise ManifestError(str(path), [Fault(f"{where}: {fault.path}", fault.message) for fault in faults])
    return Scene.from_document(document)


def _lock_path(path: Path) -> Path:
    return path.with_name(f".{path.name}.lock")
