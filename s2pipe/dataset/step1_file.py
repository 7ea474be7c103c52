"""The file of a Step-1 index: read whole where others wrote it, line by line where s2pipe did."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Any

from s2pipe.config.documents import read_json
from s2pipe.config.schema import validate_document
from s2pipe.dataset.entry_document import entry_line, read_head
from s2pipe.dataset.entry_table import EntryStore, Identity, Place, StoredEntries, key_of_line, read_entries
from s2pipe.dataset.proof import seal_of_file
from s2pipe.dataset.scenes import Scene, SceneTable
from s2pipe.errors import Fault, ManifestError
from s2pipe.runtime.paths import seen_from

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from s2pipe.dataset.scene_key import SceneKey

_LINEAR_BYTES = 256 << 10


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
        message = f"no such file{seen_from(path)}; run `s2pipe download` or `s2pipe index` first, or correct index_json"
    except OSError as error:
        message = f"cannot be read: {error.strerror}"
    except ValueError as error:
        message = f"is not JSON: {error}; restore the file, or index the products again"
    raise ManifestError(str(path), [Fault("", message)])


def read_index_file(path: Path) -> tuple[dict[str, Any], SceneTable]:
    """Read an index file.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    tuple of dict and SceneTable
        All keys but the scenes, and these. Scenes of a file whose seal is right are checked when they are used: it is
        as s2pipe wrote it, after it had checked them.

    Raises
    ------
    ManifestError
        The file is missing, is no JSON, or does not fit its schema; all faults are listed.
    """
    try:
        stream = path.open("rb")
    except (OSError, ValueError):
        stream = None  # told by what reads it whole
    if stream is not None:
        found = _read_by_line(path, stream)
        if found is not None:
            return found
        stream.close()
    document = read_manifest(path)
    validate_document(document, "step1_index", source=str(path))
    scenes = map(Scene.from_document, document.pop("scenes"))
    return document, SceneTable(recorded={scene.key.identity: scene for scene in scenes})


def _read_by_line(path: Path, stream: IO[bytes]) -> tuple[dict[str, Any], SceneTable] | None:
    """Read an index with one scene a line; None where it has another form, or a fault that needs all of it to tell."""
    stored = read_entries(path, stream, "step1_scene")
    if stored is None:
        return None
    recorded = {} if stored.is_intact else _spelled_otherwise(stored)
    kept = {identity: place for identity, place in stored.places.items() if identity not in recorded}
    return stored.head, SceneTable(stored.store, kept, recorded)


def _spelled_otherwise(stored: StoredEntries) -> dict[Identity, Scene]:
    """Check all scenes of a file that others may have changed; return those that s2pipe would spell otherwise."""
    other = {}
    for identity, place, document in stored.documents():
        scene = Scene.from_document(document)
        if entry_line(scene.to_document()) != stored.store.line(place):
            other[identity] = scene
    return other


def find_stored(path: Path, keys: Iterable[SceneKey]) -> dict[Identity, Scene]:
    """Find a few scenes of an index file by halving, since its lines are in the order of their keys.

    Parameters
    ----------
    path : Path
        The file.
    keys : iterable of SceneKey
        Scenes that may be there.

    Returns
    -------
    dict
        Those that are there, by identity.
    """
    with path.open("rb") as stream:
        wanted = list(keys)
        if read_head(stream, "scenes") is not None and seal_of_file(path) is not None:
            first, end = stream.tell(), path.stat().st_size
            try:
                lines = {key.identity: _line_of(stream, first, end, key) for key in wanted}
            except LookupError:
                pass  # a key is spelled otherwise
            else:
                store = EntryStore(path, stream, "step1_scene")
                places = {i: Place(key, 0, *line) for i, (key, line) in lines.items() if line is not None}
                return {i: Scene.from_document(store.document(place)) for i, place in places.items()}
    _, table = read_index_file(path)
    found = ((key.identity, table.find(key)) for key in wanted)
    return {identity: scene for identity, scene in found if scene is not None}


def _line_of(
    stream: IO[bytes], first: int, end: int, key: SceneKey
) -> tuple[SceneKey, tuple[int, int] | None]:
    """Find the line of a scene between two bytes, the first of which begins a line."""
    wanted = key.tile_id, key.second
    while end - first > _LINEAR_BYTES:
        stream.seek((first + end) // 2)
        stream.readline()
        start = stream.tell()
        found = _key_at(stream) if start < end else None
        if found is None or (found.tile_id, found.second) > wanted:
            end = (first + end) // 2
        else:
            first = start
    stream.seek(first)
    while True:
        start = stream.tell()
        line = stream.readline()
        if not line.startswith(b"    "):
            return key, None
        found = key_of_line(line[4:])
        if found is None:
            raise LookupError
        if (found.tile_id, found.second) == wanted:
            return found, (start + 4, len(line.rstrip(b",\n")) - 4)
        if (found.tile_id, found.second) > wanted:
            return key, None


def _key_at(stream: IO[bytes]) -> SceneKey | None:
    """Read the key of the line that begins here; None behind the last scene."""
    line = stream.read(256)
    if not line.startswith(b"    "):
        return None
    found = key_of_line(line[4:])
    if found is None:
        raise LookupError
    return found
